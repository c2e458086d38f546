//! `replay`: a scenario's text, run again, with its trace.

use std::fs;
use std::io;
use std::path::PathBuf;

use gossip_testkit::lab::recording::Recording;
use gossip_testkit::{Command, Scenario};
use serde::Serialize;

use crate::arguments::{Setup, writable};
use crate::check;
use crate::failure::Failure;
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
    /// Write a page of the run into this file, to go through step by step
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

const PAGE: &str = include_str!("../../lab/page/replay.html");
const STYLE: &str = include_str!("../../lab/page/style.css");
const VIEWER: &str = include_str!("../../lab/page/viewer.js");

/// Makes the page of a recording, which needs nothing else.
fn page(recording: &Recording) -> Result<String, Failure> {
    let recording = serde_json::to_string(recording).map_err(io::Error::from)?;
    // Nothing in the recording ends the element that it stands in.
    let recording = recording.replace('<', "\\u003c");
    let page = PAGE.replace("@@style.css", STYLE).replace("@@viewer.js", VIEWER);
    Ok(page.replace("@@recording", &recording))
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
        if let Some(file) = &self.html {
            let unwritten = |reason: io::Error| Failure::Page { file: file.display().to_string(), reason };
            writable(file).map_err(unwritten)?;
            let page = page(&Recording::of(check::checker(&real), &scenario))?;
            fs::write(file, page).map_err(unwritten)?;
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
