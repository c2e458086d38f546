use super::*;
use crate::replica::Room;
use crate::update::{End, ItemHasher, Stamp};

const START: Instant = Instant::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn started(at: Instant) -> Absence {
    let mut absence = Absence::new(NodeId::new(1), WEEK, 5 * SECOND);
    absence.start(at);
    absence
}

/// One that has been in contact, and goes away at [`START`].
fn settled() -> Absence {
    let mut absence = started(START - DAY);
    absence.hear(START, START);
    absence.touch(START, second(START), START, START);
    absence
}

/// The same, back after some time.
fn back(after: Duration) -> (Absence, Instant) {
    let mut absence = settled();
    let now = START + after;
    assert!(absence.hear(now, now) && absence.is_in_doubt());
    (absence, now)
}

fn witness(reach: Instant) -> Knowledge {
    Knowledge::Complete { since: second(START - DAY), reach: second(reach) }
}

fn value(node: u64, at: Instant) -> Update<u16> {
    let stamp = Stamp { time: at, counter: 0, node: NodeId::new(node) };
    Update::Entry(Entry { owner: None, name: "x".into(), stamp, ends: None, value: Some([1][..].into()), extra: None })
}

#[test]
fn a_witness_that_has_forgotten_nothing_since_settles_a_doubt_at_once() {
    let (mut absence, now) = back(HOUR);
    assert_eq!(absence.meet(witness(START - HOUR), now), Meeting::Settled);
    assert!(!absence.is_in_doubt());
}

#[test]
fn a_witness_that_has_forgotten_something_since_judges_and_settles_when_all_is_compared() {
    let (mut absence, now) = back(8 * DAY);
    let theirs = witness(START + HOUR);
    assert_eq!(absence.meet(theirs, now), Meeting::Judged);
    assert!(absence.doubts(&value(2, START - HOUR)) && !absence.doubts(&value(2, START + HOUR)));
    absence.complete(theirs, Meeting::Judged);
    assert!(!absence.is_in_doubt() && !absence.doubts(&value(2, START - HOUR)));
    let reach = second(START + HOUR);
    assert_eq!(
        absence.knowledge(0, now),
        Knowledge::Complete { since: second(START - DAY), reach },
        "a witness as good"
    );
}

#[test]
fn who_came_later_is_no_witness_and_shares_the_doubt() {
    let (mut absence, now) = back(8 * DAY);
    let mut newcomer = started(now);
    newcomer.hear(now, now);
    let Knowledge::Complete { since, .. } = newcomer.knowledge(0, now) else { panic!() };
    let theirs = Knowledge::Complete { since, reach: second(now) };
    assert_eq!(absence.meet(theirs, now), Meeting::Plain);
    assert_eq!(newcomer.meet(absence.knowledge(0, now), now), Meeting::Alike);
    assert_eq!(absence.meet(newcomer.knowledge(0, now), now), Meeting::Alike);
    assert_eq!(newcomer.meet(witness(START + HOUR), now), Meeting::Judged, "on behalf of the one that was away");
}

#[test]
fn who_has_met_nobody_since_its_start_is_no_witness() {
    let (mut absence, now) = back(8 * DAY);
    // It was there first, and alone.
    let mut alone = started(START - DAY);
    alone.hear(now, now);
    assert_eq!(absence.meet(alone.knowledge(0, now), now), Meeting::Plain);
    assert_eq!(alone.meet(absence.knowledge(0, now), now), Meeting::Alike);
}

#[test]
fn a_doubt_ends_after_an_hour_however_often_it_is_shared() {
    let (mut one, mut now) = back(8 * DAY);
    let mut other = started(now);
    for minute in 0..70 {
        now += 60 * SECOND;
        for absence in [&mut one, &mut other] {
            absence.hear(now, now);
            absence.touch(now, second(now), now, now);
        }
        let (mine, theirs) = (one.knowledge(0, now), other.knowledge(0, now));
        other.meet(mine, now);
        one.meet(theirs, now);
        assert_eq!(other.is_in_doubt(), minute < 59, "{minute}");
    }
    assert!(!one.is_in_doubt());
    let Knowledge::Complete { since, .. } = one.knowledge(0, now) else { panic!() };
    assert!(since > second(START + 8 * DAY), "no witness of what was before");
}

#[test]
fn what_waited_in_a_socket_through_an_absence_is_in_doubt_and_what_came_after_a_restart_is_not() {
    let (mut absence, now) = (settled(), START + HOUR);
    absence.note_pause(HOUR);
    absence.hear(now, now);
    assert!(absence.doubts(&value(2, START + HOUR / 2)) && !absence.doubts(&value(2, now + 2 * SECOND)));
    let mut again = started(START + HOUR);
    again.restore(settled().contact(0));
    again.hear(now, now);
    assert!(
        again.doubts(&value(2, START)) && !again.doubts(&value(2, START + HOUR / 2)),
        "a new process has a new socket"
    );
}

#[test]
fn one_clock_that_is_wrong_at_the_last_contact_or_afterwards_does_not_date_it() {
    let (days, then) = (11 * DAY, START + SECOND);
    // The own clock at the contact, the peer's, and the own one an hour later.
    for [own, peer, later] in [[START - days, then, then], [then, START + days, then], [then, then, START + days]] {
        let mut absence = started(START - DAY);
        absence.hear(START, START);
        absence.touch(START, second(peer), own, own);
        absence.hear(START + HOUR, later + HOUR);
        let Knowledge::InDoubt(doubt) = absence.knowledge(0, START + HOUR) else { panic!() };
        assert!(doubt.since.abs_diff(second(START)) <= 1, "{doubt:?}");
    }
}

#[test]
fn two_whose_doubts_end_in_one_second_do_not_give_them_back_to_one_another() {
    let (mut one, now) = back(8 * DAY);
    let (mut other, _) = back(8 * DAY);
    assert_eq!(one.meet(other.knowledge(0, now), now), Meeting::Alike);
    assert_eq!(other.meet(one.knowledge(0, now), now), Meeting::Alike);
    let (mut ended, last) = (0, now + HOUR - SECOND / 2);
    for at in (1..120).map(|half| now + half * 30 * SECOND).chain((0..1_000).map(|tick| last + tick * SECOND / 1_000)) {
        let now = at;
        let (mine, theirs) = (one.knowledge(0, now), other.knowledge(0, now));
        for (absence, heard) in [(&mut one, theirs), (&mut other, mine)] {
            ended += u32::from(absence.hear(now, now));
            absence.meet(heard, now);
        }
    }
    assert_eq!(ended, 2);
}

#[test]
fn no_step_of_a_clock_is_an_absence_and_no_ack_a_contact() {
    let mut absence = settled();
    for (seconds, agreed) in [(1, START + WEEK), (2, START - WEEK), (3, START)] {
        assert!(!absence.hear(START + seconds * SECOND, agreed));
    }
    // Datagrams come all the time, and no exchange ends.
    for seconds in 4..60 {
        assert!(!absence.hear(START + seconds * SECOND, START));
    }
    assert!(absence.hear(START + 61 * SECOND, START + 61 * SECOND));
}

#[test]
fn after_a_restart_the_first_datagram_begins_a_doubt_and_after_a_first_start_it_does_not() {
    let mut absence = started(START);
    assert!(!absence.hear(START + DAY, START + DAY), "nobody was there");
    let kept = settled().contact(0);
    let mut again = started(START + DAY);
    again.restore(kept);
    assert!(again.hear(START + DAY, START + DAY));
    assert_eq!(again.contact(0).as_of(kept).since, kept.since);
    assert!(again.doubts(&value(2, START)) && !again.doubts(&value(1, START + SECOND)), "written here, since");
}

#[test]
fn an_own_write_that_somebody_has_confirmed_is_in_doubt_as_any_other() {
    let (mut absence, wrote) = (settled(), START + SECOND);
    absence.note_written(7, wrote);
    absence.note_written(8, wrote + SECOND);
    absence.hear(START + 3 * SECOND, START + 3 * SECOND);
    absence.note_confirmed(9);
    absence.note_confirmed(7);
    let now = START + DAY;
    assert!(absence.hear(now, now));
    absence.note_confirmed(8);
    assert!(
        absence.doubts(&value(1, wrote)) && !absence.doubts(&value(1, wrote + SECOND)),
        "nobody may have the second"
    );
}

#[test]
fn of_many_own_writes_that_nobody_confirms_few_are_remembered() {
    let mut absence = settled();
    (0..1_000).for_each(|hash| absence.note_written(hash, START));
    assert_eq!(absence.unheard.len(), UNHEARD);
    absence.touch(START, second(START), START, START);
    assert!(absence.unheard.is_empty());
}

#[test]
fn who_has_refused_something_is_no_witness_of_the_time_before() {
    let mut absence = settled();
    absence.note_refused(START + HOUR);
    assert_eq!(absence.knowledge(7, START + HOUR), Knowledge::Complete { since: second(START + HOUR), reach: 7 });
}

#[test]
fn only_shared_values_that_last_are_in_doubt() {
    let (absence, _) = back(8 * DAY);
    let lease = |ends| {
        let Update::Entry(entry) = value(2, START) else { panic!() };
        Update::<u16>::Entry(Entry { ends, ..entry })
    };
    let Update::Entry(entry) = value(2, START) else { panic!() };
    let owner = Some(crate::update::Owner { id: NodeId::new(2), boot: START });
    assert!(!absence.doubts(&Update::<u16>::Entry(Entry { owner, ..entry })), "it goes with its owner");
    assert!(absence.doubts(&lease(None)) && !absence.doubts(&lease(Some(End::new(START + WEEK, WEEK)))));
}

#[test]
fn what_is_set_aside_is_bounded_by_number_and_by_bytes_and_the_newest_of_its_name() {
    let hasher = ItemHasher::new("");
    let mut aside = Aside::new(Room { items: 2, bytes: 10 });
    let sample = |name: &str, length: usize, seconds: u32| {
        let stamp = Stamp { time: START + seconds * SECOND, counter: 0, node: NodeId::new(1) };
        Entry {
            owner: None,
            name: name.into(),
            stamp,
            ends: None,
            value: Some(std::vec![7; length].into()),
            extra: None,
        }
    };
    let mut insert = |entry: Entry| {
        let has_room = aside.has_room(&entry);
        let update = Update::<u16>::Entry(entry.clone());
        let key = hasher.key(&update);
        if has_room {
            aside.insert(key, hasher.item(key, &update), entry);
        }
        (has_room, aside.len(), aside.get(key).map(|entry| entry.stamp.time))
    };
    assert_eq!(insert(sample("a", 6, 5)), (true, 1, Some(START + 5 * SECOND)));
    assert_eq!(insert(sample("a", 3, 4)), (true, 1, Some(START + 5 * SECOND)));
    assert_eq!(insert(sample("b", 5, 1)), (false, 1, None));
    assert!(insert(sample("b", 4, 1)).0);
    assert_eq!(insert(sample("c", 0, 1)), (false, 2, None));
    aside.clear();
    assert!(aside.has_room(&sample("b", 10, 1)) && aside.len() == 0);
}
