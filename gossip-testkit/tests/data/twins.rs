//! Two processes of one id, and stamps that are used twice: equal versions of unequal bytes. Either may win, but it is
//! the same one everywhere.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Event, Instant};
use gossip_testkit::invariant::{Invariant, Violation, World};
use gossip_testkit::{
    Addr, Checker, Command, Counters, Dice, Fault, Links, Nodes, Scenario, View, Window, Workload, Write,
};

use super::{Sim, TAU, brief, cases, estranged, history, secs};

/// A node of `nodes` that only the network disturbs from now on.
fn undisturbed(scenario: &mut Scenario<Command>, dice: &mut Dice, besides: &[Addr]) -> Addr {
    let nodes: Vec<Addr> = scenario.nodes.iter().copied().filter(|node| !besides.contains(node)).collect();
    let one = *dice.pick(&nodes).expect("there are three nodes at least");
    scenario.plan.faults.retain(|fault| match fault {
        Fault::Crash { node, .. } | Fault::Pause { node, .. } | Fault::Skew { node, .. } => *node != one,
        _ => true,
    });
    one
}

/// Returns true if a node is cut off at that time for longer than certificates are kept. Its writes may come back after
/// others have deleted and forgotten them, as is documented.
fn is_estranged(scenario: &Scenario<Command>, node: Addr, at: Duration) -> bool {
    scenario.plan.faults.iter().any(|fault| match fault {
        Fault::Cut { on, during: during @ Window { from, to: Some(to) }, .. } => {
            let long = *to - *from > secs(TAU) && on.contains(node, Addr(u32::from(node == Addr(0))));
            let Window { from, to } = estranged(during);
            long && from <= at && to.is_none_or(|to| at < to)
        }
        _ => false,
    })
}

/// Two writes within one microsecond, which mostly differ.
fn write_twice(scenario: &mut Scenario<Command>, dice: &mut Dice, [one, other]: [(Addr, Duration); 2]) {
    if [one, other].into_iter().any(|(node, at)| is_estranged(scenario, node, at)) {
        return;
    }
    let mut first = Command::random(dice);
    let second = match &mut first {
        // What the two own, they own in different lives.
        Command::Put { name, own, .. } | Command::Delete { name, own } => {
            *own = false;
            let renamed = name.clone();
            match Command::random(dice) {
                Command::Put { value, time_to_live, .. } => {
                    Command::Put { name: renamed, value, own: false, time_to_live }
                }
                Command::Delete { .. } => Command::delete(renamed),
                other => other,
            }
        }
        _ => Command::broadcast(format!("{:x}", dice.bits() >> 40)),
    };
    for ((node, at), command) in [(one, first), (other, second)] {
        scenario.writes.push(Write { at, node, command });
    }
}

/// A [history] in which, once or twice for a while, two processes have one id and write, sometimes both at once.
fn with_twins(number: u64) -> Scenario<Command> {
    let mut scenario = history(number);
    let mut dice = Dice::new(number ^ 0x7717);
    let node = undisturbed(&mut scenario, &mut dice, &[]);
    let of = undisturbed(&mut scenario, &mut dice, &[node]);
    let mut from = 5;
    for _ in 0..dice.within(1..=2) {
        let begins = from + dice.within(0..=60);
        let to = begins + dice.within(1..=60);
        // The first node is one of those through whom all others join.
        let stays = of != Addr(0) && dice.within(0..=2) == 0;
        scenario.plan.faults.push(Fault::Twin { node, of, during: Window::secs(begins, to), stays });
        for _ in 0..dice.within(2..=6) {
            let at = Duration::from_millis(dice.within(begins * 1_000 + 1..=to * 1_000 - 1));
            write_twice(&mut scenario, &mut dice, [(node, at), (of, at)]);
        }
        if stays {
            break;
        }
        from = to + 1;
    }
    scenario.writes.sort_by_key(|write| write.at);
    scenario
}

/// A [history] in which a process writes and dies. Its successor has no memory, is out of reach, has a clock that was
/// set back, and writes again when that shows the same time.
fn with_stamps_reused(number: u64) -> Scenario<Command> {
    let mut scenario = history(number);
    let mut dice = Dice::new(number ^ 0x57a3);
    let node = undisturbed(&mut scenario, &mut dice, &[]);
    let rest: Nodes = scenario.nodes.iter().copied().filter(|other| *other != node).collect();
    let at = Duration::from_millis(dice.within(10_000..=150_000));
    let back = Duration::from_millis(dice.within(2_000..=5_000));
    let second = Duration::from_secs(1);
    for number in 0..dice.within(1..=4) as u32 {
        let at = at + number * Duration::from_millis(100);
        write_twice(&mut scenario, &mut dice, [(node, at), (node, at + back)]);
    }
    let (dies, again, met) = (at + second, at + second * 3 / 2, at + back + second);
    let offset = -(back.as_micros() as i64);
    scenario.plan = std::mem::take(&mut scenario.plan)
        .restart(node.0, dies, again, false)
        .skew(node.0, offset, 0, Window::new(dies, met + second))
        .fault(Fault::Cut { on: Links::new(node, rest), both_ways: true, during: Window::new(dies, met) });
    scenario.writes.sort_by_key(|write| write.at);
    scenario
}

/// Events that have to happen, or nothing was shown.
#[derive(Default)]
struct Seen {
    /// Identity conflicts reported.
    conflicts: Cell<u64>,
    /// Values replaced by another of the same stamp.
    values: Cell<u64>,
    /// Of these, those of which one was deleted, or that expired at different times.
    ends: Cell<u64>,
    /// Broadcasts with the same stamp.
    broadcasts: Cell<u64>,
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

struct Watch(Rc<Seen>);

impl Invariant<Sim> for Watch {
    fn name(&self) -> &'static str {
        "(counts)"
    }

    fn event(&mut self, _at: Instant, _node: Addr, event: &Event<Addr>) -> Result<(), Violation> {
        if matches!(event, Event::IdentityConflict { .. }) {
            add(&self.0.conflicts);
        }
        Ok(())
    }

    fn changed(&mut self, _: &World<'_, Sim>, _node: Addr, before: &View, after: &View) -> Result<(), Violation> {
        for (key, old) in before.items.iter().filter(|(key, _)| !key.starts_with("member")) {
            let Some(new) = after.items.get(key).filter(|new| new.version.0[..4] == old.version.0[..4]) else {
                continue;
            };
            if new.version != old.version {
                add(&self.0.ends);
            } else if old.body.is_some() && new.body.is_some() && new.body != old.body {
                add(if key.starts_with("broadcast") { &self.0.broadcasts } else { &self.0.values });
            }
        }
        Ok(())
    }
}

fn check(cases: u64, history: fn(u64) -> Scenario<Command>) -> (Counters, Rc<Seen>) {
    let seen = Rc::new(Seen::default());
    let counted = seen.clone();
    let checker = Checker::<Sim>::new(brief()).invariant(move |_| Watch(counted.clone()));
    let mut counters = Counters::default();
    for number in 0..cases {
        counters += checker.check(&history(number)).unwrap_or_else(|failure| panic!("{number}: {failure}")).counters;
    }
    let Seen { conflicts, values, ends, broadcasts } = &*seen;
    println!("{cases} histories: {counters}");
    println!(
        "{} conflicts; {} values, {} ends and {} broadcasts gave way to others of the same stamps",
        conflicts.get(),
        values.get(),
        ends.get(),
        broadcasts.get()
    );
    (counters, seen)
}

#[test]
fn all_agree_when_one_of_two_processes_of_one_id_has_ended_whatever_both_wrote_at_once() {
    let (counters, seen) = check(cases(200), with_twins);
    assert!(counters.twins > 200 && seen.conflicts.get() > 200);
    assert!([&seen.values, &seen.ends, &seen.broadcasts].iter().all(|count| count.get() > 50));
}

#[test]
fn all_agree_when_a_restart_without_memory_has_given_the_stamps_of_its_former_life_again() {
    let (counters, seen) = check(cases(200), with_stamps_reused);
    assert!(counters.restarts_without_memory > 200);
    assert!([&seen.values, &seen.ends, &seen.broadcasts].iter().all(|count| count.get() > 50));
}
