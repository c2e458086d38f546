//! Inputs: time, datagrams, hints. A file per family of messages has the functions for its kinds.

mod pull;
mod repair;
mod rumor;
mod swim;
mod trust;

use core::mem;

use super::formats::reads;
use super::{Input, Node, Phase};
use crate::address::Address;
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::Update;
use crate::wire::{self, Header, Item, Message, Rumor, Swim, Trust};

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
                    let checked = self.check_sender(now, sender, &header, from);
                    #[cfg(feature = "encryption")]
                    let checked = checked.and_then(|()| self.check_replay(now, sender, &header, from));
                    checked.inspect_err(|_| self.messages.clear())?;
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
                    Err(DatagramError::Replayed) => self.stats.datagrams_replayed += 1,
                    Err(DatagramError::Unasked) => self.stats.datagrams_unasked += 1,
                    Err(
                        error @ (DatagramError::ForeignLabel
                        | DatagramError::Version { .. }
                        | DatagramError::NotUnderstood { .. }
                        | DatagramError::Key { .. }
                        | DatagramError::TooLong { .. }),
                    ) => {
                        self.stats.datagrams_foreign += 1;
                        self.gate.note_refused(error, from);
                        if matches!(error, DatagramError::TooLong { .. }) {
                            self.note_too_long(now, from);
                        }
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
                self.detector.on_unreachable(to, self.now);
            }
        }
        Ok(())
    }

    /// Returns the sender and the header if the datagram is whole and sound; its messages are in `messages` then. Otherwise
    /// what is there is nobody's, and the next datagram begins with none.
    fn read(&mut self, payload: &[u8]) -> Result<(NodeId, Header), DatagramError> {
        if self.identity.phase == Phase::Left {
            return Err(DatagramError::Left);
        }
        let (header, body) = self.envelope.open(payload)?;
        wire::read(body, &mut self.messages, reads(&self.identity))?;
        if let Some(sender) = header.sender {
            return Ok((sender, header));
        }
        // A bare ack: from one of those whose ack is waited for, or from nobody.
        let sender = match self.messages[..] {
            [Message::Swim(Swim::Ack { seq })] => {
                self.detector.awaited(seq).find(|sender| self.envelope.is_from(payload, *sender))
            }
            _ => None,
        };
        if sender.is_none() {
            self.messages.clear();
        }
        Ok((sender.ok_or(DatagramError::Unasked)?, header))
    }

    fn on_datagram(&mut self, sender: NodeId, header: &Header, from: &A, length: usize) {
        let mut messages = mem::take(&mut self.messages);
        if !self.is_trusted(sender, header, from, &messages) {
            self.answer_stranger(sender, from, length, &messages);
            messages.clear();
            self.messages = messages;
            return;
        }
        self.note_restart(sender, header, from, &messages);
        if sender == self.identity.id {
            // A twin, or an echo of one's own: the records settle it, see `hear_of_myself`.
            messages.retain(|message| {
                let record = matches!(message, Message::Rumor(Rumor::Mail(Item::Update(_))));
                record || matches!(message, Message::Trust(Trust::Challenge { .. }))
            });
        } else {
            self.note_intake();
            self.note_sender(sender, from);
            // Not in answer to a datagram that holds nothing but such a record: two nodes that each have a twin, another process
            // with their id, would answer each other without end.
            let of_this = |message: &Message<A>| is_record_of(self.identity.id, message);
            let only = messages.iter().all(|message| of_this(message) || matches!(message, Message::Trust(_)));
            if !(only && messages.iter().any(of_this)) {
                self.give_back_record(sender, header, from);
            }
        }
        if messages.iter().any(|message| is_record_of(self.identity.id, message)) {
            // Whoever speaks of this node needs no introduction; with one, two that disagree about it, as about one of
            // two twins, would answer each other for ever.
            messages.retain(|message| match message {
                Message::Trust(Trust::Challenge { cookie }) => {
                    self.trust.keep(from, *cookie);
                    false
                }
                _ => true,
            });
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
            self.on_message((sender, header.clock()), from, message);
        }
        messages.shrink_to(MESSAGES_KEPT);
        self.messages = messages;
        self.schedule_links();
        self.note_isolation();
    }

    /// Hands a message to its family. `sender` is trusted, and its wall clock said `clock`.
    fn on_message(&mut self, (sender, clock): (NodeId, Instant), from: &A, message: Message<A>) {
        match message {
            Message::Swim(message) => self.on_swim((sender, clock), from, message),
            Message::Rumor(message) => self.on_rumor(from, message),
            Message::Repair(message) => self.on_repair((sender, clock), from, message),
            Message::Pull(message) => self.on_pull(from, message),
            Message::Trust(message) => self.on_trust(sender, from, message),
            Message::Overlay(message) => self.on_overlay(sender, from, message),
            #[cfg(feature = "next")]
            Message::Next => self.on_next(),
            Message::Path(message) => self.on_path(from, message),
            Message::Unicast(message) => self.on_unicast(sender, message),
            Message::Coordinates(message) => self.on_coordinates(sender, from, message),
        }
    }
}

/// Returns true if a message is the record of this member and nothing else.
fn is_record_of<A>(id: NodeId, message: &Message<A>) -> bool {
    matches!(message, Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record)))) if record.id == id)
}
