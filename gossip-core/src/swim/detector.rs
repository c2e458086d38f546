//! The failure detector whole: the member view, the prober, the suspicions and local health.
//!
//! Every call takes a [`Context`] and leaves [`Finding`]s, which the node applies (`apply_findings` in `node/membership.rs`). The
//! detector never learns what follows from them: which records are written, which rumors are spread, what the application is told.

use alloc::collections::VecDeque;
use core::time::Duration;

use rand::{Rng, RngExt};

use super::suspicion::{Accusation, Due, Suspicions, Verdict};
use super::{FirstSight, Health, Prober, Reach, Step, probe};
use crate::address::Address;
use crate::config::Probe;
use crate::coordinate::Packed;
use crate::event::Status;
use crate::id::NodeId;
use crate::members::{Members, Seen};
use crate::outbox::{Intent, Outbox, TrafficClass};
use crate::replica::Replica;
use crate::time::{Instant, micros};
use crate::update::{KeyHash, Record, Standing};
use crate::wire::{Item, PingReq, Rumor, Suspicion, Swim, Unreached};

/// Capacity for findings that is kept while none waits.
const FINDINGS_KEPT: usize = 8;

/// Members that ping, in one period, a member that denies being dead, at most. In larger clusters the pings are spread over several
/// periods.
const CHECKED_AT_ONCE: u32 = 100;

/// Parts of a period: the shortest time that the subject of a departure has to object to it.
const OBJECTION: u32 = 8;

/// Everything outside of the detector that it works with.
pub(crate) struct Context<'a, A, R> {
    pub(crate) now: Instant,
    pub(crate) replica: &'a Replica<A>,
    pub(crate) outbox: &'a mut Outbox<A>,
    pub(crate) rng: &'a mut R,
}

/// A result of the detector, to be applied by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding<A> {
    /// A member is seen in another way than before, or may have another address (`moved`).
    Seen { id: NodeId, was: Option<Status>, moved: bool },
    /// A suspicion that this node had not heard of: it spreads as a rumor.
    Suspect(Suspicion),
    /// A suspicion that is settled: its rumor spreads no further.
    Settled(Suspicion),
    /// A suspicion has lasted long enough: the member's death is to be recorded.
    Dead { id: NodeId, incarnation: u64 },
    /// A dead member lives. `here`: its address, if it said so itself.
    Revived { here: Option<A> },
    /// A member answers whose record was shown by others: it is to be believed.
    Answered(Record<A>),
    /// Somebody accuses this node of being silent.
    Refute { incarnation: u64 },
}

/// Counters of the detector, as in [`Stats`](crate::Stats).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) probes_failed: u64,
    pub(crate) suspicions: u64,
    pub(crate) deaths: u64,
    pub(crate) unreached: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Detector<A> {
    own: NodeId,
    buddy: bool,
    period: Duration,
    /// False where the application gives the members: then nobody is probed or suspected.
    probes: bool,
    members: Members,
    prober: Prober<A>,
    suspicions: Suspicions,
    first_sight: FirstSight<A>,
    reach: Reach<A>,
    health: Health,
    findings: VecDeque<Finding<A>>,
    counted: Counted,
}

impl<A: Address> Detector<A> {
    /// `probes`: whether this node finds out by itself who is there.
    pub(crate) fn new(own: NodeId, settings: Probe, probes: bool, rng: &mut impl Rng) -> Self {
        Self {
            own,
            buddy: settings.buddy,
            period: settings.period,
            probes,
            members: Members::new(rng),
            suspicions: Suspicions::new(own, settings.clone()),
            first_sight: FirstSight::new(settings.period),
            reach: Reach::new(settings.timeout),
            health: Health::new(settings.max_health),
            prober: Prober::new(settings, rng),
            findings: VecDeque::new(),
            counted: Counted::default(),
        }
    }

    /// The member view.
    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) const fn health(&self) -> u32 {
        self.health.value()
    }

    pub(crate) const fn counted(&self) -> Counted {
        self.counted
    }

    /// Returns whether a member is pinged within a period.
    pub(crate) fn pings_soon(&self) -> bool {
        self.probes && self.members.peers() > 0 && self.health.value() == 0
    }

    /// Number of probes begun so far.
    pub(crate) const fn probes_begun(&self) -> u64 {
        self.prober.begun()
    }

    /// Number of periods so far that lasted longer than configured.
    pub(crate) const fn periods_stretched(&self) -> u64 {
        self.prober.stretched()
    }

    /// Returns the time that answers of most members need, if that is longer than a period.
    pub(crate) fn needed(&self) -> Option<Duration> {
        self.prober.needed()
    }

    /// Number of pings repeated so far.
    pub(crate) const fn pings_repeated(&self) -> u64 {
        self.prober.repeated()
    }

    /// Takes out the next finding.
    pub(crate) fn pop_finding(&mut self) -> Option<Finding<A>> {
        let finding = self.findings.pop_front();
        if finding.is_none() && self.findings.capacity() > FINDINGS_KEPT {
            self.findings.shrink_to(FINDINGS_KEPT);
        }
        finding
    }

    /// The next time at which [`tick`](Self::tick) has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = || {
            self.prober
                .due()
                .into_iter()
                .chain(self.suspicions.due())
                .chain(self.reach.due())
                .chain(self.first_sight.due())
                .min()
        };
        self.probes.then(due).flatten()
    }

    /// Probes, and ends suspicions that have lasted long enough.
    pub(crate) fn tick<R: Rng>(&mut self, context: &mut Context<'_, A, R>) {
        if !self.probes {
            return;
        }
        let Context { now, replica, outbox, rng, .. } = context;
        if let Some(due) = self.prober.due().filter(|due| due <= now) {
            self.suspicions.note_lateness(*now, now.since(due));
        }
        let mut probing =
            probe::Context { now: *now, own: self.own, members: &mut self.members, replica, outbox, rng: &mut **rng };
        if let Some(silent) = self.prober.tick(&mut self.health, &mut probing) {
            self.counted.probes_failed += 1;
            self.suspect(silent, context);
        }
        self.tick_reach(context);
        while let Some((address, seq)) = self.first_sight.again(context.now) {
            Prober::ping_stranger(&address, seq, context.outbox);
        }
        while let Some(due) = self.suspicions.pop_due(context.now) {
            match due {
                Due::Warning(id) => self.warn(id, context),
                Due::End(id) => self.declare_dead(id, context),
            }
        }
    }

    /// Returns true if this node finds out by itself who is there.
    pub(crate) const fn probes(&self) -> bool {
        self.probes
    }

    /// Address that was pinged in this period.
    pub(crate) fn pinged(&self) -> Option<&A> {
        self.prober.pinged()
    }

    /// Members of which an ack with this number is waited for.
    pub(crate) fn awaited(&self, seq: u32) -> impl Iterator<Item = NodeId> + '_ {
        self.prober.awaited(seq).chain(self.first_sight.awaited(seq)).chain(self.reach.awaited(seq))
    }

    /// Returns whether the ping of the current probe that has this number was sent as between strangers.
    pub(crate) fn pinged_as_stranger(&self, seq: u32) -> bool {
        self.prober.pinged_as_stranger(seq)
    }

    /// Takes an ack in. Returns the round trip if the sender is the member that was probed, and answered directly.
    pub(crate) fn on_ack<R: Rng>(
        &mut self,
        sender: NodeId,
        seq: u32,
        context: &mut Context<'_, A, R>,
    ) -> Option<Duration> {
        if let Some(record) = self.first_sight.answered(sender, seq) {
            self.findings.push_back(Finding::Answered(record));
        }
        if self.reach.awaited(seq).any(|id| id == sender) {
            self.note_reached(sender, context.rng);
        }
        let trip = self.prober.on_ack(context.now, sender, seq, &mut self.health, context.outbox);
        if let Some(target) = self.prober.answered() {
            self.note_reached(target, context.rng);
        }
        if let Some((late, trip)) = self.prober.take_late() {
            self.suspicions.defer(context.now, late, trip);
            self.note_reached(late, context.rng);
        }
        trip
    }

    /// Takes note that a member has answered at its address. A member that denies every suspicion and answers no ping is *held*: it
    /// stays suspect until it answers.
    fn note_reached(&mut self, id: NodeId, rng: &mut impl Rng) {
        let Some(seen) = self.members.get(id) else { return };
        self.members.note_reached(id);
        self.reach.reached(id);
        if seen.is_held() && !self.suspicions.holds(id) {
            self.see(id, Status::Alive, seen.incarnation, false, rng);
        }
    }

    /// Takes note of a datagram of a member that did not come from the address in its record: some send from another one than
    /// they receive at, others are reached nowhere.
    pub(crate) fn hear_elsewhere(&mut self, now: Instant, id: NodeId, from: &A) {
        let is_doubtful = |seen: Seen| seen.is_unreached() && matches!(seen.status, Status::Alive | Status::Suspect);
        if self.probes && self.members.get(id).is_some_and(is_doubtful) {
            self.reach.check(now, id, Some(from));
        }
    }

    /// Returns the member whose datagrams come from this address, which is not that in its record.
    pub(crate) fn seen_at(&self, address: &A) -> Option<NodeId> {
        self.reach.seen_at(address)
    }

    /// Pings members at the addresses in their records, and tells those that are silent there.
    fn tick_reach<R: Rng>(&mut self, context: &mut Context<'_, A, R>) {
        while let Some(step) = self.reach.step(context.now) {
            match step {
                Step::Ping(id) => {
                    if let Some(record) = context.replica.member(id) {
                        let seq = self.prober.ping_at(&record.address, context.outbox);
                        self.reach.pinged(id, seq);
                    }
                }
                Step::Unreached(id, seen) => {
                    self.counted.unreached += 1;
                    self.hold(id, context.rng);
                    if let (Some(record), Some(seen)) = (context.replica.member(id), seen) {
                        let report = Unreached { advertised: record.address.clone(), seen: seen.clone() };
                        context.outbox.message(TrafficClass::Ack, seen, Swim::Unreached(report));
                    }
                }
            }
        }
    }

    /// Holds a member as suspect that denies being dead and has not answered this node either.
    fn hold(&mut self, id: NodeId, rng: &mut impl Rng) {
        if let Some(seen) = self.members.get(id).filter(|seen| seen.is_doubted() && seen.status == Status::Alive) {
            self.see(id, Status::Suspect, seen.incarnation, false, rng);
        }
    }

    /// Asks a member whether it is there. Its record follows as a [`Finding`] if it answers. Returns false if it is not asked:
    /// its answer is waited for, or too many are asked.
    pub(crate) fn ask_first<R>(&mut self, record: &Record<A>, context: &mut Context<'_, A, R>) -> bool {
        let asks = self.first_sight.wants(context.now, record.id);
        if asks {
            let seq = self.first_sight.ask(context.now, self.prober.next_seq(), record);
            Prober::ping_stranger(&record.address, seq, context.outbox);
        }
        asks
    }

    pub(crate) fn on_nack(&mut self, sender: NodeId, seq: u32) {
        self.prober.on_nack(sender, seq);
    }

    pub(crate) fn on_ping_req(&mut self, now: Instant, from: &A, request: PingReq<A>, outbox: &mut Outbox<A>) {
        self.prober.on_ping_req(now, from, request, outbox);
    }

    pub(crate) fn on_unreachable(&mut self, to: &A, now: Instant) {
        self.prober.on_unreachable(to, now);
    }

    /// Takes note that the record of another member has changed. `key`: the record's; `from`: the address of whoever
    /// sent it, none if it was restored or is this node's own doing; `denies`: nothing has changed but the incarnation, by which the
    /// member denies being suspect or dead.
    pub(crate) fn see_record<R: Rng>(
        &mut self,
        key: KeyHash,
        (record, denies): (&Record<A>, bool),
        from: Option<&A>,
        context: &mut Context<'_, A, R>,
    ) {
        let Record { id, incarnation, standing, address, .. } = record;
        let (id, incarnation) = (*id, *incarnation);
        let seen = self.members.get(id);
        match (*standing, seen.map(|seen| seen.status)) {
            (Standing::Alive, was) => {
                let refuted = seen.is_none_or(|seen| seen.incarnation < incarnation);
                if refuted {
                    self.settle(id);
                    match was {
                        Some(Status::Suspect | Status::Dead) => self.members.note_refuted(id),
                        // Along links it overtakes the suspicion, which nobody hears after it.
                        Some(Status::Alive) if denies => self.members.note_refuted(id),
                        Some(Status::Left) => self.members.note_reached(id),
                        Some(Status::Alive) | None => {}
                    }
                }
                let doubted = refuted && self.members.get(id).is_some_and(|seen| seen.is_doubted());
                // Nobody who was seen alive is held before it has left this node's own pings without an answer: where
                // datagrams are lost others' false suspicions are many.
                let held = doubted && was.is_some_and(|was| was != Status::Alive);
                let status = match was {
                    _ if held => Status::Suspect,
                    Some(was) if !refuted => was,
                    _ => Status::Alive,
                };
                // Seen as of a later incarnation than this record's: that was told by a record that is held no more.
                let incarnation = incarnation.max(seen.map_or(0, |seen| seen.incarnation));
                self.see(id, status, incarnation, !held && !denies, context.rng);
                if doubted {
                    // Perhaps it answers nobody, and denies being dead: that would go on for ever. All hear of it at the same
                    // time, so that of many who see it alive not all ask at once.
                    let peers = u32::try_from(self.members.peers()).unwrap_or(u32::MAX);
                    let span = self.period.saturating_mul(peers) / CHECKED_AT_ONCE;
                    let wait = if held { 0 } else { context.rng.random_range(0..=micros(span)) };
                    self.reach.check_again(context.now + Duration::from_micros(wait), id, denies);
                }
                if was == Some(Status::Dead) && status != Status::Dead {
                    let here = (from == Some(address)).then(|| address.clone());
                    self.findings.push_back(Finding::Revived { here });
                }
            }
            (Standing::Dead, Some(status @ (Status::Alive | Status::Suspect))) if self.probes => {
                // Believed only after it had its chance to refute it: where datagrams are lost somebody is suspected
                // at any time, and an old record from beyond a partition would bury whoever it is just then.
                self.suspicions.set_patience(self.prober.patience(id));
                self.suspicions.hear_of_death(context.now, id, incarnation, self.members.peers() + 1);
                let incarnation = incarnation.max(seen.map_or(0, |seen| seen.incarnation));
                self.see(id, Status::Suspect, incarnation, false, context.rng);
                if status == Status::Alive {
                    // The accused hears it first; one who is suspected has heard of it already.
                    context.outbox.push(TrafficClass::Probe, address.clone(), Intent::Fact(key));
                    self.prober.ping_now(id, address, context.outbox);
                }
            }
            (Standing::Dead, _) => self.see(id, Status::Dead, incarnation, false, context.rng),
            (Standing::Left, Some(Status::Alive | Status::Suspect))
                if self.probes && from.is_some_and(|from| from != address) =>
            {
                // Otherwise whoever declares departures in others' names dissolves a cluster. As of a death, the accused
                // hears of it first; one that has left does not object.
                if self.suspicions.hear_of_departure(context.now, id, incarnation, self.objection()) {
                    context.outbox.push(TrafficClass::Probe, address.clone(), Intent::Fact(key));
                }
            }
            (Standing::Left, _) => {
                self.settle(id);
                self.see(id, Status::Left, incarnation, false, context.rng);
            }
        }
    }

    /// The time that the subject of a departure has to object to it: two round trips, as far as they are known.
    fn objection(&self) -> Duration {
        let measured = self.prober.round_trip().map_or(Duration::ZERO, |trip| 2 * trip);
        measured.clamp(self.period / OBJECTION, self.period)
    }

    /// Sees a member in this way from now on. `moved`: its address may be another.
    fn see(&mut self, id: NodeId, status: Status, incarnation: u64, moved: bool, rng: &mut impl Rng) {
        let was = self.members.get(id);
        self.members.see(id, status, incarnation, rng);
        // A member that was gone before this node heard of it is no event.
        let differs = match was {
            None => matches!(status, Status::Alive | Status::Suspect),
            Some(was) => was.status != status || (moved && was.incarnation != incarnation),
        };
        if differs {
            let (was, moved) = (was.map(|was| was.status), moved && was.is_some());
            self.findings.push_back(Finding::Seen { id, was, moved });
        }
    }

    /// Forgets a member.
    pub(crate) fn forget(&mut self, id: NodeId) {
        if let Some(seen) = self.members.forget(id) {
            self.suspicions.end(id);
            self.reach.forget(id);
            self.findings.push_back(Finding::Seen { id, was: Some(seen.status), moved: false });
        }
    }

    /// Takes a round trip to a member in.
    pub(crate) fn note_trip(&mut self, id: NodeId, trip: Duration) {
        self.members.note_trip(id, trip);
    }

    /// Remembers the coordinate of a member. `own_word`: the member said it.
    pub(crate) fn note_coordinate(&mut self, id: NodeId, coordinate: Packed, own_word: bool) {
        self.members.note_coordinate(id, coordinate, own_word);
    }

    /// The next dead member to be contacted.
    pub(crate) fn next_dead(&mut self, rng: &mut impl Rng) -> Option<NodeId> {
        self.members.next_dead(rng)
    }

    /// Gives a dead member up: it is not contacted again.
    pub(crate) fn give_up(&mut self, id: NodeId) {
        self.members.give_up(id);
    }

    /// Takes note that somebody suspects somebody. `from`: the address of the one who says so, none if it is this node. Returns
    /// whether that was new here.
    pub(crate) fn on_suspicion<R: Rng>(
        &mut self,
        suspicion: Suspicion,
        from: Option<&A>,
        context: &mut Context<'_, A, R>,
    ) -> bool {
        let Suspicion { about, incarnation, accuser } = suspicion;
        if !self.probes {
            return false;
        }
        if about == self.own {
            self.findings.push_back(Finding::Refute { incarnation });
            return false;
        }
        let Some(seen) = self.members.get(about) else { return false };
        // Of an incarnation that is above the one in the record held, a suspicion could be anybody's invention, up to one
        // that leaves no room to refute it.
        let credible = context.replica.member(about).is_some_and(|record| incarnation <= record.incarnation);
        if !credible || !matches!(seen.status, Status::Alive | Status::Suspect) || seen.incarnation > incarnation {
            return false;
        }
        // Whoever could invent accusers could bury anybody. What this node thinks it knows itself.
        let is_peer = |seen: Seen| matches!(seen.status, Status::Alive | Status::Suspect);
        let may_accuse = match from {
            Some(_) => accuser != self.own && self.members.get(accuser).is_some_and(is_peer),
            None => true,
        };
        if !may_accuse {
            return false;
        }
        let n = self.members.peers() + 1;
        self.suspicions.set_patience(self.prober.patience(about));
        let carrier = match from {
            Some(from) => context.replica.members_at(from).next().map(|record| record.id),
            None => Some(self.own),
        };
        let accusation = Accusation::By { accuser, carrier };
        if self.suspicions.accuse(context.now, about, incarnation, accusation, n) == Verdict::Stale {
            return false;
        }
        self.see(about, Status::Suspect, incarnation, false, context.rng);
        self.findings.push_back(Finding::Suspect(suspicion));
        true
    }

    /// Ends the suspicion of a member: nobody else needs to hear of it any more.
    fn settle(&mut self, about: NodeId) {
        if let Some((incarnation, accusers)) = self.suspicions.end(about) {
            let settled = accusers.into_iter().map(|accuser| Suspicion { about, incarnation, accuser });
            self.findings.extend(settled.map(Finding::Settled));
        }
    }

    /// A member did not answer. It hears so at once: if it is there after all, the suspicion is mostly refuted before
    /// many have heard of it.
    fn suspect<R: Rng>(&mut self, id: NodeId, context: &mut Context<'_, A, R>) {
        self.members.note_missed(id);
        let Some(seen) = self.members.get(id) else { return };
        if seen.is_doubted() && !seen.is_silent() {
            // It would deny that, and answer no more than before.
            self.hold(id, context.rng);
            return;
        }
        if matches!(seen.status, Status::Alive | Status::Suspect) {
            let suspicion = Suspicion { about: id, incarnation: seen.incarnation, accuser: self.own };
            let raised = self.on_suspicion(suspicion, None, context);
            self.counted.suspicions += u64::from(raised && seen.status == Status::Alive);
            if raised && self.buddy {
                self.warn(id, context);
            }
        }
    }

    /// Tells a member that this node suspects it, and pings it once more (after Lifeguard's buddy system).
    fn warn<R>(&mut self, about: NodeId, context: &mut Context<'_, A, R>) {
        if let (Some(seen), Some(record)) = (self.members.get(about), context.replica.member(about)) {
            let suspicion = Suspicion { about, incarnation: seen.incarnation, accuser: self.own };
            let warning = Rumor::Mail(Item::Suspicion(suspicion));
            context.outbox.message(TrafficClass::Probe, record.address.clone(), warning);
            self.prober.ping_now(about, &record.address, context.outbox);
        }
    }

    /// A suspicion has lasted long enough, or nobody has objected to a departure.
    fn declare_dead<R: Rng>(&mut self, id: NodeId, context: &mut Context<'_, A, R>) {
        let (Some(record), Some(seen)) = (context.replica.member(id), self.members.get(id)) else { return };
        if record.standing == Standing::Left && record.incarnation >= seen.incarnation {
            self.see(id, Status::Left, record.incarnation, false, context.rng);
            return;
        }
        self.counted.deaths += 1;
        // The death is of the incarnation that was last seen, also if the record held is of an earlier one.
        let incarnation = record.incarnation.max(seen.incarnation);
        self.see(id, Status::Dead, incarnation, false, context.rng);
        if record.standing == Standing::Alive || record.incarnation != incarnation {
            self.findings.push_back(Finding::Dead { id, incarnation });
        }
    }

    /// Returns the time at which the first suspicion ends, or is warned of.
    #[cfg(test)]
    pub(crate) fn suspicion_ends(&self) -> Option<Instant> {
        self.suspicions.due()
    }

    /// The suspicion that `sender` seems not to know of. `says`: true for the incarnations with which it speaks of itself in this
    /// datagram. `spreads`: true if a suspicion is a rumor still, which reaches it by itself. (Told with every datagram, a
    /// cluster with losses would speak of little else.)
    pub(crate) fn accusation(
        &mut self,
        sender: NodeId,
        says: impl Fn(u64) -> bool,
        spreads: impl Fn(Suspicion) -> bool,
    ) -> Option<Suspicion> {
        let Seen { incarnation, status, .. } = self.members.get(sender)?;
        if status != Status::Suspect {
            return None;
        }
        self.members.note_heard(sender);
        let suspicion = |accuser| Suspicion { about: sender, incarnation, accuser };
        let due = self.buddy
            && self.suspicions.holds(sender)
            && says(incarnation)
            && !self.suspicions.accusers(sender).iter().any(|accuser| spreads(suspicion(*accuser)));
        due.then(|| suspicion(self.own))
    }
}
