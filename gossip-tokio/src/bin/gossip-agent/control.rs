//! The places where an agent listens: its control socket, which only the user who runs it can open, and an address for
//! HTTP. Knows sockets and paths; must not know what is said there.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, UnixListener};

use crate::failure::Failure;

/// Message where no path is known.
pub(crate) const NO_PATH: &str = "neither XDG_RUNTIME_DIR nor HOME is set: name the control socket with --control";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("another agent answers at {}; give this one a socket of its own with --control", path.display())]
    Taken { path: PathBuf },
    #[error("the control socket {} cannot be made: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
}

/// The agent's end of its control socket.
pub(crate) struct Listening {
    pub(crate) path: PathBuf,
    pub(crate) listener: UnixListener,
}

impl Listening {
    /// Nobody can connect any more.
    pub(crate) fn remove(&self) {
        // What is not there any more need not be removed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Replaces a socket at which nobody answers.
pub(crate) fn listen(path: &Path) -> Result<Listening, ControlError> {
    if UnixStream::connect(path).is_ok() {
        return Err(ControlError::Taken { path: path.to_owned() });
    }
    let listener = bind_private(path).map_err(|reason| ControlError::Io { path: path.to_owned(), reason })?;
    Ok(Listening { path: path.to_owned(), listener })
}

/// In a directory that nobody else can enter until nobody else can connect.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file is there that is no socket"));
    }
    // Process ids repeat, in containers at every start: one that was killed in here leaves its directory behind.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let directory = path.with_extension(format!("{}-{}", std::process::id(), since.as_nanos()));
    DirBuilder::new().mode(0o700).create(&directory)?;
    let private = directory.join("s");
    let bound = UnixListener::bind(&private).and_then(|listener| {
        fs::set_permissions(&private, Permissions::from_mode(0o600))?;
        fs::rename(&private, path)?;
        Ok(listener)
    });
    fs::remove_dir_all(&directory)?;
    bound
}

/// Binds the address for HTTP.
///
/// # Errors
/// The system's errors.
pub(crate) async fn listen_tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Failed(format!("http: {address} cannot be bound: {error}")))
}
