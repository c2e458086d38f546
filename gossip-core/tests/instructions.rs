//! Instructions of the hottest paths, counted by callgrind: a measure that does not depend on the load of the machine.
//!
//! The counts are committed beside this file, so that a change of them is a readable difference. Ignored, since they
//! depend on the compiler and need valgrind: without it nothing is compared.
//!
//! ```sh
//! cargo test -p gossip-core --test instructions -- --ignored --nocapture
//! GOSSIP_COUNTS=write cargo test -p gossip-core --test instructions -- --ignored    # they are meant to differ
//! ```

mod common;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use common::Scene;

/// Paths that are counted, and the number of repetitions.
const CASES: [(&str, u64); 5] = [("ping", 200), ("known", 50), ("updates", 100), ("put", 200), ("round", 50)];
/// Permitted difference of a count, since compilers differ.
const TOLERANCE_PERCENT: u64 = 10;
/// Tells the counted process which case to run.
const CASE: &str = "GOSSIP_COUNTED";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instructions.txt");

/// All that callgrind counts.
#[inline(never)]
fn counted_here<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

fn run(case: &str, times: u64) {
    let mut scene = Scene::new(30, 10);
    match case {
        // A ping is read and answered.
        "ping" => {
            let ping = scene.ping();
            for _ in 0..times {
                counted_here(|| {
                    scene.hear(&ping);
                    scene.drain()
                });
            }
        }
        // A datagram of ten updates, all of them known, is read.
        "known" => {
            scene.write(10);
            let datagram = scene.summary();
            scene.hear(&datagram);
            scene.answer();
            for _ in 0..times {
                counted_here(|| scene.hear(&datagram));
                scene.answer();
            }
        }
        // One of ten of which five are news is taken in.
        "updates" => {
            for _ in 0..times {
                let datagram = scene.news(10);
                counted_here(|| scene.hear(&datagram));
                scene.answer();
            }
        }
        // An entry is written.
        "put" => {
            for number in 0..times {
                let name = format!("name-{number:03}");
                counted_here(|| scene.node.put(scene.now, &name, b"value").expect("there is room"));
                scene.pass(Duration::from_millis(1));
            }
        }
        // Twenty hot rumors have a round, and go to three partners.
        "round" => {
            for number in 0..times {
                for name in 0..20 {
                    scene.node.put(scene.now, &format!("{name}"), &number.to_le_bytes()).expect("there is room");
                }
                scene.answer();
                scene.now += Duration::from_millis(5);
                counted_here(|| {
                    scene.tick();
                    scene.drain()
                });
                (0..50).for_each(|_| scene.pass(Duration::from_millis(100)));
            }
        }
        _ => panic!("no such case: {case}"),
    }
}

/// Returns the instructions for doing it once; none without valgrind.
fn count(case: &str, times: u64) -> Option<u64> {
    let executable = env::current_exe().expect("a test has a file");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_here*"])
        .arg(executable)
        .args(["--exact", "the_hottest_paths_take_as_many_instructions_as_they_did", "--ignored"])
        .env(CASE, case)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let total =
        text.lines().find_map(|line| line.split("Collected : ").nth(1)).expect("callgrind says what it counted");
    let total: u64 = total.trim().parse().expect("a count is a number");
    assert!(total > 0, "nothing was counted: {text}");
    Some(total / times)
}

#[test]
#[ignore = "takes valgrind, and a while"]
fn the_hottest_paths_take_as_many_instructions_as_they_did() {
    if let Ok(case) = env::var(CASE) {
        let (_, times) = CASES.into_iter().find(|(name, _)| *name == case).expect("a case that there is");
        return run(&case, times);
    }
    let mut counts = String::new();
    for (case, times) in CASES {
        let Some(count) = count(case, times) else {
            println!("valgrind is not here: nothing was counted");
            return;
        };
        writeln!(counts, "{case} {count}").expect("a string has room");
    }
    print!("{counts}");
    if env::var("GOSSIP_COUNTS").is_ok_and(|what| what == "write") {
        fs::write(FILE, counts).expect("the file can be written");
        return;
    }
    let committed = fs::read_to_string(FILE).expect("the counts are committed");
    assert_eq!(counts.lines().count(), committed.lines().count(), "a line for each case");
    for (now, before) in counts.lines().zip(committed.lines()) {
        let parts = |line: &str| {
            let (case, count) = line.split_once(' ').expect("a case and its count");
            (case.to_owned(), count.parse::<u64>().expect("a count is a number"))
        };
        let ((case, now), (same, before)) = (parts(now), parts(before));
        assert_eq!(case, same, "the cases of the file");
        assert!(
            now.abs_diff(before) * 100 <= before * TOLERANCE_PERCENT,
            "{case}: {now} instructions, {before} before"
        );
    }
}
