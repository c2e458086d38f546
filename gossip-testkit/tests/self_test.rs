//! Planted bugs, since a checker never seen failing is not trusted. Each is found within a number of scenarios, and the
//! scenario shrinks to the smallest that is known.

mod mini;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use gossip_testkit::invariant::Invariant;
use gossip_testkit::{Addr, Checker, Failure, Fault, Framed, Machine, Scenario, Swarm, Workload};
use mini::around::{NoCopies, Padded, ShortLength};
use mini::places::{Advertised, Listed, ShortBuffer, Unchecked};
use mini::roster::{AsksSeeds, Fresh, ReadsItsOwn, Room, Roster};
use mini::swim::{self, Nothing, Swim};
use mini::tree::{self, Say, Tree};
use mini::{Bug, Command, Config, Mini};

/// A bug, the place where it must be found, and the size to which the scenario must shrink.
struct Planted<B = Bug> {
    bug: B,
    /// Number of scenarios within which it must be found.
    within: u64,
    /// Beginning of the invariant's name.
    invariant: &'static str,
    nodes: usize,
    writes: usize,
    faults: usize,
}

impl Planted {
    fn find(self) -> (Failure, Scenario<Command>) {
        let config = Config { bug: Some(self.bug) };
        self.find_with::<Mini, Mini>(config, Config::default(), &Swarm::default())
    }
}

impl Planted<swim::Bug> {
    fn find(self) -> (Failure, Scenario<Nothing>) {
        self.find_with::<Swim, Swim>(Some(self.bug), None, &Swarm { writes: 0..=0, ..Swarm::default() })
    }
}

impl Planted<tree::Bug> {
    /// The only faults are of this class.
    fn find_by(self, class: &'static str) -> (Failure, Scenario<Say>) {
        self.find_with::<Tree, Tree>(Some(self.bug), None, &Swarm { classes: vec![class], ..Swarm::default() })
    }
}

impl Planted<()> {
    /// The bug is in what surrounds the machine: `M` has it, and the small protocol alone is sound.
    fn find_around<M: Machine<Config = Config, Command = Command>>(self) -> (Failure, Scenario<Command>) {
        self.find_with::<M, Mini>(Config::default(), Config::default(), &Swarm::default())
    }
}

/// Runs that minimising a planted bug may take. Half of the bugs take fewer than 160.
const MOST_RUNS: u32 = 2_000;
/// Runs that all but a few of them may take.
const USUAL_RUNS: u32 = 1_000;
/// Bugs that may take more than the usual runs, of 40.
const LARGE: u32 = 2;
/// Those that have taken more, in the tests so far.
static LARGE_SO_FAR: AtomicU32 = AtomicU32::new(0);

impl<B> Planted<B> {
    /// Looks at random scenarios until one fails, and minimises that. `S` is the machine without the bug.
    fn find_with<M, S>(&self, config: M::Config, sound: S::Config, swarm: &Swarm) -> (Failure, Scenario<M::Command>)
    where
        M: Machine<Command: Workload + Display + FromStr<Err: Display> + PartialEq>,
        S: Machine<Command = M::Command>,
    {
        let checker = Checker::<M>::new(config);
        let failing = (0..self.within).find(|&number| checker.run(&swarm.scenario(number)).is_err());
        let number = failing.unwrap_or_else(|| panic!("not found in {} scenarios", self.within));
        let failure = checker.check(&swarm.scenario(number)).expect_err("it failed just now");
        let minimal = failure.scenario().parse::<Scenario<M::Command>>();
        let minimal = minimal.unwrap_or_else(|error| panic!("scenarios are printed as they are read: {error}"));

        let again = checker.run(&minimal).expect_err("the minimal scenario fails, too");
        assert_eq!((again.invariant(), again.at()), (failure.invariant(), failure.at()));
        assert!(failure.invariant().starts_with(self.invariant), "{failure}");
        assert!(Checker::<S>::new(sound).run(&minimal).is_ok(), "it is the bug that is shown: {failure}");

        let size = (minimal.nodes.len(), minimal.writes.len(), minimal.plan.faults.len());
        let runs = failure.runs().expect("it was minimised");
        eprintln!("{}: found as number {number}, {size:?} in {runs} runs\n{minimal}", failure.invariant());
        assert_eq!(size, (self.nodes, self.writes, self.faults), "nodes, writes, faults: {failure}");
        assert!(runs <= MOST_RUNS, "{runs} runs: {failure}");
        let large = if runs > USUAL_RUNS { 1 + LARGE_SO_FAR.fetch_add(1, Ordering::Relaxed) } else { 0 };
        assert!(large <= LARGE, "{runs} runs, as many others already: {failure}");
        assert_eq!(minimal.nodes, (0..minimal.nodes.len() as u32).map(Addr).collect::<Vec<_>>(), "{failure}");
        for smaller in smaller(&minimal) {
            let fails = checker.run(&smaller).is_err_and(|found| found.invariant() == failure.invariant());
            assert!(!fails, "not minimal, {smaller:?} fails, too: {failure}");
        }
        (failure, minimal)
    }
}

/// Compares a failure with the text in `mini/failures`, which the page of the laboratory replays when it is tested.
fn kept(failure: &Failure, text: &str) {
    assert!(failure.to_string() == text, "the text that is kept is another, not this one:\n{failure}");
}

/// The scenarios without one, and without two, of the nodes, writes and faults of this one.
fn smaller<C: Clone + PartialEq>(scenario: &Scenario<C>) -> Vec<Scenario<C>> {
    let ones = without_one(scenario);
    let twos: Vec<_> = ones.iter().flat_map(without_one).collect();
    ones.into_iter().chain(twos).collect()
}

fn without_one<C: Clone>(scenario: &Scenario<C>) -> Vec<Scenario<C>> {
    let faults = (0..scenario.plan.faults.len()).map(|at| {
        let mut smaller = scenario.clone();
        smaller.plan.faults.remove(at);
        smaller
    });
    let writes = (0..scenario.writes.len()).map(|at| {
        let mut smaller = scenario.clone();
        smaller.writes.remove(at);
        smaller
    });
    let nodes = scenario.nodes.iter().filter(|_| scenario.nodes.len() > 1).map(|&node| scenario.without(node));
    faults.chain(writes).chain(nodes).collect()
}

#[test]
fn a_watermark_that_moves_when_it_is_sent_is_one_lost_datagram() {
    let (failure, minimal) =
        Planted { bug: Bug::LostDeltaWatermark, within: 10, invariant: "convergence", nodes: 2, writes: 1, faults: 1 }
            .find();
    let writer = minimal.writes[0].node;
    assert!(matches!(minimal.plan.faults[0], Fault::LoseExactly { from, .. } if from == writer));
    kept(&failure, include_str!("mini/failures/watermark.txt"));
}

#[test]
fn a_merge_that_takes_the_older_is_two_writes() {
    let planted = Planted { bug: Bug::OlderWins, within: 10, invariant: "versions", nodes: 2, writes: 2, faults: 0 };
    planted.find();
}

#[test]
fn a_merge_that_forgets_is_as_many_writes_as_it_can_hold_and_one() {
    let planted =
        Planted { bug: Bug::ForgettingMerge, within: 5, invariant: "versions", nodes: 1, writes: 4, faults: 0 };
    planted.find();
}

#[test]
fn equal_versions_of_unequal_bodies_are_two_writes_in_one_second() {
    let (failure, minimal) =
        Planted { bug: Bug::EqualVersions, within: 20, invariant: "convergence", nodes: 2, writes: 2, faults: 0 }
            .find();
    assert_ne!(minimal.writes[0].node, minimal.writes[1].node);
    let [(_, left), (_, right)] = failure.violation().views.as_deref().expect("convergence shows two views");
    assert_eq!(left.difference(right).len(), 2, "one key, a line for each");
}

#[test]
fn expiry_counted_from_receipt_is_one_write_that_comes_back() {
    // With fewer nodes the writer is among the first that the others send it to: it has it still. With eight there are
    // more seeds that show it, with five there is one in some hundred.
    let planted = Planted {
        bug: Bug::ExpiryFromReceipt,
        within: 10,
        invariant: "no resurrection",
        nodes: 5,
        writes: 1,
        faults: 0,
    };
    planted.find();
}

#[test]
fn a_certificate_dropped_too_early_is_a_value_that_comes_back() {
    let planted =
        Planted { bug: Bug::BriefCertificates, within: 100, invariant: "convergence", nodes: 2, writes: 2, faults: 1 };
    planted.find();
}

#[test]
fn a_value_taken_for_whole_too_early_is_one_write() {
    let planted = Planted { bug: Bug::Halves, within: 10, invariant: "convergence", nodes: 2, writes: 1, faults: 0 };
    planted.find();
}

#[test]
fn what_nobody_has_verified_is_one_write_and_damage() {
    let planted =
        Planted { bug: Bug::Unverified, within: 10, invariant: "a message to all", nodes: 2, writes: 1, faults: 1 };
    planted.find();
}

#[test]
fn a_rumor_that_never_cools_is_one_write() {
    // What is allowed is allowed for three peers.
    let planted = Planted { bug: Bug::NeverCools, within: 5, invariant: "silence", nodes: 4, writes: 1, faults: 0 };
    planted.find();
}

#[test]
fn a_datagram_over_the_budget_is_a_few_writes_that_travel_together() {
    let planted =
        Planted { bug: Bug::OverBudget, within: 20, invariant: "every datagram", nodes: 2, writes: 3, faults: 0 };
    planted.find();
}

#[test]
fn a_broadcast_delivered_twice_is_one_write() {
    let planted =
        Planted { bug: Bug::DeliveredTwice, within: 5, invariant: "a message to all", nodes: 2, writes: 1, faults: 0 };
    planted.find();
}

#[test]
fn a_state_without_a_timer_is_a_cluster_to_which_nothing_happens() {
    let planted = Planted { bug: Bug::NoTimer, within: 2, invariant: "a deadline", nodes: 2, writes: 0, faults: 0 };
    planted.find();
}

#[test]
fn a_deadline_that_stays_past_is_a_cluster_to_which_nothing_happens() {
    let planted = Planted { bug: Bug::Spins, within: 2, invariant: "a deadline", nodes: 2, writes: 0, faults: 0 };
    planted.find();
}

#[test]
fn a_hoard_is_a_cluster_to_which_nothing_happens() {
    let planted = Planted { bug: Bug::Hoards, within: 2, invariant: "memory", nodes: 2, writes: 0, faults: 0 };
    planted.find();
}

#[test]
fn a_certificate_that_takes_another_entry_with_it_is_two_writes() {
    let planted =
        Planted { bug: Bug::Collateral, within: 200, invariant: "no lost write", nodes: 1, writes: 2, faults: 0 };
    planted.find();
}

#[test]
fn an_incarnation_reused_after_a_restart_is_one_restart_without_memory() {
    let bug = swim::Bug::IncarnationReused;
    let (failure, minimal) =
        Planted { bug, within: 150, invariant: "convergence", nodes: 2, writes: 0, faults: 1 }.find();
    assert!(matches!(minimal.plan.faults[0], Fault::Crash { restart: Some(restart), .. } if !restart.memory));
    kept(&failure, include_str!("mini/failures/incarnation.txt"));
}

#[test]
fn one_that_has_no_timer_once_it_has_refuted_something_is_one_fault() {
    let bug = swim::Bug::NoTimer;
    Planted { bug, within: 10, invariant: "a deadline", nodes: 2, writes: 0, faults: 1 }.find();
}

#[test]
fn a_death_believed_without_a_suspicion_takes_one_who_tells_another() {
    let bug = swim::Bug::DeadBelieved;
    Planted { bug, within: 10, invariant: "suspicion", nodes: 3, writes: 0, faults: 1 }.find();
}

/// Members without commands, of whom the classes of clusters without a living seed are drawn.
fn apart() -> Swarm {
    Swarm { writes: 0..=0, nodes: 2..=6, classes: vec!["cut", "flap", "deploy", "seedless"], ..Swarm::default() }
}

#[test]
fn the_dead_that_nobody_tries_again_are_one_cut() {
    let bug = swim::Bug::DeadAbandoned;
    let planted = Planted { bug, within: 20, invariant: "convergence", nodes: 2, writes: 0, faults: 1 };
    let (_, minimal) = planted.find_with::<Swim, Swim>(Some(bug), None, &apart());
    assert!(matches!(minimal.plan.faults[0], Fault::Cut { .. }));
}

#[test]
fn an_older_record_that_is_not_answered_is_two_cuts_that_overlap() {
    let bug = swim::Bug::ElderIgnored;
    let planted = Planted { bug, within: 50, invariant: "convergence", nodes: 3, writes: 0, faults: 2 };
    let (_, minimal) = planted.find_with::<Swim, Swim>(Some(bug), None, &apart());
    assert!(minimal.plan.faults.iter().all(|fault| matches!(fault, Fault::Cut { .. })));
}

/// Looks for a bug that one class of faults shows and another does not.
fn apart_by(bug: swim::Bug, nodes: RangeInclusive<u32>, shows: &[&'static str], hides: &[&'static str]) -> Swarm {
    let swarm = |classes: &[&'static str]| Swarm {
        writes: 0..=0,
        nodes: nodes.clone(),
        classes: classes.to_vec(),
        ..Swarm::default()
    };
    let hidden = Checker::<Swim>::new(Some(bug)).sweep(&swarm(hides), 0..100);
    assert!(hidden.is_ok(), "{hides:?} show it as well: {hidden:?}");
    swarm(shows)
}

#[test]
fn a_member_that_is_not_taken_back_the_sixth_time_is_a_link_that_flaps() {
    // A cut ends in two suspicions at most: one of each probe that it has cost.
    let bug = swim::Bug::FlapsCounted;
    let swarm = apart_by(bug, 2..=4, &["flap"], &["cut"]);
    let planted = Planted { bug, within: 100, invariant: "convergence", nodes: 2, writes: 0, faults: 3 };
    planted.find_with::<Swim, Swim>(Some(bug), None, &swarm);
}

#[test]
fn restarted_processes_that_wait_to_be_pinged_are_a_deployment_of_all() {
    // At most three crashes are drawn where it is not one.
    let bug = swim::Bug::WaitsToBePinged;
    let swarm = apart_by(bug, 4..=6, &["deploy"], &["crash", "loss"]);
    let planted = Planted { bug, within: 10, invariant: "convergence", nodes: 2, writes: 0, faults: 2 };
    let (_, minimal) = planted.find_with::<Swim, Swim>(Some(bug), None, &swarm);
    let restarts = |fault: &Fault| matches!(fault, Fault::Crash { restart: Some(restart), .. } if restart.memory);
    assert!(minimal.plan.faults.iter().all(restarts), "{minimal:?}");
}

#[test]
fn processes_that_rely_on_their_seed_are_a_deployment_after_its_death() {
    let bug = swim::Bug::SeedsOnly;
    let swarm = apart_by(bug, 4..=6, &["deploy", "seedless"], &["deploy"]);
    let planted = Planted { bug, within: 20, invariant: "convergence", nodes: 3, writes: 0, faults: 3 };
    let (_, minimal) = planted.find_with::<Swim, Swim>(Some(bug), None, &swarm);
    let dead = |fault: &&Fault| matches!(fault, Fault::Crash { node: Addr(0), restart: None, .. });
    assert_eq!(minimal.plan.faults.iter().filter(dead).count(), 1, "{minimal:?}");
}

#[test]
fn a_large_write_that_is_ignored_is_one_write() {
    let planted =
        Planted { bug: Bug::Ignored, within: 10, invariant: "read your writes", nodes: 1, writes: 1, faults: 0 };
    planted.find();
}

#[test]
fn a_write_that_is_carried_out_later_is_one_write() {
    let planted = Planted { bug: Bug::Late, within: 10, invariant: "read your writes", nodes: 1, writes: 1, faults: 0 };
    let (_, minimal) = planted.find();
    assert_eq!(minimal.to_string(), "seed 0\nnodes 0\nseeds 2\nat 5s node 0: put 0 1\n");
}

#[test]
fn versions_of_a_clock_that_is_set_back_are_two_writes_and_a_skew() {
    let planted =
        Planted { bug: Bug::RawClock, within: 200, invariant: "read your writes", nodes: 2, writes: 2, faults: 1 };
    planted.find();
}

#[test]
fn a_length_of_one_byte_is_a_write_that_does_not_fit() {
    let planted = Planted { bug: (), within: 10, invariant: "convergence", nodes: 2, writes: 1, faults: 0 };
    let (failure, _) = planted.find_around::<Framed<Mini, ShortLength>>();
    kept(&failure, include_str!("mini/failures/length.txt"));
}

#[test]
fn a_frame_that_is_always_long_is_one_write_and_a_path_that_is_narrow_for_ever() {
    let planted = Planted { bug: (), within: 10, invariant: "convergence", nodes: 2, writes: 1, faults: 1 };
    let swarm = Swarm { classes: vec!["narrow"], ..Swarm::default() };
    let (_, minimal) = planted.find_with::<Framed<Mini, Padded>, Mini>(Config::default(), Config::default(), &swarm);
    assert!(matches!(minimal.plan.faults[0], Fault::Narrow { during, .. } if during.to.is_none()), "{minimal:?}");
}

#[test]
fn a_transport_that_sends_nothing_twice_is_one_write_that_comes_late() {
    let planted = Planted { bug: (), within: 10, invariant: "convergence", nodes: 2, writes: 1, faults: 0 };
    planted.find_around::<NoCopies>();
}

/// Looks for a bug of the surroundings by the classes of this swarm, and for none of it among the default classes.
fn find_by<M: Machine<Config: Default, Command = Command>>(
    swarm: &Swarm,
    planted: &Planted<()>,
) -> (Failure, Scenario<Command>) {
    let hidden = Checker::<M>::new(M::Config::default()).sweep(&Swarm::default(), 0..50);
    assert!(hidden.is_ok(), "the default classes show it as well: {hidden:?}");
    planted.find_with::<M, Mini>(M::Config::default(), Config::default(), swarm)
}

fn only(class: &'static str) -> Swarm {
    Swarm { classes: vec![class], ..Swarm::default() }
}

#[test]
fn a_list_of_addresses_is_a_node_that_comes_back_elsewhere() {
    let planted = Planted { bug: (), within: 20, invariant: "convergence", nodes: 2, writes: 1, faults: 1 };
    let (_, minimal) = find_by::<Listed>(&only("move"), &planted);
    let stays = |fault: &Fault| matches!(fault, Fault::Move { restarts: true, during, .. } if during.to.is_none());
    assert!(stays(&minimal.plan.faults[0]), "{minimal:?}");
}

#[test]
fn an_address_that_is_believed_for_ever_is_one_that_was_wrong_for_a_while() {
    let planted = Planted { bug: (), within: 20, invariant: "convergence", nodes: 2, writes: 1, faults: 1 };
    let (_, minimal) = find_by::<Advertised>(&only("misplace"), &planted);
    assert!(matches!(minimal.plan.faults[0], Fault::Misplace { .. }), "{minimal:?}");
}

#[test]
fn a_buffer_as_long_as_the_own_datagrams_is_two_writes_and_a_node_with_shorter_ones() {
    // Of more than two nodes the others pass it on in datagrams of its own, and only the silence is broken.
    let planted = Planted { bug: (), within: 50, invariant: "convergence", nodes: 2, writes: 2, faults: 1 };
    let (_, minimal) = find_by::<ShortBuffer>(&Swarm { nodes: 2..=2, writes: 30..=40, ..only("shorten") }, &planted);
    assert!(matches!(minimal.plan.faults[0], Fault::Shorten { .. }), "{minimal:?}");
}

#[test]
fn a_memory_that_is_not_checked_is_one_that_was_damaged() {
    let planted = Planted { bug: (), within: 10, invariant: "a damaged memory", nodes: 1, writes: 0, faults: 1 };
    let (_, minimal) = find_by::<Unchecked>(&only("damage"), &planted);
    assert!(matches!(minimal.plan.faults[0], Fault::Damage { .. }), "{minimal:?}");
}

#[test]
fn a_process_that_asks_its_seeds_alone_is_a_seed_that_comes_back_elsewhere() {
    let planted = Planted { bug: (), within: 20, invariant: "convergence", nodes: 2, writes: 1, faults: 1 };
    // Where others move, the seeds are where they were.
    let hidden = Checker::<AsksSeeds>::new(Config::default()).sweep(&only("move"), 0..100);
    assert!(hidden.is_ok(), "moves show it as well: {hidden:?}");
    let (_, minimal) = find_by::<AsksSeeds>(&Swarm { nodes: 2..=2, ..only("reseed") }, &planted);
    let stays = |fault: &Fault| matches!(fault, Fault::Move { node: Addr(0), during, .. } if during.to.is_none());
    assert!(stays(&minimal.plan.faults[0]), "{minimal:?}");
}

#[test]
fn what_is_refused_for_its_age_is_a_write_and_paths_that_are_long_for_ever() {
    // One path alone is never so long.
    let planted = Planted { bug: (), within: 200, invariant: "convergence", nodes: 2, writes: 1, faults: 2 };
    let (_, minimal) = find_by::<Fresh>(&only("far"), &planted);
    let lasts = |fault: &Fault| matches!(fault, Fault::Far { during, .. } if during.to.is_none());
    assert!(minimal.plan.faults.iter().all(lasts), "{minimal:?}");
}

#[test]
fn what_each_configuration_reads_alone_is_a_write_and_a_setting_that_differs() {
    let planted = Planted { bug: (), within: 200, invariant: "convergence", nodes: 2, writes: 1, faults: 1 };
    let (_, minimal) = find_by::<ReadsItsOwn>(&only("set"), &planted);
    assert!(matches!(minimal.plan.faults[0], Fault::Set { .. }), "{minimal:?}");
}

#[test]
fn the_dead_that_keep_their_places_are_an_id_that_comes_where_there_is_no_room() {
    let room = |full_of_dead| Room { most: 1_000, full_of_dead };
    let (swarm, hidden) = (Swarm { writes: 0..=0, ..only("churn") }, Swarm { writes: 0..=0, ..Swarm::default() });
    Checker::<Roster>::new(room(false)).sweep(&swarm, 0..100).unwrap();
    // Of more nodes, none could be left out but with a part of the room.
    let swarm = Swarm { nodes: 2..=2, ..swarm };
    Checker::<Roster>::new(room(true)).sweep(&hidden, 0..50).unwrap();
    let planted = Planted { bug: (), within: 200, invariant: "membership", nodes: 2, writes: 0, faults: 2 };
    let (_, minimal) = planted.find_with::<Roster, Roster>(room(true), room(false), &swarm);
    let [Fault::Set { .. }, Fault::Guest { .. }] = minimal.plan.faults[..] else { panic!("{minimal:?}") };
}

#[test]
fn repair_along_the_tree_alone_is_a_tree_that_a_crash_cuts() {
    // The first message makes one link of three lazy, and the others end at the node that crashes.
    let bug = tree::Bug::RepairAlongTree;
    let (_, minimal) =
        Planted { bug, within: 50, invariant: "convergence", nodes: 3, writes: 2, faults: 1 }.find_by("crash");
    assert!(matches!(minimal.plan.faults[0], Fault::Crash { .. }), "{minimal:?}");
}

#[test]
fn what_is_asked_for_once_is_one_write_and_two_losses() {
    // Of the message, and of the request for it or of the answer.
    let bug = tree::Bug::AskedOnce;
    Planted { bug, within: 50, invariant: "convergence", nodes: 2, writes: 1, faults: 2 }.find_by("loss");
}

#[test]
fn a_message_delivered_from_each_link_is_one_write_among_three() {
    let bug = tree::Bug::EachDelivered;
    Planted { bug, within: 5, invariant: "a message to all", nodes: 3, writes: 1, faults: 0 }.find_by("delay");
}

#[test]
fn a_scenario_that_makes_no_sense_is_refused() {
    for (text, expected) in [
        ("nodes 0-1\nskew 0 by 6s drift 0ppm from 1s to 9s", "`skew 0 by 6s drift 0ppm from 1s to 9s` is further off"),
        ("nodes 0-1\nskew 0 by 5s drift 1000ppm from 1s on", "does not say `beyond`"),
    ] {
        let failure = Checker::<Mini>::new(Config::default()).run(&text.parse().unwrap()).expect_err(text);
        assert!(failure.violation().message.contains(expected), "{failure}");
    }
    let unknown = Scenario::new(2).write(std::time::Duration::ZERO, 7, Command::Broadcast);
    assert!(Checker::<Mini>::new(Config::default()).run(&unknown).is_err());
    let meant = "nodes 0-1\nskew 0 by 6s drift 0ppm beyond from 1s to 9s".parse().unwrap();
    Checker::<Mini>::new(Config::default()).run(&meant).unwrap();
}

/// An invariant that waits for ever, and never reports that it is violated.
struct Waits;

impl Invariant<Mini> for Waits {
    fn name(&self) -> &'static str {
        "patience"
    }

    fn satisfied(&self) -> bool {
        false
    }
}

#[test]
fn an_invariant_that_is_never_satisfied_ends_the_run() {
    let checker = Checker::<Mini>::new(Config::default()).invariant(|_| Waits).settle(5);
    let failure = checker.run(&Scenario::new(2)).expect_err("nothing satisfies it");
    assert_eq!(failure.invariant(), "patience");
    // 8·log2 n + 90 periods after the first one, and five more.
    assert_eq!(failure.at(), std::time::Duration::from_secs(1 + 8 + 90 + 5));
}

#[test]
fn without_a_bug_nothing_is_found() {
    let sweep = Checker::<Mini>::new(Config { bug: None }).sweep(&Swarm::default(), 0..500).unwrap();
    assert!(sweep.counters.lost > 0 && sweep.counters.blocked > 0, "{sweep}");
    assert!(sweep.counters.silences > 400, "{sweep}");
    let brief = Checker::<Mini>::new(Config { bug: None }).settle(14).sweep(&Swarm::default(), 0..10).unwrap();
    assert_eq!(brief.counters.silences, 0, "there is no time to measure anything");
    let sweep = Checker::<Swim>::new(None).sweep(&Swarm { writes: 0..=0, ..Swarm::default() }, 0..500).unwrap();
    Checker::<Tree>::new(None).sweep(&Swarm::default(), 0..500).unwrap();
    let elsewhere = Swarm { classes: vec!["loss", "move", "misplace", "shorten", "damage"], ..Swarm::default() };
    let elsewhere = Checker::<Mini>::new(Config { bug: None }).sweep(&elsewhere, 0..300).unwrap().counters;
    let happened = [elsewhere.moves, elsewhere.misplaced, elsewhere.shortened, elsewhere.memories_damaged];
    assert!(happened.iter().all(|&count| count > 50) && elsewhere.damage_taken == 0, "{elsewhere}");
    let happened =
        [sweep.counters.suspicions, sweep.counters.refutations, sweep.counters.deaths, sweep.counters.rejoins];
    assert!(happened.iter().all(|&count| count > 0), "{sweep}");
}

#[test]
fn a_failure_prints_what_it_promises_in_that_order() {
    let checker = Checker::<Mini>::new(Config { bug: Some(Bug::EqualVersions) });
    let mut scenario = Scenario::new(2).seed(1);
    for node in [0, 1] {
        scenario.writes.push(gossip_testkit::Write {
            at: std::time::Duration::from_secs(3),
            node: Addr(node),
            command: Command::Put(0, 1 + node as usize),
        });
    }
    let text = checker.check(&scenario).expect_err("both wrote at the same time").to_string();
    let parts = [
        "violated at",
        "- node 0\n+ node 1\n- k0.0 = \"a\"",
        "+ k0.0 = \"bb\"",
        "the smallest scenario found",
        "nodes 0-1",
        "at 3s node 0: put 0 1",
        "how it came about:",
        "did put 0 2",
        "to replay: Checker::<Mini>::new(Config { bug: Some(EqualVersions) }).run(&",
    ];
    let mut rest = text.as_str();
    for part in parts {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{part:?} comes next in\n{text}"));
        rest = after;
    }
}
