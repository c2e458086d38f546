//! Conformance: does an adapter, or a transport, carry the protocol? Scenarios over real sockets and in real time, the
//! one place of this crate where neither is simulated.
//!
//! Whoever drives [`gossip_core::Node`] implements [`Harness`], a blocking face that knows no runtime, and calls
//! [`run`]. Everything that an application can see is asked for: joining, writing, deleting, broadcasts (once each),
//! loss, crashes, restarts at another address, leaving, and bytes from strangers. Whoever has a transport only calls
//! [`over`], whose harness drives nodes over it.
//!
//! ```no_run
//! # fn doc<H: gossip_testkit::suite::Harness>(mut harness: H) -> Result<(), gossip_testkit::suite::Failure> {
//! let report = gossip_testkit::suite::run(&mut harness)?;
//! println!("{report}");
//! # Ok(()) }
//! ```
//!
//! A failure says which scenario failed, what it waited for and for how long, and what was missing at the end:
//!
//! ```text
//! scenario `broadcast` failed: waited 30.0s for everybody's broadcast to reach everybody: c has not heard "from a"
//! ```
//!
//! Nothing sleeps for a time that is hoped to be enough: a wait ends when its condition is true, or fails when
//! [`Suite::patience`] is over. Only what must *not* happen is watched for a while, and that while follows from the
//! configuration. Where all goes well, the suite takes some ten seconds.

mod clock;
mod harness;
mod over;
mod scenarios;
mod stage;

use std::fmt;
use std::time::Duration;

use gossip_core::Config;

pub use harness::{Error, Harness};
pub use over::{Transport, over};

use clock::Stopwatch;
use stage::Stage;

/// Runs all scenarios, one after the other, and stops at the first that fails.
///
/// # Errors
/// [`Failure`]: which scenario failed, and why.
pub fn run<H: Harness>(harness: &mut H) -> Result<Report, Failure> {
    Suite::default().run(harness)
}

/// The scenarios, with what can be chosen about them.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct Suite {
    config: Config,
    patience: Duration,
}

/// [`Config::local`], and half a minute of patience.
impl Default for Suite {
    fn default() -> Self {
        Self { config: Config::local(), patience: Duration::from_secs(30) }
    }
}

impl Suite {
    /// Sets the configuration of the nodes. The label is the suite's: every scenario has its own, so that late datagrams of
    /// one do not disturb the next.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the time to wait for a condition before the scenario has failed. Many times what it takes on an idle machine:
    /// nothing is gained by giving up early.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs all scenarios, one after the other, and stops at the first that fails.
    ///
    /// # Errors
    /// [`Failure`]: which scenario failed, and why.
    pub fn run<H: Harness>(&self, harness: &mut H) -> Result<Report, Failure> {
        let times = Part::ALL.iter().map(|&part| Ok((part, self.run_part(part, harness)?)));
        Ok(Report { times: times.collect::<Result<_, _>>()? })
    }

    /// Runs one scenario, and says how long it took. All its nodes are stopped at the end, however that comes.
    ///
    /// # Errors
    /// [`Failure`]: why it failed.
    pub fn run_part<H: Harness>(&self, part: Part, harness: &mut H) -> Result<Duration, Failure> {
        let watch = Stopwatch::start();
        let mut config = self.config.clone();
        config.label = format!("suite/{part}");
        harness.lose(0.0);
        let mut stage = Stage::new(harness, config, self.patience);
        let result = part.play(&mut stage);
        stage.clear();
        result.map(|()| watch.elapsed()).map_err(|problem| Failure { part, problem })
    }
}

/// A scenario.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Nodes that join through each other all see all, at their addresses.
    Join,
    /// Entries: what one writes, all read; the later of two writes wins; also a value that nearly fills a datagram.
    Put,
    /// Deletion: what one deletes is gone for all, and for those who join later.
    Delete,
    /// A message of each reaches all others, once.
    Broadcast,
    /// Nothing crosses a network that loses everything; everything crosses one that loses a quarter.
    Loss,
    /// A node that stops without a word is seen dead, and what it wrote stays.
    Crash,
    /// A node that starts again at another address is the same member, and learns what it has missed; both at once
    /// and after it was declared dead.
    Restart,
    /// A node that leaves is seen to have left, not to be dead.
    Leave,
    /// Bytes from strangers, short, long and none, disturb nothing.
    Garbage,
}

impl Part {
    /// All of them, in the order in which they run: what later ones take for granted is tested by earlier ones.
    pub const ALL: &'static [Self] = &[
        Self::Join,
        Self::Put,
        Self::Delete,
        Self::Broadcast,
        Self::Loss,
        Self::Crash,
        Self::Restart,
        Self::Leave,
        Self::Garbage,
    ];

    fn play<H: Harness>(self, stage: &mut Stage<'_, H>) -> Result<(), Problem> {
        match self {
            Self::Join => scenarios::join(stage),
            Self::Put => scenarios::put(stage),
            Self::Delete => scenarios::delete(stage),
            Self::Broadcast => scenarios::broadcast(stage),
            Self::Loss => scenarios::loss(stage),
            Self::Crash => scenarios::crash(stage),
            Self::Restart => scenarios::restart(stage),
            Self::Leave => scenarios::leave(stage),
            Self::Garbage => scenarios::garbage(stage),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Join => "join",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Broadcast => "broadcast",
            Self::Loss => "loss",
            Self::Crash => "crash",
            Self::Restart => "restart",
            Self::Leave => "leave",
            Self::Garbage => "garbage",
        })
    }
}

/// All scenarios passed. Printed, it is a line for each.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Duration of each scenario.
    pub times: Vec<(Part, Duration)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, took) in &self.times {
            writeln!(f, "{part:<9} {:>6.2} s", took.as_secs_f64())?;
        }
        let all: Duration = self.times.iter().map(|(_, took)| *took).sum();
        write!(f, "{:<9} {:>6.2} s", "all", all.as_secs_f64())
    }
}

/// A scenario failed.
#[derive(Debug, thiserror::Error)]
#[error("scenario `{part}` failed: {problem}")]
#[non_exhaustive]
pub struct Failure {
    /// The scenario.
    pub part: Part,
    /// Why.
    pub problem: Problem,
}

/// Why a scenario failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Something did not happen.
    #[error("waited {waited:.1?} for {awaited}: {missing}")]
    TimedOut {
        /// The condition that was waited for.
        awaited: String,
        /// For how long.
        waited: Duration,
        /// The difference that remained at the end.
        missing: String,
    },
    /// Something happened that must not.
    #[error("{0}")]
    Wrong(
        /// The message, for people.
        String,
    ),
    /// The harness did not do what it was asked to.
    #[error("{action} was refused: {error}")]
    Refused {
        /// The action that it was asked for.
        action: String,
        /// Its answer.
        error: Error,
    },
}
