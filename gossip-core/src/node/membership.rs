//! Members: what follows from the detector's findings, and from what is said of this node itself.

use alloc::vec::Vec;
use core::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;

use super::Node;
use super::identity::Contradiction;
use super::learn::Source;
use super::lifecycle::shortest_memory;
use crate::address::Address;
use crate::event::Status;
use crate::id::NodeId;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::swim::{self, Detector, Finding};
use crate::time::Instant;
use crate::update::{Certificate, Entry, KeyHash, Owner, Record, Standing, Update};
use crate::wire::{Header, Item, Rumor, Suspicion};

/// Members that are looked at for one that may give way: those before it are accused and have not been heard yet.
const ACCUSED: usize = 16;

impl<A: Address> Node<A> {
    /// The detector, and what it works with.
    pub(super) fn detector(&mut self) -> (&mut Detector<A>, swim::Context<'_, A, Xoshiro256PlusPlus>) {
        let Self { now, detector, replica, outbox, rng, .. } = self;
        (detector, swim::Context { now: *now, replica, outbox, rng })
    }

    pub(super) fn tick_detector(&mut self) {
        if self.identity.is_running() {
            let begun = self.detector.probes_begun();
            let (detector, mut context) = self.detector();
            detector.tick(&mut context);
            if self.detector.probes_begun() > begun {
                self.ride_on_ping();
                self.ask_coordinate();
            }
            self.apply_findings(None);
        }
    }

    /// Applies everything that the detector has found. `from`: the address of the sender of what led to it.
    pub(super) fn apply_findings(&mut self, from: Option<&A>) {
        while let Some(finding) = self.detector.pop_finding() {
            match finding {
                Finding::Seen { id, was, moved } => {
                    self.seek_refused(id);
                    self.note_status(id, was);
                    self.note_correspondent(id);
                    self.events.member(id, was, moved);
                }
                Finding::Suspect(suspicion) => self.spread_suspicion(suspicion),
                Finding::Settled(suspicion) => self.cool_suspicion(suspicion),
                Finding::Dead { id, incarnation } => self.record_death(id, incarnation),
                Finding::Revived { here } => {
                    self.anti_entropy.unsettle(self.now);
                    if let Some(address) = here {
                        self.bridge(&address);
                    }
                }
                Finding::Answered(record) => {
                    self.learn(Update::Member(record), Source::Rumor, None);
                }
                Finding::Refute { incarnation } => self.answer_accusation(incarnation, from),
            }
        }
    }

    /// Returns whether a member is seen as dead or departed.
    pub(super) fn is_gone(&self, id: NodeId) -> bool {
        self.detector.members().get(id).is_some_and(|seen| matches!(seen.status, Status::Dead | Status::Left))
    }

    fn record_death(&mut self, id: NodeId, incarnation: u64) {
        let Some(record) = self.replica.member(id) else { return };
        let record =
            Record { incarnation, standing: Standing::Dead, until: self.reaped_at(record.boot), ..record.clone() };
        self.learn(Update::Member(record), Source::Own, None);
    }

    /// The record of a member has changed: so does, perhaps, how it is seen. `denies`: in nothing but its incarnation.
    pub(super) fn see_record(&mut self, key: KeyHash, from: Option<&A>, denies: bool) {
        self.note_pass(key);
        self.note_formats(key);
        let (detector, mut context) = self.detector();
        if let Some(record) = key.member().and_then(|id| context.replica.member(id)) {
            detector.see_record(key, (record, denies), from, &mut context);
        }
        self.apply_findings(from);
    }

    /// Somebody suspects somebody. Returns whether that was new.
    pub(super) fn on_suspicion(&mut self, suspicion: Suspicion, from: Option<&A>) -> bool {
        let (detector, mut context) = self.detector();
        let is_new = detector.on_suspicion(suspicion, from, &mut context);
        self.apply_findings(from);
        is_new
    }

    /// Asks an unknown member whether it is there before its record is believed, unless it says so itself. Returns whether the
    /// record has to wait. It is asked if it may have died and been forgotten here since it started: whoever still holds its
    /// record has perhaps been away.
    pub(super) fn asks_first(&mut self, key: KeyHash, record: &Record<A>, from: Option<&A>) -> bool {
        let agreed = self.agreed();
        let shortest = shortest_memory(Duration::ZERO, self.config.lifetimes.reap_after);
        let old = |start: Instant| agreed.since(start) > shortest;
        let waits = self.detector.probes()
            && record.standing == Standing::Alive
            && from.is_some_and(|from| *from != record.address)
            && !self.replica.has(key)
            && old(self.identity.boot)
            && old(Instant::from_micros(record.incarnation));
        if waits {
            let (detector, mut context) = self.detector();
            self.stats.members_asked += u64::from(detector.ask_first(record, &mut context));
        }
        waits
    }

    /// At the bound on members, a living one takes the place of one that is gone, the first to be forgotten, and so does one that
    /// is gone and will be remembered for longer: nodes with the same bound so remember the same, whatever they heard first. Returns
    /// whether there is room now.
    pub(super) fn displaces_dead(&mut self, update: &Update<A>) -> bool {
        let Update::Member(record) = update else { return false };
        // Who is accused is told first, though its record may say already that it is dead.
        let least = self.replica.gone().take(ACCUSED).find(|(_, id)| self.is_gone(*id));
        let longer = |least| record.until.instant().is_some_and(|until| (until, record.id) > least);
        let least = least.filter(|least| record.standing == Standing::Alive || longer(*least));
        let Some(record) = least.and_then(|(_, id)| self.replica.forget_member(id)) else { return false };
        self.contacts.keep_forgotten(&record, &mut self.rng);
        self.forget_members([record.id]);
        true
    }

    /// Forgets members whose records have ended.
    pub(super) fn forget_members(&mut self, ids: impl IntoIterator<Item = NodeId>) {
        for id in ids {
            self.detector.forget(id);
            self.forget_formats(id);
        }
        self.apply_findings(None);
    }

    fn answer_accusation(&mut self, incarnation: u64, from: Option<&A>) {
        if incarnation == self.identity.incarnation && self.identity.is_running() {
            self.refute(incarnation);
            if let Some(from) = from {
                self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(self.own_key()));
            }
        }
    }

    /// Raises the incarnation above `said` (SWIM, section 4.2).
    fn refute(&mut self, said: u64) {
        self.stats.refutations += 1;
        self.identity.refute(said);
        self.publish_self(Standing::Alive);
    }

    /// Something is said of this node that is not what it says itself: the larger incarnation has the last word.
    pub(super) fn hear_of_myself(&mut self, record: &Record<A>, source: Source, from: Option<&A>) -> Option<KeyHash> {
        let said = Update::Member(record.clone());
        let own = self.replica.get(self.own_key())?;
        let order = said.order(&own, &self.replica.hasher);
        if order.is_le() {
            self.stats.updates_known += 1;
            if let Some(from) = from.filter(|_| order.is_lt()) {
                self.give_newer(self.own_key(), source, from);
            }
            return None;
        }
        if !self.identity.is_running() {
            return None;
        }
        self.stats.updates_new += 1;
        if self.identity.is_twin(record) {
            match self.identity.contradict(self.now, &record.address) {
                Contradiction::NotYet => return None,
                Contradiction::First => {}
                Contradiction::Repeated => self.events.conflict(record.address.clone()),
            }
        }
        if record.boot > self.identity.boot {
            self.outlive(record.boot);
        }
        self.refute(record.incarnation);
        if let Some(from) = from {
            // Its sender hears it at once, and is perhaps on the other side of a partition.
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(self.own_key()));
            self.bridge(from);
        }
        None
    }

    /// Gives a newer record of a member to a sender that has shown an older one: perhaps it hears so from nobody else. So
    /// the record of a death, shown to its subject, brings back the record of a life that began since.
    pub(super) fn give_newer(&mut self, key: KeyHash, source: Source, from: &A) {
        let is_exchange = matches!(source, Source::Repair | Source::CatchUp);
        if !is_exchange || !self.config.anti_entropy.exchange.pushes() {
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(key));
        } else if !self.replica.get(key).is_some_and(|held| self.replica.keeps(&held, self.agreed())) {
            // An exchange in which both sides send what they have does it by itself, but for what has ended.
            self.answer_older(key, from);
        }
    }

    /// Begins a younger life than another process of this id had. What this process owns goes along.
    pub(super) fn outlive(&mut self, boot: Instant) {
        let own: Vec<Update<A>> = self.replica.owned(self.identity.id).collect();
        self.identity.outlive(boot);
        let owner = Some(Owner { id: self.identity.id, boot: self.identity.boot });
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

    /// Tells a sender who seems not to know what is said of it: also of a suspicion whose rumor has cooled, perhaps
    /// while there was no way between the two.
    pub(super) fn give_back_record(&mut self, sender: NodeId, header: &Header, from: &A) {
        let says = |incarnation| header.agrees(incarnation, Standing::Alive);
        let spreads = |suspicion| self.rumors.is_hot(&HotKey::Opinion(suspicion));
        if let Some(suspicion) = self.detector.accusation(sender, says, spreads) {
            self.outbox.message(TrafficClass::Ack, from.clone(), Rumor::Mail(Item::Suspicion(suspicion)));
        }
        let Some(record) = self.replica.member(sender) else { return };
        if header.keyed && record.address != *from {
            self.detector.hear_elsewhere(self.now, sender, from);
        }
        if !header.agrees(record.incarnation, record.standing) {
            let key = self.replica.hasher.member(sender);
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Fact(key));
        }
    }
}
