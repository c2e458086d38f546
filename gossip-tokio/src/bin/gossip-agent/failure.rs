//! Failures, which end the program early: one line for people or one object for programs, and an exit code for scripts.

use std::error::Error;
use std::process::ExitCode;

use serde_json::json;

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Invalid request: exit code 2, as for a command line that is not understood.
    #[error("{}", .0.trim_end())]
    Usage(String),
    /// It went wrong: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// Tells it on standard error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        use std::io::Write as _;

        let code = match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        };
        // If nobody reads any more there is nobody to tell.
        let _ = match json {
            true => writeln!(std::io::stderr(), "{}", json!({ "error": self.to_string(), "exit": code })),
            false => writeln!(std::io::stderr(), "gossip-agent: {self}"),
        };
        ExitCode::from(code)
    }
}

/// An error with what caused it, in a line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
