//! Registrars that options name, by address or by name.

use std::sync::Arc;

use rserpool::Resolver;
use sctp_user::{Peer, Stack};

use super::stack::Ways;
use crate::cli::{self, AddressList, Host};

/// Where registrars are.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// The ways to those that are given by their addresses.
    pub(crate) fixed: Vec<Peer>,
    /// Finds those that are given by name; `None` when there are none.
    pub(crate) named: Option<Resolver>,
}

impl Endpoints {
    /// The endpoints of these lists. `port` is the SCTP port where a list has none. Names are
    /// looked up now, so that a wrong one is told at once, and again whenever the resolver is
    /// asked.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) async fn of(
        stack: &Stack,
        lists: &[AddressList],
        port: u16,
    ) -> anyhow::Result<Endpoints> {
        let is_named = |list: &&AddressList| list.hosts.iter().any(|h| matches!(h, Host::Name(_)));
        let (named, fixed): (Vec<_>, Vec<_>) = lists.iter().partition(is_named);
        let ways = Ways::of(stack);
        let fixed = peers(ways, fixed, port).await?;
        if named.is_empty() {
            return Ok(Endpoints { fixed, named: None });
        }
        peers(ways, named.clone(), port).await?;
        let named: Arc<[AddressList]> = named.into_iter().cloned().collect();
        let resolver = Resolver::new(move || look_up(ways, Arc::clone(&named), port));
        Ok(Endpoints { fixed, named: Some(resolver) })
    }
}

/// The ways to all these endpoints.
///
/// # Errors
/// As [`peers`](super::stack::peers).
async fn peers(
    ways: Ways,
    lists: impl IntoIterator<Item = &AddressList>,
    port: u16,
) -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for list in lists {
        let addrs = cli::resolve(&list.hosts).await?;
        peers.extend(ways.peers(list, &addrs, port)?);
    }
    Ok(peers)
}

/// As [`peers`]; what cannot be looked up is left out.
async fn look_up(ways: Ways, lists: Arc<[AddressList]>, port: u16) -> Vec<Peer> {
    let mut found = Vec::new();
    for list in lists.iter() {
        match peers(ways, [list], port).await {
            Ok(peers) => found.extend(peers),
            Err(error) => tracing::warn!("a registrar cannot be looked up: {error:#}"),
        }
    }
    found
}
