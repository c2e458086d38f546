//! Agents as processes: started, asked, ended.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The agent of this build, or the one that GOSSIP_AGENT named when the tests were built. What is built for tests has the features
/// that these need in its dependencies, and is larger.
pub(crate) const AGENT: &str = match option_env!("GOSSIP_AGENT") {
    Some(other) => other,
    None => env!("CARGO_BIN_EXE_gossip-agent"),
};

/// Hardly anything takes this long; what does fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Looks again and again until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < LIMIT, "{what} is not to be seen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A directory of the test's own, gone with it.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gossip-agent-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        // One that reacts within seconds.
        fs::write(path.join("config.toml"), "[protocol]\npreset = \"local\"\n").unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// An agent of this name, with the control socket NAME.sock.
    pub(crate) fn start(&self, name: &str, args: &[&str]) -> Agent {
        let control = self.file(&format!("{name}.sock"));
        let mut command = Command::new(AGENT);
        command.args(["--bind", "127.0.0.1:0", "--log", "warn", "--json", "--control", &control]);
        command.args(["--name", name, "--config", &self.file("config.toml")]).args(args);
        Agent::start(&mut command)
    }

    /// A file for keys.
    pub(crate) fn key(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.file(name)
    }

    /// An agent that is not to start: what it said, and its exit code.
    pub(crate) fn refused(&self, args: &[&str]) -> (String, Option<i32>) {
        let mut command = Command::new(AGENT);
        for [flag, value] in [["--bind", "127.0.0.1:0"], ["--log", "off"], ["--control", &self.file("refused.sock")]] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(args);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.stdout.is_empty(), "{output:?}");
        (text(&output.stderr).into(), output.status.code())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) started: Value,
    pub(crate) control: String,
}

impl Agent {
    /// Once it says that it runs.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let started = json(&said);
        assert_eq!(started["event"], "started");
        let control = started["control"].as_str().unwrap().to_owned();
        Self { child, started, control }
    }

    pub(crate) fn address(&self) -> &str {
        self.started["address"].as_str().unwrap()
    }

    /// From another terminal.
    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        Command::new(AGENT).args(["ctl", "--control", &self.control]).args(words).output().unwrap()
    }

    /// The same, for a program.
    pub(crate) fn ask(&self, words: &[&str]) -> Vec<Value> {
        let output = self.ctl(&[&["--json"], words].concat());
        if output.status.success() { text(&output.stdout).lines().map(json).collect() } else { Vec::new() }
    }

    /// Member as this agent sees it.
    pub(crate) fn sees(&self, name: &str) -> Option<String> {
        let members = self.ask(&["members"]);
        let member = members.iter().find(|member| member["name"] == name)?;
        Some(member["status"].as_str().unwrap().to_owned())
    }

    pub(crate) fn await_status(&self, name: &str, status: &str) {
        until(&format!("{name} {status}"), || (self.sees(name)? == status).then_some(()));
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        Some(self.ask(&["get", name]).first()?["value"].as_str()?.to_owned())
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        until("its end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
