//! Echo: every message comes back as it was, on its stream and with its PPID.

use rserpool::{ElementIncoming, ElementSession, Error};

/// Serves one session to its end.
///
/// # Errors
/// When the session is lost.
pub(super) async fn serve(mut session: ElementSession) -> Result<(), Error> {
    while let Some(incoming) = session.recv().await? {
        match incoming {
            ElementIncoming::Message(message) => session.send(message).await?,
            // The service has no state: none that a cookie could hold, none of an old client.
            ElementIncoming::CookieEcho(_) | ElementIncoming::Restarted => {}
        }
    }
    session.shutdown().await
}
