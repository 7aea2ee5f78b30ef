//! Example requests of guides to both APIs against the real program, sent by the clients for which they are
//! printed. In: scripts beside this file, which hold the examples as they are printed. Out: each ends well
//! and leaves no error in the gateway's log.

mod channel;
mod events;
mod streaming;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::common::gateway::{Folder, Gateway, Settings};
use crate::common::media::Clip;

/// Key of operators, who register SDK clients.
const ADMIN_KEY: &str = "ExamplesAdmin0123456789";
/// What docker/install-deps.sh --test installs; `requests` comes with it.
const PYTHON: &str = "target/tools/schemathesis/bin/python";
/// A script is killed then, which fails its test. Each takes about a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// A language's interpreter.
fn interpreter(script: &str) -> PathBuf {
    match script.rsplit('.').next() {
        Some("sh") => "bash".into(),
        Some("mjs") => "node".into(),
        Some("py") => Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON),
        _ => panic!("{script} is of no known language"),
    }
}

/// A script of this folder, to be run in the gateway's.
fn script(folder: &Folder, name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
    let mut command = Command::new(interpreter(name));
    command
        .arg(scripts.join(name))
        .current_dir(folder.data())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Two seconds of pictures and sound.
fn film() -> PathBuf {
    let clip = Clip {
        container: "mp4",
        ..Clip::small("25", 50)
    };
    clip.file()
}

/// Runs a script to its end.
async fn run(folder: &Folder, gateway: &Gateway, name: &str) -> Output {
    let output = script(folder, name)
        .env("BASE", format!("http://{}", gateway.http()))
        .env("ADMIN_KEY", ADMIN_KEY)
        .env("FILM", film())
        .output();
    let output = tokio::time::timeout(DEADLINE, output).await;
    let output = output.unwrap_or_else(|_| panic!("{name} does not end"));
    output.unwrap_or_else(|error| {
        panic!("{name}: {error}; docker/install-deps.sh --test installs what it needs")
    })
}

/// A gateway of its own for a script, which must end well.
async fn work(name: &str, settings: &Settings<'_>) {
    let folder = Folder::new();
    let settings = [&[("FOREBAY_ADMIN_KEY", ADMIN_KEY)], settings].concat();
    let gateway = folder.serve(&settings).await;
    let output = run(&folder, &gateway, name).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    stop(gateway).await;
}

/// Ends a gateway, which must have met no fault of its own.
async fn stop(gateway: Gateway) {
    let log = gateway.stop().await;
    assert!(!log.contains(" ERROR "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_curl_commands_work_as_printed() {
    work("guide.sh", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_javascript_works_as_printed() {
    work("guide.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_javascript_works_in_pages_of_other_origins() {
    work("page.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_python_works_as_printed() {
    work("guide.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_swift_requests_work_and_its_models_decode_the_answers() {
    work("guide_swift.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_pages_are_at_the_addresses_that_are_printed() {
    work("watch.mjs", &[]).await;
}
