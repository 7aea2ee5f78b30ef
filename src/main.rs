//! The program. For now only what the ladder starts: its worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("worker") if forebay::transcode::run_worker().is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
