//! What happened: a running hash always, lines of text when somebody will read them.

use std::collections::VecDeque;
use std::fmt;

use gossip_core::Instant;

use crate::coin::mix;

/// The trace of a run. Equal runs have equal hashes.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
    keep: usize,
}

impl Trace {
    /// Keeps the last `keep` lines.
    pub(crate) fn record(&mut self, keep: usize) {
        self.keep = keep;
        self.lines = (keep > 0).then(VecDeque::new);
    }

    pub(crate) fn mix(&mut self, at: Instant, words: [u64; 2]) {
        self.hash = mix(self.hash ^ at.as_micros()).wrapping_add(words[0]);
        self.hash = mix(self.hash).wrapping_add(words[1]);
    }

    pub(crate) fn line(&mut self, at: Instant, line: impl FnOnce(&mut String) -> fmt::Result) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == self.keep {
                lines.pop_front();
            }
            let mut text = format!("{at} ");
            // Writing to a string cannot fail.
            let _ = line(&mut text);
            lines.push_back(text);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().map(Vec::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_none_if_none_are_asked_for() {
        let mut trace = Trace::default();
        for (keep, expected) in [(2, &["0.000000 3", "0.000000 4"][..]), (0, &[])] {
            trace.record(keep);
            for number in 0..5 {
                trace.line(Instant::ORIGIN, |line| fmt::Write::write_fmt(line, format_args!("{number}")));
            }
            assert_eq!(trace.take_lines(), expected);
        }
    }
}
