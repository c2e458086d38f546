use core::cmp::Ordering;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::samples::{Sample, shrink, update};
use super::*;

fn order(a: &Sample, b: &Sample) -> Ordering {
    a.order(b, &ItemHasher::new(""))
}

/// Updates of one key, which is all that the order is for.
fn rivals() -> impl Strategy<Value = Vec<Sample>> {
    let hasher = ItemHasher::new("");
    proptest::collection::vec(update(), 1..60).prop_map(move |updates| {
        let key = hasher.key(&updates[0]);
        updates.into_iter().filter(|update| hasher.key(update) == key).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_a_key_is_total(rivals in rivals()) {
        for a in &rivals {
            for b in &rivals {
                prop_assert_eq!(order(a, b), order(b, a).reverse());
                for c in &rivals {
                    if order(a, b).is_le() && order(b, c).is_le() {
                        prop_assert!(order(a, c).is_le());
                    }
                }
            }
        }
    }

    #[test]
    fn equal_in_order_means_equal_items_and_equal_bytes(rivals in rivals()) {
        let hasher = ItemHasher::new("");
        let item = |update: &Sample| hasher.item(hasher.key(update), update);
        for a in &rivals {
            for b in &rivals {
                let equal = order(a, b) == Ordering::Equal;
                prop_assert_eq!(equal, item(a) == item(b));
                prop_assert_eq!(equal, shrink(a) == shrink(b), "a shrunk certificate counts as what it was");
            }
        }
    }
}

/// The merge, as a replica does it.
fn join(a: &Sample, b: &Sample) -> Sample {
    let (winner, loser) = if a.rank(b, &ItemHasher::new("")).is_ge() { (a, b) } else { (b, a) };
    let mut winner = winner.clone();
    winner.cover(loser);
    winner
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(rivals in rivals()) {
        for a in &rivals {
            prop_assert_eq!(&join(a, a), a);
            for b in &rivals {
                let both = join(a, b);
                prop_assert_eq!(order(&both, &join(b, a)), Ordering::Equal);
                prop_assert_eq!(order(&join(&both, a), &both), Ordering::Equal);
                prop_assert_eq!(order(&join(b, &both), &both), Ordering::Equal);
                for c in &rivals {
                    prop_assert_eq!(order(&join(&both, c), &join(a, &join(b, c))), Ordering::Equal);
                }
            }
        }
    }

    #[test]
    fn what_ends_is_kept_for_as_long_as_what_it_has_replaced_or_as_its_writer_says(rivals in rivals()) {
        for a in &rivals {
            for b in &rivals {
                let both = join(a, b);
                prop_assert!(both.until() >= both.ends());
                if let Update::Entry(Entry { ends: Some(end), .. }) = &both {
                    let kept = Until::at(end.at + core::time::Duration::from_secs(end.keep.into()));
                    prop_assert!(both.until() >= b.ends().min(kept) && both.until() >= a.ends().min(kept));
                }
                prop_assert!(matches!(both.until().instant(), Some(end) if end < Instant::from_secs(200)) || both.ends() == Until::NEVER);
            }
        }
    }
}

fn entry(at: u64, ends: Option<End>, value: Option<u8>) -> Sample {
    let stamp = Stamp { time: Instant::from_secs(at), counter: 0, node: NodeId::new(1) };
    Update::Entry(Entry {
        owner: None,
        name: "n".into(),
        stamp,
        ends,
        value: value.map(|value| [value].into()),
        extra: None,
    })
}

#[test]
fn a_certificate_is_kept_only_while_anybody_may_hold_what_it_covers() {
    let secs = Instant::from_secs;
    let end = |at| Some(End::new(secs(at), core::time::Duration::from_secs(100)));
    let kept = |update: &Sample| update.until().instant().map_or(u64::MAX, |until| until.as_micros() / 1_000_000);
    let lease = entry(10, end(40), Some(1));
    assert_eq!(kept(&lease), 40, "a lease of a name of its own leaves nothing");
    assert_eq!(kept(&join(&entry(30, end(60), Some(1)), &lease)), 60, "nor does one that is renewed");
    assert_eq!(kept(&join(&entry(20, end(20), None), &lease)), 40, "nor, beyond its end, one that is deleted");
    let lasting = entry(5, None, Some(2));
    assert_eq!(kept(&join(&lease, &lasting)), 140, "but over a value that does not end it is kept");
    assert_eq!(kept(&join(&lasting, &join(&lease, &entry(1, None, Some(3))))), 140, "in any order");
    assert_eq!(kept(&join(&entry(20, None, Some(2)), &lease)), u64::MAX);
    assert_eq!(kept(&entry(90, end(40), None)), 90, "and what is stamped in the future until then");
}

fn death(incarnation: u64, until: u64) -> Sample {
    Update::Member(Record {
        id: NodeId::new(1),
        incarnation,
        boot: Instant::from_micros(1),
        pass: 0,
        standing: Standing::Dead,
        until: Until::at(Instant::from_secs(until)),
        address: 1,
        about: None,
    })
}

#[test]
fn of_two_deaths_at_one_incarnation_the_one_that_ends_earlier_wins() {
    assert_eq!(order(&death(5, 100), &death(5, 200)), Ordering::Greater);
    assert_eq!(order(&death(5, 100), &death(6, 200)), Ordering::Less, "but first of all the incarnation counts");
}

#[test]
fn at_one_incarnation_a_death_outranks_the_living_and_a_departure_both() {
    let with = |standing: Standing| {
        let Update::Member(record) = death(5, 100) else { unreachable!() };
        let until = if standing == Standing::Alive { Until::NEVER } else { record.until };
        Update::Member(Record { standing, until, ..record })
    };
    assert_eq!(order(&with(Standing::Dead), &with(Standing::Alive)), Ordering::Greater);
    assert_eq!(order(&with(Standing::Left), &with(Standing::Dead)), Ordering::Greater);
}

#[test]
fn keys_of_different_kinds_and_owners_never_meet() {
    let hasher = ItemHasher::new("");
    let stamp = Stamp { time: Instant::from_secs(1), counter: 0, node: NodeId::new(1) };
    let mut keys = [
        hasher.member(NodeId::new(1)),
        hasher.member(NodeId::new(2)),
        hasher.entry(Whose::Everyone, "a"),
        hasher.entry(Whose::Everyone, "aa"),
        hasher.entry(Whose::Everyone, "\u{1}\0\0\0\0\0\0\0a"),
        hasher.entry(Whose::Own(NodeId::new(1)), "a"),
        hasher.entry(Whose::Own(NodeId::new(2)), "a"),
        hasher.broadcast(&stamp),
    ];
    keys.sort_unstable();
    assert!(keys.is_sorted_by(|a, b| a < b));
    assert_ne!(hasher.member(NodeId::new(1)), ItemHasher::new("other").member(NodeId::new(1)), "keyed by the label");
}

#[test]
fn an_end_is_excluded_and_never_is_after_everything() {
    let until = Until::at(Instant::from_secs(10));
    assert!(until.is_after(Instant::from_micros(9_999_999)));
    assert!(!until.is_after(Instant::from_secs(10)));
    assert!(Until::NEVER.is_after(Instant::MAX));
}

#[test]
fn people_can_read_every_kind() {
    let text = |update: &Sample| update.to_string();
    assert!(text(&death(5, 100)).contains("Dead@5"), "{}", text(&death(5, 100)));
    let entry: Sample = Update::Entry(Entry {
        owner: None,
        name: "limit".into(),
        stamp: Stamp { time: Instant::from_secs(1), counter: 0, node: NodeId::new(1) },
        ends: Some(End { at: Instant::from_secs(2), keep: 7, covers: Until::NEVER }),
        value: None,
        extra: None,
    });
    assert!(text(&entry).contains("\"limit\" deleted"), "{entry}");
    assert!(text(&shrink(&entry)).contains("ends 2.000000 kept until 9.000000"), "{}", shrink(&entry));
}
