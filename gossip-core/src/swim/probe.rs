//! Probing (SWIM, sections 3.1 and 4.3): ping one member in every protocol period, and through others if it is silent.
//!
//! Doubt before suspicion: a ping that is not answered within a round trip is repeated inside its period, so that a lost
//! datagram makes no suspicion. Only an answer ends the doubt, not any datagram from the member: one that sends but hears
//! nothing has to be found. Nothing else changes: the suspicion comes at the end of the period, as in the paper.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::time::Duration;

use rand::{Rng, RngExt};
use siphasher::sip::SipHasher24;

use super::{Health, Paths};
use crate::address::Address;
use crate::config;
use crate::estimate::{Backoff, RoundTrip};
use crate::event::Status;
use crate::id::NodeId;
use crate::members::Members;
use crate::outbox::{Intent, Outbox, TrafficClass};
use crate::replica::Replica;
use crate::time::{Instant, micros};
use crate::update::Record;
use crate::wire::{Item, PingReq, Rumor, Suspicion, Swim};

/// Probes for others that may be under way.
const RELAYS: usize = 128;
/// Bound for one requester.
const RELAYS_EACH: usize = 4;

/// Pings out of turn whose numbers are remembered.
const EXTRA: usize = 8;
/// The numbers of a probe's pings differ in these bits only, which say which ping it was: at most `probe.repeat`.
const FAMILY: u32 = 0x1f;
/// Parts of a period: the shortest pause before a ping is repeated, also before anything was measured. Shorter than that
/// an answer is late rather than lost.
const SHORTEST_PAUSE: u32 = 50;
/// Times that a ping is repeated to a member held as suspect: the last of them is sent as between strangers, since it may have
/// restarted, so that it cannot read the others.
const QUIET: u32 = 2;
/// Probes without an answer that are remembered.
const UNANSWERED: usize = 8;
/// Periods for which the first answer of all is waited for: until it comes, a path is as likely long as broken.
const UNMEASURED: u32 = 3;
/// Parts of a period: the longest pause between two repeated pings.
const LONGEST_PAUSE: u32 = 16;

/// Everything that the prober works with.
pub(crate) struct Context<'a, A, R> {
    pub(crate) now: Instant,
    pub(crate) own: NodeId,
    pub(crate) members: &'a mut Members,
    pub(crate) replica: &'a Replica<A>,
    pub(crate) outbox: &'a mut Outbox<A>,
    pub(crate) rng: &'a mut R,
}

/// The probe of the current period.
#[derive(Debug)]
struct Probe<A> {
    target: NodeId,
    address: A,
    /// Number of the first ping. Those of the repeated ones are of the same family.
    seq: u32,
    began: Instant,
    /// Times of the repeated pings.
    repeated: Vec<Instant>,
    /// Time of the next repeated ping; none if there were enough.
    again: Option<Instant>,
    backoff: Backoff,
    /// Time at which others are asked.
    timeout: Instant,
    /// Helpers; none before the timeout.
    asked: Option<Vec<NodeId>>,
    /// Helpers that reported a try.
    nacks: Vec<NodeId>,
    acked: bool,
    /// True if no answer is expected: the target is held as suspect, since it answers nobody.
    quiet: bool,
}

impl<A> Probe<A> {
    /// Returns which ping of this probe has this number: 0 is the first.
    fn ping_of(&self, seq: u32) -> Option<usize> {
        let index = (seq ^ self.seq) as usize;
        (index <= self.repeated.len()).then_some(index)
    }

    /// Time at which that ping was sent.
    fn sent(&self, index: usize) -> Instant {
        index.checked_sub(1).and_then(|index| self.repeated.get(index)).copied().unwrap_or(self.began)
    }
}

/// Returns whether this ping of a probe is sent as between strangers: every second of the repeated ones, since a member that
/// has restarted cannot read what is keyed by its earlier pass.
const fn is_as_stranger(index: usize) -> bool {
    index > 0 && index.is_multiple_of(2)
}

/// A probe that was not answered within its period.
#[derive(Debug)]
struct Unanswered {
    target: NodeId,
    /// Number of the first ping.
    seq: u32,
    /// None if this node has slept since: then the time until an answer is read says nothing about the path.
    began: Option<Instant>,
}

/// A probe on behalf of another.
#[derive(Debug)]
struct Relay<A> {
    seq: u32,
    target: NodeId,
    requester: A,
    their_seq: u32,
    /// Time at which the requester is sent a nack; none if it was sent, or the target answered.
    nack: Option<Instant>,
    /// Time at which the requester stops listening.
    until: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Prober<A> {
    settings: config::Probe,
    period: Option<Instant>,
    probe: Option<Probe<A>>,
    relays: VecDeque<Relay<A>>,
    /// The last pings out of turn, and whom they went to.
    extra: VecDeque<(u32, NodeId)>,
    /// Secret from which numbers of pings are made: a node that does not receive a ping cannot guess its number and
    /// claim that another is alive.
    secret: (u64, u64),
    pings: u64,
    begun: u64,
    /// Pings that were repeated.
    repeated: u64,
    /// Round trips of pings that their targets answered themselves.
    round_trip: RoundTrip,
    /// Round trips to single members, also those longer than a period.
    paths: Paths,
    unanswered: VecDeque<Unanswered>,
    /// A member whose answer came after its period, and the round trip.
    late: Option<(NodeId, Duration)>,
    /// Periods that lasted longer than configured, because the path is long.
    stretched: u64,
}

impl<A: Address> Prober<A> {
    /// Begins at a random point of the first period: nodes that start together do not probe together.
    pub(crate) fn new(settings: config::Probe, rng: &mut impl Rng) -> Self {
        Self {
            settings,
            period: None,
            probe: None,
            relays: VecDeque::new(),
            extra: VecDeque::new(),
            secret: (rng.random(), rng.random()),
            pings: 0,
            begun: 0,
            repeated: 0,
            round_trip: RoundTrip::default(),
            paths: Paths::default(),
            unanswered: VecDeque::new(),
            late: None,
            stretched: 0,
        }
    }

    /// Returns the time of the next action. From the first tick on there always is one, even without a member to probe.
    pub(crate) fn due(&self) -> Option<Instant> {
        let probe = self.probe.as_ref().filter(|probe| !probe.acked);
        let timeout = probe.filter(|probe| probe.asked.is_none()).map(|probe| probe.timeout);
        let again = probe.and_then(|probe| probe.again);
        let nacks = self.relays.iter().filter_map(|relay| relay.nack);
        self.period.into_iter().chain(timeout).chain(again).chain(nacks).min()
    }

    /// Number of probes begun so far.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// Number of pings repeated so far.
    pub(crate) const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Number of periods so far that lasted longer than configured, because the path to the member that was probed is long.
    pub(crate) const fn stretched(&self) -> u64 {
        self.stretched
    }

    /// Time within which a member answers, as far as it was measured; at most what the worst local health would wait.
    pub(crate) fn patience(&self, target: NodeId) -> Duration {
        let config::Probe { period, max_health, repeat, .. } = self.settings;
        let trip = self.paths.to(target).filter(|_| repeat > 0).unwrap_or_default();
        (trip + trip / 4).min(period * (max_health + 1))
    }

    /// Returns the time that answers of most members need, if that is longer than a period.
    pub(crate) fn needed(&self) -> Option<Duration> {
        let config::Probe { period, .. } = self.settings;
        // Where a round trip is shorter there is nothing to add up.
        self.paths.are_longer(period - period / 5).then(|| self.paths.median()).flatten().map(|trip| trip + trip / 4)
    }

    /// Takes out the member whose answer came after its period, and the round trip.
    pub(crate) const fn take_late(&mut self) -> Option<(NodeId, Duration)> {
        self.late.take()
    }

    /// Time within which a ping is answered, as far as that was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.timeout()
    }

    #[expect(clippy::cast_possible_truncation, reason = "32 of 64 uniform bits")]
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.pings += 1;
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(&self.pings.to_le_bytes());
        hasher.finish() as u32
    }

    /// Does what is due. Returns a member that did not answer within its period, once.
    pub(crate) fn tick<R: Rng>(&mut self, health: &mut Health, context: &mut Context<'_, A, R>) -> Option<NodeId> {
        let now = context.now;
        while self.relays.front().is_some_and(|relay| relay.until <= now) {
            self.relays.pop_front();
        }
        for relay in &mut self.relays {
            if relay.nack.is_some_and(|at| at <= now) {
                relay.nack = None;
                context.outbox.message(TrafficClass::Ack, relay.requester.clone(), Swim::Nack { seq: relay.their_seq });
            }
        }
        let Some(period) = self.period else {
            self.period = Some(self.first_period(now, context.rng));
            return None;
        };
        if period <= now && self.waits_for_the_first_answer(now) {
            self.period = Some(now + self.settings.period);
        } else if period <= now {
            let has_slept = self.has_slept(now);
            let silent = self.end(health);
            if has_slept {
                self.unanswered.iter_mut().for_each(|probe| probe.began = None);
            }
            self.begin(health, context);
            // A late tick begins one period, not one for every one that was missed.
            let lasts = self.lasts(health);
            let from = if self.settings.random_phase { now } else { now.floor_to(self.settings.period) };
            self.period = Some(from + lasts);
            return silent;
        }
        self.ping_again(context);
        self.ask_others(context);
        None
    }

    /// Returns whether this node is called for the first time since more than a period after it wanted to be.
    fn has_slept(&self, now: Instant) -> bool {
        self.period.is_some_and(|end| now.since(end) > self.settings.period)
    }

    /// Returns the length of the period that begins: as configured and scaled by local health, but no shorter than the path.
    /// Where answers take longer than a period every probe would fail, and everybody be suspected for ever.
    fn lasts(&mut self, health: &Health) -> Duration {
        let period = health.scale(self.settings.period);
        let needed = self.probe.as_ref().map_or(Duration::ZERO, |probe| self.patience(probe.target));
        self.stretched += u64::from(needed > period);
        period.max(needed)
    }

    /// Returns whether the first answer of all may still come.
    fn waits_for_the_first_answer(&self, now: Instant) -> bool {
        let waits = |probe: &Probe<A>| !probe.acked && now < probe.began + self.settings.period * UNMEASURED;
        self.settings.repeat > 0 && self.round_trip.timeout().is_none() && self.probe.as_ref().is_some_and(waits)
    }

    fn first_period(&self, now: Instant, rng: &mut impl Rng) -> Instant {
        if self.settings.random_phase {
            now + Duration::from_micros(rng.random_range(0..micros(self.settings.period)))
        } else {
            now.floor_to(self.settings.period) + self.settings.period
        }
    }

    /// Ends the period. Returns the member that was probed and has not answered.
    fn end(&mut self, health: &mut Health) -> Option<NodeId> {
        let probe = self.probe.take()?;
        if probe.acked {
            return None;
        }
        if self.unanswered.len() == UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(Unanswered { target: probe.target, seq: probe.seq, began: Some(probe.began) });
        if probe.quiet {
            return Some(probe.target);
        }
        // Helpers that did not even report a try: perhaps this node receives nothing. If all of them reported one, it
        // is not this node's fault. Otherwise, when other members stand still, all would doubt themselves and detect
        // nothing in time.
        let asked = probe.asked.map_or(0, |asked| asked.len());
        let missed = if self.settings.nack && asked > 0 { asked - probe.nacks.len() } else { 1 };
        health.worse(u32::try_from(missed).unwrap_or(u32::MAX));
        Some(probe.target)
    }

    fn begin<R: Rng>(&mut self, health: &Health, context: &mut Context<'_, A, R>) {
        let Some(target) = context.members.next_probe(context.rng) else { return };
        let Some(record) = context.replica.member(target) else { return };
        let address = record.address.clone();
        let seq = self.next_seq() & !FAMILY;
        self.begun += 1;
        self.ping(target, &address, seq, context);
        let timeout = context.now + health.scale(self.settings.timeout).max(self.patience(target));
        // Of one that answers nobody, few pings find out whether it does again.
        let quiet = context.members.get(target).is_some_and(|seen| seen.is_held());
        let mut backoff = self.backoff(if quiet { QUIET } else { u32::MAX });
        let again = backoff.next().map(|pause| context.now + pause);
        self.probe = Some(Probe {
            target,
            address,
            seq,
            began: context.now,
            repeated: Vec::new(),
            again,
            backoff,
            timeout,
            asked: quiet.then(Vec::new),
            nacks: Vec::new(),
            acked: false,
            quiet,
        });
    }

    /// The pauses between the pings of one probe: a round trip at first, as far as it is known.
    fn backoff(&self, at_most: u32) -> Backoff {
        let config::Probe { period, repeat, .. } = self.settings;
        let measured = self.round_trip.timeout().unwrap_or_default();
        Backoff::new(measured.max(period / SHORTEST_PAUSE), period / LONGEST_PAUSE, repeat.min(at_most))
    }

    /// Repeats the ping that is not answered yet.
    fn ping_again<R>(&mut self, context: &mut Context<'_, A, R>) {
        let now = context.now;
        let Some(probe) = self.probe.as_mut().filter(|probe| !probe.acked) else { return };
        if probe.again.is_none_or(|again| now < again) {
            return;
        }
        probe.repeated.push(now);
        probe.again = probe.backoff.next().map(|pause| now + pause);
        // At most `probe.repeat`, which is no larger than a family.
        let index = probe.repeated.len();
        let ping = Swim::Ping { seq: probe.seq | index as u32 };
        let intent =
            if is_as_stranger(index) { Intent::Bare([ping.into()].into()) } else { Intent::Message(ping.into()) };
        context.outbox.push(TrafficClass::Probe, probe.address.clone(), intent);
        self.repeated += 1;
    }

    /// A ping to a suspect tells it of the suspicion first (Lifeguard, section IV-C).
    fn ping<R>(&self, target: NodeId, address: &A, seq: u32, context: &mut Context<'_, A, R>) {
        context.outbox.message(TrafficClass::Probe, address.clone(), Swim::Ping { seq });
        if self.settings.buddy
            && let Some(seen) = context.members.get(target)
            && seen.status == Status::Suspect
            && !seen.is_held()
        {
            let suspicion = Suspicion { about: target, incarnation: seen.incarnation, accuser: context.own };
            context.outbox.message(TrafficClass::Probe, address.clone(), Rumor::Mail(Item::Suspicion(suspicion)));
        }
    }

    /// Asks others to ping the target after the timeout (SWIM, section 3.1). Suspected members are asked last.
    fn ask_others<R: Rng>(&mut self, context: &mut Context<'_, A, R>) {
        let Some(probe) = &mut self.probe else { return };
        if probe.acked || probe.asked.is_some() || context.now < probe.timeout {
            return;
        }
        let wanted = self.settings.indirect as usize;
        let members = &*context.members;
        let others = members.random(2 * wanted + 1, context.rng).filter(|id| *id != probe.target);
        let (mut others, suspects): (Vec<_>, Vec<_>) =
            others.partition(|id| members.get(*id).is_some_and(|seen| seen.status == Status::Alive));
        others.extend(suspects);
        others.truncate(wanted);
        let mut asked = Vec::new();
        // Whoever has taken the target's place would answer for it.
        let elsewhere = |record: &&Record<A>| record.address != probe.address;
        for record in others.into_iter().filter_map(|id| context.replica.member(id)).filter(elsewhere) {
            let request =
                Swim::PingReq(PingReq { seq: probe.seq, target: probe.target, address: probe.address.clone() });
            context.outbox.message(TrafficClass::Probe, record.address.clone(), request);
            asked.push(record.id);
        }
        probe.asked = Some(asked);
    }

    /// Pings a member out of turn: a report about it may be wrong.
    pub(crate) fn ping_now(&mut self, target: NodeId, address: &A, outbox: &mut Outbox<A>) {
        let seq = self.ping_at(address, outbox);
        if self.extra.len() == EXTRA {
            self.extra.pop_front();
        }
        self.extra.push_back((seq, target));
    }

    /// Pings a member at an address, so that the ack with the returned number shows that it is reached there.
    pub(crate) fn ping_at(&mut self, address: &A, outbox: &mut Outbox<A>) -> u32 {
        let seq = self.next_seq();
        outbox.message(TrafficClass::Probe, address.clone(), Swim::Ping { seq });
        seq
    }

    /// Pings an address that belongs to no member.
    pub(crate) fn ping_stranger(address: &A, seq: u32, outbox: &mut Outbox<A>) {
        outbox.push(TrafficClass::Probe, address.clone(), Intent::Bare([Swim::Ping { seq }.into()].into()));
    }

    /// Member that was probed in this period and has answered, itself or through a helper.
    pub(crate) fn answered(&self) -> Option<NodeId> {
        self.probe.as_ref().filter(|probe| probe.acked).map(|probe| probe.target)
    }

    /// Address that was pinged in this period.
    pub(crate) fn pinged(&self) -> Option<&A> {
        self.probe.as_ref().map(|probe| &probe.address)
    }

    /// Members of which an ack with this number is waited for.
    pub(crate) fn awaited(&self, seq: u32) -> impl Iterator<Item = NodeId> + '_ {
        let probe = self.probe.iter().filter(move |probe| probe.ping_of(seq).is_some());
        let probed = probe.flat_map(|probe| [probe.target].into_iter().chain(probe.asked.iter().flatten().copied()));
        let relayed = self.relays.iter().filter(move |relay| relay.seq == seq).map(|relay| relay.target);
        let extra = self.extra.iter().filter(move |(number, _)| *number == seq).map(|(_, target)| *target);
        let late = self.unanswered.iter().filter(move |late| late.seq == seq).map(|late| late.target);
        probed.chain(relayed).chain(extra).chain(late)
    }

    /// Returns whether the ping of the current probe that has this number was sent as between strangers.
    pub(crate) fn pinged_as_stranger(&self, seq: u32) -> bool {
        self.probe.as_ref().and_then(|probe| probe.ping_of(seq)).is_some_and(is_as_stranger)
    }

    /// Takes an ack in. Returns the round trip if the sender is the member that was probed, and answered itself, and this node was
    /// awake meanwhile.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        sender: NodeId,
        seq: u32,
        health: &mut Health,
        outbox: &mut Outbox<A>,
    ) -> Option<Duration> {
        let has_slept = self.has_slept(now);
        if let Some(probe) = &mut self.probe
            && let Some(index) = probe.ping_of(seq)
            && !probe.acked
            // From the target itself, or through a helper: another node at its address does not count.
            && (sender == probe.target || probe.asked.as_ref().is_some_and(|asked| asked.contains(&sender)))
        {
            probe.acked = true;
            let trip = (sender == probe.target && !has_slept).then(|| now.since(probe.sent(index)));
            if let Some(trip) = trip {
                self.round_trip.note(trip);
                self.paths.note(sender, trip);
            }
            // A lost datagram is no evidence against this node, a late answer even less.
            if probe.repeated.is_empty() {
                health.better();
            }
            return trip;
        } else if let Some(at) = self.unanswered.iter().position(|late| late.seq == seq && late.target == sender)
            && let Some(Unanswered { began, .. }) = self.unanswered.remove(at)
        {
            // To the first ping of its probe: when a repeated one was sent is not known any more.
            let trip = began.filter(|_| !has_slept).map(|began| now.since(began));
            if let Some(trip) = trip {
                self.round_trip.note(trip);
                self.paths.note(sender, trip);
            }
            self.late = Some((sender, trip.unwrap_or_default()));
        } else if let Some(at) = self.relays.iter().position(|relay| relay.seq == seq && relay.target == sender)
            && let Some(relay) = self.relays.remove(at)
        {
            outbox.message(TrafficClass::Ack, relay.requester, Swim::Ack { seq: relay.their_seq });
        }
        None
    }

    pub(crate) fn on_nack(&mut self, sender: NodeId, seq: u32) {
        if let Some(probe) = &mut self.probe
            && probe.seq == seq
            && probe.asked.as_ref().is_some_and(|asked| asked.contains(&sender))
            && !probe.nacks.contains(&sender)
        {
            probe.nacks.push(sender);
        }
    }

    pub(crate) fn on_ping_req(
        &mut self,
        now: Instant,
        from: &A,
        PingReq { seq: their_seq, target, address }: PingReq<A>,
        outbox: &mut Outbox<A>,
    ) {
        // An honest requester asks for little at a time, and expired relays have made room.
        while self.relays.front().is_some_and(|relay| relay.until <= now) {
            self.relays.pop_front();
        }
        let asked = self.relays.iter().filter(|relay| relay.requester == *from).count();
        if asked >= RELAYS_EACH || self.relays.len() >= RELAYS {
            return;
        }
        let seq = self.next_seq();
        // No rumors are added: a requester could name any address.
        outbox.push(TrafficClass::Probe, address, Intent::Bare([Swim::Ping { seq }.into()].into()));
        // At 80 % of the timeout, so that it arrives before the requester stops listening (Lifeguard, section IV-A).
        let nack = self.settings.nack.then(|| now + self.settings.timeout * 4 / 5);
        let until = now + self.settings.period;
        self.relays.push_back(Relay { seq, target, requester: from.clone(), their_seq, nack, until });
    }

    /// Ends the wait of a ping whose target the transport reports as unreachable.
    pub(crate) fn on_unreachable(&mut self, to: &A, now: Instant) {
        if let Some(probe) = &mut self.probe
            && probe.address == *to
            && !probe.acked
        {
            probe.timeout = probe.timeout.min(now);
        }
    }
}

#[cfg(test)]
mod tests;
