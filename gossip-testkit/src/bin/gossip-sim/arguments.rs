//! Values that several commands take.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use gossip_core::rumor::{Exchange, LossOfInterest, Response};
use gossip_testkit::lab::MAX_NODES;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

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
    /// Draw traffic against residue into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
