//! Echo: sends every message back unchanged, on the same stream and with the same PPID.

use rserpool::{ElementIncoming, ElementSession, Error};

/// Serves one session to its end.
///
/// # Errors
/// When the session is lost.
pub(super) async fn serve(mut session: ElementSession) -> Result<(), Error> {
    while let Some(incoming) = session.recv().await? {
        match incoming {
            ElementIncoming::Message(message) => session.send(message).await?,
            // The service has no state, so neither a cookie nor a restarted client matters.
            ElementIncoming::CookieEcho(_) | ElementIncoming::Restarted => {}
        }
    }
    session.shutdown().await
}
