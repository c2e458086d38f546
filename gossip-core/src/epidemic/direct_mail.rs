//! Direct mail (Demers et al., section 1.2): an update goes out at once from where it is born, best effort.

use crate::address::Address;
use crate::outbox::{Intent, Outbox, TrafficClass};
use crate::update::KeyHash;

/// Mails what the replica holds of `key` to each of `to`. Nobody answers; what is lost the others repair.
pub(crate) fn mail<A: Address>(key: KeyHash, to: impl IntoIterator<Item = A>, outbox: &mut Outbox<A>) {
    for to in to {
        outbox.push(TrafficClass::Rumor, to, Intent::Fact(key));
    }
}
