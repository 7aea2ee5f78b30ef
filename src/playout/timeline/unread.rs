//! Media that are asked for when the index is not in memory.

use std::sync::Arc;
use std::time::Duration;

use super::Playing;
use crate::media::timeline::{Asked, Blob, Found, Resource, Stored, Timeline};

/// Media that are asked for before the index is in memory, and are not out yet, are waited for so long.
const FIRST_WAIT: Duration = Duration::from_secs(4);

/// What a media URL names, when the index is not in memory.
pub(super) struct Unread {
    playing: Playing,
    rendition: String,
    wanted: Wanted,
}

impl Unread {
    pub(super) fn new(playing: &Playing, rendition: &str, resource: Resource<'_>) -> Unread {
        Unread {
            playing: playing.clone(),
            rendition: rendition.to_owned(),
            wanted: Wanted::of(resource),
        }
    }
}

#[derive(Clone, Debug)]
enum Wanted {
    Init(String),
    Segment(u64),
    Part(u64),
}

impl Wanted {
    fn of(resource: Resource<'_>) -> Wanted {
        match resource {
            Resource::Init(name) => Wanted::Init(name.to_owned()),
            Resource::Segment(sequence) => Wanted::Segment(sequence),
            Resource::Part(number) => Wanted::Part(number),
        }
    }

    fn resource(&self) -> Resource<'_> {
        match self {
            Wanted::Init(name) => Resource::Init(name),
            Wanted::Segment(sequence) => Resource::Segment(*sequence),
            Wanted::Part(number) => Resource::Part(*number),
        }
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unread")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Stored for Unread {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            self.playing.0.load().await?;
            let ready = async {
                loop {
                    let seen = self
                        .playing
                        .progress(&self.rendition)
                        .map_or(0, |progress| progress.version);
                    // It may be forgotten again at once, in a process that plays very much.
                    let found = self
                        .playing
                        .look_up(&self.rendition, self.wanted.resource());
                    match found.unwrap_or(Found::Missing) {
                        Found::Stored(stored) => return stored.open().await,
                        Found::Whole(pieces) => {
                            let blob: Arc<dyn Blob> = Arc::new(Memory(pieces.concat().into()));
                            return Ok(Some(blob));
                        }
                        Found::Announced | Found::GrowingStored(_) | Found::Growing(_) => {}
                        Found::Missing => return Ok(None),
                    }
                    self.playing.changed(&self.rendition, seen).await;
                }
            };
            tokio::time::timeout(FIRST_WAIT, ready)
                .await
                .unwrap_or(Ok(None))
        })
    }
}

/// Media that are in memory after all.
struct Memory(bytes::Bytes);

impl Blob for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, from: u64) -> Asked<'_, bytes::Bytes> {
        let from = usize::try_from(from).map_or(self.0.len(), |from| from.min(self.0.len()));
        Box::pin(std::future::ready(Ok(self.0.slice(from..))))
    }
}
