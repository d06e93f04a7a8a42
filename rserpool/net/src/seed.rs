//! The drivers' randomness, from the configuration or from the operating system.

use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha12Rng;
use sctp_user::ConfigError;

/// A generator with the given seed, or with one from the operating system.
///
/// # Errors
/// When the operating system has no randomness.
pub fn generator(seed: Option<[u8; 32]>) -> Result<ChaCha12Rng, ConfigError> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            let failed = |_| ConfigError("the operating system gives no random numbers");
            SysRng.try_fill_bytes(&mut seed).map_err(failed)?;
            seed
        }
    };
    Ok(ChaCha12Rng::from_seed(seed))
}
