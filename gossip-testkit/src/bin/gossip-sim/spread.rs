//! `spread`: one put, and when who knows.

use std::time::Duration;

use gossip_testkit::lab::Estimate;
use gossip_testkit::lab::real::{Course, Preset, Spread};
use serde::Serialize;

use crate::arguments::{self, Cluster, Loss, Relayed, Svg, millis, percent};
use crate::chart::{Axis, Chart, Legend, round_up, thin};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// The curves of the picture, besides the loss that was asked for.
const LOSSES: [f64; 3] = [0.0, 0.1, 0.3];

/// What the fields mean that programs get.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  t50_ms, t99_ms, t100_ms  when so many per cent knew; null if never\n",
    "  bytes_per_node           sent for one put\n",
    "  datagrams_per_node       likewise\n",
    "  copies_per_node          how often the value was received",
);

/// Real nodes: when one put has reached 50, 99 and 100 % of them
///
/// The medians of ten puts, five in each of two clusters, from random nodes. A value has 64 bytes. Bytes and
/// datagrams are per node and put, beyond those of a cluster at rest: under loss the traffic of suspicions makes that
/// uncertain. Copies are received bodies. The picture shows the share that knows over time, per loss rate.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    nodes: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// The network and its configuration
    #[arg(long, default_value = "lan", value_parser = arguments::preset())]
    preset: Preset,
    /// To how many others a rumor goes in a round
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=32))]
    fanout: Option<u32>,
    /// The time between rounds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    interval_ms: Option<u64>,
    #[command(flatten)]
    relay: Relayed,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    t50_ms: Option<f64>,
    t99_ms: Option<f64>,
    t100_ms: Option<f64>,
    bytes_per_node: f64,
    datagrams_per_node: f64,
    copies_per_node: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Cluster { nodes } = self.nodes;
        let mut config = self.relay.apply(self.preset.config());
        config.rumor.fanout = self.fanout.unwrap_or(config.rumor.fanout);
        config.rumor.interval = self.interval_ms.map_or(config.rumor.interval, Duration::from_millis);
        config.rumor.relay_delay = config.rumor.relay_delay.min(config.rumor.interval);
        let spread = Spread { nodes, config, latency: self.preset.latency(), loss: self.loss.loss };
        spread.check()?;
        let svg = self.svg.file()?;
        let mut losses: Vec<f64> = svg.iter().flat_map(|_| LOSSES).collect();
        losses.retain(|&loss| loss != spread.loss);
        let progress = Progress::new(Spread::PULSES * (1 + losses.len() as u64));
        let course = spread.run(seed, &|| progress.step())?;
        let mut curves = vec![(spread.loss, curve(&course))];
        for loss in losses {
            curves.push((loss, curve(&Spread { loss, ..spread.clone() }.run(seed, &|| progress.step())?)));
        }
        drop(progress);

        let [t50_ms, t99_ms, t100_ms] = [0.5, 0.99, 1.0].map(|share| millis(course.share(share)));
        let Course { bytes_per_node, datagrams_per_node, copies_per_node, .. } = course;
        output.object(&Row {
            t50_ms,
            t99_ms,
            t100_ms,
            bytes_per_node: bytes_per_node.mean,
            datagrams_per_node: datagrams_per_node.mean,
            copies_per_node,
        })?;
        let cost = |cost: Estimate| format!("{} ± {}", figure(cost.mean), figure(cost.error()));
        let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
        output.table(
            &format!("One put among {nodes} nodes, {} loss", percent(spread.loss)),
            ["50 % (ms)", "99 % (ms)", "100 % (ms)", "bytes", "datagrams", "copies"],
            &[[
                time(t50_ms),
                time(t99_ms),
                time(t100_ms),
                cost(bytes_per_node),
                cost(datagrams_per_node),
                figure(copies_per_node),
            ]],
        )?;
        output.note("  (bytes, datagrams and copies of the value per node, ± standard error)")?;
        svg.map_or(Ok(()), |file| picture(nodes, curves).draw(&file))
    }
}

fn curve(course: &Course) -> Vec<(f64, f64)> {
    course.curve().into_iter().map(|(time, share)| (time.as_secs_f64() * 1e3, 100.0 * share)).collect()
}

fn picture(nodes: u32, mut curves: Vec<(f64, Vec<(f64, f64)>)>) -> Chart {
    curves.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The tail after 99.95 % would squeeze the S.
    let settled = curves.iter().filter_map(|(_, curve)| curve.iter().find(|point| point.1 >= 99.95));
    let end = round_up(settled.map(|point| point.0).fold(1.0, f64::max));
    // Who put it knew at once, and there is no 0 on this axis.
    let halves = curves.iter().filter_map(|(_, curve)| curve.iter().find(|point| point.0 > 0.0 && point.1 >= 50.0));
    let half = halves.map(|point| point.0).fold(end, f64::min);
    let start = 10_f64.powf(half.log10().floor() - 1.0);
    Chart {
        title: format!("One put among {nodes} nodes"),
        x: Axis { name: "time since the put (ms)", range: start..end },
        y: Axis { name: "nodes that know (%)", range: 0.0..100.0 },
        logarithmic: true,
        dots: false,
        legend: Legend::LowerRight,
        curves: curves.into_iter().map(|(loss, curve)| (format!("{} loss", percent(loss)), thin(curve))).collect(),
    }
}
