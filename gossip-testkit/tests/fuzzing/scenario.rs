//! The body of a fuzz target: also compiled by `gossip-core/fuzz`.

use gossip_testkit::{Command, Scenario};

/// A text that is a scenario is printed as one that says the same, in lines and in a line.
pub(crate) fn scenario(text: &str) {
    let Ok(scenario) = text.parse::<Scenario<Command>>() else { return };
    let (lines, line) = (scenario.to_string(), format!("{scenario:?}"));
    assert_eq!(lines.parse().as_ref(), Ok(&scenario), "{lines}");
    assert_eq!(line.parse().as_ref(), Ok(&scenario), "{line}");
}
