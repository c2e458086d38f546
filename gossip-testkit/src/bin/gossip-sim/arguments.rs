//! Arguments that several commands share, and the parsers of their values.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use gossip_core::{Config, ConfigFile, Exchange, LossOfInterest, Relay, Response};
use gossip_testkit::Latency;
use gossip_testkit::lab::MAX_NODES;
use gossip_testkit::lab::real::{self, MAX_LOSS, Preset};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use crate::canvas::failure;
use crate::failure::Failure;

/// Parser of one of these words, spelled as in a configuration file.
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

fn relay() -> impl TypedValueParser<Value = Relay> {
    word(["tree", "random"], None)
}

pub(crate) fn loss_of_interest() -> impl TypedValueParser<Value = LossOfInterest> {
    word(["counter", "coin"], None)
}

/// Number of sites of an epidemic in cycles.
#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    /// Number of sites
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_NODES)))]
    pub(crate) nodes: u32,
}

/// Configuration of real nodes, and the network that they run on.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Setup {
    /// The network and the configuration made for it [default: lan, or what
    /// --config names]
    #[arg(long, value_parser = preset())]
    preset: Option<Preset>,
    /// A configuration in TOML, instead of the preset's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The way of news, along links or to random peers, instead of the configuration's
    #[arg(long, value_name = "WAY", value_parser = relay())]
    pub(crate) relay: Option<Relay>,
}

/// A [`Setup`] that has been read.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    /// For titles: `lan`, or the file.
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) latency: Latency,
    /// True if this is what the testkit takes when nothing is said.
    pub(crate) standard: bool,
}

/// The part of a configuration file that says for which network it is.
#[derive(Debug, Default, Deserialize)]
struct Named {
    preset: Option<String>,
}

impl Setup {
    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Real, Failure> {
        let mut real = self.read()?;
        if let Some(relay) = self.relay {
            real.config.rumor.relay = relay;
            real.standard = false;
        }
        Ok(real)
    }

    fn read(&self) -> Result<Real, Failure> {
        let preset = self.preset.unwrap_or(Preset::Lan);
        let Some(path) = &self.config else {
            let (config, latency) = (preset.config(), preset.latency());
            return Ok(Real { name: preset.name().to_owned(), config, latency, standard: preset == Preset::Lan });
        };
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|reason| Failure::File { file: file.clone(), reason })?;
        let refused = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Failure::Config { file: file.clone(), line, reason }
        };
        let ConfigFile { config, removed } = toml::from_str(&text).map_err(refused)?;
        for setting in removed {
            eprintln!("{file}: {setting}");
        }
        let named = toml::from_str::<Named>(&text).unwrap_or_default().preset.and_then(|name| Preset::named(&name));
        let latency = self.preset.or(named).unwrap_or(Preset::Lan).latency();
        Ok(Real { name: file, config, latency, standard: false })
    }
}

/// Size, configuration and losses of a cluster of real nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct Cluster {
    /// Number of nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(real::MAX_NODES)))]
    pub(crate) nodes: u32,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// The share of datagrams that the network loses.
#[derive(Debug, clap::Args)]
pub(crate) struct Loss {
    /// Share of all datagrams that is lost: 0.3, or 30%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(crate) loss: f64,
}

/// Parses a fraction, or a number of per cent.
fn fraction(text: &str, example: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    Ok(number.parse::<f64>().map_err(|_| format!("expected a share such as {example}"))? / unit)
}

/// Parses the share of nodes to reach, which is less than all: that all are reached always, nobody can measure.
pub(crate) fn reach(text: &str) -> Result<f64, String> {
    let share = fraction(text, "0.9999 or 99.99%")?;
    if (0.5..=0.99999).contains(&share) { Ok(share) } else { Err("must be from 50% to 99.999%".to_owned()) }
}

/// Parses a time such as 500ms, 1.5s or 2m.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("expected a time such as 500ms, 1s or 2m".to_owned()),
    } * number.parse::<f64>().map_err(|_| "expected a time such as 500ms, 1s or 2m".to_owned())?;
    if (1e-3..=600.0).contains(&seconds) {
        Ok(Duration::from_micros((seconds * 1e6).round() as u64))
    } else {
        Err("must be from 1ms to 600s".to_owned())
    }
}

/// Parses a share from 0 to 0.9.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = fraction(text, "0.3 or 30%")?;
    if (0.0..=MAX_LOSS).contains(&share) {
        Ok(share)
    } else {
        Err(format!("must be from 0 to {MAX_LOSS}, or {}%", MAX_LOSS * 100.0))
    }
}

/// Writes a share for people.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

fn preset() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(["lan", "wan", "local"]).try_map(|word| Preset::named(&word).ok_or("no preset"))
}

/// Converts a time to milliseconds, if there is one.
pub(crate) fn millis(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}

/// Number of trials of a command.
#[derive(Debug, clap::Args)]
pub(crate) struct Trials {
    /// Number of runs that the figures are the mean of
    #[arg(long, value_name = "T", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) trials: u32,
}

/// The file for the picture of a command.
#[derive(Debug, clap::Args)]
pub(crate) struct Svg {
    /// Draw a picture into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Svg {
    /// Returns the file, if there is to be one, after checking that it can be written.
    pub(crate) fn file(self) -> Result<Option<PathBuf>, Failure> {
        if let Some(file) = &self.svg {
            writable(file).map_err(|error| failure(file, &error))?;
        }
        Ok(self.svg)
    }
}

/// Checks that a file can be written, before there is any work to lose. The file stays what it was, or nothing.
pub(crate) fn writable(file: &Path) -> io::Result<()> {
    let mut options = File::options();
    match options.write(true).create_new(true).open(file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create_new(false).open(file).map(drop),
        created => created.and_then(|_| fs::remove_file(file)),
    }
}
