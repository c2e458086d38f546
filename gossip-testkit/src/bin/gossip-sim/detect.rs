//! `detect`: crashes, and alarms that are false.

use std::time::Duration;

use gossip_core::Config;
use gossip_testkit::Latency;
use gossip_testkit::lab::real::{Detect, Detection};
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Svg, percent, share};
use crate::chart::{Axis, Chart, Legend, round_up, thin};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Crashes and false alarms: when who sees the one, how many are the other
///
/// Times are the medians over all crashes, which come one after another. False alarms are events at any node about
/// members that ran all the time. Without Lifeguard it is SWIM as the Lifeguard paper compares it: α = 5, β = 1, no
/// local health, no buddy system. The picture shows the distribution of detection times.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    nodes: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// How many nodes crash
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=10_000))]
    kill: u32,
    /// How long it is looked at, in simulated minutes
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Which share of the members stands still now and then, for 5 to 20 s
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
        if self.kill > nodes / 2 {
            let bound = format!("must be from 0 to {}: half of the nodes", nodes / 2);
            return Err(Failure::Flag { flag: "kill".into(), bound });
        }
        let mut config = Config::lan();
        let probe = &mut config.probe;
        if self.lifeguard == "off" {
            (probe.alpha, probe.beta, probe.confirmations) = (5, 1, 0);
            (probe.max_health, probe.buddy, probe.nack) = (0, false, false);
        }
        let detect = Detect {
            nodes,
            config,
            latency: Latency::default(),
            loss,
            kill: self.kill,
            pause: self.pause,
            time: Duration::from_secs(60 * self.minutes),
        };
        let progress = Progress::new(detect.pulses());
        let seen = detect.run(seed, &|| progress.step())?;
        drop(progress);

        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let (first_s, all_s) = (seconds(seen.first()), seconds(seen.all()));
        let Detection { false_suspicions, false_deaths, .. } = seen;
        output.object(&Row { first_s, all_s, false_suspicions, false_deaths })?;
        let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
        output.table(
            &format!(
                "{} crashes among {nodes} nodes in {} min, {} loss, {} paused, Lifeguard {}",
                self.kill,
                self.minutes,
                percent(loss),
                percent(self.pause),
                self.lifeguard
            ),
            ["first (s)", "all (s)", "false suspicions", "false deaths"],
            &[[time(first_s), time(all_s), false_suspicions.to_string(), false_deaths.to_string()]],
        )?;
        self.svg.svg.map_or(Ok(()), |file| picture(nodes, loss, &seen).draw(&file))
    }
}

fn picture(nodes: u32, loss: f64, seen: &Detection) -> Chart {
    let cumulative = |mut times: Vec<f64>, of: usize| -> Vec<(f64, f64)> {
        times.sort_by(f64::total_cmp);
        let shares = (1..).map(|count: u32| 100.0 * f64::from(count) / of.max(1) as f64);
        let points = times.into_iter().zip(shares).collect::<Vec<_>>();
        let steps = points.iter().zip([0.0].into_iter().chain(points.iter().map(|point| point.1)));
        steps.flat_map(|(&(time, share), before)| [(time, before), (time, share)]).collect()
    };
    let crashes = seen.seen.len();
    let seconds = |time: &Duration| time.as_secs_f64();
    let first = cumulative(seen.seen.iter().filter_map(|seen| seen.first()).map(seconds).collect(), crashes);
    let by_all = seen.seen.iter().filter_map(|times| times.get(seen.witnesses - 1)).map(seconds).collect();
    let by_all = cumulative(by_all, crashes);
    let each = cumulative(seen.seen.iter().flatten().map(seconds).collect(), crashes * seen.witnesses);
    let end = [&first, &by_all, &each].into_iter().filter_map(|curve| curve.last()).map(|point| point.0);
    Chart {
        title: format!("{crashes} crashes among {nodes} nodes, {} loss", percent(loss)),
        x: Axis { name: "time since the crash (s)", range: 0.0..round_up(end.fold(1.0, f64::max)) },
        y: Axis { name: "detections until then (%)", range: 0.0..100.0 },
        sizes: false,
        legend: if crashes == 0 { Legend::UpperRight } else { Legend::LowerRight },
        curves: vec![
            ("crashes that somebody has seen".to_owned(), first),
            ("(crash, witness) pairs".to_owned(), thin(each)),
            ("crashes that all have seen".to_owned(), by_all),
        ],
    }
}
