//! The invariants on members, seen failing: machines that report what a test tells them to report.

use std::time::Duration;

use gossip_core::{Input, Instant, Status};
use gossip_testkit::{
    Addr, Boot, Checker, Expectations, FaultPlan, Machine, MemberKnowledge, Outgoing, Scenario, View, Window,
};

/// Status of node 0 that a machine reports from the tenth second on, and its own incarnation.
#[derive(Debug, Copy, Clone, Default)]
struct Says {
    of_the_first: Option<Status>,
    incarnation: u64,
    before: u64,
}

struct Parrot {
    says: Says,
    nodes: Vec<Addr>,
    started: Instant,
    now: Instant,
}

impl Parrot {
    fn is_late(&self) -> bool {
        self.now.since(self.started) > Duration::from_secs(10)
    }
}

impl Machine for Parrot {
    type Config = Says;
    type Command = String;
    type Event = ();
    type Memory = ();

    fn expectations(_config: &Says) -> Expectations {
        let (period, max_skew) = (Duration::from_secs(1), Duration::ZERO);
        Expectations {
            max_datagram: 0,
            period,
            max_skew,
            idle: None,
            membership: MemberKnowledge::Detected,
            held_per_item: 0,
            members_kept: Duration::MAX,
            clocks_apart: Duration::MAX,
        }
    }

    fn boot(boot: &Boot<'_, Says>, _memory: Option<()>) -> Self {
        Self { says: *boot.config, nodes: boot.nodes.to_vec(), started: boot.now, now: boot.now }
    }

    fn into_memory(self) {}

    fn command(&mut self, _now: Instant, _command: &String) -> Result<(), String> {
        Err("it does not listen".to_owned())
    }

    fn handle(&mut self, now: Instant, _input: Input<'_, Addr>) -> Result<(), String> {
        self.now = now;
        Ok(())
    }

    fn poll_transmit(&mut self, _buffer: &mut [u8]) -> Option<Outgoing> {
        None
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.now + Duration::from_secs(1))
    }

    fn view(&self, _cut: Instant) -> View {
        let alive = self.nodes.iter().map(|&node| (node, Status::Alive));
        let mut view = View { members: alive.collect(), ..View::default() };
        if let Some(status) = self.says.of_the_first.filter(|_| self.is_late()) {
            view.members.insert(Addr(0), status);
        }
        view
    }

    fn incarnation(&self) -> Option<u64> {
        Some(if self.is_late() { self.says.incarnation } else { self.says.before })
    }
}

#[track_caller]
fn message(says: Says, scenario: &Scenario<String>) -> String {
    let failure = Checker::<Parrot>::new(says).settle(30).run(scenario).expect_err("it is wrong");
    format!("{}: {}", failure.invariant(), failure.violation().message)
}

#[test]
fn those_who_see_everybody_alive_are_right_if_everybody_is() {
    Checker::<Parrot>::new(Says::default()).run(&Scenario::new(3)).unwrap();
}

#[test]
fn a_live_member_that_somebody_sees_dead_or_suspects_is_found() {
    for status in [Status::Dead, Status::Left, Status::Suspect] {
        let says = Says { of_the_first: Some(status), ..Says::default() };
        let expected = format!("node 0 sees node 0 as {status} at the end of the bound");
        assert!(message(says, &Scenario::new(3)).contains(&expected));
    }
}

#[test]
fn where_datagrams_are_lost_for_ever_suspicion_is_nothing_wrong_but_death_is() {
    let lossy =
        Scenario::new(3).plan(FaultPlan::new().loss(0.5, Window::since(Duration::ZERO)).pause(1, Window::secs(3, 15)));
    let suspects = Says { of_the_first: Some(Status::Suspect), ..Says::default() };
    Checker::<Parrot>::new(suspects).run(&lossy).unwrap();
    let buries = Says { of_the_first: Some(Status::Dead), ..Says::default() };
    assert!(message(buries, &lossy).contains("node 0 sees node 0 as dead"));
}

#[test]
fn a_crashed_member_that_is_never_found_out_is_found() {
    let scenario = Scenario::new(3).plan(FaultPlan::new().crash(2, Duration::from_secs(5)));
    assert!(message(Says::default(), &scenario).contains("node 0 sees node 2 as alive at the end of the bound"));
}

#[test]
fn a_part_that_is_cut_off_for_ever_and_never_found_out_is_found() {
    let cut = FaultPlan::new().partition([0], [1, 2], Window::since(Duration::from_secs(5)));
    let scenario = Scenario::new(3).plan(cut);
    assert!(message(Says::default(), &scenario).contains("node 0 sees node 1 as alive at the end of the bound"));
}

#[test]
fn an_incarnation_that_steps_back_is_found() {
    let says = Says { before: 7, incarnation: 6, ..Says::default() };
    let found = message(says, &Scenario::new(1));
    assert!(found.contains("node 0 was at incarnation 7 and is at 6"), "{found}");
}
