//! Standard output and standard error, written from a thread of their own: a terminal that stands still, or a reader
//! that has gone away, must not hold up the protocol. Knows lines, not what they say.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender, bounded};

/// Lines that wait to be written. What is logged beyond that is lost and counted, answers wait.
const QUEUE: usize = 1_024;
/// Time that the end of the program waits for a terminal that stands still.
const PATIENCE: Duration = Duration::from_secs(2);

enum Text {
    Out(String),
    Log(String),
}

/// Clones print to the same place.
#[derive(Clone)]
pub(crate) struct Printer {
    queue: Sender<Text>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes, for the one who ends the program.
pub(crate) struct Writing(mpsc::Receiver<()>);

impl Printer {
    pub(crate) fn start() -> (Self, Writing) {
        let (queue, texts) = bounded(QUEUE);
        let (done, end) = mpsc::channel();
        let printer = Self { queue, lost: Arc::default() };
        let lost = Arc::clone(&printer.lost);
        thread::spawn(move || {
            write_all(&texts, &lost);
            // Nobody waits if the program was in a hurry.
            let _ = done.send(());
        });
        (printer, Writing(end))
    }

    /// Prints a line to standard output, as soon as there is room.
    pub(crate) async fn line(&self, line: String) {
        // Only the end of the program closes the queue.
        let _ = self.queue.send(Text::Out(line)).await;
    }

    /// Writes what is still waiting, and nothing after it.
    pub(crate) fn finish(&self, writing: &Writing) {
        self.queue.close();
        let _ = writing.0.recv_timeout(PATIENCE);
    }
}

fn write_all(texts: &Receiver<Text>, lost: &AtomicU64) {
    while let Ok(text) = texts.recv_blocking() {
        // If nobody reads any more there is nobody to tell.
        let _ = match text {
            Text::Out(line) => writeln!(io::stdout(), "{line}"),
            Text::Log(text) => io::stderr().write_all(text.as_bytes()),
        };
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(io::stderr(), "{missing} lines of the log are lost: it was written too slowly");
        }
    }
}

/// Destination of the log: `tracing` writes each line whole, and must never wait.
impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Text::Log(String::from_utf8_lossy(text).into_owned())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
