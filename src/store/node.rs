//! Which of several gateways on one database this one is. In: the data folder. Out: the id that it keeps.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::base::id::random_key;

/// File name below the data folder.
const FILE: &str = "node";
/// Characters of an id: 95 bits.
const CHARACTERS: usize = 16;

/// The id in the data folder. One is made when there is none, or half of one.
pub(super) fn load_or_make(data: &Path) -> std::io::Result<String> {
    let file = data.join(FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().len() == CHARACTERS => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    let id = random_key(CHARACTERS);
    std::fs::create_dir_all(data)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(file)?, "{id}")?;
    Ok(id)
}
