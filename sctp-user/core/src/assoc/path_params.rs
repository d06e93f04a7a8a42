//! Settings of single paths (RFC 6458 sec 8.1.12).

use std::net::IpAddr;
use std::sync::Arc;

use super::{Association, Cx};
use crate::config::{AssocConfig, PathParams};

impl Association {
    /// The settings of the path to `addr`.
    pub(crate) fn path_params(&self, addr: IpAddr) -> Option<PathParams> {
        Some(self.paths.get(self.paths.find(addr)?).params)
    }

    /// Changes the settings of the path to `addr`. False when there is none. If the heartbeat
    /// settings change, the time to the next heartbeat counts from now.
    pub(crate) fn set_path_params(
        &mut self,
        cx: &mut Cx<'_>,
        addr: IpAddr,
        params: PathParams,
    ) -> bool {
        let Some(id) = self.paths.find(addr) else { return false };
        let config = Arc::clone(&self.config);
        let path = self.paths.get_mut(id);
        let heartbeat = |p: &PathParams| (p.hb_enabled, p.hb_interval);
        let changed = heartbeat(&path.params) != heartbeat(&params);
        path.set_params(params, &config);
        self.update_discovery(cx, id);
        if changed {
            self.reschedule_heartbeat(cx, id);
        }
        true
    }

    /// The configuration of the association has changed. Every path takes over the changed values.
    pub(super) fn inherit_path_params(&mut self, cx: &mut Cx<'_>, old: &AssocConfig) {
        let config = Arc::clone(&self.config);
        let (old, new) = (PathParams::of(old), PathParams::of(&config));
        for path in self.paths.iter_mut() {
            let had = path.params;
            path.params = PathParams {
                hb_enabled: changed(had.hb_enabled, old.hb_enabled, new.hb_enabled),
                hb_interval: changed(had.hb_interval, old.hb_interval, new.hb_interval),
                max_retrans: changed(had.max_retrans, old.max_retrans, new.max_retrans),
                pf_max_retrans: changed(had.pf_max_retrans, old.pf_max_retrans, new.pf_max_retrans),
                primary_switchover_max_retrans: changed(
                    had.primary_switchover_max_retrans,
                    old.primary_switchover_max_retrans,
                    new.primary_switchover_max_retrans,
                ),
                ip_mtu: had.ip_mtu,
                pmtud: changed(had.pmtud, old.pmtud, new.pmtud),
                dscp: changed(had.dscp, old.dscp, new.dscp),
                flow_label: changed(had.flow_label, old.flow_label, new.flow_label),
            };
        }
        for id in self.paths.ids() {
            self.update_discovery(cx, id);
        }
    }
}

/// The value for a path: the association's new value if that has changed, else what the path had.
fn changed<T: PartialEq>(had: T, old: T, new: T) -> T {
    if old == new { had } else { new }
}
