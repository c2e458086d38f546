//! Transfers of values too large for a datagram: announced by their descriptors, pulled in chunks from holders.
//!
//! The receiver drives: it asks one holder for a window of chunks at a time, and another holder if that falls silent.
//! The holder keeps no session. The replica receives a value only when it is whole and verified against its descriptor.
//! The bytes of partly fetched values are bounded.
//!
//! Knows items by their hashes, the replica and the outbox. Must not know the node or the member list: it is given
//! addresses.

mod fetch;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::anti_entropy::Context;
use super::pull::Patience;
use crate::address::Address;
use crate::config::Limits;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::replica::Replica;
use crate::time::Instant;
use crate::update::{Descriptor, ItemHasher, KeyHash, Owner, Update};
use crate::wire::{Chunk, FetchRequest, Item, Message, Pull, Span, Trust, encoded_len};

use fetch::{Fetch, WINDOW};

/// Chunks in flight, in total: more would overflow the buffer of a socket.
const IN_FLIGHT: usize = 64;
/// Holders of one value that are remembered.
const HOLDERS: usize = 8;

/// A value to fetch.
#[derive(Debug)]
struct Wanted<A> {
    key: KeyHash,
    item: u64,
    descriptor: Descriptor,
    /// True if it is relayed as a rumor.
    hot: bool,
    /// Its holders; the first is asked.
    holders: VecDeque<Holder<A>>,
}

#[derive(Debug)]
struct Holder<A> {
    peer: A,
    /// Number of requests since its last answer, or since it was preferred.
    tries: u32,
    /// Number of requests since its last answer.
    silences: u32,
}

impl<A: Address> Holder<A> {
    fn new(peer: &A) -> Self {
        Self { peer: peer.clone(), tries: 0, silences: 0 }
    }
}

impl<A: Address> Wanted<A> {
    fn add_holder(&mut self, peer: &A) {
        if self.holders.len() < HOLDERS && !self.holders.iter().any(|holder| holder.peer == *peer) {
            self.holders.push_back(Holder::new(peer));
        }
    }
}

/// Effect of a descriptor.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    /// The value will be fetched.
    Begun,
    /// The value is being fetched, from now on perhaps from another holder as well.
    UnderWay,
    /// A newer value of the same key is being fetched.
    Outdated,
    /// Too many values are being fetched.
    Refused,
}

/// An update whose value is whole.
#[derive(Debug)]
pub(crate) struct Whole<A> {
    pub(crate) update: Update<A>,
    pub(crate) hot: bool,
}

/// Outcomes of transfers so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    pub(crate) begun: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) overtaken: u64,
    pub(crate) refused: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Transfers<A> {
    /// Number of transfers, including those that wait.
    limit: usize,
    /// Bytes of partly fetched values.
    limit_bytes: usize,
    /// Bytes of a value that a datagram holds.
    chunk: usize,
    running: Vec<Fetch<A>>,
    /// Descriptors of values that are not being fetched yet, in order of arrival.
    waiting: VecDeque<Wanted<A>>,
    patience: Patience,
    counted: Counted,
    /// True if a transfer has failed since the last call of `take_failed`.
    failed_lately: bool,
}

impl<A: Address> Transfers<A> {
    /// `room`: bytes of messages that a datagram holds. `patience`: time to wait for an answer at first.
    pub(crate) fn new(limits: &Limits, room: usize, patience: Duration) -> Self {
        Self {
            limit: limits.transfers,
            limit_bytes: limits.transfer_bytes,
            chunk: room - CHUNK_HEAD,
            running: Vec::new(),
            waiting: VecDeque::new(),
            patience: Patience::new(patience),
            counted: Counted::default(),
            failed_lately: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Returns the number of values being fetched or waiting, and the bytes held for them.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.running.len() + self.waiting.len(), self.bytes())
    }

    /// Returns true if a share of this member is being fetched, or waits for that.
    pub(crate) fn awaits_share_of(&self, id: NodeId) -> bool {
        let share = Some(Owner::of_share(id));
        self.all().any(|wanted| wanted.descriptor.owner == share)
    }

    fn bytes(&self) -> usize {
        self.running.iter().map(Fetch::size).sum()
    }

    pub(crate) const fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Returns whether a transfer has failed since the last call, and clears the flag.
    pub(crate) const fn take_failed(&mut self) -> bool {
        core::mem::replace(&mut self.failed_lately, false)
    }

    // The receiver.

    /// Offers a value that a peer holds and this replica lacks. `item`: hash of the item. `hot`: relay it as a rumor.
    pub(crate) fn offer(
        &mut self,
        (key, item): (KeyHash, u64),
        descriptor: Descriptor,
        hot: bool,
        from: &A,
        context: &mut Context<'_, A>,
    ) -> FetchOutcome {
        if let Some(wanted) = self.wanted(item) {
            wanted.hot |= hot;
            self.add_holder(item, from, context);
            return FetchOutcome::UnderWay;
        }
        let outline = descriptor.outline::<A>(key);
        let rival = self.all().find(|wanted| wanted.key == key);
        if let Some(rival) = rival {
            let newer = outline.order(&rival.descriptor.outline(key), &context.replica.hasher).is_gt();
            if !newer {
                return FetchOutcome::Outdated;
            }
            self.drop_key(key);
            self.counted.overtaken += 1;
        }
        if self.running.len() + self.waiting.len() >= self.limit {
            self.counted.refused += 1;
            return FetchOutcome::Refused;
        }
        self.counted.begun += 1;
        let holders = VecDeque::from([Holder::new(from)]);
        self.waiting.push_back(Wanted { key, item, descriptor, hot, holders });
        self.begin(context);
        FetchOutcome::Begun
    }

    fn all(&self) -> impl Iterator<Item = &Wanted<A>> {
        self.running.iter().map(|fetch| &fetch.wanted).chain(&self.waiting)
    }

    fn wanted(&mut self, item: u64) -> Option<&mut Wanted<A>> {
        let mut all = self.running.iter_mut().map(|fetch| &mut fetch.wanted).chain(&mut self.waiting);
        all.find(|wanted| wanted.item == item)
    }

    fn drop_key(&mut self, key: KeyHash) {
        self.running.retain(|fetch| fetch.wanted.key != key);
        self.waiting.retain(|wanted| wanted.key != key);
    }

    /// Records that a peer holds an item. If that is being fetched, the peer is one more to ask.
    pub(crate) fn add_holder(&mut self, item: u64, from: &A, context: &mut Context<'_, A>) -> bool {
        let Some(wanted) = self.wanted(item) else { return false };
        let orphaned = wanted.holders.is_empty();
        wanted.add_holder(from);
        if let Some(at) = self.running.iter().position(|fetch| fetch.wanted.item == item) {
            let silent = self.running[at].silent_holder().cloned();
            if self.running[at].prefers(from, self.patience.get(), context.now) {
                if let Some(holder) = silent {
                    context.paths.doubt(context.now, &holder);
                }
                self.ask(at, context);
            } else if orphaned {
                self.ask(at, context);
            }
        }
        true
    }

    /// Begins transfers that wait, while there is room.
    fn begin(&mut self, context: &mut Context<'_, A>) {
        while let Some(next) = self.waiting.front() {
            let size = next.descriptor.size as usize;
            if self.running.iter().map(Fetch::in_flight).sum::<usize>() >= IN_FLIGHT {
                return;
            }
            if self.bytes() + size > self.limit_bytes {
                let Some(orphan) = self.running.iter().position(Fetch::is_orphaned) else { return };
                self.fail(orphan);
                continue;
            }
            let Some(wanted) = self.waiting.pop_front() else { return };
            self.running.push(Fetch::new(wanted, context.now));
            self.ask(self.running.len() - 1, context);
        }
    }

    /// Returns the bytes of a value that a datagram to the holder of a transfer holds.
    fn chunk(&self, at: usize, context: &Context<'_, A>) -> usize {
        self.chunk - self.running[at].holder().map_or(0, |holder| context.paths.shorter_by(holder))
    }

    fn ask(&mut self, at: usize, context: &mut Context<'_, A>) {
        let chunk = self.chunk(at, context);
        let (fetch, trust) = (&mut self.running[at], &*context.trust);
        if let Some((to, message)) = fetch.ask(chunk, context.now, |peer| trust.shown_to(peer)) {
            context.outbox.message(TrafficClass::AntiEntropy, to, message);
        }
    }

    fn ask_on(&mut self, at: usize, context: &mut Context<'_, A>) {
        let chunk = self.chunk(at, context);
        let (fetch, trust) = (&mut self.running[at], &*context.trust);
        if let Some((to, message)) = fetch.ask_on(chunk, context.now, |peer| trust.shown_to(peer)) {
            context.outbox.message(TrafficClass::AntiEntropy, to, message);
        }
    }

    fn fail(&mut self, at: usize) {
        self.running.remove(at);
        self.counted.failed += 1;
        self.failed_lately = true;
    }

    /// Returns the time at which a holder has been silent for too long.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.running.iter().map(|fetch| fetch.due(self.patience.get())).min()
    }

    /// Asks for missing chunks again, of the same holder or another.
    pub(crate) fn retry(&mut self, context: &mut Context<'_, A>) {
        for at in (0..self.running.len()).rev() {
            if context.now < self.running[at].due(self.patience.get()) {
                continue;
            }
            if self.running[at].is_orphaned() {
                self.fail(at);
            } else {
                if let Some(holder) = self.running[at].silent_holder() {
                    context.paths.doubt(context.now, holder);
                }
                self.running[at].note_silence(context.now);
                self.failed_lately |= self.running[at].is_orphaned();
                self.ask(at, context);
            }
        }
        self.begin(context);
    }

    /// Handles a chunk. Returns the update if its value is whole now.
    pub(crate) fn on_chunk(
        &mut self,
        from: &A,
        Chunk { item, offset, last, bytes }: &Chunk,
        context: &mut Context<'_, A>,
    ) -> Option<Whole<A>> {
        let at = self.asked(from, *item)?;
        let fetch = &mut self.running[at];
        let (taken, trip) = fetch.take(*offset, bytes, context.now);
        if !taken {
            return None;
        }
        if fetch.is_whole() {
            return self.finish(at, context);
        }
        if *last {
            self.ask_on(at, context);
        }
        self.answered_after(trip);
        None
    }

    /// Finds the transfer for which this peer is being asked.
    fn asked(&self, peer: &A, item: u64) -> Option<usize> {
        self.running.iter().position(|fetch| fetch.wanted.item == item && fetch.holder() == Some(peer))
    }

    fn answered_after(&mut self, trip: Option<Duration>) {
        if let Some(trip) = trip {
            self.patience.note(trip);
        }
    }

    /// Verifies a value whose bytes are all there.
    fn finish(&mut self, at: usize, context: &mut Context<'_, A>) -> Option<Whole<A>> {
        let (mut wanted, value) = self.running.remove(at).into_parts();
        let whole = verified(&wanted.descriptor, value, &context.replica.hasher);
        if whole.is_some() {
            self.counted.completed += 1;
        } else {
            // The last of the peers that sent it was wrong, or an earlier one: it is fetched anew from the next.
            wanted.holders.pop_front();
            if wanted.holders.is_empty() {
                self.counted.failed += 1;
                self.failed_lately = true;
            } else {
                self.waiting.push_front(wanted);
                self.begin(context);
                return None;
            }
        }
        self.begin(context);
        whole.map(|update| Whole { update, hot: wanted.hot })
    }

    /// Records that a peer no longer holds an item.
    pub(crate) fn on_gone(&mut self, from: &A, item: u64, context: &mut Context<'_, A>) {
        let Some(at) = self.running.iter().position(|fetch| fetch.wanted.item == item) else { return };
        let asked = self.running[at].holder() == Some(from);
        let holders = &mut self.running[at].wanted.holders;
        let before = holders.len();
        holders.retain(|holder| holder.peer != *from);
        if holders.is_empty() && before > 0 {
            self.fail(at);
            self.begin(context);
        } else if asked {
            self.ask(at, context);
        }
    }

    /// Returns whether anything is asked of this peer.
    pub(crate) fn asks(&self, peer: &A) -> bool {
        self.running.iter().any(|fetch| fetch.holder() == Some(peer))
    }

    /// Asks a peer again that wants to see another token than it was shown.
    pub(crate) fn on_challenge(&mut self, from: &A, context: &mut Context<'_, A>) {
        for at in 0..self.running.len() {
            let fetch = &self.running[at];
            if fetch.holder() == Some(from) {
                let trip = fetch.trip(context.now);
                if fetch.is_unanswered() && fetch.may_ask_again() {
                    self.ask(at, context);
                }
                self.answered_after(trip);
            }
        }
    }

    /// Ends transfers of older values of this key, of which the replica holds something newer.
    pub(crate) fn settle(&mut self, key: KeyHash, context: &mut Context<'_, A>) {
        let Some(wanted) = self.all().find(|wanted| wanted.key == key) else { return };
        if !context.replica.lacks(key, &wanted.descriptor.outline(key)) {
            self.drop_key(key);
            self.counted.overtaken += 1;
            self.begin(context);
        }
    }

    /// Ends all transfers.
    pub(crate) fn clear(&mut self) {
        self.counted.failed += (self.running.len() + self.waiting.len()) as u64;
        self.running.clear();
        self.waiting.clear();
    }

    // The holder.

    /// Handles a request for parts of a value.
    pub(crate) fn on_fetch(
        &self,
        from: &A,
        FetchRequest { item, token, window, missing }: FetchRequest,
        context: &mut Context<'_, A>,
    ) {
        if !context.trust.proves(from, token, context.now) {
            // The answer is no longer than the request.
            let cookie = context.trust.token(from, context.now);
            context.outbox.message(TrafficClass::Bulk, from.clone(), Trust::Challenge { cookie });
            return;
        }
        if context.replica.value(item).is_none() {
            context.outbox.message(TrafficClass::Bulk, from.clone(), Pull::Gone { item });
            return;
        }
        if missing.is_empty() {
            return;
        }
        let given = context.trust.grant(from, window.min(WINDOW).into(), self.chunk, context.now);
        if given > 0 {
            context.outbox.drop_chunks(from, item);
            let chunks = Intent::Chunks { item, missing: missing.into(), window: given as u8 };
            context.outbox.push(TrafficClass::Bulk, from.clone(), chunks);
        }
    }
}

/// Returns the entry if the value matches its descriptor.
fn verified<A: Address>(descriptor: &Descriptor, value: Vec<u8>, hasher: &ItemHasher) -> Option<Update<A>> {
    let update = Update::Entry(descriptor.clone().entry(value.into()));
    (hasher.digest(&update) == descriptor.digest).then_some(update)
}

/// Tag, item, offset, flag and the length of the bytes, at their longest.
const CHUNK_HEAD: usize = 1 + 8 + 5 + 1 + 3;
/// Length below which a chunk is not cut to fill up a datagram.
const SHORTEST_CHUNK: usize = 256;

/// Composes the next chunk that answers a request, in at most `room` bytes. None if the room is too small or nothing is
/// missing.
pub(crate) fn compose_chunk<A: Address>(
    replica: &Replica<A>,
    item: u64,
    missing: &mut VecDeque<Span>,
    window: &mut u8,
    room: usize,
) -> Option<Message<A>> {
    let Some(value) = replica.value(item) else {
        missing.clear();
        return (room >= CHUNK_HEAD).then_some(Message::Pull(Pull::Gone { item }));
    };
    let end = |span: &Span| (span.to as usize).min(value.len());
    missing.retain(|span| (span.from as usize) < end(span));
    let span = missing.front_mut()?;
    let left = &value[span.from as usize..end(span)];
    let fits = room.saturating_sub(CHUNK_HEAD).min(left.len());
    if fits < left.len().min(SHORTEST_CHUNK) {
        return None;
    }
    let (offset, bytes) = (span.from, left[..fits].to_vec());
    span.from += fits as u32;
    if fits == left.len() {
        missing.pop_front();
    }
    *window = window.saturating_sub(1);
    Some(Message::Pull(Pull::Chunk(Chunk { item, offset, last: *window == 0 || missing.is_empty(), bytes })))
}

/// Returns the form in which an update of the replica is sent: itself, or its descriptor.
pub(crate) fn carried<A: Address>(replica: &Replica<A>, update: Update<A>) -> Item<A> {
    replica.descriptor(&update).map_or_else(|| Item::Update(update), Item::Large)
}

/// Returns the form in which an update is sent over a path: its descriptor also if it fits into a datagram elsewhere, but not into
/// `narrow` bytes of messages.
pub(crate) fn carried_within<A: Address>(replica: &Replica<A>, update: Update<A>, narrow: Option<usize>) -> Item<A> {
    // Tags and counts around it, at their longest.
    let narrow = narrow.map(|room| room.saturating_sub(CHUNK_HEAD));
    descriptor_within(replica, &update, narrow).map_or_else(|| Item::Update(update), Item::Large)
}

/// Returns the descriptor of an update that is too large to be sent whole, anywhere or in `narrow` bytes.
pub(crate) fn descriptor_within<A: Address>(
    replica: &Replica<A>,
    update: &Update<A>,
    narrow: Option<usize>,
) -> Option<Descriptor> {
    replica.descriptor(update).or_else(|| match update {
        Update::Entry(entry) if narrow.is_some_and(|room| encoded_len(update) > room) => {
            Descriptor::of(entry, replica.hasher.digest(update)).filter(|descriptor| descriptor.size > 0)
        }
        _ => None,
    })
}

/// Returns the length of that form in bytes.
pub(crate) fn wire_len<A: Address>(replica: &Replica<A>, update: &Update<A>) -> usize {
    replica.descriptor(update).as_ref().map_or_else(|| encoded_len(update), encoded_len)
}

#[cfg(test)]
mod tests;
