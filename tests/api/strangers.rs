//! Schemathesis asks the real program what its own description allows, and what it does not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use super::{ADMIN_KEY, Client, SECRET, SETTINGS};
use crate::common::gateway::{Folder, Gateway};
use crate::common::livekit::{self, LivekitServer};

/// What docker/install-deps.sh --test installs.
const SCHEMATHESIS: &str = "target/tools/schemathesis/bin/schemathesis";
/// Examples for each operation: about half a minute in all.
const EXAMPLES: &str = "20";
/// It is killed then, which fails the test.
const DEADLINE: Duration = Duration::from_secs(240);

/// Runs it on the operations whose paths match, with these credentials and other arguments.
async fn run(folder: &Folder, base: &str, paths: &str, more: &[&str]) {
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
        .args(more)
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

/// An SDK client and a user of it; the headers with which they call.
async fn client(gateway: &Gateway, name: &str) -> [String; 2] {
    let operator = Client::operator(gateway.http());
    let body = json!({"name": name, "contactEmail": "a@example.org", "agreeTerms": true});
    let (code, client) = operator.call("POST", "/api/admin/sdk-clients", &body).await;
    assert_eq!(code, 200, "{client}");
    let key = format!("X-API-Key: {}", client["apiKey"].as_str().expect("text"));
    let body =
        json!({"username": name, "email": format!("{name}@example.org"), "password": "s3cretpass"});
    let nobody = Client::anonymous(gateway.http());
    let (code, user) = nobody.call("POST", "/api/users/signup", &body).await;
    assert_eq!(code, 200, "{user}");
    let token = user["token"].as_str().expect("text");
    [key, format!("Authorization: Bearer {token}")]
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_answer_strangers_as_their_description_says() {
    let folder = Folder::new();
    // Without one, what is asked of it is answered with 503.
    let livekit = LivekitServer::start();
    let url = livekit.url();
    let mut settings = SETTINGS.to_vec();
    settings.extend([
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", livekit::KEY),
        ("LIVEKIT_API_SECRET", livekit::SECRET),
    ]);
    let gateway = folder.serve(&settings).await;
    let base = format!("http://{}", gateway.http());
    let key = format!("X-Admin-Key: {ADMIN_KEY}");
    run(&folder, &base, "^/api/admin/sdk-clients", &["-H", &key]).await;
    // A client each, since there are a thousand requests in an hour.
    for paths in ["^/api/v1/", "^/(api/broadcasts|api/sessions|ws)"] {
        let [key, _] = client(&gateway, &paths.len().to_string()).await;
        run(&folder, &base, paths, &["-H", &key]).await;
    }
    run(&folder, &base, "^/(api/broadcasts|api/sessions|ws)", &[]).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_answer_strangers_as_their_description_says() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let base = format!("http://{}", gateway.http());
    let [_, token] = client(&gateway, "jane").await;
    // What ends the token or the user is asked at the end.
    let lasting = "^/api/users/(profile/full|search|follow)|^/(api/contacts|api/files|uploads)";
    run(&folder, &base, lasting, &["-H", &token]).await;
    run(&folder, &base, "^/api/users/(signup|login)", &[]).await;
    let rest = "^/api/users/(change-password|profile|token|logout)$";
    run(&folder, &base, rest, &["-H", &token]).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_answer_strangers_as_their_description_says() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let base = format!("http://{}", gateway.http());
    let [_, token] = client(&gateway, "jane").await;
    let key = format!("X-Admin-Key: {ADMIN_KEY}");
    for (paths, credentials) in [
        ("^/api/(events|uploads)", &["-H", token.as_str()][..]),
        ("^/api/(events|uploads)", &[]),
        ("^/api/admin/(events|uploads)", &["-H", &key]),
    ] {
        // It cannot write pieces of files; `uploads` does.
        let pieces = [
            "appendToUpload",
            "overrideUploadMethod",
            "adminAppendToUpload",
        ];
        let pieces = pieces.map(|id| ["--exclude-operation-id", id]);
        let arguments = [credentials, pieces.as_flattened()].concat();
        run(&folder, &base, paths, &arguments).await;
    }
    gateway.stop().await;
}
