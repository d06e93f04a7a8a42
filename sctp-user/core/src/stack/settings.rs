//! Settings that change while something lives: of single paths, and the addresses of a port.

use std::net::IpAddr;

use crate::addr::scope;
use crate::config::PathParams;
use crate::error::{BindError, ConfigError, NotFound};
use crate::time::{Duration, Time};

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
    /// The outer one when there is no such association or address, the inner one when the fixed MTU or the interval is out of range.
    pub fn set_path_params(
        &mut self,
        now: Time,
        id: AssocId,
        addr: IpAddr,
        params: PathParams,
    ) -> Result<Result<(), ConfigError>, NotFound> {
        self.path_params(id, addr)?;
        if params.ip_mtu.is_some_and(|mtu| mtu < 512) {
            return Ok(Err(ConfigError("a fixed path MTU must be 512 to 65535 bytes")));
        }
        if params.hb_interval > Duration::from_millis(u32::MAX.into()) {
            return Ok(Err(ConfigError("HB.interval must be at most 49 days")));
        }
        self.with(now, id, |assoc, cx| assoc.set_path_params(cx, addr, params)).ok_or(NotFound)?;
        Ok(Ok(()))
    }

    /// Replaces the addresses of a bound port for future associations; see [`bind`](Self::bind) for what no, one or
    /// several mean.
    ///
    /// # Errors
    /// When an address is not unicast (unknown ports are ignored).
    pub fn set_port_addrs(&mut self, port: u16, addrs: &[IpAddr]) -> Result<(), BindError> {
        if let Some(&bad) = addrs.iter().find(|&&a| scope(a).is_none()) {
            return Err(BindError::Address(bad));
        }
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.addrs = addrs.to_vec();
        }
        Ok(())
    }
}
