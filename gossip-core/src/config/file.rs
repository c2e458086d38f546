//! Configurations read from files of an earlier release: settings that this release does not use any more are told and not refused.

use alloc::vec::Vec;

use serde::{Deserialize, Deserializer};

use super::overlay::{Overlay as _, Removed};
use super::{Config, ConfigOverlay, RemovedSetting};

/// A configuration and the settings of its document that are removed. It is read in any self-describing serde format as a
/// [`Config`] is, which reads the same documents and says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigFile {
    /// The configuration.
    pub config: Config,
    /// Settings to be told to whoever wrote the document, at most one for each name.
    pub removed: Vec<RemovedSetting>,
}

impl<'de> Deserialize<'de> for ConfigFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = ConfigOverlay::deserialize(deserializer)?;
        let mut removed = Removed::new();
        Config::removed(&document, &mut removed);
        Ok(Self { config: Config::of(document), removed })
    }
}
