//! Reasons why something that was asked was not done. Knows the errors of the library.

use gossip_tokio::gossip_core::{KeyError, SendError, WriteError};
use serde::{Deserialize, Serialize};

use crate::failure::chain;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{error}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) error: String,
}

/// The kind of a refusal.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    /// The named thing is not there.
    NotFound,
    /// The request is not valid.
    Invalid,
    /// It cannot be now.
    Failed,
}

impl Code {
    pub(crate) fn says(self, error: impl ToString) -> Refusal {
        Refusal { code: self, error: error.to_string() }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        let code = match error {
            WriteError::Full { .. } | WriteError::ShareUnknown { .. } | WriteError::Left => Code::Failed,
            _ => Code::Invalid,
        };
        code.says(chain(&error))
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        let code = if matches!(error, KeyError::Unknown { .. }) { Code::NotFound } else { Code::Invalid };
        code.says(chain(&error))
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        let code = match error {
            SendError::NoMember { .. } => Code::NotFound,
            SendError::TooLarge { .. } | SendError::NoKeyring => Code::Invalid,
            SendError::Write(error) => return error.into(),
            _ => Code::Failed,
        };
        code.says(chain(&error))
    }
}
