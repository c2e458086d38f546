//! The driver stands once: a file that both adapters have is a link here to the one in `gossip-tokio`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files below `directory` of a crate, as paths from there.
fn files(krate: &str, directory: &str) -> BTreeMap<String, PathBuf> {
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
                found.insert(name, path);
            }
        }
    }
    found
}

/// Asserts that every file of both crates is one file, but for those that are named as different. `lone`: beginnings
/// of paths that only one of the crates has.
fn is_one_file(directory: &str, different: &[&str], lone: &[&str]) {
    let (mut tokio, mut async_std) = (files("gossip-tokio", directory), files("gossip-async-std", directory));
    for files in [&mut tokio, &mut async_std] {
        files.retain(|name, _| !lone.iter().any(|lone| name.starts_with(lone)));
    }
    assert!(tokio.len() > different.len());
    assert_eq!(tokio.keys().collect::<Vec<_>>(), async_std.keys().collect::<Vec<_>>());
    for (name, original) in &tokio {
        let link = &async_std[name];
        let is_link = fs::symlink_metadata(link).unwrap().file_type().is_symlink();
        if different.contains(&&**name) {
            assert!(!is_link, "{directory}/{name} is a link, so nothing need except it");
        } else {
            assert!(is_link, "{directory}/{name} is no link to the file of gossip-tokio");
            assert!(fs::read_link(link).unwrap().is_relative(), "{directory}/{name} is no relative link");
            assert_eq!(fs::canonicalize(link).unwrap(), fs::canonicalize(original).unwrap());
        }
    }
}

#[test]
fn the_sources_are_one_but_for_the_runtime() {
    is_one_file("src", &["runtime.rs", "lib.rs"], &["bin/gossip-agent/"]);
}

#[test]
fn the_crates_differ_in_their_documentation_alone() {
    let code = |krate| {
        let text = fs::read_to_string(&files(krate, "src")["lib.rs"]).unwrap();
        text.lines().skip_while(|line| line.starts_with("//!")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(code("gossip-tokio"), code("gossip-async-std"));
    assert!(code("gossip-tokio").len() > 20);
}

#[test]
fn both_are_tested_alike() {
    let lone =
        ["twins.rs", "examples.rs", "crowd.rs", "traffic.rs", "transports.rs", "shutdown.rs", "mixed.rs", "agent/"];
    is_one_file("tests", &["common/runtime.rs"], &lone);
}
