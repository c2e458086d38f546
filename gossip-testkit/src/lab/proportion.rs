//! Proportions and how well they are known.

/// Normal quantile of intervals that hold 95 times in 100.
pub const CONFIDENCE: f64 = 1.96;

/// A share of trials that succeeded, with its Wilson interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportion {
    /// The share itself.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Proportion {
    /// Wilson's interval (1927) for `successes` of `trials`, neither of which need be whole numbers. Unlike the normal one
    /// it is not empty where nothing failed. No trials tell nothing: from 0 to 1.
    pub fn wilson(successes: f64, trials: f64, quantile: f64) -> Self {
        if trials <= 0.0 {
            return Self { share: 0.0, low: 0.0, high: 1.0 };
        }
        let (share, square) = (successes / trials, quantile * quantile);
        let centre = (share + square / (2.0 * trials)) / (1.0 + square / trials);
        let half = (share * (1.0 - share) / trials + square / (4.0 * trials * trials)).sqrt() * quantile
            / (1.0 + square / trials);
        Self { share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }

    /// The interval for trials that come in clusters, each given as (failures, trials). Where failures come together the
    /// trials count for fewer: they are divided by the index of dispersion of the clusters' failures (variance over mean).
    pub fn clustered(clusters: &[(u32, u32)], quantile: f64) -> Self {
        let count = clusters.len() as f64;
        let failures: f64 = clusters.iter().map(|&(failures, _)| f64::from(failures)).sum();
        let trials: f64 = clusters.iter().map(|&(_, trials)| f64::from(trials)).sum();
        let mean = failures / count;
        let squares: f64 = clusters.iter().map(|&(failures, _)| (f64::from(failures) - mean).powi(2)).sum();
        let dispersion = if failures > 0.0 && count > 1.0 { squares / (count - 1.0) / mean } else { 1.0 };
        let worth = dispersion.max(1.0);
        Self::wilson((trials - failures) / worth, trials / worth, quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Wilson (1927); the figures are those of Agresti and Coull (1998) and of any table.
    #[test]
    fn an_interval_is_wilsons() {
        let half = Proportion::wilson(5.0, 10.0, CONFIDENCE);
        assert!((half.low - 0.2366).abs() < 1e-4 && (half.high - 0.7634).abs() < 1e-4, "{half:?}");
        let all = Proportion::wilson(10.0, 10.0, CONFIDENCE);
        assert!((all.low - 0.7225).abs() < 1e-4 && all.high > 0.999_999, "{all:?}");
        assert_eq!(Proportion::wilson(0.0, 0.0, CONFIDENCE), Proportion { share: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn failures_that_come_together_tell_less() {
        let scattered: Vec<_> = (0..100).map(|i| (u32::from(i % 10 == 0), 100)).collect();
        let together: Vec<_> = (0..100).map(|i| (if i == 0 { 10 } else { 0 }, 100)).collect();
        let [scattered, together] = [scattered, together].map(|all| Proportion::clustered(&all, CONFIDENCE));
        assert_eq!(scattered, Proportion::wilson(9_990.0, 10_000.0, CONFIDENCE));
        assert!((scattered.share - together.share).abs() < 1e-12 && together.low < scattered.low, "{together:?}");
    }
}
