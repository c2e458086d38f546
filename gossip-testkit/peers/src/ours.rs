//! This library, with its LAN preset.

use gossip_core::{Config, Input, Instant, Node, Status};
use gossip_testkit::{Addr, Boot, Expectations, Machine, Note, Outgoing, View, ViewItem};

use crate::say::{Peer, Say, key, number};

pub struct Ours {
    node: Node<Addr>,
    heard: View,
}

#[derive(Debug, Clone)]
pub struct Lan(Config);

impl Default for Lan {
    fn default() -> Self {
        Self(Config::lan())
    }
}

impl Machine for Ours {
    type Config = Lan;
    type Command = Say;
    type Event = <Node<Addr> as Machine>::Event;
    /// None of them restarts with memory: some have nothing to keep.
    type Memory = ();

    fn expectations(Lan(config): &Lan) -> Expectations {
        <Node<Addr> as Machine>::expectations(config)
    }

    fn boot(boot: &Boot<'_, Lan>, _memory: Option<()>) -> Self {
        let node = Machine::boot(&boot.with_config(&boot.config.0), None);
        Self { node, heard: View::default() }
    }

    fn into_memory(self) {}

    fn set_wall_clock(&mut self, now: Instant, wall: Instant) {
        Machine::set_wall_clock(&mut self.node, now, wall);
    }

    fn command(&mut self, now: Instant, say: &Say) -> Result<(), String> {
        self.node.broadcast(now, &say.payload()).map_err(|error| error.to_string())?;
        self.heard.items.insert(key(say.0), ViewItem::new(1, say.payload()));
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        Machine::handle(&mut self.node, now, input)
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        Machine::poll_transmit(&mut self.node, buffer)
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        let event = Machine::poll_event(&mut self.node)?;
        if let gossip_core::Event::Broadcast { payload, .. } = &event
            && let Some(number) = number(payload)
        {
            self.heard.items.insert(key(number), ViewItem::new(1, payload));
        }
        Some(event)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Machine::poll_timeout(&self.node)
    }

    /// What its user has received, not what it keeps: as for the others.
    fn view(&self, cut: Instant) -> View {
        View { items: self.heard.items.clone(), members: Machine::view(&self.node, cut).members }
    }

    fn opinion(&self, of: Addr) -> Option<Status> {
        Machine::opinion(&self.node, of)
    }

    fn note(event: &Self::Event) -> Note {
        <Node<Addr> as Machine>::note(event)
    }
}

impl Peer for Ours {
    const NAME: &'static str = "gossip-core of this checkout";
    const DETECTS: bool = true;

    fn heard(&self, number: u64) -> bool {
        self.heard.items.contains_key(&key(number))
    }

    fn joined(&self, nodes: usize) -> bool {
        self.node.live_members() >= nodes
    }
}
