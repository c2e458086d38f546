//! The twins are twins: but for the runtime and the crate's documentation, both adapters have the same files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What an adapter may have in lines of code. What would make it more belongs into the core, or into a crate.
const MOST_LINES: usize = 900;

/// Every file below `directory` of a crate, by its path from there.
fn files(krate: &str, directory: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join(directory);
    let mut found = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// `lone`: files, or what the paths of files begin with, that one of the crates has alone.
fn compare(directory: &str, differing: &[&str], lone: &[&str]) {
    let (mut tokio, mut async_std) = (files("gossip-tokio", directory), files("gossip-async-std", directory));
    for files in [&mut tokio, &mut async_std] {
        files.retain(|name, _| !lone.iter().any(|lone| name.starts_with(lone)));
    }
    assert!(tokio.len() > differing.len());
    assert_eq!(tokio.keys().collect::<Vec<_>>(), async_std.keys().collect::<Vec<_>>());
    for (name, text) in &tokio {
        let other = &async_std[name];
        if differing.contains(&&**name) {
            assert_ne!(text, other, "{name} is the same, so nothing need except it");
        } else {
            let line = text.lines().zip(other.lines()).take_while(|(a, b)| a == b).count() + 1;
            assert!(text == other, "{directory}/{name} differs from its twin at line {line}");
        }
    }
}

#[test]
fn sources_are_the_same_but_for_the_runtime() {
    compare("src", &["runtime.rs", "lib.rs"], &["bin/gossip-agent/"]);
}

#[test]
fn the_crates_differ_in_their_documentation_alone() {
    let code = |krate| {
        let text = files(krate, "src").remove("lib.rs").unwrap();
        text.lines().skip_while(|line| line.starts_with("//!")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(code("gossip-tokio"), code("gossip-async-std"));
    assert!(code("gossip-tokio").len() > 20);
}

#[test]
fn both_are_tested_alike() {
    compare(
        "tests",
        &["common/runtime.rs"],
        &["twins.rs", "examples.rs", "crowd.rs", "transports.rs", "shutdown.rs", "mixed.rs", "agent.rs"],
    );
}

/// Lines of code before the tests, which come last; comments and blank lines are for nothing.
fn lines_of_code(text: &str) -> usize {
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::trim);
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn thin_stays_thin() {
    assert_eq!(lines_of_code("//! A.\n\nfn a() {\n    // B.\n    b() // C.\n}\n\n#[cfg(test)]\nmod tests {}\n"), 3);
    for krate in ["gossip-tokio", "gossip-async-std"] {
        let mut files = files(krate, "src");
        files.retain(|name, _| !name.starts_with("bin/"));
        let lines: usize = files.values().map(|text| lines_of_code(text)).sum();
        assert!((MOST_LINES / 2..=MOST_LINES).contains(&lines), "{krate}: {lines} lines of code, at most {MOST_LINES}");
    }
}
