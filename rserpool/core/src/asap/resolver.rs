//! Registrars that are known by name.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use sctp_user_core::Peer;

type LookUp = Pin<Box<dyn Future<Output = Vec<Peer>> + Send>>;

/// Looks up where the registrars are that are known by name.
///
/// It is asked whenever a registrar is looked for: at the start, and again after the registrar was
/// lost. What it finds replaces what it found before; when it finds nothing, the earlier result
/// stays. So a registrar that has moved to another address is found again.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn() -> LookUp + Send + Sync>);

impl Resolver {
    /// Calls `look_up` for each look-up. Its future runs in a task of its own, and is dropped when
    /// the pool element or pool user ends. It must not block.
    pub fn new<F, L>(look_up: L) -> Self
    where
        L: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Vec<Peer>> + Send + 'static,
    {
        Resolver(Arc::new(move || Box::pin(look_up())))
    }

    /// Looks the registrars up now.
    pub async fn look_up(&self) -> Vec<Peer> {
        (self.0)().await
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
