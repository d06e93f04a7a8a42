//! `set` and `get`. An option holds for the present and future associations of a socket, or only
//! for the one that `assoc` names.

use std::net::SocketAddr;
use std::time::Duration;

use sctp_user_core::socket::{Interleave, Linger, SocketId, Subscriptions};
use sctp_user_core::{AssocConfig, AssocId, AssocState, Encap, PathParams, PathStatus};

use super::Reply;
use super::calls::Agent;
use super::errno::Errno;
use super::request::Request;

impl Agent {
    pub(super) fn set(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        match r.need("opt")? {
            "rtoinfo" => {
                let initial: u64 = r.number_or_zero("initial")?;
                let (max, min): (u64, u64) = (r.number_or_zero("max")?, r.number_or_zero("min")?);
                self.configure(r, id, |c| {
                    set_millis(&mut c.rto_initial, initial);
                    set_millis(&mut c.rto_max, max);
                    set_millis(&mut c.rto_min, min);
                })
            }
            "associnfo" => {
                let (maxrxt, life): (u32, u64) =
                    (r.number_or_zero("maxrxt")?, r.number_or_zero("cookie_life")?);
                self.configure(r, id, |c| {
                    set_nonzero(&mut c.assoc_max_retrans, maxrxt);
                    if life != 0 {
                        c.cookie_life = Some(Duration::from_millis(life));
                    }
                })
            }
            "initmsg" => {
                let (os, is): (u16, u16) = (r.number_or_zero("os")?, r.number_or_zero("is")?);
                let (attempts, timeo): (u32, u64) =
                    (r.number_or_zero("attempts")?, r.number_or_zero("timeo")?);
                self.configure(r, id, |c| {
                    set_nonzero(&mut c.out_streams, os);
                    set_nonzero(&mut c.max_in_streams, is);
                    set_nonzero(&mut c.max_init_retransmits, attempts);
                    if timeo != 0 {
                        c.max_init_timeout = Some(Duration::from_millis(timeo));
                    }
                })
            }
            "nodelay" => {
                let on = r.switch("on")?;
                self.configure(r, id, |c| c.nodelay = on)
            }
            "maxseg" => {
                let bytes: usize = r.need_number("value")?;
                self.configure(r, id, |c| c.max_segment = (bytes != 0).then_some(bytes))
            }
            "delayed_sack" => self.set_delayed_sack(r, id),
            "paddrparams" => self.set_paddrparams(r, id),
            "recvrcvinfo" => {
                self.find(r)?.recvrcvinfo = r.switch("on")?;
                Ok(String::new())
            }
            "linger" => {
                let (on, secs) = (r.switch("on")?, r.number_or_zero("secs")?);
                let linger = if on && secs == 0 { Linger::Abort } else { Linger::Graceful };
                self.sockets.set_linger(id, linger).map_err(|e| Errno::of(&e))?;
                self.find(r)?.linger = (on, secs);
                Ok(String::new())
            }
            "fragment_interleave" => {
                let interleave = match r.need_number::<u32>("value")? {
                    0 => Interleave::None,
                    1 => Interleave::Associations,
                    _ => return Err(Errno::EINVAL),
                };
                self.sockets.set_interleave(id, interleave).map_err(|e| Errno::of(&e))?;
                Ok(String::new())
            }
            // The stack does not have these extensions, so they can only be switched off.
            "interleaving" | "enable_stream_reset" => match r.need_number::<u32>("value")? {
                0 => Ok(String::new()),
                _ => Err(Errno::ENOPROTOOPT),
            },
            "event" => self.set_event(r, id),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    pub(super) fn get(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        let config = self.config_of(r, id)?;
        Ok(match r.need("opt")? {
            "rtoinfo" => {
                let ms = |d: Duration| d.as_millis();
                format!(
                    "initial={} max={} min={}",
                    ms(config.rto_initial),
                    ms(config.rto_max),
                    ms(config.rto_min)
                )
            }
            "associnfo" => format!(
                "maxrxt={} cookie_life={}",
                config.assoc_max_retrans,
                config.cookie_life.unwrap_or(self.cookie_life()).as_millis()
            ),
            "initmsg" => format!(
                "os={} is={} attempts={} timeo={}",
                config.out_streams,
                config.max_in_streams,
                config.max_init_retransmits,
                config.max_init_timeout.unwrap_or(config.rto_max).as_millis()
            ),
            "nodelay" => format!("on={}", u8::from(config.nodelay)),
            "maxseg" => format!("value={}", config.max_segment.unwrap_or(0)),
            "delayed_sack" if config.sack_frequency == 1 => "delay=0 freq=1".to_owned(),
            "delayed_sack" => {
                format!("delay={} freq={}", config.sack_delay.as_millis(), config.sack_frequency)
            }
            "paddrparams" => self.get_paddrparams(r, id, &config)?,
            "recvrcvinfo" => format!("on={}", u8::from(self.find(r)?.recvrcvinfo)),
            "linger" => {
                let (on, secs) = self.find(r)?.linger;
                format!("on={} secs={secs}", u8::from(on))
            }
            "fragment_interleave" => {
                let interleave = self.sockets.options(id).map(|o| o.interleave);
                format!("value={}", u8::from(interleave == Some(Interleave::Associations)))
            }
            "interleaving" | "enable_stream_reset" => "value=0".to_owned(),
            "event" => {
                let kind = r.need("type")?;
                let mut subscriptions =
                    self.sockets.options(id).map_or(Subscriptions::NONE, |o| o.subscriptions);
                let on = match kind {
                    "data_io" => self.find(r)?.data_io,
                    _ => *event_switch(&mut subscriptions, kind)?,
                };
                format!("type={kind} on={}", u8::from(on))
            }
            "status" => self.status(r, id)?,
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }

    /// Changes the settings of the association that the request names, or of the socket and all its
    /// associations.
    fn configure(
        &mut self,
        r: &Request<'_>,
        id: SocketId,
        change: impl Fn(&mut AssocConfig),
    ) -> Reply {
        let only = r.get("assoc").map(|_| self.assoc_for_option(r, id)).transpose()?.flatten();
        if only.is_none() {
            let mut config =
                self.sockets.options(id).map(|o| o.config.clone()).ok_or(Errno::EBADF)?;
            change(&mut config);
            self.sockets.set_config(id, config).map_err(|e| Errno::of(&e))?;
        }
        for assoc in only.map_or_else(|| self.sockets.assocs_of(id), |assoc| vec![assoc]) {
            let Ok(mut config) = self.sockets.assoc_config(self.now, id, assoc) else { continue };
            change(&mut config);
            self.sockets
                .set_assoc_config(self.now, id, assoc, config)
                .map_err(|e| Errno::of(&e))?;
        }
        Ok(String::new())
    }

    /// The settings of the association that the request names, or of the socket.
    fn config_of(&mut self, r: &Request<'_>, id: SocketId) -> Result<AssocConfig, Errno> {
        if let Some(assoc) = self.assoc_for_option(r, id)?
            && let Ok(config) = self.sockets.assoc_config(self.now, id, assoc)
        {
            return Ok(config);
        }
        self.sockets.options(id).map(|o| o.config.clone()).ok_or(Errno::EBADF)
    }

    /// Sets the delay and frequency of SACKs. 0 leaves a value as it is; a frequency of 1 switches
    /// the delay off.
    fn set_delayed_sack(&mut self, r: &Request<'_>, id: SocketId) -> Reply {
        let (delay, freq): (u64, u32) = (r.number_or_zero("delay")?, r.number_or_zero("freq")?);
        self.configure(r, id, |c| {
            set_millis(&mut c.sack_delay, delay);
            if freq != 0 {
                c.sack_frequency = freq;
            } else if delay != 0 && c.sack_frequency == 1 {
                c.sack_frequency = AssocConfig::default().sack_frequency;
            }
        })
    }

    fn set_paddrparams(&mut self, r: &Request<'_>, id: SocketId) -> Reply {
        let change = PaddrChange::read(r)?;
        let named = match r.get("addr") {
            Some(_) => Some(r.addr("addr")?),
            None => None,
        };
        if let Some(addr) = named.filter(|a| !a.ip().is_unspecified()) {
            let assoc = self.assoc_with(id, addr.ip(), addr.port()).ok_or(Errno::EINVAL)?;
            return self.change_path(id, assoc, addr, &change);
        }
        self.configure(r, id, |c| change.apply_to_config(c))?;
        for assoc in self.sockets.assocs_of(id) {
            for path in self.sockets.stack().paths(assoc) {
                self.change_path(id, assoc, SocketAddr::new(path.addr.remote, 0), &change)?;
            }
        }
        Ok(String::new())
    }

    fn change_path(
        &mut self,
        id: SocketId,
        assoc: AssocId,
        addr: SocketAddr,
        change: &PaddrChange,
    ) -> Reply {
        let ip = addr.ip();
        let mut params = self.sockets.path_params(id, assoc, ip).map_err(|e| Errno::of(&e))?;
        change.apply(&mut params);
        self.sockets.set_path_params(self.now, id, assoc, ip, params).map_err(|e| Errno::of(&e))?;
        if change.demand {
            self.sockets.request_heartbeat(self.now, id, assoc, ip).map_err(|e| Errno::of(&e))?;
        }
        Ok(String::new())
    }

    fn get_paddrparams(&mut self, r: &Request<'_>, id: SocketId, config: &AssocConfig) -> Reply {
        let (params, mtu) = match r.get("addr") {
            Some(_) => {
                let addr = r.addr("addr")?;
                let assoc = self.assoc_with(id, addr.ip(), addr.port()).ok_or(Errno::EINVAL)?;
                let params =
                    self.sockets.path_params(id, assoc, addr.ip()).map_err(|e| Errno::of(&e))?;
                let paths = self.sockets.stack().paths(assoc);
                (params, paths.iter().find(|p| p.addr.remote == addr.ip()).map_or(0, ip_mtu))
            }
            None => {
                let assoc = self.assoc_for_option(r, id)?;
                let paths =
                    assoc.map(|assoc| self.sockets.stack().paths(assoc)).unwrap_or_default();
                (PathParams::of(config), paths.iter().map(ip_mtu).min().unwrap_or(0))
            }
        };
        let heartbeat = if params.hb_enabled { "hb_enable" } else { "hb_disable" };
        let pmtud =
            if params.pmtud && params.ip_mtu.is_none() { "pmtud_enable" } else { "pmtud_disable" };
        Ok(format!(
            "hbinterval={} pathmaxrxt={} pathmtu={mtu} flags={heartbeat},{pmtud}",
            params.hb_interval.as_millis(),
            params.max_retrans
        ))
    }

    fn set_event(&mut self, r: &Request<'_>, id: SocketId) -> Reply {
        let (kind, on) = (r.need("type")?, r.switch("on")?);
        if kind == "data_io" {
            self.find(r)?.data_io = on; // what it adds to received messages is always given
            return Ok(String::new());
        }
        let mut subscriptions =
            self.sockets.options(id).map(|o| o.subscriptions).ok_or(Errno::EBADF)?;
        *event_switch(&mut subscriptions, kind)? = on;
        self.sockets.set_subscriptions(id, subscriptions).map_err(|e| Errno::of(&e))?;
        Ok(String::new())
    }

    fn status(&self, r: &Request<'_>, id: SocketId) -> Reply {
        let assoc = self.assoc_for_option(r, id)?;
        let Some(s) = assoc.and_then(|assoc| self.sockets.stack().status(assoc)) else {
            return Ok("state=closed rwnd=0 unack=0 pend=0 in=0 out=0 frag=0".to_owned());
        };
        Ok(format!(
            "state={} rwnd={} unack={} pend={} in={} out={} frag={}",
            state_name(s.state),
            s.peer_rwnd,
            s.unacked_chunks,
            s.missing_chunks,
            s.inbound_streams,
            s.outbound_streams,
            s.fragmentation_point
        ))
    }
}

/// The changes to paths that a request asks for.
struct PaddrChange {
    hb_interval: Option<Duration>,
    hb_enabled: Option<bool>,
    max_retrans: Option<u32>,
    /// `Some(None)` lets the stack discover the MTU.
    ip_mtu: Option<Option<u16>>,
    pmtud: Option<bool>,
    demand: bool,
}

impl PaddrChange {
    fn read(r: &Request<'_>) -> Result<Self, Errno> {
        let interval: u64 = r.number_or_zero("hbinterval")?;
        let max_retrans: u32 = r.number_or_zero("pathmaxrxt")?;
        let pathmtu: u16 = r.number_or_zero("pathmtu")?;
        let mut change = PaddrChange {
            hb_interval: (interval != 0).then(|| Duration::from_millis(interval)),
            hb_enabled: None,
            max_retrans: (max_retrans != 0).then_some(max_retrans),
            ip_mtu: None,
            pmtud: None,
            demand: false,
        };
        let once = |known: &mut Option<bool>, value| match known.replace(value) {
            Some(other) if other != value => Err(Errno::EINVAL),
            _ => Ok(()),
        };
        for flag in r.list("flags") {
            match flag {
                "hb_enable" => once(&mut change.hb_enabled, true)?,
                "hb_disable" => once(&mut change.hb_enabled, false)?,
                "hb_demand" => change.demand = true,
                "hb_zero" => change.hb_interval = Some(Duration::ZERO),
                "pmtud_enable" => once(&mut change.pmtud, true)?,
                "pmtud_disable" => once(&mut change.pmtud, false)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        // RFC 6458 sec 8.1.12: an MTU can be set only while it is not being discovered.
        change.ip_mtu = match change.pmtud {
            Some(true) => Some(None),
            Some(false) if pathmtu != 0 => Some(Some(pathmtu)),
            _ => None,
        };
        if pathmtu != 0 && pathmtu < SMALLEST_MTU {
            return Err(Errno::EINVAL);
        }
        Ok(change)
    }

    fn apply(&self, params: &mut PathParams) {
        params.hb_interval = self.hb_interval.unwrap_or(params.hb_interval);
        params.hb_enabled = self.hb_enabled.unwrap_or(params.hb_enabled);
        params.max_retrans = self.max_retrans.unwrap_or(params.max_retrans);
        params.ip_mtu = self.ip_mtu.unwrap_or(params.ip_mtu);
        params.pmtud = self.pmtud.unwrap_or(params.pmtud);
    }

    fn apply_to_config(&self, config: &mut AssocConfig) {
        config.hb_interval = self.hb_interval.unwrap_or(config.hb_interval);
        config.hb_enabled = self.hb_enabled.unwrap_or(config.hb_enabled);
        config.path_max_retrans = self.max_retrans.unwrap_or(config.path_max_retrans);
        config.pmtud = self.pmtud.unwrap_or(config.pmtud);
        if let Some(Some(mtu)) = self.ip_mtu {
            // Future associations start with this MTU.
            config.ip_mtu = usize::from(mtu);
            config.ip_mtu_udp = usize::from(mtu);
        }
    }
}

/// The switch of an event type.
fn event_switch<'a>(
    subscriptions: &'a mut Subscriptions,
    kind: &str,
) -> Result<&'a mut bool, Errno> {
    Ok(match kind {
        "assoc" => &mut subscriptions.assoc_change,
        "addr" => &mut subscriptions.peer_addr_change,
        "sendfail" => &mut subscriptions.send_failed,
        "peererr" => &mut subscriptions.remote_error,
        "shutdown" => &mut subscriptions.shutdown,
        "pdapi" => &mut subscriptions.partial_delivery,
        _ => return Err(Errno::EINVAL),
    })
}

/// The MTU of the IP layer that corresponds to the largest SCTP packet of the path.
fn ip_mtu(path: &PathStatus) -> u32 {
    let ip = if path.addr.remote.is_ipv4() { 20 } else { 40 };
    let udp = if path.addr.encap == Encap::Native { 0 } else { 8 };
    path.pmtu + ip + udp
}

fn state_name(state: AssocState) -> &'static str {
    match state {
        AssocState::Closed => "closed",
        AssocState::CookieWait => "cookie_wait",
        AssocState::CookieEchoed => "cookie_echoed",
        AssocState::Established => "established",
        AssocState::ShutdownPending => "shutdown_pending",
        AssocState::ShutdownSent => "shutdown_sent",
        AssocState::ShutdownReceived => "shutdown_received",
        AssocState::ShutdownAckSent => "shutdown_ack_sent",
    }
}

fn set_millis(value: &mut Duration, millis: u64) {
    if millis != 0 {
        *value = Duration::from_millis(millis);
    }
}

fn set_nonzero<T: Default + PartialEq>(value: &mut T, new: T) {
    if new != T::default() {
        *value = new;
    }
}

/// The smallest path MTU that Linux lets users set.
const SMALLEST_MTU: u16 = 512;
