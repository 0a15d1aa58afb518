//! Randomness that is the same in each run.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::ports::Entropy;

/// SHA-256 of a seed and a counter. As good as random to what is tested, and worth nothing as a
/// secret.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    blocks: AtomicU64,
}

impl SeededEntropy {
    /// Equal seeds give equal bytes, in the order of the calls.
    pub fn new(seed: u64) -> Self {
        Self { seed, blocks: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, Ordering::Relaxed);
            let digest = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(block.to_be_bytes());
            for (to, from) in chunk.iter_mut().zip(digest.finalize()) {
                *to = from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entropy: &SeededEntropy) -> [u8; 40] {
        let mut bytes = [0; 40];
        entropy.fill(&mut bytes);
        bytes
    }

    #[test]
    fn it_repeats_by_seed_and_never_within_one() {
        let (one, same, other) =
            (SeededEntropy::new(1), SeededEntropy::new(1), SeededEntropy::new(2));
        let first = bytes(&one);
        assert_eq!(first, bytes(&same));
        assert_ne!(first, bytes(&other));
        assert_ne!(first, bytes(&one));
        assert_ne!(first[..8], first[32..]);
    }
}
