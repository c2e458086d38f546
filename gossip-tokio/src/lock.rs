//! The lock on a node's data: a file beside it, since the data itself is replaced now and then. Knows files; must not
//! know what is in the data.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::SpawnError;
use crate::journal::beside;

/// A lock that is held until it is dropped, or until the process ends.
pub(crate) struct Lock {
    place: PathBuf,
    #[expect(dead_code, reason = "held, not used")]
    file: File,
    /// True if the file says which process holds it.
    signed: bool,
}

impl Lock {
    /// Locks the data at `path`. Where nothing can be written, a lock file that is there already is enough.
    ///
    /// # Errors
    /// [`SpawnError`]: another process has it, or there is no lock file and none can be made.
    pub(crate) fn take(path: &Path) -> Result<Self, SpawnError> {
        let place = beside(path, "lock");
        let failed = |source| SpawnError::Data { path: place.clone(), source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&place);
        let mut file = opened.or_else(|error| File::open(&place).map_err(|_| error)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever made it and has not written yet is unknown.
                let _ = file.read_to_string(&mut holder);
                return Err(SpawnError::DataInUse { path: path.to_owned(), pid: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut lock = Self { place, file, signed: false };
        lock.sign();
        Ok(lock)
    }

    /// Writes which process holds it, as soon as that is possible: it is only for the error of another one.
    pub(crate) fn sign(&mut self) {
        let write = || -> io::Result<()> {
            // The handle that holds the lock may be one for reading only.
            let mut file = OpenOptions::new().write(true).truncate(true).open(&self.place)?;
            file.write_all(std::process::id().to_string().as_bytes())
        };
        self.signed = self.signed || write().is_ok();
    }
}
