//! Registrars that are known by name.

use std::sync::Arc;

use rserpool_core::asap::{AsapConfig, Resolver};
use sctp_user::{PeerName, ToPeer};

use crate::error::Error;

/// Settings for asking exactly the registrars at these places, without multicast, as
/// [`AsapConfig::with_registrars`] has them. Each place is a host with the SCTP port, mostly 3863:
/// anything that [`ToPeer`] takes, such as `"registrar.example:3863"`.
///
/// Names are looked up whenever a registrar is looked for, so a registrar that has moved to another
/// address is found again. All addresses of a name are addresses of one registrar. A name that
/// cannot be looked up is left out.
///
/// ```
/// let asap = rserpool::with_registrar_names(["one.example:3863", "two.example:3863/udp:9899"])?;
/// # let _ = asap;
/// # Ok::<(), rserpool::Error>(())
/// ```
///
/// # Errors
/// [`Error::Sctp`] with what is wrong in one of the texts.
pub fn with_registrar_names<T: ToPeer>(
    places: impl IntoIterator<Item = T>,
) -> Result<AsapConfig, Error> {
    let names: Result<Vec<PeerName>, _> =
        places.into_iter().map(|place| place.to_peer_name()).collect();
    let names: Arc<[PeerName]> = names.map_err(sctp_user::Error::from)?.into();
    let resolver = Resolver::new(move || {
        let names = Arc::clone(&names);
        async move {
            let mut ways = Vec::new();
            for name in names.iter() {
                match name.look_up().await {
                    Ok(found) => ways.extend(found),
                    Err(error) => tracing::warn!(%error, "a registrar cannot be looked up"),
                }
            }
            ways
        }
    });
    Ok(AsapConfig { resolver: Some(resolver), ..AsapConfig::with_registrars(Vec::new()) })
}
