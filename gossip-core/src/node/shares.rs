//! Shares: entries that only their owner writes, and that outlive every boot of it.
//!
//! A boot that does not know what the one before has written would write over it. So it learns that first from others, as
//! all that it holds, and what it could not learn is told when it comes after all.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use smol_str::SmolStr;

use super::Node;
use super::events::Message;
use super::learn::Source;
use crate::address::Address;
use crate::error::WriteError;
use crate::id::NodeId;
use crate::replica::Merged;
use crate::time::Instant;
use crate::update::{Entry, Owner, Payload, Stamp, Update, Whose};

/// Shares beside twice those that are held of which a boot remembers that it has written them.
const LEAST: usize = 64;

/// First write of a share in this boot.
#[derive(Debug)]
struct Begun {
    /// Stamp of the version that it replaced, which this boot has learned.
    after: Option<Stamp>,
    stamp: Stamp,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// True if the application says that what is held here is all that there is.
    claimed: bool,
    /// Shares that this boot has written.
    begun: BTreeMap<SmolStr, Begun>,
    /// Number of them at which those are dropped of which nothing is held any more.
    most: usize,
}

impl Shares {
    /// Takes note of a write in the place of `held`.
    fn note_written(&mut self, name: &str, held: Option<Stamp>, stamp: Stamp) {
        if !self.begun.contains_key(name) {
            self.begun.insert(name.into(), Begun { after: held, stamp });
        }
    }

    /// Drops those of which nothing is held any more, now and then: names that were deleted long ago.
    fn tidy(&mut self, is_held: impl Fn(&str) -> bool) {
        if self.begun.len() > self.most {
            self.begun.retain(|name, _| is_held(name));
            self.most = 2 * self.begun.len() + LEAST;
        }
    }

    /// Returns the value that is lost where one of these two replaces the other: `came` is new here, `held` was. None if it is no
    /// loss: what the later boot had learned, or has written itself.
    fn lost(&mut self, came: &Entry, held: Option<Entry>) -> Option<Entry> {
        let begun = self.begun.get_mut(&came.name)?;
        if let Some(held) = held {
            // Nothing of this boot is left: the next write replaces what has come.
            let mine = held.stamp >= begun.stamp;
            self.begun.remove(&came.name);
            return Some(held).filter(|_| mine);
        }
        let unknown = came.stamp < begun.stamp && begun.after.is_none_or(|after| came.stamp > after);
        if unknown {
            // Told once, however often it is offered.
            begun.after = Some(came.stamp);
        }
        unknown.then(|| came.clone())
    }
}

impl<A: Address> Node<A> {
    /// Writes this member's share of a name: no other can write it, and it stays when this member restarts, dies, leaves and is
    /// forgotten as a member, until it is [deleted](Self::delete_share), or [`forget`](Self::forget) ends it.
    ///
    /// # Errors
    /// [`WriteError::ShareUnknown`] while this node does not [know](Self::knows_shares) what it has written before. Otherwise see
    /// [`put`](Self::put).
    pub fn put_share(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        self.write_share(now, name, Some(value), None)
    }

    /// Deletes this member's share of a name.
    ///
    /// # Errors
    /// See [`put_share`](Self::put_share).
    pub fn delete_share(&mut self, now: Instant, name: &str) -> Result<Stamp, WriteError> {
        self.write_share(now, name, None, None)
    }

    /// Returns a member's share of a name, whether or not the member is there.
    pub fn get_share(&self, owner: NodeId, name: &str) -> Option<Arc<[u8]>> {
        self.value_of(Whose::Share(owner), name)
    }

    /// Lists the shares of this name, by owner: fold them. Their owners need not be there.
    pub fn shares_named(&self, name: &str) -> impl Iterator<Item = (NodeId, Arc<[u8]>)> + '_ {
        let shares = self.named(name).filter(|(owner, _)| owner.has_share());
        shares.map(|(owner, value)| (owner.id, value))
    }

    /// Lists the shares of a member by name.
    pub fn shares_of(&self, owner: NodeId) -> impl Iterator<Item = (SmolStr, Arc<[u8]>)> + '_ {
        let shares = self.replica.shares_of(owner, self.agreed());
        let shares: BTreeMap<_, _> =
            shares.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect();
        shares.into_iter()
    }

    /// Returns whether this node knows what it has written of its shares, so that it may write them. After a start, with or
    /// without memory, it is told that by others: it knows when it holds the same as a member that was there before it
    /// started, or has compared with others for one interval of [anti-entropy](crate::AntiEntropy::interval), since all may
    /// have started together. No event tells that.
    pub fn knows_shares(&self) -> bool {
        let patience = self.config.anti_entropy.interval;
        (self.shares.claimed || self.absence.has_learned(self.now, patience))
            && !self.transfers.awaits_share_of(self.identity.id)
    }

    /// Takes what is held here for all that this member has ever written of its shares: from now on it may write them, with nobody
    /// there to ask. For the first node of a cluster, and where everything was [restored](Self::restore).
    pub fn claim_shares(&mut self) {
        self.shares.claimed = true;
    }

    pub(super) fn write_share(
        &mut self,
        now: Instant,
        name: &str,
        value: Option<&[u8]>,
        lives: Option<Duration>,
    ) -> Result<Stamp, WriteError> {
        self.may_write(now)?;
        if !self.knows_shares() {
            // While others are called there may be somebody.
            let alone = self.live_members() < 2 && (self.is_isolated() || !self.lacks_peers());
            return Err(WriteError::ShareUnknown { alone });
        }
        let own = self.identity.id;
        let held = self.replica.get(self.replica.hasher.entry(Whose::Share(own), name));
        let held = held.as_ref().and_then(Update::stamp);
        let stamp = self.write(now, Some(Owner::of_share(own)), name, value, lives)?;
        self.shares.note_written(name, held, stamp);
        let replica = &self.replica;
        self.shares.tidy(|name| replica.has(replica.hasher.entry(Whose::Share(own), name)));
        Ok(stamp)
    }

    /// Ends the shares of a member that is gone for good, as far as they are known here.
    pub(super) fn end_shares(&mut self, id: NodeId) {
        let names: Vec<SmolStr> = self.shares_of(id).map(|(name, _)| name).collect();
        for name in names {
            // Refused only where nothing can be written at all: this node has left, or its clock is past the last time.
            let _ = self.write(self.now, Some(Owner::of_share(id)), &name, None, None);
        }
    }

    /// Returns true if an update is a value of this member's shares that does not come from this boot.
    pub(super) fn is_own_share(&self, update: &Update<A>, source: Source) -> bool {
        source != Source::Own
            && matches!(update, Update::Entry(Entry { value: Some(_), .. }))
            && update.sharer() == Some(self.identity.id)
    }

    /// Tells a value of this member's shares that is lost, since two boots did not know of each other.
    pub(super) fn compare_share(&mut self, came: Update<A>, merged: &Merged<A>) {
        let Update::Entry(came) = came else { return };
        let held = match merged {
            Merged::News { old: Some(Update::Entry(old)), .. } => Some(old.clone()),
            Merged::Covered { .. } | Merged::Outdated => None,
            Merged::News { .. } | Merged::Parked | Merged::Known => return,
        };
        if let Some(Entry { name, stamp, value: Some(value), .. }) = self.shares.lost(&came, held) {
            self.stats.shares_lost += 1;
            self.events.message(Message::ShareLost(name, Payload(value), stamp));
        }
    }
}
