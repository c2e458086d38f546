//! Every command, with what is right and what is wrong.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{AGENT, Agent, Place, json, text, until};

/// Text of a program without an agent, and its exit code.
fn alone(args: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(AGENT).args(args).output().unwrap();
    (text(&output.stdout).into(), text(&output.stderr).into(), output.status.code())
}

fn with_stdin(agent: &Agent, words: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(AGENT);
    command.args(["ctl", "--control", &agent.control]).args(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may refuse before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn info_says_how_a_node_is_and_waits_until_it_is_well() {
    let place = Place::new("info");
    let a = place.start("a", &[]);
    let info = &a.ask(&["info", "--wait-healthy"])[0];
    assert_eq!((&info["name"], &info["status"], &info["healthy"]), (&"a".into(), &"alive".into(), &true.into()));
    assert_eq!((&info["id"], &info["address"]), (&a.started["id"], &a.started["address"]));
    assert_eq!((&info["version"], &info["members"]["alive"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
    let table = a.ctl(&["info"]);
    assert!(text(&table.stdout).contains("health      healthy\n"), "{}", text(&table.stdout));

    // Nobody is there.
    let lonely = place.start("lonely", &["--join", "127.0.0.1:9"]);
    let output = lonely.ctl(&["info", "--wait-healthy=1s"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("isolated    nobody answers, since 20") && said.contains("check the network"), "{said}");
    assert_eq!(text(&output.stderr), "gossip-agent: the node is not healthy\n");
    lonely.ask(&["join", a.address()]);
    assert_eq!(lonely.ctl(&["info", "--wait-healthy"]).status.code(), Some(0));

    // Two nodes that agree have the same fingerprint at the same cut.
    a.ask(&["put", "x", "1"]);
    until("agreement", || {
        let (one, other) = (a.ask(&["info"])[0].clone(), lonely.ask(&["info"])[0].clone());
        let agree = one["cut"] == other["cut"] && one["fingerprint"] == other["fingerprint"];
        (agree && one["reconciled"].as_u64() > Some(1)).then_some(())
    });
}

#[test]
fn a_share_stays_when_its_agent_is_killed_and_goes_when_it_is_forgotten() {
    let place = Place::new("shares");
    let a = place.start("a", &[]);
    let refused = a.ctl(&["put", "--share", "count", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("nobody is there"), "{}", text(&refused.stderr));
    a.ask(&["put", "--share", "--claim", "count", "1"]);
    assert_eq!(a.ask(&["get", "--share", "count"])[0]["value"], "1");
    let mut b = place.start("b", &["--join", a.address()]);
    b.ask(&["put", "--share", "count", "2"]);
    let id = b.started["id"].as_str().unwrap().to_owned();
    until("both", || (a.ask(&["list", "--share", "count"]).len() == 2).then_some(()));
    b.child.kill().unwrap();
    b.end();
    a.await_status("b", "dead");
    let shares = a.ask(&["list", "--share", "--of", "b"]);
    assert_eq!((&shares[0]["value"], &shares[0]["share"], shares.len()), (&"2".into(), &true.into(), 1));
    // The next process waits until it has been told what it had.
    let b = place.start("b", &["--join", a.address()]);
    b.ask(&["put", "--share", "count", "3"]);
    until("the new value", || (a.ask(&["get", "--share", "--of", "b", "count"])[0]["value"] == "3").then_some(()));
    drop(b);
    a.ask(&["forget", &id]);
    until("its end", || (a.ask(&["list", "--share", "count"]).len() == 1).then_some(()));
    a.ask(&["delete", "--share", "count"]);
    assert_eq!(a.ctl(&["get", "--share", "count"]).status.code(), Some(1));
    assert_eq!(a.ctl(&["put", "--share", "--own", "count", "1"]).status.code(), Some(2));
}

#[test]
fn members_are_sorted_and_chosen() {
    let place = Place::new("members");
    let a = place.start("b", &[]);
    let mut others: Vec<_> = ["db-2", "db-1", "a"].map(|name| place.start(name, &["--join", a.address()])).into();
    until("all", || (a.ask(&["members", "--status", "alive"]).len() == 4).then_some(()));
    until("their names", || {
        let names: Vec<_> = a.ask(&["members"]).iter().map(|member| member["name"].clone()).collect();
        (names == ["a", "b", "db-1", "db-2"]).then_some(())
    });
    assert_eq!(a.ask(&["members", "--name", "db-*"]).len(), 2);
    assert_eq!(a.ask(&["members", "--name", "db-?", "--status", "dead"]).len(), 0);
    let detailed = a.ctl(&["members", "--detailed", "--name", "a"]);
    assert!(text(&detailed.stdout).starts_with("NAME  ID"), "{}", text(&detailed.stdout));
    let header: Vec<_> = text(&detailed.stdout).lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "ID", "STATUS", "ADDRESS", "STARTED", "INCARNATION", "RTT", "TAGS"]);
    until("a round trip", || a.ctl(&["rtt", "db-1"]).status.success().then_some(()));
    assert!(a.ask(&["rtt", "db-1"])[0]["rtt_us"].as_u64().is_some_and(|trip| (1..1_000_000).contains(&trip)));
    assert_eq!(a.ctl(&["rtt", "nosuch"]).status.code(), Some(1));
    assert_eq!(a.ctl(&["reachability"]).status.code(), Some(0));

    // Tags are of the member, and change while it runs.
    let said = others[0].ctl(&["tags", "set", "role=db", "zone=b"]);
    assert_eq!(text(&said.stdout), "tags role=db,zone=b\n");
    let tagged = |tags: &[&str]| a.ask(&[&["members"], tags].concat()).len();
    until("the tags", || (tagged(&["--tag", "role=db"]) == 1).then_some(()));
    assert_eq!((tagged(&["--tag", "zone"]), tagged(&["--tag", "role=db", "--tag", "zone=c"])), (1, 0));
    others[0].ask(&["tags", "delete", "zone"]);
    until("fewer tags", || (tagged(&["--tag", "zone"]) == 0).then_some(()));
    assert_eq!(others[0].ctl(&["tags", "delete", "zone"]).status.code(), Some(1));
    for (bad, reason) in [("role", "KEY=VALUE"), ("=x", "empty"), ("role=\u{1b}[2J", "control character")] {
        let refused = others[0].ctl(&["tags", "set", bad]);
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
        assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
    }

    let mut gone = others.remove(0);
    gone.child.kill().unwrap();
    gone.end();
    a.await_status("db-2", "dead");
    let output = a.ctl(&["reachability"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("3 members are reached\nNAME  ") && text(&output.stdout).contains("db-2"));
    assert_eq!(text(&output.stderr), "gossip-agent: 1 of 4 members are not reached\n");
    assert_eq!(a.ask(&["forget", "db-2"])[0]["forgotten"], gone.started["id"], "by name");
    a.await_status("db-2", "left");
    let refused = a.ctl(&["forget", "nosuch"]);
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(1), "gossip-agent: there is no member nosuch\n"));
}

#[test]
fn entries_are_bytes_may_be_ones_own_and_may_expire() {
    let place = Place::new("entries");
    let a = place.start("a", &[]);
    let binary: Vec<u8> = (0..=255).collect();
    assert!(with_stdin(&a, &["put", "--file", "-", "binary"], &binary).status.success());
    assert_eq!(a.ctl(&["get", "--raw", "binary"]).stdout, binary);
    fs::write(place.file("value"), "from a file\n").unwrap();
    assert!(a.ctl(&["put", "--file", &place.file("value"), "file"]).status.success());
    assert_eq!(a.value("file").as_deref(), Some("from a file\n"));
    // An argument need not be text.
    let odd = OsString::from_vec(vec![b'x', 0xff]);
    let put = Command::new(AGENT).args(["ctl", "--control", &a.control, "put", "odd"]).arg(&odd).status().unwrap();
    assert!(put.success());
    assert_eq!(a.ctl(&["get", "--raw", "odd"]).stdout, [b'x', 0xff]);

    assert!(a.ctl(&["put", "--own", "role", "primary"]).status.success());
    assert_eq!(a.value("role"), None, "nobody else's");
    assert_eq!(a.ask(&["get", "role", "--of", "a"])[0]["value"], "primary");
    let owned = a.ask(&["list", "--of", "*", "role"]);
    assert_eq!((&owned[0]["member"], &owned[0]["value"]), (&"a".into(), &"primary".into()));
    assert!(a.ctl(&["delete", "--own", "role"]).status.success());
    assert_eq!(a.ctl(&["delete", "--own", "role"]).status.code(), Some(1));

    assert!(a.ctl(&["put", "--ttl", "12s", "brief", "1"]).status.success());
    assert_eq!(a.value("brief").as_deref(), Some("1"));
    let short = a.ctl(&["put", "--ttl", "1ms", "brief", "1"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(text(&short.stderr).contains("at least"), "{}", text(&short.stderr));
    until("its end", || a.value("brief").is_none().then_some(()));
}

#[test]
fn watching_begins_with_what_there_is_and_ends_well_when_the_node_leaves() {
    let place = Place::new("watching");
    let mut a = place.start("a", &[]);
    for name in ["config/limit", "other"] {
        a.ask(&["put", name, "1"]);
    }
    let watch = |words: &[&str]| {
        let mut command = Command::new(AGENT);
        command.args(["ctl", "--control", &a.control, "--json", "watch"]).args(words).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let (mut all, mut some) = (watch(&[]), watch(&["config/"]));
    let read = |child: &mut std::process::Child| BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut all_lines, mut some_lines) = (read(&mut all), read(&mut some));
    let state = |lines: &mut std::io::Lines<BufReader<std::process::ChildStdout>>| -> Vec<Value> {
        let told = lines.map(|line| json(&line.unwrap()));
        told.take_while(|told| told["event"] != "watching").collect()
    };
    let names = |told: &[Value]| told.iter().map(|told| told["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&state(&mut all_lines)), ["a", "config/limit", "other"]);
    assert_eq!(names(&state(&mut some_lines)), ["config/limit"]);
    a.ask(&["put", "other", "2"]);
    a.ask(&["put", "config/limit", "2"]);
    // What was written just before may be told again.
    until("the change", || {
        let told = json(&some_lines.next().unwrap().unwrap());
        assert_eq!(told["name"], "config/limit");
        (told["value"] == "2").then_some(())
    });
    a.ask(&["leave"]);
    for (child, lines) in [(&mut all, all_lines), (&mut some, some_lines)] {
        let told: Vec<_> = lines.map(|line| json(&line.unwrap())).collect();
        assert_eq!(told.last().unwrap()["event"], "left");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(a.end().code(), Some(0));
}

#[test]
fn keys_are_made_and_changed_while_the_node_runs() {
    let place = Place::new("key-change");
    let new = || {
        let (key, _, code) = alone(&["keygen"]);
        assert_eq!((code, key.trim_end().len()), (Some(0), 64));
        key
    };
    let (old, new) = (new(), new());
    assert_ne!(old, new);
    let (old, new) = (place.key("old", &old), place.key("new", &new));
    let a = place.start("a", &["--key-file", &old]);
    let b = place.start("b", &["--key-file", &old, "--join", a.address()]);
    a.await_status("b", "alive");
    let keys = |agent: &Agent, words: &[&str]| agent.ask(&[&["keys"], words].concat())[0]["keys"].clone();
    let first = keys(&a, &["list"])[0].to_string();
    for agent in [&a, &b] {
        assert_eq!(keys(agent, &["add", "--file", &new]).as_array().unwrap().len(), 2);
    }
    let second = keys(&a, &["list"])[1].to_string();
    for agent in [&a, &b] {
        assert_eq!(keys(agent, &["use", &second])[0].to_string(), second);
    }
    let used = a.ctl(&["keys", "remove", &second]);
    assert_eq!(used.status.code(), Some(2));
    assert!(text(&used.stderr).contains("in use"));
    for agent in [&a, &b] {
        assert_eq!(keys(agent, &["remove", &first]).as_array().unwrap().len(), 1);
    }
    b.ask(&["put", "sealed", "with the new one"]);
    until("it", || a.value("sealed"));
    assert_eq!(a.ctl(&["keys", "use", &first]).status.code(), Some(1), "there is none");
    let table = a.ctl(&["keys", "list"]);
    assert!(text(&table.stdout).contains("seals and opens"));

    let plain = place.start("plain", &[]);
    let refused = plain.ctl(&["keys", "list"]);
    assert!(text(&refused.stderr).contains("no keyring"), "{refused:?}");
}

#[test]
fn what_is_missing_empty_huge_or_no_text_is_refused_and_nothing_else_happens() {
    let place = Place::new("bad");
    let mut a = place.start("a", &[]);
    let commands = [
        "info",
        "members",
        "reachability",
        "get",
        "put",
        "delete",
        "list",
        "broadcast",
        "join",
        "forget",
        "watch",
        "keys",
        "stats",
        "leave",
    ];
    // An argument too many, or none where one is needed.
    for command in commands {
        let output = a.ctl(&[command, "--nosuch"]);
        let wants_any = matches!(command, "broadcast");
        assert!(output.status.code() == Some(2) || wants_any, "{command}: {output:?}");
    }
    for command in ["get", "put", "delete", "broadcast", "join", "forget", "keys"] {
        let output = a.ctl(&[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{command}");
    }
    // Nothing is called nothing.
    for (words, code) in [
        (&["get", ""][..], 1),
        (&["put", "", "x"], 2),
        (&["delete", ""], 1),
        (&["forget", ""], 1),
        (&["join", ""], 1),
        (&["join", "nosuch"], 1),
        (&["put", "a\nb", "x"], 2),
        (&["put", "a\u{1b}[2J", "x"], 2),
        (&["put", &"n".repeat(256), "x"], 2),
        (&["keys", "use", "300"], 2),
        (&["put", "--file", "/nosuch/file", "x"], 2),
        (&["put", "--file", "/", "x"], 2),
    ] {
        let output = a.ctl(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        let said = text(&output.stderr);
        let ours = said.starts_with("gossip-agent: ") && said.lines().count() == 1;
        assert!(ours || said.starts_with("error: "), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        // The same for a program.
        let output = a.ctl(&[&["--json"], words].concat());
        let object = json(text(&output.stderr).trim_end());
        assert_eq!(object["exit"], code, "{words:?}");
        assert!(object["error"].is_string(), "{object}");
    }
    let (_, said, code) = alone(&["ctl", "--json", "nosuch"]);
    assert_eq!((code, json(said.trim_end())["exit"].as_i64()), (Some(2), Some(2)));
    // Names are text.
    for command in ["get", "delete", "list", "forget", "join", "watch"] {
        let output = Command::new(AGENT)
            .args(["ctl", "--control", &a.control, command])
            .arg(OsString::from_vec(vec![0xff, 0xfe]))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
    // More than any node takes, and more than anybody reads.
    for size in [2 << 20, 64 << 20] {
        let output = with_stdin(&a, &["put", "--file", "-", "huge"], &vec![b'x'; size]);
        assert_eq!(output.status.code(), Some(2), "{size}: {}", text(&output.stderr));
    }
    let message = with_stdin(&a, &["broadcast", &"x".repeat(100_000)], b"");
    assert_eq!(message.status.code(), Some(2));
    assert!(text(&message.stderr).contains("at most"), "{}", text(&message.stderr));
    for key in [&b""[..], b"00ff", &[0xff; 64], &vec![b'0'; 17 << 20]] {
        assert_eq!(with_stdin(&a, &["keys", "add", "--file", "-"], key).status.code(), Some(2));
    }
    assert_eq!(a.ask(&["list"]).len(), 0, "nothing was written");
    assert_eq!(a.child.try_wait().unwrap(), None, "it runs on");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let place = Place::new("pipes");
    let a = place.start("a", &[]);
    for number in 0..200 {
        a.ask(&["put", &format!("entry/{number}"), &"x".repeat(1_000)]);
    }
    let ctl = format!("{AGENT} ctl --control {}", a.control);
    let completions = format!("{AGENT} completions bash");
    for command in [format!("{ctl} list"), format!("{ctl} --json list"), completions, format!("{AGENT} man")] {
        let script = format!("set -o pipefail; {command} | head -n 1");
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{command}: {output:?}");
    }
}

#[test]
fn completions_manual_pages_and_the_version_need_no_agent() {
    let place = Place::new("extras");
    let (version, _, code) = alone(&["--version"]);
    assert_eq!((version, code), (format!("gossip-agent {}\n", env!("CARGO_PKG_VERSION")), Some(0)));
    for (shell, named) in [("bash", "_gossip__agent"), ("zsh", "#compdef"), ("fish", "complete -c gossip-agent")] {
        let (script, _, code) = alone(&["completions", shell]);
        assert!(script.contains(named) && script.contains("keygen") && code == Some(0), "{shell}");
    }
    let (page, _, code) = alone(&["man"]);
    assert!(page.contains(".TH gossip-agent") && page.contains("advertise") && code == Some(0));
    assert_eq!(alone(&["man", &place.file("man")]).2, Some(0));
    assert!(fs::read_to_string(place.file("man/gossip-agent-ctl-members.1")).unwrap().contains("status"));
    assert_eq!(alone(&["completions", "nosuch"]).2, Some(2));
}

#[test]
fn ten_thousand_connections_take_no_more_than_a_few() {
    let place = Place::new("crowd");
    let a = place.start("a", &[]);
    let files = || fs::read_dir(format!("/proc/{}/fd", a.child.id())).unwrap().count();
    let (before, mut most) = (files(), 0);
    // As many at a time as a process may have open here.
    for round in 0..20 {
        let mut held = Vec::new();
        for number in 0..500 {
            // The system lets no more than a queue of them wait.
            let Ok(mut stream) = connect(&a.control) else { break };
            match number % 3 {
                0 => drop(stream.write_all(b"GET /v1/info HTTP/1.1\r\n")),
                1 => drop(stream.write_all(&[0xff; 64])),
                _ => {}
            }
            held.push(stream);
        }
        assert!(held.len() > 100, "round {round}: {}", held.len());
        most = most.max(files());
    }
    assert!(most <= before + 140, "{most} files are open, {before} were before");
    until("an answer", || a.sees("a"));
    until("what they held", || (files() < before + 20).then_some(()));
}

/// Not waiting for room in the queue.
fn connect(path: &str) -> std::io::Result<UnixStream> {
    let (sender, connected) = std::sync::mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || drop(sender.send(UnixStream::connect(path))));
    connected.recv_timeout(Duration::from_millis(500)).map_err(|_| std::io::ErrorKind::TimedOut)?
}

#[test]
fn a_request_that_is_none_is_refused_by_name() {
    let place = Place::new("requests");
    let a = place.start("a", &[]);
    let ask = |request: &[u8]| {
        let mut stream = UnixStream::connect(&a.control).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let post = |body: &str| {
        ask(format!("POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    };
    for body in ["", "{", "[]", "{\"nosuch\":{}}", "{\"get\":{}}", "{\"get\":{\"name\":\"x\",\"more\":1}}"] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("not understood"), "{body}: {answer}");
    }
    assert!(ask(b"GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask(b"\xff\xfe\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 100_000]].concat();
    assert!(ask(&long).starts_with("HTTP/1.1 431 "));
    let huge = b"POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert!(ask(huge).starts_with("HTTP/1.1 413 "));
    assert_eq!(a.sees("a").as_deref(), Some("alive"));
}
