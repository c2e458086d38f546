//! Every command and every flag with every kind of argument that is none, and with nobody who reads what it says.
//!
//! The tables are compared with what the program itself lists, so that a new command or flag cannot be left out.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{AGENT, Agent, Place, json, text};

/// Place of the argument that is wrong.
const BAD: &str = "BAD";
/// Longest argument that a system passes to a program, nearly: 128 KiB.
const LONG: usize = 120_000;
/// A command that goes on until somebody ends it has started by then.
const STARTED: Duration = Duration::from_millis(200);

/// Commands of `ctl`, one row for each argument that may be wrong.
const COMMANDS: &[&[&str]] = &[
    &["info", "--wait-healthy", BAD],
    &["info", BAD],
    &["members", "--status", BAD],
    &["members", "--name", BAD],
    &["members", "--tag", BAD],
    &["reachability", BAD],
    &["rtt", BAD],
    &["rtt", "a", BAD],
    &["get", BAD],
    &["get", "--of", BAD, "x"],
    &["put", BAD, "x"],
    &["put", "--own", BAD, "x"],
    &["put", "--ttl", BAD, "x", "x"],
    &["put", "--file", BAD, "x"],
    &["delete", BAD],
    &["list", BAD],
    &["list", "--of", BAD],
    &["broadcast", "--name", BAD, "x"],
    &["query", BAD],
    &["query", "--to", BAD, "x"],
    &["query", "--tag", BAD, "x"],
    &["query", "--timeout", BAD, "x"],
    &["send", BAD, "x"],
    &["join", BAD],
    &["forget", BAD],
    &["watch", BAD],
    &["tags", "set", BAD],
    &["tags", "delete", BAD],
    &["tags", BAD],
    &["monitor", "--log-level", BAD],
    &["keys", "add", "--file", BAD],
    &["keys", "use", BAD],
    &["keys", "remove", BAD],
    &["keys", "rotate", "--file", BAD],
    &["keys", "rotate", "--timeout", BAD, "--file", "/dev/null"],
    &["keys", BAD],
    &["stats", BAD],
    &["leave", BAD],
];

/// Flags of a start that take a value.
const FLAGS: &[&str] = &[
    "--config",
    "--bind",
    "--advertise",
    "--join",
    "--name",
    "--tag",
    "--label",
    "--key-file",
    "--data",
    "--log",
    "--log-format",
    "--http",
    "--http-token-file",
    "--control",
];

/// Arguments that are no text, no name, or no end.
fn bad() -> Vec<(&'static str, Option<OsString>)> {
    let binary: Vec<u8> = (1..=255).collect();
    vec![
        ("missing", None),
        ("empty", Some(OsString::new())),
        ("no text", Some(OsString::from_vec(vec![0xff, 0xfe]))),
        ("binary", Some(OsString::from_vec(binary))),
        ("control characters", Some("a\u{1b}[2J\r\nb\u{9b}".into())),
        ("long", Some("x".repeat(LONG).into())),
        ("wide", Some("é".repeat(LONG / 2).into())),
    ]
}

/// Runs a program to its end, or for as long as it takes to start. What it says goes into files: a pipe that nobody reads
/// yet would stop it.
fn run(place: &Place, command: &mut Command) -> Output {
    let [out, error] = ["said.out", "said.error"].map(|name| place.file(name));
    let [stdout, stderr] = [&out, &error].map(|path| File::create(path).unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let endless = command.get_args().any(|word| word == "watch" || word == "monitor");
        if endless && begun.elapsed() > STARTED {
            child.kill().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{command:.200?} does not end");
        thread::sleep(Duration::from_millis(2));
    };
    Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(error).unwrap() }
}

/// Asserts that it has ended as a program should: with an exit code, and a reason that a terminal can show.
fn assert_decent(what: &str, output: &Output, as_json: bool) {
    let said = text(&output.stderr);
    let Some(code) = output.status.code() else {
        // `watch` and `monitor` go on until they are ended.
        assert_eq!((output.status.signal(), said), (Some(9), ""), "{what}");
        return;
    };
    assert!(matches!(code, 0..=2), "{what}: {output:.300?}");
    assert_eq!(said.is_empty(), code == 0, "{what}: {said:.300}");
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{what}: {said:.300?}");
    assert!(!text(&output.stdout).chars().any(|c| c.is_control() && c != '\n'), "{what}: {output:.300?}");
    assert!(said.len() < 3 * LONG, "{what}: {} bytes", said.len());
    if code != 0 && as_json {
        assert_eq!(json(said.trim_end())["exit"], code, "{what}: {said:.300}");
    } else if code != 0 {
        // A command whose own command is missing shows what there is.
        let named = said.starts_with("gossip-agent: ") || said.starts_with("error: ");
        assert!(named || said.contains("\nUsage: gossip-agent"), "{what}: {said:.300}");
    }
}

/// Words of a command with the wrong one in place, or left out.
fn words(row: &[&str], bad: Option<&OsStr>) -> Vec<OsString> {
    row.iter().filter_map(|word| if *word == BAD { bad.map(OsStr::to_owned) } else { Some(word.into()) }).collect()
}

/// An agent whose standard error is kept.
fn logged(place: &Place) -> Agent {
    let mut command = Command::new(AGENT);
    command.args(["--bind", "127.0.0.1:0", "--log", "warn", "--json", "--name", "a", "--tag", "role=db"]);
    command.args(["--control", &place.file("a.sock"), "--config", &place.file("config.toml")]);
    command.args(["--key-file", &place.key("key", &"0a".repeat(32))]);
    command.stderr(File::create(place.file("log")).unwrap());
    Agent::start(&mut command)
}

#[test]
fn every_command_and_flag_with_every_bad_argument_is_refused_and_nothing_else_happens() {
    let place = Place::new("bad-words");
    let mut a = logged(&place);
    let keys = a.ask(&["keys", "list"]);
    let ctl = || {
        let mut command = Command::new(AGENT);
        command.current_dir(&place.0).args(["ctl", "--control", &a.control]);
        command
    };
    for (kind, bad) in bad() {
        for row in COMMANDS {
            // A command that takes no argument is right without one, and this one would end the agent.
            if (row[0], kind) == ("leave", "missing") {
                continue;
            }
            let words = words(row, bad.as_deref());
            for as_json in [false, true] {
                let mut command = ctl();
                command.args(as_json.then_some("--json")).args(&words);
                assert_decent(&format!("{row:?}, {kind}"), &run(&place, &mut command), as_json);
            }
        }
        for flag in FLAGS {
            let mut command = Command::new(AGENT);
            command.current_dir(&place.0).args(["--check", "--control", "never.sock"]).arg(flag).args(&bad);
            let output = run(&place, &mut command);
            assert_decent(&format!("{flag}, {kind}"), &output, false);
            let is_name = matches!(*flag, "--name" | "--tag");
            let must = matches!(kind, "missing" | "no text" | "binary") || (is_name && kind != "empty");
            let is_path = matches!(*flag, "--data" | "--control" | "--config" | "--key-file" | "--http-token-file");
            assert!(output.status.code() != Some(0) || !must || is_path, "{flag}, {kind}: {output:.300?}");
        }
        for row in [&["completions", BAD][..], &["keygen", BAD], &["nosuch", BAD], &[BAD]] {
            let words = words(row, bad.as_deref());
            if !words.is_empty() && words != ["keygen"] {
                assert_decent(&format!("{row:?}, {kind}"), &run(&place, Command::new(AGENT).args(&words)), false);
            }
        }
    }
    // The only one of these that is right: a file may be empty, and so may a value.
    assert_eq!(a.ask(&["list"]).len(), 0, "nothing was written");
    assert_eq!(a.ask(&["list", "--of", "a"]).len(), 0);
    assert_eq!(a.ask(&["keys", "list"]), keys);
    assert_eq!(a.ask(&["members", "--detailed"])[0]["tags"], serde_json::json!({ "role": "db" }));
    assert_eq!(a.child.try_wait().unwrap(), None, "it runs on");
    let log = fs::read_to_string(place.file("log")).unwrap();
    assert!(!log.contains("panicked"), "{log:.2000}");
}

#[test]
fn a_command_that_nobody_reads_ends_without_a_word() {
    let place = Place::new("unread");
    let mut a = logged(&place);
    a.ask(&["put", "x", "1"]);
    let rows: &[&[&str]] = &[
        &["info"],
        &["members"],
        &["members", "--detailed"],
        &["reachability"],
        &["rtt", "nosuch"],
        &["get", "x"],
        &["get", "--raw", "x"],
        &["put", "y", "2"],
        &["delete", "y"],
        &["list"],
        &["broadcast", "x"],
        &["query", "x"],
        &["send", "a", "x"],
        &["join", "nosuch"],
        &["forget", "nosuch"],
        &["watch"],
        &["tags"],
        &["keys", "list"],
        &["stats"],
        &["nosuch"],
        &["monitor"],
    ];
    for row in rows {
        for as_json in [false, true] {
            let mut command = Command::new(AGENT);
            command.args(["ctl", "--control", &a.control]).args(as_json.then_some("--json")).args(*row);
            let closed = || {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer
            };
            let mut child = command.stdin(Stdio::null()).stdout(closed()).stderr(closed()).spawn().unwrap();
            let begun = Instant::now();
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                // It ends at the first line that it cannot write.
                if row == &["monitor"] {
                    a.ask(&["put", "logged", &format!("{:?}", begun.elapsed())]);
                }
                if begun.elapsed() > STARTED && row == &["monitor"] {
                    child.kill().unwrap();
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "{row:?} does not end");
                thread::sleep(Duration::from_millis(5));
            };
            let ended = status.code().is_some_and(|code| matches!(code, 0..=2));
            assert!(ended || row == &["monitor"] && status.signal() == Some(9), "{row:?}: {status}");
        }
    }
    assert_eq!(a.child.try_wait().unwrap(), None, "it runs on");
    assert!(!fs::read_to_string(place.file("log")).unwrap().contains("panicked"));
}

#[test]
fn the_tables_of_bad_arguments_leave_nothing_out() {
    let help = |words: &[&str]| {
        let output = Command::new(AGENT).args(words).arg("--help").output().unwrap();
        text(&output.stdout).to_owned()
    };
    let commands = help(&["ctl"]);
    let named = commands.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named: BTreeSet<&str> = named
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(COMMANDS.iter().map(|row| row[0]).collect::<BTreeSet<_>>(), named);
    let flags = help(&[]);
    let valued: BTreeSet<&str> = flags
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("--") && line.contains(" <"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(FLAGS.iter().copied().collect::<BTreeSet<_>>(), valued);
    assert!(bad().iter().flat_map(|(_, bad)| bad).all(|bad| !bad.as_bytes().contains(&0)));
}
