//! Commands that run real nodes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{explained, number, objects, out, sim};

const SPREAD: &str = "spread --nodes 12";
const IDLE: &str = "idle --nodes 12 --seconds 5";
const LOAD: &str = "load --nodes 12 --rate 5 --seconds 2 --sites 3";
const JOIN: &str = "join --nodes 8";
const DETECT: &str = "detect --nodes 10 --kill 2 --minutes 1";
const DISTANCE: &str = "distance --nodes 9 --seconds 30";
const HEAL: &str = "heal --nodes 4 --seeds-alive no --restart both";
const RECONCILE: &str = "reconcile --items 200 --difference 60";
const CHECK: &str = "check --cases 3 --nodes 2..=4";
const ADVISE: &str = "advise --nodes 6 --loss 0.05 --reach 95%";

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
fn json_has_the_fields_of_each_command() {
    let commands = [
        (SPREAD, "loss t50_ms t99_ms t100_ms bytes_per_node datagrams_per_node copies_per_node"),
        (
            IDLE,
            "nodes keys bytes_per_node_s datagrams_per_node_s largest_datagram cpu_us_per_node_s heap_bytes_per_member",
        ),
        (
            LOAD,
            "puts t50_ms t99_ms t100_ms worst_ms equal_ms bytes_per_node datagrams_per_node copies_per_node bodies_across \
             datagrams_across",
        ),
        (JOIN, "seconds bytes_per_node datagrams_per_node updates_per_node"),
        (DETECT, "lifeguard first_s all_s false_suspicions false_deaths false_deaths_at_well"),
        (DISTANCE, "estimates known median p90 within across bytes_per_node_s"),
        (HEAL, "runs in_time bound_s median_s worst_s"),
        (RECONCILE, "identification_bytes update_bytes datagrams round_trips time_ms equal"),
        (CHECK, "cases datagrams faults"),
        (
            ADVISE,
            "fanout interval_ms own best verdict reached reached_low reached_high puts t50_ms t99_ms t100_ms \
             bytes_per_node_s bytes_error",
        ),
    ];
    for (line, fields) in commands {
        let objects = objects(line);
        assert_eq!(objects.len() > 1, line == ADVISE, "{line}");
        let mut fields: Vec<&str> = fields.split_whitespace().collect();
        explained(line, &fields);
        fields.sort_unstable();
        let mut names: Vec<&str> = objects[0].keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, fields, "{line}");
        for (field, value) in &objects[0] {
            assert!(!value.is_number() || number(&objects[0], field) >= 0.0, "{line}: {field}");
        }
    }
}

#[test]
fn every_value_of_a_list_has_a_row() {
    let of = |line: &str, field: &str| -> Vec<f64> { objects(line).iter().map(|row| number(row, field)).collect() };
    assert_eq!(of("spread --nodes 5 --loss 0,20%", "loss"), [0.0, 0.2]);
    let idle = "idle --nodes 4,5 --keys 0,7 --seconds 1";
    assert_eq!((of(idle, "nodes"), of(idle, "keys")), (vec![4.0, 5.0, 4.0, 5.0], vec![0.0, 0.0, 7.0, 7.0]));
    let both = objects("detect --nodes 5 --kill 1 --minutes 1 --lifeguard both");
    assert_eq!(both.iter().map(|row| row["lifeguard"].as_bool()).collect::<Vec<_>>(), [Some(true), Some(false)]);
}

/// Dadgar et al., section V: a tenth of the false deaths that SWIM reports, or less.
#[test]
fn lifeguard_spares_the_well_among_members_that_are_held_up() {
    let rows = objects("detect --nodes 48 --kill 0 --pause 30% --minutes 5 --lifeguard both");
    let [with, without] = [&rows[0], &rows[1]]
        .map(|row| ["false_suspicions", "false_deaths", "false_deaths_at_well"].map(|field| number(row, field)));
    assert!(without[1] > 50.0, "there is something to save: {without:?}");
    assert!(2.0 * with[0] <= without[0] && 10.0 * with[1] <= without[1], "{with:?} {without:?}");
}

/// Every command that runs real nodes takes a preset or a file, and both make a difference.
#[test]
fn nodes_are_configured_by_preset_or_file() {
    let file = temporary("config.toml");
    let text = "preset = \"wan\"\n[probe]\nperiod = \"700ms\"\ntimeout = \"300ms\"\n[rumor]\nfanout = 2\n\
                [anti_entropy]\nexchange = \"push\"\n";
    fs::write(&file, text).expect("the directory for this is there");
    let replay = scenario("configured.txt", "seed 1\nnodes 0-2\nat 2s node 1: put \"a\" \"b\"\n");
    for line in [SPREAD, IDLE, JOIN, DETECT, RECONCILE, CHECK, &replay, "advise --nodes 5 --reach 90%"] {
        let plain = objects(line);
        assert_eq!(objects(&format!("{line} --preset lan")).len(), plain.len(), "{line}");
        assert_ne!(objects(&format!("{line} --config {}", file.display())), plain, "{line}");
        if line != RECONCILE {
            assert_ne!(objects(&format!("{line} --preset wan")), plain, "{line}");
        }
    }
    let bad = temporary("bad.toml");
    for (text, told) in
        [("[rumor]\nfan_out = 3\n", "line 2: unknown field `fan_out`"), ("[rumor]\nfanout = 0\n", "rumor.fanout")]
    {
        fs::write(&bad, text).expect("the directory for this is there");
        for line in [SPREAD, CHECK, &replay] {
            let output = sim(&format!("{line} --config {}", bad.display()));
            let message = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(2), "{line}: {message}");
            assert!(message.starts_with("error: --config ") && message.contains(told), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
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
        (ADVISE.to_owned(), ADVISE.replace("0.05", "0.4")),
        (ADVISE.to_owned(), ADVISE.replace("95%", "80% --within 5ms")),
        (ADVISE.to_owned(), ADVISE.replace("95%", "99.9%")),
    ];
    for (one, other) in pairs {
        assert_ne!(objects(&one), objects(&other), "{other}");
    }
    let largest = |line: &str| number(&objects(line)[0], "largest_datagram");
    assert_eq!(largest(IDLE), largest(&format!("{IDLE} --keys 100")), "what is at rest does not tell what it holds");
    let heap = |line: &str| number(&objects(line)[0], "heap_bytes_per_member");
    assert_ne!(heap(IDLE), heap(&format!("{IDLE} --keys 100")));
    let bytes = |line: &str| number(&objects(line)[0], "bytes_per_node_s");
    let (one, other) = (bytes(IDLE), bytes(&IDLE.replace("12", "24")));
    assert!((one - other).abs() < 2.0, "what is sent at rest does not grow with the cluster: {one} and {other}");
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
    let help = ["spread", "load", "idle", "join", "detect", "reconcile", "check", "replay", "advise"];
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
        ("advise --nodes 9 --within 0s", "--within", "from 1ms to 600s"),
        ("advise --nodes 9 --within soon", "--within", "500ms"),
        ("advise --nodes 9 --reach 100%", "--reach", "from 50% to 99.999%"),
        ("advise --nodes 9 --reach all", "--reach", "99.99%"),
        ("spread --nodes 9 --config no-such-file", "no-such-file", "No such file"),
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
    for told in ["0 starts", "sends probe to", "LOST", "did put", "converged after"] {
        assert!(text.contains(told), "{told}:\n{text}");
    }
    explained("replay", &["trace", "hash", "converged_after_s", "simulated_s", "datagrams", "violated", "scenario"]);
    let again = objects(&format!("{line} --seed 9"));
    let objects = objects(&line);
    assert_eq!(objects, again, "the seed is the scenario's");
    let (last, trace) = objects.split_last().expect("there is something to tell");
    assert!(trace.iter().all(|line| line["trace"].is_string()) && trace.len() > 100);
    assert!(number(last, "datagrams") > 10.0 && number(last, "simulated_s") > 5.0, "{last:?}");
}

#[test]
fn a_page_of_a_replay_needs_nothing_else() {
    let line = scenario("page.txt", "seed 3\nnodes 0-2\nat 2s node 1: put \"a\" \"</script>\"\n");
    let file = temporary("page.html");
    assert_eq!(out(&format!("{line} --html {}", file.display())), out(&line), "the trace is printed all the same");
    let page = fs::read_to_string(&file).expect("it was written");
    let (_, rest) = page.split_once("type=\"application/json\">").expect("the recording is there");
    let recording: Value = serde_json::from_str(rest.split_once("</script>").expect("it ends").0).expect("JSON");
    assert!(recording["scenario"].as_str().expect("a text").contains("put \"a\" \"</script>\""));
    let last = objects(&line).pop().expect("an object");
    assert_eq!(recording["outcome"]["trace"], last["hash"]);
    assert!(!page.contains("@@") && !page.contains("src=") && !page.contains("http"), "all is on the page");
    let output = sim(&format!("{line} --html {}", temporary("no-such-directory/x.html").display()));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: --html "), "{output:?}");
}

/// Repair and healing that come every ten minutes are too late for whoever is cut off.
#[test]
fn a_check_that_fails_leaves_a_page_of_the_smallest_scenario() {
    // Room for fewer members than there are.
    let config = temporary("few.toml");
    fs::write(&config, "[limits]\nmembers = 2\n").expect("it can be written");
    let page = temporary("check.html");
    let output =
        sim(&format!("check --cases 64 --nodes 2..=4 --config {} --html {}", config.display(), page.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let html = fs::read_to_string(&page).expect("it was written");
    let (_, rest) = html.split_once("type=\"application/json\">").expect("the recording is there");
    let recording: Value = serde_json::from_str(rest.split_once("</script>").expect("it ends").0).expect("JSON");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(printed.ends_with(recording["scenario"].as_str().expect("a text").trim_end_matches(' ')), "{printed}");
    assert_eq!(recording["outcome"]["result"], "violated");
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
    let output = sim("advise --nodes 5 --reach 90% --within 1ms");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nNo: lan does not ("), "{output:?}");
    let told = "error: nothing surely reaches 90 % of 5 nodes within 1ms at 0 % loss\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), told);
}

/// Another seed is another measurement, and comes to the same verdict.
#[test]
fn an_answer_does_not_depend_on_the_seed() {
    let verdicts = |line: &str| -> Vec<(String, String)> {
        (1..=3)
            .map(|seed| {
                let rows = objects(&format!("{line} --seed {seed}"));
                let own = rows.iter().find(|row| row["own"] == true).expect("the preset has its row");
                let best = rows.iter().find(|row| row["best"] == true).expect("something does");
                assert_eq!(best["verdict"], "yes");
                (own["verdict"].to_string(), best["verdict"].to_string())
            })
            .collect()
    };
    let same = verdicts("advise --nodes 10 --loss 10% --reach 99%");
    assert!(same.iter().all(|one| one.0 == "\"yes\""), "{same:?}");
}

#[test]
fn pictures_have_axes_legend_and_curves() {
    for (command, labels) in [
        ("spread --nodes 12 --loss 0,30%", ["time since the put (ms)", "nodes that know (%)", "30 % loss"]),
        ("spread --nodes 2", ["nodes that know (%)", "\n0.1\n", "fastest to slowest put"]),
        ("idle --nodes 6,12 --keys 0,9 --seconds 5", ["nodes", "bytes sent per node and second", "9 entries"]),
        (DETECT, ["time since the crash (s)", "crashes that all have seen (%)", "with Lifeguard"]),
        ("detect --nodes 5 --minutes 1 --lifeguard both", ["95 % confidence", "without", "with Lifeguard"]),
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
        assert!(svg.matches("<polyline").count() >= 2 && svg.contains("<polygon"), "{command}");
        legend_beneath(&svg);
    }
}

#[test]
fn links_are_drawn_as_a_tree() {
    let file = temporary("tree.svg");
    let text = out(&format!("spread --nodes 30 --relay tree --tree {}", file.display()));
    assert!(text.contains("depth 0, 1, 2, ... of the tree around node") && text.contains(": 1, "), "{text}");
    let svg = fs::read_to_string(&file).expect("it was written");
    assert!(svg.contains("30 nodes, ") && svg.matches("<circle").count() == 30, "{svg}");
    assert!(svg.matches("<polyline").count() >= 29, "a tree of thirty has 29 branches");
}

/// Puts that come at once are spread as well as single ones, and half of the nodes may die of it.
#[test]
fn a_load_is_borne() {
    let load = &objects("load --nodes 20 --rate 200 --seconds 1 --duplicate 10% --relay tree")[0];
    assert_eq!(number(load, "puts"), 200.0);
    assert!(number(load, "worst_ms") < 500.0 && number(load, "equal_ms") < 500.0, "{load:?}");
    assert!((0.9..3.0).contains(&number(load, "copies_per_node")), "{load:?}");
    let halved = &objects("load --nodes 20 --rate 1 --seconds 1 --kill 50% --runs 2 --relay tree")[0];
    assert!(number(halved, "puts") == 2.0 && number(halved, "worst_ms") < 1_000.0, "{halved:?}");
    assert!(out("load --nodes 12 --sites 3").contains("between the 3 sites"));
}

/// Nothing that is drawn reaches down to the signs of the legend but the legend.
fn legend_beneath(svg: &str) {
    let height = |line: &str, name: &str| -> Option<f64> {
        line.split_once(&format!("{name}=\""))?.1.split_once('"')?.0.parse().ok()
    };
    let points = |line: &str| -> Vec<f64> {
        let points =
            line.split_once("points=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(points, _)| points);
        points.split_whitespace().filter_map(|point| point.split_once(',')?.1.parse().ok()).collect()
    };
    let (mut curves, mut legend) = (0.0_f64, f64::MAX);
    for line in svg.lines() {
        let lowest = points(line).into_iter().fold(0.0, f64::max);
        // The legend's lines are as wide as they are in no curve.
        if line.contains("stroke-width=\"3\"") {
            legend = legend.min(lowest);
        } else if line.starts_with("<polyline") || line.starts_with("<polygon") {
            curves = curves.max(lowest);
        } else if line.starts_with("<circle") {
            curves = curves.max(height(line, "cy").unwrap_or(0.0));
        }
    }
    assert!(0.0 < curves && curves < legend && legend < 640.0, "curves down to {curves}, the legend from {legend}");
}
