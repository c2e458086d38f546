//! Bounds on what a node holds: at a bound it refuses new items, keeps the old ones, and reports that once.

use super::Node;
use crate::address::Address;
use crate::config::Limits;
use crate::error::{Bound, WriteError};
use crate::id::NodeId;
use crate::replica::Room;
use crate::update::{KeyHash, Update};

/// Bounds that were reached and reported to the application.
#[derive(Debug, Default)]
pub(super) struct ReachedBounds {
    members: bool,
    entries: bool,
    bytes: bool,
    /// Writer whose share is used up.
    share: Option<NodeId>,
}

impl ReachedBounds {
    /// Lists the bounds that are reached.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Bound> {
        let Self { members, entries, bytes, share } = self;
        let all = [
            (Bound::Members, *members),
            (Bound::Entries, *entries),
            (Bound::Bytes, *bytes),
            (Bound::Share, share.is_some()),
        ];
        all.into_iter().filter_map(|(bound, reached)| reached.then_some(bound))
    }
}

/// A bound that an update would exceed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exceeded {
    bound: Bound,
    held: usize,
    limit: usize,
}

impl From<Exceeded> for WriteError {
    fn from(Exceeded { bound, held, limit }: Exceeded) -> Self {
        Self::Full { bound, held, limit }
    }
}

impl<A: Address> Node<A> {
    /// Returns the bound that would be exceeded if this were taken in, with `body` bytes of a value or payload. What takes no
    /// more room than what it replaces never exceeds one. Values that have expired give way.
    pub(super) fn exceeds(&mut self, key: KeyHash, update: &Update<A>, body: usize) -> Option<Exceeded> {
        self.exceeded(key, update, body)?;
        self.replica.make_room();
        self.exceeded(key, update, body)
    }

    fn exceeded(&self, key: KeyHash, update: &Update<A>, body: usize) -> Option<Exceeded> {
        let limits = &self.config.limits;
        let exceeded = |bound, held, more, limit| (held + more > limit).then_some(Exceeded { bound, held, limit });
        if update.is_certificate() && body == 0 {
            // Others give way.
            return None;
        }
        let (members, others) = self.replica.counts();
        let Some(writer) = update.writer() else {
            let more = usize::from(!self.replica.has(key));
            return exceeded(Bound::Members, members, more, limits.members);
        };
        let old = self.replica.get(key).filter(|old| !old.is_certificate());
        let old = old.as_ref();
        // If a writer replaces its own item, only the difference counts.
        let own = old.filter(|old| old.writer() == Some(writer));
        let grows = |old: Option<&Update<A>>| body.saturating_sub(old.map_or(0, Update::body_len));
        let Room { items, bytes } = self.replica.room_of(writer);
        let (item, more) = (usize::from(old.is_none()), grows(old));
        let (own_item, own_more) = (usize::from(own.is_none()), grows(own));
        let checks = [
            (Bound::Entries, others, item, limits.entries),
            (Bound::Bytes, self.replica.bytes(), more, limits.bytes),
            (Bound::Share, items, own_item, limits.share_of(limits.entries)),
            (Bound::Share, bytes, own_more, limits.share_of(limits.bytes)),
        ];
        let takes = |&(_, _, more, _): &(Bound, usize, usize, usize)| more > 0;
        checks.into_iter().filter(takes).find_map(|(bound, held, more, limit)| exceeded(bound, held, more, limit))
    }

    /// Who was refused for want of room has some when a member is gone: it is looked for again.
    pub(super) fn seek_refused(&mut self, id: NodeId) {
        if self.reached_bounds.members && self.is_gone(id) {
            self.anti_entropy.has_room(self.now);
        }
    }

    /// Counts a refusal, and reports the first to the application.
    pub(super) fn note_exceeded(&mut self, Exceeded { bound, .. }: Exceeded, update: &Update<A>) {
        let news = match bound {
            Bound::Members => {
                self.stats.updates_full += 1;
                !core::mem::replace(&mut self.reached_bounds.members, true)
            }
            Bound::Entries => {
                self.stats.updates_full += 1;
                !core::mem::replace(&mut self.reached_bounds.entries, true)
            }
            Bound::Bytes => {
                self.stats.updates_full_bytes += 1;
                !core::mem::replace(&mut self.reached_bounds.bytes, true)
            }
            Bound::Share => {
                self.stats.updates_full_share += 1;
                let news = self.reached_bounds.share.is_none();
                self.reached_bounds.share = self.reached_bounds.share.or(update.writer());
                news
            }
        };
        if news {
            self.events.full(bound);
        }
    }

    /// Reports the next refusal again when there is room.
    pub(super) fn tick_bounds(&mut self) {
        let ReachedBounds { members, entries, bytes, share } = &mut self.reached_bounds;
        let limits = &self.config.limits;
        let roomy = |held: usize, limit: usize| held < limit - limit / 8;
        let counts = self.replica.counts();
        *members &= !roomy(counts.0, limits.members);
        *entries &= !roomy(counts.1, limits.entries);
        *bytes &= !roomy(self.replica.bytes(), limits.bytes);
        if let Some(writer) = *share {
            let Room { items, bytes } = self.replica.room_of(writer);
            if roomy(items, limits.share_of(limits.entries)) && roomy(bytes, limits.share_of(limits.bytes)) {
                *share = None;
            }
        }
    }
}

impl Limits {
    /// Returns the part of a limit that one writer may take: at least one, unless the limit is zero.
    fn share_of(&self, limit: usize) -> usize {
        let share = self.share as usize;
        (limit / 100 * share + limit % 100 * share / 100).max(limit.min(1))
    }
}
