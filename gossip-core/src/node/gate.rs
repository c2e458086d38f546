//! The gate: senders must be admitted, and must speak by this node's record, or show that they receive at their address.
//!
//! A sender that forges an address could otherwise make this node, or the whole cluster, send more to that address than
//! it sent itself, and write without hearing an answer. What is keyed by this node's pass comes from somebody who holds its
//! record: a member. All others are strangers: their datagrams change nothing here, and are answered with no more
//! bytes than they have. A ping is acked, a challenge is answered, and a stranger that sent more is
//! [challenged](Trust::Challenge) itself. No state is kept for those that ask. A datagram that carries the token for its
//! address is taken in; so two that do not have each other's records exchange them.
//!
//! ```text
//! newcomer ── own record, Summary, Challenge ──▶ seed         nothing is taken in
//! newcomer ◀── Proof, Challenge ── seed                       no longer than that
//! newcomer ── own record, Summary, Proof, Challenge ──▶ seed  now it knows the newcomer's pass
//! newcomer ◀── Proof, own record, Summary ── seed             keyed by it
//! ```
//!
//! Knows addresses and cheap answers. Must not know the meaning of an update.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::error::DatagramError;
use crate::event::Status;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::time::Instant;
use crate::update::{KeyHash, Record, Standing};
use crate::wire::{
    Answer, FetchRequest, Header, Message, Pull, PullRequest, Repair, Summary, Swim, Symbols, Trust, VERSION, Want,
    Writer,
};

/// The application is told of datagrams of one kind that cannot be read at most once in this time.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(3_600);

type Accept<A> = Box<dyn Fn(NodeId, &A) -> bool + Send + Sync>;

/// See the [module](self).
pub(super) struct Gate<A> {
    accept: Option<Accept<A>>,
    /// Datagrams that could not be read, by kind.
    unreadable: [Unread<A>; 4],
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
    /// More bytes than this node takes: at least so many.
    Size(usize),
}

impl Unreadable {
    const fn kind(self) -> usize {
        match self {
            Self::Label => 0,
            Self::Key(_) => 1,
            Self::Version(_) => 2,
            Self::Size(_) => 3,
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
            DatagramError::TooLong { length, .. } => Some(Self::Size(length)),
            _ => None,
        }
    }
}

/// Datagrams of one kind that could not be read.
#[derive(Debug)]
struct Unread<A> {
    /// The latest, and where it came from, if the application is still to be told.
    latest: Option<(Unreadable, A)>,
    /// The one of which the application was told last.
    told: Option<(Unreadable, A)>,
    /// Time from which on the application may be told.
    from: Instant,
}

impl<A> Default for Gate<A> {
    fn default() -> Self {
        let none = || Unread { latest: None, told: None, from: Instant::ORIGIN };
        Self { accept: None, unreadable: [none(), none(), none(), none()] }
    }
}

/// Counters of refusals are left out.
impl<A: fmt::Debug> fmt::Debug for Gate<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("admits_all", &self.accept.is_none()).finish_non_exhaustive()
    }
}

impl<A: Address> Gate<A> {
    pub(super) fn admits(&self, id: NodeId, address: &A) -> bool {
        self.accept.as_ref().is_none_or(|accept| accept(id, address))
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
        unread.told.clone_from(&unread.latest);
        unread.latest.take()
    }

    /// Lists what could not be read within the last hour: one datagram of each kind.
    pub(super) fn unreadable(&self, now: Instant) -> impl Iterator<Item = &(Unreadable, A)> {
        let recent = move |unread: &&Unread<A>| now < unread.from || unread.latest.is_some();
        self.unreadable.iter().filter(recent).filter_map(|unread| unread.told.as_ref())
    }
}

impl<A: Address> Node<A> {
    /// Sets the function that admits nodes. Datagrams from an id and address that it rejects are refused, and so are
    /// records of members with that id and address, whichever peer passes them on. `accept` must be a pure function,
    /// and should be the same at every node of the cluster.
    ///
    /// Without a key an id is a claim and an address may be forged: this prevents accidents, not attacks.
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

    /// Returns true if the sender holds this node's record, answers its ping, or shows with these messages that it
    /// receives at this address. What the application named proves nothing: addresses can be forged.
    pub(super) fn is_trusted(&self, sender: NodeId, header: &Header, from: &A, messages: &[Message<A>]) -> bool {
        // A bare ack is looked at only if it is waited for.
        if header.keyed || header.sender.is_none() {
            return true;
        }
        if let [Message::Swim(Swim::Ack { seq })] = messages {
            return self.detector.awaited(*seq).any(|id| id == sender);
        }
        let tokens = messages.iter().filter_map(|message| match message {
            Message::Trust(Trust::Proof { cookie }) => Some(*cookie),
            Message::Pull(Pull::Pages(PullRequest { token, .. }) | Pull::Fetch(FetchRequest { token, .. }))
            | Message::Repair(Repair::Want(Want { token, .. })) => Some(*token),
            Message::Repair(Repair::Sketch(Symbols { tokens, .. })) => Some(tokens.yours),
            _ => None,
        });
        tokens.take(4).any(|token| self.trust.proves(from, token, self.now))
    }

    /// Notices that a member has restarted, so that its record here has a pass that it does not know any more: it says
    /// something else of itself than that record, be it another id, and answers a ping between strangers, or speaks as a
    /// stranger.
    pub(super) fn note_restart(&mut self, sender: NodeId, header: &Header, from: &A, messages: &[Message<A>]) {
        let as_stranger = match messages {
            _ if header.keyed => false,
            [Message::Swim(Swim::Ack { seq })] => self.detector.pinged_as_stranger(*seq),
            _ => true,
        };
        if !as_stranger && !self.trust.is_outdated(from) {
            return;
        }
        let Some(record) = self.record_at(from) else { return };
        if record.id == sender && header.agrees(record.incarnation, record.standing) {
            self.trust.note_current(from);
        } else if as_stranger {
            self.trust.note_outdated(from);
        }
    }

    /// Takes note that the record of a member has changed: its address is spoken to by its pass again.
    pub(super) fn note_pass(&mut self, key: KeyHash) {
        if let Some(record) = key.member().and_then(|id| self.replica.member(id)) {
            self.trust.note_current(&record.address);
        }
    }

    /// Returns the record of the member that is looked for at this address.
    fn record_at(&self, address: &A) -> Option<&Record<A>> {
        let elsewhere = || self.detector.seen_at(address).and_then(|id| self.replica.member(id));
        // Of several at one address the latest, but not before one that answers: another may advertise it by mistake.
        let answers = |id| self.detector.members().get(id).is_some_and(|seen| seen.status == Status::Alive);
        let rank = |record: &&Record<A>| (record.standing == Standing::Alive, answers(record.id), record.incarnation);
        self.replica.members_at(address).max_by_key(rank).or_else(elsewhere)
    }

    /// Returns the pass by which this address is spoken to; none if it is spoken to as a stranger's.
    pub(super) fn pass_of(&self, address: &A) -> Option<u64> {
        let record = self.record_at(address).filter(|_| !self.trust.is_outdated(address))?;
        let here = match record.standing {
            Standing::Alive => record.id != self.identity.id,
            // Not believed yet: it is to hear of it.
            Standing::Dead => self.detector.members().get(record.id)?.status == Status::Suspect,
            // One that is gone may come back with another pass.
            Standing::Left => false,
        };
        here.then_some(record.pass)
    }

    /// Adds what a peer has to see that may know nothing of this node: the token that it gave, if it gave one, and the one
    /// that is to be shown here.
    pub(super) fn introduce(&self, to: &A, writer: &mut Writer<'_>) {
        writer.reserve(0);
        if let Some(cookie) = self.trust.shown_to(to) {
            writer.push::<A>(&Trust::Proof { cookie }.into());
        }
        writer.push::<A>(&Trust::Challenge { cookie: self.trust.token(to, self.now) }.into());
    }

    /// Answers a stranger with at most as many bytes as it sent.
    pub(super) fn answer_stranger(&mut self, sender: NodeId, from: &A, length: usize, messages: &[Message<A>]) {
        let (mut ping, mut challenge, mut said) = (None, None, false);
        for message in messages {
            match message {
                Message::Swim(Swim::Ping { seq }) => ping = Some(Message::Swim(Swim::Ack { seq: *seq })),
                Message::Trust(Trust::Challenge { cookie }) => {
                    challenge = Some(Message::Trust(Trust::Proof { cookie: *cookie }))
                }
                // The number of a ping cannot be guessed.
                Message::Swim(Swim::Ack { seq }) => {
                    self.on_ack(sender, *seq);
                }
                Message::Swim(Swim::Nack { seq }) => self.detector.on_nack(sender, *seq),
                _ => said = true,
            }
        }
        self.stats.datagrams_unproved += u64::from(said);
        let cookie = self.trust.token(from, self.now);
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
}
