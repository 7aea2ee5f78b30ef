//! What is in a file, found out by a child process: media that somebody sent may hang or break who reads them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tracing::{error, info};

use super::Error;
use crate::base::child;

/// How long it may take, its start on a busy machine included. The child gives up sooner.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes that the child may say: a line of JSON.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;
/// Files that are looked into at a time: each is a process of some ten megabytes.
const AT_A_TIME: usize = 2;
/// Characters of what was found that an answer repeats: the file chose some of them.
const MAX_FOUND: usize = 200;
/// What may be sent, for who sent something else.
const WANTED: &str = "MP4, QuickTime, WebM, MP3, WAV, M4A and AAC files can be shown";

/// The program that looks into files, as `forebay probe-media FILE`. Cloning shares its turns.
#[derive(Clone, Debug)]
pub struct Probe {
    program: PathBuf,
    arguments: Vec<OsString>,
    turns: Arc<Semaphore>,
}

/// What a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Pictures, and perhaps sound.
    Video,
    /// Sound only.
    Audio,
}

/// A file that can be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it has.
    pub medium: Medium,
    /// How long it says that it is.
    pub duration: Option<Duration>,
}

/// The line that the child says; it has more fields.
#[derive(Deserialize)]
struct Line {
    accepted: bool,
    found: String,
    video: Option<serde::de::IgnoredAny>,
    duration: Option<f64>,
}

impl Probe {
    /// Uses a program, which gets the path of the file behind these arguments.
    pub fn new<A: Into<OsString>>(
        program: PathBuf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Probe {
        Probe {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Looks into a file; [`Error::Unsupported`] where it cannot be shown.
    pub(super) async fn look(&self, path: &Path) -> Result<Found, Error> {
        let turn = self.turns.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        let looking = tokio::time::timeout(DEADLINE, self.ask(path)).await;
        let Ok(said) = looking else {
            info!("a file could not be read in time");
            return Err(unsupported("something that could not be read in time"));
        };
        let said = said.map_err(|err| {
            error!(%err, "files cannot be looked into");
            Error::Probe(err.to_string())
        })?;
        let Some(line) = said.and_then(|said| serde_json::from_slice::<Line>(&said).ok()) else {
            // What breaks its reader is damaged, at least.
            return Err(unsupported("something that cannot be read"));
        };
        if !line.accepted {
            return Err(unsupported(&line.found));
        }
        let duration = line.duration.filter(|seconds| *seconds > 0.0);
        Ok(Found {
            medium: match line.video {
                Some(_) => Medium::Video,
                None => Medium::Audio,
            },
            duration: duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    /// What the child says; `None` when it ends badly. An error when it cannot be asked.
    async fn ask(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut child = child::command(&self.program)
            .args(&self.arguments)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().expect("it was asked for");
        let mut said = Vec::new();
        output.take(MAX_OUTPUT_BYTES).read_to_end(&mut said).await?;
        let status = child.wait().await?;
        Ok(status.success().then_some(said))
    }
}

fn unsupported(found: &str) -> Error {
    let found: String = found
        .chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_FOUND)
        .collect();
    Error::Unsupported(format!("the file is {found}; {WANTED}"))
}
