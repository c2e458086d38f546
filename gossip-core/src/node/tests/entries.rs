//! Entries and members as the application asks for them.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::Status;
use crate::wire::Repair;

#[test]
fn no_clock_decides_which_stamps_are_taken_but_a_constant_does() {
    let mut node = node(1, Config::lan());
    tick(&mut node, START);
    let ahead = |secs: u64| {
        let Update::Entry(entry) = entry(&secs.to_string(), b"x") else { unreachable!() };
        let stamp = Stamp { time: START + Duration::from_secs(secs), ..entry.stamp };
        Update::Entry(Entry { stamp, ..entry })
    };
    let latest = crate::update::LATEST.since(START).as_secs();
    hear(&mut node, START, &[Message::Repair(Repair::Updates([latest + 1, 0, 3_600, latest].map(ahead).to_vec()))]);
    let names: Vec<_> = node.entries("").map(|(name, _)| name.to_string()).collect();
    assert_eq!((names, node.stats().updates_ahead), (vec!["0".into(), latest.to_string(), "3600".into()], 1));
    // A value from the far future is overwritten like any other, but at the end of time.
    let stamp = node.put(START, "3600", b"y").unwrap();
    assert_eq!(stamp.time, START + 3_600 * SECOND);
    assert_eq!(node.put(START, "other", b"z").unwrap().time, START);
    node.set_wall_clock(START, crate::update::LATEST + SECOND);
    let refused = node.put(START, "late", b"z");
    assert!(matches!(refused, Err(crate::WriteError::TooLate { .. })), "{refused:?}");
}

#[test]
fn entries_are_found_by_prefix_and_what_members_own_by_its_name() {
    let mut net = Net::joined(3, &Config::lan());
    for (at, name) in [(0, "config/a"), (1, "config/b"), (2, "config"), (0, "confih"), (1, "z")] {
        net.nodes[at].put(net.now, name, name.as_bytes()).unwrap();
        net.nodes[at].put_own(net.now, "config/a", b"own").unwrap();
    }
    net.run(SECOND);
    let node = &net.nodes[2];
    let names = |prefix| node.entries(prefix).map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names("config/"), ["config/a", "config/b"], "in order, and not what somebody owns");
    assert_eq!(names("config").len(), 3);
    assert_eq!((names("").len(), names("zz").len()), (5, 0));
    assert_eq!(node.entries_named("config/a").map(|(owner, _)| owner.get()).collect::<Vec<_>>(), [1, 2, 3]);
    net.nodes[0].delete_own(net.now, "config/a").unwrap();
    net.run(SECOND);
    let node = &net.nodes[2];
    assert_eq!(node.entries_named("config/a").map(|(owner, _)| owner.get()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(node.get("config/a").as_deref(), Some(&b"config/a"[..]), "the shared one is another entry");
}

#[test]
fn a_member_that_is_forgotten_has_left_for_all_until_it_speaks() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes[2].put_own(net.now, "role", b"db").unwrap();
    net.run(SECOND);
    let gone = net.nodes[2].id();
    net.lose = |from, to| from == 2 || to == 2;
    net.nodes[0].forget(net.now, gone);
    net.run(2 * SECOND);
    for node in &net.nodes[..2] {
        assert_eq!((node.member(gone).map(|member| member.status), node.live_members()), (Some(Status::Left), 2));
    }
    let own = net.nodes[0].id();
    net.nodes[0].forget(net.now, own);
    assert_eq!(net.nodes[0].live_members(), 2, "nobody forgets itself");
    net.lose = |_, _| false;
    net.run(30 * SECOND);
    assert!(net.nodes.iter().all(|node| node.live_members() == 3 && node.get_own(gone, "role").is_some()));
}
