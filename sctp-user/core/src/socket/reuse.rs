//! SCTP_REUSE_PORT: several one-to-one sockets with one port (RFC 6458 sec 8.1.27).
//!
//! One of them leads: new associations of the port go to this socket and have its settings. At
//! first that is the socket that bound the port first, later the one that listens.

use std::net::IpAddr;

use bytes::Bytes;

use crate::error::BindError;
use crate::time::Time;

use super::error::SocketError;
use super::options::Style;
use super::{SocketId, Sockets};

impl Sockets {
    /// Whether a socket with the option on can be bound to this port although another socket is
    /// bound to it.
    pub(super) fn can_be_shared(&self, port: u16, addrs: &[IpAddr]) -> bool {
        let leader = self.ports.get(&port).and_then(|id| self.socket(*id));
        leader.is_some_and(|s| {
            s.options.reuse_port && s.style == Style::OneToOne && same_addrs(&s.addrs, addrs)
        })
    }

    /// Another socket that is bound to the port of `id`, if there is one.
    pub(super) fn shares_port(&self, id: SocketId, port: u16) -> Option<SocketId> {
        // Most sockets do not share their port, so this often saves the search through all sockets.
        self.socket(id).filter(|s| s.options.reuse_port)?;
        self.sockets.iter().find_map(|(index, s)| {
            let other =
                SocketId { index: u32::try_from(index).unwrap_or(u32::MAX), serial: s.serial };
            (s.owns_port && s.port == Some(port) && other != id).then_some(other)
        })
    }

    /// Makes a socket the leader of its port.
    pub(super) fn lead_port(&mut self, id: SocketId, port: u16) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if !socket.owns_port {
            return Ok(());
        }
        let config = socket.options.config.clone();
        match self.ports.get(&port).copied() {
            Some(leader) if leader == id => return Ok(()),
            Some(leader) if self.socket(leader).is_some_and(|s| s.listening) => {
                return Err(BindError::PortInUse(port).into());
            }
            _ => {}
        }
        self.stack.set_port_config(port, config)?;
        self.ports.insert(port, id);
        Ok(())
    }

    /// Called when a socket that is bound to `port` closes. If it leads, the associations that it
    /// has not accepted are aborted and another socket that is bound to the port becomes the
    /// leader. If there is no other socket, the port is given up.
    pub(super) fn leave_port(&mut self, now: Time, id: SocketId, port: u16) {
        if self.ports.get(&port) == Some(&id) {
            let _ = self.stack.listen(port, 0);
            while let Some(assoc) = self.stack.accept(port) {
                let reason = Bytes::from_static(b"nobody accepted the association");
                let _ = self.stack.abort(now, assoc, reason);
                self.forget(now, assoc);
            }
        }
        let Some(heir) = self.shares_port(id, port) else {
            self.ports.remove(&port);
            self.stack.unbind(now, port);
            let shared = self.socket(id).is_some_and(|s| {
                s.options.reuse_port && s.style == Style::OneToOne && s.port == Some(port)
            });
            if shared && self.stack.is_in_use(port) {
                self.given_up.insert(port);
            }
            return;
        };
        if self.ports.get(&port) == Some(&id) {
            self.ports.insert(port, heir);
            if let Some(config) = self.socket(heir).map(|s| s.options.config.clone()) {
                let _ = self.stack.set_port_config(port, config);
            }
        }
    }

    /// Whether a socket with the option on can be bound to this port because another such socket
    /// has given it up while associations live on. Linux allows this when both sockets have
    /// SO_REUSEADDR. Accepted and peeled-off sockets inherit the option.
    pub(super) fn was_given_up(&self, port: u16) -> bool {
        self.given_up.contains(&port) && self.stack.is_in_use(port)
    }
}

/// Whether both have the same addresses, in any order.
fn same_addrs(a: &[IpAddr], b: &[IpAddr]) -> bool {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort_unstable();
    b.sort_unstable();
    a == b
}
