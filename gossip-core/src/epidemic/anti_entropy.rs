//! Anti-entropy (Demers et al., section 1.3), at a cost that follows the difference.
//!
//! Two replicas compare summaries; if they differ, the initiator sends coded symbols of what it holds, and the
//! responder, who keeps no session, learns from them what each side lacks. A difference too large for one sketch is
//! split by ranges of the hash space; where nearly all is missing it is pulled, page by page ([`catch_up`]).
//!
//! Knows items by their hashes. Must not know what an update means, nor who the members are.

mod catch_up;
mod token;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use rand::{Rng, RngExt};

use crate::address::Address;
use crate::config::{self, Exchange as Mode};
use crate::outbox::{Intent, Kind, Outbox};
use crate::replica::{CELLS, Range, Replica};
use crate::sketch::Sketch;
use crate::time::{Instant, micros};
use crate::wire::{Hashes, Message, Tokens};

use catch_up::CatchUp;
pub(crate) use catch_up::compose_page;
use token::Tokenizer;

/// Cells of the sketch that begins an exchange: what decodes some ten differences.
const FIRST_CELLS: usize = 32;
/// Differences that a full sketch is expected to decode.
const PER_RANGE: u64 = 40;
/// Sketches that may wait for an answer.
const WINDOW: usize = 16;
/// Ranges that an exchange may still have before it.
const QUEUE: usize = 1_024;
/// Ranges that an exchange may be divided into in all: no answers of a peer's make it go on for ever.
const PARTS: usize = 16 * QUEUE;
/// Times that a sketch is sent again before its range is given up, until the next exchange.
const TRIES: u32 = 3;
/// Exchanges that are begun in quick succession until one has run to its end: a newcomer, or one whose peer failed it,
/// does not wait for an interval because a datagram was lost. Not for ever, since an equal peer is silent.
const EAGER: u32 = 4;
/// Peers whose answer to a summary is awaited.
const ASKED: usize = 16;

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

/// An exchange begun here that found a difference.
#[derive(Debug)]
struct Exchange<A> {
    peer: A,
    cut: u32,
    /// What shows the peer that this address receives.
    token: u32,
    queue: VecDeque<Range>,
    waiting: Vec<Waiting>,
    /// How many ranges it may still be divided into.
    parts: usize,
    /// Both fingerprints at its beginning.
    between: (u64, u64),
}

#[derive(Debug)]
struct Waiting {
    range: Range,
    sent: Instant,
    tries: u32,
}

/// A pair of fingerprints whose exchange was completed and yet changed neither side: what is refused stays refused.
#[derive(Debug)]
struct Fruitless {
    between: (u64, u64),
    times: u32,
    until: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct AntiEntropy<A> {
    settings: config::AntiEntropy,
    /// As many cells as a datagram holds.
    most_cells: usize,
    next: Option<Instant>,
    tokenizer: Tokenizer,
    asked: VecDeque<A>,
    exchange: Option<Exchange<A>>,
    catch_up: Option<CatchUp<A>>,
    fruitless: VecDeque<Fruitless>,
    /// How long an answer is waited for: follows the round trips seen.
    patience: Duration,
    /// How many exchanges are begun without waiting for the interval.
    eager: u32,
}

impl<A: Address> AntiEntropy<A> {
    /// `room`: how many bytes of messages a datagram holds; `patience`: how long an answer may take at first.
    pub(crate) fn new(settings: config::AntiEntropy, room: usize, patience: Duration, rng: &mut impl Rng) -> Self {
        // Tag, cut, range, count, mode, tokens and the length of the cells, at their longest.
        const HEAD: usize = 1 + 5 + 20 + 5 + 1 + 10 + 2;
        Self {
            settings,
            most_cells: ((room - HEAD) / 13).min(CELLS),
            next: None,
            tokenizer: Tokenizer::new(rng),
            asked: VecDeque::new(),
            exchange: None,
            catch_up: None,
            fruitless: VecDeque::new(),
            patience,
            eager: EAGER,
        }
    }

    // Time.

    /// When there is something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let retries =
            self.exchange.iter().flat_map(|exchange| &exchange.waiting).map(|waiting| waiting.sent + self.patience);
        let pull = self.catch_up.as_ref().map(|catch_up| catch_up.asked + self.patience);
        self.next.into_iter().chain(retries).chain(pull).min()
    }

    /// Whether an exchange is to be begun now; sets the time of the next one.
    pub(crate) fn begins(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        let eager = self.next.is_none() || self.eager > 0;
        self.eager = self.eager.saturating_sub(u32::from(self.next.is_some()));
        let interval = micros(if eager { self.patience.min(self.settings.interval) } else { self.settings.interval });
        // Around the interval, so that nodes that started together do not stay in step.
        let jittered = Duration::from_micros(rng.random_range(interval - interval / 4..=interval + interval / 4));
        self.next.replace(now + jittered).is_some()
    }

    /// Sends again what was not answered.
    pub(crate) fn retry(&mut self, context: &mut Context<'_, A>) {
        let (now, patience) = (context.now, self.patience);
        if let Some(exchange) = &mut self.exchange {
            let mut again = Vec::new();
            exchange.waiting.retain_mut(|waiting| {
                if now < waiting.sent + patience {
                    return true;
                }
                waiting.tries += 1;
                waiting.sent = now;
                if waiting.tries < TRIES {
                    again.push(waiting.range);
                }
                waiting.tries < TRIES
            });
            for range in again {
                self.send_sketch(range, context);
            }
            self.pump(context);
        }
        if let Some(catch_up) = &mut self.catch_up
            && now >= catch_up.asked + patience
            && !catch_up.ask_again(context)
        {
            self.catch_up = None;
            self.eager = EAGER;
        }
    }

    fn answered_after(&mut self, time: Duration) {
        // An eighth of the way towards four round trips, and never so short that a busy peer is asked twice.
        let towards = (4 * time).clamp(Duration::from_millis(20), Duration::from_secs(10));
        self.patience = (self.patience * 7 + towards) / 8;
    }

    /// This replica begins anew: what was being exchanged is over, and the next exchange does not wait.
    pub(crate) fn drop_exchange(&mut self) {
        (self.exchange, self.catch_up, self.eager) = (None, None, EAGER);
    }

    // The initiator.

    /// Begins an exchange: tells a peer in short what is held here.
    pub(crate) fn begin(&mut self, to: &A, context: &mut Context<'_, A>) {
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(to.clone());
        let summary = self.summary(cut_of(context.clock), None, context.replica);
        context.outbox.message(Kind::AntiEntropy, to.clone(), summary);
    }

    fn summary(&self, cut: u32, token: Option<u32>, replica: &Replica<A>) -> Message<A> {
        let (count, fingerprint) = replica.summary(instant(cut));
        Message::Summary { cut, count, fingerprint, exchange: self.settings.exchange, token }
    }

    /// The peer holds something else: finds out what.
    fn proceed(
        &mut self,
        from: &A,
        cut: u32,
        (theirs, their_print): (u64, u64),
        token: u32,
        context: &mut Context<'_, A>,
    ) {
        let Some(at) = self.asked.iter().position(|asked| asked == from) else { return };
        self.asked.remove(at);
        if self.exchange.is_some() || self.catch_up.is_some() {
            return;
        }
        let (mine, my_print) = context.replica.summary(instant(cut));
        let between = (my_print, their_print);
        if my_print == their_print || self.is_fruitless(between, context.now) {
            return;
        }
        // Where one thing was missed there may be more, and with others.
        let soon = context.now + self.settings.interval / 4;
        self.next = self.next.map(|next| next.min(soon));
        let mode = self.settings.exchange;
        if mode.pulls() && nearly_all_missing(theirs.saturating_sub(mine), theirs) {
            self.catch_up = Some(CatchUp::begin(from.clone(), cut, token, theirs, Range::ALL, context));
            return;
        }
        let queue = VecDeque::from([Range::ALL]);
        self.exchange =
            Some(Exchange { peer: from.clone(), cut, token, queue, waiting: Vec::new(), parts: PARTS, between });
        self.pump(context);
    }

    /// Keeps the window of unanswered sketches full; ends the exchange when nothing is left.
    fn pump(&mut self, context: &mut Context<'_, A>) {
        while let Some(exchange) = &mut self.exchange {
            if exchange.waiting.len() >= WINDOW {
                return;
            }
            let Some(range) = exchange.queue.pop_front() else {
                if exchange.waiting.is_empty() {
                    let between = exchange.between;
                    self.exchange = None;
                    self.note_completed(between, context.now);
                }
                return;
            };
            exchange.waiting.push(Waiting { range, sent: context.now, tries: 0 });
            self.send_sketch(range, context);
        }
    }

    fn send_sketch(&self, range: Range, context: &mut Context<'_, A>) {
        let Some(Exchange { peer, cut, token, .. }) = &self.exchange else { return };
        let cells = if range == Range::ALL { FIRST_CELLS.min(self.most_cells) } else { self.most_cells };
        let at = instant(*cut);
        let message = Message::Sketch {
            cut: *cut,
            range,
            count: context.replica.count(range, at),
            exchange: self.settings.exchange,
            tokens: Tokens { mine: self.tokenizer.token(peer, context.now), yours: *token },
            sketch: context.replica.sketch(range, cells, at),
        };
        context.outbox.message(Kind::AntiEntropy, peer.clone(), message);
    }

    /// The answer to one of the sketches that wait, if it is one.
    fn answer(&mut self, from: &A, range: Range, now: Instant) -> Option<&mut Exchange<A>> {
        let exchange = self.exchange.as_mut().filter(|exchange| exchange.peer == *from)?;
        let at = exchange.waiting.iter().position(|waiting| waiting.range == range)?;
        let Waiting { sent, tries, .. } = exchange.waiting.swap_remove(at);
        if tries == 0 {
            self.answered_after(now.since(sent));
        }
        self.exchange.as_mut()
    }

    /// The responder could not decode a sketch.
    pub(crate) fn on_split(&mut self, from: &A, range: Range, estimate: u64, context: &mut Context<'_, A>) {
        let mode = self.settings.exchange;
        let Some(exchange) = self.answer(from, range, context.now) else { return };
        let mine = context.replica.count(range, instant(exchange.cut));
        if mode.pulls() && nearly_all_missing(estimate, mine.saturating_add(estimate)) {
            let (cut, token) = (exchange.cut, exchange.token);
            match &mut self.catch_up {
                Some(catch_up) => catch_up.add(from, range),
                None => self.catch_up = Some(CatchUp::begin(from.clone(), cut, token, estimate, range, context)),
            }
        } else if range.halves().is_some() {
            let room = QUEUE.saturating_sub(exchange.queue.len()).min(exchange.parts);
            let parts = estimate.div_ceil(PER_RANGE).clamp(2, QUEUE as u64);
            let before = exchange.queue.len();
            exchange.queue.extend(range.split(parts).take(room));
            exchange.parts -= exchange.queue.len() - before;
        }
        self.pump(context);
    }

    /// The responder decoded a sketch, and wants these of ours.
    pub(crate) fn on_decoded(&mut self, from: &A, range: Range, want: Hashes, context: &mut Context<'_, A>) {
        if self.answer(from, range, context.now).is_none() {
            return;
        }
        if self.settings.exchange.pushes() && !want.0.is_empty() {
            context.outbox.push(Kind::Bulk, from.clone(), Intent::Items { hashes: want.0, mail: false, next: 0 });
        }
        self.pump(context);
    }

    fn is_fruitless(&self, between: (u64, u64), now: Instant) -> bool {
        self.fruitless.iter().any(|fruitless| fruitless.between == between && now < fruitless.until)
    }

    /// An exchange that changes something changes a fingerprint: the same pair seen again, it did not.
    fn note_completed(&mut self, between: (u64, u64), now: Instant) {
        self.eager = 0;
        // Losses make exchanges fruitless as well: the first few repetitions are free.
        const FREE: u32 = 3;
        const DOUBLINGS: u32 = 6;
        let times = match self.fruitless.iter().position(|fruitless| fruitless.between == between) {
            Some(at) => self.fruitless.remove(at).map_or(0, |fruitless| fruitless.times) + 1,
            None => 0,
        };
        let wait =
            if times < FREE { Duration::ZERO } else { self.settings.interval * (1 << (times - FREE).min(DOUBLINGS)) };
        if self.fruitless.len() == ASKED {
            self.fruitless.pop_front();
        }
        self.fruitless.push_back(Fruitless { between, times, until: now + wait });
    }

    // The responder.

    /// A peer says what it holds in short: to begin an exchange, or (with a token) to answer one begun here.
    pub(crate) fn on_summary(
        &mut self,
        from: &A,
        (cut, count, fingerprint): (u32, u64, u64),
        token: Option<u32>,
        context: &mut Context<'_, A>,
    ) {
        let cut = cut.min(cut_of(context.clock));
        if !context.replica.reaches_back_to(instant(cut), context.clock) {
            return;
        }
        match token {
            Some(token) => self.proceed(from, cut, (count, fingerprint), token, context),
            None if context.replica.summary(instant(cut)) == (count, fingerprint) => {}
            None => {
                let token = self.tokenizer.token(from, context.now);
                let answer = self.summary(cut, Some(token), context.replica);
                context.outbox.message(Kind::AntiEntropy, from.clone(), answer);
            }
        }
    }

    /// A peer sends coded symbols of what it holds in a range.
    pub(crate) fn on_sketch(
        &mut self,
        from: &A,
        (cut, range, count): (u32, Range, u64),
        mode: Mode,
        tokens: Tokens,
        sketch: &Sketch,
        context: &mut Context<'_, A>,
    ) {
        let at = instant(cut);
        if !self.tokenizer.proves(from, tokens.yours, context.now)
            || sketch.len() > CELLS
            // An honest one is not after what this node agreed to; everything that ever ends would have ended by then.
            || cut > cut_of(context.clock)
            || !context.replica.reaches_back_to(at, context.clock)
        {
            return;
        }
        let mut difference = context.replica.sketch(range, sketch.len(), at);
        difference.subtract(sketch);
        if let Ok(difference) = difference.decode() {
            let want = if mode.pushes() { difference.theirs } else { Vec::new() };
            context.outbox.message(Kind::AntiEntropy, from.clone(), Message::Decoded { range, want: Hashes(want) });
            if mode.pulls() && !difference.ours.is_empty() {
                context.outbox.push(
                    Kind::Bulk,
                    from.clone(),
                    Intent::Items { hashes: difference.ours, mail: false, next: 0 },
                );
            }
            return;
        }
        let mine = context.replica.count(range, at);
        let apart = i64::try_from(mine).unwrap_or(i64::MAX).saturating_sub(i64::try_from(count).unwrap_or(i64::MAX));
        let estimate = difference.estimate(apart).min(mine.saturating_add(count));
        let behind = mode.pushes() && count > mine && nearly_all_missing(estimate, count);
        if behind && self.catch_up.is_none() {
            self.catch_up = Some(CatchUp::begin(from.clone(), cut, tokens.mine, count, range, context));
        }
        let answer = if behind && !mode.pulls() {
            Message::Decoded { range, want: Hashes::default() }
        } else {
            Message::Split { range, estimate }
        };
        context.outbox.message(Kind::AntiEntropy, from.clone(), answer);
    }

    /// A peer asks for items by their hashes.
    pub(crate) fn on_want(&self, from: &A, token: u32, want: Hashes, context: &mut Context<'_, A>) {
        if self.tokenizer.proves(from, token, context.now) && !want.0.is_empty() {
            context.outbox.push(Kind::Bulk, from.clone(), Intent::Items { hashes: want.0, mail: false, next: 0 });
        }
    }

    /// A peer asks for all that is held in some ranges.
    pub(crate) fn on_pull(
        &self,
        from: &A,
        cut: u32,
        token: u32,
        (window, ranges): (u8, Vec<Range>),
        context: &mut Context<'_, A>,
    ) {
        if self.tokenizer.proves(from, token, context.now) && !ranges.is_empty() {
            context.outbox.drop_pages(from);
            let (cut, window) = (instant(cut), window.min(catch_up::WINDOW));
            context.outbox.push(Kind::Bulk, from.clone(), Intent::Pages { cut, ranges: ranges.into(), window });
        }
    }

    /// A page has come, and its updates were taken in: `true` if it belongs to what is being caught up with.
    pub(crate) fn on_page(&mut self, from: &A, range: Range, items: usize, last: bool, context: &mut Context<'_, A>) {
        let Some(catch_up) = self.catch_up.as_mut().filter(|catch_up| catch_up.peer == *from) else { return };
        if let Some(time) = catch_up.on_page(range, items, last, context) {
            self.answered_after(time);
        }
        if self.catch_up.as_ref().is_some_and(CatchUp::is_done) {
            self.catch_up = None;
            // What the peer lacks has not been looked at yet.
            self.begin(from, context);
        }
    }

    /// Whether pages are being pulled, and how far that has come: items received, items expected.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.catch_up.as_ref().map(CatchUp::progress)
    }
}

/// Whether to fetch a range whole is cheaper than to find out what is missing: a difference costs some two cells of 13
/// bytes, an item that is there already some eight times as little as one that is not.
fn nearly_all_missing(difference: u64, items: u64) -> bool {
    difference.saturating_mul(26) > items.saturating_mul(8)
}

#[cfg(test)]
mod tests;
