use std::vec::Vec;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::config::{Config, Probe as Settings};
use crate::outbox::Intent;
use crate::update::{Record, Standing, Until, Update};
use crate::wire::Message;

const START: Instant = Instant::from_secs(1_000);
const OWN: NodeId = NodeId::new(99);

/// As in SWIM's paper: no ping is repeated.
fn settings() -> Settings {
    Settings { repeat: 0, ..Config::lan().probe }
}

/// Pings are repeated, and nobody else is asked meanwhile.
fn doubting() -> Settings {
    Settings { repeat: 16, indirect: 0, ..Config::lan().probe }
}

/// A prober among members 1, 2, …, whose addresses are their numbers.
struct Site {
    prober: Prober<u16>,
    members: Members,
    replica: Replica<u16>,
    outbox: Outbox<u16>,
    health: Health,
    rng: Xoshiro256PlusPlus,
    now: Instant,
}

impl Site {
    fn new(members: u16, settings: Settings) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut site = Self {
            health: Health::new(settings.max_health),
            prober: Prober::new(settings, &mut rng),
            members: Members::default(),
            replica: Replica::new("", Duration::ZERO, 0),
            outbox: Outbox::new(100),
            rng,
            now: START,
        };
        (1..=members).for_each(|n| site.join(n, n));
        site
    }

    fn join(&mut self, n: u16, address: u16) {
        self.replica.merge(Update::Member(Record {
            id: id(n),
            incarnation: 1,
            boot: Instant::ORIGIN,
            pass: n.into(),
            standing: Standing::Alive,
            until: Until::NEVER,
            address,
            about: None,
        }));
        self.members.see(id(n), Status::Alive, 1, &mut self.rng);
    }

    fn tick(&mut self) -> Option<NodeId> {
        let Self { prober, members, replica, outbox, health, rng, now } = self;
        let mut context = Context { now: *now, own: OWN, members, replica, outbox, rng };
        prober.tick(health, &mut context)
    }

    /// Moves to the next thing that is due.
    fn next(&mut self) -> Option<NodeId> {
        // Nothing is due before the first tick.
        let due = self.prober.due().unwrap_or(self.now);
        assert!(due >= self.now, "nothing is due in the past");
        self.now = due;
        self.tick()
    }

    fn said(&mut self) -> Vec<(u16, Message<u16>)> {
        core::iter::from_fn(|| self.outbox.pop())
            .flat_map(|(_, to, intent)| match intent {
                Intent::Message(message) => Vec::from([(to, message)]),
                Intent::Bare(messages) => messages.into_iter().map(|message| (to, message)).collect(),
                _ => panic!("{intent:?}"),
            })
            .collect()
    }

    /// Goes on until a ping is under way: to whom, with which number.
    fn ping(&mut self) -> (u16, u32) {
        loop {
            self.next();
            if let [(to, Message::Swim(Swim::Ping { seq })), ..] = self.said()[..] {
                return (to, seq);
            }
        }
    }

    /// A ping under way that nobody has answered, and those who were asked to try.
    fn asked(&mut self) -> (u16, u32, Vec<u16>) {
        let (target, seq) = self.ping();
        self.next();
        let asked = self.said();
        for (to, message) in &asked {
            assert_eq!(*message, Message::Swim(Swim::PingReq(PingReq { seq, target: id(target), address: target })));
            assert_ne!(*to, target);
        }
        (target, seq, asked.into_iter().map(|(to, _)| to).collect())
    }

    fn ack(&mut self, sender: u16, seq: u32) {
        self.prober.on_ack(self.now, id(sender), seq, &mut self.health, &mut self.outbox);
    }
}

fn id(n: u16) -> NodeId {
    NodeId::new(u64::from(n))
}

#[test]
fn one_member_is_pinged_in_every_period_and_one_that_answers_is_not_suspected() {
    let mut site = Site::new(5, settings());
    let mut last = None;
    for _ in 0..20 {
        let (target, seq) = site.ping();
        assert!(last.is_none_or(|last| site.now == last + settings().period), "{}", site.now);
        last = Some(site.now);
        site.ack(target, seq);
        assert_eq!(site.health.value(), 0);
        assert_eq!(site.prober.due(), Some(site.now + settings().period), "and nothing in between");
    }
}

#[test]
fn the_first_period_begins_at_random_or_in_step() {
    let mut random = Site::new(1, settings());
    random.tick();
    assert!(random.prober.due().is_some_and(|due| due >= START && due < START + settings().period));
    let mut aligned = Site::new(1, Settings { random_phase: false, ..settings() });
    aligned.now = START + Duration::from_millis(300);
    aligned.tick();
    assert_eq!(aligned.prober.due(), Some(START + Duration::from_secs(1)));
    aligned.next();
    assert_eq!(aligned.prober.due(), Some(START + Duration::from_millis(1_500)), "its time-out");
}

#[test]
fn after_the_time_out_others_are_asked_and_after_the_period_the_silent_one_is_suspected() {
    let mut site = Site::new(10, settings());
    let (target, _, asked) = site.asked();
    assert_eq!(asked.len(), 3);
    let began = site.now - settings().timeout;
    assert_eq!(site.next(), Some(id(target)));
    assert_eq!(site.now, began + settings().period);
}

#[test]
fn with_nobody_to_ask_it_is_suspected_all_the_same() {
    let mut site = Site::new(1, settings());
    site.ping();
    assert_eq!(site.next(), None);
    assert!(site.said().is_empty());
    assert_eq!(site.next(), Some(id(1)));
    let mut alone = Site::new(0, settings());
    for _ in 0..5 {
        assert_eq!(alone.next(), None);
    }
}

#[test]
fn an_ack_through_another_counts() {
    let mut site = Site::new(10, settings());
    let (_, seq, asked) = site.asked();
    site.ack(asked[1], seq);
    assert_eq!(site.next(), None);
    assert_eq!(site.health.value(), 0);
}

#[test]
fn another_node_that_answers_at_the_targets_address_is_not_the_target() {
    let mut site = Site::new(10, settings());
    let (target, seq) = site.ping();
    site.ack(77, seq);
    site.next();
    let asked: Vec<u16> = site.said().into_iter().map(|(to, _)| to).collect();
    assert_eq!(asked.len(), 3, "it is looked for on");
    assert!(!asked.contains(&77));
    site.ack(77, seq);
    assert_eq!(site.next(), Some(id(target)), "nor is it after others were asked");
}

#[test]
fn one_who_has_taken_the_targets_place_is_not_asked_about_it() {
    let mut site = Site::new(1, settings());
    site.join(2, 1);
    let (_, seq) = site.ping();
    assert_eq!(site.next(), None);
    assert!(site.said().is_empty(), "there is nobody else");
    // The one that lives answers for itself, whichever was meant.
    let target = site.prober.probe.as_ref().unwrap().target;
    let other = if target == id(1) { 2 } else { 1 };
    site.ack(other, seq);
    assert_eq!(site.next(), Some(target));
}

#[test]
fn a_late_ack_of_an_earlier_ping_is_none_of_this_one() {
    let mut site = Site::new(3, settings());
    let (target, seq) = site.ping();
    site.ack(target, seq.wrapping_sub(1));
    site.next();
    site.said();
    assert_eq!(site.next(), Some(id(target)));
}

#[test]
fn one_who_is_asked_pings_the_target_and_passes_its_ack_on() {
    let mut site = Site::new(2, settings());
    site.prober.on_ping_req(site.now, &8, PingReq { seq: 1_234, target: id(2), address: 2 }, &mut site.outbox);
    let said = site.said();
    let [(2, Message::Swim(Swim::Ping { seq }))] = said[..] else { panic!("{said:?}") };
    site.ack(1, seq);
    assert!(site.said().is_empty(), "another one's ack is not passed on");
    site.ack(2, seq);
    assert_eq!(site.said(), [(8, Message::Swim(Swim::Ack { seq: 1_234 }))]);
    site.ack(2, seq);
    assert!(site.said().is_empty(), "once");
}

#[test]
fn one_who_is_asked_says_so_before_the_asker_stops_listening_if_the_target_is_silent() {
    let mut site = Site::new(0, settings());
    site.tick();
    site.prober.on_ping_req(site.now, &8, PingReq { seq: 1_234, target: id(2), address: 2 }, &mut site.outbox);
    let said = site.said();
    let [(2, Message::Swim(Swim::Ping { seq }))] = said[..] else { panic!("{said:?}") };
    site.now = START + settings().timeout * 4 / 5;
    assert!(site.prober.due().is_some_and(|due| due <= site.now), "80 % of the time-out");
    site.tick();
    assert_eq!(site.said(), [(8, Message::Swim(Swim::Nack { seq: 1_234 }))]);
    site.tick();
    assert!(site.said().is_empty(), "once");
    site.ack(2, seq);
    assert_eq!(site.said(), [(8, Message::Swim(Swim::Ack { seq: 1_234 }))], "a late ack is better than none");
}

#[test]
fn without_nacks_nobody_waits_to_send_one() {
    let mut site = Site::new(0, Settings { nack: false, ..settings() });
    site.prober.on_ping_req(site.now, &8, PingReq { seq: 1, target: id(2), address: 2 }, &mut site.outbox);
    assert_eq!(site.prober.due(), None);
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut site = Site::new(0, settings());
    for seq in 0..10_000 {
        site.prober.on_ping_req(site.now, &8, PingReq { seq, target: id(2), address: 2 }, &mut site.outbox);
    }
    assert!(site.prober.relays.len() <= RELAYS);
}

#[test]
fn every_nack_that_is_missing_is_held_against_this_node() {
    // Lifeguard, section IV-A: +1 for every missed nack; the failure itself counts where nobody could say anything of it.
    let mut site = Site::new(10, settings());
    let (_, seq, asked) = site.asked();
    site.prober.on_nack(id(asked[0]), seq);
    site.next();
    assert_eq!(site.health.value(), 2);

    let mut site = Site::new(10, settings());
    let (_, seq, asked) = site.asked();
    for _ in 0..3 {
        site.prober.on_nack(id(asked[0]), seq);
        site.prober.on_nack(id(77), seq);
    }
    site.next();
    assert_eq!(site.health.value(), 2, "each of those asked counts once, and nobody else");

    let mut site = Site::new(10, settings());
    let (target, seq, asked) = site.asked();
    asked.iter().for_each(|&asked| site.prober.on_nack(id(asked), seq));
    assert_eq!(site.next(), Some(id(target)));
    assert_eq!(site.health.value(), 0, "all the others have tried: it is the target");

    for (members, settings) in [(10, Settings { nack: false, ..settings() }), (1, settings())] {
        let mut site = Site::new(members, settings);
        site.asked();
        site.next();
        assert_eq!(site.health.value(), 1);
    }
}

#[test]
fn those_who_are_suspected_are_asked_last() {
    let mut site = Site::new(10, settings());
    let (target, _) = site.ping();
    let suspects: Vec<u16> = (1..=10).filter(|&n| n != target).take(3).collect();
    for &suspect in &suspects {
        site.members.see(id(suspect), Status::Suspect, 1, &mut site.rng);
    }
    site.next();
    let asked: Vec<u16> = site.said().into_iter().map(|(to, _)| to).collect();
    assert!(
        asked.len() == 3 && asked.iter().all(|asked| !suspects.contains(asked)),
        "{asked:?} of which are suspected {suspects:?}"
    );

    let mut site = Site::new(4, settings());
    let (target, _) = site.ping();
    for suspect in (1..=4).filter(|&n| n != target) {
        site.members.see(id(suspect), Status::Suspect, 1, &mut site.rng);
    }
    site.next();
    assert_eq!(site.said().len(), 3, "better than nobody");
}

#[test]
fn bad_health_stretches_time_out_and_period_and_an_ack_improves_it() {
    let mut site = Site::new(10, settings());
    site.health.worse(2);
    let (target, seq) = site.ping();
    let timeout = site.prober.probe.as_ref().unwrap().timeout;
    assert_eq!(timeout, site.now + 3 * settings().timeout);
    assert_eq!(site.prober.period, Some(site.now + 3 * settings().period));
    site.ack(target, seq);
    assert_eq!(site.health.value(), 1);
    site.health.worse(1_000);
    assert_eq!(site.health.value(), 8, "bounded");
}

#[test]
fn a_bound_of_zero_switches_the_health_multiplier_off() {
    let mut site = Site::new(3, Settings { max_health: 0, ..settings() });
    for _ in 0..20 {
        site.next();
    }
    assert_eq!(site.health.value(), 0);
}

#[test]
fn a_hint_that_nobody_can_be_reached_ends_the_wait_and_no_more() {
    let mut site = Site::new(10, settings());
    let (target, _) = site.ping();
    site.prober.on_unreachable(&(target + 100), site.now);
    assert_eq!(site.prober.due(), Some(site.now + settings().timeout), "another address");
    site.prober.on_unreachable(&target, site.now);
    assert_eq!(site.prober.due(), Some(site.now));
    assert_eq!(site.tick(), None, "it is not suspected for that");
    assert_eq!(site.said().len(), 3, "others are asked at once");
    site.prober.on_unreachable(&target, site.now);
    site.tick();
    assert!(site.said().is_empty() && site.prober.due().is_some_and(|due| due > site.now));
}

#[test]
fn a_suspect_is_told_with_its_ping() {
    for buddy in [true, false] {
        let mut site = Site::new(1, Settings { buddy, ..settings() });
        site.members.see(id(1), Status::Suspect, 5, &mut site.rng);
        site.tick();
        site.next();
        let said = site.said();
        let suspicion = Suspicion { about: id(1), incarnation: 5, accuser: OWN };
        let told = said.contains(&(1, Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion)))));
        assert_eq!(told, buddy, "{said:?}");
    }
}

#[test]
fn a_tick_that_is_late_begins_one_period() {
    let mut site = Site::new(10, settings());
    site.ping();
    site.now += Duration::from_secs(100);
    assert!(site.tick().is_some());
    let pings = site.said();
    assert_eq!(pings.len(), 1, "{pings:?}");
    assert!(site.prober.due().is_some_and(|due| due > site.now));
}

#[test]
fn one_who_asks_for_many_probes_does_not_take_the_place_of_the_others() {
    let mut site = Site::new(3, settings());
    for seq in 0..1_000 {
        site.prober.on_ping_req(site.now, &1, PingReq { seq, target: id(3), address: 3 }, &mut site.outbox);
    }
    site.prober.on_ping_req(site.now, &2, PingReq { seq: 7, target: id(3), address: 3 }, &mut site.outbox);
    assert_eq!(site.prober.relays.iter().filter(|relay| relay.requester == 1).count(), RELAYS_EACH);
    assert_eq!(site.prober.relays.iter().filter(|relay| relay.requester == 2).count(), 1);
    // Only for as long as it listens.
    site.now += settings().period;
    site.prober.on_ping_req(site.now, &1, PingReq { seq: 1, target: id(3), address: 3 }, &mut site.outbox);
    assert_eq!(site.prober.relays.len(), 1);
}

impl Site {
    /// One that has measured a round trip of a millisecond.
    fn measured(members: u16, settings: Settings) -> Self {
        let mut site = Self::new(members, settings);
        let (target, seq) = site.ping();
        site.now += Duration::from_millis(1);
        site.ack(target, seq);
        site
    }
}

/// Goes on to the end of the period: the numbers of the pings to the target and when they left, and who is silent.
fn series(site: &mut Site, target: u16) -> (Vec<(u32, Duration)>, Option<NodeId>) {
    let began = site.now;
    let end = site.prober.period.unwrap();
    let mut pings = Vec::new();
    while site.prober.due().is_some_and(|due| due < end) {
        assert_eq!(site.next(), None, "not before the period is over");
        for (to, message) in site.said() {
            let Message::Swim(Swim::Ping { seq }) = message else { panic!("{message:?}") };
            assert_eq!(to, target);
            pings.push((seq, site.now.since(began)));
        }
    }
    (pings, site.next())
}

#[test]
fn a_ping_that_is_not_answered_is_repeated_within_its_period() {
    let mut site = Site::measured(5, doubting());
    let (target, first) = site.ping();
    let began = site.now;
    let (pings, silent) = series(&mut site, target);
    let times: Vec<u64> = pings.iter().map(|(_, at)| micros(*at) / 1_000).collect();
    assert_eq!(times[..5], [20, 60, 122, 185, 247], "a fiftieth of the period at first, a sixteenth at most");
    assert!(pings.len() <= 16 && times.last().is_some_and(|last| *last > 900), "{times:?}");
    let mut numbers: Vec<u32> = pings.iter().map(|(seq, _)| *seq).chain([first]).collect();
    assert!(numbers.iter().all(|seq| seq >> 5 == first >> 5), "one family");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), pings.len() + 1, "and every one its own");
    assert_eq!(silent, Some(id(target)));
    assert_eq!(site.now, began + doubting().period, "no later than without");
}

#[test]
fn any_answer_of_the_series_ends_the_doubt_and_says_nothing_about_this_node() {
    for answered in 0..5 {
        let mut site = Site::measured(5, doubting());
        site.health.worse(3);
        let (target, first) = site.ping();
        let mut pings = Vec::from([first]);
        for _ in 0..4 {
            site.next();
            pings.extend(site.said().iter().filter_map(|(_, message)| match message {
                Message::Swim(Swim::Ping { seq }) => Some(*seq),
                _ => None,
            }));
        }
        site.ack(target, pings[answered]);
        let (more, silent) = series(&mut site, target);
        assert!(more.is_empty() && silent.is_none(), "{more:?} {silent:?}");
        assert_eq!(site.health.value(), 3, "a datagram was lost, or the answer was late");
    }
}

#[test]
fn a_number_that_was_not_sent_yet_answers_nothing() {
    let mut site = Site::measured(5, doubting());
    let (target, first) = site.ping();
    site.next();
    for wrong in [first | 2, first | 31, first ^ 32] {
        site.ack(target, wrong);
    }
    assert_eq!(series(&mut site, target).1, Some(id(target)));
}

#[test]
fn the_first_pause_follows_the_round_trips_that_were_measured() {
    let mut site = Site::new(1, doubting());
    for _ in 0..40 {
        let (target, first) = site.ping();
        // Whatever is repeated meanwhile: the number says which ping was answered.
        let due = site.now + Duration::from_millis(200);
        while site.prober.due().is_some_and(|due_first| due_first < due) {
            site.next();
            site.said();
        }
        site.now = due;
        site.ack(target, first);
    }
    let (target, _) = site.ping();
    let (pings, _) = series(&mut site, target);
    let first = micros(pings[0].1) / 1_000;
    assert!((200..230).contains(&first), "{first} ms");
    assert!(pings.windows(2).all(|pair| pair[1].1 - pair[0].1 <= doubting().period / 16), "{pings:?}");
}

#[test]
fn a_failed_probe_counts_once_however_many_pings_it_had() {
    let mut site = Site::measured(5, Settings { nack: false, ..doubting() });
    let (target, _) = site.ping();
    assert_eq!(series(&mut site, target).1, Some(id(target)));
    assert_eq!(site.health.value(), 1);
}

#[test]
fn where_a_round_trip_is_longer_than_the_period_a_probe_waits_for_it() {
    let trip = Duration::from_secs(2);
    let mut site = Site::new(3, Settings { repeat: 16, nack: false, ..settings() });
    for probe in 0..50 {
        let (target, seq) = site.ping();
        let due = site.now + trip;
        while site.prober.due().is_some_and(|next| next < due) {
            assert_eq!(site.next(), None, "probe {probe}: nobody is silent");
            site.said();
        }
        site.now = due;
        site.ack(target, seq);
    }
    assert_eq!(site.health.value(), 0);
    assert!(site.prober.stretched() > 40, "{}", site.prober.stretched());
}

#[test]
fn an_answer_after_its_period_is_a_measurement_if_it_is_known_what_it_answers() {
    let mut site = Site::measured(3, doubting());
    let (target, first) = site.ping();
    assert_eq!(series(&mut site, target).1, Some(id(target)));
    assert!(site.prober.awaited(first).any(|awaited| awaited == id(target)), "its ack alone is recognised");
    site.now += Duration::from_secs(1);
    site.ack(target, first ^ 1);
    assert_eq!(site.prober.take_late(), None, "when a repeated ping was sent is not known any more");
    site.ack(target, first);
    assert!(site.prober.take_late().is_some_and(|(late, trip)| late == id(target) && trip > Duration::from_secs(1)));
    assert_eq!(site.prober.take_late(), None);
}

#[test]
fn an_answer_that_waited_while_this_node_slept_is_no_measurement() {
    for ticks_first in [false, true] {
        let mut site = Site::measured(3, doubting());
        let trip = site.prober.round_trip();
        let (target, seq) = site.ping();
        site.now += 25 * doubting().period;
        if ticks_first {
            assert_eq!(site.tick(), Some(id(target)));
        }
        site.ack(target, seq);
        assert_eq!(site.prober.round_trip(), trip, "{ticks_first}");
        assert!(site.prober.patience(id(target)) < doubting().period, "{ticks_first}");
        let late = ticks_first.then_some((id(target), Duration::ZERO));
        assert_eq!(site.prober.take_late(), late, "it has answered all the same");
    }
}
