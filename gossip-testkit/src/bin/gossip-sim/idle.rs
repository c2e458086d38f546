//! `idle`: the cost of a cluster that has nothing to do.

use std::time::Duration;

use gossip_testkit::lab::real::{Idle, Log, MAX_KEYS, MAX_NODES, Rest};
use serde::Serialize;

use crate::arguments::{Real, Setup, Svg};
use crate::chart::{Axis, Chart, Curve, around, round_up};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Number of replays of a node's log: the fastest is the least disturbed.
const REPEATS: usize = 10;
/// Number of replays in all, about: of four nodes for time and memory, of one of the pair for memory.
const LIVES: u64 = 4 * (REPEATS as u64 + 1) + 1;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, an object for each row:\n",
    "  nodes, keys            of the cluster\n",
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
/// size of the cluster, a curve for each number of entries, with two standard errors around it. More than 2,000 nodes do not join one by one: they start with what one of them knows of all, as
/// after a restart.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    /// Number of nodes; several: 10,100,1000
    #[arg(long, value_name = "N", required = true, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(3..=i64::from(MAX_NODES)))]
    nodes: Vec<u32>,
    /// Number of entries that everybody holds; several: 0,1000
    #[arg(long, value_name = "K", default_value = "0", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_KEYS)))]
    keys: Vec<u32>,
    /// Duration of the experiment, in simulated seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[command(flatten)]
    setup: Setup,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    nodes: u32,
    keys: u32,
    bytes_per_node_s: f64,
    datagrams_per_node_s: f64,
    largest_datagram: usize,
    cpu_us_per_node_s: f64,
    heap_bytes_per_member: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Real { config, latency, .. } = self.setup.load()?;
        let time = Duration::from_secs(self.seconds);
        let idle = |nodes, keys| Idle { nodes, keys, time, config: config.clone(), latency };
        let cases: Vec<_> =
            self.keys.iter().flat_map(|&keys| self.nodes.iter().map(move |&nodes| (nodes, keys))).collect();
        cases.iter().try_for_each(|&(nodes, keys)| idle(nodes, keys).check())?;
        let svg = self.svg.file()?;
        let pair = |keys| Idle { nodes: 2, time: Duration::from_secs(1), ..idle(2, keys) };
        let steps = |&(nodes, keys): &(u32, u32)| {
            let idle = idle(nodes, keys);
            idle.pulses() + pair(keys).pulses() + LIVES * life(&idle)
        };
        let progress = Progress::new(cases.iter().map(steps).sum());
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for &(nodes, keys) in &cases {
            let rest = idle(nodes, keys).run(seed, &|| progress.step())?;
            let pair = pair(keys).run(seed, &|| progress.step())?;
            let lived = || progress.steps(life(&idle(nodes, keys)));
            let time = |log| processor_time(log, &rest, &lived) * 1e6 / self.seconds as f64;
            let row = Row {
                nodes,
                keys,
                bytes_per_node_s: rest.usage.bytes_per_node_second(),
                datagrams_per_node_s: rest.usage.datagrams_per_node_second(),
                largest_datagram: rest.largest,
                cpu_us_per_node_s: mean(rest.logs.iter().map(time)),
                heap_bytes_per_member: (heap(&rest, &lived) - heap(&pair, &lived)) / f64::from(nodes - 2),
            };
            lines.push([
                nodes.to_string(),
                keys.to_string(),
                figure(row.bytes_per_node_s),
                figure(row.datagrams_per_node_s),
                row.largest_datagram.to_string(),
                figure(row.cpu_us_per_node_s),
                figure(row.heap_bytes_per_member),
            ]);
            rows.push((row, rest.bytes_per_node_second.error()));
        }
        drop(progress);
        for (row, _) in &rows {
            output.object(row)?;
        }
        output.table(
            &format!("At rest for {} s, per node", self.seconds),
            ["nodes", "entries", "bytes/s", "datagrams/s", "largest", "cpu (µs/s)", "heap (B/member)"],
            &lines,
        )?;
        svg.map_or(Ok(()), |file| picture(&self.keys, &rows).draw(&file))
    }
}

/// Steps of progress that a replay is worth: those of one node's part in the run.
fn life(idle: &Idle) -> u64 {
    (idle.pulses() / u64::from(idle.nodes)).max(1)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Processor time in seconds that a node, alone, takes for what it did at rest.
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

/// Number of bytes that a node has allocated at the end, the mean of several nodes.
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

fn picture(keys: &[u32], rows: &[(Row, f64)]) -> Chart {
    let curve = |&keys: &u32| {
        let mut rows: Vec<_> = rows.iter().filter(|(row, _)| row.keys == keys).collect();
        rows.sort_by_key(|(row, _)| row.nodes);
        let point = |row: &Row, error: f64| (f64::from(row.nodes), row.bytes_per_node_s + error);
        let ends: Vec<_> =
            rows.iter().map(|(row, error)| [point(row, -2.0 * error), point(row, 2.0 * error)]).collect();
        let points = rows.iter().map(|(row, _)| point(row, 0.0)).collect();
        Curve { name: format!("{keys} entries"), points, band: around(&ends) }
    };
    let sizes = rows.iter().map(|(row, _)| f64::from(row.nodes));
    let most = rows.iter().map(|(row, error)| row.bytes_per_node_s + 2.0 * error).fold(1.0, f64::max);
    let (least, largest) = (sizes.clone().fold(f64::MAX, f64::min), sizes.fold(10.0, f64::max));
    Chart {
        title: "A cluster at rest".to_owned(),
        x: Axis { name: "nodes", range: least.min(largest / 2.0)..largest },
        y: Axis { name: "bytes sent per node and second", range: 0.0..round_up(1.3 * most) },
        logarithmic: true,
        dots: true,
        band: "two standard errors",
        curves: keys.iter().map(curve).collect(),
    }
}
