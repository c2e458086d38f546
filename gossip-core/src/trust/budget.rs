//! The budget for answers that are longer than their requests, in bytes: per peer and in total.

use alloc::collections::VecDeque;

use crate::time::{Instant, micros};

/// Bytes per second, and bytes at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    burst: u32,
}

/// Fills a fast local network with a newcomer's data, and leaves room for others.
const PER_PEER: Rate = Rate { per_second: 16 << 20, burst: 4 << 20 };
const IN_ALL: Rate = Rate { per_second: 32 << 20, burst: 8 << 20 };
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
pub(super) struct Budget<A> {
    all: Bucket,
    /// Buckets that are not full, in order of arrival.
    peers: VecDeque<(A, Bucket)>,
}

impl<A: Clone + PartialEq> Budget<A> {
    pub(super) const fn new() -> Self {
        Self { all: Bucket::full(IN_ALL), peers: VecDeque::new() }
    }

    /// Takes from the budget for pieces of `each` bytes: the number wanted, or as many as what is left is enough for.
    pub(super) fn take(&mut self, peer: &A, wanted: u32, each: u32, now: Instant) -> u32 {
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
        let most = own.left.min(self.all.left).checked_div(each).unwrap_or(wanted);
        let given = wanted.min(most);
        own.left -= given * each;
        self.all.left -= given * each;
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
        let mut budget = Budget::new();
        assert_eq!(budget.take(&1, u32::MAX, 1, NOW), PER_PEER.burst);
        assert_eq!(budget.take(&1, 1, 1, NOW), 0);
        let others: u32 = (2..1_000).map(|peer| budget.take(&peer, u32::MAX, 1, NOW)).sum();
        assert_eq!(others, IN_ALL.burst - PER_PEER.burst);
        assert!(budget.peers.len() <= PEERS);
    }

    #[test]
    fn pieces_are_granted_whole() {
        let mut budget = Budget::new();
        let piece = PER_PEER.burst / 10 + 1;
        assert_eq!(budget.take(&1, 99, piece, NOW), 9);
        assert_eq!(budget.take(&1, 99, piece, NOW), 0);
        assert_eq!(budget.take(&1, u32::MAX, 1, NOW), PER_PEER.burst - 9 * piece, "the rest is there for smaller ones");
    }

    #[test]
    fn what_was_taken_comes_back_with_time_however_often_one_asks() {
        let mut budget = Budget::new();
        budget.take(&1, u32::MAX, 1, NOW);
        let step = Duration::from_micros(100);
        let taken: u32 = (1..=10_000).map(|steps| budget.take(&1, 1_000, 1, NOW + steps * step)).sum();
        assert!((9_000_000..=10_000_000).contains(&taken), "{taken}");
        assert_eq!(budget.take(&1, u32::MAX, 1, NOW + Duration::from_secs(9)), PER_PEER.burst);
    }
}
