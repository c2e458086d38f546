use std::collections::BTreeMap;
use std::vec;

use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::absence::Absence;
use crate::config::Config;
use crate::id::NodeId;
use crate::outbox::Outbox;
use crate::update::{Entry, Stamp};

const NOW: Instant = Instant::from_secs(1_000);
/// Bytes of messages in a datagram.
const ROOM: usize = 400;
const SECOND: Duration = Duration::from_secs(1);

/// A place where values are held and fetched. Its address is a number.
struct Site {
    transfers: Transfers<u16>,
    replica: Replica<u16>,
    absence: Absence,
    outbox: Outbox<u16>,
    trust: crate::trust::Trust<u16>,
    paths: crate::path_mtu::PathMtu<u16>,
    now: Instant,
    /// Updates that arrived whole.
    whole: Vec<Update<u16>>,
    /// Tampers with what it sends.
    liar: bool,
}

fn limits(transfers: usize, transfer_bytes: usize) -> Limits {
    Limits { transfers, transfer_bytes, ..Config::lan().limits }
}

impl Site {
    fn new(limits: &Limits) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        Self {
            transfers: Transfers::new(limits, ROOM, SECOND / 2),
            replica: Replica::new("", SECOND, 0).whole_up_to(ROOM),
            absence: Absence::new(NodeId::new(1), SECOND, SECOND),
            outbox: Outbox::new(4_096),
            trust: crate::trust::Trust::new(&mut rng),
            paths: crate::path_mtu::PathMtu::new(1_200, SECOND / 2),
            now: NOW,
            whole: Vec::new(),
            liar: false,
        }
    }

    fn holding(update: &Update<u16>) -> Self {
        let mut this = Self::new(&Config::lan().limits);
        this.replica.merge(update.clone());
        this
    }

    fn parts(&mut self) -> (&mut Transfers<u16>, Context<'_, u16>) {
        let Self { transfers, replica, absence, outbox, trust, paths, now, .. } = self;
        (transfers, Context { now: *now, clock: *now, mark: *now, replica, absence, outbox, trust, paths })
    }

    fn offered(&mut self, update: &Update<u16>, from: u16) -> FetchOutcome {
        let hasher = ItemHasher::new("");
        let (key, digest) = (hasher.key(update), hasher.digest(update));
        let Update::Entry(entry) = update else { panic!() };
        let descriptor = Descriptor::of(entry, digest).unwrap();
        let item = hasher.item(key, &descriptor.outline::<u16>(key));
        assert_eq!(item, hasher.item(key, update), "one item in both forms");
        let (transfers, mut context) = self.parts();
        transfers.offer((key, item), descriptor, true, &from, &mut context)
    }

    fn retry(&mut self) {
        let (transfers, mut context) = self.parts();
        transfers.retry(&mut context);
    }

    fn hear(&mut self, from: u16, message: Message<u16>) {
        let (transfers, mut context) = self.parts();
        match message {
            Message::Pull(Pull::Fetch(request)) => transfers.on_fetch(&from, request, &mut context),
            Message::Pull(Pull::Chunk(chunk)) => {
                let whole = transfers.on_chunk(&from, &chunk, &mut context);
                self.whole.extend(whole.map(|whole| whole.update));
            }
            Message::Pull(Pull::Gone { item }) => transfers.on_gone(&from, item, &mut context),
            Message::Trust(Trust::Challenge { cookie }) => {
                if context.trust.keep(&from, cookie) {
                    transfers.on_challenge(&from, &mut context);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns the outbox as messages.
    fn said(&mut self) -> Vec<(u16, Message<u16>)> {
        let mut said = Vec::new();
        while let Some((_, to, intent)) = self.outbox.pop() {
            match intent {
                Intent::Message(message) => said.push((to, message)),
                Intent::Chunks { item, mut missing, mut window } => {
                    assert!(window <= WINDOW);
                    while window > 0
                        && let Some(mut chunk) = compose_chunk(&self.replica, item, &mut missing, &mut window, ROOM)
                    {
                        if let Message::Pull(Pull::Chunk(Chunk { bytes, .. })) = &mut chunk
                            && self.liar
                        {
                            bytes[0] ^= 1;
                        }
                        said.push((to, chunk));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(said.iter().all(|(_, message)| message.encoded_len() <= ROOM));
        said
    }
}

fn value(name: &str, secs: u64, size: usize) -> Update<u16> {
    let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + size) as u8).collect();
    let stamp = Stamp { time: Instant::from_secs(secs), counter: 0, node: NodeId::new(1) };
    Update::Entry(Entry { owner: None, name: name.into(), stamp, ends: None, value: Some(bytes.into()), extra: None })
}

/// Lets a site (0) and holders (1 and on) talk until nothing is under way, in rounds; how many seconds that took.
/// `lost`: what is lost of every hundred; those that are `silent` say nothing.
fn talk(site: &mut Site, holders: &mut BTreeMap<u16, Site>, lost: u32, silent: &[u16], seed: u64) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    for _ in 0..200_000 {
        let mut on_the_way = site.said();
        let mut back = Vec::new();
        for (to, message) in on_the_way.drain(..) {
            if rng.random_range(0..100) >= lost {
                holders.get_mut(&to).unwrap().hear(0, message);
            }
        }
        for (from, holder) in holders.iter_mut() {
            let said = holder.said();
            back.extend(said.into_iter().filter(|_| !silent.contains(from)).map(|(_, message)| (*from, message)));
        }
        // Out of order, and some twice.
        for at in 1..back.len() {
            back.swap(at, rng.random_range(at.saturating_sub(3)..=at));
        }
        let mut heard = false;
        for (from, message) in back {
            for _ in 0..1 + rng.random_range(0..20) / 19 {
                if rng.random_range(0..100) >= lost {
                    heard = true;
                    site.hear(from, message.clone());
                }
            }
        }
        if site.transfers.is_empty() {
            break;
        }
        let now = site.now + Duration::from_millis(1);
        let due = site.transfers.due().expect("what is under way has a deadline");
        site.now = if heard { now } else { due.max(now) };
        holders.values_mut().for_each(|holder| holder.now = site.now);
        site.retry();
    }
    site.now.since(NOW).as_secs_f64()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_value_comes_whole_from_whoever_answers(size in 1_usize..60_000, lost in 0_u32..30, seed: u64, dead in 0_u16..3) {
        let update = value("n", 1, size);
        let mut holders: BTreeMap<u16, Site> = (1..=dead + 1).map(|at| (at, Site::holding(&update))).collect();
        let mut site = Site::new(&Config::lan().limits);
        prop_assert_eq!(site.offered(&update, 1), FetchOutcome::Begun);
        for at in 2..=dead + 1 {
            prop_assert_eq!(site.offered(&update, at), FetchOutcome::UnderWay);
        }
        // All but the last are silent.
        let silent: Vec<u16> = (1..=dead).collect();
        talk(&mut site, &mut holders, lost, &silent, seed);
        // One that has the bad luck to lose every answer is offered again, as anti-entropy does.
        for again in 0..4 {
            if site.whole.is_empty() {
                site.offered(&update, dead + 1);
                talk(&mut site, &mut holders, lost, &silent, seed ^ again);
            }
        }
        prop_assert!(site.whole == [update]);
        prop_assert_eq!(site.transfers.counted().completed, 1);
        prop_assert_eq!(site.transfers.under_way(), (0, 0));
    }
}

#[test]
fn a_megabyte_takes_a_window_for_every_round_trip_and_few_bytes_twice() {
    let update = value("n", 1, 1 << 20);
    let mut holders = BTreeMap::from([(1, Site::holding(&update))]);
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    let chunks = f64::from(1 << 20) / (ROOM - CHUNK_HEAD) as f64;
    // A millisecond for a round trip here.
    let seconds = talk(&mut site, &mut holders, 0, &[], 1);
    assert!(seconds <= 1.1 * chunks / 32_000.0, "{seconds}");
    assert!(site.whole == [update]);
}

#[test]
fn one_who_lies_is_not_believed_and_another_is_asked() {
    let update = value("n", 1, 20_000);
    let mut holders: BTreeMap<u16, Site> = (1..=2).map(|at| (at, Site::holding(&update))).collect();
    holders.get_mut(&1).unwrap().liar = true;
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    site.offered(&update, 2);
    talk(&mut site, &mut holders, 0, &[], 1);
    assert!(site.whole == [update.clone()]);

    let mut alone = Site::new(&Config::lan().limits);
    alone.offered(&update, 1);
    talk(&mut alone, &mut holders, 0, &[], 1);
    assert!(alone.whole.is_empty());
    let counted = alone.transfers.counted().clone();
    assert_eq!((counted.begun, counted.failed, counted.completed), (1, 1, 0));
    assert!(alone.transfers.take_failed() && !alone.transfers.take_failed());
}

#[test]
fn where_nobody_answers_any_more_another_holder_is_waited_for_but_not_for_ever() {
    let update = value("n", 1, 20_000);
    let mut holders: BTreeMap<u16, Site> = (1..=2).map(|at| (at, Site::holding(&update))).collect();
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    talk(&mut site, &mut holders, 0, &[1], 1);
    assert!(site.transfers.is_empty() && site.transfers.counted().failed == 1);
    let waited = site.now.since(NOW);
    assert!((30 * SECOND..90 * SECOND).contains(&waited), "{waited:?}");

    // Part of it came from the first, the rest comes from the second.
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    for _ in 0..2 {
        site.said().into_iter().for_each(|(to, message)| holders.get_mut(&to).unwrap().hear(0, message));
        let said = holders.get_mut(&1).unwrap().said();
        said.into_iter().for_each(|(_, message)| site.hear(1, message));
    }
    let missing = |site: &Site| site.transfers.running[0].missing();
    let left = missing(&site);
    assert!(0 < left && left < 20_000);
    while !site.transfers.running[0].is_orphaned() {
        site.now = site.transfers.due().unwrap();
        site.retry();
    }
    assert_eq!(missing(&site), left, "what has come is kept");
    site.said();
    assert_eq!(site.offered(&update, 2), FetchOutcome::UnderWay);
    talk(&mut site, &mut holders, 0, &[1], 1);
    assert!(site.whole == [update]);
}

// Each offer lets the holder be asked anew, before the second wait has ended.
#[test]
fn a_holder_that_offers_again_and_again_and_never_answers_is_behind_a_path_in_doubt() {
    for again in [None, Some(SECOND * 3 / 2), Some(3 * SECOND)] {
        let (update, mut site) = (value("n", 1, 2_000), Site::new(&Config::lan().limits));
        site.offered(&update, 1);
        let mut offer = again.map(|pause| NOW + pause);
        while site.paths.counted().0 == 0 {
            let due = site.transfers.due().unwrap();
            site.now = offer.map_or(due, |at| at.min(due));
            if let Some(at) = &mut offer
                && *at == site.now
            {
                *at += again.unwrap();
                assert_eq!(site.offered(&update, 1), FetchOutcome::UnderWay);
            } else {
                site.retry();
            }
            site.said();
            assert!(site.now < NOW + 10 * SECOND, "{again:?}: no doubt");
        }
    }
}

#[test]
fn a_holder_who_has_it_no_more_says_so_and_it_is_given_up_at_once() {
    let update = value("n", 1, 20_000);
    let mut holders = BTreeMap::from([(1, Site::holding(&value("n", 2, 20_000))), (2, Site::holding(&update))]);
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    talk(&mut site, &mut holders, 0, &[], 1);
    assert_eq!((site.transfers.counted().failed, site.transfers.under_way()), (1, (0, 0)));
    assert!(site.now.since(NOW) < SECOND, "nobody waited for that");
    site.offered(&update, 1);
    site.offered(&update, 2);
    talk(&mut site, &mut holders, 0, &[], 1);
    assert!(site.whole == [update], "the other has it");
}

#[test]
fn a_newer_value_takes_the_place_of_one_that_is_being_fetched() {
    let (older, newer) = (value("n", 1, 20_000), value("n", 2, 9_000));
    let mut site = Site::new(&Config::lan().limits);
    assert_eq!(site.offered(&newer, 1), FetchOutcome::Begun);
    assert_eq!(site.offered(&older, 1), FetchOutcome::Outdated);
    assert_eq!(site.transfers.under_way(), (1, 9_000));
    let newest = value("n", 3, 5_000);
    assert_eq!(site.offered(&newest, 1), FetchOutcome::Begun);
    assert_eq!(site.transfers.under_way(), (1, 5_000));
    let key = ItemHasher::new("").key(&newest);
    let (transfers, mut context) = site.parts();
    transfers.settle(key, &mut context);
    assert_eq!(site.transfers.under_way(), (1, 5_000), "nothing newer is here");
    site.replica.merge(value("n", 4, 1));
    let (transfers, mut context) = site.parts();
    transfers.settle(key, &mut context);
    assert_eq!((site.transfers.under_way(), site.transfers.counted().overtaken), ((0, 0), 2));
}

#[test]
fn what_is_half_fetched_is_bounded_what_is_too_much_refused_and_the_rest_has_its_turn() {
    let updates: Vec<_> = (0..30).map(|n| value(&std::format!("n{n}"), 1, 10_000)).collect();
    let mut site = Site::new(&limits(20, 35_000));
    let mut holder = Site::new(&Config::lan().limits);
    let mut refused = 0;
    for update in &updates {
        holder.replica.merge(update.clone());
        refused += u32::from(site.offered(update, 1) == FetchOutcome::Refused);
    }
    let (count, bytes) = site.transfers.under_way();
    assert_eq!((count, refused, site.transfers.counted().refused), (20, 10, 10));
    assert!(bytes <= 35_000, "{bytes}");
    let in_flight = |site: &Site| site.transfers.running.iter().map(Fetch::in_flight).sum::<usize>();
    assert!((1..=IN_FLIGHT + usize::from(WINDOW)).contains(&in_flight(&site)));
    let mut holders = BTreeMap::from([(1, holder)]);
    talk(&mut site, &mut holders, 10, &[], 1);
    assert_eq!((site.whole.len(), site.transfers.under_way()), (20, (0, 0)));
}

#[test]
fn those_that_nobody_gives_do_not_stand_in_the_way_of_those_that_somebody_does() {
    let mut site = Site::new(&limits(100, 30_000));
    for n in 0..10 {
        site.offered(&value(&std::format!("dead{n}"), 1, 10_000), 1);
    }
    let update = value("n", 1, 10_000);
    site.offered(&update, 2);
    let mut holders = BTreeMap::from([(1, Site::new(&Config::lan().limits)), (2, Site::holding(&update))]);
    let before = site.now;
    talk(&mut site, &mut holders, 0, &[1], 1);
    assert!(site.whole == [update]);
    assert_eq!(site.transfers.counted().failed, 10);
    assert!(site.now.since(before) < 400 * SECOND, "{:?}", site.now.since(before));
}

#[test]
fn one_who_has_not_shown_that_its_address_receives_is_sent_no_more_than_it_sent() {
    let update = value("n", 1, 60_000);
    let mut holder = Site::holding(&update);
    let item = ItemHasher::new("").item(ItemHasher::new("").key(&update), &update);
    let fetch = |token, window, item| {
        Message::Pull(Pull::Fetch(FetchRequest { item, token, window, missing: vec![Span { from: 0, to: 60_000 }] }))
    };
    holder.hear(5, fetch(0, u8::MAX, item));
    let said = holder.said();
    let [(5, Message::Trust(Trust::Challenge { cookie: token }))] = said[..] else { panic!("{said:?}") };
    assert!(said[0].1.encoded_len() <= fetch(token, u8::MAX, item).encoded_len());
    holder.hear(6, fetch(token, u8::MAX, item));
    assert!(matches!(holder.said()[..], [(6, Message::Trust(Trust::Challenge { .. }))]), "it is good for one address");

    holder.hear(5, fetch(token, u8::MAX, item));
    holder.hear(5, fetch(token, u8::MAX, item));
    let chunks = holder.said();
    assert_eq!(chunks.len(), usize::from(WINDOW), "the second request takes the place of the first");
    assert!(matches!(chunks.last(), Some((5, Message::Pull(Pull::Chunk(Chunk { last: true, .. }))))));
    holder.hear(5, fetch(token, 3, 99));
    assert!(matches!(holder.said()[..], [(5, Message::Pull(Pull::Gone { item: 99 }))]));
    // As fast as it can: there is an end to it.
    let answered = (0..1_000).filter(|_| {
        holder.hear(5, fetch(token, u8::MAX, item));
        !holder.said().is_empty()
    });
    assert!((300..400).contains(&answered.count()));
}

#[test]
fn nonsense_is_not_answered_and_does_no_harm() {
    let update = value("n", 1, 20_000);
    let mut site = Site::new(&Config::lan().limits);
    site.offered(&update, 1);
    let item = ItemHasher::new("").item(ItemHasher::new("").key(&update), &update);
    site.said();
    let chunk = |item, offset, len| Message::Pull(Pull::Chunk(Chunk { item, offset, last: true, bytes: vec![1; len] }));
    for (from, message) in [
        (1, chunk(item, 19_999, 2)),
        (1, chunk(item, u32::MAX, 1)),
        (1, chunk(9, 0, 9)),
        (2, chunk(item, 0, 9)),
        (2, Message::Pull(Pull::Gone { item })),
        (2, Message::Trust(Trust::Challenge { cookie: 3 })),
        (1, Message::Pull(Pull::Gone { item: 9 })),
    ] {
        site.hear(from, message);
    }
    assert!(site.said().is_empty() && site.transfers.under_way() == (1, 20_000));
    assert_eq!(site.transfers.running[0].missing(), 20_000);
    // Every other byte: what is missing would fall into ten thousand pieces.
    (0..10_000).for_each(|at| {
        site.hear(1, Message::Pull(Pull::Chunk(Chunk { item, offset: 2 * at, last: false, bytes: vec![1] })))
    });
    assert!(site.transfers.running[0].pieces() <= 256);
    // And somebody who never has enough proof.
    (0..100).for_each(|cookie| site.hear(1, Message::Trust(Trust::Challenge { cookie })));
    assert!(site.said().len() <= 8);
}
