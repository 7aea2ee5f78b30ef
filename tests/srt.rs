//! SRT from outside: real publishers, every form of streamid, lines that lose packets, callers that mean
//! no good, and SRT beside RTMP on one key.

mod hostile;
mod lossy;
mod members;
mod publishers;
mod rubbish;
mod streamids;
