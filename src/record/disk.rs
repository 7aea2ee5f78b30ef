//! The storage as far as it can refuse or hang: a port, so that tests can fill it up and hold it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where recordings are written.
pub trait Disk: Send + Sync {
    /// Bytes that can still be written into a folder.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;

    /// Writes bytes at a place of a file.
    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Gives a folder another name.
    fn rename(&self, folder: &Path, name: &Path) -> io::Result<()>;
}

/// The machine's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Disk for Local {
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn rename(&self, folder: &Path, name: &Path) -> io::Result<()> {
        std::fs::rename(folder, name)
    }
}

/// Whether a write failed because nothing more fits.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
