//! Rules on the shape of the sources, checked by reading them: imports, circles, lengths of files, words. Each rule is also
//! shown a tree that breaks it, since a checker never seen failing is not trusted.

mod constants;
mod language;
mod sources;
mod walls;

use std::collections::BTreeMap;

use constants::unexplained_constants;
use language::headless;
use sources::{Tree, code, imports, lines, production, tree, words};
use walls::{circles_cut, circles_unlisted, crowded};

const CORE: &str = "gossip-core/src/lib.rs";
/// The manual's page for operators.
const OPERATING: &str = "gossip-core/docs/operating.md";
/// Longest file that a reader can hold in the head, in lines.
const MOST_LINES: usize = 600;
/// Words for which the literature has others: death certificate, probe.
const SYNONYMS: [&str; 2] = ["tombstone", "heartbeat"];
/// Names that the core must not use: it has no operating system, and no order that differs from run to run.
const NOT_IN_CORE: [&str; 3] = ["std", "HashMap", "HashSet"];

/// Returns the modules of the core in the order of CONTRIBUTING.md's table.
fn order(tree: &Tree) -> Vec<&str> {
    let rows = tree["CONTRIBUTING.md"].lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0)).collect()
}

/// Returns the modules of the core without its root, which only re-exports.
fn modules(tree: &Tree) -> impl Iterator<Item = (&str, &str, String)> {
    production(tree, CORE).filter(|(_, module, _)| *module != "lib")
}

/// Finds imports of modules of the core that are below the importing module.
fn misplaced(tree: &Tree) -> Vec<String> {
    let order = order(tree);
    let place: BTreeMap<&str, usize> = order.iter().zip(0..).map(|(module, at)| (*module, at)).collect();
    let mut found = Vec::new();
    for (path, module, text) in modules(tree) {
        let Some(own) = place.get(module) else {
            found.push(format!("{path}: `{module}` has no row in the table of CONTRIBUTING.md"));
            continue;
        };
        for import in imports(&text, path.matches('/').count() == 2) {
            // Other names are re-exported by the crate, for its users.
            match place.get(import.as_str()) {
                Some(other) if other <= own => {}
                Some(_) => found.push(format!("{path}: `{module}` imports from `{import}`, which is below it")),
                None => found.push(format!("{path}: `crate::{import}` is no module of CONTRIBUTING.md")),
            }
        }
    }
    let modules: Vec<&str> = modules(tree).map(|(_, module, _)| module).collect();
    let gone = order.iter().filter(|module| !modules.contains(module));
    found.extend(gone.map(|module| format!("CONTRIBUTING.md: there is no module `{module}`")));
    found
}

fn too_long(tree: &Tree) -> Vec<String> {
    let rust = tree.iter().filter(|(path, _)| path.ends_with(".rs"));
    let long = rust.map(|(path, text)| (path, text.lines().count())).filter(|(_, count)| *count > MOST_LINES);
    long.map(|(path, count)| format!("{path}: {count} lines, at most {MOST_LINES}")).collect()
}

fn synonyms(tree: &Tree) -> Vec<String> {
    let rust = tree.iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.flat_map(|(path, text)| {
        lines(path, &code(text), |line| {
            let line = line.to_lowercase();
            SYNONYMS.into_iter().find(|word| line.contains(word)).map(|word| format!("`{word}` in an identifier"))
        })
    })
    .collect()
}

fn not_in_core(tree: &Tree) -> Vec<String> {
    let files = production(tree, CORE);
    files
        .flat_map(|(path, _, text)| {
            lines(path, &text, |line| {
                let found = words(line).find(|word| NOT_IN_CORE.contains(word));
                found.map(|word| format!("`{word}` in the core"))
            })
        })
        .collect()
}

/// Returns the crates of this workspace that a crate depends on.
fn dependencies<'a>(tree: &'a Tree, package: &str) -> Vec<&'a str> {
    let manifest = tree[&format!("{package}/Cargo.toml")].lines();
    let section =
        manifest.skip_while(|line| *line != "[dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    section.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| name.starts_with("gossip-")).collect()
}

/// Types whose parts must be explained in the manual: root of their crate, declaration.
const EXPLAINED: [(&str, &str); 4] = [
    ("gossip-core/src/lib.rs", "pub enum Event<A> {"),
    ("gossip-core/src/lib.rs", "pub struct Stats {"),
    ("gossip-core/src/lib.rs", "pub enum Problem<A> {"),
    ("gossip-tokio/src/lib.rs", "pub struct DriverStats {"),
];

/// Returns the fields or variants of a public type.
fn parts(tree: &Tree, src: &str, declaration: &str) -> Vec<String> {
    let bodies = production(tree, src).filter_map(|(_, _, text)| Some(text.split_once(declaration)?.1.to_owned()));
    let body = bodies.last().unwrap_or_else(|| panic!("{src}: there is no `{declaration}`"));
    let lines = body.lines().take_while(|line| *line != "}").filter_map(|line| line.strip_prefix("    "));
    let named = lines.filter(|line| line.starts_with(char::is_alphabetic));
    named.filter_map(|line| words(line.trim_start_matches("pub ")).next()).map(str::to_owned).collect()
}

/// Finds events and counters that the page for operators does not explain.
fn unexplained(tree: &Tree) -> Vec<String> {
    let page = OPERATING;
    let parts = EXPLAINED.iter().flat_map(|(src, declaration)| parts(tree, src, declaration));
    let missing = parts.filter(|part| !tree[page].contains(&format!("`{part}`")));
    missing.map(|part| format!("{page}: `{part}` is not explained")).collect()
}

/// Finds alerts that the page for operators has no row for, that it makes up, or that no test produces.
fn unproduced(tree: &Tree) -> Vec<String> {
    let page = OPERATING;
    let kinds = parts(tree, CORE, "pub enum Problem<A> {");
    let table = tree[page].split("| alert |").nth(1).unwrap_or_default();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let is_test = |path: &str| path.ends_with(".rs") && path.contains("/tests") && !path.contains("/architecture/");
    let tests: Vec<&String> = tree.iter().filter(|(path, _)| is_test(path)).map(|(_, text)| text).collect();
    let mut found: Vec<String> = Vec::new();
    for kind in &kinds {
        if !rows.contains(&kind.as_str()) {
            found.push(format!("{page}: the alert `{kind}` has no row"));
        }
        if !tests.iter().any(|text| text.contains(&format!("Problem::{kind}"))) {
            found.push(format!("no test produces the alert `{kind}`"));
        }
    }
    let made_up = rows.iter().filter(|row| !kinds.iter().any(|kind| kind == *row));
    found.extend(made_up.map(|row| format!("{page}: there is no alert `{row}`")));
    found
}

/// Finds sources named in CONTRIBUTING.md that do not exist.
fn dangling(tree: &Tree) -> Vec<String> {
    let named = tree["CONTRIBUTING.md"].split('`').skip(1).step_by(2);
    let missing = named.filter(|name| name.contains('/') && name.ends_with(".rs") && !tree.contains_key(*name));
    missing.map(|name| format!("CONTRIBUTING.md: there is no {name}")).collect()
}

/// Finds rows of the table of attacks that no test performs.
fn unperformed(tree: &Tree) -> Vec<String> {
    let page = "gossip-core/docs/security.md";
    let Some((_, table)) = tree.get(page).and_then(|text| text.split_once("## The table of attacks")) else {
        return vec![format!("{page} has no table of attacks")];
    };
    let rows =
        table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let missing = rows.flat_map(|row| {
        let tests = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let is_there = |name: &str| tree.values().any(|text| text.contains(&format!("fn {name}(")));
        let gone = named.iter().filter(|name| !is_there(name)).map(|name| format!("{page}: there is no test `{name}`"));
        let none = named.is_empty().then(|| format!("{page}: no test performs {row}"));
        gone.chain(none).collect::<Vec<_>>()
    });
    missing.collect()
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_module_of_the_core_imports_only_from_those_above_it() {
    none(&misplaced(&tree()));
}

#[test]
fn no_file_is_too_long() {
    none(&too_long(&tree()));
}

#[test]
fn identifiers_use_the_words_of_the_literature() {
    none(&synonyms(&tree()));
}

#[test]
fn the_core_uses_no_std_and_no_order_that_differs_from_run_to_run() {
    none(&not_in_core(&tree()));
}

#[test]
fn dependencies_flow_one_way() {
    let tree = tree();
    assert_eq!(dependencies(&tree, "gossip-core"), [""; 0]);
    for package in ["gossip-tokio", "gossip-async-std", "gossip-testkit"] {
        assert_eq!(dependencies(&tree, package), ["gossip-core"], "{package}");
    }
}

#[test]
fn every_event_and_every_counter_is_explained() {
    let tree = tree();
    assert!(EXPLAINED.iter().all(|(src, declaration)| parts(&tree, src, declaration).len() > 5));
    none(&unexplained(&tree));
}

#[test]
fn every_alert_has_a_row_in_the_manual_and_a_test_that_produces_it() {
    none(&unproduced(&tree()));
}

#[test]
fn every_constant_that_decides_something_is_on_the_manuals_page() {
    none(&unexplained_constants(&tree()));
}

#[test]
fn every_attack_of_the_manual_is_performed_by_a_test() {
    none(&unperformed(&tree()));
}

#[test]
fn doc_comments_name_their_subject() {
    none(&headless(&tree()));
}

#[test]
fn no_files_of_a_module_import_each_other() {
    let tree = tree();
    none(&circles_unlisted(&tree));
    none(&circles_cut(&tree));
}

#[test]
fn no_file_of_the_node_touches_most_of_its_fields() {
    none(&crowded(&tree()));
}

#[test]
fn the_files_of_the_reading_order_are_there() {
    let tree = tree();
    assert!(tree["CONTRIBUTING.md"].contains("`gossip-core/src/lib.rs`"), "the reading order has moved");
    none(&dangling(&tree));
}

const NODE: &str = "
mod handle;
mod gate;
use crate::time::Instant;
use gate::Proof;
pub struct Node<A> {
    pub(crate) a: A,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
}
#[cfg(test)]
mod tests;";
const HANDLE: &str = r#"
use super::Node;
const SAYS: &str = "tombstone"; // HashMap
pub enum Event<A> {
    /// It left.
    Left { id: NodeId },
}
pub enum Problem<A> {
    /// It is alone.
    Left,
}
pub struct Stats {
    /// Probes.
    pub probes: u64,
    pub deaths: u64,
}"#;

const ATTACKS: &str = "## The table of attacks\n|who|what|test|\n|---|---|---|\n|he|that|`a_test`|\n\n|no|row|";

/// Returns a tree that keeps every rule, with one file added or replaced.
fn with(path: &str, text: &str) -> Tree {
    let files = [
        ("CONTRIBUTING.md", "| `time` | now |\n| `node` | all |\n"),
        ("gossip-core/src/lib.rs", "mod node;\nmod time;\npub use node::Node;"),
        ("gossip-core/src/time.rs", "//! Knows no heartbeat, std::time or crate::node.\npub struct Instant;"),
        ("gossip-core/src/node.rs", NODE),
        ("gossip-core/src/node/handle.rs", HANDLE),
        ("gossip-core/src/node/gate.rs", "use super::handle::Event;\npub struct Proof;"),
        ("gossip-core/src/node/tests.rs", "use std::vec::Vec;\nfn a_test() {}"),
        ("gossip-core/docs/constants.md", ""),
        ("gossip-core/docs/operating.md", "`Left`, `probes`, `deaths`, `turns`"),
        ("gossip-core/docs/security.md", ATTACKS),
        ("gossip-tokio/src/lib.rs", "pub struct DriverStats {\n    pub turns: u64,\n}"),
    ];
    let files = files.into_iter().chain([(path, text)]);
    files.map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

#[test]
fn a_tree_that_keeps_the_rules_is_not_blamed() {
    let tree = with("README.md", "");
    let shape = [misplaced(&tree), too_long(&tree), circles_unlisted(&tree), crowded(&tree), dangling(&tree)];
    let texts =
        [synonyms(&tree), not_in_core(&tree), unexplained(&tree), unexplained_constants(&tree), headless(&tree)];
    none(&[&shape[..], &texts[..], &[unperformed(&tree)]].concat().concat());
}

#[test]
fn every_rule_is_seen_broken() {
    let time = "gossip-core/src/time.rs";
    let (handle, gate) = ("gossip-core/src/node/handle.rs", "gossip-core/src/node/gate.rs");
    let page = "gossip-core/docs/constants.md";
    let test = "#[cfg(test)]\nmod tests { use crate::node::Node; }\n";
    type Rule = fn(&Tree) -> Vec<String>;
    let circle = "gossip-core/src/node: gate, handle import each other";
    let fields: String = ('c'..='o').map(|field| format!("self.{field};")).collect();
    let destructured = "let Self { a, b, c: other, d, e, f, g, h, i, j, k, l, m, .. } = self;";
    let broken: [(&str, String, Rule, &str); 29] = [
        (time, "use crate::node::Node;".into(), misplaced, "`time` imports from `node`"),
        (time, "use crate::{\n    node::Node, time::Instant};".into(), misplaced, "`time` imports from `node`"),
        (time, "use super::node::Node;".into(), misplaced, "`time` imports from `node`"),
        (time, "fn late() { crate::node::late() }".into(), misplaced, "`time` imports from `node`"),
        (time, format!("{test}use crate::node::Node;"), misplaced, "`time` imports from `node`"),
        (time, "use crate::Node;".into(), misplaced, "`crate::Node` is no module"),
        (
            "CONTRIBUTING.md",
            "`gossip-core/src/time.rs` `gossip-core/src/x.rs`".into(),
            dangling,
            "no gossip-core/src/x.rs",
        ),
        ("CONTRIBUTING.md", "| `time` | now |".into(), misplaced, "`node` has no row"),
        ("CONTRIBUTING.md", "| `time` | |\n| `node` | |\n| `past` | |".into(), misplaced, "no module `past`"),
        ("gossip-tokio/src/x.rs", "\n".repeat(601), too_long, "601 lines"),
        ("gossip-tokio/src/x.rs", "struct HeartbeatTimer;".into(), synonyms, "x.rs:1: `heartbeat`"),
        (time, "\nuse std::time::Duration;".into(), not_in_core, "time.rs:2: `std`"),
        (time, "use hashbrown::HashMap;".into(), not_in_core, "`HashMap`"),
        ("gossip-core/docs/operating.md", "`probes`, `deaths`, `turns`".into(), unexplained, "`Left` is not"),
        (OPERATING, "| alert | |\n|---|---|\n".into(), unproduced, "the alert `Left` has no row"),
        (OPERATING, "| alert | |\n|---|---|\n| `Left` | |\n| `Right` | |".into(), unproduced, "no alert `Right`"),
        (OPERATING, "| alert | |\n|---|---|\n| `Left` | |".into(), unproduced, "no test produces the alert `Left`"),
        (handle, "use super::gate::Proof;".into(), circles_unlisted, circle),
        (handle, "use super::Proof;".into(), circles_unlisted, circle),
        (handle, "use crate::{node::{gate::Proof as Other, Node}, time};".into(), circles_unlisted, circle),
        (handle, "fn late() { super::gate::late() }".into(), circles_unlisted, circle),
        (time, "//! Time.".into(), circles_cut, "anti_entropy, transfer: is no circle any more"),
        (gate, format!("impl<A> Node<A> {{ fn f(&self) {{ {fields} }} }}"), crowded, "gate.rs: touches 13 fields"),
        (gate, format!("impl<A> super::Node<A> {{ fn f(&self) {{ {destructured} }} }}"), crowded, "touches 13"),
        (gate, "const MOST: u32 =\n    7;".into(), unexplained_constants, "begins with | `node/gate` `MOST` | `7` |"),
        (
            page,
            "| `node/gate` `GONE` | `1` | a | b | c |".into(),
            unexplained_constants,
            "no constant is | `node/gate` `GO",
        ),
        ("gossip-core/docs/security.md", ATTACKS.replace("a_test", "gone"), unperformed, "no test `gone`"),
        ("gossip-core/docs/security.md", ATTACKS.replace('`', ""), unperformed, "no test performs |he|that|"),
        (
            time,
            "/// What it is.\n/// And more.\nfn f() {}\n//! Of all.\n\n/// So many.".into(),
            headless,
            "time.rs:1: What",
        ),
    ];
    for (path, text, rule, expected) in broken {
        let found = rule(&with(path, &text));
        assert!(found.iter().any(|found| found.contains(expected)), "{text:?} should be {expected:?}: {found:?}");
    }
    // Imports of tests are ignored.
    none(&misplaced(&with(time, test)));
    // A method is no field, and another type's fields are not the node's.
    let others = format!("impl Other<A> {{ fn f(&self) {{ {fields} }} }}");
    none(&crowded(&with(gate, &others)));
    none(&crowded(&with(gate, &format!("impl<A> Node<A> {{ fn f(&self) {{ {} }} }}", fields.replace(';', "();")))));
}
