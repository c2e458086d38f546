//! `reconcile`: two replicas that differ.

use gossip_testkit::lab::real::{MAX_KEYS, Reconcile};
use serde::Serialize;

use crate::arguments::{Loss, Setup, percent};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// The simulated seconds before the measurement, and a few after it.
const PULSES: u64 = 100;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  identification_bytes  sent to find out what differs\n",
    "  update_bytes          sent to make it equal\n",
    "  datagrams             sent by both\n",
    "  round_trips           the longest chain of answers to answers, in pairs\n",
    "  time_ms               from the first datagram until both are equal\n",
    "  equal                 whether they are",
);

/// Two replicas that differ in D entries become equal by anti-entropy
///
/// Each lacks half of the difference. Identification is every byte that is not the encoding of an update. Of a
/// configuration, what concerns membership and direct mail plays no part.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    /// Number of entries that each holds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_KEYS)))]
    items: u32,
    /// Number of entries that only one of them holds: at most twice as many
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(..=2 * i64::from(MAX_KEYS)))]
    difference: u32,
    #[command(flatten)]
    loss: Loss,
    #[command(flatten)]
    setup: Setup,
}

#[derive(Debug, Serialize)]
struct Row {
    identification_bytes: u64,
    update_bytes: u64,
    datagrams: u64,
    round_trips: u32,
    time_ms: f64,
    equal: bool,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Self { items, difference, loss: Loss { loss }, setup } = self;
        let reconcile = Reconcile { items, difference, loss, config: setup.load()?.config };
        reconcile.check()?;
        let progress = Progress::new(PULSES);
        let done = reconcile.run(seed, &|| progress.step())?;
        drop(progress);
        let row = Row {
            identification_bytes: done.identification_bytes,
            update_bytes: done.update_bytes,
            datagrams: done.datagrams,
            round_trips: done.round_trips,
            time_ms: done.time.as_secs_f64() * 1e3,
            equal: done.equal,
        };
        output.object(&row)?;
        output.table(
            &format!("{difference} differences among {items} entries, {} loss", percent(loss)),
            ["identification (bytes)", "updates (bytes)", "datagrams", "round trips", "equal"],
            &[[
                row.identification_bytes.to_string(),
                row.update_bytes.to_string(),
                row.datagrams.to_string(),
                row.round_trips.to_string(),
                if row.equal { "yes" } else { "no" }.to_owned(),
            ]],
        )?;
        output.note(&format!("  ({} ms, 1 ms each way)", figure(row.time_ms)))
    }
}
