//! Coins: random numbers that are functions of what they decide about.
//!
//! A stream would give every later datagram another fate as soon as one fault is removed, and nothing could be
//! minimised. Knows no network. Only integer and IEEE basic operations: the same numbers on every platform.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `z`.
pub(crate) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number from several, in their order.
pub(crate) fn fold<const N: usize>(words: [u64; N]) -> u64 {
    words.into_iter().fold(0x6a09_e667_f3bc_c908, |acc, word| mix(acc.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word))
}

/// Returns the digest that a datagram is known by.
pub(crate) fn content(payload: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x636f_6e74, 0x656e_7473);
    hasher.write(payload);
    hasher.finish()
}

/// A number below `bound` from 64 random bits.
pub(crate) fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// The natural logarithm of a number from 1 to 2, by a series: the platform's own `ln` may differ in the last bit.
fn ln_1_to_2(x: f64) -> f64 {
    let z = (x - 1.0) / (x + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    let mut power = z;
    let mut odd = 1.0;
    while odd < 24.0 {
        sum += power / odd;
        power *= square;
        odd += 2.0;
    }
    2.0 * sum
}

/// A number from the exponential distribution of mean 1, from 64 random bits.
pub(crate) fn exponential(bits: u64) -> f64 {
    let bits = bits | 1;
    let zeros = bits.leading_zeros();
    // The bits as a fraction are m · 2^-(zeros + 1) with 1 <= m < 2.
    let mantissa = f64::from_bits(0x3ff0_0000_0000_0000 | ((bits << zeros << 1) >> 12));
    f64::from(zeros + 1) * std::f64::consts::LN_2 - ln_1_to_2(mantissa)
}

/// The logarithm of `n` to base 2; 0 for 0.
pub(crate) fn log2(n: u32) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let whole = n.ilog2();
    f64::from(whole) + ln_1_to_2(f64::from(n) / f64::from(1u32 << whole)) / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_has_its_mean_and_its_tail() {
        let draws: Vec<f64> = (0..100_000u64).map(|i| exponential(mix(i + 1))).collect();
        let mean = draws.iter().sum::<f64>() / 100_000.0;
        assert!((0.99..1.01).contains(&mean), "{mean}");
        let tail = draws.iter().filter(|&&x| x > 3.0).count();
        assert!((4_700..5_300).contains(&tail), "e^-3 is 4.98 %, found {tail}");
    }

    #[test]
    fn logarithms_agree_with_the_platforms() {
        for n in [1, 2, 3, 7, 12, 100, 1_000, 10_000] {
            assert!((log2(n) - f64::from(n).log2()).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn numbers_are_the_same_on_every_platform() {
        assert_eq!(fold([1, 2, 3]), 17_676_873_732_638_982_405);
        assert_ne!(fold([1, 2]), fold([2, 1]));
        assert_eq!((exponential(mix(42)) * 1e6) as u64, 425_082);
        assert_eq!(content(b"gossip"), 7_925_511_082_642_569_720);
    }
}
