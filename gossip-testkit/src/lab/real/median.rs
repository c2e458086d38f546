//! The median over several runs of when a number of nodes had seen something.

use std::time::Duration;

/// Returns the median over the runs of each run's `count`th time; none if most runs have fewer. Every run is in
/// order.
pub(super) fn median(runs: &[Vec<Duration>], count: usize) -> Option<Duration> {
    let mut times: Vec<_> = runs.iter().map(|run| run.get(count.checked_sub(1)?).copied()).collect();
    times.sort_unstable_by_key(|time| time.unwrap_or(Duration::MAX));
    times.get(times.len() / 2).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_never_got_there_is_later_than_all_others() {
        let run = |times: &[u64]| times.iter().copied().map(Duration::from_secs).collect::<Vec<_>>();
        let runs = [run(&[4, 9]), run(&[2]), run(&[1, 3])];
        assert_eq!(
            [1, 2, 3].map(|count| median(&runs, count)),
            [2, 9, 0].map(|s| (s > 0).then(|| Duration::from_secs(s)))
        );
        assert_eq!((median(&runs, 0), median(&[], 1)), (None, None));
    }
}
