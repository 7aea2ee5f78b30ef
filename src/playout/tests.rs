//! Shows by a simulated clock: what the playlists say, and what the bytes are.

mod lists;
mod projected;
mod sample;
mod seams;
mod stories;
mod takeovers;
