//! The SCTP ports of one end.
//!
//! With both links, connecting tries a peer natively and over UDP at the same time. Associations
//! with the same addresses and SCTP ports could not be told apart (RFC 6951 sec 5.2), so each kind
//! of encapsulation has a port of its own.

use sctp_user::{Association, BindOptions, Encap, Endpoint, Error, Peer, Stack};

use crate::addresses::reach;

/// The bound ports.
#[derive(Debug)]
pub struct Ports {
    first: Endpoint,
    /// The port for UDP, if `first` is the one for native associations.
    second: Option<Endpoint>,
}

impl Ports {
    /// Binds the port that `bind` names and, if the stack has both links, a free one as well.
    ///
    /// # Errors
    /// As [`Stack::bind`].
    pub fn bind(stack: &Stack, bind: BindOptions) -> Result<Self, Error> {
        let reach = reach(stack);
        let free = BindOptions { port: 0, ..bind.clone() };
        let first = stack.bind(bind)?;
        let second = if reach.native && reach.udp { Some(stack.bind(free)?) } else { None };
        Ok(Ports { first, second })
    }

    /// A single port, for an end that opens no associations.
    pub fn one(endpoint: Endpoint) -> Self {
        Ports { first: endpoint, second: None }
    }

    /// Listens on all of them. Up to `backlog` associations may wait to be accepted.
    ///
    /// # Errors
    /// As [`Endpoint::listen`].
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        self.first.listen(backlog)?;
        self.second.as_ref().map_or(Ok(()), |second| second.listen(backlog))
    }

    /// The port that was asked for.
    pub fn port(&self) -> u16 {
        self.first.port()
    }

    /// Waits for the next association on any of them.
    pub(crate) async fn accept(&self) -> Result<Association, Error> {
        let Some(second) = &self.second else { return self.first.accept().await };
        tokio::select! {
            biased;
            association = self.first.accept() => association,
            association = second.accept() => association,
        }
    }

    /// Connects from the port that is for this peer.
    pub(crate) async fn connect(&self, peer: &Peer) -> Result<Association, Error> {
        match &self.second {
            Some(second) if peer.addrs.iter().any(|(_, encap)| *encap != Encap::Native) => {
                second.connect(peer).await
            }
            _ => self.first.connect(peer).await,
        }
    }
}
