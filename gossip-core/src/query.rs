//! Queries: a question that all members get, and their answers.
//!
//! The question is a broadcast, so it reaches every member once. Each answers by a post straight to the asker: *received* if its
//! application takes its time, then its response, or that it has none. A query ends when every member that was asked has
//! answered or is gone, or when its time is over; whoever has not answered is named.
//!
//! Knows ids, stamps and times. Must not know addresses, messages, or how a question spreads.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Payload, Stamp};

/// Queries that this node asks at a time, including those whose answers were not all fetched.
const ASKED: usize = 64;
/// Questions that wait for an answer of the application.
const OPEN: usize = 256;
/// Time that the application has before the asker is told that the question has arrived.
const RECEIVED_AFTER: Duration = Duration::from_millis(200);
/// Parts of a query's time after which those that were not heard of are given the question once more.
const REMINDERS: u32 = 4;

/// Identifies a query.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId(pub Stamp);

/// Answer of one member to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The member.
    pub from: NodeId,
    /// Its answer.
    pub reply: Reply,
}

/// Content of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The question has arrived, the response is still to come.
    Received,
    /// The application's answer.
    Given(Payload),
    /// The application has no answer.
    Declined,
}

/// State of a query at its asker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of members that were asked, and of others that have answered.
    pub asked: usize,
    /// Number of those that have responded or declined.
    pub answered: usize,
    /// Members that have not: the living ones of which an answer is still waited for, and those that are gone.
    pub missing: Vec<NodeId>,
    /// No answer is waited for any more: all living members that were asked have answered, or the time is over.
    pub ended: bool,
}

/// Query of this node.
#[derive(Debug)]
struct Asked {
    /// Living members that have not answered.
    waiting: BTreeSet<NodeId>,
    /// Members that were asked, and died or left before they answered.
    gone: BTreeSet<NodeId>,
    received: BTreeSet<NodeId>,
    answered: BTreeSet<NodeId>,
    /// Answers that were not fetched.
    answers: VecDeque<Answer>,
    until: Instant,
    /// Time of the next reminder, and the pause after it.
    again: Instant,
    pause: Duration,
    ended: bool,
}

/// Question of another, or of this node's own, that its application has not answered.
#[derive(Debug)]
struct Open {
    id: QueryId,
    since: Instant,
    /// The asker was told that it has arrived.
    told: bool,
    until: Instant,
}

/// Step that is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Members to be given the question once more.
    pub(crate) reminded: Vec<(QueryId, NodeId)>,
    /// Questions whose askers are to be told that they have arrived.
    pub(crate) received: Vec<QueryId>,
    /// Queries that have ended.
    pub(crate) ended: Vec<QueryId>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Queries {
    asked: BTreeMap<QueryId, Asked>,
    open: VecDeque<Open>,
    /// Questions that were dropped since too many waited.
    dropped: u64,
    /// Answers to queries that are over, or that came twice.
    late: u64,
}

impl Queries {
    /// Begins a query. An ended one whose answers were not fetched makes room for it. Returns false if there is none.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.asked.len() >= ASKED
            && let Some(id) = self.asked.iter().find(|(_, asked)| asked.ended).map(|(id, _)| *id)
        {
            self.asked.remove(&id);
        }
        self.asked.len() < ASKED
    }

    pub(crate) const fn limit() -> usize {
        ASKED
    }

    /// Begins a query of these members.
    pub(crate) fn ask(&mut self, now: Instant, id: QueryId, members: BTreeSet<NodeId>, timeout: Duration) {
        let pause = timeout / REMINDERS;
        let asked = Asked {
            ended: members.is_empty(),
            waiting: members,
            gone: BTreeSet::new(),
            received: BTreeSet::new(),
            answered: BTreeSet::new(),
            answers: VecDeque::new(),
            until: now + timeout,
            again: now + pause,
            pause: pause.max(Duration::from_millis(1)),
        };
        self.asked.insert(id, asked);
    }

    /// Takes an answer in. Returns whether it is news, and ends the query if it was the last.
    pub(crate) fn on_answer(&mut self, id: QueryId, from: NodeId, reply: Reply) -> bool {
        let Some(asked) = self.asked.get_mut(&id).filter(|asked| !asked.ended && !asked.answered.contains(&from))
        else {
            self.late += 1;
            return false;
        };
        if reply == Reply::Received {
            if !asked.received.insert(from) {
                return false;
            }
        } else {
            asked.answered.insert(from);
            asked.received.remove(&from);
            asked.waiting.remove(&from);
            asked.gone.remove(&from);
            asked.ended = asked.waiting.is_empty();
        }
        asked.answers.push_back(Answer { from, reply });
        true
    }

    /// A member has died or left, or is back. Returns the queries that have ended by that.
    pub(crate) fn note_status(&mut self, id: NodeId, lives: bool) -> Vec<QueryId> {
        let mut ended = Vec::new();
        for (query, asked) in self.asked.iter_mut().filter(|(_, asked)| !asked.ended) {
            let (from, to) =
                if lives { (&mut asked.gone, &mut asked.waiting) } else { (&mut asked.waiting, &mut asked.gone) };
            if from.remove(&id) {
                to.insert(id);
            }
            if asked.waiting.is_empty() {
                asked.ended = true;
                ended.push(*query);
            }
        }
        ended
    }

    /// Takes the next answer.
    pub(crate) fn poll(&mut self, id: QueryId) -> Option<Answer> {
        self.asked.get_mut(&id)?.answers.pop_front()
    }

    pub(crate) fn progress(&self, id: QueryId) -> Option<Progress> {
        let Asked { waiting, gone, answered, ended, .. } = self.asked.get(&id)?;
        let missing: Vec<NodeId> = waiting.union(gone).copied().collect();
        Some(Progress { asked: answered.len() + missing.len(), answered: answered.len(), missing, ended: *ended })
    }

    /// Forgets a query: its answers are not wanted any more.
    pub(crate) fn forget(&mut self, id: QueryId) {
        self.asked.remove(&id);
    }

    /// A question has arrived, which may be answered until then.
    pub(crate) fn open(&mut self, now: Instant, id: QueryId, until: Instant) {
        if self.open.len() == OPEN {
            self.open.pop_front();
            self.dropped += 1;
        }
        self.open.push_back(Open { id, since: now, told: false, until });
    }

    /// Closes a question that the application answers. Returns false if it is not open.
    pub(crate) fn close(&mut self, id: QueryId) -> bool {
        let at = self.open.iter().position(|open| open.id == id);
        at.and_then(|at| self.open.remove(at)).is_some()
    }

    /// Returns whether a question is open.
    pub(crate) fn is_open(&self, id: QueryId) -> bool {
        self.open.iter().any(|open| open.id == id)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let asked = self.asked.values().filter(|asked| !asked.ended).map(|asked| asked.again.min(asked.until));
        let open = self.open.iter().map(|open| if open.told { open.until } else { open.since + RECEIVED_AFTER });
        asked.chain(open).min()
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        for (id, asked) in self.asked.iter_mut().filter(|(_, asked)| !asked.ended) {
            if asked.until <= now {
                asked.ended = true;
                due.ended.push(*id);
            } else if asked.again <= now {
                asked.again = now + asked.pause;
                due.reminded.extend(asked.waiting.difference(&asked.received).map(|member| (*id, *member)));
            }
        }
        self.open.retain(|open| now < open.until);
        for open in self.open.iter_mut().filter(|open| !open.told && open.since + RECEIVED_AFTER <= now) {
            open.told = true;
            due.received.push(open.id);
        }
        due
    }

    /// Ends everything: this node has left. Returns the queries that have ended by that.
    pub(crate) fn clear(&mut self) -> Vec<QueryId> {
        self.open.clear();
        let running = self.asked.iter_mut().filter(|(_, asked)| !asked.ended);
        running
            .map(|(id, asked)| {
                asked.ended = true;
                *id
            })
            .collect()
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) const fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_secs(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn id(counter: u32) -> QueryId {
        QueryId(Stamp { time: NOW, counter, node: NodeId::new(1) })
    }

    fn members(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId::new).collect()
    }

    fn given() -> Reply {
        Reply::Given(Payload([1].into()))
    }

    #[test]
    fn a_query_ends_with_the_last_answer_and_takes_each_once() {
        let mut queries = Queries::default();
        queries.ask(NOW, id(0), members([2, 3]), SECOND);
        assert!(queries.on_answer(id(0), NodeId::new(2), Reply::Received));
        assert!(!queries.on_answer(id(0), NodeId::new(2), Reply::Received));
        assert!(queries.on_answer(id(0), NodeId::new(2), given()));
        assert!(!queries.on_answer(id(0), NodeId::new(2), given()), "once");
        assert!(queries.on_answer(id(0), NodeId::new(9), given()), "one that was not known to live");
        let progress = queries.progress(id(0)).unwrap();
        assert_eq!((progress.asked, progress.answered, progress.ended), (3, 2, false));
        assert_eq!(progress.missing, [NodeId::new(3)]);
        assert!(queries.on_answer(id(0), NodeId::new(3), Reply::Declined));
        assert!(queries.progress(id(0)).unwrap().ended);
        assert_eq!(core::iter::from_fn(|| queries.poll(id(0))).count(), 4);
        assert!(!queries.on_answer(id(0), NodeId::new(3), given()), "it is over");
        assert_eq!((queries.late(), queries.due()), (2, None));
    }

    #[test]
    fn who_dies_is_missing_and_holds_nothing_up() {
        let mut queries = Queries::default();
        queries.ask(NOW, id(0), members([2, 3]), SECOND);
        queries.on_answer(id(0), NodeId::new(2), given());
        assert_eq!(queries.note_status(NodeId::new(3), false), [id(0)]);
        let progress = queries.progress(id(0)).unwrap();
        assert_eq!((progress.ended, progress.missing), (true, alloc::vec![NodeId::new(3)]));
        queries.ask(NOW, id(1), members([2, 3]), SECOND);
        assert_eq!(queries.note_status(NodeId::new(3), false), []);
        assert_eq!(queries.note_status(NodeId::new(3), true), []);
        queries.on_answer(id(1), NodeId::new(2), given());
        assert!(!queries.progress(id(1)).unwrap().ended, "it is back");
    }

    #[test]
    fn the_silent_are_reminded_and_the_end_comes_in_time() {
        let mut queries = Queries::default();
        queries.ask(NOW, id(0), members([2, 3]), SECOND);
        queries.on_answer(id(0), NodeId::new(2), Reply::Received);
        let (mut reminded, mut ended) = (0, 0);
        while let Some(due) = queries.due() {
            let Due { reminded: members, ended: now_ended, .. } = queries.tick(due);
            assert!(members.iter().all(|(_, member)| *member == NodeId::new(3)));
            reminded += members.len();
            ended += now_ended.len();
            assert!(due <= NOW + SECOND);
        }
        assert_eq!((reminded, ended), (3, 1));
        assert_eq!(queries.progress(id(0)).unwrap().missing.len(), 2);
    }

    #[test]
    fn what_is_open_is_bounded_and_the_asker_hears_of_it_once() {
        let mut queries = Queries::default();
        (0..300).for_each(|number| queries.open(NOW, id(number), NOW + 2 * SECOND));
        assert_eq!((queries.open.len(), queries.dropped()), (OPEN, 44));
        assert!(!queries.close(id(0)) && queries.close(id(299)) && !queries.close(id(299)));
        assert_eq!(queries.tick(NOW + RECEIVED_AFTER).received.len(), OPEN - 1);
        assert_eq!(queries.tick(NOW + SECOND).received.len(), 0);
        queries.tick(NOW + 2 * SECOND);
        assert_eq!(queries.due(), None);
        (0..300).for_each(|number| queries.ask(NOW, id(number), members([number.into()]), SECOND));
        assert!(!queries.has_room(), "all run");
    }
}
