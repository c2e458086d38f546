//! Output, error messages and drawings of the binary gossip-sim.
#![cfg(feature = "cli")]

mod nodes;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, Value};

const TABLES: &str = "tables --trials 2";
const EPIDEMIC: &str =
    "epidemic --nodes 50 --exchange push --response feedback --loss-of-interest counter --k 2 --trials 5";
const ROUNDS: &str = "rounds --nodes 50 --exchange push --fanout 1 --trials 5";
const ANTI_ENTROPY: &str = "anti-entropy --nodes 50 --trials 5";

fn sim(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-sim"));
    command.args(line.split_whitespace()).output().expect("the binary has been built")
}

fn out(line: &str) -> String {
    let output = sim(line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn objects(line: &str) -> Vec<Map<String, Value>> {
    out(&format!("{line} --json")).lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

fn number(object: &Map<String, Value>, field: &str) -> f64 {
    object[field].as_f64().unwrap_or_else(|| panic!("{field} is a number: {object:?}"))
}

/// The help of a command explains its fields.
fn explained(line: &str, fields: &[&str]) {
    let help = out(&format!("{} --help", line.split(' ').next().expect("a command")));
    let (_, text) = help.split_once("\nWith --json").unwrap_or_else(|| panic!("{help}"));
    let words: Vec<_> = text.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
    assert!(fields.iter().all(|field| words.contains(field)), "{help}");
}

#[test]
fn json_has_one_object_a_line_with_the_fields_of_each_command() {
    let commands = [
        (TABLES, 13, vec!["k", "residue", "t_ave", "t_last", "table", "traffic"]),
        (EPIDEMIC, 1, vec!["residue", "t_ave", "t_last", "traffic"]),
        (ROUNDS, 1, vec!["mean_rounds", "sd"]),
        (ANTI_ENTROPY, 1, vec!["t_ave", "t_last"]),
    ];
    for (line, lines, fields) in commands {
        let objects = objects(line);
        assert_eq!(objects.len(), lines, "{line}");
        explained(line, &fields);
        for object in objects {
            let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, fields, "{line}");
            assert!(fields.iter().all(|&field| field == "table" || number(&object, field) >= 0.0), "{object:?}");
        }
    }
    let tables = objects(TABLES);
    let named = |name: &str| tables.iter().filter(|row| row["table"] == name).count();
    assert_eq!(["push-feedback-counter", "push-blind-coin", "pull-feedback-counter"].map(named), [5, 5, 3]);
}

#[test]
fn every_option_of_epidemic_does_something() {
    let push_pull = EPIDEMIC.replace("exchange push", "exchange push-pull");
    let limited = format!("{EPIDEMIC} --connection-limit 1");
    let pairs = [
        (EPIDEMIC.to_owned(), EPIDEMIC.replace("50", "60")),
        (EPIDEMIC.to_owned(), push_pull.clone()),
        (EPIDEMIC.to_owned(), EPIDEMIC.replace("push", "pull")),
        (EPIDEMIC.to_owned(), EPIDEMIC.replace("feedback", "blind")),
        (EPIDEMIC.to_owned(), EPIDEMIC.replace("counter", "coin")),
        (EPIDEMIC.to_owned(), EPIDEMIC.replace("--k 2", "--k 3")),
        (EPIDEMIC.to_owned(), format!("{EPIDEMIC} --fanout 2")),
        (push_pull.clone(), format!("{push_pull} --minimization")),
        (EPIDEMIC.to_owned(), limited.clone()),
        (limited.clone(), format!("{limited} --hunt 3")),
        (EPIDEMIC.to_owned(), format!("{EPIDEMIC} --seed 2")),
        (ANTI_ENTROPY.to_owned(), format!("{ANTI_ENTROPY} --exchange pull")),
        (ANTI_ENTROPY.to_owned(), format!("{ANTI_ENTROPY} --connection-limit 1")),
    ];
    for (one, other) in pairs {
        assert_ne!(objects(&one), objects(&other), "{other}");
    }
}

#[test]
fn a_seed_says_it_all_wherever_it_stands() {
    for line in [TABLES, EPIDEMIC, ROUNDS, ANTI_ENTROPY] {
        let first = out(&format!("{line} --seed 7 --json"));
        assert_eq!(first, out(&format!("--json --seed 7 {line}")));
        assert_ne!(first, out(&format!("{line} --seed 8 --json")));
    }
}

#[test]
fn people_get_tables_no_wider_than_a_terminal() {
    for line in [TABLES, EPIDEMIC, ROUNDS, ANTI_ENTROPY, "--help", "epidemic --help"] {
        let text = out(line);
        assert!(text.lines().count() >= 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    assert!(out(TABLES).contains("(0.037)"), "the paper's figure stands beside");
}

#[test]
fn impossible_parameters_get_one_line_with_flag_and_bound_and_exit_code_2() {
    let epidemic = "epidemic --nodes 9 --exchange push --response feedback --loss-of-interest counter";
    let refused = [
        ("tables --trials 0".into(), "--trials", "1.."),
        ("rounds --nodes 1 --exchange push --fanout 1".into(), "--nodes", "2..=1000000"),
        ("rounds --nodes 1000001 --exchange push --fanout 1".into(), "--nodes", "2..=1000000"),
        ("rounds --nodes 9 --exchange push --fanout 0".into(), "--fanout", "1..=32"),
        ("rounds --nodes 9 --exchange push --fanout 9".into(), "--fanout", "from 1 to 8"),
        ("rounds --nodes 9 --exchange shove --fanout 1".into(), "--exchange", "push, pull, push-pull"),
        ("anti-entropy --nodes 9 --connection-limit 0".into(), "--connection-limit", "1..=255"),
        ("anti-entropy --nodes nine".into(), "--nodes", "invalid digit"),
        (format!("{epidemic} --k 0"), "--k", "1..=255"),
        (format!("{epidemic} --k 256"), "--k", "1..=255"),
        (format!("{epidemic} --k 2 --hunt 1"), "--hunt", "connection limit"),
        (format!("{epidemic} --k 2 --connection-limit 1 --hunt 1001"), "--hunt", "0..=1000"),
        (format!("{epidemic} --k 2 --minimization"), "--minimization", "push-pull"),
        (format!("{epidemic} --k 2 --seed -1"), "-1", "unexpected"),
        (epidemic.to_owned(), "--k", "required"),
        ("rounds --nodes 9 --exchange push --fanout 1 --svg x.svg".into(), "--svg", "unexpected"),
        ("gossip".into(), "gossip", "unrecognized"),
    ];
    for (line, flag, bound) in refused {
        let output = sim(&line);
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert_eq!(message.lines().count(), 1, "{line}: {message}");
        assert!(message.starts_with("error: ") && message.contains(flag) && message.contains(bound), "{message}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn no_command_gets_help_and_exit_code_2() {
    let output = sim("");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("anti-entropy"), "{output:?}");
}

#[test]
fn pictures_have_axes_legend_and_points() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (command, labels) in [
        (TABLES, ["pull, feedback, counter", "the paper's figures"]),
        (EPIDEMIC, ["minimization", "this configuration"]),
    ] {
        let file = directory.join(format!("{}.svg", command.len()));
        let text = out(&format!("{command} --svg {}", file.display()));
        assert_eq!(text, out(command), "the table is printed all the same");
        let svg = fs::read_to_string(&file).expect("it was written");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for label in labels.into_iter().chain(["traffic: updates sent per site", "residue", "s = exp(−m)"]) {
            assert!(svg.contains(&label.replace('\'', "&apos;")) || svg.contains(label), "{command}: {label}");
        }
        assert!(svg.matches("<circle").count() > 10, "{command}");
        out(&format!("{command} --svg {}", file.display()));
        assert_eq!(svg, fs::read_to_string(&file).expect("it was written again"), "same seed, same picture");
    }
}

#[test]
fn a_picture_that_cannot_be_written_is_exit_code_1_before_all_work() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-directory").join("x.svg");
    let large = ["spread --nodes 100000", "idle --nodes 100000", "detect --nodes 100000", "tables --trials 10000000"];
    for line in large.into_iter().chain([EPIDEMIC]) {
        let output = sim(&format!("{line} --svg {}", nowhere.display()));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: --svg "), "{output:?}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_command_that_draws_nothing_leaves_files_as_they_were() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (new, old) = (directory.join("new.svg"), directory.join("old.svg"));
    fs::write(&old, "a picture").expect("the directory for this is there");
    for file in [&new, &old] {
        assert_eq!(sim(&format!("{EPIDEMIC} --hunt 1 --svg {}", file.display())).status.code(), Some(2));
    }
    assert!(!new.exists());
    assert_eq!(fs::read_to_string(&old).expect("it is still there"), "a picture");
}
