//! `idle`: what a cluster costs that has nothing to do.

use std::time::Duration;

use gossip_core::Config;
use gossip_testkit::Latency;
use gossip_testkit::lab::real::{Idle, Log, MAX_KEYS, MAX_NODES, Rest};
use serde::Serialize;

use crate::arguments::{Relayed, Svg};
use crate::chart::{Axis, Chart, Legend, round_up};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// How often a life is lived through again: the fastest time is the least disturbed.
const REPEATS: usize = 10;
/// How many lives are lived through again, about: four for time and memory, one of the pair for memory.
const LIVES: u64 = 4 * (REPEATS as u64 + 1) + 1;
/// The entries of the picture's second curve, unless said.
const SOME_KEYS: u32 = 1_000;

/// What the fields mean that programs get.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  bytes_per_node_s       sent per second\n",
    "  datagrams_per_node_s   likewise\n",
    "  largest_datagram       in bytes\n",
    "  cpu_us_per_node_s      microseconds of processor time per second\n",
    "  heap_bytes_per_member  bytes allocated for one member more",
);

/// A converged cluster at rest: traffic, processor time, memory
///
/// Processor time is that of some of the nodes, each run alone with everything that it received. Memory is what a node
/// has allocated more than one of a pair with the same entries, per member more. The picture shows bytes against the
/// size of the cluster. More than 2,000 nodes do not join one by one: they start with what one of them knows of all, as
/// after a restart.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    /// How many nodes there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=i64::from(MAX_NODES)))]
    nodes: u32,
    /// How many entries everybody holds
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_KEYS)))]
    keys: u32,
    /// How long it is looked at, in simulated seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[command(flatten)]
    relay: Relayed,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    bytes_per_node_s: f64,
    datagrams_per_node_s: f64,
    largest_datagram: usize,
    cpu_us_per_node_s: f64,
    heap_bytes_per_member: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let idle = Idle {
            nodes: self.nodes,
            keys: self.keys,
            time: Duration::from_secs(self.seconds),
            config: self.relay.apply(Config::lan()),
            latency: Latency::default(),
        };
        idle.check()?;
        let svg = self.svg.file()?;
        let sizes = if svg.is_some() { smaller(idle.nodes) } else { Vec::new() };
        // As much as one of so many nodes had its part in.
        let life = (idle.pulses() / u64::from(idle.nodes)).max(1);
        let pair = Idle { nodes: 2, time: Duration::from_secs(1), ..idle.clone() };
        let progress = Progress::new(idle.pulses() * (1 + 2 * sizes.len() as u64) + pair.pulses() + LIVES * life);
        let pulse = || progress.step();
        let rest = idle.run(seed, &pulse)?;
        let pair = pair.run(seed, &pulse)?;
        let mut curves = Vec::new();
        for keys in [0, if idle.keys == 0 { SOME_KEYS } else { idle.keys }] {
            let mut points = Vec::new();
            for &nodes in &sizes {
                let other = Idle { nodes, keys, ..idle.clone() };
                let usage = if other == idle { rest.usage } else { other.run(seed, &pulse)?.usage };
                points.push((f64::from(nodes), usage.bytes_per_node_second()));
            }
            curves.push((format!("{keys} entries"), points));
        }
        let lived = || progress.steps(life);
        let time = |log| processor_time(log, &rest, &lived) * 1e6 / self.seconds as f64;
        let row = Row {
            bytes_per_node_s: rest.usage.bytes_per_node_second(),
            datagrams_per_node_s: rest.usage.datagrams_per_node_second(),
            largest_datagram: rest.largest,
            cpu_us_per_node_s: mean(rest.logs.iter().map(time)),
            heap_bytes_per_member: (heap(&rest, &lived) - heap(&pair, &lived)) / f64::from(idle.nodes - 2),
        };
        drop(progress);
        output.object(&row)?;
        output.table(
            &format!("{} nodes with {} entries at rest", idle.nodes, idle.keys),
            ["bytes/s", "datagrams/s", "largest", "cpu (µs/s)", "heap (bytes/member)"],
            &[[
                figure(row.bytes_per_node_s),
                figure(row.datagrams_per_node_s),
                row.largest_datagram.to_string(),
                figure(row.cpu_us_per_node_s),
                figure(row.heap_bytes_per_member),
            ]],
        )?;
        output.note("  (per node)")?;
        svg.map_or(Ok(()), |file| picture(curves).draw(&file))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Seconds that a node, alone, takes for what it did at rest.
#[expect(clippy::disallowed_types, reason = "processor time is what is measured; nothing else depends on it")]
fn processor_time(log: &Log, rest: &Rest, lived: &dyn Fn()) -> f64 {
    let run = || {
        let mut replay = log.replay();
        replay.run_until(rest.from);
        let start = std::time::Instant::now();
        replay.run_until(rest.to);
        let time = start.elapsed().as_secs_f64();
        lived();
        time
    };
    (0..REPEATS).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Bytes that a node has allocated at the end, the mean of several.
fn heap(rest: &Rest, lived: &dyn Fn()) -> f64 {
    let allocated = |log: &Log| {
        let mut node = None;
        let info = allocation_counter::measure(|| {
            let mut replay = log.replay();
            replay.run_until(rest.to);
            node = Some(replay.into_node());
        });
        lived();
        info.bytes_current as f64
    };
    mean(rest.logs.iter().map(allocated))
}

/// 1, 2, 5, 10 … up to the size asked for.
fn smaller(nodes: u32) -> Vec<u32> {
    let decades = (0..5).flat_map(|power| [1, 2, 5].map(|step| step * 10_u32.pow(power)));
    decades.filter(|size| (5..nodes).contains(size)).chain([nodes]).collect()
}

fn picture(curves: Vec<(String, Vec<(f64, f64)>)>) -> Chart {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let sizes = points().map(|point| point.0);
    Chart {
        title: "A cluster at rest".to_owned(),
        x: Axis { name: "nodes", range: sizes.clone().fold(f64::MAX, f64::min)..sizes.fold(10.0, f64::max) },
        y: Axis {
            name: "bytes sent per node and second",
            range: 0.0..round_up(1.3 * points().map(|point| point.1).fold(1.0, f64::max)),
        },
        logarithmic: true,
        dots: true,
        legend: Legend::LowerRight,
        curves,
    }
}
