//! Absence: contact with others, doubts about deletions that were missed, and what is set aside for them.
//!
//! Death certificates are forgotten some time after they end. A node that was away until then still holds the deleted
//! values, and would bring them back. So whoever was without contact has a *doubt* about what it held then, and offers
//! that to nobody, until it meets a *witness*: a member that has been there since before the last contact. If the witness has
//! forgotten no deletion of the time since, the doubt is settled at once. Otherwise what the witness lacks is set aside: out of
//! the set, invisible, and kept until the application decides.
//!
//! Where nobody can be a witness, as after a night in which all slept, those who meet share the doubt, and merge as if there
//! were none. No value is ever destroyed. Knows no peer and no message.

mod aside;

use alloc::collections::VecDeque;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use aside::Aside;

use crate::id::NodeId;
use crate::replica::second;
use crate::time::Instant;
use crate::update::{Entry, Update};

/// Deletions are in doubt from so long before the last contact on, or for an eighth of the life of certificates if that is
/// shorter: what was under way then may have been lost.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// Time without contact after which there is a doubt: this, or twelve intervals of anti-entropy.
const SILENCE: Duration = Duration::from_secs(60);
const INTERVALS: u32 = 12;
/// Seconds for which those who share a doubt look for a witness.
const LASTS: u32 = 3_600;

/// Own writes that are remembered until somebody has confirmed them: those that came last.
const UNHEARD: usize = 16;

/// Doubt about deletions that were made, and forgotten, without a word of them coming here. In seconds of agreed time.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doubt {
    /// Last contact before.
    pub(crate) since: u32,
    /// Time up to which anything came in before: what is stamped later is not in doubt.
    pub(crate) heard: u32,
    /// Seconds for which it lasts at most, however often it is shared.
    pub(crate) left: u32,
}

/// A node's knowledge of the past, as it tells a peer. In seconds of agreed time.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// Nothing is said.
    Unsaid,
    /// It has taken in all that others hold since `since`, and has forgotten no deletion that was made after `reach`.
    Complete { since: u32, reach: u32 },
    /// It was away.
    InDoubt(Doubt),
}

/// Outcome of a meeting of two.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// No doubt is shared or settled.
    Plain,
    /// The doubt is settled: the peer has forgotten nothing of the time in doubt.
    Settled,
    /// Both are in doubt: they merge.
    Alike,
    /// The peer is a witness that has forgotten deletions of the time in doubt: what it lacks is set aside.
    Judged,
}

/// The part of the state that is kept beyond the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    /// Time since which everything was taken in.
    since: u32,
    /// Last contact without doubt.
    touch: u32,
    /// Time after the last datagram.
    heard: u32,
    /// Latest deletion that others forgot of whom this node knows everything.
    reach: u32,
    /// The hybrid clock at the last contact without doubt, or the stamp of a later own write that somebody has confirmed: nobody may
    /// have got what was written here later.
    mark: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Absence {
    own: NodeId,
    silence: Duration,
    /// In seconds.
    margin: u32,
    contact: Contact,
    /// Monotonic times of the last contact and of the last datagram; none since the start.
    met: Option<Instant>,
    heard_at: Instant,
    /// True if this node was not called for so long that it was suspended, since the last datagram.
    slept: bool,
    /// Agreed time here and at the peer at the last contact without doubt.
    read: Option<[u32; 2]>,
    /// Hashes and stamps of own writes that nobody has confirmed.
    unheard: VecDeque<(u64, Instant)>,
    /// The doubt, and when it ends.
    doubt: Option<(Doubt, Instant)>,
    /// Time of the start.
    began: u32,
    /// Monotonic time of the first contact since the start.
    first: Option<Instant>,
    /// True if a member that was there before the start has held the very same as this node.
    is_told: bool,
}

impl Absence {
    /// `certificate`: life of death certificates; `interval`: of anti-entropy.
    pub(crate) fn new(own: NodeId, certificate: Duration, interval: Duration) -> Self {
        Self {
            own,
            silence: SILENCE.max(interval.saturating_mul(INTERVALS)),
            margin: MARGIN.min(certificate / 8).as_secs().try_into().unwrap_or(u32::MAX),
            contact: Contact::default(),
            met: None,
            heard_at: Instant::ORIGIN,
            slept: false,
            read: None,
            unheard: VecDeque::new(),
            doubt: None,
            began: 0,
            first: None,
            is_told: false,
        }
    }

    /// Begins without memory.
    pub(crate) fn start(&mut self, agreed: Instant) {
        self.began = second(agreed);
        if self.contact == Contact::default() {
            let start = second(agreed);
            self.contact = Contact { since: start, touch: start, mark: agreed, ..Contact::default() };
        }
    }

    /// Takes note of the time for which this node was not called.
    pub(crate) fn note_pause(&mut self, pause: Duration) {
        self.slept |= pause > self.silence;
    }

    /// Takes note of a datagram from a member, before it is taken in. Returns true if a doubt begins or ends with it.
    pub(crate) fn hear(&mut self, now: Instant, agreed: Instant) -> bool {
        let slept = core::mem::take(&mut self.slept);
        let alone_for = u64::from(second(agreed).saturating_sub(self.contact.since));
        if self.met.is_none() && self.contact.heard == 0 && alone_for > self.silence.as_secs() {
            // Nobody has been there since it started: nothing was taken in, and nothing is in doubt.
            (self.contact.since, self.contact.touch) = (second(agreed), second(agreed));
        }
        let over = |at: Instant| now.since(at) > self.silence;
        let silent = self.met.is_none() || over(self.heard_at);
        let ends = self.doubt.is_some_and(|(_, ends)| now >= ends);
        if ends {
            // No witness has been met: as good as one that began without memory.
            self.doubt = None;
            self.contact.since = second(agreed);
        }
        // After a restart; without memory nothing was heard yet. Where a doubt has ended there was contact, if any.
        let apart = self.met.map_or(self.contact.heard > 0, |met| over(met) && (silent || !ends));
        let begins = apart && (self.doubt.is_none() || silent);
        if begins {
            let Contact { heard, .. } = self.contact;
            // What waited in a socket while this node was suspended is read now, and may be as old as the absence.
            let late = if slept { second(agreed).saturating_add(1) } else { 0 };
            self.join(Doubt { since: self.last_contact(now, agreed), heard: heard.max(late), left: LASTS }, now);
        }
        if ends {
            self.met = Some(now);
        }
        self.met = self.met.or(Some(now));
        self.contact.heard = second(agreed).saturating_add(1);
        self.heard_at = now;
        begins || ends
    }

    /// Returns the agreed time of the last contact. A clock may have been wrong just then, or is now: of the two that were read then, and
    /// what the monotonic clock says since, the middle one is right if only one is wrong. A new process goes by what was kept.
    fn last_contact(&self, now: Instant, agreed: Instant) -> u32 {
        let (Some(met), Some([own, peer])) = (self.met, self.read) else { return self.contact.touch };
        let ago = now.since(met).as_secs().try_into().unwrap_or(u32::MAX);
        let mut all = [own, peer, second(agreed).saturating_sub(ago)];
        all.sort_unstable();
        all[1]
    }

    /// Takes a doubt over, also beside one that is there.
    fn join(&mut self, Doubt { since, heard, left }: Doubt, now: Instant) {
        let ends = now + Duration::from_secs(left.min(LASTS).into());
        let new = Doubt { since, heard, left: 0 };
        self.doubt = Some(match self.doubt {
            Some((doubt, ends)) => {
                (Doubt { since: doubt.since.min(since), heard: doubt.heard.max(heard), left: 0 }, ends)
            }
            None => (new, ends),
        });
    }

    /// Returns what is said to a peer. `reach`: latest deletion that was forgotten here.
    pub(crate) fn knowledge(&self, reach: u32, now: Instant) -> Knowledge {
        match self.doubt {
            Some((doubt, ends)) => {
                Knowledge::InDoubt(Doubt { left: ends.since(now).as_secs().try_into().unwrap_or(LASTS), ..doubt })
            }
            None => Knowledge::Complete { since: self.contact.since, reach: self.contact.reach.max(reach) },
        }
    }

    /// Meets a peer that says this of itself.
    pub(crate) fn meet(&mut self, theirs: Knowledge, now: Instant) -> Meeting {
        match (theirs, self.doubt) {
            // One that is over within a second is not taken over: two would give it back to one another, and compare each time.
            (Knowledge::InDoubt(theirs), mine)
                if mine.is_some() || (self.contact.since > theirs.since && theirs.left > 0) =>
            {
                // Nobody has heard anything later than this node has.
                let heard = theirs.heard.min(self.contact.heard);
                self.join(Doubt { heard, ..theirs }, now);
                Meeting::Alike
            }
            (Knowledge::Complete { since, reach }, Some((doubt, _))) if since <= doubt.since => {
                if reach > doubt.since.saturating_sub(self.margin) {
                    return Meeting::Judged;
                }
                self.doubt = None;
                // At once: others may ask before all is compared.
                self.contact.reach = self.contact.reach.max(reach);
                // As good as a contact, for a while: under load an exchange may not run to its end for long.
                self.met = Some(now);
                Meeting::Settled
            }
            _ => Meeting::Plain,
        }
    }

    /// Takes note of a contact: both hold the same now. `peer`: agreed time there, in seconds; `mark`: the hybrid clock.
    pub(crate) fn touch(&mut self, now: Instant, peer: u32, agreed: Instant, mark: Instant) {
        self.met = Some(now);
        self.first.get_or_insert(now);
        if self.doubt.is_none() {
            self.contact.touch = peer.min(second(agreed));
            self.read = Some([second(agreed), peer]);
            self.contact.mark = mark;
            self.unheard.clear();
        }
    }

    /// Takes note of an own write: the hash of the item, and its stamp.
    pub(crate) fn note_written(&mut self, hash: u64, stamp: Instant) {
        if self.unheard.len() == UNHEARD {
            self.unheard.pop_front();
        }
        self.unheard.push_back((hash, stamp));
    }

    /// Takes note that a member has confirmed an item. If it was written here others have it, and may delete it.
    pub(crate) fn note_confirmed(&mut self, item: u64) {
        if let Some(at) = self.unheard.iter().position(|(hash, _)| *hash == item)
            && let Some((_, stamp)) = self.unheard.remove(at)
            && self.doubt.is_none()
        {
            self.contact.mark = self.contact.mark.max(stamp);
        }
    }

    /// Takes note that a peer holds the very same: nothing of it is on its way.
    pub(crate) const fn agree(&mut self) {
        self.is_told |= self.contact.since < self.began;
    }

    /// Returns whether this node has learned what others knew of it when it started: it holds the same as a member that was
    /// there before, or has compared with others for `patience`, since all may have started together.
    pub(crate) fn has_learned(&self, now: Instant, patience: Duration) -> bool {
        self.is_told || self.first.is_some_and(|first| now.since(first) >= patience)
    }

    /// Takes note that all was taken in that a peer holds, and set aside what it lacks if it is a witness. From now on this node
    /// is as good a witness as the peer.
    pub(crate) fn complete(&mut self, theirs: Knowledge, meeting: Meeting) {
        let Knowledge::Complete { since, reach } = theirs else { return };
        if meeting == Meeting::Judged && self.doubt.is_some_and(|(doubt, _)| since <= doubt.since) {
            self.doubt = None;
        }
        if self.doubt.is_none() {
            self.contact.since = self.contact.since.min(since);
            self.contact.reach = self.contact.reach.max(reach);
        }
    }

    /// Takes note that something was refused: this node does not hold all that others do.
    pub(crate) fn note_refused(&mut self, agreed: Instant) {
        self.contact.since = second(agreed);
    }

    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Returns true if an update is in doubt: it may have been deleted without a word of that coming here. What ends
    /// with a member's boot is not.
    pub(crate) fn doubts<A>(&self, update: &Update<A>) -> bool {
        let Some((doubt, _)) = self.doubt else { return false };
        let Update::Entry(Entry { owner, stamp, ends: None, value: Some(_), .. }) = update else { return false };
        if owner.is_some_and(|owner| !owner.has_share()) {
            return false;
        }
        let unheard = stamp.node == self.own && stamp.time > self.contact.mark;
        !unheard && second(stamp.time) <= doubt.heard
    }

    // Snapshots.

    /// Returns what is to be kept beyond the process. A doubt is in it. `reach`: latest deletion that was forgotten here, which
    /// the next process would not know.
    pub(crate) fn contact(&self, reach: u32) -> Contact {
        let Contact { touch, heard, .. } = self.contact;
        let contact = Contact { reach: self.contact.reach.max(reach), ..self.contact };
        match self.doubt {
            Some((doubt, _)) => Contact { touch: touch.min(doubt.since), heard: heard.max(doubt.heard), ..contact },
            None => contact,
        }
    }

    /// Takes over what was kept; the next datagram begins a doubt.
    pub(crate) fn restore(&mut self, kept: Contact) {
        let Contact { since, touch, heard, reach, mark } = self.contact;
        let fresh = heard == 0;
        self.contact = if fresh {
            kept
        } else {
            Contact {
                since: since.max(kept.since),
                touch: touch.min(kept.touch),
                heard: heard.max(kept.heard),
                reach: reach.max(kept.reach),
                mark: mark.min(kept.mark),
            }
        };
        (self.met, self.read) = (None, None);
    }
}

impl Contact {
    /// Returns this, dated as late as another one of the same node.
    pub(crate) fn as_of(self, later: Self) -> Self {
        if later.heard >= self.heard { later } else { self }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
