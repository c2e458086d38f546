//! Overlays: for every struct of settings a twin with optional fields, so that a document replaces only a part.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Exchange, LossOfInterest, Membership, Relay, Response};
use crate::time::micros;

/// A setting that the release before this one had. It is read and not used; the next release refuses it as unknown.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct RemovedSetting {
    /// Its name with that of its section, as in `rumor.k`.
    pub name: &'static str,
    /// Text to write instead.
    pub instead: &'static str,
}

impl fmt::Display for RemovedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not used any more: {}", self.name, self.instead)
    }
}

/// Removed settings that a document has.
pub(super) type Removed = Vec<RemovedSetting>;

/// A setting, or a struct of settings, that a document may replace in part.
pub(super) trait Overlay {
    /// Its form in a document.
    type Document: DeserializeOwned + Serialize;
    fn apply(&mut self, document: Self::Document);
    fn document(&self) -> Self::Document;
    /// Adds the settings of the document that are removed.
    fn removed(_document: &Self::Document, _removed: &mut Removed) {}
}

/// Defines a struct of settings and its overlay. After `removed` are the settings of the release before this one that are not
/// used any more, each with its whole name and the text of what to write instead: a document may have them, and whoever reads it
/// with [`ConfigFile`](super::ConfigFile) is told.
macro_rules! settings {
    ($(#[$doc:meta])* Config / $overlay:ident { $($fields:tt)* } $($removed:tt)*) => {
        settings! { @define { preset: Option<Preset>, } $(#[$doc])* Config / $overlay { $($fields)* } $($removed)* }
    };
    ($(#[$doc:meta])* $name:ident / $overlay:ident { $($fields:tt)* } $($removed:tt)*) => {
        settings! { @define { } $(#[$doc])* $name / $overlay { $($fields)* } $($removed)* }
    };
    (@define { $($extra:ident: $extra_type:ty,)* } $(#[$doc:meta])* $name:ident / $overlay:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    } $(removed { $($(#[$gone_attribute:meta])* $gone:ident: $gone_name:literal => $instead:literal,)* })?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $overlay {
            $(#[serde(skip_serializing)] $extra: $extra_type,)*
            $($field: Option<<$type as Overlay>::Document>,)*
            $($($(#[$gone_attribute])* #[serde(skip_serializing)] $gone: Option<serde::de::IgnoredAny>,)*)?
        }

        impl Overlay for $name {
            type Document = $overlay;

            fn apply(&mut self, document: $overlay) {
                $(if let Some(part) = document.$field {
                    self.$field.apply(part);
                })*
            }

            fn document(&self) -> $overlay {
                $overlay {
                    $($extra: None,)*
                    $($field: Some(self.$field.document()),)*
                    $($($(#[$gone_attribute])* $gone: None,)*)?
                }
            }

            fn removed(document: &$overlay, removed: &mut Removed) {
                $(if let Some(part) = &document.$field {
                    <$type as Overlay>::removed(part, removed);
                })*
                $($($(#[$gone_attribute])* if document.$gone.is_some() {
                    removed.push(RemovedSetting { name: $gone_name, instead: $instead });
                })*)?
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.document().serialize(serializer)
            }
        }
    };
}
pub(super) use settings;

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Overlay for $type {
            type Document = Self;
            fn apply(&mut self, document: Self) {
                *self = document;
            }
            fn document(&self) -> Self {
                self.clone()
            }
        }
    )*};
}
plain!(bool, u32, usize, String, Exchange, Response, LossOfInterest, Membership, Relay);

impl Overlay for Duration {
    type Document = Text;

    fn apply(&mut self, document: Text) {
        *self = document.0;
    }

    fn document(&self) -> Text {
        Text(*self)
    }
}

/// A duration in text form: a whole number and a unit, `"200ms"`.
pub(super) struct Text(Duration);

/// Units in microseconds, largest first.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale).map(Duration::from_micros)
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = micros(self.0);
        // Every number is a multiple of one microsecond, so a unit is always found.
        let (unit, scale) =
            UNITS.iter().find(|(_, scale)| micros != 0 && micros.is_multiple_of(*scale)).unwrap_or(&UNITS[3]);
        serializer.collect_str(&format_args!("{}{unit}", micros / scale))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl Visitor<'_> for Words {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration: a whole number and one of us, ms, s, m, h, d, for instance \"200ms\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                parse(text).map(Text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Words)
    }
}
