//! A counter-example that can be read.

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::time::Duration;

use crate::invariant::Violation;
use crate::scenario::{Scenario, Seconds};
use crate::trial::Found;

/// An invariant that did not hold, and the smallest scenario that was found to show it.
///
/// `Display` prints, in this order: the invariant and the simulated time; the two views that differ, if that is the
/// matter; the minimal scenario; how it came about; how to replay it. `Debug` is the same, so that `unwrap`,
/// `?` in a test and both front ends print it readably.
#[derive(Clone)]
pub struct Failure(Box<Inner>);

#[derive(Clone)]
struct Inner {
    found: Found,
    scenario: String,
    one_line: String,
    origin: Option<(String, u32)>,
    trace: Vec<String>,
    replay: String,
}

impl Failure {
    pub(crate) fn new<C: Display>(
        found: Found,
        scenario: &Scenario<C>,
        origin: Option<(&Scenario<C>, u32)>,
        trace: Vec<String>,
        replay: String,
    ) -> Self {
        Self(Box::new(Inner {
            found,
            scenario: scenario.to_string(),
            one_line: format!("{scenario:?}"),
            origin: origin.map(|(scenario, runs)| (format!("{scenario:?}"), runs)),
            trace,
            replay,
        }))
    }

    /// The invariant that did not hold.
    pub fn invariant(&self) -> &str {
        self.0.found.invariant
    }

    /// Simulated time since the start at which it did not hold.
    pub fn at(&self) -> Duration {
        self.0.found.at
    }

    /// The violation.
    pub fn violation(&self) -> &Violation {
        &self.0.found.violation
    }

    /// The smallest scenario found that fails like this, as text.
    pub fn scenario(&self) -> &str {
        &self.0.scenario
    }

    /// Runs spent on minimising; none if the scenario was not minimised.
    pub fn runs(&self) -> Option<u32> {
        self.0.origin.as_ref().map(|(_, runs)| *runs)
    }

    /// The lines that tell how it came about; of a failure found by [`Checker::trace`](crate::Checker::trace), all lines.
    pub fn trace(&self) -> &[String] {
        &self.0.trace
    }
}

/// More lines of difference help nobody.
const LINES: usize = 40;

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Inner { found, scenario, one_line, origin, trace, replay } = &*self.0;
        writeln!(f, "violated at {}: {}", Seconds(found.at), found.invariant)?;
        writeln!(f, "  {}", found.violation.message)?;
        if let Some([(left, a), (right, b)]) = found.violation.views.as_deref() {
            writeln!(f, "\n- {left}\n+ {right}")?;
            let lines = a.difference(b);
            for line in lines.iter().take(LINES) {
                writeln!(f, "{line}")?;
            }
            if lines.len() > LINES {
                writeln!(f, "... and {} lines more", lines.len() - LINES)?;
            }
        }
        match origin {
            Some((_, runs)) => writeln!(f, "\nthe smallest scenario found, in {runs} runs:")?,
            None => writeln!(f, "\nthe scenario, not minimised:")?,
        }
        for line in scenario.lines() {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nhow it came about:")?;
        for line in trace {
            writeln!(f, "  {line}")?;
        }
        let quoted = one_line.trim_end();
        writeln!(f, "\nto replay: {replay}(&{}.parse().unwrap())", raw(quoted))?;
        if let Some((origin, _)) = origin {
            // Front ends call their own input minimal.
            writeln!(f, "made from this larger one, which proptest and quickcheck print: {}", origin.trim_end())?;
        }
        Ok(())
    }
}

/// A text as a raw string of Rust.
fn raw(text: &str) -> String {
    let most = text.split('"').skip(1).map(|after| after.len() - after.trim_start_matches('#').len()).max();
    let hashes = "#".repeat(most.unwrap_or(0) + 1);
    format!("r{hashes}\"{text}\"{hashes}")
}

impl Debug for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::raw;

    #[test]
    fn the_line_to_replay_ends_where_the_text_does() {
        assert_eq!(raw("nodes 0-1;"), "r#\"nodes 0-1;\"#");
        assert_eq!(raw(r#"broadcast "a";"#), r##"r#"broadcast "a";"#"##);
        assert_eq!(raw(r##"broadcast "#";"##), r###"r##"broadcast "#";"##"###);
        assert_eq!(raw(r#####"put "###" "##";"#####), r######"r####"put "###" "##";"####"######);
    }
}
