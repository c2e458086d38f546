//! Shows the effects of a gossip configuration before it is deployed.
//!
//! One file per command, each with its arguments and a `run`; [`output`], [`progress`], [`picture`] and
//! [`chart`], both on a [`canvas`], are what they share. The binary knows the laboratory and how to talk to people; it decides nothing about epidemics itself.

mod advise;
mod anti_entropy;
mod arguments;
mod canvas;
mod chart;
mod check;
mod detect;
mod distance;
mod epidemic;
mod failure;
mod heal;
mod html;
mod idle;
mod join;
mod load;
mod output;
mod picture;
mod progress;
mod reconcile;
mod replay;
mod rounds;
mod spread;
mod tables;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use output::Output;

/// Shows what a gossip configuration does, before it is deployed.
///
/// Same command, same seed, same figures, on any machine; all but the processor time that `idle` prints.
#[derive(Debug, Parser)]
#[command(name = "gossip-sim", version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Arguments of every command.
#[derive(Debug, clap::Args)]
struct Common {
    /// Print one JSON object per line instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Seed of all randomness
    #[arg(long, global = true, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// The commands: a name each, and the arguments, which know how to `run`.
macro_rules! commands {
    ($($name:ident($arguments:ty),)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($name($arguments),)*
        }

        impl Command {
            fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
                match self {
                    $(Self::$name(arguments) => arguments.run(seed, output),)*
                }
            }
        }
    };
}

commands! {
    Tables(tables::Tables),
    Epidemic(epidemic::Arguments),
    Rounds(rounds::Rounds),
    AntiEntropy(anti_entropy::AntiEntropy),
    Spread(spread::Arguments),
    Load(load::Arguments),
    Idle(idle::Arguments),
    Join(join::Arguments),
    Detect(detect::Arguments),
    Distance(distance::Arguments),
    Heal(heal::Arguments),
    Reconcile(reconcile::Arguments),
    Check(check::Arguments),
    Replay(replay::Arguments),
    Advise(advise::Arguments),
}

fn run() -> Result<(), Failure> {
    let Arguments { command, common: Common { json, seed } } = Arguments::try_parse()?;
    command.run(seed, &mut Output::new(json))
}

fn main() -> ExitCode {
    run().map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
