//! What holds: the configuration file, the environment, the flags; and what changes while the agent runs.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::{AGENT, Agent, Place, text, until};

/// Text of `--check`, with this environment.
fn check(args: &[&str], environment: &[(&str, &str)]) -> (String, String, Option<i32>) {
    let output = Command::new(AGENT).arg("--check").args(args).envs(environment.iter().copied()).output().unwrap();
    (text(&output.stdout).into(), text(&output.stderr).into(), output.status.code())
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let place = Place::new("settings");
    let file = place.file("all.toml");
    let written = r#"
        name = "from-file"
        bind = "127.0.0.1:1"
        label = "file"
        join = ["file:1"]
        log = "warn"
        http = "127.0.0.1:0"
        [tags]
        role = "db"
        [[handlers]]
        on = ["member"]
        run = ["true"]
        [protocol]
        preset = "wan"
        [protocol.rumor]
        interval = "250ms"
    "#;
    fs::write(&file, written).unwrap();
    let environment =
        [("GOSSIP_AGENT_LABEL", "environment"), ("GOSSIP_AGENT_BIND", "127.0.0.1:2"), ("GOSSIP_AGENT_JOIN", "a:1,b:2")];
    let (shown, said, code) = check(&["--config", &file, "--bind", "127.0.0.1:3"], &environment);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "name = \"from-file\"",
        "bind = \"127.0.0.1:3\"",
        "label = \"environment\"",
        "join = [\"a:1\", \"b:2\"]",
        "role = \"db\"",
        "http = \"127.0.0.1:0\"",
        "timeout = \"30s\"",
        "interval = \"250ms\"",
        "period = \"5s\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    // What is shown is a file that says the same.
    fs::write(&file, &shown).unwrap();
    assert_eq!(check(&["--config", &file], &[]).0, shown);
    let key = place.key("key", &"0a".repeat(32));
    let (shown, _, _) = check(&["--key-file", &key], &[]);
    assert!(shown.starts_with("# keys ") && !shown.contains("0a0a"), "a key is never shown: {shown}");
    for (args, reason) in [
        (&["--http", "0.0.0.0:80"][..], "needs a token"),
        (&["--http", "nonsense"], "nonsense"),
        (&["--name", "a\tb"], "control characters"),
        (&["--name", ""], "empty"),
        (&["--key-file", "/nosuch"], "/nosuch"),
    ] {
        let (_, said, code) = check(args, &[]);
        assert!(code == Some(2) && said.contains(reason), "{args:?}: {said}");
    }
}

#[test]
fn a_hangup_reads_the_settings_again_and_never_ends_the_agent() {
    let place = Place::new("hangup");
    let (old, new) = ("0a".repeat(32), "0b".repeat(32));
    let (keys, log) = (place.key("keys", &old), place.file("handled"));
    let seed = place.start("seed", &["--key-file", &place.key("both", &format!("{old}\n{new}\n"))]);
    let config = place.file("a.toml");
    let write = |more: &str| {
        fs::write(
            &config,
            format!("name = \"a\"\nkeys = {keys:?}\nlog = \"warn\"\n{more}\n[protocol]\npreset = \"local\"\n"),
        )
        .unwrap();
    };
    write("");
    let control = place.file("a.sock");
    let mut command = Command::new(AGENT);
    command.args(["--bind", "127.0.0.1:0", "--json", "--control", &control, "--config", &config]);
    let mut a = Agent::start(command.stderr(Stdio::null()));
    assert_eq!(a.ask(&["members"]).len(), 1);

    let script = format!("echo $GOSSIP_EVENT $GOSSIP_STATUS >> {log}");
    write(&format!(
        "join = [{:?}]\ntags = {{ role = \"db\" }}\nhandlers = [{{ on = [\"member\"], name = \"s*\", run = [\"sh\", \"-c\", {script:?}] }}]",
        seed.address()
    ));
    fs::write(&keys, format!("{new}\n{old}\n")).unwrap();
    a.signal("-HUP");
    seed.await_status("a", "alive");
    until("the tags", || {
        let members = seed.ask(&["members", "--name", "a"]);
        (members.first()?["tags"]["role"] == "db").then_some(())
    });
    assert_eq!(a.ask(&["keys", "list"])[0]["keys"].as_array().unwrap().len(), 2);

    // What is wrong changes nothing.
    fs::write(&config, "nosuch = 1").unwrap();
    a.signal("-HUP");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(a.ask(&["keys", "list"])[0]["keys"].as_array().unwrap().len(), 2);
    drop(seed);
    a.await_status("seed", "dead");
    until("the handler", || fs::read_to_string(&log).ok().filter(|log| log.contains("member dead\n")));
    assert_eq!(a.child.try_wait().unwrap(), None, "it runs on");
    a.signal("-TERM");
    assert_eq!(a.end().code(), Some(0));
}

#[test]
fn a_directory_that_was_left_behind_stops_no_later_start() {
    let place = Place::new("leftover");
    // As in a container, where process ids repeat: whatever id it gets, a directory of that name is there.
    for id in 1..200 {
        fs::create_dir(place.file(&format!("a.{id}"))).unwrap();
    }
    let script = format!("mkdir -p {}; exec {AGENT} --check", place.file("a.$$"));
    assert!(Command::new("sh").args(["-c", &script]).output().unwrap().status.success());
    let start = format!(
        "mkdir {}; exec {AGENT} --bind 127.0.0.1:0 --json --name a --control {}",
        place.file("a.$$"),
        place.file("a.sock")
    );
    let a = Agent::start(Command::new("sh").args(["-c", &start]));
    assert_eq!(a.sees("a").as_deref(), Some("alive"));
}

#[test]
fn the_log_can_be_read_by_programs() {
    let place = Place::new("log");
    let mut command = Command::new(AGENT);
    command.args(["--bind", "127.0.0.1:0", "--log-format", "json", "--control", &place.file("a.sock"), "--name", "a"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("the socket", || fs::metadata(place.file("a.sock")).ok());
    thread::sleep(Duration::from_millis(200));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().map(|output| (output.status, output.stderr));
    let (status, log) = output.unwrap();
    assert_eq!(status.code(), Some(0));
    let lines: Vec<_> = text(&log).lines().map(crate::harness::json).collect();
    assert!(lines.iter().any(|line| line["level"] == "INFO" && line["fields"]["message"] == "leaving"), "{lines:?}");
    assert!(lines.iter().all(|line| line["timestamp"].as_str().unwrap().ends_with('Z')));
}
