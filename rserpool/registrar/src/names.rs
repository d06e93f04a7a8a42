//! Other registrars that are known by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rserpool_core::asap::Resolver;
use tokio::sync::mpsc;

use crate::registrar::Command;

/// Pause before names that could not be looked up are looked up again.
const PAUSE: Duration = Duration::from_secs(2);

/// Looks names up in the background.
pub(crate) struct Names {
    resolver: Option<Resolver>,
    commands: mpsc::WeakSender<Command>,
    is_busy: Arc<AtomicBool>,
}

impl Names {
    /// Begins with the first look-up.
    pub(crate) fn new(resolver: Option<Resolver>, commands: mpsc::WeakSender<Command>) -> Self {
        let names = Names { resolver, commands, is_busy: Arc::default() };
        names.look_up();
        names
    }

    /// Looks all names up, unless that is being done.
    pub(crate) fn look_up(&self) {
        let Some(resolver) = self.resolver.clone() else { return };
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (commands, is_busy) = (self.commands.clone(), Arc::clone(&self.is_busy));
        tokio::spawn(async move {
            loop {
                let peers = resolver.look_up().await;
                let none = peers.is_empty();
                let Some(registrar) = commands.upgrade() else { break };
                if registrar.send(Command::Named(peers)).await.is_err() || !none {
                    break;
                }
                drop(registrar);
                tokio::time::sleep(PAUSE).await;
            }
            is_busy.store(false, Ordering::Release);
        });
    }
}
