//! Snapshots in any data format, with the version of ours that wrote them.

use std::time::Duration;

use gossip_core::{Node, Snapshot};
use gossip_testkit::{Addr, Cluster, Command};

fn snapshot() -> Snapshot<Addr> {
    let mut cluster = Cluster::<Node<Addr>>::new(4, 1);
    cluster.run_rounds(10);
    for command in
        [Command::put("a", "\u{0}\u{e9}\n"), Command::put("b", ""), Command::delete("b"), Command::broadcast("c")]
    {
        cluster.command(0, &command).unwrap();
    }
    let own =
        Command::Put { name: "d".into(), value: "own".into(), own: true, time_to_live: Some(Duration::from_secs(60)) };
    cluster.command(2, &own).unwrap();
    cluster.run_rounds(10);
    cluster.node(3).snapshot()
}

#[test]
fn it_survives_text_and_bytes() {
    let snapshot = snapshot();
    // Three members, a value, a death certificate, a broadcast, and what one of the members owns.
    assert_eq!(snapshot.len(), 7);
    let bytes = postcard::to_allocvec(&snapshot).unwrap();
    assert_eq!(postcard::from_bytes(&bytes), Ok(snapshot.clone()));
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot<Addr>>(&text).unwrap(), snapshot);
}

#[test]
fn a_version_to_come_is_refused_by_its_name() {
    let text = serde_json::to_string(&snapshot()).unwrap();
    let error = serde_json::from_str::<Snapshot<Addr>>(&text.replacen("\"1\"", "\"2\"", 1)).unwrap_err().to_string();
    assert!(error.contains("unknown variant `2`"), "{error}");
}
