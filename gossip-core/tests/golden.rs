//! Snapshots of earlier formats are read. A format is never changed: a new one gets a file of its own, and those of the two
//! minor releases before stay.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gossip_core::{Config, Instant, Node, NodeId, PutOptions, Snapshot, Tags};

const START: Instant = Instant::from_secs(1_700_000_000);

fn node() -> Node<SocketAddr> {
    let mut config = Config::lan();
    config.label = "golden".into();
    Node::new(NodeId::new(7), SocketAddr::from(([192, 0, 2, 7], 7_000)), config, 1).unwrap()
}

/// Everything that can be in a snapshot of a node without others.
fn written() -> Node<SocketAddr> {
    let mut node = node();
    node.set_name(START, "db").unwrap();
    node.set_tags(START, Tags::of([("role", "primary")]).unwrap()).unwrap();
    node.join(START, []);
    node.put(START, "kept", b"value").unwrap();
    node.put(START, "large", &[7; 5_000]).unwrap();
    let lease = PutOptions::default().time_to_live(Duration::from_secs(86_400));
    node.put_with(START, "lease", b"value", lease).unwrap();
    node.put(START, "gone", b"value").unwrap();
    node.delete(START, "gone").unwrap();
    node.put_own(START, "own", b"ends with the boot").unwrap();
    node.broadcast(START, b"hello").unwrap();
    node.claim_shares();
    node.put_share(START, "share", b"outlives the boot").unwrap();
    node
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[track_caller]
fn is_read(name: &str, len: usize) -> Node<SocketAddr> {
    let snapshot: Snapshot<SocketAddr> = postcard::from_bytes(&std::fs::read(file(name)).unwrap()).unwrap();
    assert_eq!((snapshot.id(), snapshot.label(), snapshot.len()), (NodeId::new(7), "golden", len));
    let now = START + Duration::from_secs(60);
    let mut again = node();
    again.restore(now, snapshot).unwrap();
    again.join(now, []);
    assert_eq!(again.get("kept").as_deref(), Some(&b"value"[..]));
    assert_eq!(again.get("large").map(|value| value.len()), Some(5_000));
    assert!(again.get("lease").is_some() && again.get("gone").is_none());
    assert!(again.health(now).is_empty());
    again
}

#[test]
fn snapshots_of_every_format_that_is_kept_up_are_read() {
    is_read("snapshot-1", 5);
    let again = is_read("snapshot-1-shares", 6);
    assert_eq!(again.get_share(NodeId::new(7), "share").as_deref(), Some(&b"outlives the boot"[..]));
    assert_eq!(again.get_own(NodeId::new(7), "own"), None);
}

/// A failure here means that the format has changed: what is written today gets the next number.
#[test]
fn the_newest_format_is_what_is_written() {
    let bytes = postcard::to_allocvec(&written().snapshot()).unwrap();
    if std::env::var_os("GOSSIP_GOLDEN").is_some() {
        std::fs::write(file("snapshot-1-shares"), &bytes).unwrap();
    }
    assert!(
        bytes == std::fs::read(file("snapshot-1-shares")).unwrap(),
        "{} bytes that differ from the file",
        bytes.len()
    );
}
