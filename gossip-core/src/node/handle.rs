//! Inputs: time, datagrams, hints. A file per family of messages has the functions for its kinds.

mod pull;
mod repair;
mod rumor;
mod swim;
mod trust;

use core::mem;

use super::{Input, Node, Phase};
use crate::address::Address;
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::Update;
use crate::wire::{self, Header, Item, Message, Rumor, Trust};

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
                let read = self.read(payload).and_then(|header| {
                    self.check_sender(now, &header, from).inspect_err(|_| self.messages.clear())?;
                    Ok(header)
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
                    Err(DatagramError::Version { .. } | DatagramError::Key { .. }) => {
                        self.stats.datagrams_foreign += 1;
                    }
                    Err(_) => self.stats.datagrams_malformed += 1,
                }
                let header = read?;
                self.advance(now);
                self.on_datagram(header, from, payload.len());
            }
            Input::Tick => {
                self.advance(now);
                self.tick();
            }
            Input::Unreachable { to } => {
                self.advance(now);
                self.detector.on_unreachable(to, self.now);
            }
        }
        Ok(())
    }

    /// Whether the datagram is whole and sound; its messages are in `messages` then.
    fn read(&mut self, payload: &[u8]) -> Result<Header, DatagramError> {
        if self.identity.phase == Phase::Left {
            return Err(DatagramError::Left);
        }
        let (header, body) = self.envelope.open(payload)?;
        wire::read(body, &mut self.messages)?;
        Ok(header)
    }

    fn on_datagram(&mut self, header: Header, from: &A, length: usize) {
        let Header { sender, incarnation, clock } = header;
        let mut messages = mem::take(&mut self.messages);
        if !self.has_proved(sender, from, &messages) {
            self.answer_stranger(sender, from, length, &messages);
            messages.clear();
            self.messages = messages;
            return;
        }
        if sender == self.identity.id {
            // A twin, or an echo of one's own: the records settle it, see `hear_of_myself`.
            messages.retain(|message| {
                let record = matches!(message, Message::Rumor(Rumor::Mail(Item::Update(_))));
                record || matches!(message, Message::Trust(Trust::Challenge { .. }))
            });
        } else {
            self.note_signal();
            self.note_clock(sender, clock);
            self.note_sender(sender, from);
            // Not in answer to the same: two who both have a twin would answer each other for ever.
            if messages.is_empty() || !messages.iter().all(|message| is_record_of(self.identity.id, message)) {
                self.give_back_record(sender, incarnation, from);
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
