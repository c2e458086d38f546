//! Commands that run real nodes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{explained, number, objects, out, sim};

const SPREAD: &str = "spread --nodes 12";
const IDLE: &str = "idle --nodes 5 --seconds 5";
const JOIN: &str = "join --nodes 8";
const DETECT: &str = "detect --nodes 10 --kill 2 --minutes 1";
const RECONCILE: &str = "reconcile --items 200 --difference 60";
const CHECK: &str = "check --cases 3 --nodes 2..=4";
const ADVISE: &str = "advise --nodes 6 --loss 0.05";

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A scenario in a file of its own.
fn scenario(name: &str, text: &str) -> String {
    let file = temporary(name);
    fs::write(&file, text).expect("the directory for this is there");
    format!("replay {}", file.display())
}

#[test]
fn json_has_one_object_with_the_fields_of_each_command() {
    let commands = [
        (SPREAD, vec!["bytes_per_node", "copies_per_node", "datagrams_per_node", "t100_ms", "t50_ms", "t99_ms"]),
        (
            IDLE,
            vec![
                "bytes_per_node_s",
                "cpu_us_per_node_s",
                "datagrams_per_node_s",
                "heap_bytes_per_member",
                "largest_datagram",
            ],
        ),
        (JOIN, vec!["bytes_per_node", "datagrams_per_node", "seconds"]),
        (DETECT, vec!["all_s", "false_deaths", "false_suspicions", "first_s"]),
        (RECONCILE, vec!["datagrams", "equal", "identification_bytes", "round_trips", "time_ms", "update_bytes"]),
        (CHECK, vec!["cases", "datagrams", "faults"]),
        (ADVISE, vec!["bytes_per_node_s", "fanout", "interval_ms", "t9999_ms"]),
    ];
    for (line, fields) in commands {
        let objects = objects(line);
        assert_eq!(objects.len(), 1, "{line}");
        let mut names: Vec<&str> = objects[0].keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, fields, "{line}");
        explained(line, &fields);
        for field in fields {
            assert!(field == "equal" || number(&objects[0], field) >= 0.0, "{line}: {field}");
        }
    }
}

#[test]
fn the_figures_are_in_the_order_that_their_names_say() {
    let spread = &objects(SPREAD)[0];
    let times = ["t50_ms", "t99_ms", "t100_ms"].map(|field| number(spread, field));
    assert!(times.is_sorted() && times[0] > 0.3 && times[2] < 1_000.0, "{times:?}");
    assert!(number(spread, "bytes_per_node") > 64.0 * number(spread, "copies_per_node"));
    let idle = &objects(IDLE)[0];
    assert!(number(idle, "largest_datagram") * number(idle, "datagrams_per_node_s") > number(idle, "bytes_per_node_s"));
    assert!(number(idle, "cpu_us_per_node_s") > 0.0 && number(idle, "heap_bytes_per_member") > 0.0, "{idle:?}");
    let detect = &objects(DETECT)[0];
    assert!(0.0 < number(detect, "first_s") && number(detect, "first_s") <= number(detect, "all_s"), "{detect:?}");
    assert_eq!(objects(RECONCILE)[0]["equal"], Value::Bool(true));
    assert_eq!(number(&objects(CHECK)[0], "cases"), 3.0);
}

#[test]
fn every_option_does_something() {
    let lossy = format!("{DETECT} --loss 0.3");
    let pairs = [
        (SPREAD.to_owned(), SPREAD.replace("12", "13")),
        (SPREAD.to_owned(), format!("{SPREAD} --loss 0.3")),
        (SPREAD.to_owned(), format!("{SPREAD} --preset wan")),
        (SPREAD.to_owned(), format!("{SPREAD} --preset local")),
        (SPREAD.to_owned(), format!("{SPREAD} --fanout 1")),
        (SPREAD.to_owned(), format!("{SPREAD} --interval-ms 3")),
        (JOIN.to_owned(), JOIN.replace("8", "9")),
        (JOIN.to_owned(), format!("{JOIN} --loss 0.5")),
        (DETECT.to_owned(), DETECT.replace("10", "11")),
        (DETECT.to_owned(), DETECT.replace("kill 2", "kill 3")),
        (lossy.clone(), lossy.replace("minutes 1", "minutes 2")),
        (DETECT.to_owned(), format!("{DETECT} --pause 0.3")),
        (DETECT.to_owned(), format!("{DETECT} --lifeguard off")),
        (DETECT.to_owned(), lossy),
        (RECONCILE.to_owned(), RECONCILE.replace("60", "61")),
        (RECONCILE.to_owned(), RECONCILE.replace("200", "300")),
        (RECONCILE.to_owned(), format!("{RECONCILE} --loss 0.4")),
        (CHECK.to_owned(), CHECK.replace("cases 3", "cases 4")),
        (CHECK.to_owned(), CHECK.replace("2..=4", "5")),
        (ADVISE.to_owned(), ADVISE.replace("6", "7")),
        (ADVISE.to_owned(), ADVISE.replace("0.05", "0.4 --within-ms 9000")),
    ];
    for (one, other) in pairs {
        assert_ne!(objects(&one), objects(&other), "{other}");
    }
    let largest = |line: &str| number(&objects(line)[0], "largest_datagram");
    assert_eq!(largest(IDLE), largest(&format!("{IDLE} --keys 100")), "what is at rest does not tell what it holds");
    let heap = |line: &str| number(&objects(line)[0], "heap_bytes_per_member");
    assert_ne!(heap(IDLE), heap(&format!("{IDLE} --keys 100")));
    assert_ne!(
        number(&objects(IDLE)[0], "bytes_per_node_s"),
        number(&objects(&IDLE.replace("5 -", "6 -"))[0], "bytes_per_node_s")
    );
}

#[test]
fn a_seed_says_it_all() {
    for line in [SPREAD, JOIN, DETECT, CHECK, ADVISE] {
        let first = out(&format!("{line} --seed 7 --json"));
        assert_eq!(first, out(&format!("--json --seed 7 {line}")));
        assert_ne!(first, out(&format!("{line} --seed 8 --json")), "{line}");
    }
    let [first, again, other] = [7, 7, 8].map(|seed| {
        let mut idle = objects(&format!("{IDLE} --seed {seed}")).remove(0);
        // Processor time is nobody's to repeat.
        idle.remove("cpu_us_per_node_s");
        idle
    });
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn people_get_tables_no_wider_than_a_terminal() {
    let help = ["spread", "idle", "join", "detect", "reconcile", "check", "replay", "advise"];
    let help = help.map(|command| format!("{command} --help"));
    let tables = [SPREAD, IDLE, JOIN, DETECT, RECONCILE, CHECK, ADVISE].map(str::to_owned);
    for line in tables.iter().chain(&help) {
        let text = out(line);
        assert!(text.lines().count() >= 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour when piped");
    }
}

#[test]
fn impossible_parameters_get_one_line_with_flag_and_bound_and_exit_code_2() {
    let nonsense = scenario("nonsense.txt", "seed 1\nnodes 0-2\n# fine so far\nloss lots on * -> *\n");
    let nobody = scenario("nobody.txt", "seed 1\nnodes 0-2\nat 1s node 7: leave\n");
    let refused = [
        ("spread --nodes 1", "--nodes", "2..=100000"),
        ("spread --nodes 9 --loss 2", "--loss", "from 0 to 0.9"),
        ("spread --nodes 9 --loss=-5%", "--loss", "from 0 to 0.9"),
        ("spread --nodes 9 --loss some", "--loss", "30%"),
        ("spread --nodes 9 --fanout 33", "--fanout", "1..=32"),
        ("spread --nodes 9 --interval-ms 0", "--interval-ms", "1..=60000"),
        ("spread --nodes 9 --preset moon", "--preset", "lan, wan, local"),
        ("idle --nodes 9 --seconds 0", "--seconds", "1..=86400"),
        ("idle --nodes 9 --keys -1", "", "-1"),
        ("join", "--nodes", "required"),
        ("detect --nodes 9 --kill 5", "--kill", "from 0 to 4"),
        ("detect --nodes 9 --minutes 0", "--minutes", "1..=1440"),
        ("detect --nodes 9 --pause 1", "--pause", "from 0 to 0.9"),
        ("detect --nodes 10 --kill 5 --pause 0.9", "--pause", "from 0 to 0.4"),
        ("detect --nodes 3 --pause 0.5", "--pause", "from 0 to 0.333"),
        ("detect --nodes 9 --lifeguard maybe", "--lifeguard", "on, off"),
        ("reconcile --items 5 --difference 11", "--difference", "from 0 to 10"),
        ("reconcile --items 4000000 --difference 10", "--items", "from 0 to 3999995"),
        ("check --cases 0", "--cases", "1.."),
        ("check --nodes 9..=2", "--nodes", "from 1 to 64"),
        ("check --nodes few", "--nodes", "2..=12"),
        ("advise --nodes 9", "--loss", "required"),
        ("advise --nodes 9 --loss 0 --within-ms 0", "--within-ms", "1..=600000"),
        (&nonsense, "nonsense.txt", "line 4, column 6: expected a probability"),
        (&nobody, "nobody.txt", "line 3"),
        ("replay no-such-file", "no-such-file", "No such file"),
    ];
    for (line, flag, bound) in refused {
        let output = sim(line);
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert_eq!(message.lines().count(), 1, "{line}: {message}");
        assert!(message.starts_with("error: ") && message.contains(flag) && message.contains(bound), "{message}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn as_many_crash_as_there_can() {
    for (nodes, crashes) in [(2, 1), (8, 4), (11, 5)] {
        let text = out(&format!("detect --nodes {nodes} --minutes 1"));
        assert!(text.starts_with(&format!("{crashes} crashes among {nodes} nodes")), "{text}");
    }
}

#[test]
fn a_replay_shows_what_happened() {
    let line =
        scenario("fine.txt", "seed 3\nnodes 0-2\nat 2s node 1: put \"a\" \"b\"\nloss 20% on * -> * from 1s to 5s\n");
    let text = out(&line);
    for told in ["0 starts", "sends probe to", "LOST", "did Put", "converged after"] {
        assert!(text.contains(told), "{told}:\n{text}");
    }
    explained("replay", &["trace", "converged_after_s", "simulated_s", "datagrams", "violated", "scenario"]);
    let again = objects(&format!("{line} --seed 9"));
    let objects = objects(&line);
    assert_eq!(objects, again, "the seed is the scenario's");
    let (last, trace) = objects.split_last().expect("there is something to tell");
    assert!(trace.iter().all(|line| line["trace"].is_string()) && trace.len() > 100);
    assert!(number(last, "datagrams") > 10.0 && number(last, "simulated_s") > 5.0, "{last:?}");
}

/// A plan may cut nodes off for ever: they do not converge, which is no fault of theirs.
#[test]
fn a_scenario_that_fails_is_printed_as_one_that_can_be_replayed() {
    let line = scenario("fails.txt", "seed 1\nnodes 0-1\nseeds 2\nloss 100% on * -> * from 0s on\n");
    let output = sim(&line);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
    let printed: String =
        text.lines().skip_while(|line| !line.starts_with("# violated")).map(|l| format!("{l}\n")).collect();
    assert!(printed.contains("\nloss 100% on * -> * from 0s on\n"), "{text}");
    let again = sim(&scenario("again.txt", &printed));
    assert_eq!((again.status.code(), again.stdout), (Some(1), text.into_bytes()));
    let objects = String::from_utf8(sim(&format!("{line} --json")).stdout).expect("UTF-8");
    let last: Value = serde_json::from_str(objects.lines().last().expect("a line")).expect("an object");
    assert!(last["scenario"].as_str().expect("a text").contains("loss 100%"), "{last}");
}

#[test]
fn advice_that_there_is_none_is_exit_code_1() {
    let output = sim("advise --nodes 5 --loss 0 --within-ms 1 --json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: nothing reaches 99.99 % within 1 ms\n");
}

#[test]
fn pictures_have_axes_legend_and_curves() {
    for (command, labels) in [
        (SPREAD, ["time since the put (ms)", "nodes that know (%)", "30 % loss"]),
        ("spread --nodes 2", ["nodes that know (%)", "\n0.1\n", "\n1\n"]),
        ("idle --nodes 12 --seconds 5", ["nodes", "bytes sent per node and second", "1000 entries"]),
        (DETECT, ["time since the crash (s)", "crashes that all have seen (%)", "with Lifeguard"]),
    ] {
        let file = temporary(&format!("{}.svg", labels[0]));
        let line = [command.split_whitespace().collect(), vec!["--svg", file.to_str().expect("UTF-8")]].concat();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gossip-sim")).args(line).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        let svg = fs::read_to_string(&file).expect("it was written");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for label in labels {
            assert!(svg.contains(label), "{command}: {label}");
        }
        assert!(svg.matches("<polyline").count() >= 2, "{command}");
    }
}
