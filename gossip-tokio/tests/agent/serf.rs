//! The commands and flags of serf (0.10), each with the one here that does it, run against five agents.
//!
//! Not here: discovery by mDNS (name three seeds), and the RPC protocol (HTTP takes its place).

use std::fs;
use std::process::{Command, Stdio};

use gossip_tokio::gossip_core::Key;

use crate::harness::{AGENT, Place, text, until};

/// Name in serf, the words here, and a part of the answer.
type Row = (&'static str, &'static [&'static str], &'static str);

const TABLE: &[Row] = &[
    ("serf event deploy v2", &["broadcast", "--name", "deploy", "v2"], "sent"),
    ("serf info", &["info"], "agreement"),
    ("serf members", &["members"], "c     "),
    ("serf members -status alive", &["members", "--status", "alive"], "alive"),
    ("serf members -tag role=db", &["members", "--tag", "role=db"], "b  "),
    ("serf members -name c", &["members", "--name", "c"], "c     "),
    ("serf members -detailed", &["members", "--detailed"], "INCARNATION"),
    ("serf members -format json", &["--json", "members"], "\"incarnation\":"),
    ("serf tags -set zone=x", &["tags", "set", "zone=x"], "tags zone=x"),
    ("serf tags -delete zone", &["tags", "delete", "zone"], "tags -"),
    ("serf keys -list", &["keys", "list"], "seals and opens"),
    ("serf keys -list, of all", &["keys", "list", "--all"], "e       "),
    ("serf keys -install", &["keys", "add", "--all", "--file", "NEW"], "a       "),
    ("serf query load", &["query", "load", "now"], "c: load now"),
    ("serf query -node c load", &["query", "--to", "c", "load", "x"], "c: load x"),
    ("serf query -tag role=db load", &["query", "--tag", "role=db", "load"], "b: has no answer"),
    ("serf query -timeout 5s load", &["query", "--timeout", "5s", "load"], "d: has no answer"),
    ("serf query -format json load", &["--json", "query", "load", "now"], "\"value\":\"load now"),
    ("serf rtt c", &["rtt", "c"], "c is "),
    ("serf rtt b c", &["rtt", "b", "c"], "c is "),
    ("serf reachability", &["reachability"], "5 members are reached"),
    ("serf reachability, of all", &["reachability", "--all"], "e       "),
    ("serf keys -use", &["keys", "use", "--all", "ID"], "e       "),
    ("serf keys -remove", &["keys", "remove", "--all", "OLD"], "e       "),
    ("serf keys, all at once", &["keys", "rotate", "--file", "NEXT"], "seals and opens"),
    ("serf join", &["join", "127.0.0.1:1"], "joining through 127.0.0.1:1"),
    ("serf force-leave", &["forget", "e"], "forgotten"),
    ("serf leave", &["leave"], "left"),
];

#[test]
fn every_command_of_serf_has_its_own_here() {
    let place = Place::new("serf");
    let key = place.key("key", &"0a".repeat(32));
    let (seen, sh) = (place.file("seen"), "[\"sh\", \"-c\", \"echo $GOSSIP_TOPIC > ");
    let handler = format!(
        "[[handlers]]\non = [\"broadcast\"]\nname = \"deploy\"\nrun = {sh}{seen}\"]\n\
         [[handlers]]\non = [\"query\"]\nname = \"load\"\nrun = [\"sh\", \"-c\", \"echo $GOSSIP_TOPIC $GOSSIP_VALUE\"]\n"
    );
    let [new, next] = ["0b", "0c"].map(|byte| place.key(byte, &byte.repeat(32)));
    let number = |byte: u8| Key::new([byte; 32]).id().to_string();
    let (old_id, new_id) = (number(0x0a), number(0x0b));
    let said = |word: &'static str| match word {
        "NEW" => new.clone(),
        "NEXT" => next.clone(),
        "ID" => new_id.clone(),
        "OLD" => old_id.clone(),
        word => word.to_owned(),
    };
    let config =
        |handlers: &str| fs::write(place.file("config.toml"), format!("{handlers}[protocol]\npreset = \"local\"\n"));
    // -name, -bind, -log-level, -config-file; -encrypt and -keyring-file; -tag; -event-handler; -join.
    let all = ["--key-file", &key];
    let a = place.start("a", &all);
    let with = |more: &[&'static str]| [&all[..], &["--join", a.address()], more].concat();

    let b = place.start("b", &with(&["--tag", "role=db"]));
    config(&handler).unwrap();
    let c = place.start("c", &with(&[]));
    config("").unwrap();
    let d = place.start("d", &with(&[]));
    let mut e = place.start("e", &with(&[]));
    until("all members", || (c.ask(&["members", "--status", "alive"]).len() == 5).then_some(()));
    until("the tags", || (d.ask(&["members", "--tag", "role=db"]).len() == 1).then_some(()));
    until("all of them everywhere", || (d.ask(&["members", "--status", "alive"]).len() == 5).then_some(()));

    // serf monitor -log-level=debug: what is logged from now on.
    let mut monitor = Command::new(AGENT);
    monitor.args(["ctl", "--control", &d.control, "monitor", "--log-level", "debug"]);
    let mut monitor = monitor.stdout(Stdio::from(fs::File::create(place.file("log")).unwrap())).spawn().unwrap();
    // A value that is there already is not written again, and the first may come before the log is followed.
    let mut value = 0;
    until("the log", || {
        value += 1;
        d.ask(&["put", "logged", &value.to_string()]);
        fs::read_to_string(place.file("log")).is_ok_and(|log| log.contains("entry is written")).then_some(())
    });
    monitor.kill().unwrap();
    monitor.wait().unwrap();

    until("a round trip", || d.ctl(&["rtt", "c"]).status.success().then_some(()));
    until("one between others", || d.ctl(&["rtt", "b", "c"]).status.success().then_some(()));
    for (serf, words, answer) in TABLE {
        if *serf == "serf force-leave" {
            e.child.kill().unwrap();
            e.end();
            d.await_status("e", "dead");
        }
        let words: Vec<String> = words.iter().map(|word| said(word)).collect();
        let output = d.ctl(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{serf}: {output:?}");
        assert!(text(&output.stdout).contains(answer), "{serf}: {}", text(&output.stdout));
    }
    until("the handler", || fs::read_to_string(&seen).is_ok_and(|seen| seen == "deploy\n").then_some(()));
    b.await_status("d", "left");
    b.await_status("e", "left");

    // serf version, keygen, completions.
    for (words, answer) in
        [(&["--version"][..], "gossip-agent "), (&["keygen"], ""), (&["completions", "bash"], "complete")]
    {
        let output = Command::new(AGENT).args(words).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains(answer), "{words:?}: {output:?}");
    }
}
