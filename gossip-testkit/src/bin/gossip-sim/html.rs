//! `--html`: a page of a run, to go through step by step.

use std::fs;
use std::path::PathBuf;

use gossip_testkit::lab::recording::Recording;
use gossip_testkit::{Command, Scenario};

use crate::arguments::{Real, writable};
use crate::check;
use crate::failure::Failure;

/// The file for the page of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Html {
    /// Write a page of the run into this file, to go through step by step
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A file that can be written.
#[derive(Debug)]
pub(crate) struct Page(PathBuf);

impl Html {
    /// Returns the file, if there is to be one, after checking that it can be written.
    pub(crate) fn page(self) -> Result<Option<Page>, Failure> {
        let Some(file) = self.html else { return Ok(None) };
        writable(&file).map_err(|reason| Failure::Page { file: file.display().to_string(), reason })?;
        Ok(Some(Page(file)))
    }
}

impl Page {
    /// Runs the scenario and writes its page.
    pub(crate) fn write(&self, real: &Real, scenario: &Scenario<Command>) -> Result<(), Failure> {
        let page = Recording::of(check::checker(real), scenario).html();
        fs::write(&self.0, page).map_err(|reason| Failure::Page { file: self.0.display().to_string(), reason })
    }
}
