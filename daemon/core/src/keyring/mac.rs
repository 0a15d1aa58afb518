//! HMAC-SHA-256 over a list of parts.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::envelope::KEY_BYTES;

/// SHA-256's block: HMAC (RFC 2104) fills shorter keys up with zeros.
const BLOCK: usize = 64;

/// The HMAC of `parts`, each after its length (64 bits, network order): no two lists of parts run
/// together.
pub(super) fn mac(key: &Zeroizing<[u8; KEY_BYTES]>, parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    for (to, from) in block.iter_mut().zip(key.iter()) {
        *to = *from;
    }
    let block: &[u8; BLOCK] = &block;
    let mut mac = Hmac::<Sha256>::new(block.into());
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`.
    #[test]
    fn it_is_hmac_sha256_over_length_and_part() {
        let key = Zeroizing::new([1; KEY_BYTES]);
        let hex: String =
            mac(&key, &[b"one", b""]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "795d22b39837ae3b488eafd7297d932c780d6ec747cdf660085bad0f07dde060");
    }

    #[test]
    fn parts_do_not_run_together() {
        let key = Zeroizing::new([1; KEY_BYTES]);
        let lists: [&[&[u8]]; 5] = [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[]];
        for (i, a) in lists.iter().enumerate() {
            for b in lists.iter().skip(i + 1) {
                assert_ne!(mac(&key, a), mac(&key, b), "{a:?} {b:?}");
            }
        }
    }
}
