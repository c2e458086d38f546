//! Summaries: what a replica says of its set and of its past, and when it answers one.

use core::time::Duration;

use super::cut::{is_costly, is_fair, later};
use super::{AntiEntropy, Context, DOUBT_TOLD};
use crate::absence::Knowledge;
use crate::address::Address;
use crate::outbox::TrafficClass;
use crate::replica::{Cut, NEVER, Range};
use crate::wire::{Answer, COUNTS, Repair, State, Summary};

impl<A: Address> AntiEntropy<A> {
    /// Describes the set at a cut.
    pub(super) fn summary(&self, cut: Cut, answer: Answer, context: &Context<'_, A>) -> Repair<A> {
        let (count, fingerprint) = context.replica.summary(cut);
        let partial = self.fruitless.is_partial(context.now);
        let knows = match context.absence.knowledge(context.replica.reach(), context.now) {
            // At rest nobody has to know, and what is refused is lacking.
            Knowledge::Complete { .. } if answer == Answer::No || partial => Knowledge::Unsaid,
            // It would be answered even by those who hold the same. Where something differs, the answer tells of the peer's
            // past, what is in doubt is kept back, and the next question is not calm.
            Knowledge::InDoubt(_)
                if answer == Answer::No && self.pace.is_calm() && !self.questions.is_multiple_of(DOUBT_TOLD) =>
            {
                Knowledge::Unsaid
            }
            knows => knows,
        };
        Repair::Summary(Summary { cut, count, fingerprint, state: State { partial, knows }, answer })
    }

    /// Handles a Summary, which begins an exchange or answers one begun here. `known`: the peer's address is proved. Returns
    /// the round trip of an answer.
    pub(crate) fn on_summary(
        &mut self,
        from: &A,
        theirs: Summary,
        known: bool,
        context: &mut Context<'_, A>,
    ) -> Option<Duration> {
        if theirs.answer != Answer::No {
            // This node's own question, and by now a second may have passed: the cut is the one of the answer.
            let near = theirs.cut.kept == NEVER || !context.replica.is_far(theirs.cut.kept);
            let fair = is_fair(theirs.cut, context.replica, context.clock) && near;
            return if fair { self.proceed(from, theirs.cut, theirs, context) } else { None };
        }
        let cut = later(theirs.cut, context.replica, context.clock);
        let (count, fingerprint) = context.replica.summary(cut);
        if self.fruitless.is_partial(context.now) {
            context.absence.note_refused(context.clock);
        }
        context.absence.meet(theirs.state.knows, context.now);
        // Two whose cuts differ may hold the same and summarise it differently, but what differs by that has an end.
        let equal = (count, fingerprint) == (theirs.count, theirs.fingerprint);
        if equal {
            context.touch(theirs.cut.at);
            context.absence.agree();
        }
        // One in doubt waits for an answer also then.
        let silent =
            if equal { theirs.state.knows == Knowledge::Unsaid } else { self.is_busy(from, cut, theirs, context) };
        if silent {
            return None;
        }
        let token = context.trust.token(from, context.now);
        let answer = if known && !equal && !is_costly(cut) {
            let mut counts = [0; COUNTS];
            let symbols = context.replica.sketch(Range::ALL, COUNTS, cut);
            counts.iter_mut().zip(symbols.counts()).for_each(|(to, count)| *to = count);
            Answer::Full { token, counts }
        } else {
            Answer::Brief { token }
        };
        let summary = self.summary(cut, answer, context);
        context.outbox.message(TrafficClass::AntiEntropy, from.clone(), summary);
        None
    }

    /// Returns true if this node must not answer: one exchange at a time (Demers' connection limit), or the same items
    /// would be fetched twice.
    fn is_busy(&self, from: &A, cut: Cut, theirs: Summary, context: &Context<'_, A>) -> bool {
        let crossing = || {
            // If both have asked at the same time, only one of the two exchanges continues.
            let asked = self.asked.iter().find(|(asked, _)| asked == from);
            asked.is_some_and(|(_, at)| context.now.since(*at) < self.patience())
                && context.replica.summary(cut).1 < theirs.fingerprint
        };
        self.exchange.is_some() || self.catch_up.as_ref().is_some_and(|catch_up| !catch_up.is_orphaned()) || crossing()
    }
}
