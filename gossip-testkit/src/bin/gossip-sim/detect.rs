//! `detect`: crashes, and alarms that are false.

use std::time::Duration;

use gossip_core::Config;
use gossip_testkit::Latency;
use gossip_testkit::lab::real::{Detect, Detection};
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Svg, percent, share};
use crate::chart::{Axis, Chart, Legend, round_up};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// How many crash unless said, where there are so many.
const KILL: u32 = 5;

/// What the fields mean that programs get.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  first_s, all_s    when one, and all, had seen a crash; null if never\n",
    "  false_suspicions  events at any node\n",
    "  false_deaths      likewise",
);

/// Crashes and false alarms: when who sees the one, how many are the other
///
/// Times are the medians over all crashes, which come one after another. False alarms are events at any node about
/// members that ran all the time. Without Lifeguard it is SWIM as the Lifeguard paper compares it: α = 5, β = 1, no
/// local health, no buddy system. The picture shows, with and without, when how many crashes were seen by all.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    nodes: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// How many nodes crash, at most half of them [default: 5, or half of the nodes]
    #[arg(long, value_name = "K")]
    kill: Option<u32>,
    /// How long it is looked at, in simulated minutes
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Which share of the members stands still now and then, for 5 to 20 s; one
    /// at least neither crashes nor does that
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pause: f64,
    /// Whether Lifeguard's extensions of SWIM are used
    #[arg(long, value_name = "on/off", default_value = "on", value_parser = ["on", "off"])]
    lifeguard: String,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    first_s: Option<f64>,
    all_s: Option<f64>,
    false_suspicions: u64,
    false_deaths: u64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes }, Loss { loss }) = (self.nodes, self.loss);
        let detect = Detect {
            nodes,
            config: config(self.lifeguard == "on"),
            latency: Latency::default(),
            loss,
            kill: self.kill.unwrap_or(KILL.min(nodes / 2)),
            pause: self.pause,
            time: Duration::from_secs(60 * self.minutes),
        };
        detect.check()?;
        let svg = self.svg.file()?;
        let lifeguard = self.lifeguard == "on";
        let progress = Progress::new(detect.pulses() * if svg.is_some() { 2 } else { 1 });
        let seen = detect.run(seed, &|| progress.step())?;
        let curves = match &svg {
            Some(_) => {
                let other = Detect { config: config(!lifeguard), ..detect }.run(seed, &|| progress.step())?;
                let (with, without) = if lifeguard { (&seen, &other) } else { (&other, &seen) };
                vec![("with Lifeguard".to_owned(), steps(with)), ("without".to_owned(), steps(without))]
            }
            None => Vec::new(),
        };
        drop(progress);

        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let (first_s, all_s) = (seconds(seen.first()), seconds(seen.all()));
        let Detection { false_suspicions, false_deaths, .. } = seen;
        output.object(&Row { first_s, all_s, false_suspicions, false_deaths })?;
        let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
        output.table(
            &format!(
                "{} crashes among {nodes} nodes in {} min, {} loss, {} paused, Lifeguard {}",
                detect.kill,
                self.minutes,
                percent(loss),
                percent(self.pause),
                self.lifeguard
            ),
            ["first (s)", "all (s)", "false suspicions", "false deaths"],
            &[[time(first_s), time(all_s), false_suspicions.to_string(), false_deaths.to_string()]],
        )?;
        svg.map_or(Ok(()), |file| picture(&detect, curves).draw(&file))
    }
}

fn config(lifeguard: bool) -> Config {
    let mut config = Config::lan();
    let probe = &mut config.probe;
    if !lifeguard {
        (probe.alpha, probe.beta, probe.confirmations) = (5, 1, 0);
        (probe.max_health, probe.buddy, probe.nack, probe.repeat) = (0, false, false, 0);
    }
    config
}

/// The cumulative distribution of when all had seen a crash, a step for each.
fn steps(seen: &Detection) -> Vec<(f64, f64)> {
    let of = seen.seen.len() as f64;
    let mut times: Vec<_> = seen.seen.iter().filter_map(|times| times.get(seen.witnesses - 1)).collect();
    times.sort_unstable();
    let step = |(time, count): (&Duration, u32)| {
        [count - 1, count].map(|count| (time.as_secs_f64(), 100.0 * f64::from(count) / of))
    };
    times.into_iter().zip(1..).flat_map(step).collect()
}

fn picture(detect: &Detect, curves: Vec<(String, Vec<(f64, f64)>)>) -> Chart {
    let end = curves.iter().filter_map(|(_, curve)| curve.last()).map(|point| point.0);
    let Detect { kill, nodes, loss, .. } = detect;
    Chart {
        title: format!("{kill} crashes among {nodes} nodes, {} loss", percent(*loss)),
        x: Axis { name: "time since the crash (s)", range: 0.0..round_up(end.fold(1.0, f64::max)) },
        y: Axis { name: "crashes that all have seen (%)", range: 0.0..100.0 },
        logarithmic: false,
        dots: false,
        legend: Legend::UpperLeft,
        curves,
    }
}
