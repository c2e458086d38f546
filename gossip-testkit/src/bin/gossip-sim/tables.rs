//! `tables`: Demers' tables 1 to 3, beside the paper's figures.

use gossip_testkit::lab::Measured;
use gossip_testkit::lab::tables::TABLES;
use serde::Serialize;

use crate::arguments::{Svg, Trials};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::picture::{Curve, Picture, Point};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, an object for each row:\n",
    "  table          which: exchange, response and loss of interest\n",
    "  k              the k of the loss of interest\n",
    "  residue        the share of sites never reached\n",
    "  traffic        updates sent per site\n",
    "  t_ave, t_last  cycles until the mean and the last site were reached",
);

/// Demers' tables 1 to 3 beside the paper's figures
///
/// A rumor among 1,000 sites. Residue is the share of sites never reached, traffic the updates sent per site, t_ave and t_last the cycles until
/// the mean and the last site were reached. The paper's t_ave for push contradicts its own t_last.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Tables {
    #[command(flatten)]
    trials: Trials,
    #[command(flatten)]
    svg: Svg,
}

#[derive(Debug, Serialize)]
struct Row {
    table: &'static str,
    k: u32,
    residue: f64,
    traffic: f64,
    t_ave: f64,
    t_last: f64,
}

impl Tables {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Self { trials: Trials { trials }, svg } = self;
        let svg = svg.file()?;
        let cells: usize = TABLES.iter().map(|table| table.paper.len()).sum();
        let progress = Progress::new(cells as u64 * u64::from(trials));
        let mut results = Vec::new();
        for table in &TABLES {
            let measure = |k| Measured::of(&table.epidemic(k), trials, seed, &|| progress.step());
            results.push((table, (1..=table.paper.len() as u32).map(measure).collect::<Result<Vec<_>, _>>()?));
        }
        drop(progress);

        let mut picture = Picture::new("A rumor among 1,000 sites: Demers et al., tables 1 to 3");
        for (table, rows) in &results {
            let (mut lines, mut points) = (Vec::new(), Vec::new());
            for ((k, row), paper) in (1..).zip(rows).zip(table.paper) {
                let [residue, traffic, t_ave, t_last] =
                    [row.residue, row.traffic, row.t_ave, row.t_last].map(|estimate| estimate.mean);
                output.object(&Row { table: table.name, k, residue, traffic, t_ave, t_last })?;
                let pairs =
                    [(residue, paper.residue), (traffic, paper.traffic), (t_ave, paper.t_ave), (t_last, paper.t_last)];
                let [residue_cell, traffic_cell, ave, last] =
                    pairs.map(|(here, paper)| format!("{} ({})", figure(here), printed(paper)));
                lines.push([k.to_string(), residue_cell, traffic_cell, ave, last]);
                points.push(Point { traffic, residue, error: row.residue.error() });
                picture.mark(paper.traffic, paper.residue);
            }
            let title = format!("Table {}, {}: here (in the paper)", table.number, table.name);
            output.table(&title, ["k", "residue", "traffic", "t_ave", "t_last"], &lines)?;
            output.note("")?;
            picture.curve(Curve { name: table.name.replace('-', ", "), points });
        }
        svg.map_or(Ok(()), |file| picture.draw("the paper's figures", &file))
    }
}

/// As the paper prints it.
fn printed(value: f64) -> String {
    if value < 1e-3 { format!("{value:.1e}") } else { value.to_string() }
}
