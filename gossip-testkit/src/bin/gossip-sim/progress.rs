//! A bar on standard error, for what takes longer than a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// Progress of a command. Silent for the first second, and where standard error is not a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: AtomicBool,
}

impl Progress {
    /// Begins a number of steps.
    pub(crate) fn new(steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, shown: AtomicBool::new(false) }
    }

    /// Counts one step as done; from any thread.
    pub(crate) fn step(&self) {
        self.steps(1);
    }

    /// Counts a number of steps as done.
    pub(crate) fn steps(&self, count: u64) {
        self.bar.inc(count);
        if !self.shown.load(Ordering::Relaxed)
            && self.bar.elapsed() > PATIENCE
            && !self.shown.swap(true, Ordering::Relaxed)
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
