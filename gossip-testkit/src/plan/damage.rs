//! Damage to what a process has on its disk.

use crate::coin::{below, mix};

/// A kind of damage to the bytes on a disk.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Harm {
    /// One bit is flipped.
    Flip,
    /// The end is missing.
    Cut,
    /// The end is zeros, as after a loss of power.
    Zero,
    /// More follows: half of the time all of it once more.
    Append,
}

impl Harm {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Flip, Self::Cut, Self::Zero, Self::Append];

    /// Its name in a scenario.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::Cut => "cut",
            Self::Zero => "zero",
            Self::Append => "append",
        }
    }
}

/// Damage that was done to the memory of one process.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its kind.
    pub harm: Harm,
    /// Random bits that say where.
    pub bits: u64,
}

impl Damage {
    /// Changes `bytes`: afterwards they differ from what they were.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let Self { harm, bits } = self;
        let length = bytes.len() as u64;
        let place = mix(bits);
        match harm {
            _ if bytes.is_empty() => bytes.push(bits as u8),
            Harm::Cut => bytes.truncate(below(place, length) as usize),
            Harm::Append if bits & 1 == 0 => bytes.extend_from_within(..),
            Harm::Append => bytes.extend((0..1 + (bits >> 1 & 7)).map(|n| mix(bits ^ n) as u8)),
            Harm::Zero => {
                let end = &mut bytes[below(place, length) as usize..];
                if end.iter().all(|byte| *byte == 0) {
                    Self { harm: Harm::Flip, bits }.apply(bytes);
                } else {
                    end.fill(0);
                }
            }
            Harm::Flip => {
                let at = below(place, length * 8) as usize;
                bytes[at / 8] ^= 1 << (at % 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_damaged_is_not_what_it_was() {
        for harm in Harm::ALL {
            for bits in 0..500 {
                for sound in [&b""[..], &[0], &[0, 0, 0], b"snapshot", &[1, 0, 0, 0, 0]] {
                    let mut bytes = sound.to_vec();
                    Damage { harm, bits }.apply(&mut bytes);
                    assert_ne!(bytes, sound, "{harm:?} {bits}");
                }
            }
        }
    }
}
