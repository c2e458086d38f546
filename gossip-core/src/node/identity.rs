//! The node itself: its id, its address, and the lives that it lives under them.

use core::time::Duration;

use crate::event::Status;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{About, Record, Standing, Until};
use crate::wire::Header;

/// The pauses between refutations of a twin: the first and the last.
const CONFLICT_PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// The phase of a node's life.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made, but not yet told the time.
    Unborn,
    Running,
    /// Has said goodbye, and waits until that has spread.
    Leaving {
        deadline: Instant,
    },
    Left,
}

/// An answer to another process that claims this node's id.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// Silence: it was contradicted a short while ago.
    NotYet,
    /// The first one: it may be this node's own past.
    First,
    /// A further one: it is another live process.
    Repeated,
}

/// Schedule of the contradictions of a twin.
#[derive(Debug)]
struct Conflict<A> {
    pause: Duration,
    /// No contradiction before this.
    until: Instant,
    /// Address of the other process, once it is known to be a live one.
    twin: Option<A>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Identity<A> {
    pub(super) id: NodeId,
    pub(super) address: A,
    pub(super) phase: Phase,
    pub(super) incarnation: u64,
    /// Start of the current life.
    pub(super) boot: Instant,
    /// Random number of that start: see [`Record::pass`].
    pub(super) pass: u64,
    /// Name and tags, if it has any.
    pub(super) about: Option<About>,
    conflict: Conflict<A>,
}

impl<A: Clone + PartialEq> Identity<A> {
    pub(super) fn new(id: NodeId, address: A) -> Self {
        let conflict = Conflict { pause: Duration::ZERO, until: Instant::ORIGIN, twin: None };
        let (phase, boot) = (Phase::Unborn, Instant::ORIGIN);
        Self { id, address, phase, incarnation: 0, boot, pass: 0, about: None, conflict }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(super) const fn status(&self) -> Status {
        match self.phase {
            Phase::Unborn | Phase::Running => Status::Alive,
            Phase::Leaving { .. } | Phase::Left => Status::Left,
        }
    }

    /// Header of what is sent at this time.
    pub(super) fn header(&self, clock: Instant) -> Header {
        let standing = if self.status() == Status::Left { Standing::Left } else { Standing::Alive };
        Header::new(self.id, self.incarnation, standing, clock)
    }

    /// Begins a life: the first, or after a departure the next.
    pub(super) fn start(&mut self, now: Instant, pass: u64) {
        self.pass = pass;
        self.phase = Phase::Running;
        // Never zero: that is the boot of what no boot ends.
        let next = self.boot.as_micros().saturating_add(1);
        self.boot = now.max(Instant::from_micros(next));
        self.incarnation = self.boot.as_micros().max(self.incarnation.saturating_add(1));
    }

    /// Raises the incarnation above `said` (SWIM, section 4.2).
    pub(super) fn refute(&mut self, said: u64) {
        self.incarnation = self.incarnation.max(said).saturating_add(1);
    }

    /// Begins a younger life than another process of this id had (its clock was ahead): with incarnations lives only
    /// grow, so that everywhere the same entries die with them.
    pub(super) fn outlive(&mut self, boot: Instant) {
        self.boot = Instant::from_micros(boot.as_micros().saturating_add(1));
        // A record with another life and the same incarnation could lose against the one before.
        self.incarnation = self.incarnation.saturating_add(1).max(self.boot.as_micros());
    }

    /// Says goodbye, and waits for at most `deadline` until that has spread.
    pub(super) fn leave(&mut self, deadline: Instant) {
        self.phase = Phase::Leaving { deadline };
    }

    /// This node's record as a member.
    pub(super) fn record(&self, standing: Standing, until: Until) -> Record<A> {
        let Self { id, incarnation, boot, pass, .. } = *self;
        let (address, about) = (self.address.clone(), self.about.clone());
        Record { id, incarnation, boot, pass, standing, until, address, about }
    }

    /// Returns whether a record of this id is that of another live process.
    pub(super) fn is_twin(&self, record: &Record<A>) -> bool {
        record.standing == Standing::Alive && (record.address != self.address || record.boot != self.boot)
    }

    /// Decides whether to contradict the twin at `address`: at once the first time, ever more rarely after that, or two
    /// twins would contradict each other without end.
    pub(super) fn contradict(&mut self, now: Instant, address: &A) -> Contradiction {
        let [first, last] = CONFLICT_PAUSE;
        let Conflict { pause, until, twin } = &mut self.conflict;
        if now < *until {
            return Contradiction::NotYet;
        }
        let quiet = now.since(*until) > last;
        let is_first = pause.is_zero() || quiet;
        *pause = if is_first { first } else { (*pause * 2).min(last) };
        *until = now + *pause;
        *twin = (!is_first).then(|| address.clone());
        if is_first { Contradiction::First } else { Contradiction::Repeated }
    }
}

impl<A> Identity<A> {
    /// Returns the address of another live process with this id that was heard of within the last pause.
    pub(super) fn twin(&self, now: Instant) -> Option<&A> {
        let Conflict { until, twin, .. } = &self.conflict;
        twin.as_ref().filter(|_| now.since(*until) <= CONFLICT_PAUSE[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_is_contradicted_ever_more_rarely_until_it_has_been_quiet() {
        let mut identity = Identity::new(NodeId::new(1), 1_u16);
        let start = Instant::from_secs(1_000);
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(identity.contradict(at(0), &2), Contradiction::First);
        assert_eq!(identity.contradict(at(0), &2), Contradiction::NotYet);
        assert_eq!(identity.contradict(at(1), &2), Contradiction::Repeated);
        assert_eq!(identity.contradict(at(2), &2), Contradiction::NotYet, "the pause has doubled");
        assert_eq!(identity.contradict(at(3), &2), Contradiction::Repeated);
        assert_eq!((identity.twin(at(4)), identity.twin(at(400))), (Some(&2), None));
        assert_eq!(identity.contradict(at(1_000), &2), Contradiction::First, "it was quiet for long");
    }

    #[test]
    fn incarnations_and_lives_only_grow() {
        let mut identity = Identity::new(NodeId::new(1), 1_u16);
        identity.start(Instant::from_secs(10), 1);
        let first = (identity.incarnation, identity.boot);
        identity.refute(first.0 + 7);
        assert_eq!(identity.incarnation, first.0 + 8);
        identity.outlive(Instant::from_secs(20));
        assert!(identity.boot > Instant::from_secs(20) && identity.incarnation >= identity.boot.as_micros());
        let second = (identity.incarnation, identity.boot);
        identity.leave(Instant::from_secs(30));
        assert_eq!(identity.status(), Status::Left);
        // The clock has been set back.
        identity.start(Instant::from_secs(5), 2);
        assert!(identity.incarnation > second.0 && identity.boot > second.1 && identity.is_running());
    }
}
