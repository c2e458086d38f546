//! `replay`: a scenario's text, run again, with its trace.

use std::fs;
use std::path::PathBuf;

use gossip_testkit::{Command, Scenario};
use serde::Serialize;

use crate::arguments::Setup;
use crate::check;
use crate::failure::Failure;
use crate::html::Html;
use crate::output::Output;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  trace                   a line of what happened, an object for each\n",
    "  hash                    of all that happened, in the last object\n",
    "  converged_after_s       after the last write and fault, in the last object\n",
    "  simulated_s, datagrams  of all of it, likewise\n",
    "  violated, scenario      on failure instead: what did not hold, and where",
);

/// Run a scenario's text again, with its trace
///
/// The exit code is 1 if it fails, 2 if it is no scenario. The seed is the scenario's own: --seed changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    /// The scenario, as `check` prints it
    file: PathBuf,
    #[command(flatten)]
    setup: Setup,
    #[command(flatten)]
    html: Html,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    trace: &'a str,
}

#[derive(Debug, Serialize)]
struct Row {
    hash: String,
    converged_after_s: f64,
    simulated_s: f64,
    datagrams: u64,
}

impl Arguments {
    /// The seed is the scenario's own.
    pub(crate) fn run(self, _seed: u64, output: &mut Output) -> Result<(), Failure> {
        let file = self.file.display().to_string();
        let text = fs::read_to_string(&self.file).map_err(|reason| Failure::File { file: file.clone(), reason })?;
        let scenario: Scenario<Command> = text.parse().map_err(|reason| Failure::Scenario { file, reason })?;
        let real = self.setup.load()?;
        real.config.check().map_err(|error| Failure::Flag { flag: "config".into(), bound: error.to_string() })?;
        if let Some(page) = self.html.page()? {
            page.write(&real, &scenario)?;
        }
        let (result, lines) = check::checker(&real).trace(&scenario, usize::MAX);
        for line in &lines {
            output.object(&Line { trace: line })?;
            output.note(line)?;
        }
        match result {
            Ok(report) => {
                output.object(&Row {
                    hash: format!("{:016x}", report.trace),
                    converged_after_s: report.converged_after.as_secs_f64(),
                    simulated_s: report.simulated.as_secs_f64(),
                    datagrams: report.counters.datagrams,
                })?;
                output.note(&report.to_string())
            }
            Err(failure) => check::show(&failure, output),
        }
    }
}
