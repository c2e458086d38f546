//! Trace of a run: a running hash always, lines of text when somebody will read them.

use std::collections::VecDeque;
use std::fmt;

use gossip_core::Instant;

use super::story::{Kind, Story};
use crate::coin::mix;

/// Lines that are kept.
#[derive(Debug, Default)]
enum Record {
    #[default]
    Nothing,
    /// The last lines, at most so many.
    Last(usize, VecDeque<String>),
    Story(Story),
}

/// The trace of a run. Equal runs have equal hashes.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    record: Record,
}

impl Trace {
    /// Keeps the last `keep` lines.
    pub(crate) fn record(&mut self, keep: usize) {
        self.record = if keep > 0 { Record::Last(keep, VecDeque::new()) } else { Record::Nothing };
    }

    /// Keeps the story.
    pub(crate) fn tell(&mut self) {
        self.record = Record::Story(Story::default());
    }

    pub(crate) fn mix(&mut self, at: Instant, words: [u64; 2]) {
        self.hash = mix(self.hash ^ at.as_micros()).wrapping_add(words[0]);
        self.hash = mix(self.hash).wrapping_add(words[1]);
    }

    pub(crate) fn line(&mut self, at: Instant, kind: Kind, line: impl FnOnce(&mut String) -> fmt::Result) {
        if matches!(self.record, Record::Nothing) {
            return;
        }
        let mut text = format!("{at} ");
        // Writing to a string cannot fail.
        let _ = line(&mut text);
        match &mut self.record {
            Record::Nothing => {}
            Record::Last(keep, lines) => {
                if lines.len() == *keep {
                    lines.pop_front();
                }
                lines.push_back(text);
            }
            Record::Story(story) => story.line(kind, text),
        }
    }

    /// The story, if one is kept.
    pub(crate) fn story(&mut self) -> Option<&mut Story> {
        match &mut self.record {
            Record::Story(story) => Some(story),
            Record::Nothing | Record::Last(..) => None,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        match std::mem::take(&mut self.record) {
            Record::Nothing => Vec::new(),
            Record::Last(_, lines) => lines.into(),
            Record::Story(story) => story.lines(),
        }
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
                trace.line(Instant::ORIGIN, Kind::Sent, |line| fmt::Write::write_fmt(line, format_args!("{number}")));
            }
            assert_eq!(trace.take_lines(), expected);
        }
    }
}
