//! Loss, as far as links show it: which of the last first tries had no answer.

/// First tries that are remembered.
const REMEMBERED: u32 = 32;
/// Unanswered first tries that make the network lossy.
const LOSSY: u32 = 3;
/// First tries that must be remembered before a share of them means anything.
const ENOUGH: u32 = 16;
/// Tries without an answer before a link is doubted: at least, and at most.
const TRIES: [u32; 2] = [3, 12];

/// See the [module](self).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// A bit for each try, set if there was no answer.
    unanswered: u32,
    tries: u32,
}

impl Evidence {
    /// Notes a first try.
    pub(super) fn note(&mut self, answered: bool) {
        self.unanswered = self.unanswered << 1 | u32::from(!answered);
        self.tries = (self.tries + 1).min(REMEMBERED);
    }

    /// Returns whether datagrams are lost.
    pub(super) const fn is_lossy(&self) -> bool {
        self.unanswered.count_ones() >= LOSSY
    }

    /// Tries that must go unanswered before a neighbour is doubted: by chance that happens once in ten thousand times.
    pub(super) fn tries_until_doubt(&self) -> u32 {
        let [least, most] = TRIES;
        if self.tries < ENOUGH {
            return least;
        }
        let (mut tries, mut chance) = (0, 1_u64 << 32);
        while chance > (1 << 32) / 10_000 && tries < most {
            chance = chance * u64::from(self.unanswered.count_ones()) / u64::from(self.tries);
            tries += 1;
        }
        tries.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_takes_longer_where_more_is_lost() {
        let mut evidence = Evidence::default();
        assert!(!evidence.is_lossy() && evidence.tries_until_doubt() == 3);
        (0..32).for_each(|n| evidence.note(n % 2 == 0));
        assert!(evidence.is_lossy());
        assert_eq!(evidence.tries_until_doubt(), 12, "a half: 2^-14 is less than 10^-4, but 12 are enough");
        (0..32).for_each(|n| evidence.note(n % 8 != 0));
        assert_eq!(evidence.tries_until_doubt(), 5, "an eighth");
        (0..32).for_each(|_| evidence.note(true));
        assert!(!evidence.is_lossy() && evidence.tries_until_doubt() == 3);
    }
}
