//! Reports of other members that this node does not answer at the address that it advertises.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::event::Status;
use crate::id::NodeId;
use crate::time::Instant;
use crate::wire;

/// Members whose reports are kept: those that came last.
const REPORTS: usize = 8;
/// Members that must say so before it is believed, or all if there are fewer: one may be wrong.
const NEEDED: usize = 2;
/// Protocol periods for which a report counts. It is repeated, as long as the member hears from this node.
const LASTS: u32 = 60;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Unreached<A> {
    /// Members that said so last, and when.
    reports: Vec<(NodeId, Instant)>,
    /// Address that they spoke of, and where they see this node.
    addresses: Option<(A, A)>,
    /// True if the application was told.
    told: bool,
}

impl<A> Default for Unreached<A> {
    fn default() -> Self {
        Self { reports: Vec::new(), addresses: None, told: false }
    }
}

impl<A: PartialEq> Unreached<A> {
    fn note(&mut self, now: Instant, sender: NodeId, advertised: A, seen: A) {
        if self.addresses.as_ref().is_some_and(|(before, _)| *before != advertised) {
            self.reports.clear();
        }
        self.withdraw(sender);
        if self.reports.len() == REPORTS {
            self.reports.remove(0);
        }
        self.reports.push((sender, now));
        self.addresses = Some((advertised, seen));
    }

    /// Forgets what a member has said: it reaches this node.
    pub(super) fn withdraw(&mut self, sender: NodeId) {
        self.reports.retain(|(of, _)| *of != sender);
    }
}

impl<A: Address> Node<A> {
    /// A member does not reach this node.
    pub(super) fn on_unreached(&mut self, sender: NodeId, report: wire::Unreached<A>) {
        let wire::Unreached { advertised, seen } = report;
        let is_peer = |status| matches!(status, Status::Alive | Status::Suspect);
        let counts = self.detector.members().get(sender).is_some_and(|seen| is_peer(seen.status));
        if counts && advertised == self.identity.address && seen != advertised {
            self.unreached.note(self.now, sender, advertised, seen);
        }
    }

    /// Returns the address at which others do not reach this node, and where they see it instead.
    pub(super) fn unreached_at(&self, now: Instant) -> Option<(&A, &A)> {
        let lasts: Duration = LASTS * self.config.probe.period;
        let count = self.unreached.reports.iter().filter(|(_, at)| now < *at + lasts).count();
        let needed = NEEDED.min(self.detector.members().peers()).max(1);
        let (advertised, seen) = self.unreached.addresses.as_ref()?;
        (count >= needed && *advertised == self.identity.address).then_some((advertised, seen))
    }

    /// Tells the application when others begin not to reach this node.
    pub(super) fn tick_unreached(&mut self) {
        let found = self.unreached_at(self.now).map(|(advertised, seen)| (advertised.clone(), seen.clone()));
        if !self.unreached.told
            && let Some((advertised, seen)) = &found
        {
            self.events.unreachable(advertised.clone(), seen.clone());
        }
        self.unreached.told = found.is_some();
    }
}
