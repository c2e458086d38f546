//! The life of agents: meeting, sharing, dying, returning, leaving; what outlives them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{AGENT, Agent, Place, json, text, until};

#[test]
fn three_agents_meet_share_die_return_and_leave() {
    let place = Place::new("three");
    let data = place.file("b.data");
    let mut a = place.start("a", &[]);
    let seed = format!("localhost:{}", a.address().rsplit_once(':').unwrap().1);
    let mut b = place.start("b", &["--join", &seed, "--data", &data]);
    let mut c = place.start("c", &["--join", a.address(), "--join", b.address()]);
    for agent in [&a, &b, &c] {
        for name in ["a", "b", "c"] {
            agent.await_status(name, "alive");
        }
    }

    assert_eq!(a.ask(&["put", "config/limit", "10"])[0]["written"], "config/limit");
    until("the value elsewhere", || c.value("config/limit").filter(|value| value == "10"));
    until("the value in the file", || {
        let bytes = fs::read(&data).unwrap();
        bytes.windows(12).any(|bytes| bytes == b"config/limit").then_some(())
    });

    b.child.kill().unwrap();
    b.end();
    a.await_status("b", "dead");
    c.await_status("b", "dead");
    // Whoever says that it is gone for good can be wrong.
    let gone = b.started["id"].as_str().unwrap().to_owned();
    assert_eq!(a.ask(&["forget", &gone])[0]["forgotten"], *gone);
    c.await_status("b", "left");

    // It knows what it knew, and whom: nobody need tell it where the others are.
    let id = b.started["id"].clone();
    b = place.start("b", &["--data", &data]);
    assert_eq!(b.started["id"], id);
    assert_eq!(b.value("config/limit").as_deref(), Some("10"), "before anybody can have told it");
    a.await_status("b", "alive");
    b.await_status("c", "alive");
    b.ask(&["delete", "config/limit"]);
    until("the deletion elsewhere", || c.value("config/limit").is_none().then_some(()));

    assert_eq!(b.ask(&["leave"])[0]["left"], true);
    assert_eq!(b.end().code(), Some(0));
    assert!(!Path::new(&b.control).exists());
    a.await_status("b", "left");
    c.signal("-TERM");
    assert_eq!(c.end().code(), Some(0));
    a.await_status("c", "left");
    a.signal("-INT");
    assert_eq!(a.end().code(), Some(0));
}

#[test]
fn an_agent_runs_on_when_nobody_reads_it_or_writes_to_it() {
    let place = Place::new("alone");
    let mut agent = place.start("a", &[]);
    drop((agent.child.stdin.take(), agent.child.stdout.take()));
    agent.ask(&["put", "a name", "some", "words"]);
    assert_eq!(agent.value("a name").as_deref(), Some("some words"));
    assert_eq!(agent.ask(&["get", "nosuch"]), Vec::<Value>::new());
    assert!(agent.ask(&["stats"])[0]["driver"]["turns"].as_u64().unwrap() > 0);
    assert_eq!(agent.child.try_wait().unwrap(), None);
}

#[test]
fn watching_from_another_terminal_sees_what_happens() {
    let place = Place::new("watch");
    let a = place.start("a", &[]);
    let mut watch = Command::new(AGENT)
        .args(["ctl", "--control", &a.control, "--json", "watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| json(&line.unwrap()));
    // Until it watches, there is nothing to be seen.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let control = a.control.clone();
    let writer = thread::spawn(move || {
        for round in 0.. {
            let value = format!("{round}");
            let put = ["ctl", "--control", &control, "put", "key", &value];
            assert!(Command::new(AGENT).args(put).output().unwrap().status.success());
            if stopped.recv_timeout(Duration::from_millis(100)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    // Where a write came before the watcher, the state is told first, which does not say who wrote it.
    let entry = events.find(|event| event["event"] == "entry" && !event["by"].is_null()).unwrap();
    assert_eq!((&entry["name"], &entry["owner"], &entry["by"]), (&"key".into(), &Value::Null, &a.started["id"]));
    drop(stop);
    writer.join().unwrap();

    let b = place.start("b", &["--join", a.address()]);
    let member = events.find(|event| event["event"] == "member" && event["status"] == "alive").unwrap();
    assert_eq!((&member["id"], &member["address"]), (&b.started["id"], &b.started["address"]));
    b.ask(&["broadcast", "hello", "all"]);
    let message = events.find(|event| event["event"] == "broadcast").unwrap();
    assert_eq!((&message["value"], &message["name"]), (&"hello all".into(), &"b".into()));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn answers_are_tables_for_people_and_bare_where_they_are_piped() {
    let place = Place::new("tables");
    let a = place.start("a", &[]);
    let long = "x".repeat(200);
    for (name, value) in [("a/short", "1"), ("a/long", &*long), ("a/evil", "\x1b[2J")] {
        assert!(a.ctl(&["put", name, value]).status.success());
    }
    let said = |words: &[&str]| {
        let output = a.ctl(words);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        text(&output.stdout).to_owned()
    };
    let list = said(&["list", "a/"]);
    let expected = format!("NAME     VALUE\na/evil   \\u{{1b}}[2J\na/long   {long}\na/short  1\n");
    assert_eq!(list, expected, "aligned, whole where it is piped, harmless");
    assert_eq!(said(&["get", "a/long"]), format!("{long}\n"));
    assert!(said(&["members"]).starts_with("NAME  ID                STATUS  ADDRESS\na     "));
    let stats = said(&["stats"]);
    assert!(stats.contains("\ndatagrams sent ") && stats.lines().all(|line| line.len() <= 80), "{stats}");

    let output = a.ctl(&["get", "nosuch"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    assert_eq!(text(&output.stderr), "gossip-agent: there is no entry nosuch\n");
    for wrong in [&["nosuch"][..], &["get"], &["put", "x"], &["get", "a", "b"]] {
        let output = a.ctl(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.contains(&0x1b), "no colour where nobody sees it");
    }
}

#[test]
fn an_entry_of_any_length_is_listed() {
    let place = Place::new("long");
    let mut a = place.start("a", &[]);
    for length in [65_535, 65_536, 1_000_000] {
        let value = "x".repeat(length);
        // Longer than an argument may be.
        fs::write(place.0.join("value"), &value).unwrap();
        let written = a.ask(&["put", "long", "--file", &place.file("value")]);
        assert_eq!(written[0]["written"], "long");
        let list = a.ctl(&["list"]);
        assert_eq!(text(&list.stdout), format!("NAME  VALUE\nlong  {value}\n"));
    }
    assert_eq!(a.child.try_wait().unwrap(), None, "it runs on");
}

#[test]
fn agents_that_share_a_key_meet_and_nobody_else_is_heard() {
    let place = Place::new("keys");
    let (old, new) = ("0a".repeat(32), "0b".repeat(32));
    let first = place.key("first", &format!("{old}\n"));
    let second = place.key("second", &format!("# The new one is used as soon as all have it.\n{new}\n{old}\n"));
    let both = place.key("both", &format!("{old}\n{new}\n"));
    let a = place.start("a", &["--key-file", &both]);
    let b = place.start("b", &["--key-file", &second, "--join", a.address()]);
    let plain = place.start("plain", &["--join", a.address()]);
    a.await_status("b", "alive");
    b.await_status("a", "alive");
    b.ask(&["put", "secret", "value"]);
    until("the secret", || a.value("secret"));
    until("the refusals", || (a.ask(&["stats"])[0]["node"]["datagrams_foreign"].as_u64().unwrap() > 3).then_some(()));
    assert_eq!((plain.ask(&["members"]).len(), plain.value("secret")), (1, None));
    assert_eq!(a.ask(&["members"]).len(), 2);
    let half = place.start("half", &["--key-file", &first, "--join", a.address()]);
    until("what the first key opens", || half.value("secret"));
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    let place = Place::new("refused");
    let config = place.file("bad.toml");
    let with = |config_text: &str| {
        fs::write(&config, config_text).unwrap();
        place.refused(&["--config", &config])
    };
    let cases = [
        (with("nosuch = 1"), "bad.toml", "nosuch"),
        (with("[protocol.rumor]\nfnaout = 1"), "bad.toml", "fnaout"),
        (with("[protocol.probe]\nperiod = \"1 fortnight\""), "bad.toml", "1 fortnight"),
        (with("[protocol.probe]\nalpha = 0"), "bad.toml", "protocol.probe.alpha is 0"),
        (place.refused(&["--config", &place.file("none.toml")]), "none.toml", "No such file"),
        (place.refused(&["--nosuch"]), "--nosuch", "unexpected"),
        (place.refused(&["--key-file", &place.file("none.key")]), "none.key", "No such file"),
        (place.refused(&["--key-file", &place.key("short.key", "# mine\n00ff\n")]), "short.key", "line 2: a key is 64"),
        (place.refused(&["--key-file", &place.key("empty.key", "# none\n\n")]), "empty.key", "no key"),
        (place.refused(&["--join", "somewhere"]), "somewhere", "HOST:PORT"),
        (place.refused(&["--bind", "0.0.0.0:0"]), "0.0.0.0", "advertise"),
        (place.refused(&["--advertise", "0.0.0.0:7"]), "0.0.0.0:7", "advertised"),
        (place.refused(&["--log", "loud,quiet=very"]), "--log", "quiet=very"),
    ];
    for ((said, code), named, reason) in cases {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named) && said.contains(reason), "{said}");
    }

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(AGENT).args(["--bind", &address]).env("GOSSIP_AGENT_CONTROL", place.file("t")).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address));
    let (said, code) = place.refused(&["--data", &place.file("nosuch/data")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("nosuch/data"), "{said}");
}

#[test]
fn a_control_socket_that_is_stale_is_replaced_and_one_that_lives_is_not() {
    let place = Place::new("control");
    let mut a = place.start("a", &[]);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&a.control), 0o600);
    let (said, code) = place.refused(&["--control", &a.control]);
    assert_eq!(code, Some(1));
    assert!(said.contains("another agent answers at") && said.contains(&a.control), "{said}");
    assert_eq!(a.sees("a").as_deref(), Some("alive"), "the first is unharmed");

    a.child.kill().unwrap();
    a.end();
    assert!(Path::new(&a.control).exists());
    let output = a.ctl(&["members"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no agent answers at"));
    a = place.start("a", &[]);
    assert_eq!(a.sees("a").as_deref(), Some("alive"));

    let file = place.file("precious");
    fs::write(&file, "text").unwrap();
    let (said, code) = place.refused(&["--control", &file]);
    assert_eq!((code, &*fs::read_to_string(&file).unwrap()), (Some(1), "text"));
    assert!(said.contains("precious"), "{said}");
}

#[test]
fn agents_that_are_told_no_control_socket_do_not_get_into_each_others_way() {
    let place = Place::new("sockets");
    let start = || {
        let mut command = Command::new(AGENT);
        command.args(["--bind", "127.0.0.1:0", "--log", "warn", "--json"]);
        Agent::start(command.env("XDG_RUNTIME_DIR", &place.0).env_remove("GOSSIP_AGENT_CONTROL"))
    };
    let (mut first, second, third) = (start(), start(), start());
    let names = ["gossip-agent.sock", "gossip-agent.2.sock", "gossip-agent.3.sock"];
    for (agent, name) in [&first, &second, &third].into_iter().zip(names) {
        assert_eq!(agent.control, place.file(name));
        assert_eq!(agent.ask(&["members"])[0]["id"], agent.started["id"]);
    }
    first.ask(&["leave"]);
    first.end();
    assert_eq!(start().control, first.control, "what is free is taken again");
}

#[test]
fn data_that_cannot_be_used_is_set_aside_and_told() {
    let place = Place::new("data");
    let data = place.file("data");
    let aside = |number: usize| {
        let names = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let found: Vec<_> = names.filter(|name| name.starts_with("data.damaged-")).collect();
        assert_eq!(found.len(), number, "{found:?}");
        found
    };
    fs::write(&data, "something else").unwrap();
    let mut a = place.start("a", &["--data", &data]);
    assert_eq!(fs::read_to_string(place.file(&aside(1)[0])).unwrap(), "something else");
    a.ask(&["put", "name", "value"]);
    a.ask(&["leave"]);
    assert_eq!(a.end().code(), Some(0));

    a = place.start("a", &["--data", &data]);
    assert_eq!(a.value("name").as_deref(), Some("value"), "what was written on exit");
    drop(a);
    fs::remove_file(place.file(&aside(1)[0])).unwrap();
    let elsewhere = place.start("a", &["--data", &data, "--label", "another cluster"]);
    assert_eq!(elsewhere.value("name"), None);
    assert_eq!(elsewhere.ask(&["info"])[0]["alerts"][0]["kind"], "restored-with-loss");
    aside(1);

    let (said, code) = place.refused(&["--data", &data]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("in use by process {}", elsewhere.child.id())), "{said}");
}

#[test]
fn what_was_answered_before_the_process_is_killed_is_there_again() {
    let place = Place::new("killed");
    let data = place.file("data");
    for (round, sync) in [(0, true), (1, true), (2, false)] {
        let args: &[&str] = if sync { &["--data", &data, "--sync"] } else { &["--data", &data] };
        let mut a = place.start("a", args);
        for before in 0..round {
            assert_eq!(a.value(&format!("{before}")).as_deref(), Some("value"));
        }
        a.ask(&["put", &format!("{round}"), "value"]);
        if !sync {
            thread::sleep(Duration::from_millis(100));
        }
        a.child.kill().unwrap();
        a.end();
    }
    let a = place.start("a", &["--data", &data]);
    assert_eq!(a.ask(&["list"]).len(), 3);
    let (said, code) = place.refused(&["--sync"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--data"), "{said}");
}

#[test]
fn a_disk_that_is_full_is_told_and_written_again_when_there_is_room() {
    let place = Place::new("full");
    let data = place.file("data");
    // A limit for the length of files is as good as a small disk, and needs no root. It can be raised from outside.
    let prlimit = |words: &[&str]| Command::new("prlimit").args(words).output();
    if !prlimit(&["--fsize"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no prlimit");
        return;
    }
    let script = format!(
        "trap '' XFSZ; ulimit -S -f 600; exec {AGENT} --bind 127.0.0.1:0 --log off --json --name a --control {} --data {data} --config {}",
        place.file("a.sock"),
        place.file("config.toml")
    );
    let a = Agent::start(Command::new("sh").args(["-c", &script]));
    let value = "x".repeat(60_000);
    let alerts = || a.ask(&["info"])[0]["alerts"].to_string();
    let mut written = 0;
    until("the full disk", || {
        a.ask(&["put", &format!("{written}"), &value]);
        written += 1;
        alerts().contains("\"storage\"").then_some(())
    });
    assert!((3..40).contains(&written), "{written} values of 60 kB");
    // What does not fit is not there by half: a copy is what the next process would read.
    fs::copy(&data, place.file("copy")).unwrap();
    let mut command = Command::new(AGENT);
    command.args(["--bind", "127.0.0.1:0", "--log", "off", "--json", "--name", "a", "--data", &place.file("copy")]);
    command.args(["--control", &place.file("copy.sock"), "--config", &place.file("config.toml")]);
    let copy = Agent::start(&mut command);
    let held = copy.ask(&["list"]).len();
    assert!(held > 0 && held < written, "{held} of {written}");
    assert!(!copy.ask(&["info"])[0]["alerts"].to_string().contains("loss"), "an unfinished write is no damage");
    assert_eq!(a.ask(&["list"]).len(), written, "the node works without its disk");

    let pid = a.child.id().to_string();
    assert!(prlimit(&["--pid", &pid, "--fsize=unlimited"]).unwrap().status.success());
    until("room", || (!alerts().contains("\"storage\"")).then_some(()));
    drop((a, copy));
    let again = place.start("a", &["--data", &data]);
    assert_eq!(again.ask(&["list"]).len(), written);
}

/// Starts what follows in a terminal, closes that when the process has said a line, and ends with its exit code.
const TERMINAL: &str = "
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'Ctrl-C leaves' not in said:
    said += os.read(terminal, 4096)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn a_terminal_that_is_closed_ends_its_agent_not_without_leaving_and_saving() {
    let place = Place::new("terminal");
    let seed = place.start("seed", &[]);
    let (data, control) = (place.file("data"), place.file("b.sock"));
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, AGENT, "--bind", "127.0.0.1:0", "--name", "b", "--control", &control]);
    command.args(["--data", &data, "--config", &place.file("config.toml"), "--join", seed.address()]);
    match command.status() {
        Ok(status) => assert_eq!(status.code(), Some(0)),
        Err(error) => return eprintln!("skipped: there is no python3: {error}"),
    }
    seed.await_status("b", "left");
    assert!(fs::metadata(&data).unwrap().len() > 0 && fs::metadata(&control).is_err());
}

/// Processor time of a process so far, all threads together.
fn processor_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanos = threads.map(|thread| {
        let stat = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory in kB: all, and what is no file's.
fn resident(process: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    ["VmRSS", "RssAnon"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

/// CONTRIBUTING has the commands that build the agent as it is released and measure that.
#[test]
#[ignore = "watches ten idle agents for more than two minutes"]
fn an_idle_agent_with_everything_on_costs_no_tenth_more_than_one_with_nothing() {
    let place = Place::new("everything");
    fs::write(place.file("config.toml"), "[protocol]\npreset = \"lan\"\n").unwrap();
    let first = place.start("0", &[]);
    let with = |n: usize| {
        let (name, data) = (n.to_string(), place.file(&format!("{n}.data")));
        let all = ["--http", "127.0.0.1:0", "--data", &data, "--tag", "role=db"];
        place.start(&name, &[&["--join", first.address()][..], if n % 2 == 1 { &all } else { &[] }].concat())
    };
    let others: Vec<_> = (1..10).map(with).collect();
    for agent in others.iter().chain([&first]) {
        until("ten members", || (agent.ask(&["members"]).len() == 10).then_some(()));
    }
    // Until the rumors have cooled, and each has pinged most of the others.
    thread::sleep(Duration::from_secs(25));
    let agents: Vec<_> = [&first].into_iter().chain(&others).map(|agent| agent.child.id()).collect();
    let before: Vec<_> = agents.iter().map(|agent| processor_time(*agent)).collect();
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(120));
    let seconds = begun.elapsed().as_secs_f64();
    let spent: Vec<_> = agents.iter().zip(before).map(|(agent, before)| processor_time(*agent) - before).collect();
    let mean = |all: usize| {
        let times = spent.iter().skip(all).step_by(2);
        times.clone().sum::<Duration>().as_secs_f64() * 1e6 / times.count() as f64 / seconds
    };
    let [nothing, everything] = [mean(0), mean(1)];
    let [[bare, _], [all, own]] = [resident(agents[2]), resident(agents[1])];
    let ratio = everything / nothing;
    eprintln!(
        "an idle agent among ten, with everything on: {everything:.0} us of processor per second, {ratio:.2} times that of one with \
         nothing on ({nothing:.0} us), {all} kB resident ({own} kB its own; {bare} kB with nothing on)"
    );
    assert!(option_env!("GOSSIP_AGENT").is_none() || all <= 6 * 1_024, "{all} kB");
    assert!(ratio <= 1.1, "{everything:.0} us against {nothing:.0} us");
}

#[test]
#[ignore = "watches ten idle agents for more than a minute"]
fn an_idle_agent_among_ten_costs_next_to_nothing() {
    let place = Place::new("idle");
    fs::write(place.file("config.toml"), "[protocol]\npreset = \"lan\"\n").unwrap();
    let first = place.start("0", &[]);
    let others: Vec<_> = (1..10).map(|n| place.start(&n.to_string(), &["--join", first.address()])).collect();
    for agent in others.iter().chain([&first]) {
        until("ten members", || (agent.ask(&["members"]).len() == 10).then_some(()));
    }
    // Until the rumors have cooled.
    thread::sleep(Duration::from_secs(15));
    let agents = || others.iter().chain([&first]).map(|agent| agent.child.id());
    let before: Vec<_> = agents().map(processor_time).collect();
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(60));
    let seconds = begun.elapsed().as_secs_f64();
    let spent: Vec<_> = agents().zip(before).map(|(process, before)| processor_time(process) - before).collect();
    let mean = spent.iter().sum::<Duration>().as_secs_f64() * 1e6 / spent.len() as f64 / seconds;
    let [all, own] = resident(first.child.id());
    eprintln!("an idle agent among ten: {mean:.0} us of processor per second, {all} kB resident, {own} kB its own");
    // Most of what is resident is code, of which there is more without optimisation.
    assert!(mean < 500.0 && (cfg!(debug_assertions) || all < 5_000), "{mean:.0} us, {all} kB");
}
