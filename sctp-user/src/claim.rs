//! Claims on SCTP ports, which keep two processes on a host from using the same port.
//!
//! Every raw socket receives all SCTP packets of the host, and the kernel does not know which
//! process uses which port. So a stack that binds a port claims it with something that only one
//! process can have, and that the system releases when the process dies. On Linux this is a Unix
//! socket with the abstract name `sctp-user/<port>`; each network namespace has its own such names.
//! On other systems it is a locked file. Blocks of ports ([`Blocks`](crate::blocks::Blocks)) are
//! claimed in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
pub(crate) use os::Claim;

/// The claims of a stack.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<Held>,
    /// The number of claims held, for reading it without the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Held {
    claims: BTreeMap<u16, Claim>,
    /// Ports that are claimed and about to be bound.
    pending: BTreeSet<u16>,
}

impl Claims {
    /// Claims a port before it is bound. Keeps the claim at least until
    /// [`bind_done`](Self::bind_done) is called. The claim comes first because a bound port answers
    /// packets, and must not answer those that belong to another process.
    pub(crate) fn claim(&self, port: u16) -> Result<(), Error> {
        let mut held = self.lock();
        if held.claims.contains_key(&port) {
            held.pending.insert(port);
            return Ok(());
        }
        match Claim::new(&port.to_string()) {
            Ok(claim) => {
                held.claims.insert(port, claim);
                held.pending.insert(port);
                self.count.store(held.claims.len(), Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse(port)),
            Err(error) => {
                // Go on without a claim. This only matters if another process wants the same port.
                tracing::warn!(
                    %error,
                    port,
                    "cannot claim the SCTP port: another process on this host may use it as well"
                );
                Ok(())
            }
        }
    }

    /// The port has been bound, or will not be.
    pub(crate) fn bind_done(&self, port: u16) {
        self.lock().pending.remove(&port);
    }

    /// How many ports are claimed.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes out the claims on all ports for which `free` returns true, except those about to be
    /// bound.
    pub(crate) fn take(&self, mut free: impl FnMut(u16) -> bool) -> Vec<Claim> {
        let mut held = self.lock();
        let Held { claims, pending } = &mut *held;
        let gone = claims.extract_if(.., |port, _| !pending.contains(port) && free(*port));
        let taken = gone.map(|(_, claim)| claim).collect();
        self.count.store(held.claims.len(), Ordering::Relaxed);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
mod os {
    use std::io;
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// A claim. Dropping it releases it.
    #[derive(Debug)]
    pub(crate) struct Claim {
        _socket: UnixDatagram,
    }

    impl Claim {
        pub(crate) fn new(what: &str) -> io::Result<Self> {
            let name = SocketAddr::from_abstract_name(format!("sctp-user/{what}"))?;
            Ok(Claim { _socket: UnixDatagram::bind_addr(&name)? })
        }
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
mod os {
    use std::fs::{self, File, TryLockError};
    use std::io;
    use std::path::{Path, PathBuf};

    /// A claim. Dropping it releases it.
    #[derive(Debug)]
    pub(crate) struct Claim {
        _locked: File,
    }

    impl Claim {
        /// Locks a file in the first directory where that can be done.
        pub(crate) fn new(what: &str) -> io::Result<Self> {
            let mut outcome = Err(io::ErrorKind::NotFound.into());
            for dir in directories() {
                outcome = lock(&dir, what);
                match &outcome {
                    Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
                    _ => break,
                }
            }
            outcome
        }
    }

    fn lock(dir: &Path, what: &str) -> io::Result<Claim> {
        fs::create_dir_all(dir)?;
        // The file is never removed. If it were, another process could create and lock a new file
        // of the same name while this one is still locked.
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(format!("{what}.lock")))?;
        match file.try_lock() {
            Ok(()) => Ok(Claim { _locked: file }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AddrInUse.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The directories to try. Only root can write to the first one. Programs with raw sockets
    /// normally run as root, so they claim their ports there.
    fn directories() -> impl Iterator<Item = PathBuf> {
        let of_root = cfg!(unix).then(|| PathBuf::from("/var/run/sctp-user"));
        of_root.into_iter().chain([std::env::temp_dir().join("sctp-user")])
    }
}

#[cfg(all(test, target_os = "linux", not(portable)))]
mod tests {
    use super::*;

    // This port and the next one, which no other test may claim: claims hold for the whole host.
    const PORT: u16 = 64_321;

    #[test]
    fn one_holder_at_a_time() {
        let (a, b) = (Claims::default(), Claims::default());
        a.claim(PORT).unwrap();
        a.claim(PORT).unwrap();
        assert_eq!(a.count(), 1);
        let refused = b.claim(PORT).unwrap_err();
        assert_eq!(refused, Error::PortInUse(PORT));
        assert!(
            refused.to_string().contains("SCTP port 64321 is in use by another process"),
            "{refused}"
        );
        b.claim(PORT + 1).unwrap();
        drop(a.take(|port| port == PORT));
        assert_eq!(a.count(), 1, "a port that is about to be bound stays claimed");
        a.bind_done(PORT);
        drop(a.take(|port| port == PORT));
        assert_eq!(a.count(), 0);
        b.claim(PORT).unwrap();
        assert_eq!(b.count(), 2);
        drop(b);
        a.claim(PORT).unwrap();
    }
}
