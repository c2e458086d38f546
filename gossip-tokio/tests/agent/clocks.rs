//! Agents whose wall clock is wrong, as real processes: nothing that was written is lost, also across restarts.
//!
//! Takes libfaketime: Debian's package `libfaketime`, or what PyPI's `libfaketime` builds, named by `LIBFAKETIME`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{AGENT, Agent, Place, until};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The one whose clock is wrong.
const WRONG: usize = 1;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Returns the library that lets a process see another time.
fn library() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LIBFAKETIME") {
        return Some(named.into());
    }
    let places = [PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")];
    let within = places.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let all: Vec<PathBuf> = within.chain(places.clone()).map(|at| at.join("faketime/libfaketimeMT.so.1")).collect();
    all.into_iter().find(|path| path.exists())
}

/// Three agents with data files, each with a wall clock that can be set.
struct Three {
    place: Place,
    library: PathBuf,
    agents: Vec<Option<Agent>>,
    written: Vec<String>,
}

impl Three {
    fn start(test: &str, library: PathBuf) -> Self {
        let mut three = Self { place: Place::new(test), library, agents: Vec::new(), written: Vec::new() };
        for at in 0..NAMES.len() {
            three.set_clock(at, 0);
            let agent = three.process(at);
            three.agents.push(Some(agent));
        }
        three.all_alive();
        three
    }

    /// Sets the wall clock of an agent so many seconds ahead.
    fn set_clock(&self, at: usize, ahead: i64) {
        let file = self.place.file(&format!("{}.time", NAMES[at]));
        // At once: the agent reads the file whenever it looks at the clock.
        fs::write(format!("{file}.new"), format!("{ahead:+}\n")).unwrap();
        fs::rename(format!("{file}.new"), file).unwrap();
    }

    fn process(&self, at: usize) -> Agent {
        let (place, name) = (&self.place, NAMES[at]);
        let mut command = Command::new(AGENT);
        command.args(["--bind", "127.0.0.1:0", "--log", "error", "--json", "--name", name]);
        command.args([
            "--control",
            &place.file(&format!("{name}.sock")),
            "--data",
            &place.file(&format!("{name}.data")),
        ]);
        command.args(["--config", &place.file("config.toml")]);
        for agent in self.agents.iter().flatten() {
            command.args(["--join", agent.address()]);
        }
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_NO_CACHE", "1").env("NO_FAKE_STAT", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Agent::start(command.env("FAKETIME_TIMESTAMP_FILE", place.file(&format!("{name}.time"))))
    }

    fn agent(&self, at: usize) -> &Agent {
        self.agents[at].as_ref().expect("it runs")
    }

    fn all_alive(&self) {
        for agent in self.agents.iter().flatten() {
            NAMES.iter().for_each(|name| agent.await_status(name, "alive"));
        }
    }

    /// Each writes a value, and overwrites one of another's.
    fn write(&mut self, when: &str) {
        for (at, name) in NAMES.iter().enumerate() {
            let own = format!("{when}/{name}");
            assert_eq!(self.agent(at).ask(&["put", &own, &own])[0]["written"], *own);
            self.written.push(own);
            let shared = format!("shared/{at}");
            let put = self.agent((at + 1) % NAMES.len()).ask(&["put", &shared, when]);
            assert_eq!(put[0]["written"], *shared);
        }
    }

    /// Waits until all hold everything that was ever written, and of what was overwritten the last.
    fn all_have(&self, when: &str) {
        for (at, name) in NAMES.iter().enumerate() {
            for written in &self.written {
                until(&format!("{written} at {name}"), || {
                    self.agent(at).value(written).filter(|value| value == written)
                });
            }
            for shared in (0..NAMES.len()).map(|of| format!("shared/{of}")) {
                until(&format!("{shared} of {when} at {name}"), || {
                    self.agent(at).value(&shared).filter(|value| value == when)
                });
            }
        }
    }

    /// Kills an agent when its file has what was written last, and starts it again. It has everything before it hears of others.
    fn restart(&mut self, at: usize, when: &str) {
        let data = self.place.file(&format!("{}.data", NAMES[at]));
        let last = format!("{when}/{}", NAMES[NAMES.len() - 1]);
        until("the value in the file", || {
            let bytes = fs::read(&data).unwrap();
            bytes.windows(last.len()).any(|bytes| bytes == last.as_bytes()).then_some(())
        });
        let mut agent = self.agents[at].take().expect("it runs");
        agent.child.kill().unwrap();
        agent.end();
        let refused = |path: &Path| path.to_string_lossy().contains("damaged");
        let agent = self.process(at);
        for written in &self.written {
            assert_eq!(agent.value(written).as_deref(), Some(&**written), "{} after its restart", NAMES[at]);
        }
        let files = fs::read_dir(&self.place.0).unwrap().flatten().map(|entry| entry.path());
        assert_eq!(files.filter(|path| refused(path)).count(), 0, "no data file is refused");
        self.agents[at] = Some(agent);
        self.all_alive();
    }
}

/// A clock is `ahead` from some time on. `set_right`: the time after which it is right again, and whether the agent is
/// restarted before.
fn story(test: &str, ahead: i64, set_right: Option<(Duration, bool)>) {
    let Some(library) = library() else {
        println!("left out: there is no libfaketime; LIBFAKETIME names it");
        return;
    };
    let mut three = Three::start(test, library);
    three.write("before");
    three.all_have("before");
    three.set_clock(WRONG, ahead);
    thread::sleep(Duration::from_millis(500));
    three.write("meanwhile");
    match set_right {
        None => three.all_have("meanwhile"),
        Some((time, restarts)) => {
            thread::sleep(time);
            if restarts {
                three.all_have("meanwhile");
                three.restart(WRONG, "meanwhile");
                three.write("restarted");
                three.all_have("restarted");
            }
            three.set_clock(WRONG, 0);
            thread::sleep(Duration::from_millis(500));
        }
    }
    three.write("after");
    three.all_have("after");
    for at in 0..NAMES.len() {
        three.restart(at, "after");
    }
    three.write("in the end");
    three.all_have("in the end");
}

#[test]
#[ignore = "takes libfaketime"]
fn a_clock_thirty_seconds_ahead_loses_nothing() {
    story("ahead", 30, None);
}

#[test]
#[ignore = "takes libfaketime"]
fn a_clock_an_hour_ahead_for_two_seconds_loses_nothing() {
    story("glitch", HOUR, Some((Duration::from_secs(2), false)));
}

#[test]
#[ignore = "takes libfaketime"]
fn a_clock_an_hour_ahead_until_it_is_set_right_loses_nothing() {
    story("hour", HOUR, Some((Duration::from_secs(20), true)));
}

#[test]
#[ignore = "takes libfaketime"]
fn a_clock_eight_days_behind_until_it_is_set_right_loses_nothing() {
    story("behind", -8 * DAY, Some((Duration::from_secs(20), true)));
}
