//! The same experiment many times over, on all processors, with one result whatever their number.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// A mean over trials, with the spread it was taken from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of one trial.
    pub sd: f64,
    /// Number of trials.
    pub trials: usize,
}

impl Estimate {
    /// Estimates from these values, added up in their order.
    pub fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let trials = values.len();
        let mean = values.clone().sum::<f64>() / trials as f64;
        let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
        Self { mean, sd: (squares / trials.saturating_sub(1).max(1) as f64).sqrt(), trials }
    }

    /// The standard error of the mean: two runs with other seeds differ by more than three of them once in 400.
    pub fn error(&self) -> f64 {
        self.sd / (self.trials as f64).sqrt()
    }
}

/// Runs `count` trials, each on a seed of its own drawn from `seed`, and gives their results in order. `done` is called
/// after each, on the thread that ran it.
pub fn trials<T: Send>(
    count: u32,
    seed: u64,
    done: &(impl Fn() + Sync + ?Sized),
    trial: impl Fn(u64) -> T + Sync,
) -> Vec<T> {
    over(&seeds(count, seed), done, |&seed| trial(seed))
}

fn seeds(count: u32, seed: u64) -> Vec<u64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u64()).collect()
}

/// Runs an experiment on each of `cases` and gives the results in their order.
pub(super) fn over<C: Sync, T: Send>(
    cases: &[C],
    done: &(impl Fn() + Sync + ?Sized),
    trial: impl Fn(&C) -> T + Sync,
) -> Vec<T> {
    on_threads(thread::available_parallelism().map_or(1, NonZero::get), cases, done, trial)
}

fn on_threads<C: Sync, T: Send>(
    threads: usize,
    cases: &[C],
    done: &(impl Fn() + Sync + ?Sized),
    trial: impl Fn(&C) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return results };
            results.push((index, trial(case)));
            done();
        }
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.flatten().collect::<Vec<_>>()
    });
    results.sort_unstable_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_seeds_whoever_ran_them() {
        let run = |threads| {
            on_threads(threads, &seeds(1_000, 5), &|| (), |&seed| {
                if seed % 7 == 0 {
                    thread::yield_now();
                }
                seed
            })
        };
        let seeds = run(1);
        assert!([2, 3, 16].into_iter().all(|threads| run(threads) == seeds));
        assert_eq!(seeds[..10], trials(10, 5, &|| (), |seed| seed), "more trials extend fewer");
        assert_ne!(seeds[0], trials(1, 6, &|| (), |seed| seed)[0]);
    }

    #[test]
    fn every_trial_is_announced_once() {
        let done = AtomicUsize::new(0);
        trials(123, 1, &|| _ = done.fetch_add(1, Ordering::Relaxed), |_| ());
        assert_eq!(done.into_inner(), 123);
    }

    #[test]
    fn an_estimate_is_mean_deviation_and_error() {
        let estimate = Estimate::of([1.0, 3.0, 5.0, 7.0].into_iter());
        assert_eq!(estimate.mean, 4.0);
        assert!((estimate.sd - (20.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((estimate.error() - estimate.sd / 2.0).abs() < 1e-12);
        assert_eq!(Estimate::of([2.0].into_iter()).sd, 0.0);
    }
}
