//! Time: everything that a node waits for, and what it does when that is due.

use super::Node;
use super::identity::Phase;
use crate::address::Address;
use crate::time::Instant;

/// Something that a node waits for.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Timer {
    /// The end of the wait for this node's departure to spread.
    Leaving,
    /// The next probe, the time-out of the one that runs, or the end of a suspicion.
    Detector,
    /// The next round of rumor mongering.
    Rumors,
    /// The next thing to be sent over a link, or the next step of its upkeep.
    Overlay,
    /// The next exchange, or the next retry of the one that runs.
    AntiEntropy,
    /// The next retry of a value that is being fetched in parts.
    Transfers,
    /// The next step of a comparison of lengths.
    Paths,
    /// The next message to a member that is repeated or given up, the next reminder or the end of a query.
    Messages,
    /// The next contact with a seed or a dead member.
    Contacts,
    /// The next update that is past its time.
    Expiry,
}

impl Timer {
    const ALL: [Self; 10] = [
        Self::Leaving,
        Self::Detector,
        Self::Rumors,
        Self::Overlay,
        Self::AntiEntropy,
        Self::Transfers,
        Self::Paths,
        Self::Messages,
        Self::Contacts,
        Self::Expiry,
    ];
}

impl<A: Address> Node<A> {
    fn due(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::Leaving => match self.identity.phase {
                Phase::Leaving { deadline } => Some(deadline),
                _ => None,
            },
            Timer::Detector => self.detector.due().filter(|_| self.identity.is_running()),
            Timer::Rumors => self.rumors.due(self.is_alone()),
            Timer::Overlay => self.overlay_due(),
            Timer::AntiEntropy => self.anti_entropy.due(),
            Timer::Transfers => self.transfers.due(),
            Timer::Paths => self.paths.due(),
            Timer::Messages => self.messages_due(),
            Timer::Contacts => self.contacts.due(),
            Timer::Expiry => self.expiry_due(),
        }
    }

    /// Returns the time at which the node wants a [tick](super::Input::Tick): the one deadline that a driver keeps.
    /// Only a node that has left has none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.identity.phase {
            Phase::Unborn => Some(Instant::ORIGIN),
            Phase::Left => None,
            Phase::Running | Phase::Leaving { .. } => Timer::ALL.into_iter().filter_map(|timer| self.due(timer)).min(),
        }
    }

    /// Takes note of the time, which never runs backwards here. The first call begins this node's life.
    pub(super) fn advance(&mut self, now: Instant) {
        self.pass_to(now);
        if self.identity.phase == Phase::Unborn {
            self.start();
        }
    }

    /// Does everything that is due.
    pub(super) fn tick(&mut self) {
        if self.identity.phase == Phase::Left {
            return;
        }
        self.tick_expiry();
        self.tick_detector();
        self.tick_rumors();
        self.tick_overlay();
        self.tick_anti_entropy();
        self.tick_transfers();
        self.tick_paths();
        self.tick_messages();
        self.tick_bounds();
        self.tick_gate();
        self.tick_formats();
        self.tick_leaving();
        self.note_isolation();
        self.tick_contacts();
        self.tick_unreached();
        self.tick_health();
    }

    /// Returns the time at which something in the replica ends or may be forgotten.
    fn expiry_due(&self) -> Option<Instant> {
        let ends = self.replica.next_due().map(|end| self.clocks.when(end));
        let settles = self.replica.has_ended().then(|| self.settled.due());
        ends.into_iter().chain(settles).min()
    }

    /// Lets what has ended leave the set, and what has been past for long enough be forgotten.
    fn tick_expiry(&mut self) {
        let agreed = self.agreed();
        let stepped_back = agreed < self.replica.cut();
        if stepped_back || self.expiry_due().is_some_and(|due| due <= self.now) {
            let past = self.settled.look(self.now, agreed, self.is_in_touch());
            let forgotten = self.replica.advance(agreed, past);
            forgotten.iter().for_each(|record| self.contacts.keep_forgotten(record, &mut self.rng));
            self.forget_members(forgotten.into_iter().map(|record| record.id));
            self.note_touched();
        }
    }
}
