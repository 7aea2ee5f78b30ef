//! What behaviour tests share: a server on ports of the system's choice, clips made by ffmpeg, publishers,
//! a small HTTP client, the program as a child process.
#![allow(dead_code, reason = "not every module uses every helper")]

pub mod encoder;
pub mod film;
pub mod gateway;
pub mod http;
pub mod livekit;
pub mod lossy;
pub mod media;
pub mod noise;
pub mod postgres;
pub mod rtmp;
pub mod server;
pub mod srt;
pub mod ts;
