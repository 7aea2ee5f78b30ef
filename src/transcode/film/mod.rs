//! Films. In: a file that somebody uploaded. Out: what it is ([`probe`]), and its renditions on a grid of
//! whole segments that loops without a seam. Both run in a child process of their own, which reads what
//! strangers sent. Not here: who asked for it, where it is kept, playing it.

mod guard;
pub mod probe;

use crate::base::Kind;

/// What can go wrong with a film. Each text is a sentence for who uploaded it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine lacks something.
    #[error("cannot work here: {0}")]
    Machine(String),
}

impl Error {
    /// The kind of failure, for the edge.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Machine(_) => Kind::Internal,
        }
    }
}
