//! Schemathesis asks the real program what its own description allows, and what it does not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{ADMIN_KEY, SECRET, SETTINGS};
use crate::common::gateway::Folder;

/// What docker/install-deps.sh --test installs.
const SCHEMATHESIS: &str = "target/tools/schemathesis/bin/schemathesis";
/// Examples for each operation: about half a minute in all.
const EXAMPLES: &str = "20";
/// It is killed then, which fails the test.
const DEADLINE: Duration = Duration::from_secs(240);

/// Runs it on the operations whose paths match, with these credentials.
async fn run(folder: &Folder, base: &str, paths: &str, credentials: &[&str]) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMATHESIS);
    let output = Command::new(&program)
        .arg("run")
        .arg(format!("{base}/openapi.json"))
        .args(["--url", base])
        .args(["--include-path-regex", paths])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,response_schema_conformance",
        ])
        .args(["--max-examples", EXAMPLES, "--seed", "20261122"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--generation-database", "none", "--no-color"])
        .args(credentials)
        .current_dir(folder.data())
        .env("HYPOTHESIS_STORAGE_DIRECTORY", folder.file("hypothesis"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, output).await;
    let output = output.expect("schemathesis ends").unwrap_or_else(|error| {
        panic!(
            "{}: {error}; docker/install-deps.sh --test installs it",
            program.display()
        )
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_a_server_error_or_a_code_that_is_not_described() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let base = format!("http://{}", gateway.http());
    let basic = format!("forebay:{SECRET}");
    run(&folder, &base, "^/pcast/", &["--auth", &basic]).await;
    let key = format!("X-Admin-Key: {ADMIN_KEY}");
    let paths = "^/api/admin/(channels|applications)";
    run(&folder, &base, paths, &["-H", &key]).await;
    gateway.stop().await;
}
