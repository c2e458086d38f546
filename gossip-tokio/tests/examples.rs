//! Every example runs to its end by itself and shows what it says.

use std::process::{Command, Output};

use serde_json::Value;

const ADAPTER: &str = env!("CARGO_PKG_NAME");

/// Runs an example. `cargo test` builds all of them; for a single test that is done here.
fn example(package: &str, name: &str, args: &[&str]) -> Output {
    let test = std::env::current_exe().expect("tests have a path");
    let built = test.parent().and_then(|deps| deps.parent()).expect("it is in target/PROFILE/deps");
    let path = built.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    if !path.exists() {
        let build = ["build", "--quiet", "--profile", "test", "-p", package, "--example", name];
        assert!(Command::new(env!("CARGO")).args(build).status().expect("cargo runs").success());
    }
    Command::new(path).args(args).output().expect("it was built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

#[test]
fn cluster_goes_through_all_stages() {
    let output = example(ADAPTER, "cluster", &["--nodes", "5", "--loss", "0.1", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stages: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["join", "put", "broadcast", "delete", "kill", "restart", "leave"]);
    for stage in &stages {
        assert_eq!(stage["nodes"], 5);
        assert!(stage["ms"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!((&stages[2]["delivered"], &stages[2]["expected"]), (&Value::from(4), &Value::from(4)));
}

#[test]
fn cluster_is_to_be_watched_by_people_too() {
    let output = example(ADAPTER, "cluster", &["--nodes", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 7);
    assert!(text(&output.stdout).starts_with("join "));
}

#[test]
fn cluster_says_in_one_line_what_was_wrong_with_the_call() {
    let calls: [&[&str]; 7] = [
        &["--nodes"],
        &["--nodes", "ten"],
        &["--nodes", "1"],
        &["--loss", "1"],
        &["--loss", "-0.1"],
        &["--loss", "NaN"],
        &["--nosuch"],
    ];
    for call in calls {
        let output = example(ADAPTER, "cluster", call);
        assert_eq!(output.status.code(), Some(2), "{call:?}");
        assert!(output.stdout.is_empty());
        let line = text(&output.stderr);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(call[call.len() - 1]) && line.contains("usage:"), "{line}");
    }
}

#[test]
fn custom_transport_carries_a_value() {
    let output = example(ADAPTER, "custom_transport", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!cfg!(unix) || text(&output.stdout).matches("has \"hello\"").count() == 3);
}

#[test]
fn tcp_transport_carries_a_value() {
    let output = example(ADAPTER, "tcp_transport", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("has \"hello\"").count(), 3);
}

#[test]
fn blocking_needs_no_adapter() {
    let output = example("gossip-core", "blocking", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("greeting is \"hello\"").count(), 2);
    let source = include_str!("../../gossip-core/examples/blocking.rs");
    assert!(source.lines().count() <= 90, "an example to be read at one glance");
}
