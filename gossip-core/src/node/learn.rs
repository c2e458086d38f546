//! What a node makes of an update, wherever it comes from, and of what is said about members.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Node, Phase};
use crate::address::Address;
use crate::config::Membership;
use crate::epidemic::rumor::Subject;
use crate::epidemic::transfer::wire_len;
use crate::event::{BroadcastId, Status};
use crate::id::NodeId;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::replica::Merged;
use crate::swim::Verdict;
use crate::time::Instant;
use crate::update::{Certificate, Entry, KeyHash, Owner, Record, Standing, Update};
use crate::wire::{Item, Rumor, Suspicion, encoded_len};

/// How many updates that anti-entropy repairs become hot again in one exchange.
pub(super) const REHEATS: u32 = 8;
/// How old they may be: what is older was missed by few.
const REHEAT_AGE: Duration = Duration::from_secs(60);
/// The pauses between refutations of a twin: from the first to the last.
const CONFLICT_PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// How an update came here.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It was written here.
    Own,
    /// By direct mail or as a rumor.
    Rumor,
    /// By anti-entropy.
    Repair,
    /// With much else, while catching up.
    CatchUp,
    /// From a snapshot: known here before.
    Restored,
}

fn subject<A>(update: &Update<A>) -> Subject {
    if matches!(update, Update::Member(_)) { Subject::Membership } else { Subject::Data }
}

impl<A: Address> Node<A> {
    /// Takes an update in. Its key, if it was news.
    pub(super) fn learn(&mut self, update: Update<A>, source: Source, from: Option<&A>) -> Option<KeyHash> {
        let key = self.replica.hasher.key(&update);
        if self.replica.holds(key, &update) {
            // The common case in a storm of rumors: it has to be cheap.
            self.stats.updates_known += 1;
            return None;
        }
        if !self.is_timely(&update, source) {
            return None;
        }
        let len = encoded_len(&update);
        if self.is_oversized(&update, len) {
            self.note_oversized(source);
            return None;
        }
        if let Update::Member(record) = &update
            && record.id == self.id
        {
            return self.hear_of_myself(record, from);
        }
        if let Update::Member(record) = &update
            && !self.gate.admits(record.id, &record.address)
        {
            self.stats.updates_not_admitted += 1;
            self.note_refused(source);
            return None;
        }
        if let Some(exceeded) = self.exceeds(key, &update, update.body_len()) {
            self.note_exceeded(exceeded, &update);
            self.note_refused(source);
            return None;
        }
        let written = update.written();
        let delivered = if let Update::Broadcast(broadcast) = &update {
            Some((BroadcastId(broadcast.stamp), broadcast.payload.clone()))
        } else {
            None
        };
        // Shrunk certificates as well, or a later write here could be older than what it is to replace.
        if let Update::Entry(Entry { stamp, .. }) | Update::Certificate(Certificate { stamp, .. }) = &update {
            self.clock.observe(stamp.time, stamp.counter);
        }
        let subject = subject(&update);
        let Merged::News { hash, old } = self.replica.merge_keyed(key, update) else {
            self.stats.updates_known += 1;
            return None;
        };
        self.stats.updates_new += 1;
        if let Some((id, payload)) = delivered
            && old.is_none()
            && !matches!(source, Source::Own | Source::Restored)
        {
            self.events.broadcast(id, payload);
        }
        self.rumors.got(hash);
        let about_member = subject == Subject::Membership;
        let heats = match source {
            Source::Own | Source::Rumor => true,
            Source::Repair if about_member => true,
            Source::Repair => self.reheats(written),
            // A change to what others believe is worth a rumor, the many records that a newcomer learns are not.
            Source::CatchUp => about_member && old.is_some(),
            Source::Restored => false,
        };
        if heats && len > self.largest_update() {
            // Its descriptor.
            self.heat(key);
        } else if heats {
            self.heat_item(HotKey::Fact(key), subject, hash, len);
        }
        if about_member {
            self.see_record(key, from);
        }
        self.note_touched();
        self.settle_transfers(key);
        Some(key)
    }

    /// Whether an update is neither past its time nor from the future; counted if it is.
    pub(super) fn is_timely(&mut self, update: &Update<A>, source: Source) -> bool {
        let clock = self.clock.now(self.now);
        // The predicate of the reconciled set: what a peer would not be sent is not admitted either.
        if !update.until().is_after(clock.floor_to(Duration::from_secs(1))) {
            self.stats.updates_expired += 1;
            return false;
        }
        let checked = matches!(source, Source::Own | Source::Restored);
        let ahead = !checked && update.written() > self.peer_clocks.horizon(self.now, self.config.lifetimes.max_ahead);
        self.stats.updates_ahead += u64::from(ahead);
        !ahead
    }

    /// `len`: that of its encoding.
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

    /// Whether what anti-entropy has repaired goes on as a rumor: a little of what is young does.
    pub(super) fn reheats(&mut self, written: Instant) -> bool {
        let young = self.reheats > 0 && self.now.since(written) < REHEAT_AGE;
        self.reheats -= u32::from(young);
        young
    }

    /// Entries have changed: the application is to know.
    pub(super) fn note_touched(&mut self) {
        for (owner, name) in self.replica.take_touched() {
            self.events.entry(owner, name);
        }
    }

    /// What is refused for good should not be offered again and again.
    pub(super) fn note_refused(&mut self, source: Source) {
        if matches!(source, Source::Repair | Source::CatchUp) {
            self.anti_entropy.note_refused(self.now);
        }
    }

    /// Makes what the replica holds of a key hot.
    pub(super) fn heat(&mut self, key: KeyHash) {
        let (Some(update), Some(hash)) = (self.replica.get(key), self.replica.hash_of(key)) else { return };
        self.heat_item(HotKey::Fact(key), subject(&update), hash, wire_len(&self.replica, &update));
    }

    /// `len`: that of the update.
    fn heat_item(&mut self, key: HotKey, subject: Subject, hash: u64, len: usize) {
        // With the tag that tells it from an offer.
        self.rumors.heat(self.now, key, subject, hash, len + 1, &mut self.rng);
    }

    /// Something is said of this node that is not what it says itself: the larger incarnation has the last word.
    fn hear_of_myself(&mut self, record: &Record<A>, from: Option<&A>) -> Option<KeyHash> {
        let said = Update::Member(record.clone());
        let own = self.replica.get(self.own_key())?;
        if said.order(&own, &self.replica.hasher).is_le() {
            self.stats.updates_known += 1;
            return None;
        }
        if self.phase != Phase::Running {
            return None;
        }
        self.stats.updates_new += 1;
        let twin = record.standing == Standing::Alive && (record.address != self.address || record.boot != self.boot);
        if twin && !self.may_contradict(record) {
            return None;
        }
        if record.boot > self.boot {
            self.outlive(record.boot);
        }
        self.refute(record.incarnation);
        if let Some(from) = from {
            // Who said it is told at once, and is perhaps on the other side of a partition.
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(self.own_key()));
            self.bridge(from);
        }
        None
    }

    /// Begins a younger life than another process of this id had (its clock was ahead): with incarnations lives only
    /// grow, so that everywhere the same entries die with them. What this process owns goes along.
    pub(super) fn outlive(&mut self, boot: Instant) {
        let own: Vec<Update<A>> = self.replica.owned(self.id).collect();
        self.boot = Instant::from_micros(boot.as_micros().saturating_add(1));
        let owner = Some(Owner { id: self.id, boot: self.boot });
        // A record with another life and the same incarnation could lose against the one before.
        self.incarnation = self.incarnation.saturating_add(1).max(self.boot.as_micros());
        self.publish_self(Standing::Alive);
        for update in own {
            let update = match update {
                Update::Entry(entry) => Update::Entry(Entry { owner, ..entry }),
                Update::Certificate(certificate) => Update::Certificate(Certificate { owner, ..certificate }),
                Update::Member(_) | Update::Broadcast(_) => continue,
            };
            self.learn(update, Source::Own, None);
        }
    }

    /// Whether to contradict one who claims this node's id: at once the first time, ever more rarely after that, or
    /// two twins would shout each other down.
    fn may_contradict(&mut self, record: &Record<A>) -> bool {
        let [first, last] = CONFLICT_PAUSE;
        if self.now < self.conflict.until {
            return false;
        }
        let quiet = self.now.since(self.conflict.until) > last;
        if self.conflict.pause.is_zero() || quiet {
            self.conflict.pause = first;
        } else {
            // The second time it is not this node's own past any more.
            self.events.conflict(record.address.clone());
            self.conflict.pause = (self.conflict.pause * 2).min(last);
        }
        self.conflict.until = self.now + self.conflict.pause;
        true
    }

    /// Raises the incarnation above `said` (SWIM, section 4.2).
    fn refute(&mut self, said: u64) {
        self.stats.refutations += 1;
        self.health.worse(1);
        self.incarnation = self.incarnation.max(said).saturating_add(1);
        self.publish_self(Standing::Alive);
    }

    // Members.

    /// The record of a member has changed: so does, perhaps, how it is seen.
    fn see_record(&mut self, key: KeyHash, from: Option<&A>) {
        let Some(record) = key.member().and_then(|id| self.replica.member(id)) else { return };
        let (id, incarnation, standing) = (record.id, record.incarnation, record.standing);
        let address = record.address.clone();
        let seen = self.members.get(id);
        match (standing, seen.map(|seen| seen.status)) {
            (Standing::Alive, was) => {
                let refuted = seen.is_none_or(|seen| seen.incarnation < incarnation);
                let status = if refuted { Status::Alive } else { was.unwrap_or(Status::Alive) };
                if refuted {
                    self.drop_suspicion(id);
                }
                // A suspicion may be of an incarnation whose record is still to come.
                self.see(id, status, incarnation.max(seen.map_or(0, |seen| seen.incarnation)), true);
                if was == Some(Status::Dead) && status == Status::Alive {
                    self.anti_entropy.unsettle(self.now);
                    if from == Some(&address) {
                        self.bridge(&address);
                    }
                }
            }
            (Standing::Dead, Some(status @ (Status::Alive | Status::Suspect)))
                if self.config.membership == Membership::Probed =>
            {
                // Believed only after it had its chance to refute it: where datagrams are lost somebody is suspected
                // at any time, and an old record from beyond a partition would bury whoever it is just then.
                let n = self.members.peers() + 1;
                self.suspicions.hear_of_death(self.now, id, incarnation, n);
                let incarnation = incarnation.max(seen.map_or(0, |seen| seen.incarnation));
                self.see(id, Status::Suspect, incarnation, false);
                if status == Status::Alive {
                    // It is told first; one who is suspected has been.
                    self.outbox.push(TrafficClass::Probe, address.clone(), Intent::Fact(key));
                    self.prober.ping_now(id, &address, &mut self.outbox);
                }
            }
            (Standing::Dead, _) => self.see(id, Status::Dead, incarnation, false),
            (Standing::Left, _) => {
                self.drop_suspicion(id);
                self.see(id, Status::Left, incarnation, false);
            }
        }
    }

    /// Sees a member in this way from now on, and tells the application. `moved`: its address may be another.
    fn see(&mut self, id: NodeId, status: Status, incarnation: u64, moved: bool) {
        let was = self.members.get(id);
        self.members.see(id, status, incarnation, &mut self.rng);
        // Somebody who was gone before this node heard of it is no event.
        let news = match was {
            None => matches!(status, Status::Alive | Status::Suspect),
            Some(was) => was.status != status || (moved && was.incarnation != incarnation),
        };
        if news {
            self.events.member(id, was.map(|was| was.status), moved && was.is_some());
        }
    }

    /// Somebody suspects somebody. Whether that was news.
    pub(super) fn on_suspicion(&mut self, suspicion: Suspicion, from: Option<&A>) -> bool {
        let Suspicion { about, incarnation, accuser } = suspicion;
        if self.config.membership == Membership::Given {
            return false;
        }
        if about == self.id {
            if incarnation >= self.incarnation && self.phase == Phase::Running && self.is_credible(incarnation) {
                self.refute(incarnation);
                if let Some(from) = from {
                    self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(self.own_key()));
                }
            }
            return false;
        }
        let Some(seen) = self.members.get(about) else { return false };
        let accused = matches!(seen.status, Status::Alive | Status::Suspect) && seen.incarnation <= incarnation;
        if !accused || !self.is_credible(incarnation) {
            return false;
        }
        let verdict = self.suspicions.accuse(self.now, about, incarnation, Some(accuser), self.members.peers() + 1);
        if verdict == Verdict::Stale {
            return false;
        }
        self.see(about, Status::Suspect, incarnation, false);
        let len = encoded_len(&suspicion) + 1;
        self.rumors.heat(self.now, HotKey::Opinion(suspicion), Subject::Membership, 0, len, &mut self.rng);
        true
    }

    /// What it was suspected of is settled, and nothing that anybody else should still be told.
    fn drop_suspicion(&mut self, about: NodeId) {
        if let Some((incarnation, accusers)) = self.suspicions.end(about) {
            for accuser in accusers {
                self.rumors.cool(&HotKey::Opinion(Suspicion { about, incarnation, accuser }));
            }
        }
    }

    /// An incarnation from far ahead would leave no room to refute it.
    fn is_credible(&self, incarnation: u64) -> bool {
        let horizon = self.peer_clocks.horizon(self.now, self.config.lifetimes.max_ahead);
        Instant::from_micros(incarnation) <= horizon
    }

    /// A member did not answer. It is told at once: if it is there after all, then the suspicion is mostly refuted before
    /// many have heard of it.
    pub(super) fn suspect(&mut self, id: NodeId) {
        let Some(seen) = self.members.get(id) else { return };
        if matches!(seen.status, Status::Alive | Status::Suspect) {
            let suspicion = Suspicion { about: id, incarnation: seen.incarnation, accuser: self.id };
            let raised = self.on_suspicion(suspicion, None);
            self.stats.suspicions += u64::from(raised && seen.status == Status::Alive);
            if raised && self.config.probe.buddy {
                self.warn(id);
            }
        }
    }

    /// Tells one that this node suspects, and tries it once more (after Lifeguard's buddy system).
    pub(super) fn warn(&mut self, about: NodeId) {
        if let (Some(seen), Some(record)) = (self.members.get(about), self.replica.member(about)) {
            let suspicion = Suspicion { about, incarnation: seen.incarnation, accuser: self.id };
            let told = Rumor::Mail(Item::Suspicion(suspicion));
            self.outbox.message(TrafficClass::Probe, record.address.clone(), told);
            self.prober.ping_now(about, &record.address, &mut self.outbox);
        }
    }

    /// A suspicion has lasted long enough.
    pub(super) fn declare_dead(&mut self, id: NodeId) {
        let (Some(record), Some(seen)) = (self.replica.member(id), self.members.get(id)) else { return };
        self.stats.deaths += 1;
        // A suspicion may have come before the record that it is about.
        let incarnation = record.incarnation.max(seen.incarnation);
        let known = record.standing != Standing::Alive && record.incarnation == incarnation;
        let record = Record { incarnation, standing: Standing::Dead, until: self.reaped_at(), ..record.clone() };
        self.see(id, Status::Dead, incarnation, false);
        if !known {
            self.learn(Update::Member(record), Source::Own, None);
        }
    }
}
