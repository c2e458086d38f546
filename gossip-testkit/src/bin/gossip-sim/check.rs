//! `check`: random scenarios of faults, and the smallest one that fails.

use std::ops::RangeInclusive;
use std::rc::Rc;

use gossip_core::Node;
use gossip_testkit::invariant::Invariant;
use gossip_testkit::lab::trials;
use gossip_testkit::{Addr, Checker, Command, Counters, Failure as Violated, Machine, Scenario, Swarm};
use serde::Serialize;

use crate::arguments::{Real, Setup};
use crate::failure::Failure;
use crate::html::{Html, Page};
use crate::output::Output;
use crate::progress::Progress;

/// Number of scenarios at a time, after which a failure is looked into.
const BATCH: u32 = 64;
const MOST_NODES: u32 = 64;
/// Largest number of runs to make a scenario smaller.
const MOST_RUNS: u32 = 3_000;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  cases               scenarios that were run\n",
    "  datagrams, faults   in all of them\n",
    "  violated, scenario  on failure instead: what did not hold, and where",
);

/// Random fault scenarios, each of which must converge
///
/// On failure the smallest scenario that fails is printed, in a form that `replay` reads, and the exit code is 1. With
/// --html that scenario's run becomes a page; there is none if all converge.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    /// Number of scenarios
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    cases: u32,
    /// Number of nodes that they have, such as 2..=12
    #[arg(long, value_name = "A..=B", default_value = "2..=12", value_parser = nodes)]
    nodes: RangeInclusive<u32>,
    #[command(flatten)]
    setup: Setup,
    #[command(flatten)]
    html: Html,
}

/// Returns the checker of a setup: of the standard one that which `run` makes, so that a failure says so.
pub(crate) fn checker(real: &Real) -> Checker<Node<Addr>> {
    if real.standard { Checker::default() } else { Checker::new(real.config.clone()).latency(real.latency) }
}

fn nodes(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (low, high) = text.split_once("..=").unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| "expected a range such as 2..=12".to_owned());
    let (low, high) = (number(low)?, number(high)?);
    if 1 <= low && low <= high && high <= MOST_NODES {
        Ok(low..=high)
    } else {
        Err(format!("must be from 1 to {MOST_NODES}, the smaller first"))
    }
}

#[derive(Debug, Serialize)]
struct Row {
    cases: u32,
    datagrams: u64,
    faults: u64,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    violated: &'a str,
    scenario: &'a str,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let real = self.setup.load()?;
        real.config.check().map_err(|error| Failure::Flag { flag: "config".into(), bound: error.to_string() })?;
        let page = self.html.page()?;
        let swarm = Swarm { nodes: self.nodes.clone(), ..Swarm::default() };
        let progress = Progress::new(self.cases.into());
        let (mut total, mut faults, mut done) = (Counters::default(), 0, 0);
        while done < self.cases {
            let batch = BATCH.min(self.cases - done);
            let numbers = trials(batch, seed.wrapping_add(u64::from(done) << 32), &|| progress.step(), |number| {
                let scenario: Scenario<Command> = swarm.scenario(number);
                let report = checker(&real).run(&scenario);
                (number, scenario.plan.faults.len() as u64, report.ok().map(|report| report.counters))
            });
            for (number, planned, counters) in numbers {
                let Some(counters) = counters else {
                    drop(progress);
                    return failed(&real, &swarm.scenario(number), page.as_ref(), output);
                };
                total += counters;
                faults += planned;
            }
            done += batch;
        }
        drop(progress);
        let row = Row { cases: self.cases, datagrams: total.datagrams, faults };
        output.object(&row)?;
        output.table(
            &format!("Random scenarios of {} to {} nodes, all converged", self.nodes.start(), self.nodes.end()),
            ["cases", "datagrams", "faults"],
            &[[row.cases.to_string(), row.datagrams.to_string(), row.faults.to_string()]],
        )
    }
}

/// Runs a scenario that has failed again and again, until it is the smallest that does, and tells of it.
fn failed(real: &Real, scenario: &Scenario<Command>, page: Option<&Page>, output: &mut Output) -> Result<(), Failure> {
    let progress = Rc::new(Progress::new(MOST_RUNS.into()));
    let bar = progress.clone();
    // Its invariants are made anew for each run.
    let steps = move |_: &_| {
        bar.step();
        Steps
    };
    let result = checker(real).most_runs(MOST_RUNS).invariant(steps).check(scenario);
    drop(progress);
    match result {
        Err(failure) => {
            if let Some(page) = page {
                let minimal = failure.scenario().parse().expect("scenarios are read as they are printed");
                page.write(real, &minimal)?;
            }
            show(&failure, output)
        }
        Ok(_) => fickle(scenario, output),
    }
}

/// An invariant that always holds: that one is made for each run moves the bar.
struct Steps;

impl<M: Machine> Invariant<M> for Steps {
    fn name(&self) -> &'static str {
        "a run moves the bar"
    }
}

/// Equal runs that differ are a failure, whatever did not hold in one of them.
fn fickle(scenario: &Scenario<Command>, output: &mut Output) -> Result<(), Failure> {
    let (violated, text) = ("the same run twice is the same", scenario.to_string());
    output.object(&Found { violated, scenario: &text })?;
    output.note(&format!("# violated: {violated}\n{}", text.trim_end()))?;
    Err(Failure::Shown(format!("error: case {} failed, and did not when it was run again", scenario.seed)))
}

/// Prints a failure with its explanation as comments, so that all of it is a scenario.
pub(crate) fn show(failure: &Violated, output: &mut Output) -> Result<(), Failure> {
    output.object(&Found { violated: failure.invariant(), scenario: failure.scenario() })?;
    // Whoever holds the text need not be told how to replay it.
    let explanation = failure.to_string();
    for line in explanation.lines().take_while(|line| !line.starts_with("to replay:")) {
        output.note(format!("# {line}").trim_end())?;
    }
    output.note(failure.scenario().trim_end())?;
    Err(Failure::Shown(format!("error: {} did not hold at {:?}", failure.invariant(), failure.at())))
}

#[cfg(test)]
mod tests {
    use gossip_core::Config;
    use gossip_testkit::Latency;

    use super::*;

    #[test]
    fn a_failure_that_does_not_happen_again_is_one() {
        let fine: Scenario<Command> = Swarm::default().scenario(7);
        let (config, latency) = (Config::lan(), Latency::default());
        let real = Real { name: "lan".into(), config, latency, standard: true };
        let failure = failed(&real, &fine, None, &mut Output::new(true)).unwrap_err();
        assert_eq!(failure.to_string(), "error: case 7 failed, and did not when it was run again");
    }
}
