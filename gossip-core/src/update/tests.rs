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

fn death(incarnation: u64, until: u64) -> Sample {
    Update::Member(Record {
        id: NodeId::new(1),
        incarnation,
        boot: Instant::from_micros(1),
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
        hasher.entry(None, "a"),
        hasher.entry(None, "aa"),
        hasher.entry(None, "\u{1}\0\0\0\0\0\0\0a"),
        hasher.entry(Some(NodeId::new(1)), "a"),
        hasher.entry(Some(NodeId::new(2)), "a"),
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
        expires: Until::NEVER,
        until: Until::at(Instant::from_secs(9)),
        value: None,
    });
    assert!(text(&entry).contains("\"limit\" deleted"), "{entry}");
    assert!(text(&shrink(&entry)).contains("until 9.000000"), "{}", shrink(&entry));
}
