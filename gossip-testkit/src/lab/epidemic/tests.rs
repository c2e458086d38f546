//! The model itself: cases that can be done by hand, and the estimate of the residue against counting.

use gossip_core::Config;

use super::*;

fn policy(exchange: Exchange, response: Response, loss_of_interest: LossOfInterest, k: u32) -> Policy {
    let fanout = 1;
    Policy { exchange, response, loss_of_interest, k, fanout, minimization: false, ..Config::lan().rumor }
}

fn push(k: u32) -> Policy {
    policy(Exchange::Push, Response::Feedback, LossOfInterest::Counter, k)
}

#[test]
fn two_sites_by_hand() {
    // Site 0 tells in the first cycle; then both tell each other, uselessly, `k` times.
    for k in [1, 2, 5] {
        let outcome = Epidemic::new(2, push(k)).run(1).unwrap();
        assert_eq!(outcome, Outcome { residue: 0.0, traffic: f64::from(1 + 2 * k) / 2.0, t_ave: 0.5, t_last: 1 });
        assert_eq!(Epidemic::new(2, push(k)).expected_residue(1), Ok(Some(0.0)));
    }
    // Pull: site 1 asks in the first cycle; then each asks the other, `k` times.
    let pull = policy(Exchange::Pull, Response::Feedback, LossOfInterest::Counter, 3);
    assert_eq!(Epidemic::new(2, pull).run(1).unwrap().traffic, 7.0 / 2.0);
    // Push-pull: of two who know, one sends and the other sees that it need not.
    let both = policy(Exchange::PushPull, Response::Feedback, LossOfInterest::Counter, 3);
    let outcome = Epidemic::new(2, both).run(1).unwrap();
    assert_eq!((outcome.residue, outcome.t_last), (0.0, 1));
}

#[test]
fn a_fanout_of_all_others_tells_them_all_at_once() {
    let outcome = Epidemic::new(9, Policy { fanout: 8, ..push(1) }).run(3).unwrap();
    // A cycle of eight useful sends, and one in which all nine send eight useless ones.
    assert_eq!(outcome, Outcome { residue: 0.0, traffic: 80.0 / 9.0, t_ave: 8.0 / 9.0, t_last: 1 });
}

#[test]
fn a_blind_site_that_sends_once_makes_a_chain() {
    let blind = policy(Exchange::Push, Response::Blind, LossOfInterest::Coin, 1);
    let outcome = Epidemic::new(100, blind).run(9).unwrap();
    let informed = 100.0 * (1.0 - outcome.residue);
    assert!((outcome.traffic * 100.0 - informed).abs() < 1e-9, "each sends once: {outcome:?}");
    assert!((f64::from(outcome.t_last) - (informed - 1.0)).abs() < 1e-9, "one after the other");
}

#[test]
fn the_marked_site_says_what_counting_says() {
    let minimization =
        Policy { minimization: true, ..policy(Exchange::PushPull, Response::Feedback, LossOfInterest::Counter, 1) };
    let menu = [
        push(1),
        Policy { fanout: 3, ..push(2) },
        policy(Exchange::Push, Response::Blind, LossOfInterest::Coin, 2),
        policy(Exchange::Pull, Response::Feedback, LossOfInterest::Counter, 1),
        Policy { fanout: 2, ..policy(Exchange::Pull, Response::Blind, LossOfInterest::Counter, 1) },
        policy(Exchange::PushPull, Response::Feedback, LossOfInterest::Coin, 1),
        minimization,
    ];
    for policy in menu {
        // Small, so that an error of order 1/n would show.
        let epidemic = Epidemic::new(30, policy);
        let runs = trials(20_000, 4, &|| (), |seed| (epidemic.run(seed).unwrap(), epidemic.expected_residue(!seed)));
        let counted = Estimate::of(runs.iter().map(|(outcome, _)| outcome.residue));
        let expected = Estimate::of(runs.iter().map(|(_, expected)| expected.clone().unwrap().unwrap()));
        let error = counted.error().hypot(expected.error());
        assert!((counted.mean - expected.mean).abs() < 4.0 * error, "{epidemic:?}: {counted:?} {expected:?}");
        assert!(expected.sd < counted.sd, "it is the better estimate: {epidemic:?}");
    }
}

#[test]
fn with_a_connection_limit_residue_is_counted() {
    let epidemic = Epidemic { connection_limit: Some(1), ..Epidemic::new(100, push(1)) };
    assert_eq!(epidemic.expected_residue(1), Ok(None));
    let measured = Measured::of(&epidemic, 50, 1, &|| ()).unwrap();
    assert!(measured.residue.mean > 0.0);
}

#[test]
fn impossible_settings_are_refused_by_name_and_bound() {
    let good = Epidemic::new(100, push(1));
    let refused = |epidemic: Epidemic| epidemic.run(1).unwrap_err();
    assert_eq!(refused(Epidemic { nodes: 1, ..good.clone() }).to_string(), "nodes must be from 2 to 1000000");
    assert_eq!(refused(Epidemic { nodes: MAX_NODES + 1, ..good.clone() }).setting, "nodes");
    assert_eq!(refused(Epidemic::new(3, Policy { fanout: 3, ..push(1) })).to_string(), "fanout must be from 1 to 2");
    assert_eq!(refused(Epidemic::new(100, Policy { fanout: 33, ..push(1) })).setting, "fanout");
    assert_eq!(refused(Epidemic::new(100, push(0))).setting, "k");
    assert_eq!(refused(Epidemic::new(100, push(256))).setting, "k");
    assert_eq!(refused(Epidemic::new(100, Policy { minimization: true, ..push(1) })).setting, "minimization");
    assert_eq!(refused(Epidemic { connection_limit: Some(0), ..good.clone() }).setting, "connection_limit");
    assert_eq!(refused(Epidemic { hunt: 1, ..good }).setting, "hunt");
}
