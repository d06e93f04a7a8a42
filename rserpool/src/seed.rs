//! Randomness of the drivers: from the configuration, or from the operating system.

use rand::SeedableRng;
use rand::TryRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha12Rng;

use crate::error::Error;

/// A generator from a given seed, or from one that the operating system gives.
///
/// # Errors
/// When the operating system has no randomness.
pub(crate) fn generator(seed: Option<[u8; 32]>) -> Result<ChaCha12Rng, Error> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            let failed = |_| Error::Invalid("the operating system gives no random numbers");
            SysRng.try_fill_bytes(&mut seed).map_err(failed)?;
            seed
        }
    };
    Ok(ChaCha12Rng::from_seed(seed))
}
