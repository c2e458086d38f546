//! A journal in a file: snapshots in frames, appended one after the other. Knows bytes and files; must not know the node,
//! or when something is written.
//!
//! What a node knows is a set of updates that merge in any order, so a journal needs no transactions: each frame is as
//! good as it is whole. A header names the format and the node. Every frame has a checksum that is keyed by a random
//! number of its file and covers its place in it, so that a frame of another file, a copied one, or one of the same file
//! at another place is none.

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gossip_core::{Address, NodeId, Snapshot};
use siphasher::sip::SipHasher13;

/// Beginning of every journal; ends with the version of the format.
const MAGIC: [u8; 16] = *b"gossip journal 1";
/// Magic, salt, id, checksum.
const HEADER: usize = 16 + 16 + 8 + 8;
/// Length of the payload, kind, check of these, checksum of the payload.
const FRAME: usize = 4 + 1 + 4 + 8;

/// Kind of a frame.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of everything, from the last time that the file was written anew.
    Base,
    /// Changes since then.
    Change,
}

/// A journal that is open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    salt: [u64; 2],
    /// Length up to which every byte is as it should be.
    len: u64,
    /// Bytes of the frames of the base, header included.
    base: u64,
    buffer: Vec<u8>,
}

/// A fault in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Reason, for the log.
    pub(crate) reason: String,
    /// Number of frames that are known to be lost: at least one.
    pub(crate) frames: u64,
}

/// Content of the place where a journal may be.
#[derive(Debug)]
pub(crate) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A journal, perhaps with damage in it.
    Journal(Reader),
    /// Something else, or a journal whose header cannot be read.
    Foreign(String),
}

/// A journal that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    path: PathBuf,
    salt: [u64; 2],
    id: NodeId,
    /// Places of the payloads that are whole, with their lengths.
    frames: Vec<(u64, u32)>,
    base: u64,
    /// End of the last whole frame.
    end: u64,
    damage: Option<Damage>,
    /// Bytes of an unfinished frame at the end: the process was killed while it wrote.
    torn: u64,
}

fn check(salt: [u64; 2], place: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(salt[0], salt[1]);
    hasher.write_u64(place.to_le());
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("that many bytes")
}

impl Journal {
    /// Makes an empty journal for the node `id`, in place of whatever is at `path`.
    ///
    /// # Errors
    /// Those of the file system, and of its source of random numbers.
    pub(crate) fn create(path: PathBuf, id: NodeId) -> io::Result<Self> {
        let mut header = [0; HEADER];
        header[..16].copy_from_slice(&MAGIC);
        getrandom::fill(&mut header[16..32]).map_err(io::Error::other)?;
        header[32..40].copy_from_slice(&id.get().to_le_bytes());
        let salt = salt(&header);
        let sum = check(salt, 0, &[&header[..40]]);
        header[40..].copy_from_slice(&sum.to_le_bytes());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        private(&mut options);
        let mut file = options.open(&path)?;
        file.write_all(&header)?;
        let len = HEADER as u64;
        Ok(Self { file, path, salt, len, base: len, buffer: Vec::new() })
    }

    /// Appends a frame. After an error the file ends as before, as far as the file system can do that.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn append<A: Address>(&mut self, kind: Kind, snapshot: &Snapshot<A>) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(FRAME, 0);
        let mut buffer = postcard::to_extend(snapshot, buffer).map_err(io::Error::other)?;
        let length = u32::try_from(buffer.len() - FRAME).map_err(io::Error::other)?;
        buffer[..4].copy_from_slice(&length.to_le_bytes());
        buffer[4] = u8::from(kind == Kind::Base);
        let head = check(self.salt, self.len, &[&buffer[..5]]) as u32;
        buffer[5..9].copy_from_slice(&head.to_le_bytes());
        let sum = check(self.salt, self.len, &[&buffer[..9], &buffer[FRAME..]]);
        buffer[9..FRAME].copy_from_slice(&sum.to_le_bytes());
        let written = self.file.seek(SeekFrom::Start(self.len)).and_then(|_| self.file.write_all(&buffer));
        let size = buffer.len() as u64;
        // Few frames are large.
        buffer.shrink_to(1 << 16);
        self.buffer = buffer;
        if let Err(error) = written {
            // A part of it that stays is overwritten by the next attempt, or taken for unfinished at the next start.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += size;
        self.base += if kind == Kind::Base { size } else { 0 };
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Moves the file to `path`, in place of what is there: whatever happens, one of the two is there, and whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn install(&mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        sync_directory(path)
    }

    /// Returns whether so much of the file is outdated that it should be written anew.
    pub(crate) fn is_worn(&self) -> bool {
        self.len > 2 * self.base + SLACK
    }

    /// Returns true if the file is not at its path any more.
    pub(crate) fn is_gone(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(own), Ok(there)) => !is_same(&own, &there),
            _ => true,
        }
    }
}

/// Bytes of changes that are worth no rewriting, however little else there is.
const SLACK: u64 = 1 << 20;

/// Lets only the owner read a file that is made.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_one: &fs::Metadata, _other: &fs::Metadata) -> bool {
    true
}

/// A file's new name is in its directory.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn salt(header: &[u8; HEADER]) -> [u64; 2] {
    [u64::from_le_bytes(number(header, 16)), u64::from_le_bytes(number(header, 24))]
}

/// Looks at the file at `path`: checks every frame, and decodes none.
///
/// # Errors
/// The file is there and cannot be read.
pub(crate) fn find(path: &Path) -> io::Result<Found> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        file => file?,
    };
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(Found::Nothing);
    }
    let mut input = BufReader::with_capacity(1 << 18, &file);
    let mut header = [0; HEADER];
    if size < HEADER as u64 {
        return Ok(Found::Foreign(format!("{size} bytes are too few for a journal, which has at least {HEADER}")));
    }
    input.read_exact(&mut header)?;
    if header[..15] != MAGIC[..15] {
        return Ok(Found::Foreign("it is no journal of gossip".into()));
    }
    if header[15] != MAGIC[15] {
        let version = header[15].escape_ascii();
        return Ok(Found::Foreign(format!("a journal of format {version}, this version reads format 1")));
    }
    let salt = salt(&header);
    if check(salt, 0, &[&header[..40]]) != u64::from_le_bytes(number(&header, 40)) {
        return Ok(Found::Foreign("its header is damaged".into()));
    }
    let id = NodeId::new(u64::from_le_bytes(number(&header, 32)));
    let (mut frames, mut base, mut place) = (Vec::new(), HEADER as u64, HEADER as u64);
    let (mut damage, mut torn, mut end) = (None::<Damage>, 0, place);
    let mut payload = Vec::new();
    while place < size {
        let rest = size - place;
        if rest < FRAME as u64 {
            torn = rest;
            break;
        }
        let mut head = [0; FRAME];
        input.read_exact(&mut head)?;
        let length = u32::from_le_bytes(number(&head, 0));
        if check(salt, place, &[&head[..5]]) as u32 != u32::from_le_bytes(number(&head, 5)) {
            // Its length cannot be trusted, so what follows is not found either.
            let frames = damage.map_or(1, |damage| damage.frames + 1);
            damage = Some(Damage { reason: format!("{rest} bytes from byte {place} on cannot be read"), frames });
            break;
        }
        if rest - (FRAME as u64) < u64::from(length) {
            torn = rest;
            break;
        }
        payload.resize(length as usize, 0);
        input.read_exact(&mut payload)?;
        let whole = FRAME as u64 + u64::from(length);
        if check(salt, place, &[&head[..9], &payload]) == u64::from_le_bytes(number(&head, 9)) {
            frames.push((place + FRAME as u64, length));
            base += if head[4] == 1 { whole } else { 0 };
            end = place + whole;
        } else {
            let frames = damage.map_or(1, |damage| damage.frames + 1);
            let reason = format!("{frames} parts are damaged, the last one at byte {place}");
            damage = Some(Damage { reason, frames });
        }
        place += whole;
    }
    drop(input);
    Ok(Found::Journal(Reader { file, path: path.to_owned(), salt, id, frames, base, end, damage, torn }))
}

impl Reader {
    /// Returns the id of the node that wrote it.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Returns what is wrong with it.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Lists all that is whole, in the order in which it was written, dated as the last part.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` for a frame that is whole and no snapshot.
    pub(crate) fn parts<A: Address>(&mut self) -> impl Iterator<Item = io::Result<Snapshot<A>>> {
        let last = self.frames.last().copied().map(|last| self.frame::<A>(last));
        let (last, failed) = match last.transpose() {
            Ok(last) => (last, None),
            Err(error) => (None, Some(Err(error))),
        };
        let frames = if last.is_some() { self.frames.clone() } else { Vec::new() };
        let parts = frames.into_iter().map(move |place| {
            let part = self.frame::<A>(place)?;
            Ok(match &last {
                Some(last) => part.as_of(last),
                None => part,
            })
        });
        failed.into_iter().chain(parts)
    }

    fn frame<A: Address>(&mut self, (place, length): (u64, u32)) -> io::Result<Snapshot<A>> {
        let mut payload = vec![0; length as usize];
        self.file.seek(SeekFrom::Start(place))?;
        self.file.read_exact(&mut payload)?;
        postcard::from_bytes(&payload).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the part at byte {place} is no snapshot: {error}"))
        })
    }

    /// Goes on with a journal without damage. An unfinished frame at its end is cut off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn resume(self) -> io::Result<Journal> {
        let Self { path, salt, base, end, torn, .. } = self;
        let file = OpenOptions::new().write(true).open(&path)?;
        if torn > 0 {
            file.set_len(end)?;
        }
        Ok(Journal { file, path, salt, len: end, base, buffer: Vec::new() })
    }

    /// Returns the number of bytes of an unfinished frame at the end.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }
}

/// Puts a file that cannot be used where nobody overwrites it: beside it, with the time in its name.
///
/// # Errors
/// Those of the file system.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut aside = beside(path, &format!("damaged-{}", since.as_secs()));
    let mut more = 1;
    while aside.exists() {
        more += 1;
        aside = beside(path, &format!("damaged-{}-{more}", since.as_secs()));
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Returns a path beside another one.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests;
