//! Having been away: a replica without any contact for longer than death certificates are kept comes back as a
//! newcomer. What it had learned before may be deleted by now with nobody left who remembers that; what it wrote since
//! is its own and new.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use crate::address::Address;
use crate::config::Membership;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Broadcast, Certificate, Entry, Update};

/// The last time that somebody answered: to hear without being heard is no contact, for nobody sends what is missing
/// to one whom he believes dead.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Contact {
    /// By this node's clock.
    at: Instant,
    /// By the hybrid logical clock, which stamps are of.
    clock: Instant,
}

impl Contact {
    pub(super) const fn away(self, now: Instant) -> Duration {
        now.since(self.at)
    }

    /// Whether this was written by `id`, and later.
    pub(super) fn precedes<A>(self, id: NodeId, update: &Update<A>) -> bool {
        match update {
            Update::Member(_) => false,
            Update::Entry(Entry { stamp, .. })
            | Update::Certificate(Certificate { stamp, .. })
            | Update::Broadcast(Broadcast { stamp, .. }) => stamp.node == id && stamp.time > self.clock,
        }
    }
}

impl<A: Address> Node<A> {
    /// Somebody is heard of, but has perhaps not heard of this node.
    pub(super) fn note_signal(&mut self) {
        match self.contact {
            // Where nobody is probed nobody answers while all agree.
            Some(_) if self.config.membership == Membership::Given => self.note_answer(),
            Some(contact) => self.end_absence(contact.away(self.now)),
            None => self.contact = Some(Contact { at: self.now, clock: self.clock.now(self.now) }),
        }
    }

    /// Somebody has answered.
    pub(super) fn note_answer(&mut self) {
        if let Some(contact) = self.contact {
            self.end_absence(contact.away(self.now));
        }
        self.contact = Some(Contact { at: self.now, clock: self.clock.now(self.now) });
    }

    /// `away`: for how long nobody has answered, or the process stood still. If that is too long, begins anew.
    pub(super) fn end_absence(&mut self, away: Duration) {
        // Where nobody else is expected, nobody was missed: this replica is all that there is of the cluster.
        let missed = self.detector.members().peers() > 0 || self.lacks_peers();
        if let Some(contact) = self.contact
            && away > self.config.lifetimes.certificate
            && missed
        {
            self.begin_anew(contact);
            self.events.came_back(away);
        }
    }

    fn begin_anew(&mut self, contact: Contact) {
        // What was written since is still to be told, however long it takes until somebody answers.
        self.contact = Some(Contact { at: self.now, ..contact });
        let own = self.identity.id;
        let gone: Vec<NodeId> = self.detector.members().iter().map(|seen| seen.id).filter(|id| *id != own).collect();
        for record in gone.iter().filter_map(|id| self.replica.member(*id)) {
            self.contacts.remember(record);
        }
        self.forget_links();
        self.forget_members(gone);
        self.replica.retain(|update| is_of(own, update) || contact.precedes(own, update));
        self.anti_entropy.drop_exchange(self.now);
        self.transfers.clear();
        self.note_touched();
        self.note_isolation();
    }
}

/// Whether it is this member's record, or what it owns.
pub(super) fn is_of<A>(id: NodeId, update: &Update<A>) -> bool {
    match update {
        Update::Member(record) => record.id == id,
        Update::Entry(Entry { owner, .. }) | Update::Certificate(Certificate { owner, .. }) => {
            owner.is_some_and(|owner| owner.id == id)
        }
        Update::Broadcast(_) => false,
    }
}
