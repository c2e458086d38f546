//! What holds: the configuration file, the environment, the flags; and what changes while the agent runs.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{AGENT, Agent, LIMIT, Place, text, until};

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

/// Directories in `place` that agents made for their sockets.
fn left_behind(place: &Place) -> usize {
    let names = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap());
    names.filter(|entry| entry.file_type().unwrap().is_dir()).count()
}

#[test]
fn an_agent_that_is_killed_in_its_first_moments_stops_no_later_start() {
    let place = Place::new("moments");
    // In a namespace of its own every agent is process 2, as in a container.
    let repeats = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let can = Command::new(repeats[0]).args([&repeats[1..], &["true"]].concat()).output();
    let can = can.is_ok_and(|output| output.status.success());
    let mut words = if can { repeats.to_vec() } else { Vec::new() };
    let (control, config) = (place.file("a.sock"), place.file("config.toml"));
    words.extend([AGENT, "--bind", "127.0.0.1:0", "--log", "off", "--name", "a", "--control", &control]);
    words.extend(["--config", &config]);
    // As the time it takes to come up differs, the moments are spread over twice the time it took once.
    let spawn = || -> Child {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).spawn().unwrap()
    };
    let kill = |mut child: Child| {
        // The whole group: what gives it its namespace may not have asked yet to take the agent with it.
        let group = format!("-{}", child.id());
        assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
        child.wait().unwrap();
        fs::remove_file(&control).is_ok()
    };
    let begun = Instant::now();
    let child = spawn();
    while fs::metadata(&control).is_err() {
        assert!(begun.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    assert!(kill(child));
    let mut sockets = 0;
    for moment in 0..60 {
        let child = spawn();
        thread::sleep(took * moment / 30);
        sockets += usize::from(kill(child));
    }
    assert!(sockets > 0, "none got as far as its socket");
    assert!(sockets < 60, "all got as far as their socket");
    println!("{sockets} of 60 had a socket, {} directories are left; process ids repeat: {can}", left_behind(&place));
    words.push("--json");
    let a = Agent::start(Command::new(words[0]).args(&words[1..]));
    assert_eq!(a.sees("a").as_deref(), Some("alive"));
}

#[test]
fn an_agent_without_a_label_warns_once_unless_nobody_else_can_reach_it() {
    let place = Place::new("label");
    let said = |args: &[&str]| {
        let control = place.file("a.sock");
        let mut command = Command::new(AGENT);
        command
            .args(["--log", "warn", "--json", "--control", &control, "--config", &place.file("config.toml")])
            .args(args);
        let mut a = Agent::start(command.stderr(Stdio::piped()));
        thread::sleep(Duration::from_millis(500));
        a.signal("-TERM");
        assert_eq!(a.end().code(), Some(0));
        let mut log = String::new();
        a.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log.lines().filter(|line| line.contains("WARN") && line.contains("this cluster has no label")).count()
    };
    // An address of documentation, which nobody has.
    let open = ["--bind", "0.0.0.0:0", "--advertise", "192.0.2.7:0"];
    assert_eq!(said(&open), 1);
    assert_eq!(said(&[&open[..], &["--label", "production"]].concat()), 0);
    assert_eq!(said(&["--bind", "127.0.0.1:0"]), 0);
}

#[test]
fn two_clusters_that_hear_of_each_other_say_so_and_stay_apart() {
    let place = Place::new("foreign");
    let (a, b) = (place.start("a", &[]), place.start("b", &["--label", "other"]));
    let c = place.start("c", &["--join", a.address(), "--join", b.address(), "--label", "other"]);
    b.await_status("c", "alive");
    let told = |agent: &Agent| {
        let info = agent.ask(&["info"]);
        info.first()?["alerts"].to_string().contains("foreign-cluster").then_some(())
    };
    until("the foreign cluster", || told(&a));
    assert_eq!((a.sees("b"), a.sees("c"), c.sees("a")), (None, None, None));
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
