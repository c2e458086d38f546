//! Checks on updates that decode: whether a correct node can have written them.

use super::size::encoded_len;
use crate::address::{Address, MAX_ADDRESS};
use crate::update::{About, Descriptor, Entry, MAX_NAME, Standing, Until, Update};

impl Descriptor {
    /// Returns whether a correct node can have written this.
    pub(super) fn is_sound(&self) -> bool {
        let Self { name, expires, until, size, .. } = self;
        *size > 0 && name.len() <= MAX_NAME && are_sound(true, *expires, *until)
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
        Update::Entry(entry) => {
            let Entry { name, expires, until, value, .. } = entry;
            name.len() <= MAX_NAME && are_sound(value.is_some(), *expires, *until)
        }
        Update::Certificate(certificate) => {
            certificate.until != Until::NEVER && certificate.key.is_entry(certificate.owner.is_some())
        }
        Update::Broadcast(broadcast) => broadcast.until != Until::NEVER,
    }
}

/// Returns whether an entry, with a value (`written`) or without one, can have these ends.
fn are_sound(written: bool, expires: Until, until: Until) -> bool {
    // What is deleted or expires ends; what lives for ever does not.
    let mortal = !written || expires != Until::NEVER;
    // Not part of a certificate's digest: two that differ in nothing else would be one item.
    (written || expires == Until::NEVER)
        && mortal == (until != Until::NEVER)
        && (expires == Until::NEVER || expires <= until)
}
