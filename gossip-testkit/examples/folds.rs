//! A counter that only grows, and a set whose elements come and go: folds over the members' shares of one name.
//!
//! The engine's only rule is that the newest write of a name wins, which would lose counts and elements that two
//! members write at once. Therefore each member writes only its own share, and a reader folds them all. A share outlives its
//! owner's restarts, crashes and departures; an entry of the member's own would not, and its count would be missing then.

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::{Instant, Node, NodeId, Typed, TypedError};
use gossip_testkit::{Addr, Cluster, Dice, laws};
use serde::{Deserialize, Serialize};

/// Counts of each member (Shapiro et al., "A comprehensive study of CRDTs", 2011: G-Counter).
type Counts = BTreeMap<NodeId, u64>;

const COUNT: Typed<u64> = Typed::new("visits");

fn merge_counts(left: &Counts, right: &Counts) -> Counts {
    let mut counts = left.clone();
    for (member, count) in right {
        let known = counts.entry(*member).or_default();
        *known = (*known).max(*count);
    }
    counts
}

/// Adds one to this member's count.
fn count(node: &mut Node<Addr>, now: Instant) -> Result<(), TypedError> {
    let so_far = COUNT.get_share(node, node.id()).ok().flatten().unwrap_or(0);
    COUNT.put_share(node, now, &(so_far + 1)).map(drop)
}

fn counted(node: &Node<Addr>) -> u64 {
    let shares = COUNT.shares_named(node).filter_map(|(member, count)| Some(Counts::from([(member, count.ok()?)])));
    shares.fold(Counts::new(), |all, share| merge_counts(&all, &share)).values().sum()
}

/// Distinguishes each addition of an element from every other: by the member, the time at which its process started, and a number. With
/// the start in it no two processes give the same, whatever either knows of the other.
type Tag = (NodeId, Instant, u32);

/// The observed-remove set of the same study: removing an element removes the additions that were seen, so that an
/// addition made elsewhere at the same time remains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Set {
    added: BTreeSet<(String, Tag)>,
    removed: BTreeSet<Tag>,
}

const TAGS: Typed<Set> = Typed::new("tags");

impl Set {
    fn merge(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.added.extend(other.added.iter().cloned());
        both.removed.extend(&other.removed);
        both
    }

    fn elements(&self) -> BTreeSet<String> {
        let there = self.added.iter().filter(|(_, tag)| !self.removed.contains(tag));
        there.map(|(element, _)| element.clone()).collect()
    }
}

fn own(node: &Node<Addr>) -> Set {
    TAGS.get_share(node, node.id()).ok().flatten().unwrap_or_default()
}

fn all(node: &Node<Addr>) -> Set {
    TAGS.shares_named(node).filter_map(|(_, set)| set.ok()).fold(Set::default(), |all, share| all.merge(&share))
}

fn add(node: &mut Node<Addr>, now: Instant, element: &str) -> Result<(), TypedError> {
    let mut share = own(node);
    let boot = node.member(node.id()).map_or(now, |own| own.boot);
    let mine = share.added.iter().filter(|(_, (_, start, _))| *start == boot);
    let next = mine.map(|(_, (.., number))| number + 1).max().unwrap_or(0);
    share.added.insert((element.to_owned(), (node.id(), boot, next)));
    TAGS.put_share(node, now, &share).map(drop)
}

fn remove(node: &mut Node<Addr>, now: Instant, element: &str) -> Result<(), TypedError> {
    let mut share = own(node);
    share.removed.extend(all(node).added.iter().filter(|(known, _)| known == element).map(|(_, tag)| *tag));
    TAGS.put_share(node, now, &share).map(drop)
}

fn member(dice: &mut Dice) -> NodeId {
    NodeId::new(dice.within(0..=2))
}

fn tag(dice: &mut Dice) -> Tag {
    (member(dice), Instant::from_secs(dice.within(1..=2)), dice.within(0..=1) as u32)
}

fn main() {
    laws::check(|dice| (0..2).map(|_| (member(dice), dice.within(0..=3))).collect(), merge_counts).unwrap();
    let set = |dice: &mut Dice| Set {
        added: (0..2).map(|_| (dice.within(0..=2).to_string(), tag(dice))).collect(),
        removed: (0..2).map(|_| tag(dice)).collect(),
    };
    laws::check(set, Set::merge).unwrap();
    // Adding up the shares of two folds counts twice what both have.
    let sum = |left: &Counts, right: &Counts| {
        let members = left.keys().chain(right.keys());
        members.map(|id| (*id, left.get(id).unwrap_or(&0) + right.get(id).unwrap_or(&0))).collect()
    };
    let broken = laws::check(|dice| Counts::from([(member(dice), dice.within(1..=3))]), sum).unwrap_err();
    println!("{broken}");

    // What was counted and tagged outlives restarts, crashes and departures.
    laws::outlives(1, |node, now, _| count(node, now), counted, |total, _| *total += 1).unwrap();
    let name = |operation: u64| (operation / 2).to_string();
    let change = |node: &mut Node<Addr>, now, operation| match operation % 2 {
        0 => add(node, now, &name(operation)),
        _ => remove(node, now, &name(operation)),
    };
    let ideal = |elements: &mut BTreeSet<String>, operation| {
        match operation % 2 {
            0 => elements.insert(name(operation)),
            _ => elements.remove(&name(operation)),
        };
    };
    laws::outlives(4, change, |node| all(node).elements(), ideal).unwrap();

    let mut cluster = Cluster::<Node<Addr>>::new(5, 7);
    cluster.run_rounds(10);
    cluster.with(0, |node, now| add(node, now, "old")).unwrap();
    cluster.run_rounds(5);
    cluster.partition([0, 1], [2, 3, 4]);
    for at in 0..5 {
        cluster.with(at, |node, now| count(node, now).and_then(|()| count(node, now))).unwrap();
    }
    // Both sides count, one removes what it has seen, the other adds it anew.
    cluster.with(1, |node, now| remove(node, now, "old").and_then(|()| add(node, now, "left"))).unwrap();
    cluster.with(4, |node, now| add(node, now, "old")).unwrap();
    cluster.run_rounds(3);
    cluster.heal();
    cluster.run_rounds(30);
    for (at, node) in cluster.live() {
        assert_eq!(counted(node), 10, "node {at}");
        assert_eq!(all(node).elements(), BTreeSet::from(["left".to_owned(), "old".to_owned()]), "node {at}");
    }
    println!("five members agree: 10 visits, and the tags {:?}", all(cluster.node(2)).elements());
}

#[test]
fn a_counter_and_a_set_keep_the_laws_and_agree_after_a_partition() {
    main();
}
