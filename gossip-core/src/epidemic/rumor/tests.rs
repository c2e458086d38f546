use std::vec;
use std::vec::Vec;

use core::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::config::{Config, Exchange, LossOfInterest, Response};
use crate::id::NodeId;
use crate::update::{Entry, KeyHash, Stamp, Update, Whose};
use crate::wire::encoded_len;

const NOW: Instant = Instant::from_secs(1_000);
const ROOM: usize = 1_162;
const MANY: u32 = 1_000;

/// A site with its hot list, and what it says to whom.
struct Site {
    rumors: Rumors<u16>,
    replica: Replica<u16>,
    outbox: Outbox<u16>,
    rng: Xoshiro256PlusPlus,
    now: Instant,
    max_sends: u32,
}

fn policy() -> Policy {
    Config::lan().rumor
}

impl Site {
    fn new(policy: Policy) -> Self {
        Self::with_limit(policy, 1_000)
    }

    fn with_limit(policy: Policy, limit: usize) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        Self {
            rumors: Rumors::new(policy, limit, &mut rng),
            replica: Replica::new("", Duration::from_secs(3_600), 10),
            outbox: Outbox::new(10_000),
            rng,
            now: NOW,
            max_sends: MANY,
        }
    }

    /// Learns an update with a body of so many bytes.
    fn learn(&mut self, name: &str, size: usize) -> HotKey {
        let update = Update::Entry(Entry {
            owner: None,
            name: name.into(),
            stamp: Stamp { time: self.now, counter: 0, node: NodeId::new(1) },
            ends: None,
            value: Some(vec![7; size].into()),
            extra: None,
        });
        let key = self.replica.hasher.key(&update);
        let len = encoded_len(&update) + 1;
        self.replica.merge(update);
        self.heat(key, Subject::Data, len);
        HotKey::Fact(key)
    }

    fn heat(&mut self, key: KeyHash, subject: Subject, len: usize) {
        let hash = self.replica.hash_of(key).unwrap();
        self.rumors.heat(self.now, HotKey::Fact(key), subject, hash, len, &mut self.rng);
    }

    /// Lets everything happen that is due until then, and says what was said.
    fn run(&mut self, time: Duration, partners: &[u16]) -> Vec<(u16, Message<u16>)> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(due) = self.rumors.due(false).filter(|due| *due <= end) {
            assert!(self.rumors.partners_wanted(due) > 0);
            self.now = self.now.max(due);
            self.rumors.hold_rounds(self.now, partners, &mut self.outbox);
            said.extend(self.drain());
        }
        self.now = end;
        said
    }

    fn drain(&mut self) -> Vec<(u16, Message<u16>)> {
        let mut said = Vec::new();
        while let Some((_, to, intent)) = self.outbox.pop() {
            let Intent::Rumors { rumors: keys, next, bodies, pull } = intent else { panic!("{intent:?}") };
            let (mut next, mut pull) = (next, pull);
            loop {
                let (message, at) = self.rumors.compose(
                    &to,
                    (&*keys, next, bodies, pull),
                    (ROOM, None),
                    (&self.replica, self.max_sends),
                    &mut self.rng,
                );
                if let Some(message) = message {
                    assert!(message.encoded_len() <= ROOM);
                    said.push((to, message));
                }
                (next, pull) = (at, false);
                if next >= keys.len() {
                    break;
                }
            }
        }
        said
    }

    fn hot(&self, key: &HotKey) -> &Hot {
        let place = self.rumors.hot.find(key).unwrap();
        self.rumors.hot.get(place).unwrap()
    }

    /// Answers every item of a rumor message alike.
    fn answer(&mut self, from: u16, message: &Message<u16>, useful: u64) -> Vec<u64> {
        let Message::Rumor(Rumor::Round(Round { number, .. })) = message else { panic!("{message:?}") };
        self.rumors.feedback(&from, Feedback { number: *number, useful, neutral: 0 }, &mut self.rng)
    }
}

fn items(message: &Message<u16>) -> &[(u8, Item<u16>)] {
    if let Message::Rumor(Rumor::Round(Round { items, .. })) = message { items } else { panic!("{message:?}") }
}

fn is_offer(message: &Message<u16>) -> bool {
    items(message).iter().all(|(_, item)| matches!(item, Item::Offer(_)))
}

#[test]
fn a_newly_learned_rumor_goes_on_after_the_relay_delay_together_with_what_turned_hot_meanwhile() {
    let mut site = Site::new(policy());
    site.learn("a", 4);
    site.now += Duration::from_millis(3);
    site.learn("b", 4);
    assert_eq!(site.rumors.due(false), Some(NOW + Duration::from_millis(5)));
    let said = site.run(Duration::from_millis(3), &[1, 2, 3]);
    assert_eq!(said.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2, 3], "one message to each of the fanout");
    assert!(said.iter().all(|(_, message)| items(message).len() == 2));
}

#[test]
fn the_second_round_follows_the_first_without_waiting_for_the_interval() {
    let mut site = Site::new(Policy { interval: Duration::from_secs(60), ..policy() });
    site.learn("a", 500);
    let said = site.run(Duration::from_millis(10), &[1]);
    assert_eq!(said.iter().map(|(_, message)| is_offer(message)).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn later_rounds_keep_the_interval_until_interest_is_lost() {
    let mut site = Site::new(policy());
    site.learn("a", 4);
    site.run(Duration::from_millis(200), &[1]);
    let said = site.run(Duration::from_secs(1), &[1]);
    assert_eq!(said.len(), 10, "one in each interval");
}

#[test]
fn a_late_round_is_held_once() {
    let mut site = Site::new(policy());
    site.learn("a", 4);
    site.run(Duration::from_millis(200), &[1]);
    site.now += Duration::from_secs(60);
    site.rumors.hold_rounds(site.now, &[1], &mut site.outbox);
    assert_eq!(site.drain().len(), 1);
    assert_eq!(site.rumors.due(false), Some(site.now + Duration::from_millis(100)));
}

#[test]
fn with_nobody_to_tell_rounds_wait_and_nothing_piles_up() {
    let mut site = Site::with_limit(policy(), 8);
    for _ in 0..1_000 {
        site.learn("a", 4);
        site.run(Duration::from_millis(10), &[]);
    }
    assert!(site.rumors.first.len() <= 16, "{}", site.rumors.first.len());
    assert!(site.rumors.due(false).is_some_and(|due| due > site.now));
    let said = site.run(Duration::from_millis(200), &[1]);
    assert!(said.iter().all(|(_, message)| items(message).len() == 1) && !said.is_empty());
}

#[test]
fn k_useless_contacts_in_a_row_end_interest_and_a_useful_one_starts_anew() {
    let mut site = Site::new(Policy { k: 3, ..policy() });
    site.learn("a", 4);
    let mut useful = [0, 0, 1, 0, 0, 0].into_iter();
    let said = (0..).map_while(|_| {
        let said = site.run(Duration::from_millis(100), &[1]);
        for (to, message) in &said {
            site.answer(*to, message, useful.next().unwrap());
        }
        (site.rumors.len() > 0).then_some(said.len())
    });
    let said: usize = said.sum();
    assert!(useful.next().is_none(), "two, a useful one, three: {said}");
    assert!(site.rumors.due(false).is_none_or(|due| due >= site.now));
    site.run(Duration::from_millis(200), &[1]);
    assert_eq!(site.rumors.due(false), None, "then silence");
}

#[test]
fn feedback_counts_once_and_only_from_whom_it_is_expected() {
    let mut site = Site::new(Policy { k: 2, ..policy() });
    let key = site.learn("a", 4);
    let said = site.run(Duration::from_millis(5), &[1]);
    let message = said[0].1.clone();
    for _ in 0..5 {
        site.answer(9, &message, 0);
    }
    assert!(site.rumors.is_hot(&key), "a stranger");
    for _ in 0..5 {
        site.answer(1, &message, 0);
    }
    assert!(site.rumors.is_hot(&key), "one useless contact is one, however often it is answered");
}

#[test]
fn feedback_for_what_was_replaced_meanwhile_does_not_count() {
    let mut site = Site::new(Policy { k: 1, ..policy() });
    let key = site.learn("a", 4);
    let said = site.run(Duration::from_millis(5), &[1]);
    site.now += Duration::from_millis(1);
    site.learn("a", 8);
    site.answer(1, &said[0].1, 0);
    assert!(site.rumors.is_hot(&key));
}

#[test]
fn what_is_not_answered_is_forgotten_and_the_bound_on_sends_ends_it() {
    let mut site = Site::new(policy());
    site.max_sends = 12;
    site.learn("a", 4);
    let said = site.run(Duration::from_secs(60), &[1, 2, 3]);
    assert_eq!((said.len(), site.rumors.len()), (12, 0));
    for name in ["b", "c", "d", "e", "f", "g"] {
        site.learn(name, 1_000);
    }
    site.run(Duration::from_secs(60), &[1, 2, 3]);
    assert!(site.rumors.outstanding.len() <= OUTSTANDING);
}

#[test]
fn a_blind_policy_counts_every_contact_and_asks_for_no_answer() {
    let mut site = Site::new(Policy { response: Response::Blind, k: 4, ..policy() });
    site.learn("a", 4);
    let said = site.run(Duration::from_secs(10), &[1]);
    assert_eq!((said.len(), site.rumors.len()), (4, 0));
    assert!(
        said.iter().all(|(_, message)| matches!(message, Message::Rumor(Rumor::Round(Round { feedback: false, .. }))))
    );
}

#[test]
fn a_coin_loses_interest_after_k_contacts_on_average() {
    let mut site =
        Site::new(Policy { response: Response::Blind, loss_of_interest: LossOfInterest::Coin, k: 4, ..policy() });
    let mut contacts = 0;
    for n in 0..400 {
        site.learn(&std::format!("{n}"), 4);
        while site.rumors.len() > 0 {
            contacts += site.run(Duration::from_millis(100), &[1]).len();
        }
    }
    assert!((1_400..1_800).contains(&contacts), "{contacts}");
}

#[test]
fn after_its_first_round_what_is_large_is_offered_by_hash_and_sent_when_wanted() {
    let mut site = Site::new(policy());
    site.learn("large", 500);
    let first = site.run(Duration::from_millis(5), &[1]);
    assert!(!is_offer(&first[0].1), "whole, the first time");
    let later = site.run(Duration::from_millis(200), &[2]);
    assert!(is_offer(&later[0].1) && later[0].1.encoded_len() < 20);
    let wanted = site.answer(2, &later[0].1, 1);
    assert_eq!(wanted.len(), 1);
    assert!(site.replica.by_hash(wanted[0]).is_some());
    assert!(site.answer(2, &later[0].1, 1).is_empty(), "once");
}

#[test]
fn what_is_small_is_offered_only_where_there_is_a_crowd_of_it() {
    for (many, offers) in [(1, false), (MANY_RUMORS, false), (MANY_RUMORS + 1, true)] {
        let mut site = Site::new(policy());
        for name in 0..many {
            site.learn(&std::format!("{name}"), 4);
        }
        let said = site.run(Duration::from_secs(1), &[1]);
        assert!(said.len() > 5 && !is_offer(&said[0].1));
        assert!(said[1..].iter().all(|(_, message)| is_offer(message) == offers), "{many}");
    }
}

#[test]
fn an_offer_is_wanted_from_one_at_a_time() {
    let mut site = Site::new(policy());
    let (interval, patience) = (policy().interval, policy().interval / 5);
    assert!(site.rumors.wants(NOW, 7, patience) && !site.rumors.wants(NOW, 7, patience));
    assert!(site.rumors.wants(NOW + patience, 7, 10 * interval), "the one who was asked did not send it");
    assert!(!site.rumors.wants(NOW + 2 * patience, 7, patience));
    assert!(site.rumors.wants(NOW + patience + interval, 7, patience), "nobody is waited for longer than an interval");
    site.rumors.got(7);
    assert!(site.rumors.wants(NOW + 2 * interval, 7, patience));
    for hash in 0..10_000 {
        site.rumors.wants(NOW, hash, patience);
    }
    assert!(site.rumors.wanted.len() <= WANTED);
}

#[test]
fn what_was_asked_for_and_has_not_come_is_missed_once() {
    let mut site = Site::new(policy());
    let (interval, patience) = (policy().interval, policy().interval / 5);
    assert!(site.rumors.wants(NOW, 7, patience) && site.rumors.wants(NOW, 8, patience));
    let review = NOW + patience + interval;
    assert_eq!(site.rumors.due(false), Some(review));
    site.rumors.got(8);
    assert!(!site.rumors.has_missed(review - Duration::from_micros(1)));
    assert_eq!(site.rumors.partners_wanted(review), 0, "a review is no round");
    assert!(site.rumors.has_missed(review) && !site.rumors.has_missed(review + 20 * interval));
    assert_eq!(site.rumors.due(false), None);
    // What has come is not missed, and whoever is asked again has another interval.
    let later = review + 20 * interval;
    assert!(site.rumors.wants(later, 9, patience) && site.rumors.wants(later + interval, 9, patience));
    assert!(!site.rumors.has_missed(later + patience + interval));
    site.rumors.got(9);
    assert_eq!(site.rumors.due(false), None);
}

#[test]
fn offers_of_what_never_comes_are_missed_ten_times_in_a_hundred_intervals() {
    let mut site = Site::new(policy());
    let interval = policy().interval;
    let missed = (0..1_000).filter(|&hash| {
        let now = NOW + interval * hash / 10;
        site.rumors.wants(now, hash.into(), interval / 5);
        site.rumors.has_missed(now)
    });
    assert!((8..=10).contains(&missed.count()));
}

#[test]
fn with_minimization_only_the_smaller_counter_moves_and_both_if_equal() {
    let minimizing = Policy { exchange: Exchange::PushPull, minimization: true, k: 3, ..policy() };
    let mut site = Site::new(minimizing.clone());
    let key = site.learn("a", 4);
    let counter = |site: &Site| site.hot(&key).interest.counter();
    assert!(site.rumors.both_knew(&key, 1, &mut site.rng), "ours is smaller: the asker keeps its counter");
    assert_eq!(counter(&site), 1);
    assert!(!site.rumors.both_knew(&key, 0, &mut site.rng));
    assert_eq!(counter(&site), 1, "theirs is smaller: ours stays");
    assert!(!site.rumors.both_knew(&key, 1, &mut site.rng), "equal: both move");
    assert_eq!(counter(&site), 2);

    // And what is spared at the other end does not move here.
    let said = site.run(Duration::from_millis(5), &[1]);
    let Message::Rumor(Rumor::Round(Round { number, .. })) = said[0].1 else { unreachable!() };
    site.rumors.feedback(&1, Feedback { number, useful: 0, neutral: 1 }, &mut site.rng);
    assert_eq!(counter(&site), 2);

    assert!(site.rumors.minimizes());
    for policy in
        [Policy { minimization: false, ..minimizing.clone() }, Policy { exchange: Exchange::Push, ..minimizing }]
    {
        assert!(!Site::new(policy).rumors.minimizes());
    }
}

#[test]
fn one_who_pulls_asks_in_every_round_and_sends_nothing_of_its_own() {
    let mut site = Site::new(Policy { exchange: Exchange::Pull, ..policy() });
    site.rumors.begin_pulling(NOW);
    site.learn("a", 4);
    let said = site.run(Duration::from_secs(1), &[1]);
    assert_eq!(said.len(), 10);
    assert!(said.iter().all(|(_, message)| items(message).is_empty()
        && matches!(message, Message::Rumor(Rumor::Round(Round { pull: true, .. })))));
    assert!(site.rumors.due(false).is_some(), "for ever");
    site.rumors.answer_pull(&5, &mut site.outbox);
    let said = site.drain();
    assert_eq!((said[0].0, items(&said[0].1).len()), (5, 1), "but it answers");
    let mut site = Site::new(policy());
    site.learn("a", 4);
    site.rumors.answer_pull(&5, &mut site.outbox);
    assert!(site.drain().is_empty(), "nobody asks where rumors are pushed");
}

#[test]
fn one_who_pushes_and_pulls_does_both_in_one_message() {
    let mut site = Site::new(Policy { exchange: Exchange::PushPull, ..policy() });
    site.rumors.begin_pulling(NOW);
    site.learn("a", 4);
    site.run(Duration::from_millis(200), &[1]);
    let said = site.run(Duration::from_millis(100), &[1]);
    assert!(
        matches!(&said[..], [(1, Message::Rumor(Rumor::Round(Round { pull: true, items, .. })))] if items.len() == 1),
        "{said:?}"
    );
}

#[test]
fn a_full_hot_list_drops_what_was_sent_most_and_counts_it() {
    let mut site = Site::with_limit(policy(), 3);
    let first = site.learn("a", 4);
    site.run(Duration::from_millis(200), &[1]);
    let others = ["b", "c"].map(|name| site.learn(name, 4));
    assert_eq!(site.rumors.dropped(), 0);
    site.learn("d", 4);
    assert_eq!((site.rumors.len(), site.rumors.dropped()), (3, 1));
    assert!(!site.rumors.is_hot(&first) && others.iter().all(|key| site.rumors.is_hot(key)));
}

#[test]
fn one_rumor_larger_than_a_round_does_not_block_the_others() {
    // Datagrams may have 65,507 bytes.
    let mut site = Site::new(Policy { offer_above: usize::MAX, ..policy() });
    let large = site.learn("large", 4);
    let HotKey::Fact(key) = large else { unreachable!() };
    site.heat(key, Subject::Data, ROUND_BYTES + 1);
    let small = site.learn("small", 4);
    site.rumors.hold_rounds(site.now + Duration::from_millis(5), &[1], &mut site.outbox);
    site.rumors.hold_rounds(site.now + Duration::from_millis(10), &[1], &mut site.outbox);
    let places: Vec<HotSlot> = core::iter::from_fn(|| site.outbox.pop())
        .flat_map(|(_, _, intent)| if let Intent::Rumors { rumors, .. } = intent { rumors.to_vec() } else { vec![] })
        .collect();
    let [large, small] = [large, small].map(|key| site.rumors.hot.find(&key).unwrap());
    assert_eq!(places, [large, large, small], "its second round comes with the first of the next");
    assert_eq!(*site.rumors.least_sent(), [large], "and has later rounds of its own");
}

#[test]
fn a_first_round_that_was_lost_in_the_outbox_is_not_the_last() {
    let mut site = Site::new(policy());
    site.learn("a", 4);
    site.rumors.hold_rounds(site.now + Duration::from_millis(5), &[1], &mut site.outbox);
    site.outbox.clear();
    site.now += Duration::from_millis(5);
    assert!(!site.run(Duration::from_secs(1), &[1]).is_empty());
}

#[test]
fn a_message_has_at_most_64_items_and_the_rest_follows() {
    let mut site = Site::new(policy());
    for n in 0..150 {
        site.learn(&std::format!("{n}"), 0);
    }
    let said = site.run(Duration::from_millis(5), &[1]);
    assert!(said.iter().all(|(_, message)| items(message).len() <= ITEMS));
    assert_eq!(said.iter().map(|(_, message)| items(message).len()).sum::<usize>(), 150);
}

#[test]
fn what_is_hot_rides_along_least_sent_first_and_every_ride_is_a_send() {
    let mut site = Site::new(policy());
    site.max_sends = 2;
    let keys = ["a", "b", "c"].map(|name| site.learn(name, 300));
    let ride = |site: &mut Site, room| {
        let mut taken = Vec::new();
        let Site { rumors, replica, max_sends, .. } = site;
        rumors.ride_along((replica, *max_sends), room, |message| {
            taken.push(message.clone());
            true
        });
        assert!(taken.iter().map(Message::encoded_len).sum::<usize>() <= room);
        taken.len()
    };
    assert_eq!(ride(&mut site, 400), 1, "one has room");
    assert_eq!(ride(&mut site, 700), 2, "the two that were not sent yet");
    assert!(keys.iter().all(|key| site.hot(key).sends == 1));
    assert_eq!(ride(&mut site, ROOM), 3);
    assert_eq!(site.rumors.len(), 0, "sent as often as is allowed");
}

#[test]
fn data_has_its_share_of_a_datagram_however_much_membership_waits() {
    let mut site = Site::new(policy());
    for n in 0..200 {
        let HotKey::Fact(key) = site.learn(&std::format!("m{n}"), 20) else { unreachable!() };
        let len = site.hot(&HotKey::Fact(key)).len;
        site.heat(key, Subject::Membership, len);
    }
    let data = site.learn("data", 200);
    let Site { rumors, replica, .. } = &mut site;
    let mut used = 0;
    rumors.ride_along((replica, MANY), ROOM, |message| {
        used += message.encoded_len();
        true
    });
    assert_eq!(site.hot(&data).sends, 1);
    assert!(used <= ROOM && used > ROOM * 2 / 3, "and membership has the rest: {used}");
}

#[test]
fn a_rumor_whose_update_was_replaced_in_silence_cools() {
    let mut site = Site::new(policy());
    site.learn("a", 4);
    let Update::Entry(entry) = site.replica.get(site.replica.hasher.entry(Whose::Everyone, "a")).unwrap() else {
        unreachable!()
    };
    let stamp = Stamp { counter: 9, ..entry.stamp };
    site.replica.merge(Update::Entry(Entry { stamp, ..entry }));
    assert_eq!(site.run(Duration::from_millis(5), &[1]).len(), 0);
    assert_eq!(site.rumors.len(), 0);
}
