//! `detect`: crashes, and false alarms.

use std::time::Duration;

use clap::ValueEnum;
use gossip_core::Config;
use gossip_testkit::lab::real::{Detect, Detection};
use gossip_testkit::lab::{CONFIDENCE, Proportion};
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Real, Svg, percent, share};
use crate::chart::{Axis, Chart, Curve, around, round_up};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Number of crashes where nothing is said and there are nodes enough.
const KILL: u32 = 5;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, an object for each row:\n",
    "  lifeguard             whether Lifeguard's extensions are used\n",
    "  first_s, all_s        when one, and all, had seen a crash; null if never\n",
    "  false_suspicions      events at any node\n",
    "  false_deaths          likewise\n",
    "  false_deaths_at_well  those of them at nodes that were never held up",
);

/// Crashes and false alarms: when who sees the one, how many are the other
///
/// Times are the medians over all crashes, which come one after another. False alarms are events at any node about
/// members that were well all the time. Without Lifeguard it is SWIM as the Lifeguard paper compares it: α = 5, β = 1, no
/// local health, no buddy system. Paused members are those of that paper: they block before they send and after they
/// receive while their timers go on. The picture shows when how many crashes were seen by all.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// Number of nodes that crash, at most half of them [default: 5, or half of the nodes]
    #[arg(long, value_name = "K")]
    kill: Option<u32>,
    /// Duration of the experiment, in simulated minutes
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Share of the members that is held up now and then, for 5 to 20 s; one at
    /// least neither crashes nor is held up
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pause: f64,
    /// Use of Lifeguard's extensions of SWIM; both to compare
    #[arg(long, value_name = "USE", default_value = "on")]
    lifeguard: Lifeguard,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lifeguard {
    On,
    Off,
    Both,
}

#[derive(Debug, Serialize)]
struct Row {
    lifeguard: bool,
    first_s: Option<f64>,
    all_s: Option<f64>,
    false_suspicions: u64,
    false_deaths: u64,
    false_deaths_at_well: u64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes, setup }, Loss { loss }) = (self.cluster, self.loss);
        let Real { config, latency, .. } = setup.load()?;
        let detect = Detect {
            nodes,
            config,
            latency,
            loss,
            kill: self.kill.unwrap_or(KILL.min(nodes / 2)),
            pause: self.pause,
            time: Duration::from_secs(60 * self.minutes),
        };
        detect.check()?;
        let svg = self.svg.file()?;
        let uses: &[bool] = match self.lifeguard {
            Lifeguard::On => &[true],
            Lifeguard::Off => &[false],
            Lifeguard::Both => &[true, false],
        };
        let progress = Progress::new(detect.pulses() * uses.len() as u64);
        let mut seen = Vec::new();
        for &lifeguard in uses {
            let config = if lifeguard { detect.config.clone() } else { without_lifeguard(&detect.config) };
            seen.push((lifeguard, Detect { config, ..detect.clone() }.run(seed, &|| progress.step())?));
        }
        drop(progress);

        let mut rows = Vec::new();
        for (lifeguard, seen) in &seen {
            let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
            let (first_s, all_s) = (seconds(seen.first()), seconds(seen.all()));
            let Detection { false_suspicions, false_deaths, false_deaths_at_well, .. } = *seen;
            let lifeguard = *lifeguard;
            output.object(&Row { lifeguard, first_s, all_s, false_suspicions, false_deaths, false_deaths_at_well })?;
            let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
            rows.push([
                if lifeguard { "on" } else { "off" }.to_owned(),
                time(first_s),
                time(all_s),
                false_suspicions.to_string(),
                false_deaths.to_string(),
                false_deaths_at_well.to_string(),
            ]);
        }
        output.table(
            &format!(
                "{} crashes among {nodes} nodes in {} min, {} loss, {} paused",
                detect.kill,
                self.minutes,
                percent(loss),
                percent(self.pause),
            ),
            ["Lifeguard", "first (s)", "all (s)", "false suspicions", "false deaths", "at the well"],
            &rows,
        )?;
        svg.map_or(Ok(()), |file| picture(&detect, &seen).draw(&file))
    }
}

fn without_lifeguard(config: &Config) -> Config {
    let mut config = config.clone();
    let probe = &mut config.probe;
    (probe.alpha, probe.beta, probe.confirmations) = (5, 1, 0);
    (probe.max_health, probe.buddy, probe.nack, probe.repeat) = (0, false, false, 0);
    config
}

/// The cumulative distribution of when all had seen a crash, a step for each, with Wilson's interval around it.
fn steps(name: &str, seen: &Detection) -> Curve {
    let of = seen.seen.len() as f64;
    let mut times: Vec<_> = seen.seen.iter().filter_map(|times| times.get(seen.witnesses.checked_sub(1)?)).collect();
    times.sort_unstable();
    let (mut points, mut ends) = (Vec::new(), Vec::new());
    for (time, number) in times.into_iter().zip(0..) {
        let time = time.as_secs_f64();
        for count in [number, number + 1] {
            let share = Proportion::wilson(f64::from(count), of, CONFIDENCE);
            points.push((time, 100.0 * share.share));
            ends.push([(time, 100.0 * share.low), (time, 100.0 * share.high)]);
        }
    }
    Curve { name: name.to_owned(), points, band: around(&ends) }
}

fn picture(detect: &Detect, seen: &[(bool, Detection)]) -> Chart {
    let name = |lifeguard: bool| if lifeguard { "with Lifeguard" } else { "without" };
    let curves: Vec<_> = seen.iter().map(|(lifeguard, seen)| steps(name(*lifeguard), seen)).collect();
    let end = curves.iter().filter_map(|curve| curve.points.last()).map(|point| point.0);
    let Detect { kill, nodes, loss, .. } = detect;
    Chart {
        title: format!("{kill} crashes among {nodes} nodes, {} loss", percent(*loss)),
        x: Axis { name: "time since the crash (s)", range: 0.0..round_up(end.fold(1.0, f64::max)) },
        y: Axis { name: "crashes that all have seen (%)", range: 0.0..100.0 },
        logarithmic: false,
        dots: false,
        band: "95 % confidence",
        curves,
    }
}
