//! `advise`: an answer to whether a configuration is fast enough, and the cheapest one that is.

use std::time::Duration;

use gossip_testkit::lab::real::{Advice, Advise, Verdict};
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Real, millis, percent, reach, time};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, an object for each configuration, the cheapest first:\n",
    "  fanout, interval_ms         of the configuration\n",
    "  own, best                   the one asked about, the one to take\n",
    "  verdict                     yes, no or unsure: whether it does\n",
    "  reached                     share of pairs of a put and a node in time\n",
    "  reached_low, reached_high   its interval, 95 % confident\n",
    "  puts                        that this was seen in\n",
    "  t50_ms, t99_ms, t100_ms     when so many per cent knew; null: too late\n",
    "  bytes_per_node_s            sent per second\n",
    "  bytes_error                 its standard error, 0 after one trial",
);

/// Does this configuration reach nearly all in time? And what would be cheaper?
///
/// Real nodes that put something four times a second, in as many clusters as it takes to be sure: the answer is that of a
/// Wilson interval for the share of all pairs of a put and a node. A configuration is looked at up to three times, with
/// more puts each time; the interval allows for that. The configuration asked about is the preset, or that
/// of --config; others differ from it in fanout (1 to 4) and interval (half to twice its own). Those that are cheaper are
/// tried, the cheapest first, until one is sure to do, three at most; the rest is tried once, and so mostly unsure. Bytes
/// are per node and second, all included.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// Share of the nodes that is to be reached: 0.9999, or 99.99%
    #[arg(long, value_name = "P", default_value = "99.99%", value_parser = reach)]
    reach: f64,
    /// Time in which they are to be reached, such as 500ms or 2s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    within: Duration,
}

#[derive(Debug, Serialize)]
struct Row {
    fanout: u32,
    interval_ms: f64,
    own: bool,
    best: bool,
    verdict: &'static str,
    reached: f64,
    reached_low: f64,
    reached_high: f64,
    puts: usize,
    t50_ms: Option<f64>,
    t99_ms: Option<f64>,
    t100_ms: Option<f64>,
    bytes_per_node_s: f64,
    bytes_error: f64,
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Unsure => "unsure",
    }
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes, setup }, Loss { loss }) = (self.cluster, self.loss);
        let Real { name, config, latency, .. } = setup.load()?;
        let (reach, within) = (self.reach, self.within);
        let question = Advise { nodes, config, latency, loss, reach, within };
        let progress = Progress::new(question.pulses());
        let answer = question.run(seed, &|| progress.step())?;
        drop(progress);
        let (own, best) = (answer.own(), answer.best());
        let is_best = |row: &Advice| best == Some(row);
        for row in &answer.rows {
            let [t50_ms, t99_ms, t100_ms] = row.times.map(millis);
            output.object(&Row {
                fanout: row.fanout,
                interval_ms: row.interval.as_secs_f64() * 1e3,
                own: row.own,
                best: is_best(row),
                verdict: word(row.verdict),
                reached: row.reached.share,
                reached_low: row.reached.low,
                reached_high: row.reached.high,
                puts: row.puts,
                t50_ms,
                t99_ms,
                t100_ms,
                bytes_per_node_s: row.bytes_per_node_second.mean,
                bytes_error: row.bytes_per_node_second.error(),
            })?;
        }
        let time = |time: Option<Duration>| millis(time).map_or("late".to_owned(), figure);
        let exact = |share: f64| format!("{:.3}", 100.0 * share);
        let cells = |row: &Advice| {
            [
                if row.own { "own" } else { "" }.to_owned(),
                word(row.verdict).to_owned(),
                row.fanout.to_string(),
                figure(row.interval.as_secs_f64() * 1e3),
                exact(row.reached.share),
                exact(row.reached.low),
                time(row.times[0]),
                time(row.times[1]),
                time(row.times[2]),
                figure(row.bytes_per_node_second.mean),
            ]
        };
        let question = format!("{} of {nodes} nodes within {within:?} at {} loss", percent(reach), percent(loss));
        let header = ["", "does", "fanout", "ms", "reached", "at least", "50 %", "99 %", "100 % (ms)", "bytes/s"];
        output.table(
            &format!("{question}: {name} and others"),
            header,
            &answer.rows.iter().map(cells).collect::<Vec<_>>(),
        )?;
        let cost = |row: &Advice| figure(row.bytes_per_node_second.mean);
        let seen = format!("{} % reached, at least {} %", exact(own.reached.share), exact(own.reached.low));
        output.note(&match own.verdict {
            Verdict::Yes => format!("Yes: {name} does ({seen}), at {} bytes/s per node.", cost(own)),
            Verdict::No => format!("No: {name} does not ({seen}, at most {} %).", exact(own.reached.high)),
            Verdict::Unsure => format!("Unsure: {} puts do not tell whether {name} does ({seen}).", own.puts),
        })?;
        let Some(best) = best else {
            return Err(Failure::Shown(format!("error: nothing surely reaches {question}")));
        };
        let share = 1.0 - best.bytes_per_node_second.mean / own.bytes_per_node_second.mean;
        output.note(&if best.own {
            "Nothing that was tried does it for fewer bytes.".to_owned()
        } else {
            let (more, share) =
                (if share < 0.0 { "more" } else { "fewer" }, percent((share.abs() * 1e3).round() / 1e3));
            let (fanout, interval) = (best.fanout, best.interval);
            format!("Cheapest: fanout {fanout}, interval {interval:?}: {} bytes/s, {share} {more}.", cost(best))
        })
    }
}
