//! Values too large for a datagram: the choice of those to fetch, and their way into the replica.

use super::Node;
use super::learn::Source;
use crate::address::Address;
use crate::epidemic::anti_entropy::Context;
use crate::epidemic::transfer::{FetchOutcome, Transfers, Whole};
use crate::update::{Descriptor, KeyHash};
use crate::wire::Chunk;

/// Outcome of a descriptor.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Described {
    /// The value will be fetched.
    Fetched,
    /// The value is being fetched already, or cannot be fetched now.
    Later,
    /// The value is known, outdated, or not admitted.
    Useless,
}

impl<A: Address> Node<A> {
    /// Handles the descriptor of a value that a peer holds: it is fetched if it would be new and admitted.
    pub(super) fn hear_of(&mut self, descriptor: Descriptor, source: Source, from: &A) -> Described {
        let hasher = &self.replica.hasher;
        let key = hasher.entry(descriptor.owner.into(), &descriptor.name);
        let outline = descriptor.outline(key);
        let item = hasher.item(key, &outline);
        if self.replica.has_hash(item) {
            self.stats.updates_known += 1;
            return Described::Useless;
        }
        if !self.is_timely(key, &outline, source) {
            return Described::Useless;
        }
        if descriptor.size as usize > self.config.limits.max_value {
            self.note_oversized(source);
            return Described::Useless;
        }
        if let Some(exceeded) = self.exceeds(key, &outline, descriptor.size as usize) {
            self.note_exceeded(exceeded, &outline);
            self.note_refused(source);
            return Described::Useless;
        }
        if !self.replica.lacks(key, &outline) {
            self.stats.updates_known += 1;
            // As for a whole update: a deletion that is out of the set by now still ends what it deleted.
            if matches!(source, Source::Repair | Source::CatchUp) {
                self.answer_older(key, from);
            }
            return Described::Useless;
        }
        let hot = match source {
            Source::Own | Source::Rumor => true,
            Source::Repair => self.is_relayed(outline.written()),
            Source::CatchUp | Source::Restored => false,
        };
        let (transfers, mut context) = self.transfers_at_work();
        let offered = transfers.offer((key, item), descriptor, hot, from, &mut context);
        if offered != FetchOutcome::Outdated {
            self.anti_entropy.expect_more();
        }
        match offered {
            FetchOutcome::Begun => Described::Fetched,
            FetchOutcome::UnderWay | FetchOutcome::Refused => Described::Later,
            FetchOutcome::Outdated => Described::Useless,
        }
    }

    /// Returns true if an item that a peer has offered is being fetched; the peer is then one more holder.
    pub(super) fn is_fetching(&mut self, item: u64, from: &A) -> bool {
        let (transfers, mut context) = self.transfers_at_work();
        transfers.add_holder(item, from, &mut context)
    }

    pub(super) fn on_chunk(&mut self, from: &A, chunk: &Chunk) {
        let (transfers, mut context) = self.transfers_at_work();
        if let Some(Whole { update, hot }) = transfers.on_chunk(from, chunk, &mut context) {
            let source = if hot { Source::Rumor } else { Source::CatchUp };
            self.learn(update, source, Some(from));
        }
    }

    /// Ends transfers of values that are older than an update just learned.
    pub(super) fn settle_transfers(&mut self, key: KeyHash) {
        if !self.transfers.is_empty() {
            let (transfers, mut context) = self.transfers_at_work();
            transfers.settle(key, &mut context);
        }
    }

    /// Repeats the requests to a peer that wants to see another token.
    pub(super) fn ask_again(&mut self, peer: &A) {
        let (transfers, mut context) = self.transfers_at_work();
        transfers.on_challenge(peer, &mut context);
    }

    pub(super) fn tick_transfers(&mut self) {
        let (transfers, mut context) = self.transfers_at_work();
        transfers.retry(&mut context);
        if transfers.take_failed() {
            self.anti_entropy.look_again(self.now);
        }
    }

    /// Returns the transfers, and the state that they work with.
    pub(super) fn transfers_at_work(&mut self) -> (&mut Transfers<A>, Context<'_, A>) {
        let Self { now, clocks, replica, absence, outbox, transfers, trust, paths, .. } = self;
        let (clock, mark) = (clocks.agreed(*now), clocks.hybrid(*now));
        (transfers, Context { now: *now, clock, mark, replica, absence, outbox, trust, paths })
    }
}
