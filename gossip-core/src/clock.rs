//! Clocks of a node: monotonic time, wall time, the time that the members agree on, and the hybrid logical clock.
//!
//! Timers run on monotonic time, which the driver passes to every call. Stamps are made of *agreed time*: the node's own
//! wall clock, or the median of the members' wall clocks where most of them say that the own one is wrong. No clock
//! moves another node's clock, and none decides whether a stamp is accepted. Knows no item and no message.

mod hybrid;
mod settled;

use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use hybrid::Hybrid;
pub(crate) use settled::{Past, Settled};

use crate::id::NodeId;
use crate::time::{Instant, micros};
use crate::update::Stamp;

/// Members whose wall clocks are known at a time.
const READINGS: usize = 64;

/// A wall clock as microseconds ahead of this node's monotonic clock. A difference to the own *wall* clock would change
/// with every step of that one.
type Offset = i64;

/// A member's wall clock, when it last answered something of this node's.
#[derive(Debug, Clone, Copy)]
struct Reading {
    member: NodeId,
    offset: Offset,
}

/// The own wall clock is off by more than the bound, as far as the other clocks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The time that the others say.
    pub(crate) peers: Instant,
    /// The time that the own wall clock says.
    pub(crate) own: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Clocks {
    /// `lifetimes.max_ahead`: how far apart clocks may be that count as right.
    bound: Duration,
    wall: Offset,
    /// Agreed time while the own wall clock is wrong. It goes with the monotonic clock: a wall clock that drifts moves it no more
    /// than one that is off.
    follow: Option<Offset>,
    readings: Vec<Reading>,
    /// Offset of the other clocks while the own one is wrong, of which the application has been told.
    wrong: Option<Offset>,
    hybrid: Hybrid,
}

impl Clocks {
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, wall: 0, follow: None, readings: Vec::new(), wrong: None, hybrid: Hybrid::default() }
    }

    /// Takes a step of the own wall clock in. `members`: how many are alive, this node included.
    pub(crate) fn set_wall(&mut self, now: Instant, wall: Instant, members: usize) -> Option<Wrong> {
        let offset = offset(now, wall);
        if offset == self.wall {
            return None;
        }
        self.wall = offset;
        self.agree(now, members)
    }

    /// Takes a member's wall clock in, which came in answer to something of this node's after `trip`. `answers`: which
    /// members are alive and nobody suspects, `members`: how many are there, this node included.
    pub(crate) fn note_reading(
        &mut self,
        now: Instant,
        (member, wall): (NodeId, Instant),
        trip: Duration,
        answers: impl Fn(NodeId) -> bool,
        members: usize,
    ) -> Option<Wrong> {
        // What waited in a socket for longer does not say what time it is.
        if trip > self.bound / 2 {
            return None;
        }
        // Half the round trip ago, if both ways take the same time.
        let offset = offset(now - trip / 2, wall);
        self.readings.retain(|reading| reading.member == member || answers(reading.member));
        if let Some(reading) = self.readings.iter_mut().find(|reading| reading.member == member) {
            reading.offset = offset;
        } else if self.readings.len() < READINGS {
            // A place is not given to another while its member answers: a sample that changes all the time would let the
            // median swing where the clocks are split.
            self.readings.push(Reading { member, offset });
        }
        self.agree(now, members)
    }

    /// Decides anew which time is agreed on.
    fn agree(&mut self, now: Instant, members: usize) -> Option<Wrong> {
        let bound = micros_of(self.bound);
        let near = |offset: Offset, to: Offset| offset.abs_diff(to) <= bound;
        // The common case: all clocks are right.
        if self.follow.is_none() && self.readings.iter().all(|reading| near(reading.offset, self.wall)) {
            self.wrong = None;
            return None;
        }
        // Where there are two, neither knows which is wrong: each keeps its own and says so.
        let quorum = if members <= 2 { 1 } else { (members.div_ceil(2) - 1).clamp(2, 4) };
        if self.readings.len() < quorum {
            return None;
        }
        let mut offsets: Vec<Offset> = self.readings.iter().map(|reading| reading.offset).collect();
        if members <= 2 {
            let peer = offsets[0];
            self.follow = None;
            return self.tell(now, peer, members == 2 && !near(peer, self.wall));
        }
        offsets.push(self.wall);
        offsets.sort_unstable();
        // The lower one of two, so that an even split has one answer.
        let median = offsets[(offsets.len() - 1) / 2];
        let agreed = self.ahead();
        let support = |time: Offset| offsets.iter().filter(|offset| near(**offset, time)).count();
        // Only what most clocks say: where they are split the median swings as the sample grows, or is a single clock between two
        // parts, and all would go with that one. Back to the own clock if two thirds say so, or as to any other.
        let (with, all) = (support(median), offsets.len());
        let own = median.abs_diff(self.wall) <= bound / 2;
        let away = 2 * with > all && !near(median, agreed) && 20 * support(agreed) < 7 * all;
        if away || own && 3 * with >= 2 * all {
            self.follow = (!own).then_some(median);
        } else if agreed.abs_diff(self.wall) <= bound / 2 {
            self.follow = None;
        }
        self.tell(now, median, self.follow.is_some())
    }

    fn tell(&mut self, now: Instant, peers: Offset, wrong: bool) -> Option<Wrong> {
        let news = wrong && self.wrong.is_none();
        self.wrong = wrong.then_some(peers);
        self.wrong(now).filter(|_| news)
    }

    /// Returns how the own wall clock is wrong, if it is.
    pub(crate) fn wrong(&self, now: Instant) -> Option<Wrong> {
        self.wrong.map(|peers| Wrong { peers: at(now, peers), own: self.wall(now) })
    }

    /// The own wall clock.
    pub(crate) fn wall(&self, now: Instant) -> Instant {
        at(now, self.wall)
    }

    /// The time that the members agree on. It may step back.
    pub(crate) fn agreed(&self, now: Instant) -> Instant {
        at(now, self.ahead())
    }

    /// Returns how far agreed time is ahead of the monotonic clock.
    fn ahead(&self) -> Offset {
        self.follow.unwrap_or(self.wall)
    }

    /// Returns the monotonic time at which agreed time reaches `time`, unless a clock steps meanwhile.
    pub(crate) fn when(&self, time: Instant) -> Instant {
        at(time, self.ahead().saturating_neg())
    }

    /// Returns how far a member's wall clock is behind the time that it reported last; none if it never answered.
    #[cfg(any(feature = "encryption", test))]
    pub(crate) fn behind(&self, now: Instant, member: NodeId, wall: Instant) -> Option<Duration> {
        let reading = self.readings.iter().find(|reading| reading.member == member)?;
        Some(at(now, reading.offset).since(wall))
    }

    /// The stamp of a write: later than agreed time, than what was seen (up to the bound beyond agreed time), and than
    /// the version of this key that is held.
    pub(crate) fn stamp(&self, now: Instant, node: NodeId, held: Option<Stamp>) -> Stamp {
        let agreed = self.agreed(now);
        let mut hybrid = self.hybrid.up_to(agreed + self.bound);
        let stamp = hybrid.stamp(agreed, node);
        match held {
            // Not of what the node writes under other keys: one that overwrites a value from the far future would carry
            // all its later writes there.
            Some(held) if (held.time, held.counter) >= (stamp.time, stamp.counter) => {
                Hybrid::at(held.time, held.counter).stamp(Instant::ORIGIN, node)
            }
            _ => stamp,
        }
    }

    /// Follows a stamp, unless it is further ahead of agreed time than the bound.
    pub(crate) fn observe(&mut self, now: Instant, time: Instant, counter: u32) {
        let latest = self.agreed(now) + self.bound;
        self.hybrid = self.hybrid.up_to(latest);
        if time <= latest {
            self.hybrid.observe(time, counter);
        }
    }

    /// The later of agreed time and what was seen, for marks in the order of stamps.
    pub(crate) fn hybrid(&self, now: Instant) -> Instant {
        let agreed = self.agreed(now);
        self.hybrid.up_to(agreed + self.bound).now(agreed)
    }
}

fn micros_of(duration: Duration) -> u64 {
    micros(duration).min(i64::MAX.unsigned_abs())
}

/// Returns how far a clock is ahead of the monotonic clock.
fn offset(now: Instant, wall: Instant) -> Offset {
    let difference = i128::from(wall.as_micros()) - i128::from(now.as_micros());
    Offset::try_from(difference).unwrap_or(if difference < 0 { Offset::MIN } else { Offset::MAX })
}

fn at(now: Instant, offset: Offset) -> Instant {
    Instant::from_micros(now.as_micros().saturating_add_signed(offset))
}

#[cfg(test)]
pub(crate) mod tests;
