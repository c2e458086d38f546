//! Budgets for requests that are short and have long answers: per peer and in total.
//!
//! One unit is a kilobyte of answer, about a datagram.

use alloc::collections::VecDeque;

use crate::time::{Instant, micros};

/// Units per second, and units at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    burst: u32,
}

/// Fills a fast local network with a newcomer's data, and leaves room for others.
const PER_PEER: Rate = Rate { per_second: 16_384, burst: 4_096 };
const IN_ALL: Rate = Rate { per_second: 32_768, burst: 8_192 };
/// Peers whose use is remembered. A forgotten peer begins anew; the bound on the total holds.
const PEERS: usize = 64;

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
}

impl Bucket {
    const fn full(rate: Rate) -> Self {
        Self { left: rate.burst, filled: Instant::ORIGIN }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let earned = micros(now.since(self.filled)).saturating_mul(u64::from(rate.per_second)) / 1_000_000;
        if earned > 0 {
            self.filled = now;
            self.left = u64::from(self.left).saturating_add(earned).min(u64::from(rate.burst)) as u32;
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Buckets<A> {
    all: Bucket,
    /// Buckets that are not full, in order of arrival.
    peers: VecDeque<(A, Bucket)>,
}

impl<A: Clone + PartialEq> Buckets<A> {
    pub(crate) const fn new() -> Self {
        Self { all: Bucket::full(IN_ALL), peers: VecDeque::new() }
    }

    /// Takes units from the budget: the number wanted, or what is left.
    pub(crate) fn take(&mut self, peer: &A, wanted: u32, now: Instant) -> u32 {
        let at = match self.peers.iter().position(|(of, _)| of == peer) {
            Some(at) => at,
            None => {
                if self.peers.len() == PEERS {
                    self.peers.retain_mut(|(_, bucket)| {
                        bucket.fill(PER_PEER, now);
                        bucket.left < PER_PEER.burst
                    });
                }
                if self.peers.len() == PEERS {
                    self.peers.pop_front();
                }
                self.peers.push_back((peer.clone(), Bucket::full(PER_PEER)));
                self.peers.len() - 1
            }
        };
        let (_, own) = &mut self.peers[at];
        own.fill(PER_PEER, now);
        self.all.fill(IN_ALL, now);
        let given = wanted.min(own.left).min(self.all.left);
        own.left -= given;
        self.all.left -= given;
        given
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const NOW: Instant = Instant::from_secs(1_000);

    #[test]
    fn one_peer_gets_its_share_and_all_together_get_theirs() {
        let mut buckets = Buckets::new();
        assert_eq!(buckets.take(&1, u32::MAX, NOW), PER_PEER.burst);
        assert_eq!(buckets.take(&1, 1, NOW), 0);
        let others: u32 = (2..1_000).map(|peer| buckets.take(&peer, u32::MAX, NOW)).sum();
        assert_eq!(others, IN_ALL.burst - PER_PEER.burst);
        assert!(buckets.peers.len() <= PEERS);
    }

    #[test]
    fn what_was_taken_comes_back_with_time_however_often_one_asks() {
        let mut buckets = Buckets::new();
        buckets.take(&1, u32::MAX, NOW);
        let taken: u32 = (1..=10_000).map(|step| buckets.take(&1, 1, NOW + step * Duration::from_micros(100))).sum();
        assert!((8_000..=10_000).contains(&taken), "{taken}");
        assert_eq!(buckets.take(&1, u32::MAX, NOW + Duration::from_secs(9)), PER_PEER.burst);
    }
}
