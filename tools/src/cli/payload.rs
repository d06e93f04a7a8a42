//! Standard output of programs that are run for their output: nothing of it is lost, however slow
//! its reader is, and the tasks of the protocols go on while it is waited for.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

/// Writes that may wait for the reader of standard output.
const QUEUE: usize = 16;
/// When so many bytes wait in a [`Payload`], it is full.
const FULL: usize = 64 * 1024;

/// Writes to standard output in a thread of its own: a reader that takes its time must not stop
/// the SCTP stack. The second value comes when the first is dropped and everything is written, or
/// after an error.
pub(crate) fn write() -> (mpsc::Sender<Bytes>, oneshot::Receiver<io::Result<()>>) {
    let (tx, mut rx) = mpsc::channel::<Bytes>(QUEUE);
    let (done, outcome) = oneshot::channel();
    std::thread::spawn(move || {
        let mut result = Ok(());
        while let (Ok(()), Some(data)) = (&result, rx.blocking_recv()) {
            let mut out = io::stdout().lock();
            result = out.write_all(&data).and_then(|()| out.flush());
        }
        drop(rx);
        // Nobody waits any more where the program was told to end.
        let _ = done.send(result);
    });
    (tx, outcome)
}

/// Lines on their way to standard output. The program hands them over between its other work, and
/// makes no new ones while it is full.
#[derive(Debug)]
pub(crate) struct Payload {
    waiting: BytesMut,
    /// `None` after an error.
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    to_write: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<io::Result<()>>,
}

impl Payload {
    /// Starts the thread that writes.
    pub(crate) fn start() -> Payload {
        let (to_write, written) = write();
        Payload { waiting: BytesMut::new(), writer: Some(Writer { to_write, written }) }
    }

    /// Adds a line, which is written after [`Payload::hand_over`].
    pub(crate) fn line(&mut self, line: &str) {
        if self.writer.is_some() {
            self.waiting.extend_from_slice(line.as_bytes());
            self.waiting.extend_from_slice(b"\n");
        }
    }

    /// Whether something is to be handed over. Where this stays so, the reader stalls.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so much waits that nothing more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= FULL
    }

    /// Waits for room, and hands over what waits. Cancel-safe.
    ///
    /// # Errors
    /// When standard output cannot be written. From then on, what is added is dropped.
    pub(crate) async fn hand_over(&mut self) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Ok(room) = writer.to_write.reserve().await {
            room.send(self.waiting.split().freeze());
            return Ok(());
        }
        let result = (&mut writer.written).await;
        self.writer = None;
        self.waiting.clear();
        result.unwrap_or(Ok(()))
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// As [`Payload::hand_over`].
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        if self.is_waiting() {
            self.hand_over().await?;
        }
        match self.writer {
            Some(Writer { to_write, written }) => {
                drop(to_write);
                written.await.unwrap_or(Ok(()))
            }
            None => Ok(()),
        }
    }
}
