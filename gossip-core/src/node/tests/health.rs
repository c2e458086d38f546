//! Alerts: each is produced once by what causes it, and ends with its cause.

use std::string::ToString;

use super::*;
use crate::wire::Rumor;
use crate::{Bound, Problem};

fn kinds(node: &Node<u32>, now: Instant) -> Vec<&'static str> {
    node.health(now).iter().map(|alert| alert.problem.kind()).collect()
}

fn isolations(node: &mut Node<u32>) -> Vec<bool> {
    let events = core::iter::from_fn(|| node.poll_event());
    events.filter_map(|event| if let Event::Isolated(isolated) = event { Some(isolated) } else { None }).collect()
}

#[test]
fn a_healthy_start_says_nothing_of_isolation_and_neither_does_a_departure() {
    let mut net = Net::joined(2, &Config::lan());
    net.run(20 * SECOND);
    for at in 0..2 {
        assert_eq!(kinds(&net.nodes[at], net.now), [""; 0]);
        assert_eq!(isolations(&mut net.nodes[at]), [false; 0]);
    }
    let now = net.now;
    net.nodes[1].leave(now);
    net.run(20 * SECOND);
    assert!(net.nodes[1].has_left());
    assert_eq!((isolations(&mut net.nodes[1]), net.nodes[1].health(net.now)), ([].into(), [].into()));
}

#[test]
fn a_join_has_three_periods_before_silence_is_an_alert_and_an_answer_ends_it() {
    let mut net = Net::new(2, &Config::lan());
    net.nodes[1].join(START, [0]);
    net.lose = |_, _| true;
    let period = Config::lan().probe.period;
    net.run(3 * period - Duration::from_millis(1));
    assert_eq!((isolations(&mut net.nodes[1]), kinds(&net.nodes[1], net.now)), ([].into(), [].into()));
    net.run(Duration::from_millis(2));
    assert_eq!((isolations(&mut net.nodes[1]), kinds(&net.nodes[1], net.now)), ([true].into(), ["isolated"].into()));
    net.run(7 * SECOND);
    let alert = &net.nodes[1].health(net.now)[0];
    assert_eq!(net.now.since(alert.since).as_secs(), 7);
    assert!(alert.to_string().starts_with("nobody answers: check the network"));
    net.lose = |_, _| false;
    net.run(20 * SECOND);
    assert_eq!((isolations(&mut net.nodes[1]), kinds(&net.nodes[1], net.now)), ([false].into(), [].into()));
}

#[test]
fn who_loses_the_last_member_says_so_at_once() {
    let mut net = Net::joined(2, &Config::lan());
    net.lose = |_, _| true;
    net.run(120 * SECOND);
    assert_eq!((isolations(&mut net.nodes[0]), kinds(&net.nodes[0], net.now)), ([true].into(), ["isolated"].into()));
    net.nodes[0].join(net.now, []);
    assert_eq!(kinds(&net.nodes[0], net.now), ["isolated"], "nobody has answered");
}

#[test]
fn who_lacks_nearly_everything_says_how_far_it_is() {
    let mut net = Net::new(1, &Config::lan());
    net.nodes[0].join(START, []);
    for n in 0..2_000_u32 {
        net.nodes[0].put(START, &n.to_string(), &[7; 100]).unwrap();
    }
    net.run(20 * SECOND);
    let mut late = node(1, Config::lan());
    late.join(net.now, [0]);
    net.nodes.push(late);
    // All datagrams of this net arrive at once: look between two of them.
    let (mut seen, mut buffer) = (None, [0; 1_200]);
    'all: for _ in 0..10_000 {
        for from in [1, 0] {
            if let Some(transmit) = net.nodes[from].poll_transmit(&mut buffer) {
                let source = u32::try_from(from).unwrap();
                let input = Input::Datagram { from: &source, payload: &buffer[..transmit.len] };
                let _ = net.nodes[transmit.to as usize].handle(net.now, input);
            }
            seen = seen.or_else(|| net.nodes[1].health(net.now).pop());
            if seen.is_some() {
                break 'all;
            }
        }
    }
    let problem = seen.expect("it catches up").problem;
    assert!(matches!(problem, Problem::CatchingUp { expected, .. } if expected > 1_000), "{problem}");
    net.run(20 * SECOND);
    assert!(net.nodes[1].get("1999").is_some() && net.nodes[1].health(net.now).is_empty());
}

#[test]
fn a_wrong_clock_is_an_alert_until_it_is_set() {
    let mut net = Net::joined(4, &Config::lan());
    let wrong = net.now + 3_600 * SECOND;
    let now = net.now;
    net.nodes[1].set_wall_clock(now, wrong);
    net.run(20 * SECOND);
    let alerts = net.nodes[1].health(net.now);
    let Problem::ClockWrong { peers, own } = &alerts[0].problem else { panic!("{alerts:?}") };
    assert!(own.since(*peers).abs_diff(3_600 * SECOND) < SECOND && peers.abs_diff(net.now) < SECOND);
    assert!(alerts[0].since.abs_diff(net.now) < 25 * SECOND, "in the time that the others have");
    let now = net.now;
    net.nodes[1].set_wall_clock(now, now);
    net.run(20 * SECOND);
    assert_eq!(kinds(&net.nodes[1], net.now), [""; 0]);
}

#[test]
fn a_full_node_says_at_which_bound() {
    let mut config = Config::lan();
    config.limits.entries = 2;
    config.limits.share = 100;
    let mut net = Net::joined(2, &config);
    let now = net.now;
    for name in ["a", "b", "c"] {
        let by = |update: Update<u32>| Message::Rumor(Rumor::Mail(Item::Update(update)));
        hear(&mut net.nodes[0], now, &[by(entry(name, b"value"))]);
    }
    let alerts = net.nodes[0].health(now);
    assert_eq!(
        alerts.iter().map(|alert| &alert.problem).collect::<Vec<_>>(),
        [&Problem::Full { bound: Bound::Entries }]
    );
    assert_eq!(alerts[0].problem.to_string(), "limits.entries is reached: new items are refused");
}

#[test]
fn a_twin_is_an_alert_until_it_has_been_silent_for_a_while() {
    let mut net = Net::joined(2, &Config::lan());
    let mut now = net.now;
    for life in 0..4_u64 {
        now += 60 * SECOND;
        let twin = Record { boot: now, incarnation: now.as_micros() + life, ..record(1, Standing::Alive) };
        hear(&mut net.nodes[0], now, &[Message::Rumor(Rumor::Mail(Item::Update(Update::Member(twin))))]);
    }
    let alerts = net.nodes[0].health(now);
    assert_eq!(alerts[0].problem, Problem::IdentityConflict { address: 4_000 });
    net.now = now;
    net.run(400 * SECOND);
    assert_eq!(kinds(&net.nodes[0], net.now), [""; 0]);
}

#[test]
fn datagrams_that_cannot_be_read_are_an_alert_until_none_has_come_for_an_hour() {
    let mut net = Net::joined(2, &Config::lan());
    let mut other = Net::joined(2, &Config { label: "other".into(), ..Config::lan() });
    let foreign = transmits({
        let now = other.now;
        other.nodes[0].put(now, "name", b"value").unwrap();
        &mut other.nodes[0]
    });
    let mut later = foreign[0].2.clone();
    later[0] = 9 << 4 | later[0] & 0x0f;
    let hears = |net: &mut Net, payload: &[u8]| {
        let now = net.now;
        net.nodes[0].handle(now, Input::Datagram { from: &77, payload }).unwrap_err();
        tick(&mut net.nodes[0], now);
    };
    hears(&mut net, &foreign[0].2);
    hears(&mut net, &later);
    let begun = net.now;
    let problems: Vec<_> = net.nodes[0].health(begun).into_iter().map(|alert| alert.problem).collect();
    assert_eq!(
        problems,
        [Problem::ForeignCluster { address: 77 }, Problem::UnknownVersion { version: 9, address: 77 }]
    );
    // One more in the hour: the alert goes on into the next.
    net.run(1_800 * SECOND);
    hears(&mut net, &later);
    net.run(1_900 * SECOND);
    let alerts = net.nodes[0].health(net.now);
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].since.abs_diff(begun) < 2 * SECOND, "it is the same one");
    net.run(3_700 * SECOND);
    assert_eq!(net.nodes[0].health(net.now), []);
}

#[cfg(feature = "encryption")]
#[test]
fn a_datagram_without_a_key_is_an_alert_where_one_is_required() {
    let mut net = Net::joined(2, &Config::lan());
    let now = net.now;
    let keyring = crate::Keyring::new(crate::Key::new([1; 32]), [1; 16]);
    net.nodes[0].set_keyring(Some(keyring));
    net.run(20 * SECOND);
    let alerts = net.nodes[0].health(net.now);
    // Nobody can answer it, either.
    assert_eq!((alerts.len(), &alerts[0].problem), (2, &Problem::Isolated));
    assert_eq!(alerts[1].problem, Problem::UnknownKey { key: 0, address: 1 });
    assert!(alerts[1].since >= now);
}

#[test]
fn what_cannot_be_restored_is_an_alert_for_an_hour() {
    let mut full = Net::joined(2, &Config::lan());
    let now = full.now;
    for name in ["a", "b", "c", "d"] {
        full.nodes[0].put(now, name, b"value").unwrap();
    }
    let mut config = Config::lan();
    config.limits.entries = 1;
    let mut small = node(7, config);
    small.restore(now, full.nodes[0].snapshot()).unwrap();
    let lost = |node: &Node<u32>, now| {
        let alerts = node.health(now).into_iter();
        alerts
            .filter_map(|alert| if let Problem::RestoredWithLoss { lost } = alert.problem { Some(lost) } else { None })
            .next()
    };
    assert_eq!(lost(&small, now), Some(3));
    // A driver knows of more.
    small.note_loss(now, 4);
    assert_eq!((lost(&small, now), lost(&small, now + 3_601 * SECOND)), (Some(7), None));
}

#[test]
fn a_node_with_larger_datagrams_is_an_alert_and_not_called_malformed() {
    let mut net = Net::joined(2, &Config::lan());
    let mut large = Net::joined(2, &Config { max_datagram: 1_400, ..Config::lan() });
    let now = large.now;
    large.nodes[0].put(now, "name", &[7; 1_220]).unwrap();
    let mut buffer = [0; 1_400];
    let sent =
        core::iter::from_fn(|| large.nodes[0].poll_transmit(&mut buffer).map(|sent| buffer[..sent.len].to_vec()));
    let long = sent.into_iter().find(|sent| sent.len() > 1_200).unwrap();
    let now = net.now;
    net.nodes[0].handle(now, Input::Datagram { from: &77, payload: &long }).unwrap_err();
    tick(&mut net.nodes[0], now);
    let length = long.len();
    let alerts = net.nodes[0].health(now);
    assert_eq!(alerts[0].problem, Problem::LargerDatagrams { length, longest: 1_200, address: 77 });
    assert!(net.events(0).contains(&Event::LargerDatagrams { length, longest: 1_200, address: 77 }));
    let stats = net.nodes[0].stats();
    assert_eq!((stats.datagrams_foreign, stats.datagrams_malformed), (1, 0));
}
