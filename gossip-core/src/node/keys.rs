//! The keys with which datagrams are sealed, from the application's hands to the envelope's.

use super::Node;
use crate::address::Address;
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::keyring::{Arrival, KeyError, Keyring};
use crate::time::Instant;
use crate::wire::{Header, Message};

impl<A: Address> Node<A> {
    /// Seals what is sent and refuses what is not sealed, or does neither without a keyring. Before the first input it
    /// is part of how the node is made; a node that runs stays in touch only with those that do the same.
    ///
    /// To change the keys of a node that has some there is [`change_keys`](Self::change_keys): a keyring that is set
    /// anew needs a salt of its own.
    pub fn set_keyring(&mut self, keyring: Option<Keyring>) {
        self.envelope.set_keyring(keyring);
        self.note_room();
    }

    /// The keys, if there are any.
    pub const fn keyring(&self) -> Option<&Keyring> {
        self.envelope.keyring()
    }

    /// Changes the keys: [`Keyring::add`], [`use_key`](Keyring::use_key), [`remove`](Keyring::remove),
    /// [`set_plain`](Keyring::set_plain). Takes effect with the next datagram.
    ///
    /// # Errors
    /// Those of `change`, and [`KeyError::NoKeyring`]. What `change` did before it failed is done.
    pub fn change_keys(&mut self, change: impl FnOnce(&mut Keyring) -> Result<(), KeyError>) -> Result<(), KeyError> {
        let result = change(self.envelope.keyring_mut().ok_or(KeyError::NoKeyring)?);
        self.note_room();
        result
    }

    /// Refuses what was sealed and may have been received before. A stranger's has no effects, and therefore no row.
    pub(super) fn check_replay(
        &mut self,
        now: Instant,
        sender: NodeId,
        header: &Header,
        from: &A,
    ) -> Result<(), DatagramError> {
        let Some(serial) = header.serial else { return Ok(()) };
        if !self.is_trusted(sender, header, from, &self.messages) {
            return Ok(());
        }
        let speaks = self.messages.iter().any(|message| !matches!(message, Message::Swim(_)));
        let (now, clock) = (now.max(self.now), header.clock());
        let current = self.replica.member(sender).is_some_and(|record| record.pass == serial.salt);
        let arrival = Arrival { sender, serial, clock, now, speaks, keyed: header.keyed, current };
        if self.envelope.admit(arrival) { Ok(()) } else { Err(DatagramError::Replayed) }
    }

    /// A sealed datagram has less room.
    fn note_room(&mut self) {
        self.anti_entropy.set_room(self.envelope.body().len());
    }
}
