//! Replay windows: which datagrams of each sender have been received (RFC 6479's bitmap over their counters).
//!
//! The tag of a sealed datagram covers the pass of its receiver, so a recording is of use only where it was sent to, and until
//! that node restarts. There every sender has a row: its salt, which is that of one start, the newest counter, and the 64
//! before it. The senders that speak of more than probes, at most 256, have 1,024 instead, since their datagrams come in
//! bursts, and between those to this node there are others' in the count.
//!
//! A sender that restarts has another salt, its new pass. A recording of an earlier start has another salt, too; so one is
//! taken only if it is the pass in the sender's record, or with a clock that is ahead of what was heard before. One whose
//! clock was set back can introduce itself as a stranger, after so long a silence that no token of that time is good.

use alloc::collections::VecDeque;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use indexmap::IndexMap;
use siphasher::sip::SipHasher13;

use super::Serial;
use crate::id::NodeId;
use crate::time::Instant;

/// Senders with a wide window, at most.
const WIDE: usize = 256;
/// Words of a wide window: one more than its 1,024 bits, as in RFC 6479.
const WORDS: usize = 17;
const WIDTH: u64 = 64 * (WORDS as u64 - 1);
/// Silence after which a stranger's introduction is taken whatever its clock says: as long as a token is good.
const SILENCE: Duration = Duration::from_secs(600);
/// Rows that are looked at to find one that was silent for long.
const SAMPLE: usize = 8;

#[derive(Debug)]
struct Row {
    salt: u64,
    /// True once the salt has been the pass in the sender's record. As long as it has not, that record is older.
    confirmed: bool,
    newest: u64,
    /// Bit *i*: `newest - i` was received.
    seen: u64,
    /// The latest clock of the sender, in its own time.
    clock: Instant,
    /// Time at which it was heard last, in this node's time.
    heard: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Windows {
    rows: IndexMap<NodeId, Row, BuildHasherDefault<SipHasher13>>,
    /// The senders that had something to say lately, in the order in which they began.
    wide: VecDeque<(NodeId, [u64; WORDS])>,
    limit: usize,
    /// The latest clock in a row that was given up: whoever has no row must be ahead of that.
    floor: Instant,
    /// The row from which on the next sample is taken.
    next: usize,
}

/// A sealed datagram that has been opened.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Arrival {
    pub(crate) sender: NodeId,
    pub(crate) serial: Serial,
    /// The sender's clock, as the datagram says.
    pub(crate) clock: Instant,
    /// This node's time.
    pub(crate) now: Instant,
    /// True if it carries more than probes.
    pub(crate) speaks: bool,
    /// True if it is keyed by this node's pass, false if it is a stranger's with a token.
    pub(crate) keyed: bool,
    /// True if its salt is the pass in the sender's record.
    pub(crate) current: bool,
}

impl Windows {
    /// `limit`: the number of senders that are remembered.
    pub(crate) fn new(limit: usize) -> Self {
        let (rows, wide) = (IndexMap::default(), VecDeque::new());
        Self { rows, wide, limit, floor: Instant::ORIGIN, next: 0 }
    }

    /// Takes note of a datagram. Returns false if it may have been received before.
    pub(crate) fn admit(&mut self, arrival: Arrival) -> bool {
        let Arrival { sender, serial: Serial { salt, counter }, clock, now, speaks, keyed, current } = arrival;
        if let Some(row) = self.rows.get_mut(&sender)
            && row.salt == salt
        {
            let wide = self.wide.iter().position(|(of, _)| *of == sender);
            let fresh = match wide {
                Some(at) => note_wide(&mut self.wide[at].1, row.newest, counter),
                None => is_fresh(row, counter),
            };
            if !fresh {
                return false;
            }
            note(row, counter);
            (row.clock, row.heard) = (row.clock.max(clock), now);
            row.confirmed |= current;
            if speaks && wide.is_none() {
                let window = widened(row);
                if self.wide.len() == WIDE {
                    self.wide.pop_front();
                }
                self.wide.push_back((sender, window));
            }
            return true;
        }
        let begins = match self.rows.get(&sender) {
            Some(row) => clock > row.clock || (current && row.confirmed) || (!keyed && now.since(row.heard) > SILENCE),
            None => clock > self.floor,
        };
        if begins {
            self.wide.retain(|(of, _)| *of != sender);
            // What was refused until the new start was believed stays refused.
            let before = self.rows.get(&sender).map(|row| row.clock);
            let seen = if before.is_some() { u64::MAX } else { 1 };
            if before.is_none() && self.rows.len() >= self.limit {
                self.give_one_up();
            }
            let clock = before.map_or(clock, |before| before.max(clock));
            self.rows.insert(sender, Row { salt, confirmed: current, newest: counter, seen, clock, heard: now });
        }
        begins
    }

    /// Gives up the row of a sender that was silent for long.
    fn give_one_up(&mut self) {
        let sample = (0..SAMPLE.min(self.rows.len())).map(|step| (self.next + step) % self.rows.len());
        let Some(at) = sample.min_by_key(|at| self.rows[*at].heard) else { return };
        self.next = self.next.wrapping_add(SAMPLE);
        if let Some((sender, row)) = self.rows.swap_remove_index(at) {
            self.floor = self.floor.max(row.clock);
            self.wide.retain(|(of, _)| *of != sender);
        }
    }
}

fn is_fresh(row: &Row, counter: u64) -> bool {
    match row.newest.checked_sub(counter) {
        Some(behind @ 0..64) => row.seen >> behind & 1 == 0,
        Some(_) => false,
        None => true,
    }
}

fn note(row: &mut Row, counter: u64) {
    match row.newest.checked_sub(counter) {
        Some(behind) => {
            row.seen |= u32::try_from(behind).ok().and_then(|behind| 1_u64.checked_shl(behind)).unwrap_or(0)
        }
        None => {
            let ahead = u32::try_from(counter - row.newest).unwrap_or(u32::MAX);
            row.seen = row.seen.checked_shl(ahead).unwrap_or(0) | 1;
            row.newest = counter;
        }
    }
}

const fn place(counter: u64) -> (usize, u64) {
    ((counter / 64 % WORDS as u64) as usize, 1 << (counter % 64))
}

/// Takes note of a counter. Returns false if it was noted before, or is too far behind.
fn note_wide(words: &mut [u64; WORDS], newest: u64, counter: u64) -> bool {
    if counter > newest {
        let (first, last) = (newest / 64 + 1, counter / 64);
        for block in first..=last.min(first + WORDS as u64) {
            words[(block % WORDS as u64) as usize] = 0;
        }
        if last > first + WORDS as u64 {
            *words = [0; WORDS];
        }
    } else if newest - counter >= WIDTH {
        return false;
    }
    let (word, bit) = place(counter);
    let fresh = words[word] & bit == 0;
    words[word] |= bit;
    fresh
}

/// Returns a wide window that knows what the row knows. What is further behind counts as received.
fn widened(row: &Row) -> [u64; WORDS] {
    let mut words = [u64::MAX; WORDS];
    let unseen =
        (0..64).filter(|behind| row.seen >> behind & 1 == 0).filter_map(|behind| row.newest.checked_sub(behind));
    for counter in unseen.chain(row.newest + 1..=row.newest | 63) {
        let (word, bit) = place(counter);
        words[word] &= !bit;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_secs(1_700_000_000);

    fn arrival(sender: u64, salt: u64, counter: u64) -> Arrival {
        let serial = Serial { salt, counter };
        Arrival {
            sender: NodeId::new(sender),
            serial,
            clock: NOW,
            now: NOW,
            speaks: false,
            keyed: true,
            current: false,
        }
    }

    proptest! {
        #[test]
        fn no_datagram_is_taken_twice_and_a_reordering_within_the_window_loses_none(
            speaks in any::<bool>(),
            steps in proptest::collection::vec(prop_oneof![0_u64..70, 0_u64..1_100, 0_u64..5_000], 1..400),
        ) {
            let mut windows = Windows::new(9);
            let (mut taken, mut newest) = (BTreeSet::new(), None::<u64>);
            let mut base = 0;
            for step in steps {
                // Sometimes ahead of the newest, sometimes behind it.
                let counter = (base + step).saturating_sub(600);
                base += step % 7 * 40;
                let admitted = windows.admit(Arrival { speaks, ..arrival(1, 5, counter) });
                let behind = newest.map_or(0, |newest| newest.saturating_sub(counter));
                prop_assert!(!admitted || !taken.contains(&counter), "{} twice", counter);
                if behind < 64 && !taken.contains(&counter) {
                    prop_assert!(admitted, "{} of {:?} is lost", counter, newest);
                }
                if admitted {
                    taken.insert(counter);
                    newest = Some(newest.map_or(counter, |newest| newest.max(counter)));
                }
            }
        }
    }

    #[test]
    fn at_a_partner_a_thousand_may_be_overtaken_and_at_others_64() {
        for (speaks, width) in [(false, 64), (true, 1_024)] {
            let mut windows = Windows::new(9);
            let at = |counter| Arrival { speaks, ..arrival(1, 5, counter) };
            assert!(windows.admit(at(1)) && windows.admit(at(2)) && windows.admit(at(3_000)));
            for behind in 1..width {
                assert!(windows.admit(at(3_000 - behind)), "{behind} of {width}");
                assert!(!windows.admit(at(3_000 - behind)), "{behind} of {width}, again");
            }
            assert!(!windows.admit(at(3_000 - width)), "beyond {width}");
        }
    }

    #[test]
    fn who_begins_to_speak_loses_nothing_that_was_received_or_is_to_come() {
        let mut windows = Windows::new(9);
        assert!([100, 98, 131].map(|counter| windows.admit(arrival(1, 5, counter))).iter().all(|admitted| *admitted));
        assert!(windows.admit(Arrival { speaks: true, ..arrival(1, 5, 132) }));
        for counter in [98, 100, 131, 132, 60] {
            assert!(!windows.admit(arrival(1, 5, counter)), "{counter}");
        }
        assert!(
            [99, 130, 133, 140, 191, 192].map(|counter| windows.admit(arrival(1, 5, counter))).iter().all(|new| *new)
        );
    }

    #[test]
    fn a_recording_of_an_earlier_start_is_none_of_a_later_one() {
        let mut windows = Windows::new(9);
        let at = |salt, counter, secs| Arrival { clock: NOW + Duration::from_secs(secs), ..arrival(1, salt, counter) };
        assert!(windows.admit(at(5, 100, 0)));
        assert!(!windows.admit(at(6, 7, 0)), "not ahead of what was heard before");
        assert!(windows.admit(at(6, 8, 3)), "restarted");
        assert!(!windows.admit(at(6, 7, 0)), "and what was refused stays refused");
        assert!(!windows.admit(at(5, 101, 0)) && !windows.admit(at(5, 101, 3)), "what was held back since");
        assert!(windows.admit(at(6, 10, 3)) && windows.admit(at(6, 9, 3)));
        // And once more, with a clock that was set back.
        let again = at(7, 1, 2);
        let later = NOW + SILENCE + Duration::from_secs(1);
        assert!(!windows.admit(again) && !windows.admit(Arrival { keyed: false, ..again }));
        assert!(
            !windows.admit(Arrival { current: true, ..at(5, 102, 0) }),
            "its record here is older than what was heard"
        );
        assert!(windows.admit(Arrival { current: true, ..at(6, 12, 3) }));
        assert!(!windows.admit(Arrival { now: later, ..again }), "it may be a recording");
        assert!(windows.admit(Arrival { now: later, keyed: false, ..again }), "it has shown that it is not");
        assert!(
            windows.admit(Arrival { current: true, ..again })
                || windows.admit(Arrival { current: true, ..at(7, 2, 2) })
        );
        assert!(!windows.admit(at(6, 13, 3)), "and the earlier start is over");
    }

    #[test]
    fn the_record_of_a_new_start_lets_it_in_whatever_its_clock_says() {
        let mut windows = Windows::new(9);
        let at = |salt, secs, current| {
            let clock = NOW + Duration::from_secs(secs);
            Arrival { clock, current, ..arrival(1, salt, 10) }
        };
        assert!(windows.admit(at(5, 100, true)));
        assert!(!windows.admit(at(6, 1, false)) && windows.admit(at(6, 1, true)));
        assert!(!windows.admit(at(5, 100, false)), "the earlier one is over");
    }

    #[test]
    fn rows_are_bounded_and_who_lost_his_is_not_replayed() {
        let mut windows = Windows::new(50);
        for sender in 0..1_000 {
            let now = NOW + Duration::from_secs(sender);
            assert!(windows.admit(Arrival { now, clock: now, speaks: true, ..arrival(sender, 5, 7) }));
        }
        assert!(windows.rows.len() <= 50 && windows.wide.len() <= 50);
        for sender in 0..1_000 {
            let now = NOW + Duration::from_secs(2_000);
            let clock = NOW + Duration::from_secs(sender);
            assert!(!windows.admit(Arrival { now, clock, ..arrival(sender, 5, 7) }), "{sender}");
        }
    }
}
