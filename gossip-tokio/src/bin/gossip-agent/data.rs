//! A snapshot in a file, which outlives the process. Knows bytes and files; must not know when a snapshot is taken.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use gossip_tokio::gossip_core::Snapshot;

/// Beginning of the files that this program writes.
const MAGIC: &[u8] = b"gossip-agent data\n";

/// Content of the place where a snapshot may be.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Snapshot(Snapshot<SocketAddr>),
    /// Something else, and what is wrong with it.
    Foreign(String),
}

/// The file that a node's snapshot is kept in.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl Store {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, writing: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// The file is there and cannot be read.
    pub(crate) fn read(&self) -> io::Result<Found> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            bytes => bytes?,
        };
        Ok(match bytes.strip_prefix(MAGIC).map(postcard::from_bytes) {
            Some(Ok(snapshot)) => Found::Snapshot(snapshot),
            Some(Err(error)) => Found::Foreign(format!("damaged, or of another version: {error}")),
            None => Found::Foreign("no file of gossip-agent".into()),
        })
    }

    /// Replaces the file, so that whatever happens the old or the new one is there, and whole.
    pub(crate) fn write(&self, snapshot: &Snapshot<SocketAddr>) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = postcard::to_extend(snapshot, MAGIC.to_vec()).map_err(io::Error::other)?;
        let new = self.beside("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The file's new name is in its directory.
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Puts a file that cannot be used where nobody overwrites it, and says where.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let aside = self.beside(&format!("refused-{}", since.as_secs()));
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use gossip_tokio::gossip_core::{Config, Instant, Node, NodeId};

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_everything_else_is_foreign() {
        let directory = std::env::temp_dir().join(format!("gossip-agent-data-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("data");
        let store = Store::new(path.clone());
        assert!(matches!(store.read().unwrap(), Found::Nothing));

        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut node = Node::new(NodeId::new(1), address, Config::local(), 1).unwrap();
        node.put(Instant::from_secs(1), "name", b"value").unwrap();
        store.write(&node.snapshot()).unwrap();
        let Found::Snapshot(snapshot) = store.read().unwrap() else { panic!("it was written") };
        assert_eq!(snapshot, node.snapshot());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");

        let bytes = fs::read(&path).unwrap();
        for foreign in [&bytes[..bytes.len() - 1], MAGIC, b"", b"something else"] {
            fs::write(&path, foreign).unwrap();
            assert!(matches!(store.read().unwrap(), Found::Foreign(_)), "{foreign:?}");
        }
        let aside = store.set_aside().unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"something else");
        assert!(matches!(store.read().unwrap(), Found::Nothing));
        fs::remove_dir_all(&directory).unwrap();
    }
}
