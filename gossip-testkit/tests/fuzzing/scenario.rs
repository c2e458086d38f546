//! Body of a fuzz target, which `gossip-core/fuzz` compiles as well.

use gossip_testkit::{Command, Scenario};

/// A text that is a scenario is printed as an equal one, in lines and in one line.
pub(crate) fn scenario(text: &str) {
    let Ok(scenario) = text.parse::<Scenario<Command>>() else { return };
    let (lines, line) = (scenario.to_string(), format!("{scenario:?}"));
    assert_eq!(lines.parse().as_ref(), Ok(&scenario), "{lines}");
    assert_eq!(line.parse().as_ref(), Ok(&scenario), "{line}");
}
