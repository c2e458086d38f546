//! Names of messages to all: how a name stands in front of a payload. Knows bytes only.

/// Beginning of a payload with a name. It is no text, so no message that a person writes begins so.
const MARK: [u8; 2] = [0, b'n'];
/// Beginning of the names of questions that agents answer by themselves.
pub(crate) const OWN: &str = "gossip/";
/// Longest name, in bytes.
const LONGEST: usize = 255;

/// Puts a name in front of a payload.
///
/// # Errors
/// The name is too long.
pub(crate) fn join(name: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
    let length = u8::try_from(name.len());
    let length = length.map_err(|_| format!("the name has {} bytes, at most {LONGEST} are admitted", name.len()))?;
    Ok([&MARK[..], &[length], name.as_bytes(), payload].concat())
}

/// Takes the name off a payload, if there is one.
pub(crate) fn split(payload: &[u8]) -> (Option<&str>, &[u8]) {
    let named = || {
        let (length, rest) = payload.strip_prefix(&MARK)?.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        Some((std::str::from_utf8(name).ok()?, rest))
    };
    named().map_or((None, payload), |(name, rest)| (Some(name), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_off_as_it_was_put_on_and_nothing_else_has_one() {
        for (name, payload) in [("deploy", &b"v2"[..]), ("", b""), (&"n".repeat(255), &[0xff])] {
            assert_eq!(split(&join(name, payload).unwrap()), (Some(name), payload));
        }
        for plain in [&b"text"[..], b"", &[0], &[0, b'n'], &[0, b'n', 5, b'x'], &[0, b'n', 1, 0xff]] {
            assert_eq!(split(plain), (None, plain));
        }
        assert!(join(&"n".repeat(256), b"").unwrap_err().contains("256 bytes, at most 255"));
    }
}
