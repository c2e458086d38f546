//! Health: the problems that this node has now, collected from the machines that detect them.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use super::gate::Unreadable;
use crate::address::Address;
use crate::clock::Wrong;
use crate::health::{Alert, Began, Problem};
use crate::time::Instant;

/// Time for which a loss at the start is reported.
const LOSS_LASTS: Duration = Duration::from_secs(3_600);

/// Memory of what was wrong.
#[derive(Debug, Default)]
pub(super) struct Health {
    began: Began,
    /// Items lost at a restoration, and the time of it.
    lost: Option<(u64, Instant)>,
}

impl<A: Address> Node<A> {
    /// Lists what is wrong at `now`: empty at a healthy node. Each alert says since when, and what to do.
    ///
    /// An alert is there as long as its problem lasts. Those that are noticed by datagrams ([`Problem::ForeignCluster`],
    /// [`Problem::UnknownKey`], [`Problem::UnknownVersion`], [`Problem::LargerDatagrams`]) end when none has come for an hour,
    /// [`Problem::IdentityConflict`] when the other node has been silent for five minutes.
    pub fn health(&self, now: Instant) -> Vec<Alert<A>> {
        let now = now.max(self.now);
        let dated = |problem| {
            let since = self.health.began.of(&problem).unwrap_or(now);
            Alert::new(problem, self.clocks.agreed(now) - now.since(since))
        };
        self.problems(now).into_iter().map(dated).collect()
    }

    /// Takes note that a driver could not restore all that it had stored: it is reported for an hour.
    pub fn note_loss(&mut self, now: Instant, items: u64) {
        self.pass_to(now);
        if items > 0 {
            let before = self.health.lost.map_or(0, |(lost, _)| lost);
            self.health.lost = Some((before.saturating_add(items), self.now));
            self.tick_health();
        }
    }

    /// Records when problems begin and end.
    pub(super) fn tick_health(&mut self) {
        let problems = self.problems(self.now);
        self.health.began.note(self.now, &problems);
    }

    fn problems(&self, now: Instant) -> Vec<Problem<A>> {
        let mut problems = Vec::new();
        if self.is_isolated() {
            problems.push(Problem::Isolated);
        }
        if let Some((received, expected)) = self.catching_up() {
            problems.push(Problem::CatchingUp { received, expected });
        }
        if let Some(Wrong { peers, own }) = self.clocks.wrong(now) {
            problems.push(Problem::ClockWrong { peers, own });
        }
        if let Some((advertised, seen)) = self.unreached_at(now) {
            problems.push(Problem::Unreachable { advertised: advertised.clone(), seen: seen.clone() });
        }
        if let Some((address, longest)) = self.paths.found().next() {
            let paths = self.paths.found().count();
            problems.push(Problem::NarrowPaths { paths, address: address.clone(), longest });
        }
        if let Some(needed) = self.detector.needed() {
            problems.push(Problem::PeriodTooShort { needed, period: self.config.probe.period });
        }
        problems.extend(self.reached_bounds.bounds().map(|bound| Problem::Full { bound }));
        if self.aside.len() > 0 {
            problems.push(Problem::SetAside { count: self.aside.len() });
        }
        if let Some(address) = self.identity.twin(now) {
            problems.push(Problem::IdentityConflict { address: address.clone() });
        }
        problems.extend(self.gate.unreadable(now).map(|(what, address)| {
            let address = address.clone();
            match what {
                Unreadable::Label => Problem::ForeignCluster { address },
                Unreadable::Key(key) => Problem::UnknownKey { key: *key, address },
                Unreadable::Size(length) => {
                    Problem::LargerDatagrams { length: *length, longest: self.config.max_datagram, address }
                }
                Unreadable::Version(version) => Problem::UnknownVersion { version: *version, address },
            }
        }));
        problems.extend(self.incompatible().next().map(|id| Problem::Incompatible { id }));
        if let Some((lost, at)) = self.health.lost
            && now < at + LOSS_LASTS
        {
            problems.push(Problem::RestoredWithLoss { lost });
        }
        problems
    }
}
