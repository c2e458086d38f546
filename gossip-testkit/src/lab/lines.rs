//! Lines between callers and partners: random partners, connection limits, hunting. Knows nothing of rumors.

use rand::{Rng, RngExt};

/// The most partners of a site in one cycle.
pub(super) const MAX_FANOUT: usize = 32;

/// The telephone lines of a population, for one cycle at a time.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    limit: Option<u8>,
    hunt: u32,
    /// Calls taken in this cycle, by site; empty without a limit.
    taken: Vec<u8>,
}

impl Lines {
    pub(super) fn new(sites: u32, limit: Option<u8>, hunt: u32) -> Self {
        Self { limit, hunt, taken: if limit.is_some() { vec![0; sites as usize] } else { Vec::new() } }
    }

    /// True if the order of the callers decides who is served.
    pub(super) const fn limited(&self) -> bool {
        self.limit.is_some()
    }

    pub(super) fn hang_up(&mut self) {
        self.taken.fill(0);
    }

    /// A partner for `caller`, uniform among the others of the first `among` sites that it has not reached in this
    /// cycle; none if that one and all that were hunted for have no line free.
    pub(super) fn call(&mut self, caller: u32, reached: &[u32], among: u32, rng: &mut impl Rng) -> Option<u32> {
        for _ in 0..=self.hunt {
            let partner = loop {
                let other = rng.random_range(0..among - 1);
                let other = other + u32::from(other >= caller);
                if !reached.contains(&other) {
                    break other;
                }
            };
            let Some(limit) = self.limit else { return Some(partner) };
            let taken = &mut self.taken[partner as usize];
            if *taken < limit {
                *taken += 1;
                return Some(partner);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    fn rng() -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(7)
    }

    #[test]
    fn partners_are_all_the_others_alike_and_never_oneself() {
        let (mut lines, mut rng, mut met) = (Lines::new(5, None, 0), rng(), [0_u32; 5]);
        for _ in 0..40_000 {
            met[lines.call(2, &[], 5, &mut rng).unwrap() as usize] += 1;
        }
        assert_eq!(met[2], 0);
        // Deviation √(40,000 · 1/4 · 3/4) = 87.
        assert!([0, 1, 3, 4].iter().all(|&site| met[site].abs_diff(10_000) < 400), "{met:?}");
    }

    #[test]
    fn a_partner_is_reached_once_in_a_cycle() {
        let (mut lines, mut rng) = (Lines::new(4, None, 0), rng());
        for _ in 0..100 {
            assert_eq!(lines.call(3, &[0, 2], 4, &mut rng), Some(1));
        }
    }

    #[test]
    fn a_site_takes_no_more_calls_than_its_limit_in_a_cycle() {
        let (mut lines, mut rng) = (Lines::new(2, Some(2), 50), rng());
        let mut call = |lines: &mut Lines| lines.call(0, &[], 2, &mut rng);
        assert_eq!([call(&mut lines), call(&mut lines), call(&mut lines)], [Some(1), Some(1), None]);
        lines.hang_up();
        assert_eq!(call(&mut lines), Some(1));
    }

    #[test]
    fn hunting_finds_the_line_that_is_free() {
        let mut rng = rng();
        let served = |hunt, rng: &mut Xoshiro256PlusPlus| {
            let mut lines = Lines::new(100, Some(1), hunt);
            (0..100).filter(|&caller| lines.call(caller, &[], 100, rng).is_some()).count()
        };
        assert!(served(0, &mut rng) < 80, "1 − 1/e of the callers get through");
        assert!(served(10_000, &mut rng) >= 99, "with patience nearly a permutation");
    }
}
