//! Suspicion (SWIM, section 4.2), shortened by independent confirmations (Lifeguard, section IV-B).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Probe;
use crate::id::NodeId;
use crate::time::{Instant, micros};

#[derive(Debug)]
struct Suspected {
    incarnation: u64,
    since: Instant,
    /// Members that raised or confirmed it: at most one more than confirmations count.
    accusers: Vec<NodeId>,
    /// Those who brought these accusations, and when: what one of them brings at once counts once, in however many names.
    carriers: Vec<(Option<NodeId>, Instant)>,
    /// Further accusers, of whom a carrier told that counts already: they are passed on, and count if they are brought again.
    uncounted: Vec<NodeId>,
    shortest: Duration,
    /// Number of confirmations that shorten it to the shortest.
    confirmations: usize,
    ends: Instant,
    /// True if this node raised or confirmed it and has not warned the suspect yet.
    warns: bool,
    /// True if a record says that the member has departed: then only an objection of its own counts.
    departs: bool,
}

impl Suspected {
    /// Returns the time of its next action: the accusers warn the suspect one period before the end.
    fn due(&self, period: Duration) -> Instant {
        if self.warns { self.ends - period } else { self.ends }
    }
}

/// Round trips that a suspicion lasts at least: its subject has to hear of it, and everybody of its refutation.
const ROUND_TRIPS: u32 = 2;

/// Source of an accusation.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Accusation {
    /// Nobody in particular: it confirms nothing.
    Hearsay,
    /// The opinion of a member. `carrier`: who told of it; none if that is no member as far as is known.
    By { accuser: NodeId, carrier: Option<NodeId> },
}

/// Part of a period within which one member's word about another counts once. Accusers find one that is gone about a period
/// apart, so that one who passes them on seldom brings two in this time; one that is there has objected before it is over.
const CARRIED: u32 = 8;

/// Effect of an accusation.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// First accusation of this incarnation here.
    New,
    /// Further accusation by another member, which counts.
    Confirmed,
    /// Accusation that adds nothing.
    Stale,
}

/// Action that is due.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// A suspicion raised here is almost over: the suspect is warned once more, since it may be reachable again (after
    /// Lifeguard's buddy system).
    Warning(NodeId),
    /// A suspicion has lasted long enough.
    End(NodeId),
}

/// Suspected members, with accusers and ends.
#[derive(Debug)]
pub(crate) struct Suspicions {
    settings: Probe,
    own: NodeId,
    suspected: BTreeMap<NodeId, Suspected>,
    due: BTreeSet<(Instant, NodeId)>,
    /// Time within which the member that is spoken of answers.
    patience: Duration,
    /// True if all was put off when this node was last called.
    put_off: bool,
}

impl Suspicions {
    pub(crate) const fn new(own: NodeId, settings: Probe) -> Self {
        Self {
            settings,
            own,
            suspected: BTreeMap::new(),
            due: BTreeSet::new(),
            patience: Duration::ZERO,
            put_off: false,
        }
    }

    /// Sets the time within which the member answers that is spoken of next.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Records that a suspect has answered after all, `trip` after it was asked: a suspicion of it does not end before it can
    /// have refuted that.
    pub(crate) fn defer(&mut self, now: Instant, about: NodeId, trip: Duration) {
        self.change(about, |held| {
            if !held.departs {
                held.ends = held.ends.max(now + ROUND_TRIPS * trip);
            }
        });
    }

    fn warns(&self, accuser: Option<NodeId>) -> bool {
        self.settings.buddy && accuser == Some(self.own)
    }

    /// Changes a suspicion, and with it the time at which it is due.
    fn change(&mut self, about: NodeId, change: impl FnOnce(&mut Suspected)) {
        if let Some(held) = self.suspected.get_mut(&about) {
            self.due.remove(&(held.due(self.settings.period), about));
            change(held);
            self.due.insert((held.due(self.settings.period), about));
        }
    }

    /// Records an accusation. `n`: number of members alive or suspected.
    pub(crate) fn accuse(
        &mut self,
        now: Instant,
        about: NodeId,
        incarnation: u64,
        accusation: Accusation,
        n: usize,
    ) -> Verdict {
        let (accuser, carrier) = match accusation {
            Accusation::Hearsay => (None, None),
            Accusation::By { accuser, carrier } => (Some(accuser), carrier),
        };
        let warns = self.warns(accuser);
        if let Some(held) = self.suspected.get(&about)
            && held.incarnation >= incarnation
        {
            let counts = held.incarnation == incarnation && !held.departs;
            let Some(accuser) = accuser.filter(|_| counts) else { return Verdict::Stale };
            // Further accusations are not new to anybody (at most K per member).
            if held.accusers.contains(&accuser) || held.accusers.len() > held.confirmations {
                return Verdict::Stale;
            }
            let pause = self.settings.period / CARRIED;
            if held.carriers.iter().any(|(of, at)| *of == carrier && now < *at + pause) {
                // Otherwise one member's word would be worth as many as it knows names. It may be true all the same.
                let is_new = !held.uncounted.contains(&accuser) && held.uncounted.len() <= held.confirmations;
                if is_new {
                    self.change(about, |held| held.uncounted.push(accuser));
                    return Verdict::Confirmed;
                }
                return Verdict::Stale;
            }
            let shortened = self.settings.suspicion(held.shortest, held.accusers.len(), held.confirmations);
            self.change(about, |held| {
                held.accusers.push(accuser);
                held.carriers.push((carrier, now));
                // A record of the death may have shortened it further.
                held.ends = held.ends.min(held.since + shortened);
                held.warns |= warns;
            });
            return Verdict::Confirmed;
        }
        self.end(about);
        let shortest = self.settings.shortest_suspicion(n).max(ROUND_TRIPS * self.patience);
        // With fewer other members than that, there are not as many confirmations to wait for.
        let confirmations = (self.settings.confirmations as usize).min(n.saturating_sub(2));
        let ends = now + self.settings.suspicion(shortest, 0, confirmations);
        let accusers = Vec::from_iter(accuser);
        let carriers = accuser.map(|_| (carrier, now)).into_iter().collect();
        self.insert(
            about,
            Suspected {
                incarnation,
                since: now,
                accusers,
                carriers,
                uncounted: Vec::new(),
                shortest,
                confirmations,
                ends,
                warns,
                departs: false,
            },
        );
        Verdict::New
    }

    fn insert(&mut self, about: NodeId, suspected: Suspected) {
        self.due.insert((suspected.due(self.settings.period), about));
        self.suspected.insert(about, suspected);
    }

    /// Records that a record says the suspect is dead. If others accuse it, that is worth every confirmation: the
    /// suspicion ends when it has lasted its shortest time. Otherwise it is hearsay.
    pub(crate) fn hear_of_death(&mut self, now: Instant, about: NodeId, incarnation: u64, n: usize) {
        let Some(held) = self.suspected.get(&about).filter(|held| held.incarnation >= incarnation) else {
            self.accuse(now, about, incarnation, Accusation::Hearsay, n);
            return;
        };
        if held.incarnation == incarnation && !held.accusers.is_empty() && !held.departs {
            self.change(about, |held| held.ends = held.since + held.shortest);
        }
    }

    /// Records that a record says the member has departed, which is believed after `wait` unless the member objects. Returns
    /// whether that is new here.
    pub(crate) fn hear_of_departure(&mut self, now: Instant, about: NodeId, incarnation: u64, wait: Duration) -> bool {
        if self.suspected.get(&about).is_some_and(|held| held.departs && held.incarnation >= incarnation) {
            return false;
        }
        // A departure outranks a suspicion of the same incarnation.
        let (incarnation, accusers) = match self.end(about) {
            Some((suspected, accusers)) => (suspected.max(incarnation), accusers),
            None => (incarnation, Vec::new()),
        };
        self.insert(
            about,
            Suspected {
                incarnation,
                since: now,
                accusers,
                carriers: Vec::new(),
                uncounted: Vec::new(),
                shortest: wait,
                confirmations: 0,
                ends: now + wait,
                warns: false,
                departs: true,
            },
        );
        true
    }

    /// Returns whether a member is suspected of anything.
    pub(crate) fn holds(&self, about: NodeId) -> bool {
        self.suspected.contains_key(&about)
    }

    /// Returns the members that raised or confirmed the suspicion.
    pub(crate) fn accusers(&self, about: NodeId) -> &[NodeId] {
        self.suspected.get(&about).map_or(&[], |held| &held.accusers)
    }

    /// Ends a suspicion that was refuted or whose member is gone. Returns its incarnation and its accusers.
    pub(crate) fn end(&mut self, about: NodeId) -> Option<(u64, Vec<NodeId>)> {
        let mut held = self.suspected.remove(&about)?;
        self.due.remove(&(held.due(self.settings.period), about));
        held.accusers.append(&mut held.uncounted);
        Some((held.incarnation, held.accusers))
    }

    /// Returns the time of the next action.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes note of how late this node was called. After more than a period it has slept: what was said against a suspicion
    /// meanwhile waits to be read, so none ends within a period from now. That is granted once, or a node that is always late
    /// would end none. Like local health it is about this node's own slowness, and is switched off with that.
    pub(crate) fn note_lateness(&mut self, now: Instant, late: Duration) {
        self.put_off = self.settings.max_health > 0 && !self.put_off && late > self.settings.period;
        if self.put_off {
            let until = now + self.settings.period;
            let running: Vec<NodeId> = self.suspected.keys().copied().collect();
            for about in running {
                self.change(about, |held| held.ends = held.ends.max(until));
            }
        }
    }

    /// Returns an action that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let (_, about) = *self.due.first().filter(|(due, _)| *due <= now)?;
        if self.suspected.get(&about).is_some_and(|held| held.warns) {
            self.change(about, |held| held.warns = false);
            return Some(Due::Warning(about));
        }
        self.end(about);
        Some(Due::End(about))
    }
}

impl Probe {
    /// `α · max(1, log10 n)` periods.
    fn shortest_suspicion(&self, n: usize) -> Duration {
        // log10(2) in 1/65,536.
        const LOG10_2: u64 = 19_728;
        let log10 = (log2(n as u64) * LOG10_2) >> 16;
        let scaled = micros(self.period).saturating_mul(u64::from(self.alpha)).saturating_mul(log10.max(1 << 16));
        Duration::from_micros(scaled >> 16)
    }

    /// `max − (max − min) · log(C + 1) / log(K + 1)`, where `max = β · min` (Lifeguard, section IV-B).
    fn suspicion(&self, shortest: Duration, confirmed: usize, confirmations: usize) -> Duration {
        let longest = shortest.saturating_mul(self.beta);
        let whole = log2(confirmations as u64 + 1);
        if whole == 0 {
            return shortest;
        }
        let part = log2(confirmed as u64 + 1).min(whole);
        let span = micros(longest - shortest);
        longest
            - Duration::from_micros(
                u64::try_from(u128::from(span) * u128::from(part) / u128::from(whole)).unwrap_or(span),
            )
    }
}

/// Returns the binary logarithm of `n` (of 1 if it is 0) in 1/65,536. Core has no floating-point logarithm, and this is
/// the same on every platform.
fn log2(n: u64) -> u64 {
    let n = n.max(1);
    let whole = n.ilog2();
    // The mantissa in 1 … 2, as a fixed-point number of 62 bits; squaring it yields one bit after the other.
    let mut mantissa = if whole <= 62 { u128::from(n) << (62 - whole) } else { u128::from(n) >> 1 };
    let mut fraction = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 62;
        fraction <<= 1;
        if mantissa >= 2 << 62 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (u64::from(whole) << 16) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn id(number: u64) -> NodeId {
        NodeId::new(number)
    }

    /// The opinion of a member, which it tells itself.
    fn by(accuser: u64) -> Accusation {
        Accusation::By { accuser: id(accuser), carrier: Some(id(accuser)) }
    }

    #[test]
    fn logarithms_are_right_to_four_digits() {
        for n in [1_u32, 2, 3, 7, 10, 100, 1_000, 12_345, u32::MAX] {
            let exact = f64::from(n).log2();
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let ours = log2(u64::from(n)) as f64 / 65_536.0;
            assert!((ours - exact).abs() < 1e-4, "{n}: {ours} {exact}");
        }
        assert_eq!(log2(0), 0);
        assert_eq!(log2(u64::MAX) >> 16, 63);
    }

    #[test]
    fn confirmations_shorten_a_suspicion_from_the_longest_to_the_shortest() {
        // n = 100: min = 2 · 2 s, max = 6 · 4 s (Lifeguard, section IV-B).
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let start = Instant::from_secs(1_000);
        let mut ends = Vec::new();
        for accuser in 1..=5 {
            suspicions.accuse(start, id(9), 7, by(accuser), 100);
            ends.push(suspicions.due().unwrap().since(start).as_secs_f64());
        }
        let expected = [24.0, 14.0, 8.15, 4.0, 4.0];
        assert!(ends.iter().zip(expected).all(|(ends, expected)| (ends - expected).abs() < 0.01), "{ends:?}");
    }

    #[test]
    fn the_same_accuser_hearsay_and_older_incarnations_count_for_nothing() {
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let start = Instant::from_secs(1_000);
        assert_eq!(suspicions.accuse(start, id(9), 7, by(1), 100), Verdict::New);
        assert_eq!(suspicions.accuse(start, id(9), 7, by(1), 100), Verdict::Stale);
        assert_eq!(suspicions.accuse(start, id(9), 7, Accusation::Hearsay, 100), Verdict::Stale);
        assert_eq!(suspicions.accuse(start, id(9), 6, by(2), 100), Verdict::Stale);
        assert_eq!(suspicions.accuse(start, id(9), 7, by(2), 100), Verdict::Confirmed);
        assert_eq!(suspicions.accuse(start, id(9), 8, by(2), 100), Verdict::New, "a newer incarnation starts anew");
    }

    #[test]
    fn what_one_member_tells_of_another_counts_once() {
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let start = Instant::from_secs(1_000);
        let told = |suspicions: &mut Suspicions, accuser, carrier| {
            let accusation = Accusation::By { accuser: id(accuser), carrier };
            let verdict = suspicions.accuse(start, id(9), 7, accusation, 100);
            (verdict, (suspicions.due().unwrap().since(start).as_millis() + 5) / 1_000)
        };
        let liar = Some(id(50));
        assert_eq!(told(&mut suspicions, 1, liar), (Verdict::New, 24));
        // Passed on, up to a bound: it may be true.
        for accuser in 2..=5 {
            assert_eq!(told(&mut suspicions, accuser, liar), (Verdict::Confirmed, 24), "{accuser}");
        }
        for accuser in 2..=9 {
            assert_eq!(told(&mut suspicions, accuser, liar), (Verdict::Stale, 24), "{accuser}");
        }
        // Names that were used up by it count when they come from others: it does not keep a suspicion long either.
        assert_eq!(told(&mut suspicions, 2, Some(id(2))), (Verdict::Confirmed, 14));
        assert_eq!(told(&mut suspicions, 7, None), (Verdict::Confirmed, 8));
        assert_eq!(told(&mut suspicions, 8, None), (Verdict::Stale, 8), "nobody knows who they are: they are one");
        assert_eq!(told(&mut suspicions, 10, Some(id(10))), (Verdict::Confirmed, 4));
        // Accusations that are apart may well come the same way.
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let later = |step: u32| start + step * Duration::from_millis(125);
        let mut ends = Vec::new();
        for step in 0..4 {
            let accusation = Accusation::By { accuser: id(step.into()), carrier: liar };
            suspicions.accuse(later(step), id(9), 7, accusation, 100);
            ends.push((suspicions.due().unwrap().since(start).as_millis() + 5) / 1_000);
        }
        assert_eq!(ends, [24, 14, 8, 4]);
    }

    #[test]
    fn the_record_of_a_death_leaves_the_accused_the_shortest_time_to_refute_it() {
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let start = Instant::from_secs(1_000);
        // The logarithm is accurate to four digits, hence a due time to one or two milliseconds.
        let due =
            |suspicions: &Suspicions| suspicions.due().map_or(0, |due| (due.since(start).as_millis() + 5) / 1_000);
        let later = |secs| start + Duration::from_secs(secs);
        suspicions.hear_of_death(start, id(9), 7, 100);
        assert_eq!(due(&suspicions), 24, "hearsay alone");
        suspicions.hear_of_death(later(1), id(9), 7, 100);
        assert_eq!(due(&suspicions), 24, "however often");
        suspicions.accuse(later(2), id(9), 7, by(1), 100);
        suspicions.hear_of_death(later(3), id(9), 6, 100);
        assert_eq!(due(&suspicions), 24, "of an incarnation before");
        suspicions.hear_of_death(later(3), id(9), 7, 100);
        assert_eq!(due(&suspicions), 4);
        // Nothing makes it longer again.
        suspicions.accuse(later(3), id(9), 7, by(2), 100);
        assert_eq!(due(&suspicions), 4);
        suspicions.hear_of_death(later(3), id(9), 8, 100);
        assert_eq!(due(&suspicions), 27, "a newer incarnation starts anew");
    }

    #[test]
    fn a_departure_is_believed_after_its_time_whatever_others_say() {
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let (start, wait) = (Instant::from_secs(1_000), Duration::from_millis(125));
        assert!(suspicions.hear_of_departure(start, id(9), 7, wait));
        assert!(!suspicions.hear_of_departure(start + wait / 2, id(9), 7, wait), "it is told once");
        suspicions.hear_of_death(start, id(9), 7, 100);
        assert_eq!(suspicions.accuse(start, id(9), 7, by(1), 100), Verdict::Stale);
        assert_eq!(suspicions.due(), Some(start + wait), "nothing makes it longer or shorter");
        assert_eq!(suspicions.pop_due(start + wait), Some(Due::End(id(9))));
        // It takes the place of a suspicion.
        suspicions.accuse(start, id(8), 7, by(99), 100);
        assert!(suspicions.hear_of_departure(start, id(8), 7, wait));
        assert_eq!(suspicions.pop_due(start + wait), Some(Due::End(id(8))), "without a warning");
        assert_eq!(suspicions.due(), None);
    }

    #[test]
    fn where_paths_are_long_a_suspicion_lasts_until_it_can_be_refuted() {
        let start = Instant::from_secs(1_000);
        let at = |secs| start + Duration::from_secs(secs);
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        suspicions.set_patience(Duration::from_secs(4));
        suspicions.accuse(start, id(9), 7, by(1), 2);
        assert_eq!(suspicions.due(), Some(at(8)));
        // A late answer: it was alive when it gave it.
        suspicions.defer(at(7), id(9), Duration::from_secs(5));
        assert_eq!(suspicions.due(), Some(at(17)));
        suspicions.defer(at(8), id(9), Duration::from_secs(1));
        assert_eq!(suspicions.due(), Some(at(17)), "nothing makes it shorter");
        suspicions.defer(at(8), id(8), Duration::from_secs(1));
        assert_eq!(suspicions.pop_due(at(17)), Some(Due::End(id(9))));
    }

    #[test]
    fn whoever_has_slept_reads_what_waits_before_a_suspicion_ends() {
        let start = Instant::from_secs(1_000);
        let at = |secs| start + Duration::from_secs(secs);
        let mut suspicions = Suspicions::new(id(1), Config::lan().probe);
        suspicions.accuse(start, id(9), 7, by(2), 2);
        suspicions.note_lateness(at(1), Duration::from_millis(10));
        suspicions.note_lateness(at(3_600), Duration::from_secs(3_599));
        assert_eq!((suspicions.pop_due(at(3_600)), suspicions.due()), (None, Some(at(3_601))));
        suspicions.note_lateness(at(3_601), Duration::ZERO);
        assert_eq!(suspicions.pop_due(at(3_601)), Some(Due::End(id(9))), "nobody has objected");
        // A node that is always late ends them all the same.
        suspicions.accuse(at(3_601), id(8), 7, by(2), 2);
        suspicions.note_lateness(at(3_611), Duration::from_secs(10));
        assert_eq!(suspicions.pop_due(at(3_611)), None);
        suspicions.note_lateness(at(3_621), Duration::from_secs(10));
        assert_eq!(suspicions.pop_due(at(3_621)), Some(Due::End(id(8))));
    }

    #[test]
    fn of_two_nodes_nobody_is_there_to_confirm() {
        let mut suspicions = Suspicions::new(id(99), Config::lan().probe);
        let start = Instant::from_secs(1_000);
        suspicions.accuse(start, id(9), 7, by(1), 2);
        assert_eq!(suspicions.due(), Some(start + Duration::from_secs(2)));
        assert_eq!(suspicions.pop_due(start + Duration::from_secs(1)), None);
        assert_eq!(suspicions.pop_due(start + Duration::from_secs(2)), Some(Due::End(id(9))));
        assert_eq!(suspicions.due(), None);
    }

    #[test]
    fn whoever_raised_a_suspicion_warns_the_accused_once_a_period_before_it_ends() {
        let start = Instant::from_secs(1_000);
        let at = |secs| start + Duration::from_secs(secs);
        let settings = Config::lan().probe;
        let mut suspicions = Suspicions::new(id(1), settings.clone());
        suspicions.accuse(start, id(9), 7, by(1), 2);
        suspicions.accuse(start, id(8), 7, by(2), 2);
        assert_eq!(suspicions.due(), Some(at(1)));
        assert_eq!(suspicions.pop_due(at(1)), Some(Due::Warning(id(9))));
        assert_eq!(suspicions.pop_due(at(1)), None, "once, and only by those who raised it");
        assert_eq!(suspicions.due(), Some(at(2)));
        // A suspicion that is confirmed here, and therefore nearer to its end.
        suspicions.accuse(at(1), id(7), 7, by(2), 4);
        suspicions.accuse(at(1), id(7), 7, by(1), 4);
        assert!(suspicions.pop_due(at(2)).is_some() && suspicions.pop_due(at(2)).is_some());
        let ends = suspicions.due().unwrap() + settings.period;
        assert_eq!(suspicions.pop_due(ends - settings.period), Some(Due::Warning(id(7))));
        assert_eq!(suspicions.pop_due(ends), Some(Due::End(id(7))));
        // A late confirmation still counts.
        suspicions.accuse(at(50), id(9), 7, by(1), 2);
        assert_eq!(suspicions.pop_due(at(60)), Some(Due::Warning(id(9))));
        assert_eq!(suspicions.pop_due(at(60)), Some(Due::End(id(9))));
        let mut plain = Suspicions::new(id(1), Probe { buddy: false, ..settings });
        plain.accuse(start, id(9), 7, by(1), 2);
        assert_eq!(plain.due(), Some(at(2)));
    }
}
