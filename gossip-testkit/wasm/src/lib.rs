//! The laboratory as a library for a page: requests in, answers out, both JSON.
//!
//! It knows [`Live`] clusters, [`Recording`]s and JSON; it must not know what a page looks like. [`answer`] is all there
//! is, so that a test on the host does what the page does. The exports only move bytes: the caller asks for room with
//! `room`, writes a request there and calls `call`, which leaves the answer behind `answer_at`.

mod machines;

use std::cell::RefCell;
use std::time::Duration;

use gossip_core::{Config, Node};
use gossip_testkit::lab::real::{Detail, Frame, Live, Preset, Start};
use gossip_testkit::lab::recording::Recording;
use gossip_testkit::{Addr, Checker, Command, Latency};
use serde::{Deserialize, Serialize};

/// A request of the page.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Starts a cluster in the place of the one before.
    Start {
        nodes: u32,
        preset: String,
        #[serde(default)]
        config: String,
        #[serde(default)]
        loss: f64,
        /// Mean latency in milliseconds; the preset's own if there is none.
        #[serde(default)]
        latency_ms: Option<f64>,
        seed: u64,
    },
    /// Lets time pass, at most a second at once.
    Run { micros: u64 },
    /// Carries out a command, as scenarios spell it.
    Command { node: u32, command: String },
    Crash { node: u32 },
    Pause { node: u32 },
    Cut { side: Vec<u32> },
    Heal,
    Loss { loss: f64 },
    Detail { node: u32 },
    Scenario,
    /// Runs a scenario again, or a failure on the machine that it names, and writes it down.
    Replay {
        text: String,
        #[serde(default)]
        preset: Option<String>,
        #[serde(default)]
        config: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Started { frame: Frame, analytic: Analytic },
    Frame(Frame),
    Done,
    Detail(Option<Detail>),
    Scenario(String),
    Recording(Box<Recording>),
    Error(String),
}

/// Parameters of the curve that analysis expects: push in rounds, the first to `mail`, every later one to `fanout`.
#[derive(Debug, Serialize)]
struct Analytic {
    round_ms: f64,
    fanout: u32,
    mail: u32,
}

/// State between two requests.
#[derive(Debug, Default)]
pub struct Laboratory {
    live: Option<Live>,
}

impl Laboratory {
    /// Answers a request; an error is an answer, too.
    pub fn answer(&mut self, request: &str) -> String {
        let answer = serde_json::from_str(request).map_err(|error| error.to_string());
        let answer = answer.and_then(|request| self.carry_out(request)).unwrap_or_else(Answer::Error);
        serde_json::to_string(&answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    fn live(&mut self) -> Result<&mut Live, String> {
        self.live.as_mut().ok_or_else(|| "no cluster runs".to_owned())
    }

    fn carry_out(&mut self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Start { nodes, preset, config, loss, latency_ms, seed } => {
                let (config, mut latency) = setup(Some(&preset), &config)?;
                if let Some(ms) = latency_ms {
                    let mean = Duration::from_secs_f64((ms / 1e3).clamp(0.0, 10.0));
                    latency = Latency { base: mean * 3 / 10, mean: mean * 7 / 10 };
                }
                let analytic = analytic(&config, latency);
                let start = Start { nodes, config, latency, loss, seed };
                let live = self.live.insert(Live::new(&start).map_err(|error| error.to_string())?);
                return Ok(Answer::Started { frame: live.frame(), analytic });
            }
            Request::Run { micros } => {
                let live = self.live()?;
                live.run_for(Duration::from_micros(micros.min(1_000_000)));
                return Ok(Answer::Frame(live.frame()));
            }
            Request::Command { node, command } => {
                let command: Command = command.parse().map_err(|error| format!("{error}"))?;
                self.live()?.command(node, command)?;
            }
            Request::Crash { node } => self.live()?.crash_or_restart(node),
            Request::Pause { node } => self.live()?.pause_or_resume(node),
            Request::Cut { side } => self.live()?.partition(&side),
            Request::Heal => self.live()?.heal(),
            Request::Loss { loss } => self.live()?.lose(loss).map_err(|error| error.to_string())?,
            Request::Detail { node } => return Ok(Answer::Detail(self.live()?.detail(node))),
            Request::Scenario => return Ok(Answer::Scenario(self.live()?.scenario())),
            Request::Replay { text, preset, config } => {
                let (config, latency) = setup(preset.as_deref(), &config)?;
                config.check().map_err(|error| error.to_string())?;
                let checker = Checker::<Node<Addr>>::new(config).latency(latency);
                return Ok(Answer::Recording(Box::new(machines::replay(&text, checker)?)));
            }
        }
        Ok(Answer::Done)
    }
}

/// The configuration of a text, or of a preset where there is none, and the network of the preset.
fn setup(preset: Option<&str>, text: &str) -> Result<(Config, Latency), String> {
    let name = preset.unwrap_or("lan");
    let preset = Preset::named(name).ok_or_else(|| format!("no preset is called {name}: local, lan or wan"))?;
    let config = if text.trim().is_empty() {
        preset.config()
    } else {
        toml::from_str(text).map_err(|error| error.message().to_owned())?
    };
    Ok((config, preset.latency()))
}

fn analytic(config: &Config, latency: Latency) -> Analytic {
    let round = config.rumor.relay_delay + latency.base + latency.mean;
    Analytic { round_ms: round.as_secs_f64() * 1e3, fanout: config.rumor.fanout, mail: config.mail.fanout }
}

thread_local! {
    static LABORATORY: RefCell<Laboratory> = RefCell::default();
    static REQUEST: RefCell<Vec<u8>> = RefCell::default();
    static ANSWER: RefCell<String> = RefCell::default();
}

/// The exports. Each has a name that nothing else linked has.
#[allow(unsafe_code)]
mod exports {
    use super::{ANSWER, LABORATORY, REQUEST};

    /// Room for a request of this length; what was there before is gone.
    #[unsafe(no_mangle)]
    extern "C" fn room(length: usize) -> *mut u8 {
        REQUEST.with_borrow_mut(|request| {
            request.clear();
            request.resize(length, 0);
            request.as_mut_ptr()
        })
    }

    /// Answers the request in the room and returns the length of the answer.
    #[unsafe(no_mangle)]
    extern "C" fn call() -> usize {
        let request = REQUEST.with_borrow(|request| String::from_utf8_lossy(request).into_owned());
        let answer = LABORATORY.with_borrow_mut(|laboratory| laboratory.answer(&request));
        let length = answer.len();
        ANSWER.set(answer);
        length
    }

    /// The place of the last answer.
    #[unsafe(no_mangle)]
    extern "C" fn answer_at() -> *const u8 {
        ANSWER.with_borrow(|answer| answer.as_ptr())
    }
}
