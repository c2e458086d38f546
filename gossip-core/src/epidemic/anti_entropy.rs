//! Anti-entropy (Demers et al., section 1.3), at a cost that follows the difference.
//!
//! Two replicas compare summaries; if they differ, the initiator sends coded symbols of what it holds, and the
//! responder, who keeps no session, learns from them what each side lacks. A difference too large for one sketch is
//! split by ranges of the hash space; where nearly all is missing it is pulled, page by page ([`catch_up`]).
//!
//! Knows items by their hashes. Must not know what an update means, nor who the members are.

mod catch_up;
mod exchange;
mod fruitless;
mod pace;
mod rivals;
mod trust;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use rand::Rng;

use super::bucket::Buckets;
use super::token::Tokenizer;
use super::transfer::wire_len;
use crate::address::Address;
use crate::config;
use crate::outbox::{Intent, Outbox, TrafficClass};
use crate::replica::{CELLS, Range, Replica};
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::update::Update;
use crate::wire::{Answer, COUNTS, Decoded, Prefixes, PullRequest, Repair, Split, Summary, Symbols, Tokens, Want};

pub(crate) use catch_up::compose_page;
use catch_up::{CatchUp, is_cheaper_whole};
pub(super) use exchange::wait;
use exchange::{Exchange, Part, Retry, UNKNOWN, apart, cells_for, most_cells};
use fruitless::Fruitless;
use pace::Pace;
use rivals::Wanted;

/// Peers whose answer to a summary is awaited.
const ASKED: usize = 16;
/// The shortest wait for an answer: a busy peer is not asked twice.
pub(super) const SHORTEST_PATIENCE: Duration = Duration::from_millis(20);
/// The longest.
pub(super) const LONGEST_PATIENCE: Duration = Duration::from_secs(10);
/// Data written so recently is still on its way by direct mail and as a rumor: it would come twice.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Items that may begin alike in what is wanted: more than two in a million do not, by accident.
const ALIKE: usize = 4;

/// What an exchange works with.
pub(crate) struct Context<'a, A> {
    pub(crate) now: Instant,
    /// The hybrid logical clock.
    pub(crate) clock: Instant,
    pub(crate) replica: &'a Replica<A>,
    pub(crate) outbox: &'a mut Outbox<A>,
}

/// A cut is in whole seconds, so that replicas whose clocks are nearly equal use the same.
fn cut_of(clock: Instant) -> u32 {
    u32::try_from(clock.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

fn instant(cut: u32) -> Instant {
    Instant::from_secs(u64::from(cut))
}

/// What a page has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) items: usize,
    /// Those that were new.
    pub(crate) news: usize,
    /// Those that are neither here nor new: they will come in their own time.
    pub(crate) later: usize,
}

/// How far catching up has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) done: bool,
}

/// A peer whose sketches showed what this node lacks, and which was asked for it.
#[derive(Debug)]
struct Giver<A> {
    peer: A,
    first_asked: Instant,
    asked: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct AntiEntropy<A> {
    settings: config::AntiEntropy,
    /// As many cells as a datagram holds.
    most_cells: usize,
    pace: Pace,
    tokenizer: Tokenizer,
    buckets: Buckets<A>,
    /// Who was told a summary, and when.
    asked: VecDeque<(A, Instant)>,
    exchange: Option<Exchange<A>>,
    giver: Option<Giver<A>>,
    wanted: Option<Wanted<A>>,
    catch_up: Option<CatchUp<A>>,
    /// The fingerprint of what is held here, if whatever was pulled whole brought nothing new to that: what differs is
    /// what others lack, and sketches tell it.
    in_vain: Option<u64>,
    /// What the application was not told yet, and what it was told last.
    news: Option<Progress>,
    told: u64,
    fruitless: Fruitless,
    /// Whether an exchange is due and begins with the next ping.
    waits_for_ping: bool,
    /// How long an answer is waited for: follows the round trips seen.
    patience: Duration,
}

impl<A: Address> AntiEntropy<A> {
    /// `room`: how many bytes of messages a datagram holds; `patience`: how long an answer may take at first.
    pub(crate) fn new(settings: config::AntiEntropy, room: usize, patience: Duration, rng: &mut impl Rng) -> Self {
        Self {
            pace: Pace::new(settings.interval),
            fruitless: Fruitless::new(settings.interval),
            settings,
            most_cells: most_cells(room),
            tokenizer: Tokenizer::new(rng),
            buckets: Buckets::new(),
            asked: VecDeque::new(),
            exchange: None,
            giver: None,
            wanted: None,
            catch_up: None,
            in_vain: None,
            news: None,
            told: 0,
            waits_for_ping: false,
            patience,
        }
    }

    /// A datagram holds so many bytes of messages from now on.
    #[cfg(feature = "encryption")]
    pub(crate) fn set_room(&mut self, room: usize) {
        self.most_cells = most_cells(room);
    }

    // Time.

    /// When there is something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let retries = self.exchange.as_ref().and_then(|exchange| exchange.due(self.patience));
        let pull = self.catch_up.as_ref().map(|catch_up| catch_up.due(self.patience));
        let wanted = self.wanted.as_ref().map(|wanted| wanted.due(self.patience));
        self.pace.due().into_iter().chain(retries).chain(pull).chain(wanted).min()
    }

    /// Whether an exchange is to be begun now; sets the time of the next one.
    pub(crate) fn begins(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        self.pace.begins(now, self.patience, rng)
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

    /// Sends again what was not answered.
    pub(crate) fn retry(&mut self, context: &mut Context<'_, A>) {
        if let Some(exchange) = &mut self.exchange {
            let reaches = context.replica.reaches_back_to(instant(exchange.cut), context.clock);
            match exchange.retry(context.now, self.patience) {
                Retry::Again(parts) if reaches => {
                    for part in parts {
                        self.send_sketch(part, context);
                    }
                    self.pump(context);
                }
                Retry::Again(_) | Retry::Gone => {
                    self.exchange = None;
                    self.pace.hurry(context.now, self.patience);
                }
            }
        }
        if let Some(mut wanted) = self.wanted.take_if(|wanted| context.now >= wanted.due(self.patience))
            && wanted.ask_again(context)
        {
            self.note_giver(&wanted.peer, context.now);
            self.wanted = Some(wanted);
        }
        if let Some(catch_up) = &mut self.catch_up
            && context.now >= catch_up.due(self.patience)
        {
            let goes_on = catch_up.ask_again(context);
            if catch_up.is_orphaned() {
                self.pace.hurry(context.now, self.patience);
            }
            if !goes_on {
                self.end_catch_up();
            }
        }
    }

    /// How long an answer may take.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    fn answered_after(&mut self, time: Duration) {
        // An eighth of the way towards four round trips.
        let towards = (4 * time).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE);
        self.patience = (self.patience * 7 + towards) / 8;
    }

    /// This replica begins anew: what was being exchanged is over, and the next exchange does not wait.
    pub(crate) fn drop_exchange(&mut self, now: Instant) {
        (self.exchange, self.wanted, self.catch_up) = (None, None, None);
        self.pace.hurry(now, self.patience);
    }

    // The initiator.

    /// Begins an exchange: tells a peer in short what is held here.
    pub(crate) fn begin(&mut self, to: &A, context: &mut Context<'_, A>) {
        self.asked.retain(|(asked, _)| asked != to);
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((to.clone(), context.now));
        let summary = self.summary(cut_of(context.clock), Answer::No, context);
        context.outbox.message(TrafficClass::AntiEntropy, to.clone(), summary);
    }

    fn summary(&self, cut: u32, answer: Answer, context: &Context<'_, A>) -> Repair<A> {
        let (count, fingerprint) = context.replica.summary(instant(cut));
        Repair::Summary(Summary { cut, count, fingerprint, partial: self.fruitless.is_partial(context.now), answer })
    }

    /// The peer holds something else: finds out what.
    fn proceed(&mut self, from: &A, cut: u32, theirs: Summary, context: &mut Context<'_, A>) {
        let (token, counts) = match theirs.answer {
            Answer::No => return,
            Answer::Brief { token } => (token, None),
            Answer::Full { token, counts } => (token, Some(counts)),
        };
        let Some(at) = self.asked.iter().position(|(asked, _)| asked == from) else { return };
        if let Some((_, asked)) = self.asked.remove(at) {
            // With this peer, this is how long it takes.
            self.patience = (4 * context.now.since(asked)).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE);
        }
        if self.exchange.is_some() || self.giver_now(context.now).is_some() {
            return;
        }
        let (mine, my_print) = context.replica.summary(instant(cut));
        let between = (my_print, theirs.fingerprint);
        if my_print == theirs.fingerprint || !self.fruitless.admits(between, theirs.partial, context.now) {
            return;
        }
        self.pace.note_difference(context.now);
        let pulls = self.settings.exchange.pulls();
        match &mut self.catch_up {
            Some(catch_up) if catch_up.is_orphaned() && pulls && theirs.count > mine => {
                catch_up.resume(from.clone(), (cut, token), context);
            }
            Some(_) => {}
            None if pulls
                && self.in_vain != Some(my_print)
                && is_cheaper_whole(mine, theirs.count.saturating_sub(mine)) =>
            {
                self.catch_up(from, (cut, token), Range::ALL, theirs.count, context);
            }
            None => {
                let estimate = counts.map_or(UNKNOWN, |counts| {
                    let mut difference = context.replica.sketch(Range::ALL, COUNTS, instant(cut));
                    difference.subtract(&Sketch::of_counts(&counts));
                    difference.estimate(apart(mine, theirs.count))
                });
                let peer = from.clone();
                self.exchange = Some(Exchange::new(peer, cut, token, between, self.most_cells, estimate, context.now));
                self.pump(context);
            }
        }
    }

    /// Keeps the window of unanswered sketches full; ends the exchange when nothing is left.
    fn pump(&mut self, context: &mut Context<'_, A>) {
        let Some(exchange) = &mut self.exchange else { return };
        let mut parts = Vec::new();
        while let Some(part) = exchange.next(context.now) {
            parts.push(part);
        }
        if exchange.is_done() {
            if exchange.is_complete() {
                self.fruitless.note_completed(exchange.between, context.now);
            }
            self.pace.note_completed();
            self.exchange = None;
        }
        for part in parts {
            self.send_sketch(part, context);
        }
    }

    fn send_sketch(&self, Part { range, expected, .. }: Part, context: &mut Context<'_, A>) {
        let Some(Exchange { peer, cut, token, .. }) = &self.exchange else { return };
        let at = instant(*cut);
        let message = Repair::Sketch(Symbols {
            cut: *cut,
            range,
            count: context.replica.count(range, at),
            exchange: self.settings.exchange,
            tokens: Tokens { mine: self.tokenizer.token(peer, context.now), yours: *token },
            sketch: context.replica.sketch(range, cells_for(expected, self.most_cells), at),
        });
        context.outbox.message(TrafficClass::AntiEntropy, peer.clone(), message);
    }

    /// The answer to one of the sketches that wait, if it is one.
    fn answer(&mut self, from: &A, range: Range, found: u64, now: Instant) -> Option<(&mut Exchange<A>, Part)> {
        let exchange = self.exchange.as_mut().filter(|exchange| exchange.peer == *from)?;
        let (part, trip) = exchange.answer(range, found, now)?;
        if let Some(trip) = trip {
            self.answered_after(trip);
        }
        Some((self.exchange.as_mut()?, part))
    }

    /// The responder could not decode a sketch: the range differs by about `estimate`, it holds `theirs` there.
    pub(crate) fn on_split(
        &mut self,
        from: &A,
        Split { range, count: theirs, estimate }: Split,
        context: &mut Context<'_, A>,
    ) {
        let (mode, in_vain) = (self.settings.exchange, self.in_vain);
        let Some((exchange, part)) = self.answer(from, range, estimate, context.now) else { return };
        let (cut, token, (print, _)) = (exchange.cut, exchange.token, exchange.between);
        let mine = context.replica.count(range, instant(cut));
        let both = theirs.saturating_add(mine).saturating_sub(estimate) / 2;
        if mode.pulls() && theirs > mine && in_vain != Some(print) && is_cheaper_whole(both, estimate) {
            exchange.leave_out();
            self.catch_up(from, (cut, token), range, theirs, context);
        } else if (mode.pulls() && theirs > 0) || (mode.pushes() && mine > 0) {
            exchange.divide(part, estimate);
        }
        self.pump(context);
    }

    /// The responder decoded a sketch, found so many differences, and wants these of ours.
    pub(crate) fn on_decoded(
        &mut self,
        from: &A,
        Decoded { range, found, want, rivals }: &Decoded,
        context: &mut Context<'_, A>,
    ) {
        let Some((Exchange { token, .. }, _)) = self.answer(from, *range, *found, context.now) else { return };
        let token = *token;
        let mut items = want.ranges().flat_map(|range| context.replica.hashes_in(range).take(ALIKE)).collect();
        let mut newer = rivals::judge(&mut items, rivals, context.replica);
        newer.retain(|rival| context.clock.since(rival.written()) >= ON_ITS_WAY);
        if self.settings.exchange.pushes() {
            self.send_items(from, items, context);
        }
        if self.settings.exchange.pulls() && !newer.is_empty() {
            self.note_giver(from, context.now);
            let wanted = self.wanted.take().filter(|wanted| wanted.peer == *from);
            let wanted = self.wanted.insert(wanted.unwrap_or_else(|| Wanted::new(from.clone(), token, context.now)));
            wanted.ask_for(newer, context);
        }
        self.pump(context);
    }

    // The responder.

    /// A peer says what it holds in short: to begin an exchange, or to answer one begun here. `known`: whether it is sure
    /// to have its address.
    pub(crate) fn on_summary(&mut self, from: &A, theirs: Summary, known: bool, context: &mut Context<'_, A>) {
        let cut = theirs.cut.min(cut_of(context.clock));
        if !context.replica.reaches_back_to(instant(cut), context.clock) {
            return;
        }
        if theirs.answer != Answer::No {
            self.proceed(from, cut, theirs, context);
            return;
        }
        let (count, fingerprint) = context.replica.summary(instant(cut));
        if (count, fingerprint) == (theirs.count, theirs.fingerprint) || self.is_busy(from, theirs, context) {
            return;
        }
        let token = self.tokenizer.token(from, context.now);
        let answer = if known {
            let mut counts = [0; COUNTS];
            let symbols = context.replica.sketch(Range::ALL, COUNTS, instant(cut));
            counts.iter_mut().zip(symbols.counts()).for_each(|(to, count)| *to = count);
            Answer::Full { token, counts }
        } else {
            Answer::Brief { token }
        };
        let summary = self.summary(cut, answer, context);
        context.outbox.message(TrafficClass::AntiEntropy, from.clone(), summary);
    }

    /// Whether to be silent: one exchange at a time (Demers' connection limit), or what is missing is fetched twice.
    fn is_busy(&self, from: &A, theirs: Summary, context: &Context<'_, A>) -> bool {
        let crossing = || {
            // Where both have asked at the same time, one goes on.
            let asked = self.asked.iter().find(|(asked, _)| asked == from);
            asked.is_some_and(|(_, at)| context.now.since(*at) < self.patience)
                && context.replica.summary(instant(theirs.cut)).1 < theirs.fingerprint
        };
        self.exchange.is_some() || self.catch_up.as_ref().is_some_and(|catch_up| !catch_up.is_orphaned()) || crossing()
    }

    /// A peer sends coded symbols of what it holds in a range.
    pub(crate) fn on_sketch(&mut self, from: &A, symbols: &Symbols, context: &mut Context<'_, A>) {
        let Symbols { cut, range, count, exchange: mode, tokens, ref sketch } = *symbols;
        let at = instant(cut);
        if !self.tokenizer.proves(from, tokens.yours, context.now)
            || sketch.len() > CELLS
            // An honest one is not after what this node agreed to; all that ever ends would have ended by then.
            || cut > cut_of(context.clock)
            || !context.replica.reaches_back_to(at, context.clock)
            || self.buckets.take(from, 1, context.now) == 0
        {
            return;
        }
        let mut difference = context.replica.sketch(range, sketch.len(), at);
        difference.subtract(sketch);
        if let Ok(mut difference) = difference.decode() {
            let found = (difference.ours.len() + difference.theirs.len()) as u64;
            // As many as fit into a datagram beside what is wanted. The others are sent both ways.
            let most = self.most_cells / 3;
            let rivals = rivals::set_apart(&mut difference.ours, &difference.theirs, most, context.replica);
            let want = if mode.pushes() { self.asks_for(from, &difference.theirs, context.now) } else { Vec::new() };
            let want = Prefixes::of(&want);
            context.outbox.message(
                TrafficClass::AntiEntropy,
                from.clone(),
                Repair::Decoded(Decoded { range, found, want, rivals }),
            );
            if mode.pulls() {
                self.send_items(from, difference.ours, context);
            }
            return;
        }
        let mine = context.replica.count(range, at);
        let estimate = difference.estimate(apart(mine, count)).min(mine.saturating_add(count));
        let both = mine.saturating_add(count).saturating_sub(estimate) / 2;
        let in_vain = self.in_vain == Some(context.replica.summary(at).1);
        let answer = if mode.pushes() && count > mine && !in_vain && is_cheaper_whole(both, estimate) {
            // This side lacks nearly all: it fetches that itself, and sees to the rest after that.
            self.catch_up(from, (cut, tokens.mine), range, count, context);
            Repair::Decoded(Decoded { range, found: estimate, want: Prefixes::default(), rivals: Vec::new() })
        } else {
            Repair::Split(Split { range, count: mine, estimate })
        };
        context.outbox.message(TrafficClass::AntiEntropy, from.clone(), answer);
    }

    /// Which of the items that this node lacks to ask for: none if they are probably on their way from another peer.
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
            _ => self.giver = Some(Giver { peer: peer.clone(), first_asked: now, asked: now }),
        }
    }

    /// Who was asked just now for what this node lacks. One that goes on and on keeps the others waiting no longer than
    /// an interval.
    fn giver_now(&self, now: Instant) -> Option<&A> {
        let giver = self.giver.as_ref()?;
        let asked = now.since(giver.asked) < self.patience && now.since(giver.first_asked) < self.settings.interval;
        asked.then_some(&giver.peer)
    }

    /// Sends what a peer lacks, but for what is on its way to it anyhow, and no more than it may be sent.
    fn send_items(&mut self, to: &A, mut hashes: Vec<u64>, context: &mut Context<'_, A>) {
        hashes.sort_unstable();
        hashes.dedup();
        let mut bytes = 0;
        hashes.retain(|hash| {
            let Some(update) = context.replica.by_hash(*hash) else { return false };
            let young = context.clock.since(update.written()) < ON_ITS_WAY;
            let sent = matches!(update, Update::Member(_)) || !young;
            let before = bytes / 1_024;
            bytes += if sent { wire_len(context.replica, &update) } else { 0 };
            let units = (bytes / 1_024 - before) as u32;
            sent && self.buckets.take(to, units, context.now) == units
        });
        if !hashes.is_empty() {
            context.outbox.push(TrafficClass::Bulk, to.clone(), Intent::Items { hashes, mail: false, next: 0 });
        }
    }

    /// A peer asks for the newer versions of some keys.
    pub(crate) fn on_want(&mut self, from: &A, Want { token, keys }: &Want, context: &mut Context<'_, A>) {
        if self.tokenizer.proves(from, *token, context.now) && self.buckets.take(from, 1, context.now) == 1 {
            let items = keys.iter().filter_map(|key| Some(context.replica.by_short(key.0)?.0)).collect();
            self.send_items(from, items, context);
        }
    }

    /// A peer asks for all that is held in some ranges.
    pub(crate) fn on_pull(
        &mut self,
        from: &A,
        PullRequest { cut, token, window, ranges }: PullRequest,
        context: &mut Context<'_, A>,
    ) {
        // An honest cut is not after what this node agreed to.
        if ranges.is_empty() || cut > cut_of(context.clock) || !self.tokenizer.proves(from, token, context.now) {
            return;
        }
        let window = self.buckets.take(from, window.min(catch_up::WINDOW).into(), context.now) as u8;
        if window > 0 {
            context.outbox.drop_pages(from);
            let pages = Intent::Pages { cut: instant(cut), ranges: ranges.into(), window };
            context.outbox.push(TrafficClass::Bulk, from.clone(), pages);
        }
    }

    /// How far that has come, if the application was not told.
    pub(crate) const fn take_news(&mut self) -> Option<Progress> {
        self.news.take()
    }

    /// Much changes everywhere at once, as when a partition ends: what one misses of that nobody else does.
    pub(crate) fn unsettle(&mut self, now: Instant) {
        self.pace.unsettle(now);
    }

    /// An update from a peer was refused: there will be a difference that no exchange settles.
    pub(crate) fn note_refused(&mut self, now: Instant) {
        self.fruitless.note_refused(now);
    }

    /// Something that was lacking is on its way: that the difference stays for a while does not mean that it is for good.
    pub(crate) fn expect_more(&mut self) {
        self.fruitless.forget_pairs();
    }

    /// What was on its way has not come, or this node is new here: what others hold is looked at soon, whatever the last
    /// exchanges came to.
    pub(crate) fn look_again(&mut self, now: Instant) {
        self.fruitless.forget_pairs();
        self.pace.hurry(now, self.patience);
    }

    /// Whom pages are pulled from.
    #[cfg(test)]
    pub(crate) fn source(&self) -> Option<&A> {
        self.catch_up.as_ref().map(|catch_up| &catch_up.peer)
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) const fn is_quiet(&self) -> bool {
        self.exchange.is_none() && self.wanted.is_none() && self.catch_up.is_none()
    }
}

#[cfg(test)]
mod tests;
