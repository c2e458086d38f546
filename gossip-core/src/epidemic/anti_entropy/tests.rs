use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::config::Exchange as Mode;
use crate::id::NodeId;
use crate::update::{Entry, Stamp, Update, Whose};
use crate::wire::{Message, Page, Pull, Rival, Short};

const NOW: Instant = Instant::from_secs(1_700_000_000);
const ROOM: usize = 1_162;
/// The two sites' addresses, which are their positions.
const BOTH: [u16; 2] = [0, 1];

struct Site {
    anti_entropy: AntiEntropy<u16>,
    replica: Replica<u16>,
    absence: Absence,
    outbox: Outbox<u16>,
    trust: Trust<u16>,
    paths: PathMtu<u16>,
    now: Instant,
    /// True if it merges what it receives.
    admits: bool,
}

fn update(n: u64) -> Update<u16> {
    written(n, 100)
}

/// A time that many seconds ago.
fn written(n: u64, ago: u64) -> Update<u16> {
    Update::Entry(Entry {
        owner: None,
        name: std::format!("key-{n}").as_str().into(),
        stamp: Stamp { time: NOW - Duration::from_secs(ago), counter: 0, node: NodeId::new(1) },
        ends: None,
        value: Some([7; 30].into()),
        extra: None,
    })
}

impl Site {
    fn new(exchange: Mode, holds: impl IntoIterator<Item = u64>) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let settings = config::AntiEntropy { exchange, interval: Duration::from_secs(5) };
        let mut site = Self {
            anti_entropy: AntiEntropy::new(settings, ROOM, Duration::from_millis(500)),
            replica: Replica::new("", Duration::from_secs(3_600), 0),
            absence: Absence::new(NodeId::new(1), Duration::from_secs(3_600), Duration::from_secs(5)),
            outbox: Outbox::new(100_000),
            trust: Trust::new(&mut rng),
            paths: PathMtu::new(1_200, Duration::from_millis(500)),
            now: NOW,
            admits: true,
        };
        for n in holds {
            site.replica.merge(update(n));
        }
        site
    }

    fn parts(&mut self) -> (&mut AntiEntropy<u16>, Context<'_, u16>) {
        let Self { anti_entropy, replica, absence, outbox, trust, paths, now, .. } = self;
        (anti_entropy, Context { now: *now, clock: *now, mark: *now, replica, absence, outbox, trust, paths })
    }

    fn begin(&mut self, to: u16) {
        let (anti_entropy, mut context) = self.parts();
        anti_entropy.begin(&to, &mut context);
    }

    fn retry(&mut self) {
        let (anti_entropy, mut context) = self.parts();
        anti_entropy.retry(&mut context);
    }

    fn admit(&mut self, updates: Vec<Update<u16>>) {
        for update in updates {
            if self.admits {
                self.replica.merge(update);
            }
        }
    }

    /// Handles a message as the node does.
    fn hear(&mut self, from: u16, message: Message<u16>) {
        let from = &from;
        match message {
            Message::Repair(Repair::Updates(updates)) => self.admit(updates),
            Message::Pull(Pull::Page(Page { range, last, updates, .. })) => {
                let (items, before) = (updates.len(), self.holds());
                self.admit(updates);
                let news = (self.holds() - before) as usize;
                let (anti_entropy, mut context) = self.parts();
                anti_entropy.on_page(from, range, PageOutcome { items, news, later: 0 }, last, &mut context);
            }
            message => {
                let (anti_entropy, mut context) = self.parts();
                let context = &mut context;
                match message {
                    Message::Repair(Repair::Summary(summary)) => {
                        anti_entropy.on_summary(from, summary, true, context);
                    }
                    Message::Repair(Repair::Sketch(symbols)) => anti_entropy.on_sketch(from, &symbols, context),
                    Message::Repair(Repair::Split(split)) => anti_entropy.on_split(from, split, context),
                    Message::Repair(Repair::Decoded(decoded)) => anti_entropy.on_decoded(from, &decoded, context),
                    Message::Repair(Repair::Want(want)) => anti_entropy.on_want(from, &want, context),
                    Message::Pull(Pull::Pages(request)) => anti_entropy.on_pull(from, request, context),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Returns the outbox as messages that fit a datagram.
    fn said(&mut self) -> Vec<Message<u16>> {
        let mut said = Vec::new();
        while let Some((_, _, intent)) = self.outbox.pop() {
            match intent {
                Intent::Message(message) => said.push(message),
                Intent::Items { hashes, .. } => {
                    let updates: Vec<_> = hashes.iter().filter_map(|hash| self.replica.by_hash(*hash)).collect();
                    said.extend(updates.chunks(15).map(|some| Message::Repair(Repair::Updates(some.to_vec()))));
                }
                Intent::Pages { cut, mut ranges, mut window, .. } => {
                    while window > 0 && !ranges.is_empty() {
                        let room = (ROOM, None);
                        said.push(compose_page(&self.replica, cut, &mut ranges, &mut window, room, |_| false).unwrap());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(said.iter().all(|message| message.encoded_len() <= ROOM));
        said
    }

    fn holds(&self) -> u64 {
        self.replica.summary(self.now).0
    }

    fn is_idle(&self) -> bool {
        self.anti_entropy.is_quiet()
    }
}

/// Two sites, and which of the messages between them (counted) are lost.
struct Pair {
    sites: [Site; 2],
    lost: fn(u32) -> bool,
    messages: u32,
    /// Updates sent to each.
    updates: [usize; 2],
}

impl Pair {
    fn new(exchange: Mode, first: impl IntoIterator<Item = u64>, second: impl IntoIterator<Item = u64>) -> Self {
        let sites = [Site::new(exchange, first), Site::new(exchange, second)];
        Self { sites, lost: |_| false, messages: 0, updates: [0; 2] }
    }

    /// Lets the sites speak until they are silent.
    fn speak(&mut self) {
        let mut silent = false;
        while !silent {
            silent = true;
            for from in BOTH {
                for message in self.sites[usize::from(from)].said() {
                    silent = false;
                    self.messages += 1;
                    if let Message::Repair(Repair::Updates(updates)) = &message {
                        self.updates[usize::from(1 - from)] += updates.len();
                    }
                    if !(self.lost)(self.messages) {
                        self.sites[usize::from(1 - from)].hear(from, message);
                    }
                }
            }
        }
    }

    /// An exchange that the first begins, with all its retries.
    fn exchange(&mut self) {
        self.sites[0].begin(1);
        self.speak();
        self.wait();
    }

    fn wait(&mut self) {
        for _ in 0..1_000 {
            let due = self.sites.iter().filter_map(|site| site.anti_entropy.due()).min();
            let Some(due) = due else { return };
            for site in &mut self.sites {
                assert!(due >= site.now, "due in the past");
                site.now = due;
                site.retry();
            }
            self.speak();
        }
        panic!("an exchange that never ends");
    }

    fn later(&mut self, time: Duration) {
        self.sites.iter_mut().for_each(|site| site.now += time);
    }

    fn agree(&self) -> bool {
        let now = self.sites[0].now;
        self.sites[0].replica.summary(now) == self.sites[1].replica.summary(now)
    }
}

#[test]
fn equal_replicas_are_silent_after_one_summary() {
    let mut pair = Pair::new(Mode::PushPull, 0..500, 0..500);
    pair.exchange();
    assert_eq!(pair.messages, 1);
}

/// Items that only the first and only the second holds: reconciled by a sketch, by splitting, by pulling.
const DIFFERENCES: [(u64, u64); 6] = [(3, 2), (0, 5), (5, 0), (150, 200), (0, 2_000), (2_000, 0)];

fn differing(mode: Mode, (first, second): (u64, u64)) -> Pair {
    let both = 0..if first + second >= 2_000 { 10 } else { 1_500 };
    Pair::new(mode, both.clone().chain(10_000..10_000 + first), both.chain(20_000..20_000 + second))
}

#[test]
fn with_push_and_pull_both_sides_hold_everything_in_the_end() {
    for difference in DIFFERENCES {
        let mut pair = differing(Mode::PushPull, difference);
        pair.exchange();
        if !pair.agree() {
            // One that pulled all it lacked has not yet shown what it holds: the next exchange does.
            pair.exchange();
        }
        assert!(pair.agree() && pair.sites.iter().all(Site::is_idle), "{difference:?}");
    }
}

#[test]
fn push_moves_only_from_who_begins() {
    for difference in DIFFERENCES {
        let mut pair = differing(Mode::Push, difference);
        let held = pair.sites.each_ref().map(Site::holds);
        pair.exchange();
        pair.exchange();
        assert_eq!(pair.sites[0].holds(), held[0], "{difference:?}: learns nothing");
        assert_eq!(pair.sites[1].holds(), held[1] + difference.0, "{difference:?}");
        assert!(pair.sites.iter().all(Site::is_idle));
    }
}

#[test]
fn pull_moves_only_to_who_begins() {
    for difference in DIFFERENCES {
        let mut pair = differing(Mode::Pull, difference);
        let held = pair.sites.each_ref().map(Site::holds);
        pair.exchange();
        assert_eq!(pair.sites[1].holds(), held[1], "{difference:?}: learns nothing");
        assert_eq!(pair.sites[0].holds(), held[0] + difference.1, "{difference:?}");
        assert!(pair.sites.iter().all(Site::is_idle));
    }
}

#[test]
fn of_two_versions_of_a_key_only_the_newer_is_sent() {
    for (mode, expected) in [(Mode::PushPull, [20, 50]), (Mode::Push, [0, 50]), (Mode::Pull, [20, 0])] {
        let mut pair = Pair::new(mode, 0..1_500, 0..1_500);
        for n in 0..50 {
            pair.sites[0].replica.merge(written(n, 50));
        }
        for n in 50..70 {
            pair.sites[1].replica.merge(written(n, 50));
        }
        pair.exchange();
        assert_eq!(pair.updates, expected, "{mode:?}");
        assert_eq!(pair.agree(), mode == Mode::PushPull);
    }
}

#[test]
fn what_only_looks_like_two_versions_of_a_key_is_sent_both_ways() {
    // Hashes of two keys that begin alike: as if of one key, but that the peer has none such.
    let site = Site::new(Mode::PushPull, 0..10);
    let (hash, _) = site.replica.in_range(Range::ALL, NOW).next().unwrap();
    let own = Short(site.replica.key_of(hash).unwrap().short());
    let other = Short(own.0 ^ 1 << 63);
    let mut wanted = vec![hash];
    let alike = Rival { key: other, version: (0, u64::MAX) };
    assert_eq!((rivals::judge(&mut wanted, &[alike], &site.replica), &wanted[..]), (vec![alike], &[hash][..]));
    let (_, stamp) = site.replica.by_hash(hash).unwrap().version().short();
    let judge = |time, wanted: &mut Vec<u64>| {
        rivals::judge(wanted, &[Rival { key: own, version: (0, time) }], &site.replica).len()
    };
    assert_eq!((judge(stamp - 1, &mut wanted), wanted.len()), (0, 1), "the own is newer");
    assert_eq!((judge(stamp, &mut wanted), wanted.len()), (1, 1), "who knows");
    assert_eq!((judge(stamp + 1, &mut wanted), wanted.len()), (1, 0), "the other's is newer");
}

#[test]
fn a_newer_version_is_asked_for_until_it_has_come_but_not_for_ever() {
    let mut pair = Pair::new(Mode::PushPull, 0..1_500, 0..1_500);
    pair.sites[1].replica.merge(written(7, 50));
    // Two summaries, the sketch, its answer, and then what asks for the newer version: four times in vain.
    pair.lost = |n| (5..=8).contains(&n);
    pair.exchange();
    assert!(pair.agree() && pair.sites.iter().all(Site::is_idle));
    assert_eq!(pair.messages, 10);
    pair.sites[1].replica.merge(written(8, 50));
    pair.lost = |n| n > 14;
    pair.exchange();
    assert!(!pair.agree() && pair.sites.iter().all(Site::is_idle), "given up, until the next exchange");
}

#[test]
fn what_is_lost_is_asked_for_again() {
    for difference in DIFFERENCES {
        let mut pair = differing(Mode::PushPull, difference);
        pair.lost = |n| n.wrapping_mul(2_654_435_761) >> 30 == 0;
        for _ in 0..30 {
            pair.exchange();
            pair.later(Duration::from_secs(400));
        }
        assert!(pair.agree(), "{difference:?}");
    }
}

#[test]
fn an_exchange_with_one_who_falls_silent_ends() {
    for difference in DIFFERENCES {
        for silence in [1, 2, 3, 4, 6, 10] {
            let mut pair = differing(Mode::PushPull, difference);
            pair.sites[0].begin(1);
            for _ in 0..silence {
                for from in BOTH {
                    for message in pair.sites[usize::from(from)].said() {
                        pair.sites[usize::from(1 - from)].hear(from, message);
                    }
                }
            }
            pair.lost = |_| true;
            pair.wait();
            assert!(pair.sites.iter().all(Site::is_idle), "{difference:?} after {silence}");
            pair.lost = |_| false;
            pair.later(Duration::from_secs(400));
            pair.exchange();
            pair.later(Duration::from_secs(400));
            pair.exchange();
            assert!(pair.agree(), "and the next does its work");
        }
    }
}

#[test]
fn what_is_refused_doubles_the_wait_for_that_pair_of_sets() {
    let mut pair = differing(Mode::PushPull, (5, 5));
    pair.sites.iter_mut().for_each(|site| site.admits = false);
    let mut talks = Vec::new();
    for _ in 0..200 {
        let before = pair.messages;
        pair.exchange();
        talks.push(pair.messages - before > 2);
        pair.later(Duration::from_secs(5));
    }
    let count = |range: core::ops::Range<usize>| talks[range].iter().filter(|talks| **talks).count();
    assert!(count(0..4) >= 3, "the first repetitions are free");
    assert!(count(0..100) < 15 && count(100..200) <= 3, "{} {}", count(0..100), count(100..200));
    pair.sites.iter_mut().for_each(|site| site.admits = true);
    pair.sites[0].replica.merge(update(77_777));
    pair.exchange();
    assert!(pair.agree(), "another pair of sets does not wait");
}

#[test]
fn one_who_does_not_show_its_token_gets_nothing() {
    let mut site = Site::new(Mode::PushPull, 0..100);
    let cut = Cut::from(NOW);
    let key = Short(site.replica.hasher.entry(Whose::Everyone, "key-7").short());
    let ask = |token| {
        let in_doubt = false;
        let tokens = Tokens { mine: 0, yours: token };
        vec![
            Message::Pull(Pull::Pages(PullRequest { cut, token, window: 9, in_doubt, ranges: vec![Range::ALL] })),
            Message::Repair(Repair::Want(Want { token, keys: vec![key] })),
            Message::Repair(Repair::Sketch(Symbols {
                cut,
                range: Range::ALL,
                count: 0,
                exchange: Mode::PushPull,
                in_doubt,
                tokens,
                sketch: Sketch::new(30),
            })),
        ]
    };
    let token = site.trust.token(&5_u16, NOW);
    for message in ask(token.wrapping_add(1)).into_iter().chain(ask(0)) {
        site.hear(5, message);
        assert_eq!(site.said(), []);
    }
    for message in ask(token) {
        site.hear(6, message.clone());
        assert_eq!(site.said(), [], "another's token");
        let what = std::format!("{message:?}");
        site.hear(5, message);
        assert!(!site.said().is_empty(), "{what}");
    }
    site.now += Duration::from_secs(299);
    site.hear(5, ask(token).remove(0));
    assert!(!site.said().is_empty());
    site.now += Duration::from_secs(601);
    for message in ask(token) {
        site.hear(5, message);
        assert_eq!(site.said(), [], "out of date");
    }
}

#[test]
fn answers_that_were_not_asked_for_are_ignored() {
    let mut site = Site::new(Mode::PushPull, 0..100);
    let hashes: Vec<u64> = site.replica.in_range(Range::ALL, NOW).map(|(hash, _)| hash).collect();
    let cut = Cut::from(NOW);
    let (state, answer) = (State::PLAIN, Answer::Brief { token: 1 });
    site.hear(5, Message::Repair(Repair::Summary(Summary { cut, count: 1, fingerprint: 1, state, answer })));
    site.hear(5, Message::Repair(Repair::Split(Split { range: Range::ALL, count: 1_000, estimate: 1_000 })));
    site.hear(
        5,
        Message::Repair(Repair::Decoded(Decoded {
            range: Range::ALL,
            found: 100,
            want: Prefixes::of(&hashes),
            rivals: vec![],
        })),
    );
    site.hear(5, Message::Pull(Pull::Page(Page { range: Range::ALL, last: true, updates: vec![], large: vec![] })));
    assert!(site.said().is_empty() && site.is_idle());
}

#[test]
fn an_answer_says_at_which_cut_two_compare() {
    let mut site = Site::new(Mode::PushPull, 0..100);
    let (count, fingerprint, state, answer) = (1, 1, State::PLAIN, Answer::No);
    let later = Cut::from(NOW + Duration::from_secs(31));
    for (cut, compared) in [(later, later), (Cut::from(Instant::ORIGIN), Cut::LASTING)] {
        site.hear(5, Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, state, answer })));
        let said = site.said();
        assert!(matches!(said[..], [Message::Repair(Repair::Summary(Summary { cut, .. }))] if cut == compared));
    }
}

/// What a peer answers that holds so many items.
fn answer(count: u64) -> Message<u16> {
    let answer = Answer::Brief { token: 9 };
    let (cut, fingerprint, state) = (Cut::from(NOW), 1, State::PLAIN);
    Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, state, answer }))
}

/// A site in an exchange with address 1, which has its token.
fn exchanging() -> (Site, u32) {
    let mut site = Site::new(Mode::PushPull, 0..100);
    site.begin(1);
    site.said();
    site.hear(1, answer(101));
    let Some(Message::Repair(Repair::Sketch(Symbols { tokens, .. }))) = site.said().pop() else { panic!() };
    (site, tokens.mine)
}

#[test]
fn one_who_says_for_ever_that_nothing_decodes_is_given_up() {
    let (mut site, _) = exchanging();
    let mut ranges = vec![Range::ALL];
    let mut sketches = 0;
    while let Some(range) = ranges.pop() {
        // Few enough that they are split, not pulled, and once as many as can be said.
        let estimate = if sketches == 5 { u64::MAX } else { 1 };
        site.hear(1, Message::Repair(Repair::Split(Split { range, count: 1, estimate })));
        let said = site.said().into_iter();
        ranges.extend(said.filter_map(|said| {
            if let Message::Repair(Repair::Sketch(Symbols { range, .. })) = said { Some(range) } else { None }
        }));
        sketches += 1;
        assert!(sketches < 100_000);
    }
    let mut pair_time = 0;
    while let Some(due) = site.anti_entropy.due() {
        site.now = due;
        site.retry();
        site.said();
        pair_time += 1;
        assert!(pair_time < 100);
    }
    assert!(site.is_idle());
}

fn catching_up() -> Site {
    let mut site = Site::new(Mode::PushPull, 0..10);
    site.begin(1);
    site.said();
    site.hear(1, answer(10_000));
    assert!(
        matches!(&site.said()[..], [Message::Pull(Pull::Pages(PullRequest { token: 9, ranges, .. }))] if ranges[..] == [Range::ALL])
    );
    assert_eq!(site.anti_entropy.progress(), Some((0, 10_000)));
    site
}

fn page(first: u64, last: u64, end: bool) -> Message<u16> {
    Message::Pull(Pull::Page(Page {
        range: Range::new(first, last).unwrap(),
        last: end,
        updates: vec![],
        large: vec![],
    }))
}

#[test]
fn what_did_not_arrive_of_a_pull_is_asked_for_again() {
    let mut site = catching_up();
    site.hear(1, page(0, 99, false));
    site.hear(1, page(200, 299, true));
    let said = site.said();
    let rest = [Range::new(100, 199).unwrap(), Range::new(300, u64::MAX).unwrap()];
    assert!(
        matches!(&said[..], [Message::Pull(Pull::Pages(PullRequest { ranges, .. }))] if ranges[..] == rest),
        "{said:?}"
    );
    site.hear(1, page(100, u64::MAX, true));
    assert!(
        matches!(&site.said()[..], [Message::Repair(Repair::Summary(Summary { .. }))]),
        "then: what does the other lack?"
    );
    assert!(site.is_idle());
}

#[test]
fn pages_of_something_else_do_not_keep_a_catch_up_waiting() {
    let mut site = catching_up();
    site.hear(1, page(0, u64::MAX - 10, false));
    let mut waits = 0;
    while let Some(due) = site.anti_entropy.due() {
        site.hear(1, page(5, 9, true));
        site.hear(7, page(0, u64::MAX, true));
        site.now = due;
        site.retry();
        site.said();
        waits += 1;
        assert!(waits < 50, "for ever");
    }
    assert!(site.is_idle());
}

#[test]
fn pages_that_cut_what_is_missing_into_ever_smaller_pieces_cost_bounded_memory() {
    let mut site = catching_up();
    for n in 0..5_000 {
        site.hear(1, page(n * 1_000, n * 1_000, false));
    }
    let (anti_entropy, _) = site.parts();
    assert!(anti_entropy.catch_up.as_ref().is_none_or(|catch_up| catch_up.pieces() <= 1_024));
    site.hear(1, page(0, u64::MAX, true));
    assert!(site.is_idle(), "and it still ends");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pages_cover_what_was_asked_for_once(
        items in 0_u64..200,
        room in 150_usize..1_500,
        mut window in 1_u8..40,
        parts in 1_u64..6,
    ) {
        let site = Site::new(Mode::PushPull, 0..items);
        let mut ranges: VecDeque<Range> = Range::ALL.split(parts).collect();
        let mut next = Some(0);
        let mut hashes = Vec::new();
        while window > 0 && !ranges.is_empty() {
            let room_here = (room, None);
            let page = compose_page(&site.replica, NOW.into(), &mut ranges, &mut window, room_here, |_| false).unwrap();
            prop_assert!(page.encoded_len() <= room);
            let Message::Pull(Pull::Page(Page { range, last, updates, .. })) = page else { panic!() };
            prop_assert_eq!(Some(range.first()), next, "in order, without gaps");
            next = range.last().checked_add(1);
            prop_assert_eq!(last, window == 0 || ranges.is_empty());
            let expected: Vec<_> = site.replica.in_range(range, NOW).map(|(_, update)| update).collect();
            prop_assert_eq!(&updates, &expected, "everything that is in it");
            hashes.extend(updates);
        }
        prop_assert!(next.is_some() || hashes.len() as u64 == items);
    }
}
