//! Queries: asking members and gathering their answers, and answering. Knows the handle; must not know what is asked.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{BoxStream, unfold};
use futures_util::{Stream, StreamExt as _};
use gossip_core::{Address, Answer, Filter, NodeId, Payload, Progress, QueryId, Reply, SendError};

use crate::gossip::Gossip;
use crate::shared::Shared;

/// Periods of the protocol after which a query ends, unless it says otherwise.
const PERIODS: u32 = 10;

impl<A: Address> Gossip<A> {
    /// Begins a query: `gossip.query("who is master?").filter(Filter::ALL.tag("role", "db")).ask()`. The question reaches every member
    /// as a broadcast does, and must fit a datagram.
    pub fn query(&self, payload: impl AsRef<[u8]>) -> Query<'_, A> {
        let timeout = PERIODS * self.inspect(|node| node.config().probe.period);
        Query { gossip: self, payload: payload.as_ref().into(), filter: Filter::ALL, timeout }
    }

    /// Returns the questions of others, and of this node, from now on. Each goes to one of those that listen; one that is
    /// dropped without an answer is declined. Without a listener everything is declined at once.
    pub fn questions(&self) -> Questions<A>
    where
        A: Send + Sync + 'static,
    {
        self.shared.lock().listeners += 1;
        let listener = Arc::new(Listener(Arc::clone(&self.shared)));
        let next = async |listener: Arc<Listener<A>>| {
            let shared = &listener.0;
            let question = shared.until(|| {
                let mut state = shared.lock();
                let next = state.questions.pop_front();
                next.map(Some).or_else(|| state.end.is_some().then_some(None))
            });
            let (id, payload) = question.await?;
            Some((Question { id, payload, shared: Some(Arc::clone(shared)) }, listener))
        };
        Questions { questions: unfold(listener, next).boxed() }
    }
}

/// A query that has not begun.
#[derive(Debug)]
#[must_use = "nobody is asked before `ask` or `gather`"]
pub struct Query<'a, A: Address> {
    gossip: &'a Gossip<A>,
    payload: Vec<u8>,
    filter: Filter,
    timeout: Duration,
}

impl<A: Address + Send + Sync + 'static> Query<'_, A> {
    /// Chooses the members that are asked; all, unless this is called.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets the time after which no answer is waited for any more: ten periods of the protocol unless this is called.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks. The answers are a stream, which ends as soon as all that were asked and live have answered.
    ///
    /// # Errors
    /// [`SendError`]: too large, too many queries at a time, or this node has left; nobody was asked.
    pub fn ask(self) -> Result<Answers<A>, SendError> {
        let Self { gossip, payload, filter, timeout } = self;
        let id = gossip.shared.command(|state, now| state.node.query(now, &payload, &filter, timeout))?;
        Ok(Answers::of(gossip, id))
    }

    /// Asks, and waits for all answers.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn gather(self) -> Result<Gathered, SendError> {
        let mut answers = self.ask()?;
        let mut gathered = Gathered::default();
        while let Some(Answer { from, reply, .. }) = answers.next().await {
            match reply {
                Reply::Given(payload) => gathered.responses.push((from, payload)),
                Reply::Declined => gathered.declined.push(from),
                Reply::Received => {}
            }
        }
        gathered.missing = answers.progress().missing;
        Ok(gathered)
    }
}

/// All answers to a query, from [`Query::gather`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gathered {
    /// Responses, in the order in which they came.
    pub responses: Vec<(NodeId, Payload)>,
    /// Members that have no answer.
    pub declined: Vec<NodeId>,
    /// Members that were asked and have not answered in time, or are gone.
    pub missing: Vec<NodeId>,
}

/// A query under way. When it is dropped, its answers are not wanted any more.
struct Asked<A: Address> {
    shared: Arc<Shared<A>>,
    id: QueryId,
}

impl<A: Address> Drop for Asked<A> {
    fn drop(&mut self) {
        self.shared.lock().node.forget_query(self.id);
    }
}

/// Answers to a query, from [`Query::ask`]: of each member that it takes its time, at most once, then its response or that it has
/// none. Ends when all have answered, or in time, or with the node's task.
///
/// Dropping a wait for the next one loses nothing.
pub struct Answers<A: Address> {
    answers: BoxStream<'static, Answer>,
    asked: Arc<Asked<A>>,
}

impl<A: Address + Send + Sync + 'static> Answers<A> {
    /// Answers to a query that has begun.
    pub(crate) fn of(gossip: &Gossip<A>, id: QueryId) -> Self {
        let asked = Arc::new(Asked { shared: Arc::clone(&gossip.shared), id });
        let next = async |asked: Arc<Asked<A>>| {
            let next = asked.shared.until(|| {
                let mut state = asked.shared.lock();
                if let Some(answer) = state.node.poll_answer(asked.id) {
                    return Some(Some(answer));
                }
                let over = state.end.is_some() || state.node.query_progress(asked.id).is_none_or(|now| now.ended);
                over.then_some(None)
            });
            let answer = next.await?;
            Some((answer, asked))
        };
        Self { answers: unfold(Arc::clone(&asked), next).boxed(), asked }
    }

    /// Waits for the next answer; none after the last. Same as `StreamExt::next`, without that trait.
    pub async fn next(&mut self) -> Option<Answer> {
        self.answers.next().await
    }

    /// Returns who was asked, and who has not answered.
    pub fn progress(&self) -> Progress {
        self.asked.shared.lock().node.query_progress(self.asked.id).unwrap_or_default()
    }
}

impl<A: Address> Stream for Answers<A> {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.answers.poll_next_unpin(cx)
    }
}

impl<A: Address> fmt::Debug for Answers<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("query", &self.asked.id).finish_non_exhaustive()
    }
}

/// One that listens to questions.
struct Listener<A: Address>(Arc<Shared<A>>);

impl<A: Address> Drop for Listener<A> {
    fn drop(&mut self) {
        self.0.command(|state, now| {
            state.listeners -= 1;
            if state.listeners == 0 {
                for (id, _) in std::mem::take(&mut state.questions) {
                    // It may be over.
                    let _ = state.node.answer(now, id, None);
                }
            }
        });
    }
}

/// Questions to this node, from [`Gossip::questions`]. Ends when the node's task does.
pub struct Questions<A: Address> {
    questions: BoxStream<'static, Question<A>>,
}

impl<A: Address> Questions<A> {
    /// Waits for the next question; none after the last. Same as `StreamExt::next`, without that trait.
    pub async fn next(&mut self) -> Option<Question<A>> {
        self.questions.next().await
    }
}

impl<A: Address> Stream for Questions<A> {
    type Item = Question<A>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Question<A>>> {
        self.questions.poll_next_unpin(cx)
    }
}

impl<A: Address> fmt::Debug for Questions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

/// A question to this node. Declined when it is dropped without an answer.
#[must_use = "a question that is dropped is declined"]
pub struct Question<A: Address> {
    id: QueryId,
    payload: Payload,
    /// None when it is answered.
    shared: Option<Arc<Shared<A>>>,
}

impl<A: Address> Question<A> {
    /// Returns the identity of the query.
    pub const fn id(&self) -> QueryId {
        self.id
    }

    /// Returns the member that asks.
    pub const fn from(&self) -> NodeId {
        self.id.0.node
    }

    /// Returns what is asked.
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Answers. The answer is repeated until the asker has taken it in.
    ///
    /// # Errors
    /// [`SendError`]: too large for a datagram, or the query is over; the question is declined then.
    pub fn respond(mut self, payload: impl AsRef<[u8]>) -> Result<(), SendError> {
        let Some(shared) = &self.shared else { return Err(SendError::NotOpen) };
        shared.command(|state, now| state.node.answer(now, self.id, Some(payload.as_ref())))?;
        self.shared = None;
        Ok(())
    }
}

impl<A: Address> Drop for Question<A> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            // It may be over.
            let _ = shared.command(|state, now| state.node.answer(now, self.id, None));
        }
    }
}

impl<A: Address> fmt::Debug for Question<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("id", &self.id).field("payload", &self.payload).finish_non_exhaustive()
    }
}
