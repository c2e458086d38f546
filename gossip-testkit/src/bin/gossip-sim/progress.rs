//! A bar on standard error, for what takes longer than a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// How far a command has come. Silent for the first second, and where standard error is not a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: AtomicBool,
}

impl Progress {
    /// Of so many steps.
    pub(crate) fn new(steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, shown: AtomicBool::new(false) }
    }

    /// One step is done; from any thread.
    pub(crate) fn step(&self) {
        self.steps(1);
    }

    /// So many are.
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
