//! Log records of a node carry its id.

mod common;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use common::gossip::Network;
use common::{pair, run, runtime};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_of_a_nodes_log_carries_its_id() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    subscriber.with_writer(move || writer.clone()).init();
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        first.put("name", b"secret").unwrap();
        second.wait_for("name").await.unwrap();
        first.stop();
        first.stopped().await.unwrap();
        // The event goes to the log when it goes to the readers, a moment after it can be seen.
        runtime::sleep(common::millis(100)).await;
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let of = |id: &str, what: &str| {
        log.lines().any(|line| line.contains(&format!("gossip{{node={id}}}: ")) && line.contains(what))
    };
    assert!(of("0000000000000001", "stopped"), "{log}");
    assert!(of("0000000000000001", "member is alive member=0000000000000002"), "{log}");
    assert!(of("0000000000000002", "entry is written name=name bytes=6"), "{log}");
    let at = |level: &str, what: &str| log.lines().filter(|line| line.contains(what)).all(|line| line.contains(level));
    assert!(at(" INFO ", "member is") && at("DEBUG ", "entry is"), "{log}");
    assert!(!log.contains("secret"), "values are told by their length: {log}");
    assert!(log.lines().all(|line| line.contains("gossip{node=")), "{log}");
}
