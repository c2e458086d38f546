//! Smaller numbers, texts and byte strings: candidates for [`Workload::shrink`](crate::Workload::shrink).
//!
//! ```
//! use gossip_testkit::{Dice, Workload, shrink};
//!
//! #[derive(Debug, Clone, PartialEq)]
//! struct Append {
//!     log: u64,
//!     line: String,
//! }
//!
//! impl Workload for Append {
//!     fn random(dice: &mut Dice) -> Self {
//!         Self { log: dice.within(0..=9), line: format!("{:x}", dice.bits()) }
//!     }
//!
//!     fn shrink(&self) -> impl Iterator<Item = Self> {
//!         let logs = shrink::number(self.log, 0).map(|log| Self { log, ..self.clone() });
//!         logs.chain(shrink::text(&self.line).map(|line| Self { line, ..self.clone() }))
//!     }
//! }
//!
//! let smaller: Vec<_> = Append { log: 2, line: "ab".into() }.shrink().collect();
//! assert_eq!(smaller[0], Append { log: 0, line: "ab".into() });
//! assert!(smaller.contains(&Append { log: 2, line: String::new() }));
//! ```

use std::time::Duration;

/// Returns numbers from `least` up to `number`, without `number`: the least first, then ever closer to `number`.
pub fn number(number: u64, least: u64) -> impl Iterator<Item = u64> {
    let distance = number.saturating_sub(least);
    std::iter::successors(Some(distance), |&left| Some(left / 2))
        .take_while(|&left| left > 0)
        .map(move |left| number - left)
}

/// Returns shorter texts: the beginnings of `text` of the lengths that [`number`] says; then the text with all its
/// letters replaced by `a`.
pub fn text(text: &str) -> impl Iterator<Item = String> {
    let letters = text.chars().count();
    let shorter = number(letters as u64, 0).map(move |length| text.chars().take(length as usize).collect());
    let plain = "a".repeat(letters);
    shorter.chain((plain != text).then_some(plain))
}

/// Returns shorter byte strings: the beginnings of `bytes`; then as many zeros.
pub fn bytes(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let shorter = number(bytes.len() as u64, 0).map(move |length| bytes[..length as usize].to_vec());
    let plain = vec![0; bytes.len()];
    shorter.chain((plain != bytes).then_some(plain))
}

/// Returns shorter times in whole seconds, `least` first.
pub fn seconds(time: Duration, least: u64) -> impl Iterator<Item = Duration> {
    number(time.as_secs(), least).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_smaller_and_the_smallest_comes_first() {
        assert_eq!(number(10, 0).collect::<Vec<_>>(), [0, 5, 8, 9]);
        assert_eq!(number(10, 9).collect::<Vec<_>>(), [9]);
        assert_eq!(number(3, 3).count() + number(2, 3).count(), 0);
        assert_eq!(text("zb").collect::<Vec<_>>(), ["", "z", "aa"]);
        assert_eq!(text("aa").collect::<Vec<_>>(), ["", "a"]);
        assert_eq!(bytes(&[7]).collect::<Vec<_>>(), [vec![], vec![0]]);
        assert_eq!(bytes(&[0]).collect::<Vec<_>>(), [Vec::<u8>::new()]);
        assert_eq!(seconds(Duration::from_secs(5), 1).map(|time| time.as_secs()).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
