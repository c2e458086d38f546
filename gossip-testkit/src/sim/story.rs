//! A run told briefly: what users and faults did, the moment from which two views differ, and what changed a node.
//! Datagrams that changed nothing are counted.

use std::fmt::Write as _;

use gossip_core::Instant;

use crate::address::Addr;

/// Lines of a story, unless more are needed for commands and faults.
const LINES: usize = 40;

/// Sort of a line of the trace.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A process starts or ends, a user speaks, a fault begins, or a datagram is lost that the scenario names.
    Action,
    /// A datagram is sent, and not lost.
    Sent,
    /// A datagram is lost by chance or by a cut.
    Lost,
    /// A datagram arrives or is refused.
    Arrival,
    /// A machine tells its user something.
    Event,
}

#[derive(Debug)]
enum Entry {
    /// A line that is always told.
    Action(String),
    /// A line that is told if it is near the moment.
    Change(String),
    /// Datagrams that arrived and changed nothing, datagrams lost, and lines left out.
    Quiet { arrived: usize, lost: usize, more: usize },
}

/// The story of a run, as it is recorded.
#[derive(Debug, Default)]
pub(crate) struct Story {
    entries: Vec<Entry>,
    /// Lines of the step under way.
    step: Vec<(Kind, String)>,
    /// Number of entries before the two views began to differ, if they do now, with the line that says so.
    moment: Option<(usize, String)>,
}

impl Story {
    pub(crate) fn line(&mut self, kind: Kind, line: String) {
        self.step.push((kind, line));
    }

    /// Ends a step. `changed` says whether it has changed what the node holds that it was about.
    pub(crate) fn end_step(&mut self, at: Instant, touched: Option<Addr>, changed: bool) {
        let mut shown = false;
        for (kind, line) in std::mem::take(&mut self.step) {
            match kind {
                Kind::Action => {
                    shown = true;
                    self.entries.push(Entry::Action(line));
                }
                Kind::Arrival if changed => {
                    shown = true;
                    self.entries.push(Entry::Change(line));
                }
                Kind::Event => self.entries.push(Entry::Change(line)),
                Kind::Arrival => self.quiet(1, 0, 0),
                Kind::Lost => self.quiet(0, 1, 0),
                Kind::Sent => {}
            }
        }
        if let Some(node) = touched.filter(|_| changed && !shown) {
            self.entries.push(Entry::Change(format!("{at} {node} changes what it holds as time passes")));
        }
    }

    /// Notes whether two nodes hold different items after a step.
    pub(crate) fn compare(&mut self, at: Instant, (a, b): (Addr, Addr), differ: bool) {
        if !differ {
            self.moment = None;
        } else if self.moment.is_none() {
            let line = format!("{at} --- from here on {a} and {b} hold different items ---");
            self.moment = Some((self.entries.len(), line));
        }
    }

    fn quiet(&mut self, arrived: usize, lost: usize, more: usize) {
        // What is counted after the moment is not added to what was counted before.
        if self.moment.as_ref().is_some_and(|(at, _)| *at == self.entries.len()) {
            self.entries.push(Entry::Quiet { arrived, lost, more });
        } else {
            push_quiet(&mut self.entries, arrived, lost, more);
        }
    }

    /// Returns the lines: all actions, and the changes nearest to the moment, or to the end if there is none.
    pub(crate) fn lines(mut self) -> Vec<String> {
        self.end_step(Instant::ORIGIN, None, false);
        let moment = self.moment.as_ref().map_or(self.entries.len(), |(at, _)| *at);
        let entries = &self.entries;
        let of = |wanted: fn(&Entry) -> bool| (0..entries.len()).filter(move |&at| wanted(&entries[at]));
        let actions = of(|entry| matches!(entry, Entry::Action(_))).count();
        let mut changes: Vec<usize> = of(|entry| matches!(entry, Entry::Change(_))).collect();
        changes.sort_by_key(|&at| at.abs_diff(moment));
        changes.truncate(LINES.saturating_sub(actions));
        let (mut told, all) = (Vec::new(), self.entries.len());
        for (at, entry) in self.entries.into_iter().enumerate() {
            if let Some((_, line)) = self.moment.as_ref().filter(|(before, _)| *before == at) {
                told.push(Entry::Action(line.clone()));
            }
            match entry {
                Entry::Change(_) if !changes.contains(&at) => push_quiet(&mut told, 0, 0, 1),
                Entry::Quiet { arrived, lost, more } => push_quiet(&mut told, arrived, lost, more),
                entry => told.push(entry),
            }
        }
        if let Some((_, line)) = self.moment.filter(|(before, _)| *before == all) {
            told.push(Entry::Action(line));
        }
        told.into_iter().map(text).collect()
    }
}

fn push_quiet(entries: &mut Vec<Entry>, arrived: usize, lost: usize, more: usize) {
    if let Some(Entry::Quiet { arrived: a, lost: l, more: m }) = entries.last_mut() {
        (*a, *l, *m) = (*a + arrived, *l + lost, *m + more);
    } else {
        entries.push(Entry::Quiet { arrived, lost, more });
    }
}

fn text(entry: Entry) -> String {
    let Entry::Quiet { arrived, lost, more } = entry else {
        let (Entry::Action(line) | Entry::Change(line)) = entry else { unreachable!("it is one of the three") };
        return line;
    };
    let mut parts = Vec::new();
    for (count, one, many) in [
        (arrived, "datagram changes nothing", "datagrams change nothing"),
        (lost, "datagram is lost", "datagrams are lost"),
        (more, "line is left out", "lines are left out"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    let mut line = String::from("         ... ");
    // Writing to a string cannot fail.
    let _ = write!(line, "{}", parts.join(", "));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn a_story_tells_the_moment_and_counts_what_changed_nothing() {
        let mut story = Story::default();
        let nodes = (Addr(0), Addr(1));
        story.line(Kind::Action, "0 did put".into());
        story.line(Kind::Lost, "0 sends".into());
        story.end_step(at(1), Some(Addr(0)), true);
        story.compare(at(1), nodes, true);
        for _ in 0..3 {
            story.line(Kind::Arrival, "1 receives".into());
            story.line(Kind::Sent, "1 sends".into());
            story.end_step(at(2), Some(Addr(1)), false);
            story.compare(at(2), nodes, true);
        }
        story.end_step(at(3), Some(Addr(1)), true);
        let expected = [
            "0 did put",
            "         ... 1 datagram is lost",
            "1.000000 --- from here on 0 and 1 hold different items ---",
            "         ... 3 datagrams change nothing",
            "3.000000 1 changes what it holds as time passes",
        ];
        assert_eq!(story.lines(), expected);
    }

    #[test]
    fn all_that_was_done_is_told_and_of_the_rest_what_is_near_the_moment() {
        let mut story = Story::default();
        for number in 0..200 {
            story.line(Kind::Event, format!("event {number}"));
            if number % 20 == 0 {
                story.line(Kind::Action, format!("action {number}"));
            }
            story.end_step(at(number), Some(Addr(0)), false);
            story.compare(at(number), (Addr(0), Addr(1)), (50..60).contains(&number) || number >= 100);
        }
        let lines = story.lines();
        assert_eq!(lines.iter().filter(|line| line.starts_with("action")).count(), 10);
        assert_eq!(lines.iter().filter(|line| line.starts_with("event")).count(), LINES - 10);
        assert!(lines.contains(&"event 100".to_owned()) && !lines.contains(&"event 55".to_owned()));
        assert_eq!(lines.iter().filter(|line| line.contains("from here on 0 and 1")).count(), 1);
    }
}
