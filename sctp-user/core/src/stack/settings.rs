//! Settings that can change later: those of single paths, and the addresses of a port.

use std::net::IpAddr;

use crate::addr::Encap;
use crate::config::PathParams;
use crate::error::{BindError, ConfigError, NotFound};
use crate::time::Time;

use super::ports::check_addrs;
use super::{AssocId, Stack};

impl Stack {
    /// The settings of the path to `addr` (SCTP_PEER_ADDR_PARAMS).
    ///
    /// # Errors
    /// When there is no such association or address.
    pub fn path_params(&self, id: AssocId, addr: IpAddr) -> Result<PathParams, NotFound> {
        self.table.get(id).and_then(|e| e.assoc.path_params(addr)).ok_or(NotFound)
    }

    /// Changes the settings of the path to `addr`. A changed heartbeat interval counts from now.
    ///
    /// # Errors
    /// The outer error when there is no such association or address, the inner one as
    /// [`PathParams::check`] says.
    pub fn set_path_params(
        &mut self,
        now: Time,
        id: AssocId,
        addr: IpAddr,
        params: PathParams,
    ) -> Result<Result<(), ConfigError>, NotFound> {
        self.path_params(id, addr)?;
        if let Err(why) = params.check() {
            return Ok(Err(why));
        }
        self.with(now, id, |assoc, cx| assoc.set_path_params(cx, addr, params)).ok_or(NotFound)?;
        Ok(Ok(()))
    }

    /// Changes how packets travel to `addr` (SCTP_REMOTE_UDP_ENCAPS_PORT, RFC 6951 sec 6.1):
    /// natively or to this UDP port. The next valid packet of the peer that comes natively or from
    /// another port changes it again (RFC 6951 sec 5.4). [`Peer`](crate::Peer) sets it for the
    /// addresses of new associations.
    ///
    /// # Errors
    /// The outer error when there is no such association or address, the inner one for UDP port 0.
    pub fn set_path_encap(
        &mut self,
        now: Time,
        id: AssocId,
        addr: IpAddr,
        encap: Encap,
    ) -> Result<Result<(), ConfigError>, NotFound> {
        self.path_params(id, addr)?;
        if encap == (Encap::Udp { remote_port: 0 }) {
            return Ok(Err(ConfigError("the UDP port of the peer must not be 0")));
        }
        self.with(now, id, |assoc, _| {
            if let Some(path) = assoc.path_of(addr) {
                assoc.learn_encap(path, encap);
            }
        });
        Ok(Ok(()))
    }

    /// Replaces the addresses of a bound port for future associations. [`bind`](Self::bind) says
    /// what no, one or several addresses mean.
    ///
    /// # Errors
    /// When an address is not unicast (unknown ports are ignored).
    pub fn set_port_addrs(&mut self, port: u16, addrs: &[IpAddr]) -> Result<(), BindError> {
        check_addrs(addrs)?;
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.addrs = addrs.to_vec();
        }
        Ok(())
    }
}
