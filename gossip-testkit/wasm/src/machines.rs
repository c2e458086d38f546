//! Scenarios and failures as text, run again on the machine that they name.
//!
//! A scenario alone runs on real nodes. A failure, pasted as it was printed, names its machine: a real node, or one of the
//! small protocols with planted bugs by which the testkit is tested. No other machines are here.

use std::fmt::Display;
use std::str::FromStr;

use gossip_core::Node;
use gossip_testkit::lab::recording::Recording;
use gossip_testkit::{Addr, Checker, Framed, Machine, Scenario};

use mini::around::{NoCopies, ShortLength};
use mini::swim::{self, Swim};
use mini::tree::{self, Tree};
use mini::{Bug, Config, Mini};

#[path = "../../tests/mini/mod.rs"]
mod mini;

/// Runs a text again. `nodes` checks real nodes.
pub(crate) fn replay(text: &str, nodes: Checker<Node<Addr>>) -> Result<Recording, String> {
    let Some(line) = text.lines().find_map(|line| line.trim_start().strip_prefix("to replay: ")) else {
        return record(nodes, text);
    };
    let (call, scenario) =
        quoted(line).ok_or("the line that begins with `to replay:` holds no scenario in quotes".to_owned())?;
    if call.contains("<Node<Addr>>") {
        return record(nodes, scenario);
    }
    let bugs = Bug::ALL.iter().map(|&bug| Config { bug: Some(bug) });
    planted::<Mini>(bugs, call, scenario)
        .or_else(|| planted::<Swim>(swim::Bug::ALL.iter().map(|&bug| Some(bug)), call, scenario))
        .or_else(|| planted::<Tree>(tree::Bug::ALL.iter().map(|&bug| Some(bug)), call, scenario))
        .or_else(|| planted::<Framed<Mini, ShortLength>>([Config::default()], call, scenario))
        .or_else(|| planted::<NoCopies>([Config::default()], call, scenario))
        .unwrap_or_else(|| {
            Err(format!("the machine of `{call}` is not on this page, which runs Node<Addr> and those of the self-test"))
        })
}

/// Takes a line apart: `CALL(&r#"SCENARIO"#.parse().unwrap())`.
fn quoted(line: &str) -> Option<(&str, &str)> {
    let (call, rest) = line.split_once("(&r")?;
    let (hashes, text) = rest.split_once('"')?;
    let (scenario, _) = text.split_once(&format!("\"{hashes}"))?;
    Some((call, scenario))
}

/// Runs a scenario on the machine among these configurations that `call` names, if there is one.
fn planted<M>(
    configs: impl IntoIterator<Item = M::Config>,
    call: &str,
    scenario: &str,
) -> Option<Result<Recording, String>>
where
    M: Machine<Command: Display + FromStr<Err: Display>>,
{
    let checker = configs.into_iter().map(Checker::<M>::new).find(|checker| checker.replay_call() == call)?;
    Some(record(checker, scenario))
}

fn record<M>(checker: Checker<M>, text: &str) -> Result<Recording, String>
where
    M: Machine<Command: Display + FromStr<Err: Display>>,
{
    let scenario: Scenario<M::Command> = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Recording::of(checker, &scenario))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(name: &str) -> String {
        std::fs::read_to_string(format!("../tests/mini/failures/{name}.txt")).expect("it is kept")
    }

    #[test]
    fn a_failure_is_replayed_on_its_machine() {
        for name in ["watermark", "incarnation", "length"] {
            let text = failure(name);
            let recording = replay(&text, Checker::default()).expect(name);
            let outcome = format!("{:?}", recording.outcome);
            let message = text.lines().nth(1).expect("the second line says why").trim();
            assert!(outcome.starts_with("Violated") && outcome.contains(message), "{outcome}");
        }
    }

    #[test]
    fn a_machine_that_is_not_here_is_named() {
        let refused = replay(&failure("watermark").replace("Checker::<Mini>", "Checker::<Maxi>"), Checker::default());
        let reason = refused.err().expect("there is none");
        assert!(reason.contains("`Checker::<Maxi>::new(Config { bug: Some(LostDeltaWatermark) }).run`"), "{reason}");
        assert!(replay("to replay: nothing", Checker::default()).is_err());
    }
}
