//! The source of randomness.

use rand::CryptoRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// Returns the operating system's random number generator, the source of all ids, keys and nonces.
pub fn os_rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}
