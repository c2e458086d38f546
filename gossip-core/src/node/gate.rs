//! Who is listened to: those who are admitted, and have proved that they receive what is sent to their address.
//!
//! Whoever can write another's address on a datagram could otherwise have this node, or the whole cluster, send to that
//! address more than he sent himself. So what comes from a stranger changes nothing here, and he is answered with no
//! more bytes than he sent: he is acked if he pings, and asked to [prove](Trust::Challenge) himself if he said more
//! than that. No state is kept for those who ask. An address is no stranger if it is that of the sender's record, which
//! came here from somebody who was none, if the application named it, or if it answered a challenge.
//!
//! Knows addresses and what is cheap to say. Must not know what updates mean.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use indexmap::IndexSet;
use siphasher::sip::SipHasher13;

use super::Node;
use crate::address::Address;
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::time::Instant;
use crate::update::Record;
use crate::wire::{Answer, Header, Message, Pull, PullRequest, Repair, Summary, Swim, Symbols, Trust, VERSION, Want};

/// Addresses whose proof is remembered besides the members' own; whoever falls out is asked again.
const PROVED: usize = 1_024;
/// The application is told of datagrams of one kind that cannot be read at most once in this time.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(3_600);

type Accept<A> = Box<dyn Fn(NodeId, &A) -> bool + Send + Sync>;

/// See the [module](self).
pub(super) struct Gate<A> {
    accept: Option<Accept<A>>,
    proved: IndexSet<A, BuildHasherDefault<SipHasher13>>,
    /// Datagrams that could not be read, by kind.
    unreadable: [Unread<A>; 3],
}

/// Reason why a datagram cannot be read.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Another cluster's label.
    Label,
    /// A key that is not accepted here; 0 is none.
    Key(u8),
    /// A version that is not spoken here.
    Version(u8),
}

impl Unreadable {
    const fn kind(self) -> usize {
        match self {
            Self::Label => 0,
            Self::Key(_) => 1,
            Self::Version(_) => 2,
        }
    }

    /// Returns whether both are of one kind.
    pub(super) const fn is_like(self, other: Self) -> bool {
        self.kind() == other.kind()
    }

    /// Returns the reason, if it is one, for which a datagram was refused.
    const fn of(error: &DatagramError) -> Option<Self> {
        match *error {
            DatagramError::ForeignLabel => Some(Self::Label),
            DatagramError::Key { key } => Some(Self::Key(key)),
            DatagramError::Version { found, .. } => Some(Self::Version(found)),
            DatagramError::NotUnderstood { .. } => Some(Self::Version(VERSION)),
            _ => None,
        }
    }
}

/// Datagrams of one kind that could not be read.
#[derive(Debug)]
struct Unread<A> {
    /// The latest, and where it came from, if the application is still to be told.
    latest: Option<(Unreadable, A)>,
    /// Time from which on the application may be told.
    from: Instant,
}

impl<A> Default for Gate<A> {
    fn default() -> Self {
        let none = || Unread { latest: None, from: Instant::ORIGIN };
        Self { accept: None, proved: IndexSet::default(), unreadable: [none(), none(), none()] }
    }
}

/// What counts refusals, as statistics do, is left out.
impl<A: fmt::Debug> fmt::Debug for Gate<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("proved", &self.proved).finish_non_exhaustive()
    }
}

impl<A: Address> Gate<A> {
    pub(super) fn admits(&self, id: NodeId, address: &A) -> bool {
        self.accept.as_ref().is_none_or(|accept| accept(id, address))
    }

    pub(super) fn note_proved(&mut self, address: &A) {
        if self.proved.insert(address.clone()) && self.proved.len() > PROVED {
            self.proved.shift_remove_index(0);
        }
    }

    /// Takes note of a datagram that was refused.
    pub(super) fn note_refused(&mut self, error: &DatagramError, from: &A) {
        if let Some(what) = Unreadable::of(error) {
            self.unreadable[what.kind()].latest = Some((what, from.clone()));
        }
    }

    /// Takes out what the application is to be told now.
    fn take_unreadable(&mut self, now: Instant) -> Option<(Unreadable, A)> {
        let due = |unread: &&mut Unread<A>| now >= unread.from && unread.latest.is_some();
        let unread = self.unreadable.iter_mut().find(due)?;
        unread.from = now + UNREADABLE_PAUSE;
        unread.latest.take()
    }
}

impl<A: Address> Node<A> {
    /// Refuses from now on whom `accept` does not: what they send, by the sender's id and the address it came from, and
    /// the records of members with that id and address, whoever passes them on. `accept` must answer the same to
    /// the same question, and should at every node of the cluster.
    ///
    /// Without a key an id is a claim and an address may be forged: this keeps accidents out, not attackers.
    pub fn set_admission(&mut self, accept: impl Fn(NodeId, &A) -> bool + Send + Sync + 'static) {
        self.gate.accept = Some(Box::new(accept));
    }

    /// Returns whether the record of a member may be taken in, whoever passes it on.
    pub(super) fn admits(&self, record: &Record<A>) -> bool {
        self.gate.admits(record.id, &record.address)
    }

    /// Tells the application of datagrams that cannot be read.
    pub(super) fn tick_gate(&mut self) {
        while let Some((what, address)) = self.gate.take_unreadable(self.now) {
            self.events.unreadable(what, address);
        }
    }

    /// Checks that a datagram may be looked at, besides being whole: its sender is admitted, and it is not a recording.
    pub(super) fn check_sender(
        &mut self,
        now: Instant,
        sender: NodeId,
        header: &Header,
        from: &A,
    ) -> Result<(), DatagramError> {
        if !self.gate.admits(sender, from) {
            return Err(DatagramError::NotAdmitted);
        }
        // What a datagram says is outdated as long as deaths and deletions are remembered; after that it would be
        // believed again. Its age is counted from what this sender's own clock said last: a clock that stands behind the
        // others' makes no recording. An answer to this node renews that.
        let lifetimes = &self.config.lifetimes;
        let oldest = lifetimes.reap_after.min(lifetimes.certificate) / 2;
        let age = self.age_of(now, sender, header);
        let harmless = |message: &Message<A>| match message {
            // A probe says nothing that could have been forgotten, and its ack says what time it is.
            Message::Swim(_) => true,
            Message::Repair(Repair::Summary(Summary { answer, .. })) => *answer != Answer::No,
            _ => false,
        };
        if age > oldest {
            self.messages.retain(harmless);
        }
        if age > oldest && self.messages.is_empty() {
            return Err(DatagramError::TooOld { age, oldest });
        }
        Ok(())
    }

    /// Whether whoever sent this receives what is sent to this address, as far as is known or these messages prove.
    pub(super) fn has_proved(&mut self, sender: NodeId, from: &A, messages: &[Message<A>]) -> bool {
        if self.replica.member(sender).is_some_and(|record| record.address == *from)
            || self.gate.proved.contains(from)
            || self.contacts.knows(from)
        {
            return true;
        }
        let tokens = messages.iter().filter_map(|message| match message {
            Message::Trust(Trust::Proof { cookie }) => Some(*cookie),
            Message::Pull(Pull::Pages(PullRequest { token, .. }))
            | Message::Repair(Repair::Want(Want { token, .. })) => Some(*token),
            Message::Repair(Repair::Sketch(Symbols { tokens, .. })) => Some(tokens.yours),
            _ => None,
        });
        let proves = tokens.take(4).any(|token| self.anti_entropy.proves(from, token, self.now));
        if proves {
            self.gate.note_proved(from);
        }
        proves
    }

    /// Answers one who may not be where he says he is, with at most as many bytes as he sent.
    pub(super) fn answer_stranger(&mut self, sender: NodeId, from: &A, length: usize, messages: &[Message<A>]) {
        let (mut ping, mut challenge, mut said) = (None, None, false);
        for message in messages {
            match message {
                Message::Swim(Swim::Ping { seq }) => ping = Some(Message::Swim(Swim::Ack { seq: *seq })),
                Message::Trust(Trust::Challenge { cookie }) => {
                    challenge = Some(Message::Trust(Trust::Proof { cookie: *cookie }))
                }
                // Nobody guesses the number of a ping.
                Message::Swim(Swim::Ack { seq }) => {
                    self.on_ack(sender, *seq);
                }
                Message::Swim(Swim::Nack { seq }) => self.detector.on_nack(sender, *seq),
                _ => said = true,
            }
        }
        self.stats.datagrams_unproved += u64::from(said);
        let cookie = self.anti_entropy.token(from, self.now);
        let own = said.then_some(Message::Trust(Trust::Challenge { cookie }));
        let mut used = 0;
        let mut answers = Vec::new();
        for answer in [challenge, ping, own].into_iter().flatten() {
            let longer = used + answer.encoded_len();
            if self.envelope.length(longer) <= length {
                used = longer;
                answers.push(answer);
            }
        }
        if !answers.is_empty() {
            self.outbox.push(TrafficClass::Ack, from.clone(), Intent::Bare(answers));
        }
    }

    /// A peer took nothing in of what it was sent, for it does not know this node's address: shows that it is there,
    /// and says who is.
    pub(super) fn on_challenge(&mut self, from: &A, cookie: u32) {
        if self.lacks_peers() {
            self.contacts.note_challenge(from, cookie);
            self.call(from);
        } else {
            self.outbox.message(TrafficClass::Ack, from.clone(), Trust::Proof { cookie });
            self.outbox.push(TrafficClass::Ack, from.clone(), Intent::Fact(self.own_key()));
        }
    }
}
