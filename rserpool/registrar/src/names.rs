//! Other registrars that are known by name.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rserpool_core::asap::Resolver;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::registrar::Command;

/// Pause before names that could not be looked up are looked up again.
const PAUSE: Duration = Duration::from_secs(2);
/// Pauses in seconds between look-ups after a registrar was lost. Its name may get another address
/// only some time later.
const PAUSES_AFTER_LOSS: [u64; 6] = [2, 4, 8, 16, 32, 64];

/// Looks names up in the background. Dropping it stops that.
pub(crate) struct Names {
    lost: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Names {
    /// Begins with the first look-up.
    pub(crate) fn new(resolver: Option<Resolver>, commands: mpsc::WeakSender<Command>) -> Self {
        let lost = Arc::<Notify>::default();
        let task = resolver.map(|resolver| {
            let lost = Arc::clone(&lost);
            tokio::spawn(look_up(resolver, commands, lost))
        });
        Names { lost, task }
    }

    /// A registrar was lost. The task looks all names up now, and then less and less often for two
    /// minutes.
    pub(crate) fn look_up(&self) {
        self.lost.notify_one();
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn look_up(resolver: Resolver, commands: mpsc::WeakSender<Command>, lost: Arc<Notify>) {
    let mut pauses = [].iter();
    loop {
        let peers = resolver.look_up().await;
        let retry = peers.is_empty().then_some(PAUSE);
        let Some(registrar) = commands.upgrade() else { return };
        if registrar.send(Command::Named(peers)).await.is_err() {
            return;
        }
        drop(registrar);
        let pause = pauses.next().map(|secs| Duration::from_secs(*secs)).or(retry);
        let next = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = lost.notified() => pauses = PAUSES_AFTER_LOSS.iter(),
            () = next => {}
        }
    }
}
