//! What comes in: time, datagrams, hints. One function per message kind.

use core::mem;
use core::time::Duration;

use super::bounds::work;
use super::large::Heard;
use super::learn::{REHEATS, Source};
use super::{Input, Node, Phase};
use crate::address::Address;
use crate::epidemic::anti_entropy::{Brought, Summary};
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::time::Instant;
use crate::update::Update;
use crate::wire::{self, Header, Item, Message};

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
            messages.retain(|message| matches!(message, Message::Mail(Item::Update(_)) | Message::Challenge { .. }));
        } else {
            self.note_sender(sender, from);
            // Not in answer to the same: two who both have a twin would answer each other for ever.
            if messages.is_empty() || !messages.iter().all(|message| is_record_of(self.identity.id, message)) {
                self.give_back_record(sender, incarnation, from);
            }
        }
        let mut left = self.config.limits.work;
        for message in messages.drain(..) {
            match left.checked_sub(work(&message)) {
                Some(less) => left = less,
                None => {
                    self.stats.work_dropped += 1;
                    continue;
                }
            }
            self.on_message((sender, clock), from, message);
        }
        messages.shrink_to(MESSAGES_KEPT);
        self.messages = messages;
        self.note_isolation();
    }

    /// `clock`: what the sender's wall clock said.
    fn on_message(&mut self, (sender, clock): (NodeId, Instant), from: &A, message: Message<A>) {
        match message {
            Message::Ping { seq } => self.outbox.message(TrafficClass::Ack, from.clone(), Message::Ack { seq }),
            Message::Ack { seq } => {
                if let Some(trip) = self.on_ack(sender, seq) {
                    self.note_reading(sender, clock, trip);
                }
            }
            Message::PingReq { seq, target, address } => {
                let now = self.now;
                self.detector.on_ping_req(now, from, seq, (target, &address), &mut self.outbox);
            }
            Message::Nack { seq } => self.detector.on_nack(sender, seq),
            Message::Mail(Item::Update(update)) => {
                self.learn(update, Source::Rumor, Some(from));
            }
            Message::Mail(Item::Suspicion(suspicion)) => {
                self.on_suspicion(suspicion, Some(from));
            }
            Message::Mail(Item::Large(descriptor)) => {
                self.hear_of(descriptor, Source::Rumor, from);
            }
            Message::Mail(Item::Offer(_)) => {}
            Message::Rumor { number, feedback, pull, items } => self.on_rumor(from, number, (feedback, pull), items),
            Message::Feedback { number, useful, spared } => {
                let hashes = self.rumors.feedback(from, (number, useful, spared), &mut self.rng);
                if !hashes.is_empty() {
                    self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Items { hashes, mail: true, next: 0 });
                }
            }
            Message::Updates(updates) => {
                for update in updates {
                    self.learn(update, Source::Repair, Some(from));
                }
            }
            Message::Large(large) => {
                for descriptor in large {
                    self.hear_of(descriptor, Source::Repair, from);
                }
            }
            Message::Fetch { item, token, window, missing } => {
                let (transfers, mut context) = self.transfers_at_work();
                transfers.on_fetch(from, (item, token, window), missing, &mut context);
            }
            Message::Chunk { item, offset, last, bytes } => self.on_chunk(from, (item, offset, last), &bytes),
            Message::Gone { item } => {
                let (transfers, mut context) = self.transfers_at_work();
                transfers.on_gone(from, item, &mut context);
            }
            Message::Prove { item, token } => {
                let (transfers, mut context) = self.transfers_at_work();
                transfers.on_prove(from, item, token, &mut context);
            }
            Message::Page { range, last, updates, large } => {
                let mut brought = Brought { items: updates.len() + large.len(), ..Brought::default() };
                let news = updates.into_iter().filter_map(|update| self.learn(update, Source::CatchUp, Some(from)));
                brought.news = news.count();
                for descriptor in large {
                    let heard = self.hear_of(descriptor, Source::CatchUp, from);
                    brought.news += usize::from(heard == Heard::News);
                    brought.later += usize::from(heard == Heard::Later);
                }
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_page(from, range, brought, last, &mut context);
            }
            Message::Challenge { cookie } => self.on_challenge(from, cookie),
            // It has been looked at before anything else of its datagram.
            Message::Proof { .. } => {}
            Message::Summary { cut, count, fingerprint, partial, answer } => {
                let known = self.is_known(sender, from);
                let (anti_entropy, mut context) = self.anti_entropy();
                let summary = Summary { cut, count, fingerprint, partial };
                let trip = anti_entropy.on_summary(from, summary, answer, known, &mut context);
                if let Some(trip) = trip {
                    self.note_reading(sender, clock, trip);
                }
            }
            Message::Sketch { cut, range, count, exchange, tokens, sketch } => {
                // What this exchange repairs here is as much news as what one begun here does; it begins with the first range.
                if range.first() == 0 {
                    self.reheats = REHEATS;
                }
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_sketch(from, (cut, range, count), exchange, tokens, &sketch, &mut context);
            }
            Message::Split { range, count, estimate } => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_split(from, range, (count, estimate), &mut context);
            }
            Message::Decoded { range, found, want, rivals } => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_decoded(from, range, found, (&want, &rivals), &mut context);
            }
            Message::Want { token, keys } => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_want(from, token, &keys, &mut context);
            }
            Message::Pull { cut, token, window, ranges } => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_pull(from, cut, token, (window, ranges), &mut context);
            }
        }
    }

    /// Takes an ack in. Returns the round trip if the sender answered this node's own ping.
    pub(super) fn on_ack(&mut self, sender: NodeId, seq: u32) -> Option<Duration> {
        self.detector.on_ack(self.now, sender, seq, &mut self.outbox)
    }
}

/// Whether a message says what is known of this member, and no more.
fn is_record_of<A>(id: NodeId, message: &Message<A>) -> bool {
    matches!(message, Message::Mail(Item::Update(Update::Member(record))) if record.id == id)
}
