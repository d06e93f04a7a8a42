//! Standard output of programs that are run for their output. Nothing is lost, however slow the
//! reader is, and the associations stay up while a program waits for it.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

/// How many writes may wait for the reader of standard output.
const QUEUE: usize = 16;
/// A [`Payload`] is full when this many bytes wait in it.
const FULL: usize = 64 * 1024;

/// Writes to standard output in a thread of its own, because a slow reader must not stop the SCTP
/// stack. The second channel gets a result when the first is dropped and everything is written, or
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
        // A program that was told to end may have stopped waiting.
        let _ = done.send(result);
    });
    (tx, outcome)
}

/// Lines for standard output. The program hands them over to the thread that writes, and adds no
/// new ones while this is full.
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

    /// Adds a line, for the next [`Payload::hand_over`].
    pub(crate) fn line(&mut self, line: &str) {
        if self.writer.is_some() {
            self.waiting.extend_from_slice(line.as_bytes());
            self.waiting.extend_from_slice(b"\n");
        }
    }

    /// Whether anything has to be handed over. While this stays true, the reader stalls.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so much waits that the program should add nothing more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= FULL
    }

    /// Waits for room, and hands over what waits. Cancel-safe.
    ///
    /// # Errors
    /// When standard output cannot be written. All later lines are dropped.
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
