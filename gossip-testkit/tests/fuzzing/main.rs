//! A fixed number of cases of the fuzz target that needs this crate; the others are in `gossip-core/src/fuzzing.rs`.

mod scenario;

use std::fs;

use gossip_testkit::{Command, Scenario, Swarm};
use proptest::prelude::*;

/// Committed texts, and generated ones.
fn seeds() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../gossip-core/fuzz/seeds/scenario");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let committed = files.iter().map(|path| fs::read_to_string(path).unwrap());
    let swarm = Swarm::default();
    committed.chain((0..50).map(|number| swarm.scenario::<Command>(number).to_string())).collect()
}

#[test]
fn a_seed_is_a_scenario() {
    for text in seeds() {
        assert!(text.parse::<Scenario<Command>>().is_ok(), "{text}");
        scenario::scenario(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_parsed_is_printed_and_parsed_again(
        seed in proptest::sample::select(seeds()),
        other in proptest::sample::select(seeds()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5, any::<char>()), 0..6),
    ) {
        let mut text: Vec<char> = seed.chars().collect();
        let other: Vec<char> = other.chars().collect();
        for (at, from, kind, new) in edits {
            let at = at.index(text.len() + 1);
            match kind {
                0 => text.truncate(at),
                1 => text.insert(at, new),
                2 if at < text.len() => text[at] = new,
                3 if at < text.len() => text[at] = ['0', '9', '.', '"', ' '][from.index(5)],
                _ => {
                    let from = from.index(other.len());
                    let piece: Vec<char> = other[from..].iter().copied().take(40).collect();
                    text.splice(at..at, piece);
                }
            }
        }
        scenario::scenario(&text.into_iter().collect::<String>());
    }
}
