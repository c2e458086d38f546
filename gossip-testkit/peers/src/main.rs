//! Other people's gossip protocols under the same plans, invariants and measurements as ours.
//!
//! ```sh
//! cargo run --release --manifest-path gossip-testkit/peers/Cargo.toml -- table 200
//! cargo run --release --manifest-path gossip-testkit/peers/Cargo.toml -- figures
//! ```
//!
//! `table` runs random scenarios and says of each invariant how many of them it did not hold in. `figures` measures a
//! cluster at rest, a join, messages under loss, a crash, false deaths and memory. What fails is told in counts alone.

mod figures;
mod foca;
mod iroh;
mod memberlist;
mod ours;
mod plumtree;
mod runtime;
mod say;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod timers;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["table"] => table::all(200),
        ["table", scenarios] if scenarios.parse::<u64>().is_ok() => table::all(scenarios.parse().unwrap_or(200)),
        ["figures"] => figures::all(),
        _ => {
            eprintln!("usage: gossip-peers table [SCENARIOS] | figures");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
