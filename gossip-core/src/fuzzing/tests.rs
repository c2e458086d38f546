//! A fixed number of cases of each target, from the committed seeds and what becomes of them.

use std::path::{Path, PathBuf};
use std::{fs, println};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::wire::{Repair, Symbols};

const CASES: u32 = 4_000;

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

/// Cuts, copies and alters.
fn mutate(case: &mut Vec<u8>, other: &[u8], rng: &mut Xoshiro256PlusPlus) {
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=case.len());
        match rng.random_range(0..5) {
            0 => case.truncate(at),
            1 => case.insert(at, rng.random()),
            2 if at < case.len() => case[at] ^= 1 << rng.random_range(0..8),
            3 if at < case.len() => case[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            _ if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let to = rng.random_range(from..=other.len());
                case.splice(at..at, other[from..to].iter().copied());
            }
            _ => {}
        }
    }
}

fn run(target: &str, body: fn(&[u8])) {
    run_some(target, CASES, body);
}

fn run_some(target: &str, cases: u32, body: fn(&[u8])) {
    let mut files: Vec<PathBuf> = fs::read_dir(seeds(target)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| body(seed));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..cases {
        let [one, other] = core::array::from_fn(|_| &seeds[rng.random_range(0..seeds.len())]);
        let mut case = one.clone();
        mutate(&mut case, other, &mut rng);
        body(&case);
    }
}

#[test]
fn whatever_is_decoded_is_encoded_the_same() {
    run("decoder", decoder);
}

#[test]
fn what_a_sketch_decodes_to_is_what_it_differs_by() {
    run("sketch", sketch);
}

#[test]
fn only_what_was_sealed_is_opened() {
    run("envelope", envelope);
}

#[test]
fn one_of_two_that_have_met_keeps_its_contracts_whatever_a_member_says() {
    run_some("pair", CASES / 8, pair);
}

#[cfg(feature = "encryption")]
#[test]
fn one_of_two_that_have_met_keeps_its_contracts_whatever_a_holder_of_the_key_says() {
    run_some("sealed_pair", CASES / 8, sealed_pair);
}

#[test]
fn a_node_that_is_fed_anything_keeps_its_contracts() {
    run("node", node);
}

/// Writes seeds: what three nodes say while they meet and differ. Kept as files, so that they stay when messages change.
#[test]
#[ignore = "writes files: only when the messages have changed"]
fn seeds_are_what_nodes_say() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(seeds(target)).unwrap();
        fs::write(seeds(target).join(name), bytes).unwrap();
    };
    let mut config = Config::lan();
    config.rumor.exchange = crate::Exchange::PushPull;
    let mut nodes: Vec<Node<u32>> =
        (0..3).map(|at| Node::new(NodeId::new(u64::from(at) + 1), at, config.clone(), at.into()).unwrap()).collect();
    let envelope = Envelope::new("", LONGEST);
    let mut now = START;
    let mut buffer = [0; LONGEST];
    let mut kinds = alloc::collections::BTreeSet::new();
    let mut scripts: [Vec<u8>; 3] = Default::default();
    for step in 0..30_000_u32 {
        match step {
            0 => nodes.iter_mut().for_each(|node| node.join(now, [0])),
            5_000 => drop(nodes[1].put_own(now, "own", b"1")),
            6_000 => drop(nodes[1].broadcast(now, b"hello")),
            7_000..7_200 => drop(nodes[2].put(now, &std::format!("{step}"), b"value")),
            8_000 => drop(nodes[0].delete(now, "7000")),
            // One that differs by much, and is far away meanwhile.
            12_000..12_300 => drop(nodes[1].put(now, &std::format!("{step}"), &[7; 40])),
            25_000 => nodes[2].leave(now),
            _ => {}
        }
        for from in 0..3_usize {
            let _ = nodes[from].handle(now, Input::Tick);
            while let Some(transmit) = nodes[from].poll_transmit(&mut buffer) {
                let to = transmit.to as usize;
                let cut = (12_000..16_000).contains(&step) && (from == 1 || to == 1);
                let payload = &buffer[..transmit.len];
                let body = envelope.overheard(payload).unwrap().to_vec();
                let mut messages: Vec<Message<u32>> = Vec::new();
                read(&body, &mut messages, crate::update::Format::FIRST).unwrap();
                let seen: Vec<u8> = messages
                    .iter()
                    .map(|said| {
                        let mut bytes = [0; LONGEST];
                        said.encode(&mut bytes).unwrap();
                        bytes[0]
                    })
                    .collect();
                // One datagram of every combination of messages.
                if kinds.insert(seen.clone()) && seen.len() < 8 {
                    let name = std::format!("{step}-{from}");
                    write("decoder", &name, &body);
                    write("envelope", &name, payload);
                    for said in &messages {
                        if let Message::Repair(Repair::Sketch(Symbols { sketch, .. })) = said {
                            write("sketch", &name, &postcard::to_allocvec(&(sketch, sketch)).unwrap());
                        }
                    }
                    // To the one that is fuzzed a datagram of the second of a pair, or of several.
                    let kinds = [9 | ((from as u8 + 1) << 4), 12 | (1 << 4), 14 | (1 << 4)];
                    for ((target, script), kind) in ["node", "pair", "sealed_pair"].iter().zip(&mut scripts).zip(kinds)
                    {
                        script.extend([kind, body.len().div_ceil(8) as u8]);
                        script.extend(&body);
                        script.extend(core::iter::repeat_n(0, body.len().next_multiple_of(8) - body.len()));
                        script.extend([0, 1, 200, 0, 0, 0, 0, 0, 0, 0]);
                        write(target, &name, script);
                        if script.len() > 4_000 {
                            script.clear();
                        }
                    }
                }
                if !cut && to < 3 {
                    let _ = nodes[to].handle(now, Input::Datagram { from: &(from as u32), payload });
                }
            }
        }
        now += Duration::from_millis(1);
    }
    println!("{} combinations of messages", kinds.len());
}
