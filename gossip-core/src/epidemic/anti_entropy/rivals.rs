//! Two versions of one key, one on each side: only the newer is worth sending. The responder sees from the hashes which
//! items are rivals, and says which versions it holds; the initiator sees which are newer, sends its own and asks for
//! the others.

use alloc::vec::Vec;

use crate::address::Address;
use crate::replica::Replica;
use crate::update::key_part;
use crate::wire::{Rival, Short};

/// Takes out of `ours` what stands against an item of `theirs`, at most so many.
pub(super) fn set_apart<A: Address>(
    ours: &mut Vec<u64>,
    theirs: &[u64],
    most: usize,
    replica: &Replica<A>,
) -> Vec<Rival> {
    let mut parts: Vec<u64> = theirs.iter().map(|hash| key_part(*hash)).collect();
    parts.sort_unstable();
    let mut rivals = Vec::new();
    ours.retain(|hash| {
        let stands_against = rivals.len() < most && parts.binary_search(&key_part(*hash)).is_ok();
        let rival = stands_against.then(|| rival(*hash, replica)).flatten();
        let stays = rival.is_none();
        rivals.extend(rival);
        stays
    });
    rivals
}

fn rival<A: Address>(hash: u64, replica: &Replica<A>) -> Option<Rival> {
    let key = replica.key_of(hash)?;
    Some(Rival { key: Short(key.short()), version: replica.get(key)?.version().short() })
}

/// Drops out of `wanted` what the peer holds in a newer version; what to ask for in return. Where versions look equal
/// both are worth sending, and so is what only looked like a rival because its hash begins like another's.
pub(super) fn judge<A: Address>(wanted: &mut Vec<u64>, rivals: &[Rival], replica: &Replica<A>) -> Vec<Short> {
    let mut newer = Vec::new();
    for Rival { key, version } in rivals {
        match replica.by_short(key.0).map(|(hash, update)| (hash, update.version().short())) {
            Some((_, own)) if own > *version => {}
            Some((hash, own)) => {
                wanted.retain(|wanted| *wanted != hash || own == *version);
                newer.push(*key);
            }
            None => newer.push(*key),
        }
    }
    newer
}
