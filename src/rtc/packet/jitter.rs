//! Packets of one stream in order: what is missing is waited for and asked for, for a while.
//!
//! A packet that is next goes out at once; nothing is delayed to smooth arrival, since whoever takes the units
//! has a clock of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Packet, distance};

/// Packets held behind a gap at most. Bounds memory with their payloads (1500 bytes): 3 MiB a stream.
const HELD_PACKETS: usize = 2048;
/// Bytes held behind a gap at most. Bounds memory against larger packets.
const HELD_BYTES: usize = 4 * 1024 * 1024;
/// A jump forward by more is another numbering, not a gap (RFC 3550 appendix A.1, MAX_DROPOUT).
const DROPOUT: i64 = 3000;
/// A gap is asked for once it is this old: packets overtake each other on the way.
const REORDERING: Duration = Duration::from_millis(8);
/// And again after this, since a question or its answer may be lost, too.
const ASK_AGAIN: Duration = Duration::from_millis(45);
/// Questions for one packet at most.
const QUESTIONS: u8 = 10;
/// Sequence numbers in one question at most. Bounds what one loss sends: the rest is asked for next time.
const ASKED_AT_ONCE: usize = 256;

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a gap holds up what is behind it.
    pub wait: Duration,
    /// Whether the sender repeats what it is asked for.
    pub asks: bool,
}

impl Patience {
    /// A sender that repeats packets: several round trips.
    pub const REPEATED: Patience = Patience {
        wait: Duration::from_millis(500),
        asks: true,
    };
    /// One that does not: long enough for packets that overtook each other.
    pub const ONCE: Patience = Patience {
        wait: Duration::from_millis(60),
        asks: false,
    };
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// The next packet.
    Packet(Packet),
    /// This many packets are missing before the next one.
    Lost(u64),
}

#[derive(Debug)]
struct Missing {
    since: Duration,
    asked: Option<Duration>,
    questions: u8,
}

/// Order among the packets of one stream.
#[derive(Debug)]
pub struct Jitter {
    patience: Patience,
    /// Number (extended beyond 16 bits) of the packet that goes out next; `None` before the first.
    next: Option<i64>,
    /// The highest number that came.
    highest: i64,
    held: BTreeMap<i64, Packet>,
    held_bytes: usize,
    missing: BTreeMap<i64, Missing>,
    /// The number after that of a packet that fits nowhere: two in a row are a new beginning.
    stray: Option<u16>,
    ready: VecDeque<Out>,
}

impl Jitter {
    /// Nothing yet; the first packet to come is the first.
    pub fn new(patience: Patience) -> Jitter {
        Jitter {
            patience,
            next: None,
            highest: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            missing: BTreeMap::new(),
            stray: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes a packet as it arrives.
    pub fn handle(&mut self, now: Duration, packet: Packet) {
        let Some(next) = self.next else {
            self.begin(packet);
            return;
        };
        let ahead = distance(low_bits(self.highest), packet.sequence);
        let number = self.highest + ahead;
        if ahead.abs() > DROPOUT {
            self.handle_stray(packet);
            return;
        }
        self.stray = None;
        if number < next || self.held.contains_key(&number) {
            return;
        }
        for gap in self.highest + 1..number {
            let missing = Missing {
                since: now,
                asked: None,
                questions: 0,
            };
            self.missing.insert(gap, missing);
        }
        self.missing.remove(&number);
        self.highest = self.highest.max(number);
        self.held_bytes += packet.payload.len();
        self.held.insert(number, packet);
        self.release();
        while self.held.len() > HELD_PACKETS || self.held_bytes > HELD_BYTES {
            self.give_up();
        }
    }

    /// What is ready.
    pub fn poll(&mut self, now: Duration) -> Option<Out> {
        while let Some((_, first)) = self.missing.first_key_value()
            && now.saturating_sub(first.since) >= self.patience.wait
        {
            self.give_up();
        }
        self.ready.pop_front()
    }

    /// Numbers to ask for now.
    pub fn poll_asks(&mut self, now: Duration) -> Vec<u16> {
        if !self.patience.asks {
            return Vec::new();
        }
        self.missing
            .iter_mut()
            .filter(|(_, missing)| missing.asks_at().is_some_and(|at| at <= now))
            .take(ASKED_AT_ONCE)
            .map(|(&number, missing)| {
                missing.asked = Some(now);
                missing.questions += 1;
                low_bits(number)
            })
            .collect()
    }

    /// When there is something to do if no packet comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let (_, first) = self.missing.first_key_value()?;
        let asks = self
            .patience
            .asks
            .then(|| self.missing.values().filter_map(Missing::asks_at).min());
        let end = first.since + self.patience.wait;
        Some(asks.flatten().map_or(end, |asks| asks.min(end)))
    }

    fn begin(&mut self, packet: Packet) {
        let number = i64::from(packet.sequence);
        self.next = Some(number + 1);
        self.highest = number;
        self.stray = None;
        self.ready.push_back(Out::Packet(packet));
    }

    /// RFC 3550 appendix A.1: a jump counts when a second packet continues it.
    fn handle_stray(&mut self, packet: Packet) {
        if self.stray != Some(packet.sequence) {
            self.stray = Some(packet.sequence.wrapping_add(1));
            return;
        }
        while !self.missing.is_empty() {
            self.give_up();
        }
        // The first of the two is not here any more.
        self.ready.push_back(Out::Lost(1));
        self.begin(packet);
    }

    /// Hands out what follows without a gap.
    fn release(&mut self) {
        let Some(next) = &mut self.next else {
            return;
        };
        while let Some(packet) = self.held.remove(next) {
            self.held_bytes -= packet.payload.len();
            *next += 1;
            self.ready.push_back(Out::Packet(packet));
        }
    }

    /// Goes on behind the first gap.
    fn give_up(&mut self) {
        let first = self.held.first_key_value().map(|(&number, _)| number);
        let (Some(first), Some(next)) = (first, self.next) else {
            self.missing.clear();
            return;
        };
        self.missing = self.missing.split_off(&first);
        self.next = Some(first);
        let lost = u64::try_from(first - next).unwrap_or_default();
        if lost > 0 {
            self.ready.push_back(Out::Lost(lost));
        }
        self.release();
    }
}

impl Missing {
    fn asks_at(&self) -> Option<Duration> {
        if self.questions >= QUESTIONS {
            return None;
        }
        Some(match self.asked {
            None => self.since + REORDERING,
            Some(asked) => asked + ASK_AGAIN,
        })
    }
}

fn low_bits(number: i64) -> u16 {
    u16::try_from(number & 0xFFFF).expect("16 bits")
}
