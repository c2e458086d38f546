//! Lengths of datagrams that paths to peers carry, after packetization-layer path MTU discovery (RFC 8899).
//!
//! A path that loses what is longer than a tunnel takes loses nothing small, so nobody is suspected, and nothing large ever
//! arrives. Whoever has sent something large in vain several times compares: it sends a short and a long echo together, again
//! and again. One long answer shows that the path is sound, whatever else is lost. If only short ones come back, both sides
//! send each other shorter datagrams from then on. The long one is tried again now and then.
//!
//! Knows addresses and lengths. Must not know what is sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use indexmap::IndexMap;
use rand::{Rng, RngExt};
use siphasher::sip::SipHasher13;

use crate::address::Address;
use crate::config::MIN_DATAGRAM;
use crate::time::Instant;

/// Lengths that are tried, the longest first: Ethernet less the headers of tunnels, the default, the least.
const LENGTHS: [usize; 3] = [1_400, 1_200, MIN_DATAGRAM];
/// Short answers without a long one, after which a length counts as too long.
const SHORT_ANSWERS: u32 = 14;
/// Pairs of echoes in one comparison at most: a number of 64 bits has one for each.
const PAIRS: u32 = 40;
/// Pairs when a narrow path is tried again.
const PAIRS_AGAIN: u32 = 3;
/// Comparisons at one time.
const COMPARISONS: usize = 4;
/// Time for which a path is not compared again that was found sound, since that took a pair or two and it may become narrow, or of
/// which too little was heard for the first time: heavy loss may have been the reason.
const SOUND: Duration = Duration::from_secs(30);
/// Most of that time for a path of which too little was heard again and again, which takes all pairs each time: it doubles up to here.
const REST: Duration = Duration::from_secs(300);
/// Peers that rest.
const RESTING: usize = 64;
/// Time after which a narrow path is tried again.
const AGAIN: Duration = Duration::from_secs(900);
/// Narrow paths that are remembered.
const NARROW: usize = 1_024;
/// Large things sent lately that are remembered.
const SENT: usize = 64;

/// A path that carries less than the configured length.
#[derive(Debug)]
struct Narrow {
    longest: usize,
    /// True if it was found here; otherwise the peer has said so.
    found: bool,
    /// Time at which it is tried again, or forgotten.
    until: Instant,
}

/// A comparison under way.
#[derive(Debug)]
struct Comparison<A> {
    peer: A,
    /// Length of the long echoes.
    length: usize,
    /// Number of the first echo. The short one of a pair is even, the long one odd.
    first: u32,
    pairs: u32,
    /// Pairs of which the short one was answered, a bit for each.
    answered: u64,
    /// True if the path is known to be narrow and tried again.
    again: bool,
    next: Instant,
}

/// A path that is not compared for a while.
#[derive(Debug)]
struct Rest<A> {
    peer: A,
    until: Instant,
    /// Length of the rest if too little was heard, otherwise zero. It is remembered for as long again: the next one is twice as long.
    unheard: Duration,
}

/// Step that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<A> {
    /// Sends a short echo of number `seq`, and of the next number one in a datagram of `length` bytes.
    Compare { peer: A, seq: u32, length: usize },
    /// Tells a peer the length of the datagrams that arrive from it.
    Tell { peer: A, longest: usize },
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct PathMtu<A> {
    /// The configured length.
    longest: usize,
    /// Pause between two pairs.
    pause: Duration,
    narrow: IndexMap<A, Narrow, BuildHasherDefault<SipHasher13>>,
    comparisons: Vec<Comparison<A>>,
    resting: VecDeque<Rest<A>>,
    sent: VecDeque<(A, u64, Instant)>,
    to_tell: VecDeque<A>,
    /// Peers whose datagrams were refused as too long and that were told, and until when they are not told again.
    told: VecDeque<(A, Instant)>,
    /// The narrow path that was found last, if the application was not told yet.
    news: Option<(A, usize)>,
    compared: u64,
    narrowed: u64,
}

impl<A: Address> PathMtu<A> {
    /// `longest`: the configured length of datagrams. `timeout`: time within which a peer mostly answers.
    pub(crate) fn new(longest: usize, timeout: Duration) -> Self {
        Self {
            longest,
            pause: timeout / 2,
            narrow: IndexMap::default(),
            comparisons: Vec::new(),
            resting: VecDeque::new(),
            sent: VecDeque::new(),
            to_tell: VecDeque::new(),
            told: VecDeque::new(),
            news: None,
            compared: 0,
            narrowed: 0,
        }
    }

    /// Returns the length of datagrams that reach a peer.
    pub(crate) fn longest_to(&self, peer: &A) -> usize {
        if self.narrow.is_empty() {
            return self.longest;
        }
        self.narrow.get(peer).map_or(self.longest, |narrow| narrow.longest)
    }

    /// Returns the number of bytes by which datagrams to a peer are shorter than configured.
    pub(crate) fn shorter_by(&self, peer: &A) -> usize {
        self.longest - self.longest_to(peer)
    }

    /// Lists the narrow paths that were found here.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&A, usize)> {
        self.narrow.iter().filter(|(_, narrow)| narrow.found).map(|(peer, narrow)| (peer, narrow.longest))
    }

    /// Takes out the narrow path that was found last.
    pub(crate) const fn take_news(&mut self) -> Option<(A, usize)> {
        self.news.take()
    }

    /// Numbers of comparisons and of narrow paths found so far.
    pub(crate) const fn counted(&self) -> (u64, u64) {
        (self.compared, self.narrowed)
    }

    /// Takes note that something was sent to a peer. If the same was sent before, it has probably been lost.
    pub(crate) fn note_sent(&mut self, now: Instant, peer: &A, what: u64, bytes: usize) {
        if bytes + HEADERS <= self.longest_to(peer).min(MIN_DATAGRAM) {
            return;
        }
        if let Some(at) = self.sent.iter().position(|(to, sent, _)| to == peer && *sent == what) {
            if self.sent[at].2 + self.pause <= now {
                self.sent.remove(at);
                self.doubt(now, peer);
            }
            return;
        }
        if self.sent.len() == SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((peer.clone(), what, now));
    }

    /// Doubts that long datagrams reach a peer, or come from there: begins a comparison, unless there was one lately.
    pub(crate) fn doubt(&mut self, now: Instant, peer: &A) {
        if self.longest <= MIN_DATAGRAM {
            return;
        }
        let told = |narrow: &&Narrow| narrow.found || narrow.longest <= MIN_DATAGRAM;
        if let Some(narrow) = self.narrow.get(peer).filter(told) {
            // What this node sends it is short: perhaps it does not know yet that it should do so, too.
            if narrow.found && !self.to_tell.contains(peer) && self.to_tell.len() < COMPARISONS {
                self.to_tell.push_back(peer.clone());
            }
            return;
        }
        self.resting.retain(|rest| now < rest.until + rest.unheard);
        if self.comparisons.len() < COMPARISONS
            && self.comparisons.iter().all(|comparison| comparison.peer != *peer)
            && self.resting.iter().all(|rest| rest.peer != *peer || rest.until <= now)
        {
            self.begin(now, peer.clone(), false);
        }
    }

    /// Takes note that a datagram of a peer was refused since it is longer than this node is configured for: the peer is told the
    /// length, at most once in half a minute.
    pub(crate) fn note_too_long(&mut self, now: Instant, peer: &A) {
        self.told.retain(|(_, until)| now < *until);
        if self.told.len() < RESTING && self.told.iter().all(|(told, _)| told != peer) {
            self.told.push_back((peer.clone(), now + SOUND));
            if !self.to_tell.contains(peer) {
                self.to_tell.push_back(peer.clone());
            }
        }
    }

    fn begin(&mut self, now: Instant, peer: A, again: bool) {
        self.compared += 1;
        // What a peer has said to be too long for itself need not be what the path carries.
        let length = if again { self.longest } else { self.longest_to(&peer) };
        self.comparisons.push(Comparison { peer, length, first: 0, pairs: 0, answered: 0, again, next: now });
    }

    /// `heard`: enough came back to tell.
    fn rest(&mut self, now: Instant, peer: A, heard: bool) {
        let before = self.resting.iter().position(|rest| rest.peer == peer).and_then(|at| self.resting.remove(at));
        let unheard = before.map_or(Duration::ZERO, |rest| 2 * rest.unheard).clamp(SOUND, REST);
        let (length, unheard) = if heard { (SOUND, Duration::ZERO) } else { (unheard, unheard) };
        if self.resting.len() == RESTING {
            self.resting.pop_front();
        }
        self.resting.push_back(Rest { peer, until: now + length, unheard });
    }

    /// Takes the next step that is due.
    pub(crate) fn step(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Step<A>> {
        if let Some(peer) = self.to_tell.pop_front() {
            let longest = self.longest_to(&peer);
            return Some(Step::Tell { peer, longest });
        }
        self.try_again(now);
        while let Some(at) = self.comparisons.iter().position(|comparison| comparison.next <= now) {
            let comparison = &mut self.comparisons[at];
            let most = if comparison.again { PAIRS_AGAIN } else { PAIRS };
            if comparison.pairs < most {
                if comparison.pairs == 0 {
                    comparison.first = rng.random::<u32>() & !(2 * PAIRS.next_power_of_two() - 1);
                }
                let seq = comparison.first + 2 * comparison.pairs;
                comparison.pairs += 1;
                comparison.next = now + self.pause;
                return Some(Step::Compare { peer: comparison.peer.clone(), seq, length: comparison.length });
            }
            let Comparison { peer, again, .. } = self.comparisons.swap_remove(at);
            if again {
                self.to_tell.push_back(peer);
                return self.step(now, rng);
            }
            // Too few answers of either length.
            self.rest(now, peer, false);
        }
        None
    }

    /// Tries narrow paths again whose time has come, and forgets what peers have said long ago.
    fn try_again(&mut self, now: Instant) {
        while let Some(at) = self.narrow.values().position(|narrow| narrow.until <= now) {
            let Some((peer, narrow)) = self.narrow.get_index_mut(at) else { return };
            if !narrow.found {
                self.narrow.swap_remove_index(at);
                continue;
            }
            narrow.until = now + AGAIN;
            let peer = peer.clone();
            self.begin(now, peer, true);
        }
    }

    /// An echo has come back. `long`: in a long datagram.
    pub(crate) fn on_echoed(&mut self, now: Instant, peer: &A, seq: u32) {
        let Some(at) = self.comparisons.iter().position(|comparison| comparison.peer == *peer) else { return };
        let comparison = &mut self.comparisons[at];
        let Some(number) = seq.checked_sub(comparison.first).filter(|number| *number < 2 * comparison.pairs) else {
            return;
        };
        if number % 2 == 1 {
            let Comparison { peer, length, .. } = self.comparisons.swap_remove(at);
            self.carries(now, peer, length);
            return;
        }
        comparison.answered |= 1 << (number / 2);
        if comparison.again || comparison.answered.count_ones() < SHORT_ANSWERS {
            return;
        }
        let shorter = LENGTHS.into_iter().find(|length| *length < comparison.length).unwrap_or(MIN_DATAGRAM);
        if shorter > MIN_DATAGRAM {
            let next =
                Comparison { length: shorter, pairs: 0, answered: 0, next: now, ..self.comparisons.swap_remove(at) };
            self.comparisons.push(next);
        } else {
            let Comparison { peer, .. } = self.comparisons.swap_remove(at);
            self.carries(now, peer, MIN_DATAGRAM);
        }
    }

    /// A path carries datagrams of this length and, if that is shorter than configured, no longer ones.
    fn carries(&mut self, now: Instant, peer: A, length: usize) {
        let told = self.narrow.get(&peer).is_some_and(|narrow| !narrow.found && narrow.longest <= length);
        if length >= self.longest || told {
            if !told {
                self.narrow.swap_remove(&peer);
            }
            // It may be configured for longer ones, which are lost on their way: nobody has refused them.
            if !self.to_tell.contains(&peer) {
                self.to_tell.push_back(peer.clone());
            }
            self.rest(now, peer, true);
            return;
        }
        self.make_room();
        self.narrowed += 1;
        self.news = Some((peer.clone(), length));
        self.to_tell.push_back(peer.clone());
        self.narrow.insert(peer, Narrow { longest: length, found: true, until: now + AGAIN });
    }

    /// A peer has said how long the datagrams are that reach it.
    pub(crate) fn on_told(&mut self, now: Instant, peer: &A, longest: usize) {
        let longest = longest.max(MIN_DATAGRAM);
        if longest >= self.longest {
            self.narrow.swap_remove(peer);
            return;
        }
        if self.narrow.get(peer).is_some_and(|narrow| narrow.found && narrow.longest <= longest) {
            return;
        }
        self.make_room();
        // It is said again as often as the path is tried, and one such message may be lost.
        self.narrow.insert(peer.clone(), Narrow { longest, found: false, until: now + 3 * AGAIN });
    }

    fn make_room(&mut self) {
        if self.narrow.len() >= NARROW {
            self.narrow.shift_remove_index(0);
        }
    }

    /// Forgets a peer that is not there any more.
    pub(crate) fn forget(&mut self, peer: &A) {
        self.narrow.swap_remove(peer);
        self.comparisons.retain(|comparison| comparison.peer != *peer);
    }

    /// Returns the time of the next step.
    pub(crate) fn due(&self) -> Option<Instant> {
        let tells = (!self.to_tell.is_empty()).then_some(Instant::ORIGIN);
        let compares = self.comparisons.iter().map(|comparison| comparison.next);
        let again = self.narrow.values().map(|narrow| narrow.until);
        tells.into_iter().chain(compares).chain(again).min()
    }
}

/// Bytes of a datagram around its messages, about.
const HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    const START: Instant = Instant::from_secs(1_000);
    const LOSSLESS: u32 = 0;

    /// A path that loses a share of all echoes, and all above a length. Returns how long it took until nothing was due.
    fn compare(paths: &mut PathMtu<u8>, from: Instant, carries: usize, lost_percent: u32, seed: u64) -> Instant {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut now = from;
        while paths.due().is_some_and(|due| due <= now + AGAIN / 2) {
            now = now.max(paths.due().unwrap());
            let Some(step) = paths.step(now, &mut rng) else { continue };
            let Step::Compare { peer, seq, length } = step else { continue };
            for (seq, length) in [(seq, 50), (seq + 1, length)] {
                if length <= carries && rng.random_range(0..100) >= lost_percent {
                    paths.on_echoed(now, &peer, seq);
                }
            }
        }
        now
    }

    #[test]
    fn who_sends_what_is_too_long_is_told_once_in_half_a_minute() {
        let (mut paths, mut rng) =
            (PathMtu::new(888, Duration::from_millis(500)), Xoshiro256PlusPlus::seed_from_u64(1));
        let mut told = |paths: &mut PathMtu<u16>, now| {
            (0..1_000).for_each(|_| paths.note_too_long(now, &7));
            core::iter::from_fn(|| paths.step(now, &mut rng)).collect::<Vec<_>>()
        };
        let tell = || alloc::vec![Step::Tell { peer: 7, longest: 888 }];
        assert_eq!([told(&mut paths, START), told(&mut paths, START + SOUND / 2)], [tell(), Vec::new()]);
        assert_eq!(told(&mut paths, START + SOUND), tell());
        (0..1_000).for_each(|peer| paths.note_too_long(START + SOUND, &peer));
        assert_eq!(paths.told.len(), RESTING);
    }

    #[test]
    fn a_path_that_swallows_what_is_long_is_found_and_found_sound_again() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        paths.doubt(START, &7);
        assert_eq!(compare(&mut paths, START, 1_000, LOSSLESS, 1).since(START).as_secs(), 3);
        assert_eq!((paths.longest_to(&7), paths.longest_to(&8), paths.counted()), (512, 1_200, (1, 1)));
        assert_eq!((paths.take_news(), paths.take_news()), (Some((7, 512)), None));
        // It is tried again for ever, and the peer is told again.
        let later = compare(&mut paths, START + AGAIN + REST, 1_000, LOSSLESS, 2);
        assert_eq!(paths.longest_to(&7), 512);
        compare(&mut paths, later + AGAIN + REST, 1_300, LOSSLESS, 3);
        assert_eq!((paths.longest_to(&7), paths.found().count(), paths.take_news()), (1_200, 0, None));
    }

    #[test]
    fn a_peer_that_is_configured_for_longer_datagrams_than_the_path_carries_is_told() {
        let (mut ours, mut theirs) =
            (PathMtu::new(780, Duration::from_millis(500)), PathMtu::new(1_200, Duration::from_millis(500)));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        // Nothing of what it sent has come: it was asked again and again.
        ours.doubt(START, &7);
        let Some(Step::Compare { seq, length: 780, .. }) = ours.step(START, &mut rng) else { panic!() };
        ours.on_echoed(START, &7, seq + 1);
        let Some(Step::Tell { peer: 7, longest }) = ours.step(START, &mut rng) else { panic!() };
        theirs.on_told(START, &8, longest);
        assert_eq!((ours.longest_to(&7), theirs.longest_to(&8)), (780, 780));
        assert_eq!(ours.step(START, &mut rng), None);
    }

    #[test]
    fn a_path_that_carries_less_than_a_peer_takes_is_found() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        paths.on_told(START, &7, 900);
        paths.doubt(START, &7);
        compare(&mut paths, START, 1_000, LOSSLESS, 1);
        assert_eq!((paths.longest_to(&7), paths.counted()), (900, (1, 0)));
        let later = START + SOUND;
        paths.doubt(later, &7);
        compare(&mut paths, later, 869, LOSSLESS, 2);
        assert_eq!((paths.longest_to(&7), paths.counted()), (512, (2, 1)));
    }

    #[test]
    fn a_path_that_becomes_narrow_after_it_was_found_sound_is_found_within_a_minute() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        paths.doubt(START, &7);
        compare(&mut paths, START, 1_200, LOSSLESS, 1);
        let soon = START + Duration::from_secs(20);
        paths.doubt(soon, &7);
        assert_eq!((paths.due(), paths.counted()), (None, (1, 0)), "it was sound a moment ago");
        let later = START + Duration::from_secs(40);
        paths.doubt(later, &7);
        assert!(compare(&mut paths, later, 1_149, LOSSLESS, 2).since(START).as_secs() < 60);
        assert_eq!(paths.longest_to(&7), 512);
    }

    #[test]
    fn between_long_datagrams_and_the_least_there_are_lengths_to_try() {
        for (carries, found) in [(9_000, 8_900), (8_000, 1_400), (1_300, 1_200), (1_100, 512)] {
            let mut paths = PathMtu::new(8_900, Duration::from_millis(500));
            paths.doubt(START, &7);
            compare(&mut paths, START, carries, LOSSLESS, 1);
            assert_eq!(paths.longest_to(&7), found, "{carries}");
        }
    }

    #[test]
    fn ordinary_loss_makes_no_path_narrow() {
        for percent in [10, 30, 50] {
            let mut narrow = 0;
            for seed in 0..1_000 {
                let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
                paths.doubt(START, &7);
                compare(&mut paths, START, 1_200, percent, seed);
                narrow += paths.counted().1;
            }
            assert!(narrow <= 1, "{narrow} of 1,000 at {percent} %");
        }
    }

    #[test]
    fn who_is_silent_is_not_narrow() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        paths.doubt(START, &7);
        compare(&mut paths, START, 0, LOSSLESS, 1);
        assert_eq!((paths.longest_to(&7), paths.counted()), (1_200, (1, 0)));
        paths.doubt(START + SOUND, &7);
        assert_eq!(paths.due(), None, "it rests");
        // Ever longer, since the loss may have been heavy, or nobody is there.
        let (mut now, mut begun) = (START, Vec::new());
        while now.since(START) < Duration::from_secs(1_800) {
            let (compared, _) = paths.counted();
            paths.doubt(now, &7);
            if paths.counted().0 > compared {
                begun.push(now.since(START).as_secs());
                now = compare(&mut paths, now, 0, LOSSLESS, 2);
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(begun, [40, 110, 240, 490, 800, 1_110, 1_420, 1_730]);
    }

    #[test]
    fn what_peers_say_is_believed_for_a_while_and_within_bounds() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        paths.on_told(START, &7, 0);
        assert_eq!((paths.longest_to(&7), paths.found().count()), (MIN_DATAGRAM, 0));
        paths.on_told(START, &7, 1_400);
        assert_eq!(paths.longest_to(&7), 1_200);
        paths.on_told(START, &7, 600);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        assert_eq!(paths.step(START + 3 * AGAIN, &mut rng), None);
        assert_eq!(paths.longest_to(&7), 1_200);
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        (0..2 * NARROW).for_each(|peer| paths.on_told(START, &u32::try_from(peer).unwrap(), 512));
        assert_eq!(paths.narrow.len(), NARROW);
    }

    #[test]
    fn the_same_large_thing_sent_twice_is_a_doubt_and_small_ones_are_none() {
        let mut paths = PathMtu::new(1_200, Duration::from_millis(500));
        let later = START + Duration::from_secs(1);
        for (what, bytes) in [(1, 100), (2, 1_000)] {
            paths.note_sent(START, &7, what, bytes);
        }
        paths.note_sent(later, &7, 1, 100);
        paths.note_sent(later, &8, 2, 1_000);
        paths.note_sent(START, &7, 2, 1_000);
        assert_eq!(paths.counted(), (0, 0), "small, another peer, at once");
        paths.note_sent(later, &7, 2, 1_000);
        assert_eq!(paths.counted(), (1, 0));
    }
}
