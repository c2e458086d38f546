//! Name, tags and formats of a member, which travel with its record as fields.
//!
//! Name and tags are small texts without control characters: whoever shows them to a terminal need not fear them.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::fields::{self, MAX_UNKNOWN, NoFields};
use super::formats::{Format, Formats};
use crate::error::AboutError;

/// Longest name of a member, in bytes.
pub const MAX_MEMBER_NAME: usize = 64;
/// Largest size of a member's tags: the keys and values together, in bytes.
pub const MAX_TAGS: usize = 512;

/// Tags of a member: a small map from text to text, at most [`MAX_TAGS`] bytes in all.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    /// By key.
    pairs: Vec<(SmolStr, SmolStr)>,
}

impl Tags {
    /// No tags.
    pub const EMPTY: Self = Self { pairs: Vec::new() };

    /// Makes tags of pairs. Of two with one key the later one stays.
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    pub fn of(pairs: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> Result<Self, AboutError> {
        let mut tags = Self::default();
        pairs.into_iter().try_for_each(|(key, value)| tags.insert(key.as_ref(), value.as_ref()))?;
        Ok(tags)
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// [`AboutError`]: an empty key, a control character, or more than [`MAX_TAGS`] bytes in all; nothing was changed then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), AboutError> {
        if key.is_empty() {
            return Err(AboutError::EmptyKey);
        }
        check_text(key)?;
        check_text(value)?;
        let at = self.find(key);
        let replaced = at.map_or(0, |at| key.len() + self.pairs[at].1.len());
        let length = self.size() - replaced + key.len() + value.len();
        if length > MAX_TAGS {
            return Err(AboutError::TagsTooLong { length, longest: MAX_TAGS });
        }
        match at {
            Ok(at) => self.pairs[at].1 = value.into(),
            Err(at) => self.pairs.insert(at, (key.into(), value.into())),
        }
        Ok(())
    }

    /// Removes a tag. Returns whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.find(key).map(|at| self.pairs.remove(at)).is_ok()
    }

    /// Returns the value of a tag.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).ok().map(|at| &*self.pairs[at].1)
    }

    /// Lists keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns the number of tags.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the bytes of all keys and values.
    pub fn size(&self) -> usize {
        self.pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(held, _)| (**held).cmp(key))
    }
}

static NO_TAGS: Tags = Tags::EMPTY;

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Reads a map in any order. A key that comes twice is an error, and so is whatever [`Tags::insert`] refuses.
impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from text to text")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tags, M::Error> {
                let mut tags = Tags::default();
                while let Some((key, value)) = map.next_entry::<SmolStr, SmolStr>()? {
                    if tags.find(&key).is_ok() {
                        return Err(M::Error::custom(format_args!("the tag {key:?} comes twice")));
                    }
                    tags.insert(&key, &value).map_err(M::Error::custom)?;
                }
                Ok(tags)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// Numbers of the fields of a record.
const NAME: u8 = 1;
const TAGS: u8 = 2;
const FORMATS: u8 = 3;

/// Fields of a record: all but those that every record has. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About(Arc<Said>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// Empty if there is none.
    name: SmolStr,
    tags: Tags,
    formats: Formats,
    /// Fields of later versions: numbers and contents.
    unknown: Vec<(u8, Box<[u8]>)>,
}

impl About {
    /// Joins a name, empty if there is none, and tags; none if there are neither.
    #[cfg(test)]
    pub(crate) fn of(name: SmolStr, tags: Tags) -> Option<Self> {
        Self::some(Said { name, tags, formats: Formats::FIRST, unknown: Vec::new() })
    }

    fn some(said: Said) -> Option<Self> {
        let Said { name, tags, formats, unknown } = &said;
        let plain = name.is_empty() && tags.is_empty() && *formats == Formats::FIRST && unknown.is_empty();
        (!plain).then(|| Self(Arc::new(said)))
    }

    /// Reads fields. Only what [`bytes`](Self::bytes) would write is read, so that the hash of a record does not depend on which of its
    /// fields a version knows.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (mut name, mut tags, mut formats) = (SmolStr::default(), Tags::EMPTY, Formats::FIRST);
        let mut unknown = Vec::new();
        for field in fields::read(bytes) {
            match field.ok()? {
                (NAME, content) => name = core::str::from_utf8(content).ok()?.into(),
                (TAGS, content) => tags = postcard::from_bytes(content).ok()?,
                (FORMATS, content) => formats = postcard::from_bytes(content).ok()?,
                (number, content) => unknown.push((number, content.into())),
            }
        }
        Self::some(Said { name, tags, formats, unknown }).filter(|about| about.bytes() == bytes)
    }

    /// Returns these fields with something changed; none if none are left.
    fn changed(about: Option<&Self>, change: impl FnOnce(&mut Said)) -> Option<Self> {
        let plain = Said { name: SmolStr::default(), tags: Tags::EMPTY, formats: Formats::FIRST, unknown: Vec::new() };
        let mut said = about.map_or(plain, |about| (*about.0).clone());
        change(&mut said);
        Self::some(said)
    }

    /// Returns these fields with another name, empty if there is none.
    pub(crate) fn named(about: Option<&Self>, name: &str) -> Option<Self> {
        Self::changed(about, |said| said.name = name.into())
    }

    /// Returns these fields with other tags.
    pub(crate) fn tagged(about: Option<&Self>, tags: Tags) -> Option<Self> {
        Self::changed(about, |said| said.tags = tags)
    }

    /// Returns these fields with other formats.
    pub(crate) fn formatted(about: Option<&Self>, formats: Formats) -> Option<Self> {
        Self::changed(about, |said| said.formats = formats)
    }

    /// Returns these fields with one of a later version.
    #[cfg(any(test, feature = "next"))]
    pub(crate) fn with(about: Option<&Self>, number: u8, content: &[u8]) -> Option<Self> {
        Self::changed(about, |said| {
            said.unknown.retain(|(held, _)| *held != number);
            said.unknown.push((number, content.into()));
            said.unknown.sort_unstable();
        })
    }

    pub(crate) fn name(&self) -> Option<&str> {
        Some(&*self.0.name).filter(|name| !name.is_empty())
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.0.tags
    }

    /// Returns the tags of a member that may have none.
    pub(crate) fn tags_of(about: Option<&Self>) -> &Tags {
        about.map_or(&NO_TAGS, Self::tags)
    }

    /// Returns the formats of a member that may say nothing of them.
    pub(crate) fn formats_of(about: Option<&Self>) -> Formats {
        about.map_or(Formats::FIRST, |about| about.0.formats)
    }

    /// Returns the content of a field of a later version.
    #[cfg(any(test, feature = "next"))]
    pub(crate) fn unknown(&self, number: u8) -> Option<&[u8]> {
        self.0.unknown.iter().find(|(held, _)| *held == number).map(|(_, content)| &**content)
    }

    /// Returns the first field that whoever reads this format has to know and does not.
    pub(super) fn beyond(&self, reads: Format) -> Option<u8> {
        self.0.unknown.iter().map(|(number, _)| *number).find(|number| !reads.may_carry(*number))
    }

    /// Returns whether a correct node can have written this. The tags were checked when they were read.
    pub(crate) fn is_sound(&self) -> bool {
        let Said { name, formats, unknown, .. } = &*self.0;
        let carried: usize = unknown.iter().map(|(_, content)| content.len() + 2).sum();
        check_member_name(name).is_ok() && formats.is_sound() && carried <= MAX_UNKNOWN
    }

    /// Returns the encoded fields: equal for equal fields only.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Said { name, tags, formats, unknown } = &*self.0;
        let mut bytes = Vec::with_capacity(16 + name.len() + tags.size() + 4 * tags.len());
        if !name.is_empty() {
            fields::push(&mut bytes, NAME, name.as_bytes());
        }
        // Nothing of these fails to be written.
        if !tags.is_empty() {
            fields::push(&mut bytes, TAGS, &postcard::to_allocvec(tags).unwrap_or_default());
        }
        if *formats != Formats::FIRST {
            fields::push(&mut bytes, FORMATS, &postcard::to_allocvec(formats).unwrap_or_default());
        }
        for (number, content) in unknown {
            fields::push(&mut bytes, *number, content);
        }
        bytes
    }
}

/// Encodes the fields of a record as one byte string, empty if there are none.
pub(super) mod encoded {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(about: &Option<About>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&about.as_ref().map(About::bytes).unwrap_or_default())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<About>, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        About::read(&bytes).map(Some).ok_or_else(|| D::Error::custom(NoFields))
    }
}

/// Checks that a member may have this name. An empty one is none.
///
/// # Errors
/// Too long, or a control character in it.
pub(crate) fn check_member_name(name: &str) -> Result<(), AboutError> {
    if name.len() > MAX_MEMBER_NAME {
        return Err(AboutError::NameTooLong { length: name.len(), longest: MAX_MEMBER_NAME });
    }
    check_text(name)
}

fn check_text(text: &str) -> Result<(), AboutError> {
    if text.chars().any(char::is_control) {
        return Err(AboutError::Control { text: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn tags_are_a_small_map_by_key() {
        let mut tags = Tags::of([("role", "db"), ("az", "b"), ("role", "cache")]).unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("az", "b"), ("role", "cache")]);
        assert_eq!((tags.get("role"), tags.get("rol"), tags.len(), tags.size()), (Some("cache"), None, 2, 12));
        assert!(tags.remove("az") && !tags.remove("az") && !tags.is_empty());
        assert_eq!(format!("{tags:?}"), "{\"role\": \"cache\"}");
    }

    #[test]
    fn the_bounds_are_kept_and_named() {
        let mut tags = Tags::default();
        tags.insert("a", &"x".repeat(511)).unwrap();
        assert_eq!(tags.insert("b", ""), Err(AboutError::TagsTooLong { length: 513, longest: 512 }));
        tags.insert("a", &"y".repeat(511)).unwrap();
        assert_eq!(tags.insert("", "x"), Err(AboutError::EmptyKey));
        assert_eq!(tags.insert("a", "\u{1b}[2J"), Err(AboutError::Control { text: "\u{1b}[2J".into() }));
        assert_eq!(tags.get("a"), Some(&*"y".repeat(511)), "nothing was changed");
        assert!(check_member_name(&"n".repeat(64)).is_ok() && check_member_name("").is_ok());
        let long = check_member_name(&"n".repeat(65)).unwrap_err();
        assert_eq!(format!("{long}"), "the member's name has 65 bytes, at most 64 are accepted");
        assert!(check_member_name("a\nb").is_err());
    }

    fn read(pairs: &[(&str, &str)]) -> postcard::Result<Tags> {
        // A map is its length, then keys and values.
        let mut bytes = postcard::to_allocvec(&pairs.len()).unwrap();
        pairs.iter().for_each(|pair| bytes.extend(postcard::to_allocvec(pair).unwrap()));
        postcard::from_bytes(&bytes)
    }

    #[test]
    fn what_no_node_writes_is_not_read() {
        let tags = Tags::of([("b", "2"), ("a", "1")]).unwrap();
        assert_eq!(read(&[("b", "2"), ("a", "1")]), Ok(tags.clone()));
        let again: Tags = postcard::from_bytes(&postcard::to_allocvec(&tags).unwrap()).unwrap();
        assert_eq!(again, tags);
        let long = "x".repeat(513);
        for bad in [&[("a", "1"), ("a", "2")][..], &[("", "1")], &[("a", "\r")], &[("a", &long)]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    fn about(name: &str, tags: &[(&str, &str)]) -> About {
        About::of(name.into(), Tags::of(tags.iter().copied()).unwrap()).unwrap()
    }

    #[test]
    fn only_what_would_be_written_is_read() {
        let whole = about("a", &[("b", "c")]);
        assert_eq!(About::read(&whole.bytes()), Some(whole.clone()));
        let later = About::with(Some(&whole), 9, b"x").unwrap();
        assert_eq!(About::read(&later.bytes()), Some(later.clone()), "it is carried along");
        assert!(later.is_sound() && later.unknown(9) == Some(b"x") && later.beyond(Format::FIRST).is_none());
        assert_eq!(About::with(None, 0x80, b"").unwrap().beyond(Format::FIRST), Some(0x80));
        assert!(!About::with(None, 9, &[0; MAX_UNKNOWN]).unwrap().is_sound());
        // Fields that say what every record says without them, tags out of order, what is no text.
        for bad in [&[NAME, 0][..], &[TAGS, 1, 0], &[TAGS, 9, 2, 1, b'b', 1, b'1', 1, b'a', 1, b'2'], &[NAME, 1, 0xff]]
        {
            assert_eq!(About::read(bad), None, "{bad:?}");
        }
        assert!(About::read(&[NAME, 1, 7]).is_some_and(|loud| !loud.is_sound()));
        assert_eq!(About::of("".into(), Tags::EMPTY), None);
    }

    #[test]
    fn the_bytes_for_the_hash_are_those_of_no_other() {
        let all = [
            about("ab", &[]),
            about("a", &[("b", "")]),
            about("", &[("ab", "")]),
            about("", &[("a", "b")]),
            about("a", &[("b", "c"), ("d", "e")]),
            about("a", &[("b", "cd"), ("e", "")]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().map(About::bytes).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
