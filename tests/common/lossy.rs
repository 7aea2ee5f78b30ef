//! A bad line for UDP: a proxy in the test's process that loses packets by a seed, one by one and in
//! bursts, both ways, delays them and lets some overtake others. In: datagrams of callers. Out: those
//! that the line lets through, later. Each caller has a socket of its own towards the listener, as
//! behind a NAT.
//!
//! Which packets of an SRT stream are lost follows from the seed and from their place in the stream, not
//! from the moment at which they come by: the same stream loses the same packets in every run. What the
//! other side says (acknowledgements, requests to send again) is lost by its count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Callers that have a socket. The packets of others are lost.
const MAX_CALLERS: usize = 64;
/// Packets on the line: 40 ms of 1 Gb/s and more. A line that is full loses.
const MAX_ON_LINE: usize = 8192;
/// Packets whose passes are remembered, for each direction.
const MAX_REMEMBERED: usize = 65_536;

/// What a line is like, each way.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub seed: u64,
    /// Share of packets that are lost one by one.
    pub loss: f64,
    /// Share of packets with which a burst of losses begins.
    pub bursts: f64,
    /// Most packets in a row that a burst takes.
    pub burst_packets: u64,
    /// One way.
    pub delay: Duration,
    /// Share of packets that take half as long again, so that others overtake them.
    pub reordered: f64,
}

impl Line {
    /// 40 ms there and back, nothing is lost.
    pub fn good(seed: u64) -> Line {
        Line {
            seed,
            loss: 0.0,
            bursts: 0.0,
            burst_packets: 8,
            delay: Duration::from_millis(20),
            reordered: 0.0,
        }
    }

    /// The same with a share of random loss, and a burst in 500 packets.
    pub fn losing(seed: u64, loss: f64) -> Line {
        Line {
            loss,
            bursts: 0.002,
            ..Line::good(seed)
        }
    }
}

/// Packets that went in and that were lost, in one direction, of all callers.
#[derive(Debug, Default)]
pub struct Passed {
    pub sent: AtomicU64,
    pub lost: AtomicU64,
}

impl Passed {
    /// Sent and lost.
    pub fn get(&self) -> (u64, u64) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (get(&self.sent), get(&self.lost))
    }
}

/// A line that carries; ends with the test.
pub struct Lossy {
    /// What callers call.
    pub address: SocketAddr,
    /// From callers to the listener.
    pub there: Arc<Passed>,
    /// From the listener to callers.
    pub back: Arc<Passed>,
    _tasks: JoinSet<()>,
}

impl Lossy {
    /// A line to `listener`.
    pub async fn start(listener: SocketAddr, line: Line) -> Lossy {
        let front = UdpSocket::bind("127.0.0.1:0").await;
        let front = Arc::new(front.expect("loopback is there"));
        let address = front.local_addr().expect("it is bound");
        let (there, back) = (Arc::new(Passed::default()), Arc::new(Passed::default()));
        let (wire, packets) = mpsc::channel(MAX_ON_LINE);
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(packets));
        let callers = Callers {
            listener,
            line,
            front,
            wire,
            there: there.clone(),
            back: back.clone(),
        };
        tasks.spawn(callers.run());
        Lossy {
            address,
            there,
            back,
            _tasks: tasks,
        }
    }
}

/// A packet on its way.
struct Packet {
    due: Instant,
    order: u64,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Packet {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.order)
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Packet) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Packet) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Packet) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Delivers what is due.
async fn carry(mut packets: mpsc::Receiver<Packet>) {
    let mut on_line: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
    let mut order = 0;
    loop {
        let due = on_line.peek().map(|Reverse(packet)| packet.due);
        let waiting = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            packet = packets.recv() => {
                let Some(mut packet) = packet else { return };
                if on_line.len() < MAX_ON_LINE {
                    (packet.order, order) = (order, order + 1);
                    on_line.push(Reverse(packet));
                }
            }
            () = waiting => {
                if let Some(Reverse(packet)) = on_line.pop() {
                    let _ = packet.socket.send_to(&packet.bytes, packet.to).await;
                }
            }
        }
    }
}

/// Takes packets of all callers.
struct Callers {
    listener: SocketAddr,
    line: Line,
    front: Arc<UdpSocket>,
    wire: mpsc::Sender<Packet>,
    there: Arc<Passed>,
    back: Arc<Passed>,
}

impl Callers {
    async fn run(self) {
        let mut callers: HashMap<SocketAddr, (Arc<UdpSocket>, Dice)> = HashMap::new();
        let mut returning = JoinSet::new();
        let mut bytes = [0; 2048];
        loop {
            // A port that nobody listens on any more is told as an error here.
            let Ok((count, caller)) = self.front.recv_from(&mut bytes).await else {
                continue;
            };
            if !callers.contains_key(&caller) {
                if callers.len() == MAX_CALLERS {
                    continue;
                }
                let socket = UdpSocket::bind("127.0.0.1:0").await;
                let socket = Arc::new(socket.expect("loopback is there"));
                let number = callers.len() as u64 * 2;
                let back = Returning {
                    socket: socket.clone(),
                    front: self.front.clone(),
                    caller,
                    dice: Dice::new(self.line, number + 1),
                    wire: self.wire.clone(),
                    passed: self.back.clone(),
                };
                returning.spawn(back.run());
                callers.insert(caller, (socket, Dice::new(self.line, number)));
            }
            let (socket, dice) = callers.get_mut(&caller).expect("it was put there");
            let delay = dice.throw(&bytes[..count], &self.there);
            let to = self.listener;
            send(&self.wire, delay, socket, to, &bytes[..count], &self.there);
        }
    }
}

/// Takes what the listener says to one caller.
struct Returning {
    socket: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    caller: SocketAddr,
    dice: Dice,
    wire: mpsc::Sender<Packet>,
    passed: Arc<Passed>,
}

impl Returning {
    async fn run(mut self) {
        let mut bytes = [0; 2048];
        loop {
            let Ok((count, _)) = self.socket.recv_from(&mut bytes).await else {
                continue;
            };
            let delay = self.dice.throw(&bytes[..count], &self.passed);
            let (front, to) = (&self.front, self.caller);
            send(&self.wire, delay, front, to, &bytes[..count], &self.passed);
        }
    }
}

fn send(
    wire: &mpsc::Sender<Packet>,
    delay: Option<Duration>,
    socket: &Arc<UdpSocket>,
    to: SocketAddr,
    bytes: &[u8],
    passed: &Passed,
) {
    let Some(delay) = delay else { return };
    let packet = Packet {
        due: Instant::now() + delay,
        order: 0,
        socket: socket.clone(),
        to,
        bytes: bytes.to_vec(),
    };
    if wire.try_send(packet).is_err() {
        passed.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Decides what becomes of the packets of one direction of one caller.
struct Dice {
    line: Line,
    direction: u64,
    /// Sequence number of the first packet with media: it is random.
    first: Option<u32>,
    /// How often each packet came by, by its place in the stream.
    passes: BTreeMap<u32, u64>,
    /// Packets without media so far.
    words: u64,
    burst_left: u64,
}

impl Dice {
    fn new(line: Line, direction: u64) -> Dice {
        Dice {
            line,
            direction,
            first: None,
            passes: BTreeMap::new(),
            words: 0,
            burst_left: 0,
        }
    }

    /// The time that a packet takes, or `None` when it is lost.
    fn throw(&mut self, bytes: &[u8], passed: &Passed) -> Option<Duration> {
        let (place, pass) = self.identity(bytes);
        passed.sent.fetch_add(1, Ordering::Relaxed);
        let is_lost = self.is_lost(place, pass);
        if is_lost {
            passed.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let late = self.share(place, pass, 3) < self.line.reordered;
        Some(if late {
            self.line.delay * 3 / 2
        } else {
            self.line.delay
        })
    }

    /// Which packet this is: its place in the stream, and for which time it comes by.
    fn identity(&mut self, bytes: &[u8]) -> (u64, u64) {
        // draft-sharabayko-srt §3: the first bit tells packets with media, the rest of their first
        // word is the sequence number.
        let word = bytes.first_chunk().map(|word| u32::from_be_bytes(*word));
        match word {
            Some(sequence) if sequence >> 31 == 0 => {
                let first = *self.first.get_or_insert(sequence);
                let place = sequence.wrapping_sub(first) & 0x7fff_ffff;
                let pass = self.passes.entry(place).or_default();
                *pass += 1;
                let pass = *pass;
                if self.passes.len() > MAX_REMEMBERED {
                    self.passes.pop_first();
                }
                (u64::from(place), pass)
            }
            _ => {
                self.words += 1;
                (self.words | 1 << 40, 0)
            }
        }
    }

    fn is_lost(&mut self, place: u64, pass: u64) -> bool {
        if self.burst_left > 0 {
            self.burst_left -= 1;
            return true;
        }
        if self.share(place, pass, 1) < self.line.bursts {
            let length = self.share(place, pass, 2) * self.line.burst_packets as f64;
            self.burst_left = length as u64;
            return true;
        }
        self.share(place, pass, 0) < self.line.loss
    }

    /// A number from 0 to 1 for each packet and purpose.
    fn share(&self, place: u64, pass: u64, purpose: u64) -> f64 {
        let mut state = self.line.seed;
        for part in [self.direction, place, pass, purpose] {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ part;
            state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            state ^= state >> 31;
        }
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn a_seed_loses_its_share_and_the_same_packets_again() {
    let lost = |seed: u64| {
        let mut dice = Dice::new(Line::losing(seed, 0.05), 0);
        let passed = Passed::default();
        let packet = |number: u32| (0x1234_5678 + number).to_be_bytes();
        let lost: Vec<u32> = (0..20_000)
            .filter(|number| dice.throw(&packet(*number), &passed).is_none())
            .collect();
        assert_eq!(passed.get(), (20_000, lost.len() as u64));
        lost
    };
    let first = lost(1);
    // 5 % one by one, and about 4 of 500 packets in bursts.
    assert!((1000..1400).contains(&first.len()), "{}", first.len());
    assert_eq!(first, lost(1));
    assert_ne!(first, lost(2));
}
