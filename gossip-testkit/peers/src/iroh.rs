//! iroh-gossip's protocol state (HyParView and PlumTree) with its default configuration, over simulated streams.
//!
//! It has no full membership and no failure detector: a peer holds a few neighbours. It leaves it to its user to join again
//! when it has lost all of them: this one does so every second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Input, Instant};
use gossip_testkit::{Addr, Boot, Expectations, Machine, Note, Outgoing, View, ViewItem};
use iroh_gossip::proto::topic::{Command, Config, Event, InEvent, Message, OutEvent, State, Timer};
use iroh_gossip::proto::{PeerData, Scope};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::say::{Peer, Say, key, number};
use crate::stream::{Arrived, Streams};
use crate::timers::Timers;

/// A public key, as iroh has them.
type Id = [u8; 32];

fn id(addr: Addr) -> Id {
    let mut id = [0; 32];
    id[28..].copy_from_slice(&addr.0.to_be_bytes());
    id
}

fn addr(id: &Id) -> Addr {
    Addr(u32::from_be_bytes([id[28], id[29], id[30], id[31]]))
}

/// Its clock is the platform's: simulated times are counted from one moment of that.
fn at(now: Instant) -> n0_future::time::Instant {
    static BASE: OnceLock<n0_future::time::Instant> = OnceLock::new();
    *BASE.get_or_init(n0_future::time::Instant::now) + now.since(Instant::ORIGIN)
}

pub struct Iroh {
    state: State<Id, StdRng>,
    streams: Streams,
    timers: Timers<Timer<Id>>,
    now: Instant,
    neighbours: BTreeSet<Addr>,
    seeds: Vec<Id>,
    /// Time of the next attempt to join, while there is no neighbour.
    join: Instant,
    heard: BTreeMap<u64, Vec<u8>>,
    told: VecDeque<u64>,
}

/// Time between two attempts to join while nobody is there.
const AGAIN: Duration = Duration::from_secs(1);

impl Iroh {
    fn join(&mut self) {
        if self.neighbours.is_empty() && !self.seeds.is_empty() && self.join <= self.now {
            self.join = self.now + AGAIN;
            self.feed(InEvent::Command(Command::Join(self.seeds.clone())));
        }
    }

    fn feed(&mut self, event: InEvent<Id>) {
        let out: Vec<OutEvent<Id>> = self.state.handle(event, at(self.now)).collect();
        for event in out {
            match event {
                OutEvent::SendMessage(to, message) => {
                    let bytes = postcard::to_stdvec(&message).expect("its messages can be written");
                    self.streams.send(self.now, addr(&to), bytes);
                }
                OutEvent::EmitEvent(Event::NeighborUp(peer)) => _ = self.neighbours.insert(addr(&peer)),
                OutEvent::EmitEvent(Event::NeighborDown(peer)) => _ = self.neighbours.remove(&addr(&peer)),
                OutEvent::EmitEvent(Event::Received(message)) => {
                    if let Some(number) = number(&message.content) {
                        self.heard.insert(number, message.content.to_vec());
                        self.told.push_back(number);
                    }
                }
                OutEvent::ScheduleTimer(after, timer) => self.timers.after(self.now, after, timer),
                OutEvent::DisconnectPeer(peer) => self.streams.close(addr(&peer)),
                OutEvent::PeerData(..) => {}
            }
        }
    }

    fn arrived(&mut self, arrived: Vec<Arrived>) -> Result<(), String> {
        for arrived in arrived {
            match arrived {
                Arrived::Message(from, bytes) => {
                    let message: Message<Id> = postcard::from_bytes(&bytes).map_err(|error| error.to_string())?;
                    self.feed(InEvent::RecvMessage(id(from), message));
                }
                Arrived::Disconnected(peer) => self.feed(InEvent::PeerDisconnected(id(peer))),
            }
        }
        Ok(())
    }
}

impl Machine for Iroh {
    type Config = ();
    type Command = Say;
    type Event = u64;
    type Memory = ();

    fn expectations(_config: &()) -> Expectations {
        let max_skew = Duration::from_secs(5);
        Expectations { max_skew, ..Expectations::new(4_200, Duration::from_secs(1)) }
    }

    fn boot(boot: &Boot<'_, ()>, _memory: Option<()>) -> Self {
        let data = PeerData::new(Bytes::copy_from_slice(&[10, 0, 0, 1, 0x1f, 0x0a]));
        let rng = StdRng::seed_from_u64(boot.seed);
        let mut iroh = Self {
            state: State::with_rng(id(boot.addr), Some(data), Config::default(), rng),
            streams: Streams::new(boot.seed),
            timers: Timers::default(),
            now: boot.now,
            neighbours: BTreeSet::new(),
            seeds: boot.seeds.iter().filter(|&&seed| seed != boot.addr).map(|&seed| id(seed)).collect(),
            join: boot.now,
            heard: BTreeMap::new(),
            told: VecDeque::new(),
        };
        iroh.join();
        iroh
    }

    fn into_memory(self) {}

    fn command(&mut self, now: Instant, say: &Say) -> Result<(), String> {
        self.now = self.now.max(now);
        self.heard.insert(say.0, say.payload());
        self.feed(InEvent::Command(Command::Broadcast(say.payload().into(), Scope::Swarm)));
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.now = self.now.max(now);
        let result = match input {
            Input::Datagram { from, payload } => match self.streams.receive(self.now, *from, payload) {
                Ok(arrived) => self.arrived(arrived),
                Err(error) => Err(error.to_owned()),
            },
            _ => Ok(()),
        };
        while let Some(timer) = self.timers.pop(self.now) {
            self.feed(InEvent::TimerExpired(timer));
        }
        let neighbours = self.neighbours.clone();
        let arrived = self.streams.tick(self.now, |peer| neighbours.contains(&peer));
        let result = result.and(self.arrived(arrived));
        self.join();
        result
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, bytes) = self.streams.poll()?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: bytes.len(), label: "stream" })
    }

    fn poll_event(&mut self) -> Option<u64> {
        self.told.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let streams = self.streams.deadline(|peer| self.neighbours.contains(&peer));
        let join = (self.neighbours.is_empty() && !self.seeds.is_empty()).then_some(self.join);
        self.timers.next().into_iter().chain(streams).chain(join).min()
    }

    fn clock(&self, now: Instant) -> Instant {
        self.now.max(now)
    }

    fn view(&self, _cut: Instant) -> View {
        let items = self.heard.iter().map(|(number, payload)| (key(*number), ViewItem::new(1, payload)));
        View { items: items.collect(), ..View::default() }
    }

    fn note(number: &u64) -> Note {
        Note::Delivered((*number).into())
    }
}

impl Peer for Iroh {
    const NAME: &'static str = "iroh-gossip 0.101.0, over a stream that costs no handshake";
    const DETECTS: bool = false;

    fn heard(&self, number: u64) -> bool {
        self.heard.contains_key(&number)
    }

    fn joined(&self, _nodes: usize) -> bool {
        !self.neighbours.is_empty()
    }
}
