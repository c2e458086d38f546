//! Laws of a fold over the members' shares, by which a cluster can agree on its result.
//!
//! The engine keeps one merge rule, the newest wins. Who needs more lets every member write its share under one name
//! and folds [`shares_named`](gossip_core::Node::shares_named): counters, sets and every other state-based CRDT. Such a
//! fold merges what shares say, two at a time, and nodes fold in different orders, groups and repetitions; they agree
//! if merging is commutative, associative and idempotent. [`check`] looks for what shows that it is not:
//!
//! ```
//! use gossip_testkit::laws;
//!
//! let numbers = |dice: &mut gossip_testkit::Dice| dice.within(0..=9);
//! laws::check(numbers, |a, b| *a.max(b)).unwrap();
//!
//! let broken = laws::check(numbers, |a, b| a + b).unwrap_err();
//! assert!(broken.to_string().starts_with("merging is not idempotent: a · a is not a\n  a = "));
//! ```
//!
//! A fold that keeps the laws may lose what was written all the same: where members write entries of their own, or tags begin anew
//! with each start. [`outlives`] draws histories with restarts, crashes and departures, and looks for that.
//!
//! `examples/folds.rs` has a counter that only grows and a set whose elements come and go.

mod histories;

use std::fmt::{self, Debug};

use crate::scenario::Dice;

pub use histories::{Lost, Step, after, outlives};

/// A law that merging must satisfy.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// a · a = a: what arrives twice counts once.
    Idempotent,
    /// a · b = b · a: it does not matter who is folded first.
    Commutative,
    /// (a · b) · c = a · (b · c): parts that were folded elsewhere fit.
    Associative,
}

impl Law {
    const ALL: [Self; 3] = [Self::Idempotent, Self::Commutative, Self::Associative];

    /// Number of states that it speaks of.
    const fn arity(self) -> usize {
        match self {
            Self::Idempotent => 1,
            Self::Commutative => 2,
            Self::Associative => 3,
        }
    }

    const fn sides(self) -> [&'static str; 2] {
        match self {
            Self::Idempotent => ["a · a", "a"],
            Self::Commutative => ["a · b", "b · a"],
            Self::Associative => ["(a · b) · c", "a · (b · c)"],
        }
    }
}

/// States for which a law does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken<S> {
    /// The law.
    pub law: Law,
    /// The states: `a`, and `b` and `c` if the law speaks of them.
    pub states: Vec<S>,
    /// Results of its left and its right side.
    pub sides: [S; 2],
}

impl<S: Debug> fmt::Display for Broken<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [left, right] = self.law.sides();
        let law = format!("{:?}", self.law).to_lowercase();
        write!(f, "merging is not {law}: {left} is not {right}")?;
        for (name, state) in ["a", "b", "c"].into_iter().zip(&self.states) {
            write!(f, "\n  {name} = {state:?}")?;
        }
        let [is, ought] = &self.sides;
        write!(f, "\n  {left} = {is:?}\n  {right} = {ought:?}")
    }
}

impl<S: Debug> std::error::Error for Broken<S> {}

/// Triples of states that are tried.
const CASES: u64 = 2_000;

/// Merges states as `draw` draws them, and what merging makes of them.
///
/// Draw small states that often overlap: few members, few values, or the states have nothing to disagree about.
///
/// # Errors
/// The counter-example whose states print shortest, of the first law that does not hold.
pub fn check<S: Clone + PartialEq + Debug>(
    mut draw: impl FnMut(&mut Dice) -> S,
    merge: impl Fn(&S, &S) -> S,
) -> Result<(), Broken<S>> {
    let mut found: Option<(Law, usize, Broken<S>)> = None;
    for number in 0..CASES {
        let mut dice = Dice::new(number);
        let mut states: Vec<S> = (0..3).map(|_| draw(&mut dice)).collect();
        // States that have been merged before, in every other case: a fold meets those as well.
        if number % 2 == 1 {
            let other = draw(&mut dice);
            let at = dice.within(0..=2) as usize;
            states[at] = merge(&states[at], &other);
        }
        for law in Law::ALL {
            let states = &states[..law.arity()];
            let sides = match states {
                [a] => [merge(a, a), a.clone()],
                [a, b] => [merge(a, b), merge(b, a)],
                [a, b, c] => [merge(&merge(a, b), c), merge(a, &merge(b, c))],
                _ => unreachable!("no law speaks of more than three"),
            };
            if sides[0] == sides[1] {
                continue;
            }
            let length = format!("{states:?}").len();
            if found.as_ref().is_none_or(|(broken, shortest, _)| (law, length) < (*broken, *shortest)) {
                found = Some((law, length, Broken { law, states: states.to_vec(), sides }));
            }
        }
    }
    found.map_or(Ok(()), |(_, _, broken)| Err(broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(dice: &mut Dice) -> u64 {
        dice.within(0..=9)
    }

    #[test]
    fn what_breaks_one_law_alone_is_told_from_the_others() {
        let law = |merge: fn(&u64, &u64) -> u64| check(number, merge).unwrap_err().law;
        assert_eq!(law(|a, b| a + b), Law::Idempotent);
        assert_eq!(law(|a, _| *a), Law::Commutative);
        // Stone, paper, scissors: every pair has a winner, three do not.
        assert_eq!(
            law(|a, b| if (a % 3 + 1) % 3 == b % 3 {
                *b
            } else if a % 3 == b % 3 {
                *a.max(b)
            } else {
                *a
            }),
            Law::Associative
        );
        for sound in [|a: &u64, b: &u64| *a.max(b), |a: &u64, b: &u64| *a.min(b), |a: &u64, b: &u64| a | b] {
            check(number, sound).unwrap();
        }
    }

    #[test]
    fn the_counter_example_is_a_short_one_and_says_all() {
        let broken = check(number, |a, _| *a).unwrap_err();
        let text = "merging is not commutative: a · b is not b · a\n  a = 0\n  b = 1\n  a · b = 0\n  b · a = 1";
        let [a, b] = broken.states[..] else { panic!("two states") };
        assert!(a < 10 && b < 10 && a != b);
        let text = text.replace("= 0", &format!("= {a}")).replace("= 1", &format!("= {b}"));
        assert_eq!(broken.to_string(), text);
    }
}
