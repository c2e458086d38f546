//! `spread`: one put, and when who knows.

use std::path::PathBuf;
use std::time::Duration;

use gossip_core::Relay;
use gossip_testkit::lab::Estimate;
use gossip_testkit::lab::real::{Course, Spread};
use serde::Serialize;

use crate::arguments::{Cluster, Real, Svg, millis, percent, share, writable};
use crate::canvas::failure;
use crate::chart::{Axis, Chart, Curve, around, round_up, thin};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;
use crate::tree;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, an object for each loss:\n",
    "  loss                     share of datagrams lost\n",
    "  t50_ms, t99_ms, t100_ms  when so many per cent knew; null if never\n",
    "  bytes_per_node           sent for one put\n",
    "  datagrams_per_node       likewise\n",
    "  copies_per_node          how often the value was received",
);

/// Real nodes: when one put has reached 50, 99 and 100 % of them
///
/// The medians of ten puts, five in each of two clusters, from random nodes. A value has 64 bytes. Bytes and
/// datagrams are per node and put, beyond those of a cluster at rest: under loss the traffic of suspicions makes that
/// uncertain. Copies are received bodies. The picture shows the share that knows over time, for each loss; its bands
/// reach from the fastest put to the slowest.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Share of all datagrams that is lost: 0.3, or 30%; several: 0,10%,30%
    #[arg(long, value_name = "P", default_value = "0", value_delimiter = ',', value_parser = share)]
    loss: Vec<f64>,
    /// To how many others a rumor goes in a round: to random peers, unless
    /// --relay says otherwise
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=32))]
    fanout: Option<u32>,
    /// The time between rounds, likewise
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    interval_ms: Option<u64>,
    #[command(flatten)]
    svg: Svg,
    /// Draw the links into this file: the tree that ten puts made of them, at
    /// the first loss
    #[arg(long, value_name = "FILE")]
    tree: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Row {
    loss: f64,
    t50_ms: Option<f64>,
    t99_ms: Option<f64>,
    t100_ms: Option<f64>,
    bytes_per_node: f64,
    datagrams_per_node: f64,
    copies_per_node: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Cluster { nodes, setup } = self.cluster;
        let Real { name, mut config, latency, .. } = setup.load()?;
        // Rounds are what happens where news goes to random peers.
        let rounds = self.fanout.is_some() || self.interval_ms.is_some();
        if rounds && setup.relay.is_none() {
            config.rumor.relay = Relay::Random;
        }
        config.rumor.fanout = self.fanout.unwrap_or(config.rumor.fanout);
        config.rumor.interval = self.interval_ms.map_or(config.rumor.interval, Duration::from_millis);
        config.rumor.relay_delay = config.rumor.relay_delay.min(config.rumor.interval);
        let spread = |loss| Spread { nodes, config: config.clone(), latency, loss };
        self.loss.iter().try_for_each(|&loss| spread(loss).check())?;
        let svg = self.svg.file()?;
        if let Some(file) = &self.tree {
            writable(file).map_err(|error| failure(file, &error))?;
        }
        let progress = Progress::new(Spread::PULSES * self.loss.len() as u64);
        let mut courses = Vec::new();
        for &loss in &self.loss {
            courses.push((loss, spread(loss).run(seed, &|| progress.step())?));
        }
        drop(progress);

        let mut rows = Vec::new();
        for (loss, course) in &courses {
            let [t50_ms, t99_ms, t100_ms] = [0.5, 0.99, 1.0].map(|share| millis(course.share(share)));
            let &Course { bytes_per_node, datagrams_per_node, copies_per_node, .. } = course;
            output.object(&Row {
                loss: *loss,
                t50_ms,
                t99_ms,
                t100_ms,
                bytes_per_node: bytes_per_node.mean,
                datagrams_per_node: datagrams_per_node.mean,
                copies_per_node,
            })?;
            let cost = |cost: Estimate| format!("{} ± {}", figure(cost.mean), figure(cost.error()));
            let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
            rows.push([
                percent(*loss),
                time(t50_ms),
                time(t99_ms),
                time(t100_ms),
                cost(bytes_per_node),
                cost(datagrams_per_node),
                figure(copies_per_node),
            ]);
        }
        output.table(
            &format!("One put among {nodes} nodes, {name}"),
            ["loss", "50 % (ms)", "99 % (ms)", "100 % (ms)", "bytes", "datagrams", "copies"],
            &rows,
        )?;
        output.note("  (bytes, datagrams and copies of the value per node, ± standard error)")?;
        if let (Some(file), Some(loss)) = (&self.tree, self.loss.first()) {
            let tree = spread(*loss).tree(seed, &|| ())?;
            let depths = tree.depths().iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            output.note(&format!("  nodes at depth 0, 1, 2, ... of the tree around node {}: {depths}", tree.root))?;
            tree::draw(&tree, file)?;
        }
        svg.map_or(Ok(()), |file| picture(nodes, &courses).draw(&file))
    }
}

/// The share that knows over time, and the band between the fastest put and the slowest.
fn curve(nodes: u32, loss: f64, course: &Course) -> Curve {
    let points = course.curve().into_iter().map(|(time, share)| (time.as_secs_f64() * 1e3, 100.0 * share)).collect();
    let ends = (1..=nodes).filter_map(|known| {
        let share = f64::from(known) / f64::from(nodes);
        let (first, last) = course.range(share)?;
        Some([first, last].map(|time| (time.as_secs_f64() * 1e3, 100.0 * share)))
    });
    let band = around(&thin(ends.collect()));
    Curve { name: format!("{} loss", percent(loss)), points: thin(points), band }
}

fn picture(nodes: u32, courses: &[(f64, Course)]) -> Chart {
    let curves: Vec<_> = courses.iter().map(|(loss, course)| curve(nodes, *loss, course)).collect();
    // The tail after 99.95 % would squeeze the S.
    let settled = curves.iter().filter_map(|curve| curve.points.iter().find(|point| point.1 >= 99.95));
    let end = round_up(settled.map(|point| point.0).fold(1.0, f64::max));
    // The node that put it knew at once, and there is no 0 on this axis.
    let half = |curve: &Curve| curve.points.iter().find(|point| point.0 > 0.0 && point.1 >= 50.0).map(|point| point.0);
    let half = curves.iter().filter_map(half).fold(end, f64::min);
    let start = 10_f64.powf(half.log10().floor() - 1.0);
    Chart {
        title: format!("One put among {nodes} nodes"),
        x: Axis { name: "time since the put (ms)", range: start..end },
        y: Axis { name: "nodes that know (%)", range: 0.0..100.0 },
        logarithmic: true,
        dots: false,
        band: "fastest to slowest put",
        curves,
    }
}
