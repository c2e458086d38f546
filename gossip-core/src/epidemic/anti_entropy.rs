//! Anti-entropy (Demers et al., section 1.3), at a cost that follows the difference.
//!
//! Two replicas compare summaries. If they differ, the initiator sends coded symbols of its items. The responder, which
//! keeps no session, decodes what each side lacks. A difference too large for one sketch is split by ranges of the hash
//! space. A replica that lacks nearly everything pulls it page by page ([`catch_up`]).
//!
//! A node that was away for so long that the others may have forgotten deletions is *in doubt* about what it held
//! ([`crate::absence`]). It sends none of that to a *witness*, a peer that was there all the time: it asks which of it the
//! witness lacks, and hands those over to be set aside. A [`Meeting`] says which of the two is in doubt, if any.
//!
//! Knows items by their hashes. Must not know the meaning of an update or the member list.

mod catch_up;
mod cut;
mod exchange;
mod fruitless;
mod pace;
mod rivals;
mod summary;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use rand::Rng;

use super::pull::Patience;
use super::transfer::{descriptor_within, wire_len};
use crate::absence::{Absence, Meeting};
use crate::address::Address;
use crate::config;
use crate::outbox::{Intent, Outbox, TrafficClass};
use crate::path_mtu::PathMtu;
use crate::replica::{CELLS, Cut, Range, Replica};
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::trust::Trust;
use crate::update::Update;
use crate::wire::{
    Answer, COUNTS, Decoded, Prefixes, PullRequest, Repair, Split, State, Summary, Symbols, Tokens, Want,
};

pub(crate) use catch_up::compose_page;
use catch_up::{CatchUp, is_cheaper_whole};
use cut::{is_fair, own};
use exchange::{Exchange, Part, Retry, UNKNOWN, cells_for, most_cells, signed_difference};
use fruitless::Fruitless;
use pace::Pace;
use rivals::Wanted;

/// Peers whose answer to a summary is awaited, at most.
const ASKED: usize = 16;
/// Age below which data is still in flight by direct mail and as a rumor, and would be sent twice.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// A node at rest tells of its doubt in one of so many questions. Nodes that were restarted together may all be in doubt for an hour.
const DOUBT_TOLD: u32 = 8;

/// Items with a common prefix examined per wanted prefix. More share one in fewer than two of a million cases.
const ALIKE: usize = 4;

/// State that an exchange works with.
pub(crate) struct Context<'a, A> {
    pub(crate) now: Instant,
    /// Agreed time.
    pub(crate) clock: Instant,
    /// The hybrid clock.
    pub(crate) mark: Instant,
    pub(crate) replica: &'a Replica<A>,
    pub(crate) absence: &'a mut Absence,
    pub(crate) outbox: &'a mut Outbox<A>,
    pub(crate) trust: &'a mut Trust<A>,
    pub(crate) paths: &'a mut PathMtu<A>,
}

impl<A> Context<'_, A> {
    /// Takes note that a peer, at whose second `peer` of agreed time both compared, holds the same as this node.
    fn touch(&mut self, peer: u32) {
        self.absence.touch(self.now, peer, self.clock, self.mark);
    }
}

/// Outcome of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PageOutcome {
    pub(crate) items: usize,
    /// Number of updates that were new.
    pub(crate) news: usize,
    /// Number of updates that are neither here nor new: they arrive through another mechanism later.
    pub(crate) later: usize,
}

/// Progress of catching up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) done: bool,
}

/// A peer whose sketches showed items that this node lacks, and that was asked for them.
#[derive(Debug)]
struct Supplier<A> {
    peer: A,
    first_asked: Instant,
    asked: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct AntiEntropy<A> {
    settings: config::AntiEntropy,
    /// Bytes of messages that a datagram holds, and the number of cells.
    room: usize,
    most_cells: usize,
    pace: Pace,
    /// Peers that were sent a summary, with the time.
    asked: VecDeque<(A, Instant)>,
    /// Number of questions so far.
    questions: u32,
    exchange: Option<Exchange<A>>,
    giver: Option<Supplier<A>>,
    wanted: Option<Wanted<A>>,
    catch_up: Option<CatchUp<A>>,
    /// Fingerprint of this replica if the last pull of everything brought nothing new: only the peers lack items.
    fruitless_at: Option<u64>,
    /// Progress not reported yet, and the last that was reported.
    news: Option<Progress>,
    told: u64,
    fruitless: Fruitless,
    /// Hashes of items in doubt that a witness lacks.
    doubtful: Vec<u64>,
    /// True if an exchange is due and begins with the next ping.
    waits_for_ping: bool,
    patience: Patience,
}

impl<A: Address> AntiEntropy<A> {
    /// `room`: bytes of messages that a datagram holds. `patience`: time to wait for an answer at first.
    pub(crate) fn new(settings: config::AntiEntropy, room: usize, patience: Duration) -> Self {
        Self {
            pace: Pace::new(settings.interval),
            fruitless: Fruitless::new(settings.interval),
            settings,
            room,
            most_cells: most_cells(room),
            asked: VecDeque::new(),
            questions: 0,
            exchange: None,
            giver: None,
            wanted: None,
            catch_up: None,
            fruitless_at: None,
            news: None,
            told: 0,
            doubtful: Vec::new(),
            waits_for_ping: false,
            patience: Patience::new(patience),
        }
    }

    /// Sets the number of bytes of messages that a datagram holds.
    #[cfg(feature = "encryption")]
    pub(crate) fn set_room(&mut self, room: usize) {
        (self.room, self.most_cells) = (room, most_cells(room));
    }

    // Time.

    /// Returns the time of the next action.
    pub(crate) fn due(&self) -> Option<Instant> {
        let retries = self.exchange.as_ref().and_then(|exchange| exchange.due(self.patience()));
        let pull = self.catch_up.as_ref().map(|catch_up| catch_up.due(self.patience()));
        let wanted = self.wanted.as_ref().map(|wanted| wanted.due(self.patience()));
        self.pace.due().into_iter().chain(retries).chain(pull).chain(wanted).min()
    }

    /// Returns true if an exchange is due, and sets the time of the next one.
    pub(crate) fn begins(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        self.pace.begins(now, self.patience(), rng)
    }

    /// Returns whether the exchange that begins may wait for a ping to ride on: nothing is known to be missing.
    pub(crate) const fn is_calm(&self) -> bool {
        self.pace.is_calm() && self.exchange.is_none() && self.catch_up.is_none()
    }

    /// Lets the next ping take a summary along.
    pub(crate) const fn wait_for_ping(&mut self) {
        self.waits_for_ping = true;
    }

    /// Returns whether a ping that is sent now takes a summary along.
    pub(crate) const fn rides_on_ping(&mut self) -> bool {
        core::mem::replace(&mut self.waits_for_ping, false)
    }

    /// Retries what was not answered.
    pub(crate) fn retry(&mut self, context: &mut Context<'_, A>) {
        let patience = self.patience.get();
        if let Some(exchange) = &mut self.exchange {
            if exchange.is_stuck(context.now, patience) {
                context.paths.doubt(context.now, &exchange.peer);
            }
            let fair = is_fair(exchange.cut, context.replica, context.clock);
            match exchange.retry(context.now, patience) {
                Retry::Again(parts) if fair => {
                    for part in parts {
                        self.send_sketch(part, context);
                    }
                    self.pump(context);
                }
                Retry::Again(_) | Retry::Gone => {
                    self.exchange = None;
                    self.pace.hurry(context.now, patience);
                }
            }
        }
        if let Some(mut wanted) = self.wanted.take_if(|wanted| context.now >= wanted.due(patience))
            && wanted.ask_again(context)
        {
            self.note_giver(&wanted.peer, context.now);
            self.wanted = Some(wanted);
        }
        if let Some(catch_up) = &mut self.catch_up
            && context.now >= catch_up.due(patience)
        {
            let goes_on = catch_up.ask_again(context);
            if catch_up.is_orphaned() {
                self.pace.hurry(context.now, patience);
            }
            if !goes_on {
                self.end_catch_up();
            }
        }
    }

    /// Returns the time to wait for an answer.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience.get()
    }

    // The initiator.

    /// Begins an exchange: sends a peer the summary of this replica.
    pub(crate) fn begin(&mut self, to: &A, context: &mut Context<'_, A>) {
        self.asked.retain(|(asked, _)| asked != to);
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((to.clone(), context.now));
        self.questions = self.questions.wrapping_add(1);
        let summary = self.summary(own(context.replica, context.clock), Answer::No, context);
        context.outbox.message(TrafficClass::AntiEntropy, to.clone(), summary);
    }

    /// Continues with a peer that holds something else: finds the difference. Returns the round trip of the question.
    fn proceed(&mut self, from: &A, cut: Cut, theirs: Summary, context: &mut Context<'_, A>) -> Option<Duration> {
        let (token, counts) = match theirs.answer {
            Answer::No => return None,
            Answer::Brief { token } => (token, None),
            Answer::Full { token, counts } => (token, Some(counts)),
        };
        let at = self.asked.iter().position(|(asked, _)| asked == from)?;
        let trip = context.now.since(self.asked.remove(at)?.1);
        context.trust.keep(from, token);
        self.patience.follow(trip);
        let State { partial, knows } = theirs.state;
        let meeting = context.absence.meet(knows, context.now);
        if self.exchange.is_some() || self.giver_now(context.now).is_some() {
            return Some(trip);
        }
        let (mine, my_fingerprint) = context.replica.summary(cut);
        let between = (my_fingerprint, theirs.fingerprint);
        if my_fingerprint == theirs.fingerprint {
            context.absence.complete(knows, meeting);
            context.touch(cut.at);
            context.absence.agree();
            return Some(trip);
        }
        if !self.fruitless.admits(between, partial, context.now) {
            return Some(trip);
        }
        self.pace.note_difference(context.now);
        let pulls = self.settings.exchange.pulls();
        match &mut self.catch_up {
            Some(catch_up) if catch_up.is_orphaned() && pulls && theirs.count > mine => {
                catch_up.resume(from.clone(), cut, context);
            }
            Some(_) => {}
            None if pulls
                && self.fruitless_at != Some(my_fingerprint)
                && is_cheaper_whole(mine, theirs.count.saturating_sub(mine)) =>
            {
                self.catch_up(from, cut, Range::ALL, theirs.count, context);
                if let Some(catch_up) = &mut self.catch_up {
                    catch_up.note_source(knows);
                }
            }
            None => {
                let estimate = counts.map_or(UNKNOWN, |counts| {
                    let mut difference = context.replica.sketch(Range::ALL, COUNTS, cut);
                    difference.subtract(&Sketch::of_counts(&counts));
                    difference.estimate(signed_difference(mine, theirs.count))
                });
                let peer = from.clone();
                let cells = most_cells(self.room - context.paths.shorter_by(from)).min(self.most_cells);
                let exchange = Exchange::new(peer, cut, between, cells, estimate, context.now);
                self.exchange = Some(exchange.with(knows, meeting));
                self.pump(context);
            }
        }
        Some(trip)
    }

    /// Keeps the window of unanswered sketches full. Ends the exchange when nothing is left.
    fn pump(&mut self, context: &mut Context<'_, A>) {
        let Some(exchange) = &mut self.exchange else { return };
        let mut parts = Vec::new();
        while let Some(part) = exchange.next(context.now) {
            parts.push(part);
        }
        if exchange.is_done() {
            if exchange.is_complete() {
                self.fruitless.note_completed(exchange.between, context.now);
                context.absence.complete(exchange.knows, exchange.meeting);
                context.touch(exchange.cut.at);
            }
            self.pace.note_completed();
            self.exchange = None;
        }
        for part in parts {
            self.send_sketch(part, context);
        }
    }

    fn send_sketch(&self, Part { range, expected, .. }: Part, context: &mut Context<'_, A>) {
        let Some(Exchange { peer, cut, most_cells, .. }) = &self.exchange else { return };
        let message = Repair::Sketch(Symbols {
            cut: *cut,
            range,
            count: context.replica.count(range, *cut),
            exchange: self.settings.exchange,
            in_doubt: context.absence.is_in_doubt(),
            tokens: Tokens {
                mine: context.trust.token(peer, context.now),
                yours: context.trust.shown_to(peer).unwrap_or_default(),
            },
            sketch: context.replica.sketch(range, cells_for(expected, *most_cells), *cut),
        });
        context.outbox.message(TrafficClass::AntiEntropy, peer.clone(), message);
    }

    /// Matches an answer with the sketch that it answers, if there is one.
    fn answer(&mut self, from: &A, range: Range, found: u64, now: Instant) -> Option<(&mut Exchange<A>, Part)> {
        let exchange = self.exchange.as_mut().filter(|exchange| exchange.peer == *from)?;
        let (part, trip) = exchange.answer(range, found, now)?;
        if let Some(trip) = trip {
            self.patience.note(trip);
        }
        Some((self.exchange.as_mut()?, part))
    }

    /// Handles a Split: the responder could not decode a sketch. The range has about `estimate` differences, and the
    /// responder holds `theirs` items in it.
    pub(crate) fn on_split(
        &mut self,
        from: &A,
        Split { range, count: theirs, estimate }: Split,
        context: &mut Context<'_, A>,
    ) {
        let (mode, fruitless_at) = (self.settings.exchange, self.fruitless_at);
        let Some((exchange, part)) = self.answer(from, range, estimate, context.now) else { return };
        let (cut, (fingerprint, _)) = (exchange.cut, exchange.between);
        let mine = context.replica.count(range, cut);
        let both = theirs.saturating_add(mine).saturating_sub(estimate) / 2;
        if mode.pulls() && theirs > mine && fruitless_at != Some(fingerprint) && is_cheaper_whole(both, estimate) {
            exchange.leave_out();
            self.catch_up(from, cut, range, theirs, context);
        } else if (mode.pulls() && theirs > 0) || (mode.pushes() && mine > 0) {
            exchange.divide(part, estimate);
        }
        self.pump(context);
    }

    /// Handles a Decoded: the responder decoded a sketch, reports the number of differences, and asks for some of our
    /// items.
    pub(crate) fn on_decoded(
        &mut self,
        from: &A,
        Decoded { range, found, want, rivals }: &Decoded,
        context: &mut Context<'_, A>,
    ) {
        let Some((exchange, _)) = self.answer(from, *range, *found, context.now) else { return };
        let meeting = exchange.meeting;
        let mut items = want.ranges().flat_map(|range| context.replica.hashes_in(range).take(ALIKE)).collect();
        let mut newer = rivals::judge(&mut items, rivals, context.replica);
        newer.retain(|rival| context.clock.abs_diff(rival.written()) >= ON_ITS_WAY);
        if meeting == Meeting::Judged {
            let doubts = |hash: &u64| context.replica.by_hash(*hash).is_some_and(|item| context.absence.doubts(&item));
            self.doubtful.extend(items.extract_if(.., |hash| doubts(hash)));
        }
        if self.settings.exchange.pushes() {
            self.send_items(from, items, meeting == Meeting::Alike, context);
        }
        if self.settings.exchange.pulls() && !newer.is_empty() {
            self.note_giver(from, context.now);
            let wanted = self.wanted.take().filter(|wanted| wanted.peer == *from);
            let wanted = self.wanted.insert(wanted.unwrap_or_else(|| Wanted::new(from.clone(), context.now)));
            wanted.ask_for(newer, context);
        }
        self.pump(context);
    }

    // The responder; `on_summary` is in `summary`.

    /// Handles a Sketch: coded symbols of the peer's items in a range.
    pub(crate) fn on_sketch(&mut self, from: &A, symbols: &Symbols, context: &mut Context<'_, A>) {
        let Symbols { cut, range, count, exchange: mode, in_doubt, tokens, ref sketch } = *symbols;
        if !context.trust.proves(from, tokens.yours, context.now)
            || sketch.len() > CELLS
            // An honest peer compares at the later of the two nodes' cuts, which are never far apart.
            || !is_fair(cut, context.replica, context.clock)
            || !context.trust.affords(from, self.room, context.now)
        {
            return;
        }
        context.trust.keep(from, tokens.mine);
        // The peer is in doubt: it asks which of its items this node lacks, and sends none of them.
        let witness = in_doubt && !context.absence.is_in_doubt();
        let mut difference = context.replica.sketch(range, sketch.len(), cut);
        difference.subtract(sketch);
        if let Ok(mut difference) = difference.decode() {
            let found = (difference.ours.len() + difference.theirs.len()) as u64;
            // At most what fits into a datagram beside the wanted items. All others are sent both ways.
            let most = self.most_cells / 3;
            let rivals = rivals::set_apart(&mut difference.ours, &difference.theirs, most, context.replica);
            let want = match mode.pushes() {
                _ if witness => difference.theirs.clone(),
                true => self.asks_for(from, &difference.theirs, context.now),
                false => Vec::new(),
            };
            let want = Prefixes::of(&want);
            context.outbox.message(
                TrafficClass::AntiEntropy,
                from.clone(),
                Repair::Decoded(Decoded { range, found, want, rivals }),
            );
            if mode.pulls() {
                self.send_items(from, difference.ours, in_doubt, context);
            }
            return;
        }
        let mine = context.replica.count(range, cut);
        let estimate = difference.estimate(signed_difference(mine, count)).min(mine.saturating_add(count));
        let both = mine.saturating_add(count).saturating_sub(estimate) / 2;
        let is_fruitless = self.fruitless_at == Some(context.replica.summary(cut).1);
        let answer = if mode.pushes() && !witness && count > mine && !is_fruitless && is_cheaper_whole(both, estimate) {
            // This side lacks nearly everything: it pulls that first, and compares the rest afterwards.
            self.catch_up(from, cut, range, count, context);
            Repair::Decoded(Decoded { range, found: estimate, want: Prefixes::default(), rivals: Vec::new() })
        } else {
            Repair::Split(Split { range, count: mine, estimate })
        };
        context.outbox.message(TrafficClass::AntiEntropy, from.clone(), answer);
    }

    /// Chooses the lacking items to ask for: none if they are probably in flight from another peer.
    fn asks_for(&mut self, from: &A, lacking: &[u64], now: Instant) -> Vec<u64> {
        if lacking.is_empty() || self.exchange.is_some() || self.giver_now(now).is_some_and(|giver| giver != from) {
            return Vec::new();
        }
        self.note_giver(from, now);
        lacking.to_vec()
    }

    fn note_giver(&mut self, peer: &A, now: Instant) {
        match &mut self.giver {
            Some(giver) if giver.peer == *peer && now.since(giver.asked) < self.settings.interval => giver.asked = now,
            _ => self.giver = Some(Supplier { peer: peer.clone(), first_asked: now, asked: now }),
        }
    }

    /// Returns the peer that was asked a moment ago for what this node lacks. A peer that keeps sending delays the
    /// others by at most one interval.
    fn giver_now(&self, now: Instant) -> Option<&A> {
        let giver = self.giver.as_ref()?;
        let asked = now.since(giver.asked) < self.patience() && now.since(giver.first_asked) < self.settings.interval;
        asked.then_some(&giver.peer)
    }

    /// Sends items that a peer lacks, except those in flight to it by other means, within the peer's budget. `all`: also
    /// those in doubt.
    fn send_items(&self, to: &A, mut hashes: Vec<u64>, all: bool, context: &mut Context<'_, A>) {
        hashes.sort_unstable();
        hashes.dedup();
        let Context { now, trust, absence, .. } = context;
        let mut bytes = 0;
        hashes.retain(|hash| {
            let Some(update) = context.replica.by_hash(*hash) else { return false };
            let young = context.clock.abs_diff(update.written()) < ON_ITS_WAY;
            let sent = matches!(update, Update::Member(_)) || !young;
            let len = wire_len(context.replica, &update);
            let sent = sent && (all || !absence.doubts(&update)) && trust.affords(to, len, *now);
            bytes += if sent { len } else { 0 };
            sent
        });
        if let Some(first) = hashes.first() {
            // Sent to the same peer before: it was lost, and perhaps because it was long.
            context.paths.note_sent(*now, to, *first, bytes);
            context.outbox.push(TrafficClass::Bulk, to.clone(), Intent::Items { hashes, mail: false, next: 0 });
        }
    }

    /// Handles a Want: the peer asks for the newer versions of some keys.
    pub(crate) fn on_want(&self, from: &A, Want { token, keys }: &Want, context: &mut Context<'_, A>) {
        if context.trust.proves(from, *token, context.now) {
            let items = keys.iter().filter_map(|key| Some(context.replica.by_short(key.0)?.0)).collect();
            // They hold an older version: nothing that they have forgotten.
            self.send_items(from, items, true, context);
        }
    }

    /// Handles a Pull: the peer asks for all items in some ranges.
    pub(crate) fn on_pull(
        &self,
        from: &A,
        PullRequest { cut, token, window, in_doubt, ranges }: PullRequest,
        context: &mut Context<'_, A>,
    ) {
        // An honest peer compares at the later of the two nodes' cuts, which are never far apart.
        if ranges.is_empty()
            || !is_fair(cut, context.replica, context.clock)
            || !context.trust.proves(from, token, context.now)
        {
            return;
        }
        let window = context.trust.grant(from, window.min(catch_up::WINDOW).into(), self.room, context.now) as u8;
        if window > 0 {
            context.outbox.drop_pages(from);
            let pages = Intent::Pages { cut, ranges: ranges.into(), window, all: in_doubt };
            context.outbox.push(TrafficClass::Bulk, from.clone(), pages);
        }
    }

    /// Takes the hashes of items in doubt that a witness lacks.
    pub(crate) fn take_doubtful(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.doubtful)
    }

    /// Takes the progress that was not reported yet.
    pub(crate) const fn take_news(&mut self) -> Option<Progress> {
        self.news.take()
    }

    /// Expects many changes at once, as at the end of a partition: no peer may hold what this node missed.
    pub(crate) fn unsettle(&mut self, now: Instant) {
        self.pace.unsettle(now);
    }

    /// Records that an update was refused: the exchange of that difference would never end.
    pub(crate) fn note_refused(&mut self, now: Instant) {
        self.fruitless.note_refused(now);
    }

    /// There is room for what was refused: compares again soon.
    pub(crate) fn has_room(&mut self, now: Instant) {
        self.fruitless.forget_refusals();
        self.look_again(now);
    }

    /// Expects a missing item that is in flight: a difference that remains for a while is then no permanent one.
    pub(crate) fn expect_more(&mut self) {
        self.fruitless.forget_pairs();
    }

    /// Compares again soon: an expected item has not arrived, or this node is new here.
    pub(crate) fn look_again(&mut self, now: Instant) {
        self.fruitless.forget_pairs();
        self.pace.hurry(now, self.patience());
    }

    /// Returns the peer from which pages are pulled.
    #[cfg(test)]
    pub(crate) fn source(&self) -> Option<&A> {
        self.catch_up.as_ref().map(|catch_up| &catch_up.peer)
    }

    /// Returns true if nothing is in progress.
    #[cfg(test)]
    pub(crate) const fn is_quiet(&self) -> bool {
        self.exchange.is_none() && self.wanted.is_none() && self.catch_up.is_none()
    }
}

#[cfg(test)]
mod tests;
