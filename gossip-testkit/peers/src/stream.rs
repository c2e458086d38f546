//! Ordered reliable streams over datagrams that may be lost: the plane that a protocol made for connections expects.
//!
//! One stream for each pair of processes. A frame carries both processes' numbers, a sequence number, an acknowledgement
//! and a checksum; it is sent again after 200 ms, doubling up to 2 s. A peer that was not heard for 15 s is disconnected,
//! and so is one that has started again. No handshake, no congestion control, no encryption: cheaper than any real one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gossip_core::Instant;
use gossip_testkit::Addr;

const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(15);
/// Number of a process that is not known yet.
const UNKNOWN: u64 = 0;

struct Link {
    /// The other process's number.
    theirs: u64,
    queue: VecDeque<(u32, Vec<u8>)>,
    next: u32,
    expected: u32,
    early: BTreeMap<u32, Vec<u8>>,
    retry: Duration,
    again: Instant,
    sent: Instant,
    heard: Instant,
    /// Time since which a message waits for its acknowledgement.
    waits: Instant,
}

impl Link {
    /// Time at which the peer has been silent for too long. A link that is not kept alive may be silent while nothing waits.
    fn silent(&self, kept: bool) -> Instant {
        match (kept, self.queue.is_empty()) {
            (true, _) => self.heard + SILENCE,
            (false, true) => Instant::MAX,
            (false, false) => self.heard.max(self.waits) + SILENCE,
        }
    }
}

pub struct Streams {
    ours: u64,
    links: BTreeMap<Addr, Link>,
    out: VecDeque<(Addr, Vec<u8>)>,
}

/// Outcome of a stream for the protocol.
pub enum Arrived {
    Message(Addr, Vec<u8>),
    Disconnected(Addr),
}

impl Streams {
    pub fn new(seed: u64) -> Self {
        Self { ours: seed | 1, links: BTreeMap::new(), out: VecDeque::new() }
    }

    fn link(&mut self, now: Instant, peer: Addr) -> &mut Link {
        self.links.entry(peer).or_insert_with(|| Link {
            theirs: UNKNOWN,
            queue: VecDeque::new(),
            next: 0,
            expected: 0,
            early: BTreeMap::new(),
            retry: RETRY,
            again: Instant::MAX,
            sent: now,
            heard: now,
            waits: now,
        })
    }

    pub fn send(&mut self, now: Instant, peer: Addr, message: Vec<u8>) {
        let link = self.link(now, peer);
        let sequence = link.next;
        link.next += 1;
        link.queue.push_back((sequence, message));
        if link.queue.len() == 1 {
            link.retry = RETRY;
            link.again = now + RETRY;
            link.waits = now;
        }
        self.frame(now, peer, Some(sequence));
    }

    /// Ends the stream; what was not sent is forgotten.
    pub fn close(&mut self, peer: Addr) {
        self.links.remove(&peer);
    }

    /// Sends one message of the queue, or an acknowledgement alone.
    fn frame(&mut self, now: Instant, peer: Addr, sequence: Option<u32>) {
        let ours = self.ours;
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.sent = now;
        let message = sequence.and_then(|sequence| link.queue.iter().find(|(number, _)| *number == sequence));
        let mut bytes = Vec::new();
        bytes.extend(ours.to_le_bytes());
        bytes.extend(link.theirs.to_le_bytes());
        bytes.extend(link.expected.to_le_bytes());
        bytes.extend(message.map_or(u32::MAX, |(number, _)| *number).to_le_bytes());
        bytes.extend(message.map_or(&[][..], |(_, message)| message));
        bytes.extend(checksum(&bytes).to_le_bytes());
        self.out.push_back((peer, bytes));
    }

    /// # Errors
    /// The frame is damaged.
    pub fn receive(&mut self, now: Instant, from: Addr, payload: &[u8]) -> Result<Vec<Arrived>, &'static str> {
        let (body, sum) = payload.split_last_chunk::<8>().ok_or("too short")?;
        if checksum(body) != u64::from_le_bytes(*sum) {
            return Err("damaged");
        }
        let mut rest = body;
        let theirs = u64::from_le_bytes(take(&mut rest)?);
        let ours = u64::from_le_bytes(take(&mut rest)?);
        let acked = u32::from_le_bytes(take(&mut rest)?);
        let sequence = u32::from_le_bytes(take(&mut rest)?);
        let mut arrived = Vec::new();
        let known = self.links.get(&from).map_or(UNKNOWN, |link| link.theirs);
        if known != UNKNOWN && known != theirs {
            self.links.remove(&from);
            arrived.push(Arrived::Disconnected(from));
        }
        let me = self.ours;
        let link = self.link(now, from);
        link.theirs = theirs;
        link.heard = now;
        if ours != UNKNOWN && ours != me {
            // For an earlier process: it learns of this one by the answer.
            self.frame(now, from, None);
            return Ok(arrived);
        }
        if ours == me {
            let before = link.queue.len();
            link.queue.retain(|(number, _)| *number >= acked);
            if link.queue.len() < before {
                link.retry = RETRY;
                link.again = if link.queue.is_empty() { Instant::MAX } else { now + RETRY };
            }
        }
        if sequence != u32::MAX {
            if sequence >= link.expected && link.early.len() < 1_000 {
                link.early.insert(sequence, rest.to_vec());
            }
            while let Some(message) = link.early.remove(&link.expected) {
                link.expected += 1;
                arrived.push(Arrived::Message(from, message));
            }
            self.frame(now, from, None);
        }
        Ok(arrived)
    }

    /// Sends again what is due, keeps streams alive, and gives up those that are silent.
    pub fn tick(&mut self, now: Instant, keep: impl Fn(Addr) -> bool) -> Vec<Arrived> {
        let peers: Vec<Addr> = self.links.keys().copied().collect();
        let mut arrived = Vec::new();
        for peer in peers {
            let link = self.links.get_mut(&peer).expect("it was just there");
            if link.silent(keep(peer)) <= now {
                self.links.remove(&peer);
                arrived.push(Arrived::Disconnected(peer));
            } else if link.again <= now {
                link.retry = (2 * link.retry).min(LONGEST_RETRY);
                link.again = now + link.retry;
                let first = link.queue.front().map(|(number, _)| *number);
                self.frame(now, peer, first);
            } else if keep(peer) && now.since(link.sent) >= KEEP_ALIVE {
                self.frame(now, peer, None);
            }
        }
        arrived
    }

    pub fn deadline(&self, keep: impl Fn(Addr) -> bool) -> Option<Instant> {
        let of = |(peer, link): (&Addr, &Link)| {
            let alive = if keep(*peer) { link.sent + KEEP_ALIVE } else { Instant::MAX };
            link.again.min(alive).min(link.silent(keep(*peer)))
        };
        self.links.iter().map(of).min().filter(|&at| at < Instant::MAX)
    }

    pub fn poll(&mut self) -> Option<(Addr, Vec<u8>)> {
        self.out.pop_front()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], &'static str> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or("too short")?;
    *rest = after;
    Ok(*first)
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
