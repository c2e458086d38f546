//! Hashes of keys, bodies and items, keyed by the cluster's label.

use core::fmt;
use core::hash::Hasher;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::{Broadcast, Certificate, End, Entry, Stamp, Update, Whose};
use crate::address::{Address, MAX_ADDRESS};
use crate::id::NodeId;
use crate::time::Instant;

/// Hash of a key: by it a replica finds an item, and it is all that a shrunk death certificate keeps of the key. Its
/// first two bits name the kind of key, so that a certificate can replace nothing but an entry.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash {
    // Two halves, since a struct that holds a `u128` is padded to 16 bytes.
    high: u64,
    low: u64,
}

impl KeyHash {
    pub(crate) const MIN: Self = Self::from_u128(0);
    pub(crate) const MAX: Self = Self::from_u128(u128::MAX);

    const fn new(kind: u8, hash: u128) -> Self {
        Self::from_u128((kind as u128) << 126 | hash >> 2)
    }

    const fn from_u128(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    const fn to_u128(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    const fn kind(self) -> u8 {
        (self.high >> 62) as u8
    }

    /// Returns true if it is the key of an entry, owned or shared.
    pub(crate) const fn is_entry(self, owned: bool) -> bool {
        self.kind() == if owned { OWNED } else { SHARED }
    }

    /// Returns the member whose record has this key.
    pub(crate) const fn member(self) -> Option<NodeId> {
        if self.kind() == MEMBER { Some(NodeId::new(self.high << 2 | self.low >> 62)) } else { None }
    }

    /// Returns half of it, as uniform as the whole for every kind of key. A table places rows by it, and it names the
    /// key to a peer that may hold another version of it.
    pub(crate) const fn short(self) -> u64 {
        self.low
    }
}

const MEMBER: u8 = 0;
const SHARED: u8 = 1;
const OWNED: u8 = 2;
const BROADCAST: u8 = 3;

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_u128().to_le_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 16]>::deserialize(deserializer).map(|bytes| Self::from_u128(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.to_u128())
    }
}

/// Hashes with the cluster's keys, so that a collision in one cluster is none in another.
#[derive(Debug, Clone)]
pub(crate) struct ItemHasher {
    keys: (u64, u64),
    /// A planted fault: the fields of later versions are left out.
    #[cfg(feature = "next")]
    pub(crate) hides_fields: bool,
}

impl ItemHasher {
    pub(crate) fn new(label: &str) -> Self {
        let mut hasher = SipHasher24::new_with_keys(0x6974_656d, 0x6b65_7973);
        hasher.write(label.as_bytes());
        let hash = hasher.finish128();
        Self {
            keys: (hash.h1, hash.h2),
            #[cfg(feature = "next")]
            hides_fields: false,
        }
    }

    fn wide(&self, kind: u8, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(&[kind]);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    pub(crate) fn member(&self, id: NodeId) -> KeyHash {
        // Runs for every datagram: the id itself distinguishes keys, and half a hash spreads them.
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u64(id.get().to_le());
        KeyHash::new(MEMBER, u128::from(id.get()) << 64 | u128::from(hasher.finish()))
    }

    pub(crate) fn entry(&self, whose: Whose, name: &str) -> KeyHash {
        match whose {
            Whose::Everyone => KeyHash::new(SHARED, self.wide(SHARED, &[name.as_bytes()])),
            Whose::Own(owner) => KeyHash::new(OWNED, self.wide(OWNED, &[&owner.get().to_le_bytes(), name.as_bytes()])),
            // The kind is that of what is owned, and no two of these hash alike.
            Whose::Share(owner) => KeyHash::new(OWNED, self.wide(12, &[&owner.get().to_le_bytes(), name.as_bytes()])),
        }
    }

    pub(crate) fn broadcast(&self, stamp: &Stamp) -> KeyHash {
        let (time, counter, node) = (stamp.time.as_micros(), stamp.counter, stamp.node.get());
        let parts: [&[u8]; 3] = [&time.to_le_bytes(), &counter.to_le_bytes(), &node.to_le_bytes()];
        KeyHash::new(BROADCAST, self.wide(BROADCAST, &parts))
    }

    pub(crate) fn key<A>(&self, update: &Update<A>) -> KeyHash {
        match update {
            Update::Member(record) => self.member(record.id),
            Update::Entry(entry) => self.entry(entry.owner.into(), &entry.name),
            Update::Certificate(certificate) => certificate.key,
            Update::Broadcast(broadcast) => self.broadcast(&broadcast.stamp),
        }
    }

    /// Digest of the body: distinguishes two updates of one key and version.
    pub(crate) fn digest<A: Address>(&self, update: &Update<A>) -> u128 {
        match update {
            Update::Member(record) => {
                let mut buffer = [0; MAX_ADDRESS];
                // Longer addresses are refused at the wire and by `Node::new`.
                let address: &[u8] = postcard::to_slice(&record.address, &mut buffer).map_or(&[], |bytes| bytes);
                let boot = record.boot.as_micros().to_le_bytes();
                match &record.about {
                    None => self.wide(4, &[&boot, address]),
                    // Of a fixed length, so that nothing of it can be taken for a part of the address.
                    Some(about) => {
                        let about = self.wide(8, &[&about.bytes()]).to_le_bytes();
                        self.wide(9, &[&boot, &about, address])
                    }
                }
            }
            Update::Entry(Entry { value, ends, extra, .. }) => {
                let (at, keep) = ends.map_or((Instant::MAX, 0), |End { at, keep, .. }| (at, keep));
                let ends: [&[u8]; 2] = [&at.as_micros().to_le_bytes(), &keep.to_le_bytes()];
                #[cfg(feature = "next")]
                let extra = &extra.clone().filter(|_| !self.hides_fields);
                match (value, extra) {
                    (Some(value), None) => self.wide(5, &[ends[0], ends[1], value]),
                    (None, None) => self.wide(6, &ends),
                    // As they came, whoever knows them.
                    (value, Some(extra)) => {
                        let extra = self.wide(10, &[extra.bytes()]).to_le_bytes();
                        let kind = [if value.is_some() { 5 } else { 6 }];
                        self.wide(11, &[&kind, &extra, ends[0], ends[1], value.as_deref().unwrap_or_default()])
                    }
                }
            }
            Update::Certificate(Certificate { digest, .. }) => *digest,
            Update::Broadcast(Broadcast { asks, payload, .. }) => match asks {
                None => self.wide(7, &[payload]),
                // It fits a datagram, as the broadcast does.
                Some(asks) => {
                    let asks = postcard::to_allocvec(&**asks).unwrap_or_default();
                    self.wide(10, &[&(asks.len() as u64).to_le_bytes(), &asks, payload])
                }
            },
        }
    }

    /// Hash of the item: key, version, end, what it covers, and body. Sketches consist of these.
    ///
    /// Its first bits depend on the key only. A node that sees the hashes of two versions, one on each side, therefore
    /// sees that they are of one key: see [`key_part`]. Forty bits are left to distinguish versions of one key.
    pub(crate) fn item<A: Address>(&self, key: KeyHash, update: &Update<A>) -> u64 {
        self.item_of(key, update, self.digest(update))
    }

    /// Same as [`item`](Self::item) with a digest that was computed before.
    pub(crate) fn item_of<A: Address>(&self, key: KeyHash, update: &Update<A>, digest: u128) -> u64 {
        let version = update.version();
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(&key.to_u128().to_le_bytes());
        hasher.write(&version.0.to_le_bytes());
        hasher.write(&version.1.to_le_bytes());
        hasher.write(&version.2.to_le_bytes());
        hasher.write(&version.3.get().to_le_bytes());
        // Of an entry, the part of its end that is not in the digest.
        let end = match update {
            Update::Member(_) | Update::Broadcast(_) => update.until(),
            Update::Entry(_) | Update::Certificate(_) => update.covers(),
        };
        hasher.write(&end.0.as_micros().to_le_bytes());
        hasher.write(&digest.to_le_bytes());
        key.short() << VERSION_BITS | hasher.finish() >> (64 - VERSION_BITS)
    }
}

/// Number of bits of an item hash that depend on more than the key.
const VERSION_BITS: u32 = 40;

/// Prefix that the hashes of all versions of a key have, and by accident those of another key in sixteen million.
pub(crate) const fn key_part(hash: u64) -> u64 {
    hash >> VERSION_BITS
}

/// Returns the least and the greatest item hash of a key with this [short](KeyHash::short) name.
pub(crate) const fn hashes_of(short: u64) -> (u64, u64) {
    let first = short << VERSION_BITS;
    (first, first | (u64::MAX >> (64 - VERSION_BITS)))
}
