//! Rivals: two versions of one key, one on each side, of which only the newer is worth sending. The responder
//! recognises rivals by their hashes and reports the versions that it holds. The initiator compares, sends its newer
//! versions and asks for the others, and retries until they have arrived.

use alloc::vec::Vec;
use core::time::Duration;

use super::Context;
use crate::address::Address;
use crate::epidemic::pull::Question;
use crate::outbox::TrafficClass;
use crate::replica::Replica;
use crate::time::Instant;
use crate::update::key_part;
use crate::wire::{Repair, Rival, Short, Want};

/// Requests for a newer version before it is left to the next exchange.
const TRIES: u32 = 6;
/// Versions requested in one datagram, at most. Further ones wait for the next exchange.
const MOST: usize = 48;

/// Newer versions that a peer was asked for.
#[derive(Debug)]
pub(super) struct Wanted<A> {
    pub(super) peer: A,
    rivals: Vec<Rival>,
    question: Question,
}

impl<A: Address> Wanted<A> {
    pub(super) fn new(peer: A, now: Instant) -> Self {
        Self { peer, rivals: Vec::new(), question: Question::repeated(now, 0) }
    }

    /// Asks for these versions as well.
    pub(super) fn ask_for(&mut self, mut rivals: Vec<Rival>, context: &mut Context<'_, A>) {
        rivals.truncate(MOST.saturating_sub(self.rivals.len()));
        if !rivals.is_empty() {
            self.ask(&rivals, context);
            self.rivals.extend(rivals);
            self.question = Question::asked(context.now);
        }
    }

    fn ask(&self, rivals: &[Rival], context: &mut Context<'_, A>) {
        let keys: Vec<Short> = rivals.iter().map(|rival| rival.key).collect();
        let message = Repair::Want(Want { token: context.trust.shown_to(&self.peer).unwrap_or_default(), keys });
        context.outbox.message(TrafficClass::AntiEntropy, self.peer.clone(), message);
    }

    pub(super) fn due(&self, patience: Duration) -> Instant {
        self.question.due(patience)
    }

    /// Asks again for versions that have not arrived. Returns `false` if none is left.
    pub(super) fn ask_again(&mut self, context: &mut Context<'_, A>) -> bool {
        self.rivals.retain(|rival| is_newer(rival, context.replica));
        if self.rivals.is_empty() || self.question.tries() == TRIES {
            return false;
        }
        self.question.ask_again(context.now);
        self.ask(&self.rivals, context);
        true
    }
}

/// Returns true if the peer seems to hold a newer version.
fn is_newer<A: Address>(rival: &Rival, replica: &Replica<A>) -> bool {
    replica.by_short(rival.key.0).is_none_or(|(_, own)| own.version().short() < rival.version)
}

/// Moves items of `ours` that are rivals of an item of `theirs` into a list of its own, at most `most`.
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

/// Removes from `wanted` what the peer holds in a newer version, and returns the versions to ask for. If versions look
/// equal both are worth sending, and so is an item that only looked like a rival because its hash has the same prefix.
pub(super) fn judge<A: Address>(wanted: &mut Vec<u64>, rivals: &[Rival], replica: &Replica<A>) -> Vec<Rival> {
    let mut newer = Vec::new();
    for rival in rivals {
        match replica.by_short(rival.key.0).map(|(hash, update)| (hash, update.version().short())) {
            Some((_, own)) if own > rival.version => {}
            Some((hash, own)) => {
                wanted.retain(|wanted| *wanted != hash || own == rival.version);
                newer.push(*rival);
            }
            None => newer.push(*rival),
        }
    }
    newer
}
