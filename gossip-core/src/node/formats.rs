//! Formats of the wire that the members read, and the features that all of them have: see [`Formats`].
//!
//! A feature is used from when every member has it that has not left, the dead included until they are forgotten: one that is on
//! the other side of a partition seems dead. Once used, it is used for ever: whoever sees a member that uses it does so as well.
//! At a node of format 2.0 among others of that format nothing here costs anything.

use alloc::collections::BTreeSet;

use super::Node;
use crate::address::Address;
use crate::event::Status;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{About, Features, Format, Formats, KeyHash, Standing};

/// Protocol periods for which all members must have had a feature before it is used: a newcomer has heard of all by then.
const SETTLED: u32 = 10;

/// State of an upgrade.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// True if members have changed since the features were last considered.
    stale: bool,
    /// Features that all members have had since then.
    ready: Option<(Features, Instant)>,
    /// Highest format that every living member reads with which this node has a common one.
    common: Format,
    /// Living members that cannot be understood, or cannot understand this node.
    incompatible: BTreeSet<NodeId>,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { stale: false, ready: None, common: Format::FIRST, incompatible: BTreeSet::new() }
    }
}

impl<A: Address> Node<A> {
    /// Returns the formats that this node reads and writes, and its features.
    pub fn formats(&self) -> Formats {
        About::formats_of(self.identity.about.as_ref())
    }

    /// Returns the format in which an address is written to: the highest that its member reads. A stranger is written to in the
    /// highest that all members read.
    pub fn format_for(&self, address: &A) -> Format {
        let own = self.formats();
        let member = self.replica.members_at(address).find(|record| record.standing == Standing::Alive);
        member.and_then(|record| own.common(&record.formats())).unwrap_or(self.upgrade.common)
    }

    /// Takes note of a member whose record has changed.
    pub(super) fn note_formats(&mut self, key: KeyHash) {
        let own = self.formats();
        let Some(record) = key.member().and_then(|id| self.replica.member(id)) else { return };
        let theirs = record.formats();
        if own == Formats::FIRST && theirs == Formats::FIRST && self.upgrade.incompatible.is_empty() {
            return;
        }
        self.upgrade.stale = true;
        let (id, lives) = (record.id, record.standing == Standing::Alive);
        if !lives || own.is_compatible(&theirs) {
            self.upgrade.incompatible.remove(&id);
        } else if self.upgrade.incompatible.insert(id) {
            self.events.incompatible(id, theirs);
        }
    }

    /// Takes note of a member that is forgotten.
    pub(super) fn forget_formats(&mut self, id: NodeId) {
        self.upgrade.incompatible.remove(&id);
        self.upgrade.stale |= self.formats() != Formats::FIRST;
    }

    /// Lists the living members that this node cannot be in a cluster with.
    pub(super) fn incompatible(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.upgrade.incompatible.iter().copied()
    }

    /// Considers what all members read, and which features all have.
    pub(super) fn tick_formats(&mut self) {
        let own = self.formats();
        if own == Formats::FIRST || !self.identity.is_running() {
            return;
        }
        if core::mem::take(&mut self.upgrade.stale) {
            self.count_formats(&own);
        }
        let Some((features, since)) = self.upgrade.ready else { return };
        if self.now.since(since) >= self.config.probe.period * SETTLED && !self.is_isolated() {
            self.use_features(features);
        }
    }

    fn count_formats(&mut self, own: &Formats) {
        let (mut common, mut all, mut used, mut others) = (own.highest, own.can, own.uses, 0);
        #[cfg(feature = "next")]
        let mut able = 0;
        let members = self.detector.members().iter().filter(|seen| seen.status != Status::Left);
        for (seen, record) in members.filter_map(|seen| Some((seen, self.replica.member(seen.id)?))) {
            let Formats { can, uses, .. } = record.formats();
            (all, others) = (all.and(can), others + 1);
            #[cfg(feature = "next")]
            {
                able += usize::from(can.has(own.can));
            }
            if seen.status != Status::Dead {
                common = own.common(&record.formats()).map_or(common, |both| common.min(both));
                used = used.or(uses.and(own.can));
            }
        }
        self.upgrade.common = common;
        #[cfg(feature = "next")]
        let all = self.next.agreed(own.can, all, able * 2 > others);
        // Alone it has nobody to agree with.
        let fresh = if others == 0 { Features::NONE } else { all };
        self.upgrade.ready = match self.upgrade.ready {
            Some((features, since)) if fresh.has(features) => Some((features, since)),
            _ => (!own.uses.has(fresh)).then_some((fresh, self.now)),
        };
        self.use_features(used);
    }

    /// Uses these features from now on, if it does not yet, and says so to all.
    fn use_features(&mut self, features: Features) {
        let own = self.formats();
        let uses = own.uses.or(features);
        if uses != own.uses {
            self.upgrade.ready = None;
            self.set_formats(Formats { uses, ..own });
            self.events.features(uses);
        }
    }

    /// Changes what this member's record says of its formats.
    fn set_formats(&mut self, formats: Formats) {
        self.identity.about = About::formatted(self.identity.about.as_ref(), formats);
        if self.identity.is_running() {
            self.identity.refute(0);
            self.publish_self(Standing::Alive);
        }
    }

    /// Makes this node one that reads these formats and has these features.
    #[cfg(any(test, feature = "next"))]
    pub(super) fn begin_formats(&mut self, formats: Formats) {
        self.upgrade.stale = true;
        self.set_formats(formats);
        let members: alloc::vec::Vec<_> = self.detector.members().iter().map(|seen| seen.id).collect();
        members.into_iter().for_each(|id| self.note_formats(self.replica.hasher.member(id)));
    }
}

/// Returns the highest format that this node reads, for what is read from bytes.
pub(super) fn reads<A>(identity: &super::identity::Identity<A>) -> Format {
    About::formats_of(identity.about.as_ref()).highest
}
