//! Inputs: time, datagrams, hints. A file per family of messages has the functions for its kinds.

mod pull;
mod repair;
mod rumor;
mod swim;
mod trust;

use core::mem;

use super::{Input, Node, Phase};
use crate::address::Address;
use crate::config::Membership;
use crate::error::DatagramError;
use crate::event::Status;
use crate::id::NodeId;
use crate::members::Seen;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::time::Instant;
use crate::update::{Standing, Update};
use crate::wire::{self, Header, Item, Message, Rumor, Suspicion, Swim, Trust};

/// Room for so many messages is kept from one datagram to the next: few have more, and those who have come in storms.
const MESSAGES_KEPT: usize = 8;

impl<A: Address> Node<A> {
    /// Takes an input in.
    ///
    /// # Errors
    /// A datagram that is refused whole: nothing has changed but a counter. It is the peer's fault, or that of the
    /// network between; most drivers do nothing about it.
    pub fn handle(&mut self, now: Instant, input: Input<'_, A>) -> Result<(), DatagramError> {
        match input {
            Input::Datagram { from, payload } => {
                let read = self.read(payload).and_then(|(sender, header)| {
                    self.check_sender(now, sender, &header, from).inspect_err(|_| self.messages.clear())?;
                    Ok((sender, header))
                });
                match &read {
                    Ok(_) => {
                        self.stats.datagrams_received += 1;
                        self.stats.bytes_received += payload.len() as u64;
                    }
                    Err(DatagramError::Left) => self.stats.datagrams_after_leaving += 1,
                    Err(DatagramError::NotAdmitted) => self.stats.datagrams_not_admitted += 1,
                    Err(DatagramError::TooOld { .. }) => self.stats.datagrams_too_old += 1,
                    Err(DatagramError::ForeignLabel) => {
                        self.stats.datagrams_foreign += 1;
                        self.gate.note_foreign(from);
                    }
                    Err(DatagramError::Unasked) => self.stats.datagrams_unasked += 1,
                    Err(
                        DatagramError::Version { .. } | DatagramError::NotUnderstood { .. } | DatagramError::Key { .. },
                    ) => {
                        self.stats.datagrams_foreign += 1;
                    }
                    Err(_) => self.stats.datagrams_malformed += 1,
                }
                let (sender, header) = read?;
                self.advance(now);
                self.on_datagram(sender, &header, from, payload.len());
            }
            Input::Tick => {
                self.advance(now);
                self.tick();
            }
            Input::Unreachable { to } => {
                self.advance(now);
                self.prober.on_unreachable(to, self.now);
            }
        }
        Ok(())
    }

    /// Returns the sender and the header if the datagram is whole and sound; its messages are in `messages` then.
    fn read(&mut self, payload: &[u8]) -> Result<(NodeId, Header), DatagramError> {
        if self.phase == Phase::Left {
            return Err(DatagramError::Left);
        }
        let (header, body) = self.envelope.open(payload)?;
        wire::read(body, &mut self.messages)?;
        if let Some(sender) = header.sender {
            return Ok((sender, header));
        }
        // A bare ack: from one of those whose ack is waited for, or from nobody.
        let sender = match self.messages[..] {
            [Message::Swim(Swim::Ack { seq })] => {
                self.prober.awaited(seq).find(|sender| self.envelope.is_from(payload, *sender))
            }
            _ => None,
        };
        if sender.is_none() {
            self.messages.clear();
        }
        Ok((sender.ok_or(DatagramError::Unasked)?, header))
    }

    /// Time never runs backwards here. The first that is told begins this node's life.
    pub(super) fn advance(&mut self, now: Instant) {
        let gap = now.since(self.now);
        self.now = self.now.max(now);
        if gap > self.config.lifetimes.certificate {
            // A process that was suspended: nothing of what it knew may leave it before it has asked.
            self.end_absence(gap);
        }
        if self.phase == Phase::Unborn {
            self.start();
        }
    }

    fn tick(&mut self) {
        if self.phase == Phase::Left {
            return;
        }
        let clock = self.clock.now(self.now);
        if self.replica.next_due().is_some_and(|due| due <= clock) {
            for id in self.replica.advance(clock) {
                if let Some(seen) = self.members.forget(id) {
                    self.suspicions.end(id);
                    self.events.member(id, Some(seen.status), false);
                }
            }
            self.note_touched();
        }
        if self.config.membership == Membership::Probed && self.phase == Phase::Running {
            self.tick_swim();
        }
        let wanted = self.rumors.partners_wanted(self.now);
        if wanted > 0 {
            let partners = self.random_peers(wanted);
            self.rumors.hold_rounds(self.now, &partners, &mut self.outbox);
        }
        self.tick_anti_entropy();
        self.tick_transfers();
        self.tick_bounds();
        if let Some(address) = self.gate.take_foreign(self.now) {
            self.events.foreign_cluster(address);
        }
        self.tick_leaving();
        self.note_isolation();
        self.tick_contacts();
    }

    fn tick_swim(&mut self) {
        let Self { prober, health, members, replica, outbox, rng, .. } = self;
        let mut context = crate::swim::Context { now: self.now, own: self.id, members, replica, outbox, rng };
        let begun = prober.begun();
        let silent = prober.tick(health, &mut context);
        if prober.begun() > begun
            && let Some(pinged) = prober.pinged().cloned()
            && self.anti_entropy.rides_on_ping()
        {
            self.begin_exchange(&pinged);
        }
        if let Some(silent) = silent {
            self.stats.probes_failed += 1;
            self.suspect(silent);
        }
        while let Some(due) = self.suspicions.pop_due(self.now) {
            match due {
                crate::swim::Due::Warning(id) => self.warn(id),
                crate::swim::Due::End(id) => self.declare_dead(id),
            }
        }
    }

    fn tick_anti_entropy(&mut self) {
        if self.anti_entropy.begins(self.now, &mut self.rng) && self.phase == Phase::Running {
            // At rest a summary rides on the next ping, which goes to a member as random as any and costs a header.
            let pings = self.config.membership == Membership::Probed && self.health.value() == 0;
            if pings && self.members.peers() > 0 && self.anti_entropy.is_calm() {
                self.anti_entropy.wait_for_ping();
            } else if let Some(peer) = self.random_peers(1).first() {
                self.begin_exchange(peer);
            }
        }
        let (anti_entropy, mut context) = self.anti_entropy();
        anti_entropy.retry(&mut context);
    }

    fn on_datagram(&mut self, sender: NodeId, header: &Header, from: &A, length: usize) {
        let mut messages = mem::take(&mut self.messages);
        if !self.has_proved(sender, from, &messages) {
            self.answer_stranger(sender, from, length, &messages);
            messages.clear();
            self.messages = messages;
            return;
        }
        if sender == self.id {
            // A twin, or an echo of one's own: the records settle it, see `hear_of_myself`.
            messages.retain(|message| {
                let record = matches!(message, Message::Rumor(Rumor::Mail(Item::Update(_))));
                record || matches!(message, Message::Trust(Trust::Challenge { .. }))
            });
        } else {
            self.note_signal();
            self.note_clock(sender, header.clock());
            self.note_sender(sender, from);
            // Not in answer to the same: two who both have a twin would answer each other for ever.
            if messages.is_empty() || !messages.iter().all(|message| is_record_of(self.id, message)) {
                self.give_back_record(sender, header, from);
            }
        }
        let mut left = self.config.limits.work;
        for message in messages.drain(..) {
            match left.checked_sub(message.work()) {
                Some(less) => left = less,
                None => {
                    self.stats.work_dropped += 1;
                    continue;
                }
            }
            self.on_message(sender, from, message);
        }
        messages.shrink_to(MESSAGES_KEPT);
        self.messages = messages;
        self.note_isolation();
    }

    fn note_clock(&mut self, sender: NodeId, clock: Instant) {
        let bound = self.config.lifetimes.max_ahead;
        if let Some(median) = self.peer_clocks.note(sender, clock, self.now, bound) {
            self.events.clock_wrong(median, self.now);
            self.clock.observe(median, 0);
        }
        if clock <= self.peer_clocks.horizon(self.now, bound) {
            self.clock.observe(clock, 0);
        }
    }

    /// A sender who seems not to know what is said of it gets to know: also of a suspicion whose rumor has cooled, perhaps
    /// while there was no way between the two. (While it is hot it gets there by itself; told at every datagram, a
    /// cluster with losses would speak of little else.)
    fn give_back_record(&mut self, sender: NodeId, header: &Header, from: &A) {
        let seen = self.members.get(sender);
        let incarnation = seen.map_or(0, |seen| seen.incarnation);
        let suspected = |seen: Seen| seen.status == Status::Suspect && header.agrees(incarnation, Standing::Alive);
        let is_hot = |accuser: &NodeId| {
            let suspicion = Suspicion { about: sender, incarnation, accuser: *accuser };
            self.rumors.is_hot(&HotKey::Opinion(suspicion))
        };
        if self.config.probe.buddy
            && seen.is_some_and(suspected)
            && !self.suspicions.accusers(sender).iter().any(is_hot)
        {
            let suspicion = Suspicion { about: sender, incarnation, accuser: self.id };
            self.outbox.message(TrafficClass::Ack, from.clone(), Rumor::Mail(Item::Suspicion(suspicion)));
        }
        let Some(record) = self.replica.member(sender) else { return };
        if !header.agrees(record.incarnation, record.standing) {
            let key = self.replica.hasher.member(sender);
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(key));
        }
    }

    /// Hands a message to its family. `sender` has proved that it receives at `from`.
    fn on_message(&mut self, sender: NodeId, from: &A, message: Message<A>) {
        match message {
            Message::Swim(message) => self.on_swim(sender, from, message),
            Message::Rumor(message) => self.on_rumor(from, message),
            Message::Repair(message) => self.on_repair(sender, from, message),
            Message::Pull(message) => self.on_pull(from, message),
            Message::Trust(message) => self.on_trust(from, message),
        }
    }
}

/// Whether a message says what is known of this member, and no more.
fn is_record_of<A>(id: NodeId, message: &Message<A>) -> bool {
    matches!(message, Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record)))) if record.id == id)
}
