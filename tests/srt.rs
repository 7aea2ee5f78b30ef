//! SRT from outside: real publishers, every form of streamid, lines that lose packets, callers that mean
//! no good, and SRT beside RTMP on one key.

mod hostile;
mod lossy;
mod members;
mod publishers;
mod rubbish;
mod streamids;

/// A figure for whoever reads the output of the test; nothing is asserted about it.
fn show(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
