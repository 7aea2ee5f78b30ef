//! Channels that show other channels' streams. In: a source channel and a destination. Out: the members
//! that the destination has from now on.
//!
//! A fork is a new stream id over its source's timeline: the same segments under another URL, for which
//! nothing is decoded, encoded, cut or timed again. Where its capabilities ask for other renditions, it is
//! a stream of its own, with its own ladder, fed with its source's units ([`super::relay`]).
//!
//! Its members are the publishers of the stream at its root, with their session ids: when another encoder
//! takes the air there, the fork shows it, too. It ends with its source, or alone. Nothing of it is
//! stored: after a restart of the server its source's stream goes on, the fork is gone.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::fence::Fence;
use super::index::{Entry, Fork, Index};
use super::kill::Fate;
use super::roster::ChannelMember;
use super::{Admission, Beginning, Hub, Refusal, relay};
use crate::base::id::{self, Uuid};

/// Forks of one stream at a time: each is a look-up and a cache of playlists. Past it a fork is refused.
const MAX_FORKS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forking {
    /// Channel id of the destination.
    pub channel_id: String,
    /// Its alias.
    pub alias: String,
    /// Its name.
    pub name: String,
    /// Tags that the destination's streams have beside their sources'.
    pub tags: Vec<String>,
    /// Capabilities that the destination's streams have beside their sources'. An `aspect-ratio` takes
    /// the place of the source's.
    pub capabilities: Vec<String>,
    /// What is made of the destination's members.
    pub options: ForkOptions,
}

/// What is made of members that the destination has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkOptions {
    /// A stream whose sessions publish to the destination already is replaced, not left as it is.
    pub force: bool,
    /// Members that are not the source's stay.
    pub additive: bool,
    /// Streams of members that are removed or replaced go on under their own URLs.
    pub keep_streams: bool,
}

/// Says whether streams of two lists of capabilities have the same renditions, so that one can be shown
/// as the other.
#[derive(Clone)]
pub struct SameRenditions(Arc<Compare>);

type Compare = dyn Fn(&[String], &[String]) -> bool + Send + Sync;

impl SameRenditions {
    /// Says what `compare` says.
    pub fn new(
        compare: impl Fn(&[String], &[String]) -> bool + Send + Sync + 'static,
    ) -> SameRenditions {
        SameRenditions(Arc::new(compare))
    }

    fn are(&self, one: &[String], other: &[String]) -> bool {
        (self.0)(one, other)
    }
}

impl fmt::Debug for SameRenditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameRenditions").finish_non_exhaustive()
    }
}

/// What a fork did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forked {
    /// Members that the destination has through this fork.
    pub members: Vec<ChannelMember>,
    /// Members of the source that the destination had already, and that were left as they were.
    pub untouched: Vec<ChannelMember>,
}

/// What is decided about a fork, before anything is done.
#[derive(Debug, Default)]
struct Plan {
    /// Entries to be forked.
    fork: Vec<Uuid>,
    /// The destination's entries that are left as they are.
    untouched: Vec<Uuid>,
    /// The destination's entries that go.
    remove: Vec<Uuid>,
}

impl Hub {
    /// Has a channel show what another one has on air; see the contract, channels, section 7. Without a
    /// publisher at the source nothing is done, and nothing is taken from the destination.
    ///
    /// A stream is never replaced by a fork of itself: in the destination, the source and what it was
    /// forked from are left as they are.
    ///
    /// Publishers of the destination that are ended are kept off for as long as after a kill. Their key
    /// stays good: one that comes back is a member beside the fork's, on a stream of its own, which is the
    /// channel's newest. Another fork takes it away again and leaves the first one's streams as they are.
    pub async fn fork(&self, source_channel: &str, forking: &Forking) -> Result<Forked, Refusal> {
        let (forked, gone) = {
            // Nobody opens, ends or forks anything meanwhile.
            let mut channels = self.channels();
            let sources = self.sending_on(source_channel);
            let plan = plan(&self.streams(), &sources, forking)?;
            let mut made = Vec::new();
            for source in plan.fork {
                match self.make_fork(source, forking) {
                    Ok(fork) => made.extend(fork),
                    Err(refusal) => {
                        self.end(&made, None);
                        return Err(refusal);
                    }
                }
            }
            let fate = match forking.options.keep_streams {
                true => Fate::Keep,
                false => Fate::End("the channel shows another one's streams"),
            };
            let gone = self.remove(&plan.remove, fate);
            if !gone.is_empty() && !forking.options.keep_streams {
                self.hold_off(&forking.channel_id);
            }
            // Who publishes next opens a new stream.
            channels.retain(|_, id| !plan.remove.contains(id));
            let forked = Forked {
                members: self.members_of(&made),
                untouched: self.members_of(&plan.untouched),
            };
            (forked, gone)
        };
        self.record_ended(gone).await;
        Ok(forked)
    }

    /// Forks a stream; `None` when it has ended meanwhile.
    fn make_fork(&self, source: Uuid, forking: &Forking) -> Result<Option<Uuid>, Refusal> {
        let inner = &self.inner;
        let found = {
            let index = self.streams();
            let entry = index.get(source).filter(|entry| entry.lives());
            entry.map(|entry| {
                let admission = forking.admission(&entry.admission);
                let same = &inner.config.same_renditions;
                let shares = same.are(&entry.admission.capabilities, &admission.capabilities);
                // Not the source's own fence, where that is a fork: what ends with it is known.
                let made = index.get(entry.stream.id()).unwrap_or(entry);
                let timeline = shares.then(|| made.timeline.clone());
                (
                    admission,
                    entry.stream.clone(),
                    entry.origin.clone(),
                    timeline,
                )
            })
        };
        let Some((admission, stream, origin, timeline)) = found else {
            return Ok(None);
        };
        let fork = |fence| {
            let parent = source;
            Some(Fork { parent, fence })
        };
        let (id, entry) = match timeline {
            Some(timeline) => {
                let fence = Fence::new(timeline);
                let entry = Entry {
                    stream,
                    origin,
                    admission: Arc::new(admission),
                    timeline: fence.clone(),
                    fork: fork(Some(fence)),
                    bound: true,
                    ended_at: None,
                };
                (id::stream_id(), entry)
            }
            None => {
                self.check_memory()?;
                let settings = (inner.rules)(&admission);
                let beginning = Beginning::now(id::stream_id(), &inner.clock);
                let (stream, timeline) = self.make(beginning, admission, settings);
                let region = &inner.config.region;
                relay::start(origin.clone(), &stream, region, &inner.tasks)?;
                let entry = Entry {
                    origin,
                    fork: fork(None),
                    ..Entry::own(stream.clone(), timeline)
                };
                (stream.id(), entry)
            }
        };
        self.show(id, entry);
        Ok(Some(id))
    }

    /// What is bound to a channel and has a publisher that sends.
    fn sending_on(&self, channel_id: &str) -> Vec<Uuid> {
        let bound = self.streams().bound_to(channel_id);
        let sends = bound.iter().filter(|bound| bound.origin.sending(None) > 0);
        sends.map(|bound| bound.id).collect()
    }

    fn members_of(&self, ids: &[Uuid]) -> Vec<ChannelMember> {
        let bound: Vec<_> = {
            let index = self.streams();
            ids.iter().filter_map(|id| index.bound(*id)).collect()
        };
        bound.iter().flat_map(|bound| bound.members()).collect()
    }
}

/// Decides what a fork of `sources` does.
fn plan(index: &Index, sources: &[Uuid], forking: &Forking) -> Result<Plan, Refusal> {
    let origin = |id: &Uuid| index.get(*id).map(|entry| entry.origin.id());
    let mut plan = Plan::default();
    if sources.is_empty() {
        return Ok(plan);
    }
    let options = forking.options;
    let present = index.of_channel(&forking.channel_id);
    for source in sources {
        let same = present.iter().copied();
        let same = same.filter(|id| origin(id) == origin(source));
        let (fixed, loose): (Vec<Uuid>, Vec<Uuid>) =
            same.partition(|id| !options.force || index.is_ancestor(*id, *source));
        if fixed.is_empty() {
            plan.fork.push(*source);
        }
        plan.untouched.extend(fixed);
        plan.remove.extend(loose);
    }
    if !options.additive {
        let kept: HashSet<Option<Uuid>> = sources.iter().map(origin).collect();
        let others = present.iter().filter(|id| !kept.contains(&origin(id)));
        plan.remove.extend(others);
    }
    for source in &plan.fork {
        let forks = index.living().filter(|(_, entry)| {
            let is_of = Some(entry.origin.id()) == origin(source);
            is_of && entry.fork.is_some()
        });
        // Those that make room for it do not count.
        let forks = forks.filter(|(id, _)| !plan.remove.contains(id) || options.keep_streams);
        if forks.count() >= MAX_FORKS {
            return Err(Refusal::Full(format!("{MAX_FORKS} forks of a stream")));
        }
    }
    Ok(plan)
}

impl Forking {
    /// What a fork of a stream with this admission has.
    fn admission(&self, source: &Admission) -> Admission {
        let replaces_aspect = self.capabilities.iter().any(|word| is_aspect(word));
        let inherited = source.capabilities.iter();
        let inherited = inherited.filter(|word| !(replaces_aspect && is_aspect(word)));
        Admission {
            channel_id: self.channel_id.clone(),
            alias: self.alias.clone(),
            name: self.name.clone(),
            capabilities: union(inherited, &self.capabilities),
            tags: union(source.tags.iter(), &self.tags),
            screen_name: None,
            lasting: None,
            placed: None,
        }
    }
}

fn is_aspect(word: &str) -> bool {
    word.starts_with("aspect-ratio=")
}

/// All words, each once, in the order in which they came.
fn union<'a>(words: impl Iterator<Item = &'a String>, more: &'a [String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let words = words.chain(more).filter(|word| seen.insert(*word));
    words.cloned().collect()
}
