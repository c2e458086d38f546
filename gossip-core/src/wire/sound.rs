//! Checks on updates that decode: whether a correct node can have written them.

use super::size::encoded_len;
use crate::address::{Address, MAX_ADDRESS};
use crate::update::{About, Certificate, Descriptor, End, Entry, MAX_NAME, Owner, Stamp, Standing, Until, Update};

impl Descriptor {
    /// Returns whether a correct node can have written this.
    pub(super) fn is_sound(&self) -> bool {
        let Self { owner, name, stamp, ends, size, .. } = self;
        *size > 0 && name.len() <= MAX_NAME && ends.as_ref().is_none_or(End::is_sound) && is_author(owner, stamp)
    }
}

/// Returns whether a correct node can have written an update.
pub(super) fn is_sound<A: Address>(update: &Update<A>) -> bool {
    match update {
        Update::Member(record) => {
            let ends = record.until != Until::NEVER;
            ends == (record.standing != Standing::Alive)
                && encoded_len(&record.address) <= MAX_ADDRESS
                && record.about.as_ref().is_none_or(About::is_sound)
        }
        Update::Entry(Entry { owner, name, stamp, ends, value, .. }) => {
            name.len() <= MAX_NAME
                && ends.as_ref().map_or(value.is_some(), End::is_sound)
                && (value.is_none() || is_author(owner, stamp))
        }
        Update::Certificate(Certificate { key, owner, ends, .. }) => {
            ends.as_ref().is_some_and(End::is_sound) && key.is_entry(owner.is_some())
        }
        Update::Broadcast(broadcast) => broadcast.until != Until::NEVER,
    }
}

/// Returns whether the author of a value may have written it: only its owner writes a share. Who forgets a member ends its shares.
fn is_author(owner: &Option<Owner>, stamp: &Stamp) -> bool {
    owner.is_none_or(|owner| !owner.has_share() || owner.id == stamp.node)
}
