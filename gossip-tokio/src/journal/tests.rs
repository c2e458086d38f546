use gossip_core::{Config, Input, Instant, Node};

use super::*;

/// A directory of the test's own, gone with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}-{test}-{}", env!("CARGO_PKG_NAME"), std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ID: NodeId = NodeId::new(7);
const NOW: Instant = Instant::from_secs(1_700_000_000);

fn node() -> Node<u64> {
    let mut node = Node::new(ID, 7, Config::lan(), 7).unwrap();
    node.record_changes();
    node.handle(NOW, Input::Tick).unwrap();
    node
}

/// A journal of ten parts with a value each.
fn written(place: &Place) -> (PathBuf, Vec<u8>) {
    let path = place.file("data");
    let (mut journal, mut node) = (Journal::create(path.clone(), ID).unwrap(), node());
    while node.take_changes(10).is_some() {}
    for n in 0..10_u8 {
        node.put(NOW, &n.to_string(), &[n; 50]).unwrap();
        journal.append(Kind::Change, &node.take_changes(10).unwrap()).unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

fn names(reader: &mut Reader) -> Vec<String> {
    let mut node = node();
    let parts = reader.parts().map(|part| part.map_err(Box::<dyn std::error::Error>::from));
    node.restore_all(NOW, parts).unwrap();
    node.entries("").map(|(name, _)| name.to_string()).collect()
}

fn journal(path: &Path) -> Reader {
    match find(path).unwrap() {
        Found::Journal(reader) => reader,
        found => panic!("{found:?}"),
    }
}

#[test]
fn what_is_appended_is_read_again_also_over_restarts() {
    let place = Place::new("again");
    let (path, _) = written(&place);
    let mut reader = journal(&path);
    assert_eq!((reader.id(), reader.damage(), reader.torn()), (ID, None, 0));
    assert_eq!(names(&mut reader).len(), 10);
    let (mut resumed, mut node) = (reader.resume().unwrap(), node());
    node.put(NOW, "more", b"value").unwrap();
    resumed.append(Kind::Change, &node.take_changes(10).unwrap()).unwrap();
    assert_eq!(names(&mut journal(&path)).len(), 11);
    assert!(!resumed.is_gone() && !resumed.is_worn());
    fs::remove_file(&path).unwrap();
    assert!(resumed.is_gone());
}

#[test]
fn wherever_the_process_is_killed_all_that_was_whole_is_there() {
    let place = Place::new("torn");
    let (path, bytes) = written(&place);
    let mut last = 0;
    for end in HEADER..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        let mut reader = journal(&path);
        assert_eq!(reader.damage(), None, "{end}");
        let found = names(&mut reader).len();
        assert!(found == last || found == last + 1);
        last = found;
        let torn = reader.torn();
        reader.resume().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), end as u64 - torn);
    }
    assert_eq!(last, 9);
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_takes_only_its_part_along() {
    let place = Place::new("flipped");
    let (path, bytes) = written(&place);
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match find(&path).unwrap() {
            Found::Foreign(_) => assert!(at < HEADER),
            Found::Journal(mut reader) => {
                assert!(reader.damage().is_some_and(|damage| damage.frames == 1), "{at}");
                assert!(names(&mut reader).len() < 10, "{at}");
            }
            Found::Nothing => panic!("there is a file"),
        }
    }
}

#[test]
fn what_is_not_of_this_file_is_no_part_of_it() {
    let place = Place::new("foreign");
    let (path, bytes) = written(&place);
    let zeroed = [&bytes[..], &[0; 4_096]].concat();
    let mut blank = bytes.clone();
    let half = bytes.len() / 2;
    blank[half..].fill(0);
    let twice = [&bytes[..], &bytes].concat();
    // The last part once more: it was written elsewhere.
    let part = bytes.len() - (bytes.len() - HEADER) / 10;
    let again = [&bytes[..], &bytes[part..]].concat();
    let (other, other_bytes) = written(&Place::new("other"));
    assert!(!other.exists());
    let spliced = [&bytes[..], &other_bytes[HEADER..]].concat();
    for bad in [zeroed, blank, twice, again, spliced] {
        fs::write(&path, &bad).unwrap();
        let mut reader = journal(&path);
        assert!(reader.damage().is_some(), "{}", bad.len());
        assert!(names(&mut reader).len() <= 10);
    }
    let mut later = bytes.clone();
    later[15] = b'2';
    for (bad, reason) in
        [(&later[..], "format 2"), (b"something else that is long enough to have a header", "no journal")]
    {
        fs::write(&path, bad).unwrap();
        assert!(matches!(find(&path).unwrap(), Found::Foreign(text) if text.contains(reason)));
    }
    fs::write(&path, &bytes[..HEADER - 1]).unwrap();
    assert!(matches!(find(&path).unwrap(), Found::Foreign(_)));
    let (first, second) = (set_aside(&path).unwrap(), beside(&path, "x"));
    fs::write(&path, "again").unwrap();
    assert!(first != set_aside(&path).unwrap() && first.exists() && first != second);
    assert!(matches!(find(&path).unwrap(), Found::Nothing));
}

#[test]
fn a_new_file_takes_the_place_of_the_old_one_at_once() {
    let place = Place::new("install");
    let (path, _) = written(&place);
    let mut new = Journal::create(beside(&path, "new"), ID).unwrap();
    let mut node = node();
    node.put(NOW, "only", b"value").unwrap();
    new.append(Kind::Base, &node.snapshot()).unwrap();
    new.install(&path).unwrap();
    assert_eq!(names(&mut journal(&path)), ["only"]);
    node.put(NOW, "then", b"value").unwrap();
    while node.take_changes(1).is_some_and(|part| new.append(Kind::Change, &part).is_ok()) {}
    assert_eq!(names(&mut journal(&path)), ["only", "then"]);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
}
