use std::format;
use std::vec;

use proptest::prelude::*;

use super::*;

const SENDER: NodeId = NodeId::new(0x4746_4544_4342_4140);

fn key(byte: u8) -> Key {
    Key::new([byte; KEY])
}

fn keyring() -> Keyring {
    Keyring::new(key(1), [0xaa; 16])
}

/// Returns everything after the header.
fn sealed(keyring: &Keyring, header: &[u8], messages: &[u8]) -> Vec<u8> {
    let mut rest = vec![0; NONCE];
    rest.extend_from_slice(messages);
    rest.extend([0; TAG]);
    keyring.seal(header, SENDER, Serial { salt: 7, counter: 8 }, &mut rest);
    rest
}

/// Returns the messages.
fn opened(keyring: &mut Keyring, id: u8, covered: &[u8], rest: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    Ok(keyring.open(id, covered, SENDER, rest)?.map(|(messages, _)| messages.to_vec()))
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
        let mut rest = sealed(&keyring, &header, &messages);
        prop_assert_eq!(opened(&mut keyring, id, &header, &rest), Ok(Some(messages)));
        let mut other = header.clone();
        let at = at.index(header.len() + rest.len());
        if at < header.len() { other[at] ^= flip } else { rest[at - header.len()] ^= flip }
        prop_assert_eq!(opened(&mut keyring, id, &other, &rest), Ok(None));
    }
}

#[test]
fn it_is_xchacha20_poly1305_as_others_have_it() {
    // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    let bytes: Vec<u8> = (0x80..0xa0).collect();
    let header = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let (salt, counter) = (0x4f4e_4d4c_4b4a_4948, 0x5756_5554_5352_5150);
    let nonce = nonce(SENDER, Serial { salt, counter });
    assert!(nonce.iter().copied().eq(0x40..0x58), "id, salt and counter, each little-endian");
    let mut sealed = text.to_vec();
    let cipher = Key::new(bytes.try_into().unwrap()).cipher;
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &header, sealed.as_mut_slice().into()).unwrap();
    assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
    assert_eq!(
        tag[..],
        [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
    );
}

#[test]
fn different_salts_are_different_numbers() {
    let salt = |salt| Keyring::new(key(1), salt).salt();
    let (mut low, mut high) = ([0; 16], [0; 16]);
    (low[0], high[15]) = (1, 1);
    assert!(salt([0; 16]) != salt(low) && salt([0; 16]) != salt(high) && salt(low) != salt(high));
}

#[test]
fn what_is_too_short_is_not_opened() {
    let mut keyring = keyring();
    let id = keyring.primary();
    let rest = sealed(&keyring, &[], b"");
    assert_eq!(opened(&mut keyring, id, &[], &rest), Ok(Some(vec![])));
    for end in 0..rest.len() {
        assert_eq!(opened(&mut keyring, id, &[], &rest[..end]), Ok(None));
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
    let before = sealed(&keyring, &[], b"x");
    keyring.use_key(new).unwrap();
    assert_eq!(keyring.ids().collect::<Vec<_>>(), [new, old]);
    assert_eq!(opened(&mut keyring, old.get(), &[], &before), Ok(Some(b"x".to_vec())), "still accepted");
    keyring.remove(old).unwrap();
    assert_eq!(keyring.remove(old), Err(KeyError::Unknown { id: old }));
    assert_eq!(opened(&mut keyring, old.get(), &[], &before), Err(()), "retired");
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
