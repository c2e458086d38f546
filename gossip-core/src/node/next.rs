//! Format 2.1, which no release has: one message that an old node skips, one kind of entry that it must understand, and one field of
//! records and one of entries that it carries along. With it the testkit mixes versions (feature `next`).

use super::Node;
use crate::address::Address;
use crate::error::WriteError;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{About, Entry, Extra, Features, Format, Formats, NEXT_FIELD, NEXT_KIND, Stamp, Update};
use crate::wire::{Message, Writer};

/// Fault planted into the way that versions live together.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum VersionFault {
    /// A node of format 2.0 drops fields of entries that it does not know.
    DropsFields,
    /// A node of format 2.0 leaves fields that it does not know out of the hash of an item.
    HidesFields,
    /// A node of format 2.1 uses a feature as soon as most members have it.
    Majority,
}

/// State of a node that speaks format 2.1.
#[derive(Debug, Default)]
pub(super) struct Next {
    /// Shade in its record and in what it writes.
    shade: Option<u8>,
    pub(super) fault: Option<VersionFault>,
    /// True while an entry of the kind that must be understood is written.
    writes_kind: bool,
    /// Messages of format 2.1 received.
    heard: u64,
}

impl Next {
    /// Returns the fields of what this node writes.
    pub(super) fn extra(&self) -> Option<Extra> {
        let shade = self.shade?;
        let fields = [NEXT_FIELD, 1, shade, NEXT_KIND, 0];
        Extra::of(if self.writes_kind { &fields } else { &fields[..3] })
    }
}

impl Next {
    /// Returns the features that all members have, or with the planted fault most.
    pub(super) fn agreed(&self, own: Features, all: Features, most: bool) -> Features {
        if most && self.fault == Some(VersionFault::Majority) { own } else { all }
    }
}

impl<A: Address> Node<A> {
    /// Makes this node speak format 2.1: see the feature `next`. `shade`: content of the fields that format 2.0 does not know.
    pub fn speak_next(&mut self, shade: u8) {
        self.next.shade = Some(shade);
        self.identity.about = About::with(self.identity.about.as_ref(), NEXT_FIELD, &[shade]);
        self.begin_formats(Formats { highest: Format::NEXT, can: Features::KINDS, ..Formats::FIRST });
    }

    /// Plants a fault.
    pub fn plant(&mut self, fault: VersionFault) {
        self.next.fault = Some(fault);
        self.replica.hasher.hides_fields = fault == VersionFault::HidesFields && self.next.shade.is_none();
    }

    /// Returns whether the members have agreed on the kind of entries that must be understood.
    pub fn writes_kinds(&self) -> bool {
        self.formats().uses.has(Features::KINDS)
    }

    /// Writes a shared entry of that kind.
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_kind(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        self.next.writes_kind = true;
        let written = self.write(now, None, name, Some(value), None);
        self.next.writes_kind = false;
        written
    }

    /// Returns the shade in the record of a member.
    pub fn shade_of(&self, id: NodeId) -> Option<u8> {
        self.replica.member(id)?.about.as_ref()?.unknown(NEXT_FIELD)?.first().copied()
    }

    /// Returns the number of messages of format 2.1 received.
    pub const fn heard_next(&self) -> u64 {
        self.next.heard
    }

    pub(super) fn on_next(&mut self) {
        self.next.heard += 1;
    }

    /// Adds the message of format 2.1 to a probe, for whoever reads it.
    pub(super) fn note_next(&self, to: &A, writer: &mut Writer<'_>) {
        if self.next.shade.is_some() && self.format_for(to) >= Format::NEXT {
            writer.push::<A>(&Message::Next);
        }
    }

    /// Changes an update that arrives as a planted fault would.
    pub(super) fn spoiled(&self, update: Update<A>) -> Update<A> {
        match update {
            Update::Entry(entry) if self.next.fault == Some(VersionFault::DropsFields) && self.next.shade.is_none() => {
                Update::Entry(Entry { extra: None, ..entry })
            }
            update => update,
        }
    }
}
