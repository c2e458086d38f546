//! Updates of a small world, for property tests: few keys, lives, stamps and ends, so that they meet.

use alloc::sync::Arc;

use proptest::prelude::*;

use super::{
    About, Asks, Broadcast, Certificate, End, Entry, Filter, ItemHasher, Owner, Record, Stamp, Standing, Tags, Topic,
    Until, Update,
};
use crate::id::NodeId;
use crate::time::Instant;

pub(crate) type Sample = Update<u16>;

/// The end of a death or a broadcast.
fn end() -> impl Strategy<Value = Until> {
    (100_u64..104).prop_map(|secs| Until::at(Instant::from_secs(secs)))
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (1_u64..4, 0_u32..2, 1_u64..3).prop_map(|(secs, counter, node)| Stamp {
        time: Instant::from_secs(secs),
        counter,
        node: NodeId::new(node),
    })
}

/// Owner of an entry of a boot, or of a share.
fn owner() -> impl Strategy<Value = Owner> {
    (1_u64..4, 0_u64..4).prop_map(|(id, boot)| Owner { id: NodeId::new(id), boot: Instant::from_micros(boot) })
}

/// Twins among them: one incarnation and standing, two addresses, with a name and without. A life never falls while incarnations rise.
pub(crate) fn record() -> impl Strategy<Value = Sample> {
    let standing = prop_oneof![Just(Standing::Alive), Just(Standing::Dead), Just(Standing::Left)];
    (1_u64..4, 1_u64..9, standing, end(), 0_u16..4).prop_map(|(id, incarnation, standing, end, address)| {
        Update::Member(Record {
            id: NodeId::new(id),
            incarnation,
            boot: Instant::from_micros(1 + incarnation / 3),
            pass: incarnation / 3,
            standing,
            until: if standing == Standing::Alive { Until::NEVER } else { end },
            address: address / 2,
            about: (address % 2 == 1).then(|| About::of("a".into(), Tags::EMPTY)).flatten(),
        })
    })
}

/// Ends of entries: of values from 20 s on, of deletions when they were made, with all kinds of what they cover.
fn ends(deleted: bool) -> impl Strategy<Value = End> {
    let covers = prop_oneof![
        3 => Just(End::NOTHING),
        3 => (18_u64..26).prop_map(|secs| Until::at(Instant::from_secs(secs))),
        1 => Just(Until::NEVER)
    ];
    (if deleted { 1_u64..4 } else { 20..23 }, if deleted { 99_u32..103 } else { 80..84 }, covers).prop_map(
        |(at, keep, covers)| {
            let mut end = End { at: Instant::from_secs(at), keep, covers: End::NOTHING };
            end.cover(covers);
            end
        },
    )
}

/// Entries that were written, that expire, or that were deleted; the last two also shrunk.
pub(crate) fn entry() -> impl Strategy<Value = Sample> {
    let name = prop_oneof![Just("a"), Just("b"), Just("ä")];
    let body = (0_u8..3, 0_u8..2, ends(false), ends(true));
    (proptest::option::of(owner()), name, stamp(), body, any::<bool>()).prop_map(
        |(owner, name, stamp, body, shrunk)| {
            let (kind, value, expires, deleted) = body;
            let value: Option<Arc<[u8]>> = (kind < 2).then(|| Arc::from([value]));
            // Only its owner writes a share, and anybody ends it.
            let author = owner.filter(|owner| owner.has_share() && value.is_some());
            let stamp = Stamp { node: author.map_or(stamp.node, |owner| owner.id), ..stamp };
            let ends = [None, Some(expires), Some(deleted)][usize::from(kind)];
            let entry = Update::Entry(Entry { owner, name: name.into(), stamp, ends, value, extra: None });
            if shrunk && kind > 0 { shrink(&entry) } else { entry }
        },
    )
}

pub(crate) fn broadcast() -> impl Strategy<Value = Sample> {
    (stamp(), end(), 0_u8..2, any::<bool>()).prop_map(|(stamp, until, payload, asks)| {
        let asks = asks.then(|| Arc::new(Asks { filter: Filter::ALL.names(["a"]), topic: Topic::Application }));
        Update::Broadcast(Broadcast { stamp, until, asks, payload: Arc::from([payload]) })
    })
}

/// Any update of the small world.
pub(crate) fn update() -> impl Strategy<Value = Sample> {
    prop_oneof![2 => record(), 4 => entry(), 1 => broadcast()]
}

/// Shrinks an entry to its certificate, as after τ1.
pub(crate) fn shrink(entry: &Sample) -> Sample {
    let hasher = ItemHasher::new("");
    let Update::Entry(Entry { owner, stamp, ends, .. }) = entry else { return entry.clone() };
    Update::Certificate(Certificate {
        key: hasher.key(entry),
        owner: *owner,
        stamp: *stamp,
        ends: *ends,
        digest: hasher.digest(entry),
    })
}
