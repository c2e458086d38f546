//! Values that several commands take.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use gossip_core::{Exchange, LossOfInterest, Response};
use gossip_testkit::lab::MAX_NODES;
use gossip_testkit::lab::real::{self, MAX_LOSS, Preset};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use crate::canvas::failure;
use crate::failure::Failure;

/// One of these words, as the configuration file spells them.
fn word<T>(words: [&'static str; 2], more: Option<&'static str>) -> impl TypedValueParser<Value = T>
where
    T: for<'de> Deserialize<'de> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words.into_iter().chain(more))
        .try_map(|word| T::deserialize(IntoDeserializer::<Error>::into_deserializer(word)))
}

pub(crate) fn exchange() -> impl TypedValueParser<Value = Exchange> {
    word(["push", "pull"], Some("push-pull"))
}

pub(crate) fn response() -> impl TypedValueParser<Value = Response> {
    word(["feedback", "blind"], None)
}

pub(crate) fn loss_of_interest() -> impl TypedValueParser<Value = LossOfInterest> {
    word(["counter", "coin"], None)
}

/// How many sites there are.
#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    /// How many sites there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_NODES)))]
    pub(crate) nodes: u32,
}

/// The size of a cluster of real nodes, each of which holds all the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Cluster {
    /// How many nodes there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(real::MAX_NODES)))]
    pub(crate) nodes: u32,
}

/// The share of datagrams that the network loses.
#[derive(Debug, clap::Args)]
pub(crate) struct Loss {
    /// Which share of all datagrams is lost: 0.3, or 30%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(crate) loss: f64,
}

/// A share from 0 to 0.9, as a fraction or in per cent.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().map_err(|_| "expected a share such as 0.3 or 30%".to_owned())? / unit;
    if (0.0..=MAX_LOSS).contains(&share) {
        Ok(share)
    } else {
        Err(format!("must be from 0 to {MAX_LOSS}, or {}%", MAX_LOSS * 100.0))
    }
}

/// A share for people.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

pub(crate) fn preset() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(["lan", "wan", "local"]).map(|word| match word.as_str() {
        "local" => Preset::Local,
        "wan" => Preset::Wan,
        _ => Preset::Lan,
    })
}

/// A time in milliseconds, if there is one.
pub(crate) fn millis(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}

/// The trials of a command.
#[derive(Debug, clap::Args)]
pub(crate) struct Trials {
    /// How many runs the figures are the mean of
    #[arg(long, value_name = "T", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) trials: u32,
}

/// For commands that have a picture to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Svg {
    /// Draw a picture into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Svg {
    /// The file, if there is to be one: that it can be written is found out before there is any work to lose. Until
    /// there is a picture the file stays what it was, or nothing.
    pub(crate) fn file(self) -> Result<Option<PathBuf>, Failure> {
        let Some(file) = self.svg else { return Ok(None) };
        let mut options = File::options();
        let opened = match options.write(true).create_new(true).open(&file) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create_new(false).open(&file).map(drop),
            created => created.and_then(|_| fs::remove_file(&file)),
        };
        opened.map_err(|error| failure(&file, &error))?;
        Ok(Some(file))
    }
}
