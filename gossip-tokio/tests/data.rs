//! Data is kept in a file, whatever happens to the process, the file and the disk.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::gossip::gossip_core::{Config, NodeId, Problem};
use common::gossip::{Gossip, Network, SpawnError, over};
use common::{millis, run, runtime, within};

/// A directory of the test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}-{test}-{}", env!("CARGO_PKG_NAME"), std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("data.damaged-")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn start(network: &Network, data: &Path) -> Result<Gossip<u64>, SpawnError> {
    over(network.attach(1).unwrap(), 1).id(NodeId::new(1)).config(Config::local()).data(data).spawn().await
}

async fn ended(gossip: Gossip<u64>) {
    gossip.stop();
    gossip.saved().await.unwrap();
    drop(gossip);
}

fn lost(gossip: &Gossip<u64>) -> bool {
    gossip.health().iter().any(|alert| matches!(alert.problem, Problem::RestoredWithLoss { .. }))
}

/// Overwrites a byte in the middle of a file.
fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(b"\xa5").unwrap();
}

/// `GOSSIP_GOLDEN=1` writes it anew: only before a format is released.
#[test]
fn a_journal_of_an_earlier_format_is_read() {
    run(|| async {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-1");
        let (network, place) = (Network::default(), Place::new("golden"));
        if std::env::var_os("GOSSIP_GOLDEN").is_some() {
            let first = start(&network, &place.data()).await.unwrap();
            first.put("kept", b"value").unwrap();
            first.put("gone", b"value").unwrap();
            first.delete("gone").unwrap();
            ended(first).await;
            fs::copy(place.data(), &golden).unwrap();
        }
        fs::copy(&golden, place.data()).unwrap();
        let again = start(&network, &place.data()).await.unwrap();
        assert_eq!((again.get("kept").as_deref(), again.get("gone")), (Some(&b"value"[..]), None));
        assert!(again.health().is_empty() && place.set_aside().is_empty());
        ended(again).await;
    });
}

#[test]
fn what_a_node_knew_is_there_again_and_its_stamps_go_on() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("again"));
        let first = start(&network, &place.data()).await.unwrap();
        first.put("kept", b"value").unwrap();
        first.put("gone", b"value").unwrap();
        first.put("large", vec![7; 300_000]).unwrap();
        first.delete("gone").unwrap();
        let stamp = first.put("kept", b"newer").unwrap();
        let boot = first.member(first.id()).unwrap().boot;
        ended(first).await;

        let again = start(&network, &place.data()).await.unwrap();
        assert_eq!(again.get("kept").as_deref(), Some(&b"newer"[..]));
        assert_eq!((again.get("gone"), again.get("large").map(|value| value.len())), (None, Some(300_000)));
        assert!(again.put("kept", b"newest").unwrap() > stamp && again.member(again.id()).unwrap().boot > boot);
        assert!(again.health().is_empty() && place.set_aside().is_empty());
        ended(again).await;

        // Without a name or an id it is who it was.
        let builder = over(network.attach(1).unwrap(), 1).config(Config::local()).data(place.data());
        assert_eq!(builder.spawn().await.unwrap().id(), NodeId::new(1));
    });
}

#[test]
fn a_change_is_in_the_file_within_a_tenth_of_a_second() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("soon"));
        let first = start(&network, &place.data()).await.unwrap();
        first.saved().await.unwrap();
        let before = fs::metadata(place.data()).unwrap().len();
        first.put("name", b"value").unwrap();
        let grown = || fs::metadata(place.data()).unwrap().len() > before;
        let begun = Instant::now();
        while !grown() {
            runtime::sleep(millis(5)).await;
            assert!(begun.elapsed() < millis(1_000));
        }
        // A copy is what is left if the process is killed now.
        fs::copy(place.data(), place.0.join("copy")).unwrap();
        let network = Network::default();
        let second = start(&network, &place.0.join("copy")).await.unwrap();
        assert_eq!(second.get("name").as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn a_change_that_is_no_event_is_in_the_file_as_soon() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("silent"));
        let first = start(&network, &place.data()).await.unwrap();
        let other = over(network.attach(2).unwrap(), 2).config(Config::local()).join([1]).spawn().await.unwrap();
        other.put("name", b"value").unwrap();
        first.wait_for("name").await.unwrap();
        // What all this has caused is written by then.
        runtime::sleep(millis(2_000)).await;
        first.saved().await.unwrap();
        let before = fs::metadata(place.data()).unwrap().len();
        // The same value again: nobody is told, and the newer stamp has to be kept.
        other.put("name", b"value").unwrap();
        let begun = Instant::now();
        while fs::metadata(place.data()).unwrap().len() == before {
            assert!(begun.elapsed() < millis(5_000));
            runtime::sleep(millis(20)).await;
        }
    });
}

#[test]
fn a_file_is_one_process_and_one_nodes() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("one"));
        let first = start(&network, &place.data()).await.unwrap();
        first.put("name", b"value").unwrap();
        let refused = start(&Network::default(), &place.data()).await.unwrap_err();
        let pid = std::process::id();
        assert!(matches!(&refused, SpawnError::DataInUse { pid: Some(held), .. } if *held == pid), "{refused}");
        assert!(refused.to_string().ends_with(&format!("is in use by process {pid}")));
        ended(first).await;

        let other = over(network.attach(2).unwrap(), 2).id(NodeId::new(2)).config(Config::local());
        let other = other.data(place.data()).spawn().await.unwrap();
        assert!(other.get("name").is_none() && lost(&other) && place.set_aside().len() == 1);
        ended(other).await;
        let refused = start(&Network::default(), &place.0.join("nosuch").join("data")).await.unwrap_err();
        assert!(matches!(refused, SpawnError::Data { .. }) && refused.to_string().contains("nosuch"));
    });
}

#[test]
fn damage_is_set_aside_and_told_and_the_rest_is_there() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("damage"));
        let first = start(&network, &place.data()).await.unwrap();
        for n in 0..20 {
            first.put(n.to_string(), vec![n; 100]).unwrap();
            first.saved().await.unwrap();
        }
        ended(first).await;
        let size = fs::metadata(place.data()).unwrap().len();
        flip(&place.data(), size / 2);
        let again = start(&network, &place.data()).await.unwrap();
        let held = again.entries("").len();
        again.saved().await.unwrap();
        assert!((1..20).contains(&held) && lost(&again) && place.set_aside().len() == 1, "{held}");
        ended(again).await;

        // What could be read was written again.
        let again = start(&network, &place.data()).await.unwrap();
        assert!(again.entries("").len() == held && !lost(&again) && place.set_aside().len() == 1);
        ended(again).await;

        // An unfinished write is no damage.
        let mut file = OpenOptions::new().append(true).open(place.data()).unwrap();
        file.write_all(&[1, 2, 3]).unwrap();
        let again = start(&network, &place.data()).await.unwrap();
        assert!(again.entries("").len() == held && !lost(&again) && place.set_aside().len() == 1);
    });
}

#[test]
fn a_file_does_not_grow_with_what_is_overwritten() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("compact"));
        let first = start(&network, &place.data()).await.unwrap();
        let (mut changed, mut written, mut last) = (0, 0_u64, 0);
        for round in 0..200_u32 {
            for n in 0..20 {
                let mut value = vec![n; 2_000];
                value[..4].copy_from_slice(&round.to_le_bytes());
                changed += 2_000;
                first.put(n.to_string(), value).unwrap();
            }
            first.saved().await.unwrap();
            let now = fs::metadata(place.data()).unwrap().len();
            // A new file was written whole.
            written += if now < last { now } else { now - last };
            last = now;
        }
        assert!(last < 1_500_000, "{last} bytes for 40,000");
        assert!(written < 10 * changed, "{written} bytes for {changed}");
        ended(first).await;
        let again = start(&network, &place.data()).await.unwrap();
        assert!(again.entries("").iter().all(|(_, value)| value[..4] == 199_u32.to_le_bytes()));
        assert_eq!(again.entries("").len(), 20);
    });
}

#[test]
fn a_file_that_is_gone_is_written_anew_and_a_disk_that_fails_is_told_until_it_works() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("gone"));
        let directory = place.0.join("disk");
        fs::create_dir(&directory).unwrap();
        let data = directory.join("data");
        let first = start(&network, &data).await.unwrap();
        first.put("before", b"value").unwrap();
        first.saved().await.unwrap();
        fs::remove_file(&data).unwrap();
        let begun = Instant::now();
        while !data.exists() {
            assert!(begun.elapsed() < millis(20_000));
            runtime::sleep(millis(50)).await;
        }

        fs::remove_dir_all(&directory).unwrap();
        let told = |gossip: &Gossip<u64>| {
            gossip
                .health()
                .iter()
                .any(|alert| matches!(&alert.problem, Problem::Storage { error } if !error.is_empty()))
        };
        while !told(&first) {
            assert!(begun.elapsed() < millis(40_000));
            runtime::sleep(millis(50)).await;
        }
        first.put("meanwhile", b"value").unwrap();
        assert!(within(millis(300), first.saved()).await.is_none(), "it is not on the disk");
        fs::create_dir(&directory).unwrap();
        first.saved().await.unwrap();
        assert!(!told(&first));
        ended(first).await;
        let again = start(&network, &data).await.unwrap();
        assert_eq!(again.entries("").len(), 2);
    });
}

#[test]
fn a_node_starts_from_data_that_it_cannot_write_and_writes_it_as_soon_as_it_can() {
    run(|| async {
        let (network, place) = (Network::default(), Place::new("unwritable"));
        let first = start(&network, &place.data()).await.unwrap();
        first.put("before", b"value").unwrap();
        ended(first).await;
        let told =
            |gossip: &Gossip<u64>| gossip.health().iter().any(|alert| matches!(alert.problem, Problem::Storage { .. }));
        // As a directory for reading only does, but for whoever runs the test, also for root.
        let lock = place.0.join("data.lock");
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(place.0.join("nosuch").join("lock"), &lock).unwrap();
        let again = start(&network, &place.data()).await.unwrap();
        assert_eq!(again.get("before").as_deref(), Some(&b"value"[..]));
        again.put("after", b"value").unwrap();
        assert!(within(millis(300), again.saved()).await.is_none() && told(&again));
        fs::remove_file(&lock).unwrap();
        again.saved().await.unwrap();
        assert!(!told(&again) && !lost(&again) && place.set_aside().is_empty());
        ended(again).await;

        // Damage stays where it is until what could be read of it is written.
        flip(&place.data(), fs::metadata(place.data()).unwrap().len() - 1);
        let new = place.0.join("data.new");
        fs::create_dir(&new).unwrap();
        let again = start(&network, &place.data()).await.unwrap();
        assert!(within(millis(300), again.saved()).await.is_none() && told(&again) && lost(&again));
        assert!(place.data().exists() && place.set_aside().is_empty());
        let held = again.entries("").len();
        fs::remove_dir(&new).unwrap();
        again.saved().await.unwrap();
        assert!(!told(&again) && place.set_aside().len() == 1);
        ended(again).await;
        let again = start(&network, &place.data()).await.unwrap();
        assert!(again.entries("").len() == held && !lost(&again), "{held}");
        ended(again).await;

        // Where there is nothing to start from, a start without a place to write to is a mistake.
        fs::remove_file(place.data()).unwrap();
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(place.0.join("nosuch").join("lock"), &lock).unwrap();
        let refused = start(&network, &place.data()).await.unwrap_err();
        assert!(matches!(refused, SpawnError::Data { .. }), "{refused}");
    });
}

#[test]
fn a_node_without_data_has_nothing_to_wait_for() {
    run(|| async {
        let network = Network::default();
        let gossip = over(network.attach(1).unwrap(), 1).config(Config::local()).spawn().await.unwrap();
        gossip.saved().await.unwrap();
        gossip.saved().await.unwrap();
    });
}

const MILLION: u32 = 1_000_000;

/// A node with room for a million entries, and where it is to be kept, if anywhere.
async fn large(network: &Network, data: Option<PathBuf>) -> Gossip<u64> {
    let mut config = Config::local();
    config.limits.entries = 2 * MILLION as usize;
    config.limits.bytes = 1 << 30;
    config.limits.share = 100;
    let builder = over(network.attach(1).unwrap(), 1).id(NodeId::new(1)).config(config);
    match data {
        Some(data) => builder.data(data),
        None => builder,
    }
    .spawn()
    .await
    .unwrap()
}

/// Number at the end of a line of a file of /proc; none elsewhere than on Linux.
fn reported(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Time of a million insertions into a tree in random order: what a figure is to be compared with, since machines differ.
fn reference() -> Duration {
    let (begun, mut at, mut tree) = (Instant::now(), 1_u64, BTreeMap::new());
    for n in 0..MILLION {
        // Knuth's constants: an order that no cache guesses.
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tree.insert(at, n);
    }
    assert_eq!(tree.len(), MILLION as usize);
    begun.elapsed()
}

/// `cargo test --release -p gossip-tokio --test data -- --ignored --nocapture million`
#[test]
#[ignore = "a million entries: run it with optimisation, it prints what it measures"]
fn a_million_entries_are_written_and_read_back() {
    common::run_for(millis(1_200_000), || async {
        let (network, place) = (Network::default(), Place::new("million"));
        let written = || reported("/proc/self/io", "wchar:").unwrap_or_default();
        let before = written();
        let first = large(&network, Some(place.data())).await;
        let mut changed = 0;
        for n in 0..MILLION {
            let name = format!("entry/{n}");
            changed += name.len() as u64 + 4;
            first.put(name, n.to_le_bytes()).unwrap();
        }
        let begun = Instant::now();
        first.saved().await.unwrap();
        println!("the rest is on the disk after {:?}", begun.elapsed());
        // As long as the file is written anew, and changes come on top.
        let mut waits = Vec::new();
        let size = || fs::metadata(place.data()).unwrap().len();
        for round in 0..400_u32 {
            changed += 100_000;
            first.put(format!("entry/{round}"), vec![7; 100_000]).unwrap();
            let asked = Instant::now();
            first.inspect(|node| node.entry_count());
            waits.push(asked.elapsed());
            runtime::sleep(millis(5)).await;
        }
        first.saved().await.unwrap();
        waits.sort();
        let times = (written() - before) as f64 / changed as f64;
        println!(
            "{} bytes in the file, {times:.1} times what has changed was written; the node was waited for: median {:?}, \
             99 % {:?}, longest {:?}",
            size(),
            waits[200],
            waits[396],
            waits[399]
        );
        ended(first).await;
        let begun = Instant::now();
        let again = large(&network, Some(place.data())).await;
        let took = begun.elapsed();
        println!(
            "{MILLION} entries are read back in {took:?}; a tree takes as many random numbers in {:?}",
            reference()
        );
        assert_eq!(again.inspect(|node| node.entry_count()), MILLION as usize);
        assert!(times <= 10.0, "{times:.1} times");
        // The longest may be a moment in which the machine did something else.
        assert!(waits[396] <= millis(1), "{:?}", waits[396]);
        assert!(cfg!(debug_assertions) || took <= millis(3_000), "{took:?}");
    });
}

/// A million entries with data and without, each in a process of its own, since memory that was given back stays resident.
#[test]
#[ignore = "a million entries, twice: run it with optimisation"]
fn a_journal_of_a_million_entries_takes_no_tenth_more_memory() {
    const NAME: &str = "a_journal_of_a_million_entries_takes_no_tenth_more_memory";
    if let Ok(kind) = std::env::var("GOSSIP_MEMORY") {
        common::run_for(millis(600_000), || async move {
            let (network, place) = (Network::default(), Place::new("memory"));
            let gossip = large(&network, (kind == "kept").then(|| place.data())).await;
            let own = || reported("/proc/self/status", "RssAnon:").unwrap_or_default();
            let mut most = 0;
            for round in 0..2 {
                for n in 0..MILLION {
                    gossip.put(format!("entry/{n}"), [round; 100]).unwrap();
                    if n % 10_000 == 0 {
                        most = most.max(own());
                    }
                }
                gossip.saved().await.unwrap();
                most = most.max(own());
            }
            println!("resident {most} kB");
        });
        return;
    }
    let [kept, not]: [u64; 2] = ["kept", "not"].map(|kind| {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args([NAME, "--exact", "--ignored", "--nocapture"]).env("GOSSIP_MEMORY", kind);
        let output = test.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let most =
            text.split_once("resident ").and_then(|(_, rest)| rest.split_once(" kB")).map(|(most, _)| most.parse());
        most.unwrap_or_else(|| panic!("{text}")).unwrap()
    });
    let ratio: f64 = kept as f64 / (not as f64);
    println!("a million values of 100 bytes: {kept} kB with a journal, {not} kB without, {ratio:.2} times");
    assert!(ratio <= 1.1 || not == 0, "{ratio:.2}");
}
