//! Learning: the way of an update into a node, from whatever source.

use core::time::Duration;

use super::Node;
use super::events::Message as Delivered;
use crate::address::Address;
use crate::epidemic::rumor::Subject;
use crate::epidemic::transfer::wire_len;
use crate::event::BroadcastId;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::overlay::Haste;
use crate::query::QueryId;
use crate::replica::Merged;
use crate::time::Instant;
use crate::update::{Certificate, Entry, FURTHEST_END, KeyHash, LATEST, Payload, Until, Update};
use crate::wire::encoded_len;

/// Repaired updates that become hot again in one exchange, at most.
const RELAYED_REPAIRS: u32 = 8;
/// Age up to which they do: few nodes lack an older update.
const RELAYED_AGE: Duration = Duration::from_secs(60);

/// Source of an update.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A write of this node.
    Own,
    /// Direct mail or a rumor.
    Rumor,
    /// Anti-entropy.
    Repair,
    /// A page, while catching up.
    CatchUp,
    /// A snapshot: the node knew it before.
    Restored,
}

/// Something to be spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) key: HotKey,
    pub(super) subject: Subject,
    /// The hash of the item.
    pub(super) hash: u64,
    /// The length of its encoding, without the tag that tells it from an offer.
    pub(super) len: usize,
    pub(super) haste: Haste,
}

pub(super) fn subject<A>(update: &Update<A>) -> Subject {
    if matches!(update, Update::Member(_)) { Subject::Membership } else { Subject::Data }
}

impl<A: Address> Node<A> {
    /// Merges an update. Returns its key if it was new.
    pub(super) fn learn(&mut self, update: Update<A>, source: Source, from: Option<&A>) -> Option<KeyHash> {
        #[cfg(feature = "next")]
        let update = self.spoiled(update);
        let key = self.replica.hasher.key(&update);
        if self.replica.holds(key, &update) {
            // The common case in a storm of rumors: it has to be cheap.
            self.stats.updates_known += 1;
            return None;
        }
        if !self.is_timely(key, &update, source) {
            return None;
        }
        let len = encoded_len(&update);
        if self.is_oversized(&update, len) {
            self.note_oversized(source);
            return None;
        }
        if let Update::Member(record) = &update
            && record.id == self.identity.id
        {
            return self.hear_of_myself(record, source, from);
        }
        if let Update::Member(record) = &update
            && !self.admits(record)
        {
            self.stats.updates_not_admitted += 1;
            self.note_refused(source);
            return None;
        }
        if let Update::Member(record) = &update
            && self.asks_first(key, record, from)
        {
            return None;
        }
        if let Some(exceeded) = self.exceeds(key, &update, update.body_len()) {
            let displaces = self.displaces_dead(&update);
            // One of two that are gone is not remembered for as long as it should be, whichever it is.
            if !displaces || update.until() != Until::NEVER {
                self.note_exceeded(exceeded, &update);
            }
            if !displaces {
                self.note_refused(source);
                return None;
            }
        }
        let written = update.written();
        let delivered = if let Update::Broadcast(broadcast) = &update
            && !self.replica.has_forgotten(broadcast)
        {
            Some((broadcast.stamp, broadcast.asks.clone(), Payload(broadcast.payload.clone())))
        } else {
            None
        };
        // Shrunk certificates as well: a later write here could otherwise be older than the one it is to replace.
        if let Update::Entry(Entry { stamp, .. }) | Update::Certificate(Certificate { stamp, .. }) = &update {
            self.clocks.observe(self.now, stamp.time, stamp.counter);
        }
        let share = self.is_own_share(&update, source).then(|| update.clone());
        let denies = match &update {
            Update::Member(record) => self.replica.member(record.id).is_some_and(|held| record.only_denies(held)),
            _ => false,
        };
        let subject = subject(&update);
        let ends = update.until() != Until::NEVER;
        let replaced = self.replica.hash_of(key);
        let merged = self.replica.merge_keyed(key, update);
        if let Some(share) = share {
            self.compare_share(share, &merged);
        }
        let (hash, old) = match merged {
            Merged::News { hash, old } => (hash, old),
            merged => {
                self.stats.updates_known += 1;
                if let Merged::Covered { hash } = merged {
                    // Repair brings it to the others: it changes nothing that is visible.
                    self.rumors.got(hash);
                    self.note_merged(hash, replaced);
                }
                if matches!(merged, Merged::Covered { .. } | Merged::Outdated)
                    && let Some(from) = from
                {
                    if subject == Subject::Membership {
                        self.give_newer(key, source, from);
                    } else if matches!(source, Source::Repair | Source::CatchUp) {
                        self.answer_older(key, from);
                    }
                }
                return None;
            }
        };
        self.stats.updates_new += 1;
        if let Some((stamp, asks, payload)) = delivered
            && old.is_none()
            && !matches!(source, Source::Own | Source::Restored)
        {
            match asks {
                None => self.events.message(Delivered::Broadcast(BroadcastId(stamp), payload)),
                Some(asks) => self.on_question(QueryId(stamp), &asks, payload),
            }
        }
        if source == Source::Own && subject == Subject::Data {
            self.note_own_write(hash, written);
        }
        self.rumors.got(hash);
        self.note_merged(hash, replaced);
        let about_member = subject == Subject::Membership;
        // Not before: it is kept for longer by what it has replaced here.
        let has_ended = ends && self.replica.get(key).is_none_or(|held| !held.until().is_after(self.agreed()));
        let heats = match source {
            // Whoever holds what it replaces is told when he offers that. And what was deleted meanwhile, and waited in a socket
            // while this node was suspended, would be back everywhere.
            _ if has_ended || self.doubts(key) => false,
            Source::Own | Source::Rumor => true,
            Source::Repair if about_member => true,
            Source::Repair => self.is_relayed(written),
            // A change of others' knowledge is worth a rumor, the many records that a newcomer learns are not.
            Source::CatchUp => about_member && old.is_some(),
            Source::Restored => false,
        };
        if heats && (ends || len > self.largest_update()) {
            // As it is by now, or its descriptor.
            self.heat(key, source);
        } else if heats {
            self.spread(Spread { key: HotKey::Fact(key), subject, hash, len, haste: self.haste(key, source) });
        }
        if about_member {
            self.see_record(key, from, denies);
        }
        self.note_touched();
        self.settle_transfers(key);
        Some(key)
    }

    /// A peer has offered an older version of a key: it gets the one that is held here, whether or not that has ended.
    /// Otherwise a deletion that has ended by one clock and not by the other would lose against what it deleted.
    pub(super) fn answer_older(&mut self, key: KeyHash, from: &A) {
        if self.replica.has(key) && self.trust.affords(from, self.config.max_datagram, self.now) {
            self.replica.offer(key);
            self.outbox.push(TrafficClass::Bulk, from.clone(), Intent::Fact(key));
        }
    }

    /// Returns whether an update is not past its time, or replaces an older version that is held here, and is of a time
    /// that stamps and ends may have. Counts it otherwise.
    pub(super) fn is_timely(&mut self, key: KeyHash, update: &Update<A>, source: Source) -> bool {
        let cut = self.agreed().floor_to(Duration::from_secs(1));
        // The predicate of the reconciled set: what a peer would not be sent is not admitted either. But what has ended
        // still ends what it replaces, and what a snapshot says of deletions is known here already.
        let timely =
            self.replica.keeps(update, cut) || source == Source::Restored || self.replica.replaces(key, update);
        if !timely {
            self.stats.updates_expired += 1;
            return false;
        }
        // No clock decides: what one node refuses and another one takes would differ between them for ever.
        let beyond = update.written() > LATEST;
        self.stats.updates_ahead += u64::from(beyond);
        let entry = !matches!(update, Update::Member(_)) && source != Source::Restored;
        let too_long = entry && update.ends().instant().is_some_and(|end| end > self.agreed() + FURTHEST_END);
        self.stats.updates_too_long += u64::from(too_long);
        !beyond && !too_long
    }

    /// `len`: length of its encoding.
    fn is_oversized(&self, update: &Update<A>, len: usize) -> bool {
        match update {
            Update::Entry(Entry { value: Some(value), .. }) => value.len() > self.config.limits.max_value,
            _ => len > self.largest_update(),
        }
    }

    pub(super) fn note_oversized(&mut self, source: Source) {
        self.stats.updates_oversized += 1;
        self.note_refused(source);
    }

    /// An exchange begins: its repairs may become hot again.
    pub(super) fn renew_relays(&mut self) {
        self.relays_left = RELAYED_REPAIRS;
    }

    /// Returns true if a repaired update is relayed as a rumor: a few that are young are.
    pub(super) fn is_relayed(&mut self, written: Instant) -> bool {
        let young = self.relays_left > 0 && self.agreed().abs_diff(written) < RELAYED_AGE;
        self.relays_left -= u32::from(young);
        young
    }

    /// Queues events for entries that have changed.
    pub(super) fn note_touched(&mut self) {
        while let Some((whose, name)) = self.replica.next_touched() {
            self.note_appeared(whose, &name);
            self.events.entry(whose, name);
        }
    }

    /// Records a refusal, so that the same updates are not offered again and again.
    pub(super) fn note_refused(&mut self, source: Source) {
        if matches!(source, Source::Repair | Source::CatchUp) {
            self.anti_entropy.note_refused(self.now);
            self.note_incomplete();
        }
    }

    /// Spreads what the replica holds of a key.
    pub(super) fn heat(&mut self, key: KeyHash, source: Source) {
        let (Some(update), Some(hash)) = (self.replica.get(key), self.replica.hash_of(key)) else { return };
        let len = wire_len(&self.replica, &update);
        self.spread(Spread {
            key: HotKey::Fact(key),
            subject: subject(&update),
            hash,
            len,
            haste: self.haste(key, source),
        });
    }
}
