//! foca with its recommended profile for a LAN, `Config::new_lan`.
//!
//! Identities are an address and a generation that grows when a node is declared down. Messages are custom broadcasts.
//! foca leaves it to its user to announce again while it has no live peer: this one does so every second.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use foca::{BroadcastHandler, Config, Foca, Identity, Invalidates, Notification, PostcardCodec, Runtime, Timer};
use gossip_core::{Input, Instant, Status};
use gossip_testkit::{Addr, Boot, Expectations, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use crate::say::{Peer, Say, key, number};
use crate::timers::Timers;

#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    addr: u32,
    generation: u16,
}

impl Identity for Id {
    type Addr = u32;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> u32 {
        self.addr
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.generation > other.generation
    }
}

pub struct Key(u64);

impl Invalidates for Key {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[derive(Debug)]
pub struct NoNumber;

impl fmt::Display for NoNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a broadcast without a number")
    }
}

impl std::error::Error for NoNumber {}

/// Messages received, shared with foca's handler.
#[derive(Default)]
struct Inbox {
    heard: BTreeMap<u64, Vec<u8>>,
    new: VecDeque<u64>,
}

pub struct Handler(Rc<RefCell<Inbox>>);

impl BroadcastHandler<Id> for Handler {
    type Key = Key;
    type Error = NoNumber;

    fn receive_item(&mut self, data: &[u8], _sender: Option<&Id>) -> Result<Option<Key>, NoNumber> {
        let number = number(data).ok_or(NoNumber)?;
        let mut inbox = self.0.borrow_mut();
        if inbox.heard.contains_key(&number) {
            return Ok(None);
        }
        inbox.heard.insert(number, data.to_vec());
        inbox.new.push_back(number);
        Ok(Some(Key(number)))
    }
}

/// What foca asks of its driver, collected.
#[derive(Default)]
struct Out {
    now: Instant,
    send: VecDeque<(u32, Vec<u8>)>,
    timers: Timers<Timer<Id>>,
    told: VecDeque<Told>,
    active: bool,
}

/// An event of foca, or a message.
#[derive(Debug)]
pub enum Told {
    Member(u32, Status),
    Message(u64),
}

impl Runtime<Id> for Out {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        match notification {
            Notification::MemberUp(id) => self.told.push_back(Told::Member(id.addr, Status::Alive)),
            Notification::MemberDown(id) => self.told.push_back(Told::Member(id.addr, Status::Dead)),
            Notification::Active => self.active = true,
            Notification::Idle | Notification::Rejoin(_) => self.active = false,
            _ => {}
        }
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        self.send.push_back((to.addr, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Id>, after: Duration) {
        self.timers.after(self.now, after, timer);
    }
}

/// Time between two announcements while nobody is there.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Foca2 {
    foca: Foca<Id, PostcardCodec, SmallRng, Handler>,
    me: Addr,
    seeds: Vec<Addr>,
    out: Out,
    inbox: Rc<RefCell<Inbox>>,
    announce: Instant,
}

impl Foca2 {
    fn announce(&mut self) {
        if self.out.active || self.out.now < self.announce {
            return;
        }
        self.announce = self.out.now + AGAIN;
        let known = self.foca.iter_members().next().map(|member| member.id().addr);
        let seeds: BTreeSet<u32> =
            self.seeds.iter().map(|seed| seed.0).chain(known).filter(|&of| of != self.me.0).collect();
        for addr in seeds {
            // An announcement that cannot be sent is tried again.
            let _ = self.foca.announce(Id { addr, generation: 0 }, &mut self.out);
        }
    }

    fn timers(&mut self) {
        while let Some(timer) = self.out.timers.pop(self.out.now) {
            // Refused timers are those of an identity that was given up.
            let _ = self.foca.handle_timer(timer, &mut self.out);
        }
        self.announce();
    }
}

impl Machine for Foca2 {
    type Config = ();
    type Command = Say;
    type Event = Told;
    type Memory = ();

    fn expectations(_config: &()) -> Expectations {
        Expectations {
            max_skew: Duration::from_secs(5),
            membership: MemberKnowledge::Detected,
            ..Expectations::new(1_400, Duration::from_secs(1))
        }
    }

    fn boot(boot: &Boot<'_, ()>, _memory: Option<()>) -> Self {
        let inbox = Rc::<RefCell<Inbox>>::default();
        let size = NonZeroU32::new(boot.nodes.len() as u32).expect("it is one of them");
        // A process that starts again has another generation, as its clock says.
        let generation = (boot.now.as_micros() / 1_000_000) as u16;
        let foca = Foca::with_custom_broadcast(
            Id { addr: boot.addr.0, generation },
            Config::new_lan(size),
            SmallRng::seed_from_u64(boot.seed),
            PostcardCodec,
            Handler(inbox.clone()),
        );
        let out = Out { now: boot.now, ..Out::default() };
        let mut machine = Self { foca, me: boot.addr, seeds: boot.seeds.to_vec(), out, inbox, announce: boot.now };
        machine.announce();
        machine
    }

    fn into_memory(self) {}

    fn command(&mut self, now: Instant, say: &Say) -> Result<(), String> {
        self.out.now = self.out.now.max(now);
        self.foca.add_broadcast(&say.payload()).map_err(|error| error.to_string())?;
        // At once, without waiting for the next of its gossip ticks.
        self.foca.broadcast(&mut self.out).map_err(|error| error.to_string())?;
        self.inbox.borrow_mut().heard.insert(say.0, say.payload());
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.out.now = self.out.now.max(now);
        let result = match input {
            Input::Datagram { payload, .. } => self.foca.handle_data(payload, &mut self.out),
            _ => Ok(()),
        };
        self.timers();
        result.map_err(|error| error.to_string())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, data) = self.out.send.pop_front()?;
        buffer[..data.len()].copy_from_slice(&data);
        Some(Outgoing { to: Addr(to), len: data.len(), label: "foca" })
    }

    fn poll_event(&mut self) -> Option<Told> {
        let message = self.inbox.borrow_mut().new.pop_front();
        message.map(Told::Message).or_else(|| self.out.told.pop_front())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let announce = (!self.out.active).then_some(self.announce);
        self.out.timers.next().into_iter().chain(announce).min()
    }

    fn clock(&self, now: Instant) -> Instant {
        self.out.now.max(now)
    }

    fn view(&self, _cut: Instant) -> View {
        let heard = &self.inbox.borrow().heard;
        let items = heard.iter().map(|(number, payload)| (key(*number), ViewItem::new(1, payload)));
        let others = self.foca.iter_members().map(|member| Addr(member.id().addr));
        let members = others.chain([self.me]).map(|addr| (addr, Status::Alive));
        View { items: items.collect(), members: members.collect() }
    }

    fn note(told: &Told) -> Note {
        match told {
            Told::Member(of, status) => Note::Member { of: Addr(*of), was: None, status: *status },
            Told::Message(number) => Note::Delivered((*number).into()),
        }
    }
}

impl Peer for Foca2 {
    const NAME: &'static str = "foca 2.0.0";
    const DETECTS: bool = true;

    fn heard(&self, number: u64) -> bool {
        self.inbox.borrow().heard.contains_key(&number)
    }

    fn joined(&self, nodes: usize) -> bool {
        self.foca.num_members() + 1 >= nodes
    }
}
