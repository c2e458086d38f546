//! Events that wait for the application: at most one per member and per entry, and a bounded number of messages.
//!
//! Records that something changed, not how: the state is looked up when the event is polled, so it is never outdated.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use smol_str::SmolStr;

use super::gate::Unreadable;
use crate::error::Bound;
use crate::event::{BroadcastId, Status};
use crate::id::NodeId;
use crate::query::QueryId;
use crate::time::Instant;
use crate::unicast::DeliveryId;
use crate::update::{Features, Formats, Payload, Stamp, Whose};

/// Message for the application, which has it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Broadcast(BroadcastId, Payload),
    Unicast(NodeId, Payload),
    Query(QueryId, Payload),
    Delivered { id: DeliveryId, to: NodeId, received: bool },
    ShareLost(SmolStr, Payload, Stamp),
}

/// An event that was not polled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pending<A> {
    Member { id: NodeId, was: Option<Status>, moved: bool },
    Entry(Whose, SmolStr),
    Message(Message),
    Answers(QueryId),
    Isolated(bool),
    IdentityConflict(A),
    ClockWrong { peers: Instant, own: Instant },
    SetAside(u64),
    Full(Bound),
    Unreachable { advertised: A, seen: A },
    NarrowPath { address: A, longest: usize },
    Unreadable(Unreadable, A),
    Incompatible(NodeId, Formats),
    Features(Features),
    Left,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Member(NodeId),
    Entry(Whose, SmolStr),
    /// The message with this number.
    Message(u64),
}

/// Capacity that an empty queue keeps.
const ORDER_KEPT: usize = 4;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Events<A> {
    order: VecDeque<Place>,
    members: BTreeMap<NodeId, (Option<Status>, bool)>,
    entries: BTreeSet<(Whose, SmolStr)>,
    messages: VecDeque<Message>,
    /// Number of the first of them: those before it were delivered or dropped.
    first_message: u64,
    undelivered: usize,
    messages_dropped: u64,
    /// Queries with answers to fetch, or that have ended.
    answers: BTreeSet<QueryId>,
    /// Bound on members and entries together.
    limit: usize,
    dropped: u64,
    isolated: Option<bool>,
    conflict: Option<A>,
    clock_wrong: Option<(Instant, Instant)>,
    unreachable: Option<(A, A)>,
    narrow: Option<(A, usize)>,
    /// Datagrams that cannot be read: one of each kind.
    unreadable: Vec<(Unreadable, A)>,
    full: BTreeSet<Bound>,
    /// Number of values that were set aside.
    set_aside: u64,
    /// At most one for each member.
    incompatible: BTreeMap<NodeId, Formats>,
    features: Option<Features>,
    left: bool,
}

impl<A> Events<A> {
    pub(super) const fn new(limit: usize, undelivered: usize) -> Self {
        Self {
            order: VecDeque::new(),
            members: BTreeMap::new(),
            entries: BTreeSet::new(),
            messages: VecDeque::new(),
            first_message: 0,
            undelivered,
            messages_dropped: 0,
            answers: BTreeSet::new(),
            limit,
            dropped: 0,
            isolated: None,
            conflict: None,
            clock_wrong: None,
            unreachable: None,
            narrow: None,
            unreadable: Vec::new(),
            full: BTreeSet::new(),
            set_aside: 0,
            incompatible: BTreeMap::new(),
            features: None,
            left: false,
        }
    }

    /// Keeps the order of arrival, and the bound: an event dropped here was not polled for very long.
    fn queue(&mut self, place: Place) {
        if self.order.len() == self.limit {
            match self.order.pop_front() {
                Some(Place::Member(id)) => drop(self.members.remove(&id)),
                Some(Place::Entry(whose, name)) => drop(self.entries.remove(&(whose, name))),
                // Messages have a bound of their own.
                Some(Place::Message(number)) => drop(self.take_message(number)),
                None => {}
            }
            self.dropped += 1;
        }
        self.order.push_back(place);
    }

    /// Records a change of a member: its status, its address, or that it is forgotten.
    pub(super) fn member(&mut self, id: NodeId, was: Option<Status>, moved: bool) {
        if let Some((_, has_moved)) = self.members.get_mut(&id) {
            *has_moved |= moved;
        } else {
            self.members.insert(id, (was, moved));
            self.queue(Place::Member(id));
        }
    }

    pub(super) fn entry(&mut self, whose: Whose, name: SmolStr) {
        if self.entries.insert((whose, name.clone())) {
            self.queue(Place::Entry(whose, name));
        }
    }

    pub(super) fn message(&mut self, message: Message) {
        if self.messages.len() == self.undelivered {
            self.messages.pop_front();
            self.first_message += 1;
            self.messages_dropped += 1;
        }
        self.queue(Place::Message(self.first_message + self.messages.len() as u64));
        self.messages.push_back(message);
    }

    /// Returns whether another message would push one out.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.undelivered
    }

    /// Takes out the message with this number, which is the first that waits, unless it was dropped before.
    fn take_message(&mut self, number: u64) -> Option<Message> {
        let message = (number == self.first_message).then(|| self.messages.pop_front()).flatten()?;
        self.first_message += 1;
        Some(message)
    }

    pub(super) fn answers(&mut self, query: QueryId) {
        self.answers.insert(query);
    }

    pub(super) fn isolated(&mut self, isolated: bool) {
        // Two changes cancel out.
        self.isolated = if self.isolated == Some(!isolated) { None } else { Some(isolated) };
    }

    pub(super) fn conflict(&mut self, address: A) {
        self.conflict = Some(address);
    }

    pub(super) fn clock_wrong(&mut self, peers: Instant, own: Instant) {
        self.clock_wrong = Some((peers, own));
    }

    pub(super) fn unreachable(&mut self, advertised: A, seen: A) {
        self.unreachable = Some((advertised, seen));
    }

    pub(super) fn narrow_path(&mut self, address: A, longest: usize) {
        self.narrow = Some((address, longest));
    }

    pub(super) fn full(&mut self, bound: Bound) {
        self.full.insert(bound);
    }

    pub(super) const fn set_aside(&mut self, count: u64) {
        self.set_aside += count;
    }

    pub(super) fn unreadable(&mut self, what: Unreadable, address: A) {
        self.unreadable.retain(|(other, _)| !other.is_like(what));
        self.unreadable.push((what, address));
    }

    pub(super) fn incompatible(&mut self, id: NodeId, formats: Formats) {
        self.incompatible.insert(id, formats);
    }

    pub(super) fn features(&mut self, features: Features) {
        self.features = Some(features);
    }

    pub(super) fn left(&mut self) {
        self.left = true;
    }

    /// Forgets changes of members and entries.
    pub(super) fn discard(&mut self) {
        self.order.retain(|place| matches!(place, Place::Message(_)));
        self.members.clear();
        self.entries.clear();
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) const fn messages_dropped(&self) -> u64 {
        self.messages_dropped
    }

    /// Takes the next event, in the order of the first change; those about this node come first.
    pub(super) fn pop(&mut self) -> Option<Pending<A>> {
        if let Some(isolated) = self.isolated.take() {
            return Some(Pending::Isolated(isolated));
        }
        if let Some(address) = self.conflict.take() {
            return Some(Pending::IdentityConflict(address));
        }
        if let Some((peers, own)) = self.clock_wrong.take() {
            return Some(Pending::ClockWrong { peers, own });
        }
        let set_aside = core::mem::take(&mut self.set_aside);
        if set_aside > 0 {
            return Some(Pending::SetAside(set_aside));
        }
        if let Some((advertised, seen)) = self.unreachable.take() {
            return Some(Pending::Unreachable { advertised, seen });
        }
        if let Some((address, longest)) = self.narrow.take() {
            return Some(Pending::NarrowPath { address, longest });
        }
        if let Some(bound) = self.full.pop_first() {
            return Some(Pending::Full(bound));
        }
        if let Some((what, address)) = self.unreadable.pop() {
            return Some(Pending::Unreadable(what, address));
        }
        if let Some((id, formats)) = self.incompatible.pop_first() {
            return Some(Pending::Incompatible(id, formats));
        }
        if let Some(features) = self.features.take() {
            return Some(Pending::Features(features));
        }
        if let Some(query) = self.answers.pop_first() {
            return Some(Pending::Answers(query));
        }
        while let Some(next) = self.order.pop_front() {
            if self.order.is_empty() {
                self.order.shrink_to(ORDER_KEPT);
            }
            match next {
                Place::Member(id) => {
                    let (was, moved) = self.members.remove(&id).unwrap_or_default();
                    return Some(Pending::Member { id, was, moved });
                }
                Place::Entry(whose, name) => {
                    self.entries.remove(&(whose, name.clone()));
                    return Some(Pending::Entry(whose, name));
                }
                Place::Message(number) => {
                    if let Some(message) = self.take_message(number) {
                        return Some(Pending::Message(message));
                    }
                }
            }
        }
        core::mem::take(&mut self.left).then_some(Pending::Left)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn broadcast(events: &mut Events<u8>, number: u32) {
        let stamp = Stamp { time: Instant::ORIGIN, counter: number, node: NodeId::new(1) };
        events.message(Message::Broadcast(BroadcastId(stamp), Payload((*b"payload").into())));
    }

    fn numbers(events: &mut Events<u8>, most: usize) -> Vec<Option<u32>> {
        let pop = core::iter::from_fn(|| events.pop());
        pop.take(most)
            .map(|pending| match pending {
                Pending::Message(Message::Broadcast(id, _)) => Some(id.0.counter),
                _ => None,
            })
            .collect()
    }

    // 1,000 events a second among 2,000 entries that change all the time: of 2,899 broadcasts none was delivered.
    #[test]
    fn a_reader_that_is_always_behind_gets_broadcasts_in_the_order_in_which_they_came() {
        let mut events = Events::<u8>::new(1_000, 100);
        let mut delivered = Vec::new();
        for round in 0..200_u32 {
            for entry in 0..20 {
                events.entry(Whose::Everyone, SmolStr::new(std::format!("{}", round * 20 + entry)));
            }
            broadcast(&mut events, round);
            delivered.extend(numbers(&mut events, 15).into_iter().flatten());
        }
        assert!(delivered.len() > 100, "{delivered:?}");
        assert!(delivered.is_sorted());
    }

    #[test]
    fn what_is_discarded_does_not_hold_up_what_comes_then() {
        let mut events = Events::<u8>::new(1_000, 100);
        events.entry(Whose::Everyone, "before".into());
        events.member(NodeId::new(1), None, false);
        broadcast(&mut events, 7);
        events.discard();
        events.entry(Whose::Everyone, "before".into());
        assert_eq!(numbers(&mut events, 10), [Some(7), None]);
        assert_eq!(events.dropped(), 0, "on purpose");
    }

    #[test]
    fn broadcasts_that_were_dropped_leave_no_gap_behind() {
        let mut events = Events::<u8>::new(1_000, 3);
        (0..10).for_each(|number| broadcast(&mut events, number));
        events.entry(Whose::Everyone, "last".into());
        assert_eq!(numbers(&mut events, 10), [Some(7), Some(8), Some(9), None]);
        assert_eq!(events.messages_dropped(), 7);
        broadcast(&mut events, 10);
        assert_eq!(numbers(&mut events, 10), [Some(10)]);
    }

    #[test]
    fn the_bound_on_what_waits_drops_the_oldest_whatever_it_is() {
        let mut events = Events::<u8>::new(4, 100);
        (0..3).for_each(|number| broadcast(&mut events, number));
        (0..3).for_each(|number| events.entry(Whose::Everyone, SmolStr::new(std::format!("{number}"))));
        assert_eq!(numbers(&mut events, 10), [Some(2), None, None, None]);
        assert_eq!(events.dropped(), 2);
    }
}
