//! Wakers of handles that poll for more than one thing.

use super::Inner;
use crate::shared::Interest;

/// The keys under which one handle has left its wakers with the association's socket.
#[derive(Debug, Default)]
pub(super) struct WakerKeys {
    pub(super) read: Option<u64>,
    pub(super) write: Option<u64>,
    pub(super) lifecycle: Option<u64>,
}

impl WakerKeys {
    /// Removes the wakers, as the handle must do when it is dropped.
    pub(super) fn forget(&mut self, inner: &Inner) {
        let WakerKeys { read, write, lifecycle } = self;
        let shared = &inner.handle.shared;
        shared.forget(inner.socket, Interest::Read, read);
        shared.forget(inner.socket, Interest::Write, write);
        shared.forget(inner.socket, Interest::Lifecycle, lifecycle);
    }
}
