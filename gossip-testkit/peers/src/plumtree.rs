//! The crates hyparview and plumtree together, each with its default options, over simulated streams.
//!
//! The driver is made after plumcast, which their author made of them: the views are shuffled every 300 s, synchronised
//! every 60 s and filled every 30 s, in random phases. They have no full membership and no failure detector: an end of a
//! stream is what they hear of a crash. Who has no neighbour joins again every second. The sender of a message is the
//! stream's, and takes no bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gossip_core::{Input, Instant};
use gossip_testkit::{Addr, Boot, Expectations, Machine, Note, Outgoing, View, ViewItem};
use hyparview::TimeToLive;
use hyparview::message as views;
use plumtree::System;
use plumtree::message::{self as tree, Message};
use rand_06::rngs::StdRng;
use rand_06::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::say::{Peer, Say, key};
use crate::stream::{Arrived, Streams};
use crate::timers::Timers;

struct Messages;

impl System for Messages {
    type NodeId = u32;
    type MessageId = u64;
    type MessagePayload = Vec<u8>;
}

/// Messages of both.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Wire {
    Join,
    ForwardJoin { new_node: u32, ttl: u8 },
    Neighbor { high_priority: bool },
    Shuffle { origin: u32, nodes: Vec<u32>, ttl: u8 },
    ShuffleReply { nodes: Vec<u32> },
    Disconnect { alive: bool },
    Gossip { id: u64, payload: Vec<u8>, round: u16 },
    Ihave { id: u64, round: u16, realtime: bool },
    Graft { id: Option<u64>, round: u16 },
    Prune,
}

impl From<views::ProtocolMessage<u32>> for Wire {
    fn from(message: views::ProtocolMessage<u32>) -> Self {
        use views::ProtocolMessage as From;
        match message {
            From::Join(_) => Self::Join,
            From::ForwardJoin(m) => Self::ForwardJoin { new_node: m.new_node, ttl: m.ttl.as_u8() },
            From::Neighbor(m) => Self::Neighbor { high_priority: m.high_priority },
            From::Shuffle(m) => Self::Shuffle { origin: m.origin, nodes: m.nodes, ttl: m.ttl.as_u8() },
            From::ShuffleReply(m) => Self::ShuffleReply { nodes: m.nodes },
            From::Disconnect(m) => Self::Disconnect { alive: m.alive },
        }
    }
}

impl From<tree::ProtocolMessage<Messages>> for Wire {
    fn from(message: tree::ProtocolMessage<Messages>) -> Self {
        use tree::ProtocolMessage as From;
        match message {
            From::Gossip(m) => Self::Gossip { id: m.message.id, payload: m.message.payload, round: m.round },
            From::Ihave(m) => Self::Ihave { id: m.message_id, round: m.round, realtime: m.realtime },
            From::Graft(m) => Self::Graft { id: m.message_id, round: m.round },
            From::Prune(_) => Self::Prune,
        }
    }
}

/// Work that a driver does from time to time.
#[derive(Debug, Copy, Clone)]
enum Timer {
    Shuffle,
    Synchronise,
    Fill,
}

impl Timer {
    const ALL: [Self; 3] = [Self::Shuffle, Self::Synchronise, Self::Fill];

    const fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Shuffle => 300,
            Self::Synchronise => 60,
            Self::Fill => 30,
        })
    }
}

/// Time between two attempts to join while nobody is there.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Plum {
    views: hyparview::Node<u32, StdRng>,
    tree: plumtree::Node<Messages>,
    /// Time at which the tree's clock stood at zero.
    origin: Instant,
    streams: Streams,
    timers: Timers<Timer>,
    dice: StdRng,
    now: Instant,
    seeds: Vec<u32>,
    join: Instant,
    heard: BTreeMap<u64, Vec<u8>>,
    told: VecDeque<u64>,
}

impl Plum {
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let clock = self.tree.clock_mut();
        let before = clock.now().as_duration();
        clock.tick(self.now.since(self.origin).saturating_sub(before));
    }

    fn is_neighbour(&self, peer: Addr) -> bool {
        self.views.active_view().contains(&peer.0)
    }

    fn send(&mut self, to: u32, message: &Wire) {
        let bytes = postcard::to_stdvec(message).expect("numbers and bytes can be written");
        self.streams.send(self.now, Addr(to), bytes);
    }

    /// Carries out what both have asked for.
    fn carry_out(&mut self) {
        loop {
            let mut nothing = true;
            while let Some(action) = self.views.poll_action() {
                nothing = false;
                match action {
                    hyparview::Action::Send { destination, message } => self.send(destination, &message.into()),
                    hyparview::Action::Notify { event: hyparview::Event::NeighborUp { node } } => {
                        self.tree.handle_neighbor_up(&node);
                    }
                    hyparview::Action::Notify { event: hyparview::Event::NeighborDown { node } } => {
                        self.tree.handle_neighbor_down(&node);
                    }
                    // The stream is left to its end, as plumcast does: a disconnect is under way on it.
                    hyparview::Action::Disconnect { .. } => {}
                }
            }
            let mut sends = Vec::new();
            while let Some(action) = self.tree.poll_action() {
                nothing = false;
                match action {
                    plumtree::Action::Send { destination, message } => sends.push((destination, Wire::from(message))),
                    plumtree::Action::Deliver { message } => {
                        self.heard.insert(message.id, message.payload);
                        self.told.push_back(message.id);
                    }
                }
            }
            // Its peers are in hash sets, whose order is another in every process.
            sends.sort_by_cached_key(|(to, message)| (*to, postcard::to_stdvec(message).unwrap_or_default()));
            for (to, message) in sends {
                self.send(to, &message);
            }
            if nothing {
                return;
            }
        }
    }

    fn take(&mut self, sender: u32, message: Wire) {
        let overlay = match message {
            Wire::Join => Some(views::ProtocolMessage::Join(views::JoinMessage { sender })),
            Wire::ForwardJoin { new_node, ttl } => {
                let ttl = TimeToLive::new(ttl);
                Some(views::ProtocolMessage::ForwardJoin(views::ForwardJoinMessage { sender, new_node, ttl }))
            }
            Wire::Neighbor { high_priority } => {
                Some(views::ProtocolMessage::Neighbor(views::NeighborMessage { sender, high_priority }))
            }
            Wire::Shuffle { origin, nodes, ttl } => {
                let ttl = TimeToLive::new(ttl);
                Some(views::ProtocolMessage::Shuffle(views::ShuffleMessage { sender, origin, nodes, ttl }))
            }
            Wire::ShuffleReply { nodes } => {
                Some(views::ProtocolMessage::ShuffleReply(views::ShuffleReplyMessage { sender, nodes }))
            }
            Wire::Disconnect { alive } => {
                Some(views::ProtocolMessage::Disconnect(views::DisconnectMessage { sender, alive }))
            }
            Wire::Gossip { id, payload, round } => {
                let message = Message::new(id, payload);
                self.hear(tree::GossipMessage { sender, message, round }.into())
            }
            Wire::Ihave { id, round, realtime } => {
                self.hear(tree::IhaveMessage { sender, message_id: id, round, realtime }.into())
            }
            Wire::Graft { id, round } => self.hear(tree::GraftMessage { sender, message_id: id, round }.into()),
            Wire::Prune => self.hear(tree::PruneMessage { sender }.into()),
        };
        if let Some(message) = overlay {
            self.views.handle_protocol_message(message);
        }
        self.carry_out();
    }

    /// Gives the tree a message. It ignores those of peers that are no neighbours.
    fn hear(&mut self, message: tree::ProtocolMessage<Messages>) -> Option<views::ProtocolMessage<u32>> {
        self.tree.handle_protocol_message(message);
        None
    }

    fn arrived(&mut self, arrived: Vec<Arrived>) -> Result<(), String> {
        for arrived in arrived {
            match arrived {
                Arrived::Message(from, bytes) => {
                    let message = postcard::from_bytes(&bytes).map_err(|error| error.to_string())?;
                    self.take(from.0, message);
                }
                Arrived::Disconnected(peer) => {
                    self.views.disconnect(&peer.0, false);
                    self.carry_out();
                }
            }
        }
        Ok(())
    }

    fn join(&mut self) {
        if !self.views.active_view().is_empty() || self.seeds.is_empty() || self.now < self.join {
            return;
        }
        self.join = self.now + AGAIN;
        for seed in self.seeds.clone() {
            self.views.join(seed);
        }
        self.carry_out();
    }

    fn set(&mut self, timer: Timer) {
        // From half of the interval to one and a half, as plumcast's.
        let half = timer.interval() / 2;
        let random = Duration::from_micros(self.dice.gen_range(0, timer.interval().as_micros() as u64));
        self.timers.after(self.now, half + random, timer);
    }

    fn timers(&mut self) {
        while let Some(timer) = self.timers.pop(self.now) {
            match timer {
                Timer::Shuffle => self.views.shuffle_passive_view(),
                Timer::Synchronise => self.views.sync_active_view(),
                Timer::Fill => self.views.fill_active_view(),
            }
            self.set(timer);
        }
        self.carry_out();
    }
}

impl Machine for Plum {
    type Config = ();
    type Command = Say;
    type Event = u64;
    type Memory = ();

    fn expectations(_config: &()) -> Expectations {
        let max_skew = Duration::from_secs(5);
        Expectations { max_skew, ..Expectations::new(4_200, Duration::from_secs(1)) }
    }

    fn boot(boot: &Boot<'_, ()>, _memory: Option<()>) -> Self {
        let me = boot.addr.0;
        let mut plum = Self {
            views: hyparview::Node::new(me, StdRng::seed_from_u64(boot.seed)),
            tree: plumtree::Node::new(me),
            origin: boot.now,
            streams: Streams::new(boot.seed),
            timers: Timers::default(),
            dice: StdRng::seed_from_u64(boot.seed ^ 1),
            now: boot.now,
            seeds: boot.seeds.iter().map(|seed| seed.0).filter(|&seed| seed != me).collect(),
            join: boot.now,
            heard: BTreeMap::new(),
            told: VecDeque::new(),
        };
        for timer in Timer::ALL {
            plum.set(timer);
        }
        plum.join();
        plum
    }

    fn into_memory(self) {}

    fn command(&mut self, now: Instant, say: &Say) -> Result<(), String> {
        self.advance(now);
        self.tree.broadcast_message(Message::new(say.0, say.payload()));
        self.carry_out();
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.advance(now);
        let result = match input {
            Input::Datagram { from, payload } => match self.streams.receive(self.now, *from, payload) {
                Ok(arrived) => self.arrived(arrived),
                Err(error) => Err(error.to_owned()),
            },
            _ => Ok(()),
        };
        self.timers();
        let neighbours = self.views.active_view().to_vec();
        let arrived = self.streams.tick(self.now, |peer| neighbours.contains(&peer.0));
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
        let streams = self.streams.deadline(|peer| self.is_neighbour(peer));
        let tree = self.tree.next_expiry_time().map(|at| self.origin + at.as_duration());
        let join = (self.views.active_view().is_empty() && !self.seeds.is_empty()).then_some(self.join);
        self.timers.next().into_iter().chain(streams).chain(tree).chain(join).min()
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

impl Peer for Plum {
    const NAME: &'static str = "hyparview 0.1.3 and plumtree 0.1.1, over a stream that costs no handshake";
    const DETECTS: bool = false;

    fn heard(&self, number: u64) -> bool {
        self.heard.contains_key(&number)
    }

    fn joined(&self, _nodes: usize) -> bool {
        !self.views.active_view().is_empty()
    }
}
