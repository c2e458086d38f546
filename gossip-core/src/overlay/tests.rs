//! The rules of links and of the flood, one node at a time.

use std::vec::Vec;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::config::Links;
use crate::wire::{Hashes, Item, Message, Overlay as Said, Suspicion, Writer, read};

const NOW: Instant = Instant::from_secs(1_000);
const MS: Duration = Duration::from_millis(1);

/// A node with links to peers 1, 2, ...; items are suspicions, whose hash is the number of the accused.
struct Bench {
    overlay: Overlay<u32>,
    outbox: Outbox<u32>,
    rng: Xoshiro256PlusPlus,
}

fn item(n: u64) -> HotKey {
    HotKey::Opinion(suspicion(n))
}

const fn suspicion(n: u64) -> Suspicion {
    Suspicion { about: NodeId::new(n), incarnation: 0, accuser: NodeId::new(0) }
}

impl Bench {
    fn new(links: u32) -> Self {
        Self::near(links, 0)
    }

    fn near(links: u32, near: u32) -> Self {
        let overlay = Overlay::new(Links { degree: 5, near }, 5 * MS, 4_096);
        let mut bench = Self { overlay, outbox: Outbox::new(64), rng: Xoshiro256PlusPlus::seed_from_u64(1) };
        for peer in 1..=links {
            assert!(matches!(bench.link(peer, false), Answer::Linked { .. }), "{peer}");
        }
        bench.outbox.clear();
        bench
    }

    fn link(&mut self, peer: u32, alone: bool) -> Answer {
        let Self { overlay, outbox, rng } = self;
        overlay.on_link(NOW, (NodeId::new(peer.into()), &peer), (100, alone), outbox, rng)
    }

    fn news(&mut self, now: Instant, n: u64) -> bool {
        self.overlay.news(now, n, item(n), Haste::Prompt, &mut self.rng)
    }

    /// Sends what is due, and returns it by receiver.
    fn sent(&mut self, now: Instant) -> Vec<(u32, Said<u32>)> {
        let mut sent = Vec::new();
        self.overlay.tick(now);
        self.overlay.schedule(now, &mut self.outbox);
        while let Some((_, to, intent)) = self.outbox.pop() {
            let mut buffer = [0; 1_000];
            let mut writer = Writer::new(&mut buffer);
            match intent {
                Intent::Message(message) => assert!(writer.push(&message)),
                Intent::Link => {
                    let body = |n, _: Option<HotKey>| Some(Item::Suspicion(suspicion(n)));
                    assert!(!self.overlay.compose(&to, now, body, &mut writer), "all fits");
                }
                other => panic!("{other:?}"),
            }
            let (used, mut messages) = (writer.used(), Vec::new());
            read::<u32>(&buffer[..used], &mut messages, crate::update::Format::FIRST).unwrap();
            sent.extend(messages.into_iter().map(|message| match message {
                Message::Overlay(said) => (to, said),
                other => panic!("{other:?}"),
            }));
        }
        sent
    }

    fn eager(&self) -> Vec<u64> {
        self.overlay.neighbours().filter(|link| link.eager).map(|link| link.id.get()).collect()
    }
}

fn bodies(sent: &[(u32, Said<u32>)]) -> Vec<u32> {
    sent.iter().filter(|(_, said)| matches!(said, Said::Flood { .. })).map(|(to, _)| *to).collect()
}

fn offers(sent: &[(u32, Said<u32>)]) -> Vec<u32> {
    sent.iter().filter(|(_, said)| matches!(said, Said::Offers { .. })).map(|(to, _)| *to).collect()
}

#[test]
fn news_goes_whole_over_eager_links_at_once_and_is_offered_over_lazy_ones_later() {
    let mut bench = Bench::new(5);
    [3, 4, 5].iter().for_each(|peer| assert!(bench.overlay.on_prune(peer)));
    assert_eq!(bench.eager(), [1, 2]);
    assert!(bench.news(NOW, 9));
    let sent = bench.sent(NOW);
    assert_eq!((bodies(&sent), sent.len()), ([1, 2].into(), 2));
    assert!(bench.sent(NOW + 3 * MS).is_empty(), "no offer before the body has had its time");
    bench.overlay.on_confirm(NOW, &1, (99, u32::MAX), |_| {});
    let due: Vec<u32> = (4..=12).flat_map(|at| offers(&bench.sent(NOW + at * MS))).collect();
    assert_eq!(due.len(), 3);
}

#[test]
fn a_body_that_is_not_confirmed_is_offered_again_and_one_that_is_confirmed_is_not() {
    let mut bench = Bench::new(2);
    bench.news(NOW, 9);
    let sent = bench.sent(NOW);
    let number = |to| {
        sent.iter().find_map(|(peer, said)| match said {
            Said::Flood { number, .. } if *peer == to => Some(*number),
            _ => None,
        })
    };
    assert!(bench.overlay.on_confirm(NOW + MS, &1, (number(1).unwrap(), 0), |_| {}));
    let again = bench.sent(NOW + 30 * MS);
    assert!(matches!(&again[..], [(2, Said::Again { hashes, .. })] if hashes.0 == [9]), "{again:?}");
    assert_eq!(bench.overlay.counted().repeated, 1);
}

#[test]
fn a_duplicate_makes_a_link_lazy_unless_it_is_the_last_eager_one_or_brought_the_item_first() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.eager(), [1, 2, 3], "a link begins eager");
    let body = |bench: &mut Bench, now, from: u32, n| {
        if bench.overlay.on_body(now, &from, n, 0) {
            bench.overlay.on_duplicate(now, &from, n);
        } else {
            bench.news(now, n);
            bench.overlay.on_useful(&from);
        }
    };
    body(&mut bench, NOW, 1, 9);
    body(&mut bench, NOW, 1, 9);
    assert_eq!(bench.eager(), [1, 2, 3], "the first copy came over it");
    body(&mut bench, NOW, 2, 9);
    assert_eq!(bench.eager(), [1, 3]);
    assert!(bench.sent(NOW).contains(&(2, Said::Prune)));
    // Another item just then, which went the other way round: one duplicate is no reason yet.
    body(&mut bench, NOW + MS, 3, 10);
    body(&mut bench, NOW + MS, 1, 10);
    assert_eq!(bench.eager(), [1, 3], "two writes at once do not cut each other's branches");
    body(&mut bench, NOW + 2 * MS, 3, 11);
    body(&mut bench, NOW + 2 * MS, 1, 11);
    assert_eq!(bench.eager(), [3], "two in a row");
    body(&mut bench, NOW + 500 * MS, 2, 12);
    body(&mut bench, NOW + 500 * MS, 2, 13);
    assert_eq!(bench.eager(), [2, 3], "what brings news is eager");
    body(&mut bench, NOW + 900 * MS, 3, 13);
    body(&mut bench, NOW + 900 * MS, 3, 12);
    assert_eq!(bench.eager(), [2]);
}

#[test]
fn what_is_offered_is_asked_for_after_a_while_and_at_once_if_its_body_was_lost() {
    let mut bench = Bench::new(3);
    [2, 3].iter().for_each(|peer| assert!(bench.overlay.on_prune(peer)));
    bench.overlay.on_offer(NOW, &3, 9, true, Some(0));
    assert!(bench.sent(NOW + 4 * MS).is_empty(), "the body is perhaps on its way");
    let graft = |to, n| (to, Said::Graft { hashes: Hashes([n].into()) });
    assert_eq!(bench.sent(NOW + 5 * MS), [graft(3, 9)]);
    assert!(bench.eager().contains(&3));
    bench.overlay.on_offer(NOW + 7 * MS, &2, 10, true, None);
    assert_eq!(bench.sent(NOW + 7 * MS), [graft(2, 10)]);
    bench.overlay.on_offer(NOW + 7 * MS, &2, 11, true, Some(0));
    bench.overlay.got(11);
    bench.overlay.got(9);
    bench.overlay.got(10);
    assert!(bench.sent(NOW + 60 * MS).is_empty());
    // The other side.
    assert!(bench.overlay.on_graft(NOW + 60 * MS, &3, &[12]));
    assert_eq!(bodies(&bench.sent(NOW + 60 * MS)), [3]);
}

#[test]
fn a_neighbour_that_had_it_over_a_much_shorter_way_takes_the_place_of_the_one_that_brought_it() {
    let mut bench = Bench::new(3);
    [2, 3].iter().for_each(|peer| assert!(bench.overlay.on_prune(peer)));
    assert!(!bench.overlay.on_body(NOW, &1, 9, 7));
    bench.news(NOW, 9);
    let offer = |bench: &mut Bench, now, from: u32, n, hops| bench.overlay.on_offer(now, &from, n, false, hops);
    offer(&mut bench, NOW, 2, 9, Some(4));
    offer(&mut bench, NOW, 2, 9, None);
    offer(&mut bench, NOW, 1, 9, Some(0));
    assert_eq!(bench.eager(), [1], "three hops less are not worth it, nor is the link that brought it");
    offer(&mut bench, NOW, 2, 9, Some(3));
    assert_eq!(bench.eager(), [2]);
    let sent = bench.sent(NOW);
    assert!(
        sent.contains(&(1, Said::Prune)) && sent.contains(&(2, Said::Graft { hashes: Hashes([].into()) })),
        "{sent:?}"
    );
    // Its way is the shorter one now, and this node offers by that.
    let offered = (0..20).flat_map(|at| bench.sent(NOW + at * MS)).find_map(|(_, said)| match said {
        Said::Offers { hops, .. } => Some(hops),
        _ => None,
    });
    assert_eq!(offered, Some(4));
    offer(&mut bench, NOW, 3, 9, Some(0));
    assert_eq!(bench.eager(), [2]);
    // News of two writers just then: the branches of the first stay.
    assert!(!bench.overlay.on_body(NOW + MS, &2, 10, 9));
    bench.news(NOW + MS, 10);
    offer(&mut bench, NOW + MS, 3, 10, Some(0));
    assert_eq!(bench.eager(), [2]);
    offer(&mut bench, NOW + 300 * MS, 3, 10, Some(0));
    assert_eq!(bench.eager(), [3]);
    assert!(bench.overlay.on_graft(NOW, &1, &[]), "the other side");
    assert_eq!(bench.eager(), [1, 3]);
}

#[test]
fn a_silent_neighbour_is_doubted_another_is_sought_and_what_it_did_not_get_goes_to_others() {
    let mut bench = Bench::new(5);
    let seeks = |bench: &mut Bench, now| {
        let Bench { overlay, outbox, rng } = bench;
        overlay.seeks(now, 20, outbox, rng)
    };
    assert_eq!(seeks(&mut bench, NOW), 0);
    bench.news(NOW, 9);
    let mut at = NOW;
    while bench.overlay.is_linked() && at < NOW + 200 * MS {
        for (to, said) in bench.sent(at) {
            // All but the first answer.
            if let (2.., Said::Flood { number, .. } | Said::Again { number, .. }) = (to, said) {
                bench.overlay.on_confirm(at, &to, (number, 0), |_| {});
            }
        }
        at += MS;
    }
    let doubted: Vec<u64> = bench.overlay.neighbours().filter(|link| link.doubted).map(|link| link.id.get()).collect();
    assert_eq!(doubted, [1]);
    assert_eq!(bench.overlay.take_orphans(), [item(9)]);
    assert_eq!(seeks(&mut bench, at), 1);
    bench.overlay.on_neighbour(&1);
    assert!(bench.overlay.neighbours().all(|link| !link.doubted), "it was there after all");
}

#[test]
fn a_doubted_neighbour_that_is_back_stays_and_the_newest_link_ends() {
    let mut bench = Bench::new(6);
    let doubt = |bench: &mut Bench, places: [usize; 2]| {
        places.iter().for_each(|at| bench.overlay.links[*at].doubted = true);
    };
    doubt(&mut bench, [0, 1]);
    assert!([7, 8].iter().all(|peer| matches!(bench.link(*peer, false), Answer::Linked { .. })));
    assert_eq!(bench.link(9, false), Answer::Full);
    bench.outbox.clear();
    bench.news(NOW, 5);
    assert!(!bench.overlay.on_neighbour(&2));
    let links = |bench: &Bench| bench.overlay.neighbours().map(|link| link.id.get()).collect::<Vec<_>>();
    assert_eq!(links(&bench), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(bench.overlay.take_orphans(), [item(5)], "what it may not have brought goes another way");
    // By a datagram of the flood as well.
    assert_eq!(bench.overlay.on_number(NOW, &1, 100), Some(true));
    assert_eq!(links(&bench), [1, 2, 3, 4, 5, 6]);
    let unlinked: Vec<u32> =
        bench.sent(NOW).into_iter().filter(|(_, said)| *said == Said::Unlink).map(|(to, _)| to).collect();
    assert_eq!(unlinked, [8, 7]);
    // However many are doubted, there are never more than twice the degree and one more.
    bench.overlay.links.iter_mut().for_each(|link| link.doubted = true);
    (11..=16).for_each(|peer| assert!(matches!(bench.link(peer, false), Answer::Linked { .. }), "{peer}"));
    assert_eq!(bench.overlay.neighbours().count(), 11);
}

#[test]
fn links_are_bounded_and_whoever_has_none_takes_the_place_of_another() {
    let mut bench = Bench::new(6);
    assert_eq!(bench.link(7, false), Answer::Full);
    assert!(matches!(bench.link(7, true), Answer::Linked { .. }));
    assert_eq!(bench.overlay.neighbours().count(), 6);
    let unlinked = bench.sent(NOW);
    assert!(matches!(unlinked[..], [(_, Said::Unlink)]), "{unlinked:?}");
    // One with more than it needs proposes to part, to one neighbour after the other.
    let Bench { overlay, outbox, rng } = &mut bench;
    assert_eq!(overlay.seeks(NOW, 20, outbox, rng), 0);
    assert_eq!(overlay.seeks(NOW, 20, outbox, rng), 0);
    assert!(matches!(bench.sent(NOW)[..], [(_, Said::Part)]));
    // A neighbour does so, too.
    assert!(bench.overlay.on_part(&7) && bench.overlay.neighbours().count() == 5);
    let other = u32::try_from(bench.overlay.neighbours().next().unwrap().id.get()).unwrap();
    assert!(!bench.overlay.on_part(&other), "five are not too many");
}

#[test]
fn a_neighbour_that_died_is_asked_again_when_it_is_back() {
    let mut bench = Bench::new(5);
    bench.overlay.note_dead(NOW, NodeId::new(2));
    assert!(!bench.overlay.has_link(&2));
    let Bench { overlay, outbox, rng } = &mut bench;
    assert_eq!(overlay.seeks(NOW, 20, outbox, rng), 1);
    assert!(outbox.is_empty());
    overlay.note_back(NOW + MS, NodeId::new(2));
    assert!(overlay.due(20).is_some_and(|due| due <= NOW + MS));
    overlay.seeks(NOW + MS, 20, outbox, rng);
    assert!(matches!(bench.sent(NOW + MS)[..], [(2, Said::Link { .. })]));
}

/// Each repetition has another number, and the earlier ones are forgotten: no confirmation of those measures anything.
#[test]
fn over_a_path_longer_than_all_pauses_a_link_waits_as_long_as_probes_have_shown() {
    let mut bench = Bench::new(2);
    let times = bench.overlay.times.clone();
    let of = |bench: &Bench| {
        let timeout = |link: &Link<u32>| link.timeout(&times);
        [1, 2].map(|peer| bench.overlay.links.iter().find(|link| link.peer == peer).map(timeout).unwrap())
    };
    let before = of(&bench);
    assert!(before.iter().all(|timeout| *timeout < 30 * MS), "nothing was measured: {before:?}");
    bench.overlay.note_trip(NodeId::new(1), MS);
    assert_eq!(of(&bench), before, "a short path the link measures itself");
    bench.overlay.note_trip(NodeId::new(1), 2_500 * MS);
    let [far, near] = of(&bench);
    assert!(far > 2_500 * MS && near == before[1], "{far:?} {near:?}");
    let link = bench.overlay.links.iter_mut().find(|link| link.peer == 1).unwrap();
    assert!(link.check());
    let repeat = link.repeats.pop_front().unwrap();
    link.number_again(repeat, NOW, &times);
    assert!(
        link.due(&times).is_some_and(|due| due >= NOW + 2_500 * MS),
        "also what is repeated waits for a round trip"
    );
}

/// Five requests within 620 ms were all that a member was sent, and one that had been lost was asked once, for 20 ms.
#[test]
fn requests_over_long_paths_wait_for_their_answers() {
    let mut bench = Bench::new(0);
    bench.overlay.note_trip(NodeId::new(9), 2_500 * MS);
    let Bench { overlay, outbox, rng } = &mut bench;
    overlay.ask(NOW, (NodeId::new(1), &1, true), outbox, rng);
    overlay.remember_lost(NOW, NodeId::new(2), 2, true);
    for at in [1_000, 1_500, 2_500, 3_500] {
        overlay.seeks(NOW + at * MS, 20, outbox, rng);
    }
    let asked = bench.sent(NOW + 3_500 * MS);
    let alike = |said: &Said<u32>| matches!(said, Said::Link { .. });
    assert!(asked.len() == 2 && asked.iter().all(|(_, said)| alike(said)), "once each, and not given up: {asked:?}");
    for peer in [1, 2] {
        let Bench { overlay, outbox, .. } = &mut bench;
        overlay.on_linked(NOW + 3_500 * MS, (NodeId::new(peer.into()), &peer), 7, outbox);
        assert!(overlay.has_link(&peer));
    }
}

#[test]
fn an_unlink_that_was_said_before_the_neighbour_knew_of_a_link_does_not_end_it() {
    let mut bench = Bench::near(2, 0);
    let within = bench.overlay.answers_within();
    bench.sent(NOW);
    bench.overlay.on_unlink(NOW + within - MS, &1);
    assert!(bench.overlay.has_link(&1));
    let sent = bench.sent(NOW + within - MS);
    let asked =
        |(to, said): &(u32, Said<u32>)| *to == 1 && matches!(said, Said::Again { hashes, .. } if hashes.0.is_empty());
    assert!(sent.iter().any(asked), "it is asked whether it has this one: {sent:?}");
    bench.overlay.on_unlink(NOW + within, &1);
    assert!(!bench.overlay.has_link(&1) && bench.overlay.has_link(&2));
}

#[test]
fn near_members_take_the_place_of_far_neighbours_and_one_drawn_among_all_stays() {
    let mut bench = Bench::near(5, 4);
    let id = |peer: u32| NodeId::new(peer.into());
    for link in &mut bench.overlay.links {
        link.note_trip(60 * MS);
    }
    let seeks = |bench: &mut Bench, now| {
        let Bench { overlay, outbox, rng } = bench;
        let wanted = overlay.seeks(now, 20, outbox, rng);
        (wanted, overlay.near_candidates(rng).len())
    };
    assert_eq!(seeks(&mut bench, NOW), (0, 0), "nobody is known to be near");
    (11..=14).for_each(|peer| bench.overlay.note_trip(id(peer), MS));
    assert_eq!(seeks(&mut bench, NOW), (1, 4));
    let asked: Vec<u32> =
        bench.sent(NOW).into_iter().filter(|(_, said)| *said == Said::Part).map(|(to, _)| to).collect();
    assert_eq!(asked, [1], "far neighbours are asked to part, one at a time");
    // The neighbour has too many far ones as well; and here, while there are more than one.
    bench.overlay.on_unlink(NOW, &1);
    assert!(bench.overlay.on_part(&2) && bench.overlay.on_part(&3) && bench.overlay.on_part(&4));
    assert!(!bench.overlay.on_part(&5), "the last far one stays");
    for peer in 11..=14 {
        assert!(matches!(bench.link(peer, false), Answer::Linked { .. }));
    }
    for link in bench.overlay.links.iter_mut().filter(|link| link.id.get() > 10) {
        link.note_trip(MS);
    }
    assert_eq!(seeks(&mut bench, NOW + 5_000 * MS), (0, 0));
    // Offers to a far neighbour wait for a round trip, since the body may be on its way there.
    bench.outbox.clear();
    bench.overlay.links.iter_mut().for_each(|link| link.eager = link.id.get() == 11);
    assert!(bench.news(NOW, 9));
    let offered = |bench: &mut Bench, at| offers(&bench.sent(NOW + at * MS)).contains(&5);
    let first = (0..=300).find(|at| offered(&mut bench, *at)).unwrap();
    // The other end is the first to offer the next item.
    let then = NOW + 300 * MS;
    bench.overlay.links.iter_mut().for_each(Link::heard);
    assert!(bench.news(then, 10));
    let second = (0..=300).find(|at| offered(&mut bench, 300 + at)).unwrap();
    let [first, second] = [first.min(second), first.max(second)];
    assert!((60..=100).contains(&first) && (180..=220).contains(&second), "{first} {second}");
}
