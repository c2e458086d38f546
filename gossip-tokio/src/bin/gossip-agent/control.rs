//! The control socket: commands from another terminal. Knows frames on a stream; must not know what commands do.
//!
//! A client sends one [`Request`] as a line of JSON and gets [`Frame`]s, each a line of JSON, the last of which says how
//! it ended. Only the user who runs the agent can connect.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::bounded;
use futures_util::future::{Either, join, select};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::agent::Agent;
use crate::arguments::{Command, Ctl};
use crate::commands::{Request, execute};
use crate::failure::Failure;
use crate::output::Form;

/// The longest request in bytes: more than any value that a node admits.
const LONGEST: u64 = 16 << 20;

/// How long to wait after the socket has failed: out of file descriptors, it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// What to say where no path is known.
pub(crate) const NO_PATH: &str = "neither XDG_RUNTIME_DIR nor HOME is set: name the control socket with --control";

/// A part of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Frame {
    /// A line for standard output.
    Line(String),
    /// The end: it was not done, and why.
    Failed(String),
    /// The end.
    Done,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("another agent answers at {}; give this one a socket of its own with --control", path.display())]
    Taken { path: PathBuf },
    #[error("the control socket {} cannot be made: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
}

/// The agent's end.
pub(crate) struct Listening {
    pub(crate) path: PathBuf,
    listener: UnixListener,
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
    let directory = path.with_extension(std::process::id().to_string());
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

/// Answers everybody who connects, all at once.
pub(crate) async fn serve(agent: Arc<Agent>, listening: Arc<Listening>) {
    loop {
        match listening.listener.accept().await {
            Ok((stream, _)) => {
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    if let Err(error) = answer(&agent, stream).await {
                        tracing::debug!(%error, "a control connection broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket fails");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(agent: &Agent, stream: tokio::net::UnixStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = tokio::io::BufReader::new(reader.take(LONGEST)).lines();
    let line = reader.next_line().await?.unwrap_or_default();
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => return write(&mut writer, Frame::Failed(format!("not understood: {error}"))).await,
    };
    let leaves = request.command == Command::Leave;
    let answered = async {
        let (sender, lines) = bounded(16);
        let execute = async move {
            let sender = sender;
            execute(agent, request, &sender).await
        };
        let print = async {
            while let Ok(line) = lines.recv().await {
                write(&mut writer, Frame::Line(line)).await?;
            }
            io::Result::Ok(())
        };
        let (end, printed) = join(execute, print).await;
        printed?;
        write(&mut writer, end.map_or_else(Frame::Failed, |()| Frame::Done)).await
    };
    // A client says nothing more. When its end of the stream closes, it has gone, and nobody watches.
    let result = match select(pin!(answered), pin!(reader.next_line())).await {
        Either::Left((answered, _)) => answered,
        Either::Right(_) => Ok(()),
    };
    if leaves {
        agent.quit();
    }
    result
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), frame: Frame) -> io::Result<()> {
    let mut line = serde_json::to_vec(&frame)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// The client: sends a command to the agent and prints what it answers.
pub(crate) fn ask(ctl: Ctl) -> Result<(), Failure> {
    let path = ctl.control.path().ok_or_else(|| Failure::Usage(NO_PATH.into()))?;
    let form = Form::of_stdout(ctl.json);
    let broken = |error: io::Error| Failure::Failed(format!("the agent at {}: {error}", path.display()));
    let mut stream = UnixStream::connect(&path)
        .map_err(|error| Failure::Failed(format!("no agent answers at {}: {error}", path.display())))?;
    let mut request = serde_json::to_vec(&Request { command: ctl.command, form }).map_err(|e| broken(e.into()))?;
    request.push(b'\n');
    stream.write_all(&request).map_err(broken)?;
    for line in BufReader::new(stream).lines() {
        match line.and_then(|line| Ok(serde_json::from_str(&line)?)).map_err(broken)? {
            // The reader has seen enough: `| head` is no failure.
            Frame::Line(line) if writeln!(io::stdout(), "{line}").is_err() => return Ok(()),
            Frame::Line(_) => {}
            Frame::Failed(reason) => return Err(Failure::Failed(reason)),
            Frame::Done => return Ok(()),
        }
    }
    Err(broken(io::Error::other("it ended before it had answered")))
}
