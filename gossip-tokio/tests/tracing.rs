//! Log records of a node carry its id, and do not repeat what is known.

mod common;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use common::gossip::gossip_core::{Config, NodeId};
use common::gossip::{Memory, Network, Transport, over};
use common::{millis, pair, run, runtime};

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

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The log of this process, to which both tests write: a subscriber is for all threads of a process.
fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let begin = || {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
        subscriber.with_writer(move || writer.clone()).init();
        log
    };
    LOG.get_or_init(begin).clone()
}

#[test]
fn every_line_of_a_nodes_log_carries_its_id() {
    let log = log();
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        first.put("name", b"secret").unwrap();
        second.wait_for("name").await.unwrap();
        first.stop();
        first.stopped().await.unwrap();
        // The event goes to the log when it goes to the readers, a moment after it can be seen.
        runtime::sleep(millis(100)).await;
        // An exchange that goes on is told of when its node ends.
        second.stop();
        second.stopped().await.unwrap();
    });
    let log = log.text();
    let of = |id: &str, what: &str| {
        log.lines().any(|line| line.contains(&format!("gossip{{node={id}}}: ")) && line.contains(what))
    };
    assert!(of("0000000000000001", "stopped"), "{log}");
    assert!(of("0000000000000001", "member is alive member=0000000000000002"), "{log}");
    assert!(of("0000000000000002", "entry is written name=name bytes=6"), "{log}");
    let at = |level: &str, what: &str| log.lines().filter(|line| line.contains(what)).all(|line| line.contains(level));
    assert!(at(" INFO ", "member is") && at("DEBUG ", "entry is"), "{log}");
    let begins = |line: &&str| line.contains("exchange{peer=") && line.contains("an exchange begins");
    let exchanges = log.lines().filter(begins).count();
    let ended = log.lines().filter(|line| line.contains("exchange{peer=") && line.contains("the exchange is over"));
    assert!(exchanges > 0 && ended.count() > 0, "{log}");
    assert!(!log.contains("secret"), "values are told by their length: {log}");
    assert!(log.lines().all(|line| line.contains("gossip{node=")), "{log}");
}

/// A transport that cannot send, for the one reason or the other, and counts its attempts.
struct Refusing {
    inner: Memory,
    denied: Arc<AtomicBool>,
    attempts: Arc<Mutex<HashMap<(u64, io::ErrorKind), u32>>>,
}

impl Transport for Refusing {
    type Address = u64;

    fn send(&self, to: &u64, _: &[u8]) -> io::Result<()> {
        let denied = self.denied.load(Ordering::Relaxed);
        let kind = if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NetworkUnreachable };
        *self.attempts.lock().unwrap().entry((*to, kind)).or_default() += 1;
        Err(kind.into())
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        self.inner.recv(buffer).await
    }
}

#[test]
fn the_first_failure_to_send_is_told_once_for_each_address_and_kind() {
    let log = log();
    run(move || async move {
        let (denied, attempts) = (Arc::<AtomicBool>::default(), Arc::<Mutex<HashMap<_, _>>>::default());
        let inner = Network::default().attach(30).unwrap();
        let transport = Refusing { inner, denied: Arc::clone(&denied), attempts: Arc::clone(&attempts) };
        let node = over(transport, 30).id(NodeId::new(0x30)).config(Config::local()).join([31, 32]);
        let node = node.spawn().await.unwrap();
        let told = |to: u64, error: io::ErrorKind| {
            let (to, error) = (format!("to={to} "), format!("error={}", io::Error::from(error)));
            let about = |line: &&str| line.contains("gossip{node=0000000000000030}") && line.contains("sending fails");
            let text = log.text();
            let lines = text.lines().filter(about).filter(|line| line.contains(&to) && line.contains(&error));
            lines.inspect(|line| assert!(line.contains(" WARN "), "{line}")).count()
        };
        for kind in [io::ErrorKind::NetworkUnreachable, io::ErrorKind::PermissionDenied] {
            denied.store(kind == io::ErrorKind::PermissionDenied, Ordering::Relaxed);
            let often = |to: u64| attempts.lock().unwrap().get(&(to, kind)).is_some_and(|count| *count >= 3);
            while !(often(31) && often(32)) {
                runtime::sleep(millis(20)).await;
            }
            assert_eq!([told(31, kind), told(32, kind)], [1, 1], "{}", log.text());
        }
        assert_eq!(told(31, io::ErrorKind::NetworkUnreachable), 1);
        let all: u32 = attempts.lock().unwrap().values().sum();
        assert!(node.stats().driver.sends_failed + 1 >= u64::from(all), "each is counted");
    });
}
