//! Text and back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Dice, Scenario, Swarm};
use crate::address::Addr;
use crate::command::Command;
use crate::plan::{Chance, Fault, FaultPlan, Harm, Links, Nodes, Window};

type Sample = Scenario<Command>;

fn back(scenario: &Sample) {
    let (lines, line) = (scenario.to_string(), format!("{scenario:?}"));
    assert_eq!(lines.parse::<Sample>().as_ref(), Ok(scenario), "{lines}");
    assert_eq!(line.parse::<Sample>().as_ref(), Ok(scenario), "{line}");
    assert!(!line.contains('\n'));
}

#[test]
fn random_scenarios_survive_printing() {
    let swarm = Swarm { nodes: 1..=12, ..Swarm::default() };
    for number in 0..5_000 {
        back(&swarm.scenario(number));
    }
}

#[test]
#[should_panic(expected = "`lost` is no class of faults, which are loss, burst,")]
fn a_class_of_faults_that_there_is_not_is_no_class_left_out() {
    Swarm { classes: vec!["loss", "lost"], ..Swarm::default() }.scenario::<Command>(0);
}

#[test]
fn dice_fall_on_every_number_within_bounds() {
    let mut dice = Dice::new(1);
    let fallen: BTreeSet<u64> = (0..1_000).map(|_| dice.within(u64::MAX - 2..=u64::MAX)).collect();
    assert_eq!(fallen.len(), 3);
    assert!((0..1_000).any(|_| dice.within(0..=u64::MAX) > u64::MAX / 2));
}

#[test]
#[should_panic(expected = "there is no number within 5..=3")]
fn dice_without_a_side_do_not_fall() {
    let (most, least) = (3, 5);
    Dice::new(1).within(least..=most);
}

#[test]
#[should_panic(expected = "a scenario of no nodes shows nothing: 0..=3")]
fn a_swarm_has_nodes() {
    Swarm { nodes: 0..=3, ..Swarm::default() }.scenario::<Command>(0);
}

#[test]
fn every_class_of_faults_is_drawn() {
    for class in Swarm::CLASSES {
        let swarm = Swarm { classes: vec![class], ..Swarm::default() };
        let consists_of = match class {
            "flap" => "cut",
            "deploy" | "seedless" => "crash",
            "clock" => "skew",
            "absence" => "pause",
            "reseed" => "move",
            "churn" => "guest",
            class => class,
        };
        let is_one = |fault: &Fault| fault.class() == consists_of;
        let drawn = |number| swarm.scenario::<Command>(number).plan.faults.iter().any(is_one);
        assert!((0..20).any(drawn), "{class}");
    }
}

#[test]
fn a_fault_of_no_node_is_refused() {
    let message = refused(&Scenario::new(1).plan(FaultPlan::new().partition(0, 1..1, Window::secs(1, 2))));
    assert_eq!(message, "`cut 0 <->  from 1s to 2s` is about no node");
}

#[test]
fn every_fault_survives_printing_with_odd_values() {
    let micros = Duration::from_micros;
    let windows = [Window::new(micros(1), micros(1_000_001)), Window::since(micros(1_234_500))];
    let mut plan = FaultPlan::new()
        .crash(3, micros(5))
        .restart(1, micros(5), micros(500_000), true)
        .restart(2, micros(5), micros(500_000), false)
        .fault(Fault::LoseExactly { from: Addr(0), to: Addr(3), content: 0xfedc_ba98, occurrence: 7 });
    for during in windows {
        let on = Links::new([3, 0, 1], 2);
        plan = plan
            .loss(Chance::ppm(1), during)
            .burst(Chance::ppm(999_999), micros(1), micros(2), during)
            .duplicate(Chance::ALWAYS, during)
            .delay(Chance::ppm(123_456), micros(7), during)
            .far(micros(3), during)
            .guest(1, 9, during)
            .corrupt(Chance::ppm(0), during)
            .one_way(.., Nodes::from([0, 2, 3]), during)
            .fault(Fault::Loss { on, during, chance: Chance::percent(50) })
            .pause(0, during)
            .skew(0, -1, -5, during)
            .skew_beyond(2, 1 << 40, during)
            .skew(1, i64::from(i32::MAX), i32::MAX, during);
    }
    plan = plan.moved(1, 99, windows[0]).misplaced(2, 4, windows[0]).shorten(0, 1);
    plan = plan.set(.., "rumor.relay", "random").set([0, 2, 3], "x", "0.000001s");
    plan = plan.fault(Fault::Move { node: Addr(0), to: Addr(7), during: windows[1], restarts: true });
    for harm in Harm::ALL {
        plan = plan.damage(3, micros(5), micros(500_000), harm);
    }
    plan = plan.twin(3, 0, windows[0]).twin_that_stays(1, 2, windows[0]);
    back(&Scenario::new(4).seed(u64::MAX).seeds(0).plan(plan));
}

#[test]
fn every_command_survives_printing_with_odd_texts() {
    let mut scenario = Scenario::new(1);
    for text in
        ["", "plain", "two words", "; semicolon", "\"quoted\" \\", "line\nbreak\ttab\r", "é \u{1f600} \u{0}", "#"]
    {
        for (own, time_to_live) in [(false, None), (true, Some(Duration::from_millis(1_500)))] {
            let (name, value) = (text.to_owned(), text.to_owned());
            scenario = scenario.write(Duration::ZERO, 0, Command::Put { name, value, own, time_to_live });
            scenario = scenario.write(Duration::ZERO, 0, Command::Delete { name: text.to_owned(), own });
            scenario = scenario.write(Duration::ZERO, 0, Command::DeleteShare { name: text.to_owned() });
        }
        scenario = scenario.write(Duration::ZERO, 0, Command::broadcast(text));
    }
    for (unit, times) in [("94e179", 700), ("é", 64), ("a", 1 << 20), ("x 3 for", 10)] {
        let command = Command::put("large", unit.repeat(times));
        assert!(command.to_string().len() < 40, "{command}");
        scenario = scenario.write(Duration::ZERO, 0, command);
    }
    back(&scenario.write(Duration::ZERO, 0, Command::Leave).write(Duration::ZERO, 0, Command::Join));
}

#[test]
fn what_does_not_parse_is_named_by_line_and_column() {
    for (text, expected) in [
        ("", "line 1, column 1: expected a line `nodes`, found the end"),
        (
            "nodes 0-3\nloss 130% on * -> * from 1s to 2s",
            "line 2, column 6: expected a probability such as `30%`, found `130%`",
        ),
        ("nodes 0-3; seed x", "line 1, column 17: expected a number, found `x`"),
        ("nodes 0-1\nset rumor.k", "line 2, column 12: expected its value, found the end"),
        ("nodes 0-1\nset rumor.k 1 on 2", "line 2, column 1: there is no node 2 for `set rumor.k 1 on 2`"),
        ("nodes 0-1\nguest 1 at 0 from 1s on", "line 2, column 1: `guest 1 at 0 from 1s on` has the id of a node"),
        ("nodes 0-1\nshorten 0 to 0%", "line 2, column 14: expected a share such as `60%`, found `0%`"),
        (
            "nodes 0-1\ndamage 0 at 1s restart at 2s by fire",
            "line 2, column 33: expected flip, cut, zero or append, found `fire`",
        ),
        (
            "nodes 0-1\nmove 0 to 1 from 1s to 2s",
            "line 2, column 1: `move 0 to 1 from 1s to 2s` is at the address of a node, or never ends",
        ),
        (
            "nodes 0-1\nmisplace 0 at 9 from 1s on",
            "line 2, column 1: `misplace 0 at 9 from 1s on` is at the address of a node, or never ends",
        ),
        ("nodes 3-0", "line 1, column 7: expected nodes such as `0-4,7`, found `3-0`"),
        ("nodes 0-1\n\n  storm", "line 3, column 3: `storm` begins no statement"),
        (
            "nodes 0-1\nat 1s node 0: sing",
            "line 2, column 15: expected put, put-own, put-share, delete, delete-own, delete-share, forget, broadcast, leave or join",
        ),
        (
            "nodes 0-1\nat 1s node 0: put \"k\" \"0123456789\" x 104858",
            "line 2, column 15: expected a value of a megabyte at most",
        ),
        ("nodes 0-1\nat 1s node 0: put \"\" \"\" x 0", "line 2, column 15: expected how often, such as x 200"),
        ("nodes 0-1\nat 1s node 0 put", "line 2, column 13: expected `:` and a command"),
        ("nodes 0-1\nat 1s node 7: leave", "line 2, column 1: there is no node 7 to be written at"),
        ("nodes 0-1\nat 1s node 7: leave; seed 1\nseeds 1", "line 2, column 1: there is no node 7 to be written at"),
        ("at 1s node 0: leave;  crash 2 at 1s\nnodes 0-1", "line 1, column 23: there is no node 2 for `crash 2 at 1s`"),
        ("seed 1; nodes 0-1; seed 2", "line 1, column 20: a second `seed`"),
        ("nodes 0-1\nnodes 0-3", "line 2, column 1: a second `nodes`"),
        ("nodes 0-1\npause 9 from 1s on", "line 2, column 1: there is no node 9 for `pause 9 from 1s on`"),
        (
            "nodes 0-4\ncut 0-1 <-> 2,7-9 from 1s to 9s",
            "line 2, column 1: there is no node 7 for `cut 0-1 <-> 2,7-9 from 1s to 9s`",
        ),
        (
            "nodes 0-1\nlose 0 -> 2 00000000fedcba98 #0",
            "line 2, column 1: there is no node 2 for `lose 0 -> 2 00000000fedcba98 #0`",
        ),
        ("nodes 0-1\npause 1 from 1s", "line 2, column 16: expected `to` and a time, or `on`"),
        ("nodes 0-1\npause 1 from 1s to 2s later", "line 2, column 23: expected the end, found `later`"),
        ("nodes 0-1\ncut 0 to 1 from 1s on", "line 2, column 7: expected `->` or `<->`, found `to`"),
        (
            "nodes 0-1\ntwin 0 of 7 from 1s to 2s",
            "line 2, column 1: there is no node 7 for `twin 0 of 7 from 1s to 2s`",
        ),
        (
            "nodes 0-1\ntwin 0 of 1 from 1s on",
            "line 2, column 1: `twin 0 of 1 from 1s on` is no two processes, or two that never end",
        ),
        (
            "nodes 0-1\nloss 100% on * -> * from 5s to 1s",
            "line 2, column 1: `loss 100% on * -> * from 5s to 1s` ends at 1s, before it begins at 5s",
        ),
        ("nodes 0-1\ncrash 1 at 31536001s", "line 2, column 12: expected a time of a year at most"),
        ("nodes 0-1\ncrash 1", "line 2, column 8: expected `at`, found the end"),
        ("nodes 0-1\nlose 0 -> 1 12 #0", "line 2, column 13: expected 16 hex digits, found `12`"),
        (
            "nodes 0-1\nskew 0 by é drift 0ppm from 0s on",
            "line 2, column 11: expected a time such as `-1.5s`, found `é`",
        ),
    ] {
        let error = text.parse::<Sample>().expect_err(text);
        assert_eq!(error.to_string(), expected, "{text:?}");
    }
}

#[test]
fn a_comment_reaches_to_the_end_of_its_line() {
    let text = "# three; nodes 0-2; storm\nnodes 0-1; # two; seeds 7\nat 1s node 0: broadcast \"; # none\"";
    let expected = Scenario::new(2).write(Duration::from_secs(1), 0, Command::broadcast("; # none"));
    assert_eq!(text.parse(), Ok(expected));
}

/// Result of `check` for a scenario that nobody has parsed.
fn refused(scenario: &Sample) -> String {
    scenario.check().expect_err("it makes no sense")
}

#[test]
fn what_ends_before_it_begins_is_refused() {
    let (late, during) = (Duration::from_secs(5), Window::secs(5, 1));
    for plan in [
        FaultPlan::new().loss(0.5, during),
        FaultPlan::new().partition(0, 1, during),
        FaultPlan::new().pause(0, during),
        FaultPlan::new().skew(0, 1, 0, during),
        FaultPlan::new().twin(0, 1, during),
        FaultPlan::new().restart(0, late, Duration::from_secs(1), true),
    ] {
        let message = refused(&Scenario::new(2).plan(plan));
        assert!(message.ends_with("ends at 1s, before it begins at 5s"), "{message}");
    }
    let at_once = FaultPlan::new().restart(0, late, late, true).pause(1, Window::new(late, late));
    assert_eq!(Scenario::<Command>::new(2).plan(at_once).check(), Ok(()));
}

#[test]
fn a_clock_that_drifts_for_ages_is_too_far_off_and_no_overflow() {
    let plan = FaultPlan::new().skew(0, i64::MIN, i32::MAX, Window::new(Duration::ZERO, Duration::MAX));
    assert_eq!(plan.heals_at(), Duration::MAX);
    let year = "nodes 0\nskew 0 by 0s drift 2000000000ppm from 0s to 31536000s".parse::<Sample>().unwrap();
    assert_eq!(year.plan.faults[0].clock_error(), Duration::from_secs(31_536_000 * 2_000));
}

#[test]
fn nodes_out_of_order_are_refused() {
    let mut scenario: Sample = Scenario::new(3);
    scenario.nodes.swap(0, 2);
    assert_eq!(refused(&scenario), "the nodes 2,1,0 are not in ascending order, each once");
    let on = Links { from: Nodes::These(vec![Addr(1), Addr(1)]), to: Nodes::All };
    let plan = FaultPlan::new().fault(Fault::Cut { on, both_ways: false, during: Window::secs(1, 2) });
    let message = refused(&Scenario::new(3).plan(plan));
    assert_eq!(message, "the nodes 1,1 of `cut 1,1 -> * from 1s to 2s` are not in ascending order, each once");
}

#[test]
fn damaged_texts_are_refused_without_a_panic_or_read_as_something_that_prints() {
    let mut refused = 0;
    for number in 0..2_000 {
        let mut text = format!("{:?}", Swarm::default().scenario::<Command>(number)).into_bytes();
        let mut dice = Dice::new(number);
        for _ in 0..dice.within(1..=4) {
            let at = dice.within(0..=text.len() as u64 - 1) as usize;
            match dice.within(0..=2) {
                0 => text[at] = dice.within(32..=126) as u8,
                1 => drop(text.remove(at)),
                _ => text.insert(at, b"0-;:#\" \\"[dice.within(0..=7) as usize]),
            }
        }
        match String::from_utf8_lossy(&text).parse::<Sample>() {
            Ok(scenario) => back(&scenario),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1_000, "{refused}");
}

// Found by fuzzing: such a text took half a minute.
#[test]
fn nodes_that_are_named_again_and_again_are_named_once() {
    let text = format!("nodes {}3,1-2\n", "0-60000,05,".repeat(500));
    let scenario: Scenario<Command> = text.parse().unwrap();
    assert_eq!(scenario.nodes, (0..=60_000).map(Addr).collect::<Vec<_>>());
}
