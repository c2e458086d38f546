use std::format;
use std::vec;

use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> Key {
    Key::new([byte; KEY])
}

fn keyring() -> Keyring {
    Keyring::new(key(1), [0xaa; SALT])
}

/// Returns everything after the header.
fn sealed(keyring: &mut Keyring, header: &[u8], messages: &[u8]) -> Vec<u8> {
    let mut rest = vec![0; NONCE];
    rest.extend_from_slice(messages);
    rest.extend([0; TAG]);
    keyring.seal(header, &mut rest);
    rest
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_and_what_was_altered_is_not(
        header in proptest::collection::vec(any::<u8>(), 30),
        messages in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<proptest::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let mut keyring = keyring();
        let id = keyring.primary();
        let mut rest = sealed(&mut keyring, &header, &messages);
        prop_assert_eq!(keyring.open(id, &header, &rest), Ok(Some(&*messages)));
        let mut other = header.clone();
        let at = at.index(header.len() + rest.len());
        if at < header.len() { other[at] ^= flip } else { rest[at - header.len()] ^= flip }
        prop_assert_eq!(keyring.open(id, &other, &rest), Ok(None));
    }
}

#[test]
fn it_is_xchacha20_poly1305_as_others_have_it() {
    // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    let bytes: Vec<u8> = (0x80..0xa0).collect();
    let header = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let salt: Vec<u8> = (0x40..0x50).collect();
    let mut keyring = Keyring::new(Key::new(bytes.try_into().unwrap()), salt.try_into().unwrap());
    keyring.counter = u64::from_le_bytes([0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57]);
    let rest = sealed(&mut keyring, &header, text);
    assert_eq!(rest[NONCE..NONCE + 8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
    let tag = [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49];
    assert_eq!(rest[rest.len() - TAG..], tag);
}

#[test]
fn no_nonce_comes_twice() {
    let mut keyring = keyring();
    let nonces: alloc::collections::BTreeSet<Vec<u8>> =
        (0..1_000).map(|_| sealed(&mut keyring, &[], b"same")[..NONCE].to_vec()).collect();
    assert_eq!(nonces.len(), 1_000);
    assert!(nonces.iter().all(|nonce| nonce[..SALT] == [0xaa; SALT]));
}

#[test]
fn what_is_too_short_is_not_opened() {
    let mut keyring = keyring();
    let id = keyring.primary();
    let rest = sealed(&mut keyring, &[], b"");
    assert_eq!(keyring.open(id, &[], &rest), Ok(Some(&[][..])));
    for end in 0..rest.len() {
        assert_eq!(keyring.open(id, &[], &rest[..end]), Ok(None));
    }
}

#[test]
fn keys_come_and_go_and_one_is_always_in_use() {
    let (old, new) = (key(1).id(), key(2).id());
    let mut keyring = keyring();
    assert_eq!(keyring.use_key(new), Err(KeyError::Unknown { id: new }));
    keyring.add(key(2)).unwrap();
    assert_eq!(keyring.add(key(2)), Err(KeyError::Taken { id: new }));
    assert_eq!(keyring.add(key(3).with_id(old)), Err(KeyError::Taken { id: old }));
    assert_eq!(keyring.remove(old), Err(KeyError::InUse { id: old }));
    let before = sealed(&mut keyring, &[], b"x");
    keyring.use_key(new).unwrap();
    assert_eq!(keyring.ids().collect::<Vec<_>>(), [new, old]);
    assert_eq!(keyring.open(old.get(), &[], &before), Ok(Some(&b"x"[..])), "still accepted");
    keyring.remove(old).unwrap();
    assert_eq!(keyring.remove(old), Err(KeyError::Unknown { id: old }));
    assert_eq!(keyring.open(old.get(), &[], &before), Err(()), "retired");
}

#[test]
fn nothing_secret_is_printed() {
    let shown = format!("{:?} {:#?} {:?}", keyring(), keyring(), "7f".repeat(KEY).parse::<Key>());
    // The bytes of the keys and of the salt, in both bases.
    assert!(
        !shown.contains("7f") && !shown.contains("127") && !shown.contains("170") && !shown.contains("aa"),
        "{shown}"
    );
}

#[test]
fn a_key_can_be_written_down() {
    let text: std::string::String = (0..32).map(|byte| format!("{byte:02X}")).collect();
    let bytes: Vec<u8> = (0..32).collect();
    assert_eq!(text.parse::<Key>().unwrap().id(), Key::new(bytes.try_into().unwrap()).id());
    for wrong in ["", "00", &text[1..], &text.replace('A', "x"), &"é".repeat(32)] {
        assert_eq!(wrong.parse::<Key>().map(drop), Err(ParseKeyError));
    }
}
