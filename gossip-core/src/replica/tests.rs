use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use core::time::Duration;

use proptest::prelude::*;

use super::{Cut, Merged, NEVER, Range, Replica, second};
use crate::clock::Past;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::samples::{Sample, record, shrink, update};
use crate::update::{End, Entry, ItemHasher, KeyHash, Owner, Record, Stamp, Standing, Until, Update, Whose};

/// τ1 of these tests.
const SHRINK: Duration = Duration::from_secs(10);

fn replica() -> Replica<u16> {
    Replica::new("", SHRINK, 1_000)
}

fn of(updates: impl IntoIterator<Item = Sample>) -> Replica<u16> {
    let mut replica = replica();
    for update in updates {
        replica.merge(update);
    }
    replica
}

fn secs(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn past(end: Instant) -> Past {
    Past { awake: end, in_touch: end }
}

/// A visible value: whose, its name, what it is.
type Value = (Option<NodeId>, String, Vec<u8>);

/// Visible state of a replica at a cut: the hashes of the set, and every visible value.
fn seen(replica: &Replica<u16>, cut: Instant) -> (Vec<u64>, Vec<Value>) {
    let hashes = replica.in_range(Range::ALL, cut).map(|(hash, _)| hash).collect();
    let visible = replica.entries_from("".into(), cut).filter_map(|entry| {
        let owner = entry.owner.map(|owner| owner.id);
        Some((owner, String::from(&*entry.name), entry.value.as_ref()?.to_vec()))
    });
    (hashes, visible.collect())
}

/// The join of a set of updates as its definition has it: no order of arrival, no index.
#[derive(Default)]
struct Model(Vec<Sample>);

impl Model {
    fn newest(&self) -> BTreeMap<KeyHash, Sample> {
        let hasher = ItemHasher::new("");
        let mut newest = BTreeMap::<KeyHash, Sample>::new();
        let mut take = |update: &Sample| {
            let held = newest.entry(hasher.key(update)).or_insert_with(|| update.clone());
            if update.rank(held, &hasher).is_gt() {
                *held = update.clone();
            }
        };
        let (records, others): (Vec<&Sample>, Vec<&Sample>) =
            self.0.iter().partition(|update| matches!(update, Update::Member(_)));
        records.iter().copied().for_each(&mut take);
        let lives: Vec<Owner> = newest
            .values()
            .filter_map(|update| match update {
                Update::Member(record) => Some(Owner { id: record.id, boot: record.boot }),
                _ => None,
            })
            .collect();
        let mut take = |update: &Sample| {
            let held = newest.entry(hasher.key(update)).or_insert_with(|| update.clone());
            if update.rank(held, &hasher).is_gt() {
                *held = update.clone();
            }
        };
        let current = |update: &&Sample| update.owner().is_none_or(|owner| lives.contains(&owner));
        let others: Vec<&Sample> = others.into_iter().filter(current).collect();
        others.iter().for_each(|update| take(update));
        // The newest covers all the others.
        for update in others {
            if let Some(newest) = newest.get_mut(&hasher.key(update)) {
                newest.cover(update);
            }
        }
        newest
    }

    fn set(&self, cut: Instant) -> Vec<u64> {
        let hasher = ItemHasher::new("");
        let newest = self.newest();
        let owner_lives = |update: &Sample| {
            update.owner().is_none_or(|owner| {
                newest.get(&hasher.member(owner.id)).is_some_and(|record| record.until().is_after(cut))
            })
        };
        let mut hashes: Vec<u64> = newest
            .iter()
            .filter(|(_, update)| update.until().is_after(cut) && owner_lives(update))
            .map(|(key, update)| hasher.item(*key, update))
            .collect();
        hashes.sort_unstable();
        hashes
    }
}

/// The indexes against what they index.
fn check_indexes(replica: &Replica<u16>, cut: Instant) {
    let hasher = &replica.hasher;
    let kept = replica.certificates.kept;
    let leaves = |slot| replica.items.lives(slot).unwrap().leaves(kept);
    let in_set = |slot| leaves(slot).is_after(replica.cut);
    assert_eq!(replica.items.slots().filter(|slot| in_set(*slot)).count(), replica.hashes.len());
    let lasting = replica.in_range(Range::ALL, Instant::MAX).map(|(hash, _)| super::mark(hash));
    let total = |marks: (u64, u64), mark| (marks.0 + 1, marks.1.wrapping_add(mark));
    assert_eq!(replica.summary(Instant::MAX), lasting.fold((0, 0_u64), total));
    let (mut members, mut ending, mut names, mut owned, mut certificates) = (0, 0, 0, 0, 0);
    let mut usage = super::usage::Usage::default();
    for slot in replica.items.slots() {
        let (update, hash) = (replica.items.update(slot).unwrap(), replica.items.hash(slot).unwrap());
        let (key, until) = (hasher.key(&update), leaves(slot));
        certificates += usize::from(update.is_certificate());
        assert_eq!((hasher.item(key, &update), replica.items.key(slot, hasher)), (hash, Some(key)));
        assert_eq!(replica.items.find(key), Some(slot));
        assert_eq!(replica.key_of(hash), in_set(slot).then_some(key));
        assert_eq!(replica.ending.contains(&(until.instant().unwrap_or(Instant::MAX), slot)), until != Until::NEVER);
        ending += usize::from(until != Until::NEVER);
        usage.add(&update);
        if let Some(owner) = update.owner() {
            assert!(replica.owned.contains(&(owner.id, slot)));
            let record = replica.member(owner.id).unwrap();
            let until = update.until().min(record.until);
            assert_eq!((record.boot, replica.items.other(slot).unwrap().until), (owner.boot, until));
            owned += 1;
        }
        match &update {
            Update::Member(_) => members += 1,
            Update::Entry(entry) => {
                assert_eq!(replica.names.get(&(entry.name.clone(), entry.owner.into())), Some(&slot));
                let at = replica.shrinks_at(entry);
                assert!(at.is_none_or(|at| replica.shrinking.contains(&(at, slot))));
                names += 1;
            }
            Update::Certificate(_) | Update::Broadcast(_) => {}
        }
    }
    assert_eq!(replica.certificates.len(), certificates);
    assert_eq!(replica.counts(), (members, replica.items.len() - members - certificates));
    assert_eq!((replica.ending.len(), replica.names.len(), replica.owned.len()), (ending, names, owned));
    assert_eq!(replica.usage, usage);
    for kept in [0, second(kept), second(kept).saturating_add(3), second(cut) + 2, 200, NEVER] {
        let cut = Cut { at: second(cut), kept };
        let in_set = |slot| replica.items.lives(slot).unwrap().is_in(replica.at_least(cut));
        let hashes: Vec<u64> = replica.in_range(Range::ALL, cut).map(|(hash, _)| hash).collect();
        assert!(hashes.is_sorted());
        assert_eq!(hashes.len(), replica.items.slots().filter(|slot| in_set(*slot)).count());
        let marks = hashes.iter().map(|hash| super::mark(*hash));
        assert_eq!(replica.summary(cut), marks.fold((0, 0_u64), total), "{cut:?}");
        assert_eq!(replica.count(Range::ALL, cut), hashes.len() as u64);
        for range in Range::ALL.split(5) {
            let hashes: Vec<u64> = replica.in_range(range, cut).map(|(hash, _)| hash).collect();
            let mut sketch = replica.sketch(range, 40, cut);
            hashes.iter().for_each(|hash| sketch.remove(*hash));
            assert_eq!(sketch, crate::sketch::Sketch::new(40), "a sketch is of the set at the cut");
        }
    }
}

/// Updates, and the same in another order with some of them twice.
fn shuffled() -> impl Strategy<Value = (Vec<Sample>, Vec<Sample>)> {
    proptest::collection::vec(update(), 0..60).prop_flat_map(|updates| {
        let twice = proptest::sample::subsequence(updates.clone(), 0..=updates.len());
        let other = twice.prop_flat_map({
            let updates = updates.clone();
            move |again| Just([updates.clone(), again].concat()).prop_shuffle()
        });
        (Just(updates), other)
    })
}

proptest! {
    #[test]
    fn any_order_and_multiplicity_give_one_replica((updates, other) in shuffled(), cut in 0_u64..110) {
        let (first, second) = (of(updates.clone()), of(other));
        let cut = secs(cut);
        prop_assert_eq!(first.summary(cut), second.summary(cut));
        // A value shrinks when it expires, by whichever clock: until then it is seen here and, shrunk elsewhere, not there.
        let expired = cut.max(secs(23));
        prop_assert_eq!(seen(&first, expired), seen(&second, expired));
        prop_assert_eq!(seen(&first, cut).0, seen(&second, cut).0);
        prop_assert_eq!(seen(&first, cut).0, Model(updates).set(cut), "and it is the join");
        check_indexes(&first, cut);
        check_indexes(&second, cut);
    }

    #[test]
    fn merging_is_associative(
        (parts, cut) in (proptest::array::uniform3(proptest::collection::vec(update(), 0..20)), 0_u64..110)
    ) {
        // A replica sends what is in its reconciled set: that of two, to a third.
        let [a, b, c] = parts;
        let (start, cut) = (Instant::ORIGIN, secs(cut));
        let sent = |replica: &Replica<u16>| -> Vec<Sample> {
            replica.in_range(Range::ALL, start).map(|(_, update)| update).collect()
        };
        // What waits for its owner is not sent: the owners are known to all.
        let owners: Vec<Sample> = [1, 2, 3].map(|id| alive(id, 9, 3)).to_vec();
        let with = |updates: &[Vec<Sample>]| of([owners.clone(), updates.concat()].concat());
        let left = of([sent(&with(&[a.clone(), b.clone()])), c.clone()].concat());
        let right = of([owners.clone(), a, sent(&with(&[b, c]))].concat());
        prop_assert_eq!(seen(&left, cut), seen(&right, cut));
    }

    #[test]
    fn time_that_passes_in_between_changes_nothing_that_is_agreed_on(
        (updates, other) in shuffled(),
        times in proptest::collection::vec(0_u64..150, 120),
        cut in 100_u64..110,
    ) {
        // Clocks step back as well. Certificates shrink, nothing is forgotten.
        let (mut early, mut late) = (replica(), of(updates));
        for (update, clock) in other.into_iter().zip(times) {
            early.merge(update);
            early.advance(secs(clock), past(Instant::ORIGIN));
            early.shrink_until(secs(clock.min(99)));
            check_indexes(&early, secs(cut));
        }
        for replica in [&mut early, &mut late] {
            replica.advance(secs(149), past(Instant::ORIGIN));
            replica.shrink_until(secs(99));
        }
        prop_assert_eq!(early.summary(secs(cut)), late.summary(secs(cut)));
        prop_assert_eq!(seen(&early, secs(cut)), seen(&late, secs(cut)));
        check_indexes(&early, secs(cut));
    }

    #[test]
    fn indexes_that_are_made_at_once_are_those_that_grow_with_each_update(
        (updates, _) in shuffled(),
        times in proptest::collection::vec(0_u64..150, 120),
        (from, to) in (0_usize..60, 0_usize..60),
    ) {
        let (mut grown, mut made) = (replica().certificates_up_to(3), replica().certificates_up_to(3));
        for (at, (update, clock)) in updates.into_iter().zip(times).enumerate() {
            if at == from {
                made.defer_indexes();
            }
            for replica in [&mut grown, &mut made] {
                replica.merge(update.clone());
                replica.advance(secs(clock), past(secs(clock / 2)));
            }
            if at == from + to {
                made.index_all();
            }
        }
        made.index_all();
        check_indexes(&made, made.cut);
        prop_assert!(made.stored().eq(grown.stored()));
        for cut in [0, 50, 149] {
            prop_assert_eq!(made.summary(secs(cut)), grown.summary(secs(cut)));
            prop_assert_eq!(seen(&made, secs(cut)), seen(&grown, secs(cut)));
        }
    }

    #[test]
    fn when_it_is_settled_nothing_is_left_of_what_has_ended((updates, _) in shuffled()) {
        let mut replica = of(updates.clone());
        let forgotten = replica.advance(secs(200), past(secs(200)));
        check_indexes(&replica, secs(200));
        let everlasting = Model(updates).set(secs(200));
        prop_assert_eq!(seen(&replica, Instant::ORIGIN).0, everlasting);
        prop_assert!(forgotten.iter().all(|record| replica.member(record.id).is_none()));
        prop_assert!(replica.next_due().is_none_or(|due| due > secs(200)), "nothing is due for ever");
    }

    #[test]
    fn what_is_due_is_done_when_it_is_due((updates, _) in shuffled()) {
        let mut replica = of(updates);
        let mut last = Instant::ORIGIN;
        while let Some(due) = replica.next_due() {
            prop_assert!(due > last, "{due} again");
            replica.advance(due, past(Instant::ORIGIN));
            last = due;
        }
    }

    #[test]
    fn news_names_what_it_replaced(updates in proptest::collection::vec(record(), 1..30)) {
        let mut replica = replica();
        for update in updates {
            let key = replica.hasher.key(&update);
            let before = replica.get(key);
            match replica.merge(update.clone()) {
                Merged::News { hash, old } => {
                    prop_assert_eq!((Some(hash), old), (replica.hash_of(key), before));
                    prop_assert_eq!(replica.get(key), Some(update));
                }
                Merged::Known => prop_assert_eq!(before, Some(update)),
                Merged::Outdated => prop_assert!(before.is_some()),
                Merged::Parked | Merged::Covered { .. } => prop_assert!(false, "records wait for nobody, and cover nothing"),
            }
        }
    }
}

fn alive(id: u64, incarnation: u64, boot: u64) -> Sample {
    Update::Member(Record {
        id: NodeId::new(id),
        incarnation,
        boot: Instant::from_micros(boot),
        pass: boot,
        standing: Standing::Alive,
        until: Until::NEVER,
        address: 7,
        about: None,
    })
}

fn dead(id: u64, incarnation: u64, boot: u64, until: u64) -> Sample {
    let Update::Member(record) = alive(id, incarnation, boot) else { unreachable!() };
    Update::Member(Record { standing: Standing::Dead, until: Until::at(secs(until)), ..record })
}

/// An entry of a life of a member's; shared if the life is 0.
fn entry(id: u64, boot: u64, at: u64, value: Option<&[u8]>) -> Sample {
    let owner = (boot > 0).then(|| Owner { id: NodeId::new(id), boot: Instant::from_micros(boot) });
    let stamp = Stamp { time: secs(at), counter: 0, node: NodeId::new(id) };
    let ends = value.is_none().then_some(End { at: secs(at), keep: 100, covers: Until::NEVER });
    Update::Entry(Entry { owner, name: "n".into(), stamp, ends, value: value.map(Into::into), extra: None })
}

fn value(replica: &Replica<u16>, owner: Option<u64>, clock: u64) -> Option<Vec<u8>> {
    let whose = owner.map_or(Whose::Everyone, |owner| Whose::Own(NodeId::new(owner)));
    replica.entry(whose, "n", secs(clock))?.value.as_ref().map(|value| value.to_vec())
}

#[test]
fn an_owned_entry_waits_for_its_owner_and_is_neither_visible_nor_reconciled() {
    let mut replica = replica();
    assert_eq!(replica.merge(entry(1, 5, 10, Some(b"x"))), Merged::Parked);
    assert_eq!(replica.merge(entry(1, 5, 10, Some(b"x"))), Merged::Known);
    assert_eq!((value(&replica, Some(1), 10), replica.summary(secs(10)).0), (None, 0));
    replica.merge(alive(1, 5, 5));
    assert_eq!((value(&replica, Some(1), 10).as_deref(), replica.summary(secs(10)).0), (Some(&b"x"[..]), 2));
}

#[test]
fn what_a_member_owned_goes_with_its_life() {
    let mut replica = of([alive(1, 5, 5), entry(1, 5, 10, Some(b"old"))]);
    replica.merge(alive(1, 9, 9));
    assert_eq!(value(&replica, Some(1), 10), None);
    assert_eq!(replica.merge(entry(1, 5, 11, Some(b"late"))), Merged::Outdated, "of the life before");
    replica.merge(entry(1, 9, 12, Some(b"new")));
    assert_eq!(value(&replica, Some(1), 12).as_deref(), Some(&b"new"[..]));
}

#[test]
fn what_a_dead_member_owned_ends_when_its_record_does_and_lives_on_if_it_does() {
    let mut replica = of([alive(1, 5, 5), entry(1, 5, 10, Some(b"x"))]);
    replica.merge(dead(1, 5, 5, 100));
    assert!(value(&replica, Some(1), 99).is_none(), "visible while its owner lives");
    assert_eq!(replica.counts(), (1, 1), "and kept, since the death may be refuted");
    replica.merge(alive(1, 6, 5));
    assert!(value(&replica, Some(1), 1_000).is_some(), "refuted");
    replica.merge(dead(1, 6, 5, 100));
    let forgotten: Vec<NodeId> =
        replica.advance(secs(150), past(secs(150))).into_iter().map(|record| record.id).collect();
    assert_eq!(forgotten, [NodeId::new(1)]);
    assert_eq!(replica.items.len(), 0);
}

#[test]
fn only_what_an_application_sees_is_a_change() {
    let mut replica = replica();
    let mut changes = |update| {
        replica.merge(update);
        replica.take_touched().count()
    };
    assert_eq!(changes(entry(1, 0, 10, None)), 0, "the deletion of what was not there");
    assert_eq!(changes(entry(1, 0, 11, Some(b"x"))), 1);
    assert_eq!(changes(entry(1, 0, 12, Some(b"x"))), 0, "the value that is there");
    assert_eq!(changes(entry(1, 0, 13, Some(b"y"))), 1);
    assert_eq!(changes(entry(1, 0, 14, None)), 1);
    // Metadata: there with its owner's life, gone with its death, there again when that is refuted.
    assert_eq!(changes(entry(1, 5, 10, Some(b"own"))), 0, "its owner is not known");
    assert_eq!(changes(alive(1, 5, 5)), 1);
    assert_eq!(changes(dead(1, 5, 5, 100)), 1);
    assert_eq!(changes(entry(1, 5, 11, Some(b"late"))), 0);
    assert_eq!(changes(alive(1, 6, 5)), 1);
    assert_eq!(changes(dead(1, 6, 5, 100)), 1);
    assert_eq!(changes(alive(1, 9, 9)), 0, "it was gone before its next life");
    assert_eq!(changes(entry(1, 9, 12, Some(b"new"))), 1);
    assert_eq!(changes(alive(1, 12, 12)), 1, "a life that is over");
}

#[test]
fn entries_of_several_lives_to_come_do_not_displace_one_another() {
    let mut replica = of([entry(1, 7, 12, Some(b"later")), entry(1, 5, 10, Some(b"sooner"))]);
    replica.merge(alive(1, 5, 5));
    assert_eq!(value(&replica, Some(1), 20).as_deref(), Some(&b"sooner"[..]));
    replica.merge(alive(1, 7, 7));
    assert_eq!(value(&replica, Some(1), 20).as_deref(), Some(&b"later"[..]));
}

#[test]
fn a_twin_of_an_older_life_that_prevails_hides_the_younger_ones_entries_until_that_does() {
    let mut replica = of([alive(1, 9, 9), entry(1, 9, 10, Some(b"young"))]);
    replica.merge(alive(1, 10, 5));
    assert_eq!((value(&replica, Some(1), 20), replica.summary(secs(20)).0), (None, 1));
    replica.merge(alive(1, 11, 9));
    assert_eq!(value(&replica, Some(1), 20).as_deref(), Some(&b"young"[..]));
}

#[test]
fn the_oldest_that_wait_for_an_owner_go_when_there_are_too_many() {
    let mut replica: Replica<u16> = Replica::new("", SHRINK, 3);
    for id in 1..=5 {
        replica.merge(entry(id, 5, 10, Some(b"x")));
    }
    assert_eq!((replica.parked.len(), replica.parked_dropped()), (3, 2));
    for id in 1..=5 {
        replica.merge(alive(id, 5, 5));
    }
    assert!(value(&replica, Some(1), 10).is_none() && value(&replica, Some(3), 10).is_some());
    // However often what waits is replaced or fetched, what is kept of its order is bounded.
    for round in 0..200 {
        replica.merge(entry(9, 1_000 + round, 10, Some(b"x")));
        replica.merge(alive(9, 1_000 + round, 1_000 + round));
    }
    assert_eq!(replica.parked.len(), 0);
    check_indexes(&replica, secs(10));
}

#[test]
fn a_value_that_expires_is_its_own_death_certificate() {
    let expiring = |at: u64| {
        let Update::Entry(entry) = entry(1, 0, at, Some(b"x")) else { unreachable!() };
        Update::Entry(Entry { ends: Some(End { at: secs(at + 10), keep: 100, covers: End::NOTHING }), ..entry })
    };
    let mut replica = of([entry(1, 0, 1, Some(b"before")), expiring(5)]);
    let summary = replica.summary(secs(20));
    assert!(value(&replica, None, 14).is_some() && value(&replica, None, 15).is_none());
    replica.advance(secs(15), past(secs(14)));
    assert!(replica.take_touched().any(|(_, name)| &*name == "n"));
    // A clock that steps back shows it again.
    replica.advance(secs(10), past(secs(10)));
    assert!(replica.take_touched().any(|(_, name)| &*name == "n") && value(&replica, None, 10).is_some());
    replica.advance(secs(16), past(secs(15)));
    assert!(matches!(replica.get(replica.hasher.entry(Whose::Everyone, "n")), Some(Update::Certificate(_))));
    assert_eq!(replica.summary(secs(20)), summary, "the same item in fewer bytes");
    assert_eq!(replica.merge(expiring(5)), Merged::Outdated, "it covers something since");
    assert_eq!(replica.merge(entry(1, 0, 1, Some(b"before"))), Merged::Outdated, "what it replaced does not come back");
    assert!(replica.take_touched().any(|(_, name)| &*name == "n"));
}

#[test]
fn a_death_certificate_shrinks_after_its_time_and_still_wins() {
    let deleted = entry(1, 0, 10, None);
    let mut replica = of([entry(1, 0, 5, Some(b"x")), deleted.clone()]);
    let before = replica.summary(secs(20));
    assert_eq!(replica.next_due(), Some(secs(20)));
    replica.advance(secs(20), past(secs(20)));
    assert_eq!(replica.get(replica.hasher.entry(Whose::Everyone, "n")), Some(shrink(&deleted)));
    assert_eq!((replica.summary(secs(20)), replica.names.len()), (before, 0));
    assert_eq!(replica.merge(entry(1, 0, 9, Some(b"y"))), Merged::Outdated);
    assert!(matches!(replica.merge(entry(1, 0, 11, Some(b"z"))), Merged::News { .. }));
    assert_eq!(value(&replica, None, 20).as_deref(), Some(&b"z"[..]));
}

proptest! {
    #[test]
    fn the_indexes_hold_while_certificates_are_pushed_out_and_clocks_step(
        (updates, _) in shuffled(),
        times in proptest::collection::vec(0_u64..150, 60),
        most in 0_usize..6,
    ) {
        let mut replica = replica().certificates_up_to(most);
        for (update, clock) in updates.into_iter().zip(times) {
            replica.merge(update);
            prop_assert!(replica.certificates.len() <= most);
            replica.advance(secs(clock), past(secs(clock / 2)));
            check_indexes(&replica, secs(clock));
            replica.shrink_until(secs(clock));
            prop_assert!(replica.certificates.len() <= most);
            check_indexes(&replica, secs(clock + 3));
        }
    }
}

#[test]
fn over_the_bound_those_certificates_go_that_would_be_kept_the_shortest_and_are_not_taken_again() {
    let deleted = |name: &str, at: u64| {
        let Update::Entry(entry) = entry(1, 0, at, None) else { unreachable!() };
        Update::Entry(Entry { name: name.into(), ..entry })
    };
    let names: Vec<String> = (0..10).map(|n: u8| String::from(char::from(b'a' + n))).collect();
    let mut small = replica().certificates_up_to(4);
    let mut large = replica();
    // The last come first.
    for (at, name) in names.iter().enumerate().rev() {
        small.merge(deleted(name, 10 + at as u64));
        large.merge(deleted(name, 10 + at as u64));
    }
    assert_eq!((small.certificates.len(), small.pushed_out(), small.kept()), (4, 6, 115));
    let again: Sample = deleted("a", 10);
    assert!(!small.keeps(&again, secs(20)) && large.keeps(&again, secs(20)));
    let cut = Cut { at: 20, kept: small.kept() };
    assert_eq!(small.summary(cut), large.summary(cut));
    assert!(small.summary(cut) != large.summary(secs(20)));
    check_indexes(&small, secs(20));
    check_indexes(&large, secs(20));
    // One that would be let go at once still ends what it deletes.
    small.merge(entry(1, 0, 5, Some(b"x")));
    assert!(value(&small, None, 20).is_some());
    small.merge(deleted("n", 9));
    assert!(value(&small, None, 20).is_none());
    check_indexes(&small, secs(20));
}

#[test]
fn certificates_from_the_far_future_are_bounded_like_all_others() {
    let mut replica = replica().certificates_up_to(100);
    for n in 0..1_000_u64 {
        // Stamps of the years 2100 to 2493.
        let stamp = Stamp { time: secs(4_102_444_800 + n * 12_400_000), counter: 0, node: NodeId::new(1) };
        let ends = Some(End { at: secs(10), keep: 100, covers: Until::NEVER });
        let name = std::format!("{n}").as_str().into();
        replica.merge(Update::Entry(Entry { owner: None, name, stamp, ends, value: None, extra: None }));
        assert!(replica.certificates.len() <= 100, "{n}");
        assert!(replica.certificates.kept < Instant::from_secs(u64::from(NEVER)), "a cut can name the bound");
    }
    check_indexes(&replica, secs(20));
}

#[test]
fn an_older_cut_sees_what_has_ended_since_until_that_is_forgotten() {
    let mut replica = of([entry(1, 0, 10, None)]);
    let before = replica.summary(secs(109));
    assert_eq!((before.0, replica.summary(secs(110)).0), (1, 0));
    replica.advance(secs(1_000_000), past(secs(109)));
    assert_eq!((replica.summary(secs(109)), replica.summary(secs(1_000_000)).0), (before, 0));
    assert!(replica.has_ended());
    replica.advance(secs(100), past(secs(100)));
    assert_eq!(replica.summary(secs(109)), before, "no step of a clock forgets anything");
    replica.advance(secs(110), Past { awake: secs(110), in_touch: secs(109) });
    assert_eq!(replica.items.len(), 1, "kept while nobody else is there");
    replica.advance(secs(110), past(secs(110)));
    assert_eq!((replica.items.len(), replica.has_ended()), (0, false));
}
