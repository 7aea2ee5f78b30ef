//! A PostgreSQL server that lives as long as the test: a new cluster in a folder of its own, as a user that
//! is not root, reached over a socket in that folder.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian has the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// Names the socket only: nothing listens on a network.
const PORT: u16 = 5432;

/// A running server; ends with the test.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Postgres {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not below the build folder: a socket's path has 107 bytes at most, and others must get there.
        let name = format!("forebay-pg-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        if is_root() {
            chown(&folder, Some(nobody()), None).expect("root may");
        }
        let made = program("initdb")
            .args(["--auth=trust", "--username=forebay", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions", "-D"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{made:?}");
        let server = serve(&folder);
        Postgres { server, folder }
    }

    /// Address of its one database.
    pub fn url(&self) -> String {
        let folder = self.folder.display();
        format!("postgres://forebay@localhost:{PORT}/postgres?host={folder}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: nobody needs the files.
        let pid = self.server.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the server and waits until it says that it is ready.
fn serve(folder: &Path) -> Child {
    let mut server = program("postgres");
    server.arg("-D").arg(folder.join("data"));
    for setting in [
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        format!("unix_socket_directories={}", folder.display()),
        // It need not outlive a power cut.
        "fsync=off".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "lc_messages=C".to_owned(),
    ] {
        server.arg("-c").arg(setting);
    }
    let mut server = server.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = BufReader::new(server.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while log.read_line(&mut said).expect("it is text") > 0 {
        if said.contains("ready to accept connections") {
            // Read on, or the server would wait for its log at some time.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return server;
        }
    }
    let ended = server.wait();
    panic!("PostgreSQL does not start, {ended:?}: {said}");
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
