//! `epidemic`: one rumor of one's own choice, and where it stands among the others.

use gossip_core::Config;
use gossip_core::{Exchange, LossOfInterest, Policy, Response};
use gossip_testkit::lab::{Epidemic, Impossible, Measured};
use serde::Serialize;

use crate::arguments::{self, Nodes, Svg, Trials};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::picture::{Curve, Picture, Point};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  residue        the share of sites never reached\n",
    "  traffic        updates sent per site\n",
    "  t_ave, t_last  cycles until the mean and the last site were reached",
);

/// A rumor until nobody is infective: residue, traffic, delay
///
/// The picture shows the choice, a cross, among the rumor menu at the same size.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
#[command(override_usage = "gossip-sim epidemic --nodes <N> --exchange <E> --response <R>\n       \
    --loss-of-interest <L> --k <K> [OPTIONS]")]
pub(crate) struct Arguments {
    #[command(flatten)]
    nodes: Nodes,
    /// Direction of an exchange
    #[arg(long, value_name = "E", value_parser = arguments::exchange())]
    exchange: Exchange,
    /// Answer of the receiver: says if it knew already, or nothing
    #[arg(long, value_name = "R", value_parser = arguments::response())]
    response: Response,
    /// After k contacts in a row that count, or with probability 1/k at each
    #[arg(long, value_name = "L", value_parser = arguments::loss_of_interest())]
    loss_of_interest: LossOfInterest,
    /// The k of the loss of interest
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=255))]
    k: u32,
    /// Number of others that a site calls in a cycle
    #[arg(long, value_name = "F", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32))]
    fanout: u32,
    /// Where both know, count only for the smaller counter
    #[arg(long)]
    minimization: bool,
    /// Number of calls that a site takes in a cycle
    #[arg(long, value_name = "LIMIT", value_parser = clap::value_parser!(u8).range(1..))]
    connection_limit: Option<u8>,
    /// Number of others to try when a line is busy
    #[arg(long, value_name = "H", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000))]
    hunt: u32,
    #[command(flatten)]
    trials: Trials,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    residue: f64,
    traffic: f64,
    t_ave: f64,
    t_last: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let policy = Policy {
            exchange: self.exchange,
            response: self.response,
            loss_of_interest: self.loss_of_interest,
            k: self.k,
            fanout: self.fanout,
            minimization: self.minimization,
            ..Config::lan().rumor
        };
        let (connection_limit, hunt) = (self.connection_limit, self.hunt);
        let epidemic = Epidemic { connection_limit, hunt, ..Epidemic::new(self.nodes.nodes, policy) };
        epidemic.check()?;
        let svg = self.svg.file()?;
        let measured = measure(&[&epidemic], self.trials.trials, seed)?[0];
        let [residue, traffic, t_ave, t_last] = means(&measured);
        output.object(&Row { residue, traffic, t_ave, t_last })?;
        let errors = [measured.residue, measured.traffic, measured.t_ave, measured.t_last].map(|e| figure(e.error()));
        let row = |name: &str, cells: [String; 4]| {
            let [residue, traffic, t_ave, t_last] = cells;
            [name.to_owned(), residue, traffic, t_ave, t_last]
        };
        output.table(
            &format!("One rumor among {} sites, {} trials", epidemic.nodes, self.trials.trials),
            ["", "residue", "traffic", "t_ave", "t_last"],
            &[row("mean", [residue, traffic, t_ave, t_last].map(figure)), row("standard error", errors)],
        )?;
        svg.map_or(Ok(()), |file| {
            let mut picture =
                Picture::new(&format!("The rumor menu: {} sites, fanout 1, k from 1 to 6", epidemic.nodes));
            picture.mark(traffic, residue);
            for (name, epidemics) in menu(epidemic.nodes) {
                let mut measured = measure(&epidemics.each_ref(), self.trials.trials, seed)?;
                // Where a residue is counted, too few were missed to draw a point.
                measured.retain(|cell| cell.residue.error() < cell.residue.mean / 5.0);
                let point = |cell: &Measured| {
                    let Measured { traffic, residue, .. } = cell;
                    Point { traffic: traffic.mean, residue: residue.mean, error: residue.error() }
                };
                picture.curve(Curve { name: name.to_owned(), points: measured.iter().map(point).collect() });
            }
            picture.draw("this configuration", &file)
        })
    }
}

fn means(measured: &Measured) -> [f64; 4] {
    [measured.residue, measured.traffic, measured.t_ave, measured.t_last].map(|estimate| estimate.mean)
}

fn measure(epidemics: &[&Epidemic], trials: u32, seed: u64) -> Result<Vec<Measured>, Impossible> {
    let progress = Progress::new(u64::from(trials) * epidemics.len() as u64);
    epidemics.iter().map(|epidemic| Measured::of(epidemic, trials, seed, &|| progress.step())).collect()
}

/// The choices there are, each for `k` from 1 to 6.
fn menu(nodes: u32) -> [(&'static str, [Epidemic; 6]); 9] {
    use Exchange::{Pull, Push, PushPull};
    use LossOfInterest::{Coin, Counter};
    use Response::{Blind, Feedback};
    let rumor = |exchange, response, loss_of_interest, connection_limit, minimization| {
        [1, 2, 3, 4, 5, 6].map(|k| {
            let policy =
                Policy { exchange, response, loss_of_interest, k, fanout: 1, minimization, ..Config::lan().rumor };
            Epidemic { connection_limit, ..Epidemic::new(nodes, policy) }
        })
    };
    [
        ("push, feedback, counter", rumor(Push, Feedback, Counter, None, false)),
        ("push, feedback, coin", rumor(Push, Feedback, Coin, None, false)),
        ("push, blind, counter", rumor(Push, Blind, Counter, None, false)),
        ("push, blind, coin", rumor(Push, Blind, Coin, None, false)),
        ("the first, connection limit 1", rumor(Push, Feedback, Counter, Some(1), false)),
        ("pull, feedback, counter", rumor(Pull, Feedback, Counter, None, false)),
        ("pull, feedback, coin", rumor(Pull, Feedback, Coin, None, false)),
        ("push-pull, feedback, counter", rumor(PushPull, Feedback, Counter, None, false)),
        ("the same, minimization", rumor(PushPull, Feedback, Counter, None, true)),
    ]
}
