//! Queries: asking all members, and answering.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::time::Duration;

use super::Node;
use super::events::Message as Delivered;
use crate::address::Address;
use crate::error::SendError;
use crate::event::Status;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::query::{Answer, Due, Progress, Queries, QueryId, Reply};
use crate::time::Instant;
use crate::update::{Asks, Filter, Payload, Stamp, Topic};
use crate::wire::Content;

/// Time within which an answer reaches the asker, or is given up.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

impl<A: Address> Node<A> {
    /// Asks the members that `filter` chooses, this one included if it does. The question spreads as a
    /// [broadcast](Self::broadcast) does; each of them gets [`Event::Query`](crate::Event::Query) once and
    /// [answers](Self::answer). [`Event::Answers`](crate::Event::Answers) tells that there are answers to
    /// [fetch](Self::poll_answer). It ends when all of them that live have answered, or after `timeout`.
    ///
    /// # Errors
    /// [`SendError`]; nobody was asked then.
    pub fn query(
        &mut self,
        now: Instant,
        payload: &[u8],
        filter: &Filter,
        timeout: Duration,
    ) -> Result<QueryId, SendError> {
        self.ask(now, payload, Asks { filter: filter.clone(), topic: Topic::Application }, timeout)
    }

    /// Asks the application or the node of those that are chosen.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        payload: &[u8],
        asks: Asks,
        timeout: Duration,
    ) -> Result<QueryId, SendError> {
        if !self.queries.has_room() {
            return Err(SendError::Busy { held: Queries::limit(), limit: Queries::limit() });
        }
        let asks = Arc::new(asks);
        let stamp = self.spread_message(now, payload, Some(Arc::clone(&asks)))?;
        let filter = &asks.filter;
        let id = QueryId(stamp);
        let lives = |id: &NodeId| self.correspondent(*id).is_some();
        let members = self.detector.members().iter().map(|seen| seen.id).filter(lives);
        let mut asked: BTreeSet<NodeId> = members
            .filter(|id| self.replica.member(*id).is_some_and(|record| filter.chooses(*id, record.about.as_ref())))
            .collect();
        let own = filter.chooses(self.identity.id, self.identity.about.as_ref());
        if own {
            asked.insert(self.identity.id);
        }
        let nobody = asked.is_empty();
        self.queries.ask(self.now, id, asked, timeout);
        if nobody {
            self.events.answers(id);
        }
        if own {
            self.on_question(id, &asks, Payload(payload.into()));
        }
        Ok(id)
    }

    /// Takes the next answer to a query of this node.
    pub fn poll_answer(&mut self, query: QueryId) -> Option<Answer> {
        self.queries.poll(query)
    }

    /// Returns the state of a query of this node; none if it was forgotten.
    pub fn query_progress(&self, query: QueryId) -> Option<Progress> {
        self.queries.progress(query)
    }

    /// Forgets a query of this node: what still comes is dropped. At most 64 are remembered; of those that have ended the
    /// oldest makes room.
    pub fn forget_query(&mut self, query: QueryId) {
        self.queries.forget(query);
    }

    /// Answers a query, once; with no payload it declines, so that the asker need not wait. The answer is repeated until the asker has
    /// taken it in.
    ///
    /// # Errors
    /// [`SendError`]: the query is not open here, or the answer does not fit a datagram, which leaves it open.
    pub fn answer(&mut self, now: Instant, query: QueryId, payload: Option<&[u8]>) -> Result<(), SendError> {
        self.advance(now);
        let asker = self.correspondent(query.0.node);
        self.check_size(payload.map_or(0, <[u8]>::len), asker.as_ref())?;
        if !self.queries.is_open(query) {
            return Err(SendError::NotOpen);
        }
        let stamp = query.0;
        if stamp.node == self.identity.id {
            self.queries.close(query);
            let reply = payload.map_or(Reply::Declined, |payload| Reply::Given(Payload(payload.into())));
            self.on_answer(query, stamp.node, reply);
            return Ok(());
        }
        let content = payload.map_or(Content::Declined(stamp), |payload| Content::Response(stamp, payload.into()));
        // It stays open where there is no room, so that it can be answered a little later.
        self.post(stamp.node, content, None, ANSWERED_WITHIN)?;
        self.queries.close(query);
        Ok(())
    }

    /// A question has arrived.
    pub(super) fn on_question(&mut self, id: QueryId, asks: &Asks, payload: Payload) {
        if !asks.filter.chooses(self.identity.id, self.identity.about.as_ref()) {
            return;
        }
        self.queries.open(self.now, id, self.now + self.config.lifetimes.broadcast);
        match asks.topic {
            Topic::Application => self.events.message(Delivered::Query(id, payload)),
            Topic::Keys => {
                #[cfg(feature = "encryption")]
                let answer = self.answer_about_keys(&payload);
                #[cfg(not(feature = "encryption"))]
                let answer: Option<alloc::vec::Vec<u8>> = None;
                if self.answer(self.now, id, answer.as_deref()).is_err() {
                    // Its asker is not known here yet: it asks again.
                    self.queries.close(id);
                }
            }
        }
    }

    pub(super) fn on_answer(&mut self, query: QueryId, from: NodeId, reply: Reply) {
        if self.queries.on_answer(query, from, reply) {
            self.events.answers(query);
        }
    }

    pub(super) fn tick_queries(&mut self) {
        let Due { reminded, received, ended } = self.queries.tick(self.now);
        for (query, member) in reminded {
            let key = self.replica.hasher.broadcast(&query.0);
            if let Some(address) = self.correspondent(member) {
                self.outbox.push(TrafficClass::Rumor, address, Intent::Fact(key));
            }
        }
        for query in received {
            let asker = query.0.node;
            if asker == self.identity.id {
                self.on_answer(query, asker, Reply::Received);
            } else if self.post(asker, Content::Received(query.0), None, ANSWERED_WITHIN).is_err() {
                // The asker is gone, or waits for the response itself.
                self.stats.unicasts_given_up += 1;
            }
        }
        ended.into_iter().for_each(|query| self.events.answers(query));
    }

    /// A member may have died, left or come back.
    pub(super) fn note_asked(&mut self, id: NodeId) {
        let status = self.detector.members().get(id).map(|seen| seen.status);
        let lives = matches!(status, Some(Status::Alive | Status::Suspect));
        for query in self.queries.note_status(id, lives) {
            self.events.answers(query);
        }
    }

    pub(super) fn end_queries(&mut self) {
        for query in self.queries.clear() {
            self.events.answers(query);
        }
    }
}

/// Sorts the content of a post: a message for the application, or an answer to the query of a stamp.
pub(super) fn reply(content: Content) -> Result<Payload, (Stamp, Reply)> {
    match content {
        Content::Payload(payload) => Ok(Payload(payload)),
        Content::Received(stamp) => Err((stamp, Reply::Received)),
        Content::Response(stamp, payload) => Err((stamp, Reply::Given(Payload(payload)))),
        Content::Declined(stamp) => Err((stamp, Reply::Declined)),
    }
}
