//! PostgreSQL's programs: a cluster made in a folder, and its server. The tests within the library use them
//! as well.
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "two crates of tests have it as a module of theirs"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where Debian has the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// Gives files to the user as whom the programs run.
pub fn hand_over(paths: &[&Path]) {
    if is_root() {
        let user = nobody();
        for path in paths {
            chown(path, Some(user), None).expect("root may");
        }
    }
}

/// Makes a cluster in a folder that is handed over.
pub fn make_cluster(folder: &Path) {
    let made = program("initdb")
        .args(["--auth=trust", "--username=forebay", "--encoding=UTF8"])
        .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions", "-D"])
        .arg(folder.join("data"))
        .output()
        .expect("initdb runs");
    assert!(made.status.success(), "{made:?}");
}

/// Starts the cluster's server, with a socket in its folder, and waits until it says that it is ready; what
/// it said instead when it ends before.
pub fn serve(folder: &Path, port: u16, settings: &[String]) -> Result<Child, String> {
    let mut server = program("postgres");
    server.arg("-D").arg(folder.join("data"));
    let usual = [
        format!("port={port}"),
        format!("unix_socket_directories={}", folder.display()),
        // It need not outlive a power cut.
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "lc_messages=C".to_owned(),
    ];
    for setting in usual.iter().chain(settings) {
        server.arg("-c").arg(setting);
    }
    let mut server = server.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = BufReader::new(server.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while log.read_line(&mut said).expect("it is text") > 0 {
        if said.contains("ready to accept connections") {
            // Read on, or the server would wait for its log at some time.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(server);
        }
    }
    let ended = server.wait();
    Err(format!("{ended:?}: {said}"))
}

/// Stops a server with all of its connections.
pub fn quit(server: &mut Child) {
    // Immediate shutdown: nobody needs the files.
    let pid = server.id().to_string();
    let _ = Command::new("kill").args(["-QUIT", &pid]).status();
    let _ = server.wait();
}

/// A program of PostgreSQL's newest version, which ends with the test, as a user that is not root: it
/// refuses to run as root.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir(PROGRAMS).map(|versions| {
        let versions = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
        versions.filter(|bin| bin.join(name).exists()).max()
    });
    let bin = versions.ok().flatten();
    let bin = bin.expect("PostgreSQL is not there: docker/install-deps.sh --test installs it");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .arg(bin.join(name))
        // That user need not get to where the test runs.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn nobody() -> u32 {
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
    let line = users.lines().find_map(|line| line.strip_prefix("nobody:"));
    let id = line.and_then(|line| line.split(':').nth(1)?.parse().ok());
    id.expect("nobody has a number")
}
