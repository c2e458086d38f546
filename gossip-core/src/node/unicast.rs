//! Messages to one member. Nothing is sent to an address that is not in the record of a living member.

use core::time::Duration;

use super::events::Message as Delivered;
use super::query::reply;
use super::{Node, Phase};
use crate::address::Address;
use crate::error::SendError;
use crate::event::Status;
use crate::id::NodeId;
use crate::outbox::TrafficClass;
use crate::query::QueryId;
use crate::time::Instant;
use crate::unicast::{Arrival, Busy, DeliveryId, GivenUp};
use crate::update::Payload;
use crate::wire::{Content, Message, OVERHEAD, Post, Unicast};

/// Bytes of a post besides its payload: tags, session, number, the stamp of a query, the length.
const HEAD: usize = 2 + 4 + 5 + 10 + 5 + 8 + 3;
/// Round trips that a receipt is waited for before a message is repeated: one, and as much again for a busy receiver.
const TRIPS: u32 = 2;
/// Shortest pause before a message is repeated.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

impl From<Busy> for SendError {
    fn from(Busy { held, limit }: Busy) -> Self {
        Self::Busy { held, limit }
    }
}

impl<A: Address> Node<A> {
    /// Sends a message to one member, best effort: it may be lost, or come twice. The receiver gets
    /// [`Event::Unicast`](crate::Event::Unicast). `payload`: what fits a datagram, see
    /// [`largest_message`](Self::largest_message).
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send(&mut self, now: Instant, to: NodeId, payload: &[u8]) -> Result<(), SendError> {
        let address = self.may_send(now, to, payload)?;
        let payload = Payload(payload.into());
        match address {
            None => self.events.message(Delivered::Unicast(to, payload)),
            Some(address) => {
                self.outbox.message(TrafficClass::Unicast, address, Unicast::Note { payload: payload.0 });
            }
        }
        Ok(())
    }

    /// Sends a message to one member, and repeats it until the receiver has taken it in, which it does once, or `within` is
    /// over. [`Event::Delivered`](crate::Event::Delivered) tells which. Several messages may arrive in any order.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_acknowledged(
        &mut self,
        now: Instant,
        to: NodeId,
        payload: &[u8],
        within: Duration,
    ) -> Result<DeliveryId, SendError> {
        let address = self.may_send(now, to, payload)?;
        let id = self.unicasts.next_delivery();
        let payload = Payload(payload.into());
        if address.is_none() {
            self.events.message(Delivered::Unicast(to, payload));
            self.events.message(Delivered::Delivered { id, to, received: true });
            return Ok(id);
        }
        self.post(to, Content::Payload(payload.0), Some(id), within)?;
        Ok(id)
    }

    /// Returns the length in bytes of the largest message to one member, and of the largest answer to a query.
    pub const fn largest_message(&self) -> usize {
        self.config.max_datagram - OVERHEAD - HEAD
    }

    /// Checks the size of a message to a member at this address, to which the path may be narrow.
    pub(super) fn check_size(&self, size: usize, to: Option<&A>) -> Result<(), SendError> {
        let shorter = to.map_or(0, |to| self.paths.shorter_by(to));
        let largest = self.largest_message().saturating_sub(shorter);
        if size > largest { Err(SendError::TooLarge { size, largest }) } else { Ok(()) }
    }

    /// Returns the address of a receiver; none if it is this node.
    fn may_send(&mut self, now: Instant, to: NodeId, payload: &[u8]) -> Result<Option<A>, SendError> {
        self.advance(now);
        if !self.identity.is_running() {
            return Err(SendError::Left);
        }
        if to == self.identity.id {
            return self.check_size(payload.len(), None).map(|()| None);
        }
        let address = self.correspondent(to).ok_or(SendError::NoMember { id: to })?;
        self.check_size(payload.len(), Some(&address))?;
        Ok(Some(address))
    }

    /// Returns the address of a living member.
    pub(super) fn correspondent(&self, id: NodeId) -> Option<A> {
        let lives = |status| matches!(status, Status::Alive | Status::Suspect);
        self.detector.members().get(id).filter(|seen| lives(seen.status))?;
        self.replica.member(id).map(|record| record.address.clone())
    }

    /// Sends a post to a living member.
    pub(super) fn post(
        &mut self,
        to: NodeId,
        content: Content,
        delivery: Option<DeliveryId>,
        within: Duration,
    ) -> Result<(), SendError> {
        let Some(address) = self.correspondent(to) else { return Err(SendError::NoMember { id: to }) };
        let trip = self.detector.members().trip(to).map(|trip| TRIPS * trip);
        let pause = trip.unwrap_or(self.config.probe.timeout / 2).max(SHORTEST_PAUSE);
        let post = self.unicasts.post(self.now, to, content, delivery, (pause, within), &mut self.rng)?;
        self.outbox.message(TrafficClass::Unicast, address, Unicast::Post(post));
        Ok(())
    }

    pub(super) fn on_unicast(&mut self, sender: NodeId, message: Unicast) {
        // The address in its record, not that of the datagram, which may be anybody's.
        let Some(address) = self.correspondent(sender) else {
            self.stats.unicasts_refused += 1;
            return;
        };
        match message {
            // A flood of them pushes out nothing else.
            Unicast::Note { .. } if self.events.is_full() => self.stats.unicasts_refused += 1,
            Unicast::Note { payload } => self.events.message(Delivered::Unicast(sender, Payload(payload))),
            Unicast::Post(Post { session, number, content }) => {
                match self.unicasts.arrival(sender, session, number) {
                    Arrival::New if !self.takes(&content) => {
                        self.stats.unicasts_refused += 1;
                        return;
                    }
                    Arrival::New => {
                        self.unicasts.note(sender, session, number);
                        self.on_content(sender, content);
                    }
                    Arrival::Repeated => {}
                    Arrival::TooLate => {
                        self.stats.unicasts_refused += 1;
                        return;
                    }
                }
                self.outbox.message(TrafficClass::Unicast, address, Unicast::Receipt { session, number });
            }
            Unicast::Receipt { session, number } => {
                if let Some(id) = self.unicasts.on_receipt(sender, session, number) {
                    self.events.message(Delivered::Delivered { id, to: sender, received: true });
                }
            }
        }
    }

    /// Returns whether there is room for a content: what has a receipt must not be pushed out by the next.
    fn takes(&self, content: &Content) -> bool {
        !matches!(content, Content::Payload(_)) || !self.events.is_full()
    }

    fn on_content(&mut self, sender: NodeId, content: Content) {
        match reply(content) {
            Ok(payload) => self.events.message(Delivered::Unicast(sender, payload)),
            Err((stamp, reply)) => self.on_answer(QueryId(stamp), sender, reply),
        }
    }

    pub(super) fn messages_due(&self) -> Option<Instant> {
        self.unicasts.due().into_iter().chain(self.queries.due()).min()
    }

    pub(super) fn tick_messages(&mut self) {
        self.tick_queries();
        let (again, given_up) = self.unicasts.tick(self.now);
        for (to, post) in again {
            if let Some(address) = self.correspondent(to) {
                self.outbox.message(TrafficClass::Unicast, address, Message::Unicast(Unicast::Post(post)));
            }
        }
        self.note_given_up(given_up);
    }

    /// A member is seen in another way than before.
    pub(super) fn note_correspondent(&mut self, id: NodeId) {
        let given_up = match self.detector.members().get(id).map(|seen| seen.status) {
            Some(Status::Alive | Status::Suspect) => GivenUp::default(),
            Some(Status::Dead | Status::Left) => self.unicasts.note_gone(id),
            None => self.unicasts.forget(id),
        };
        self.note_given_up(given_up);
        self.note_asked(id);
    }

    /// Ends what this node waits for: it has left.
    pub(super) fn end_messages(&mut self) {
        debug_assert!(self.identity.phase == Phase::Left, "nothing is waited for any more");
        let given_up = self.unicasts.clear();
        self.note_given_up(given_up);
        self.end_queries();
    }

    fn note_given_up(&mut self, GivenUp { deliveries, count }: GivenUp) {
        self.stats.unicasts_given_up += count;
        for (id, to) in deliveries {
            self.events.message(Delivered::Delivered { id, to, received: false });
        }
    }
}
