//! Randomness fit for keys and passwords. Draw it here rather than elsewhere, so that a test can
//! fix it.

use std::fmt::Write as _;

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    crate::imports::random::fill(&mut bytes);
    bytes
}

/// A random number.
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

/// `N` random bytes as twice as many lower-case hexadecimal digits: 16 bytes make a good password.
pub fn hex<const N: usize>() -> String {
    bytes::<N>().iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
