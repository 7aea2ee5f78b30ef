//! A PostgreSQL server that lives as long as the test: a new cluster in a folder of its own, as a user that
//! is not root, reached over a socket in that folder.

mod programs;

use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

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
        programs::hand_over(&[&folder]);
        programs::make_cluster(&folder);
        let server = programs::serve(&folder, PORT, &["listen_addresses=".to_owned()]);
        Postgres {
            server: server.unwrap_or_else(|said| panic!("PostgreSQL does not start: {said}")),
            folder,
        }
    }

    /// Address of its one database.
    pub fn url(&self) -> String {
        let folder = self.folder.display();
        format!("postgres://forebay@localhost:{PORT}/postgres?host={folder}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        programs::quit(&mut self.server);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
