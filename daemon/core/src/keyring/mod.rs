//! The keys: which key wraps which, which one seals now, and how often it still may.
//!
//! A [`Kek`] from outside the store wraps the keyring. The keyring holds data keys (DEKs), of which
//! the newest seals and all open; a pseudonym key, which hides names inside of store keys; and a
//! derivation key, from which other modules derive keys of their own. The last two are never
//! rotated.
//!
//! Start with [`Keyring::load`], [`Keyring::seal`], [`Keyring::pseudonym`]. The byte formats are
//! [`crate::envelope`]'s and `records`'.
//!
//! Never here: a key on its way to a log or into an error.

mod authenticator;
mod kek;
mod mac;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub use authenticator::{Authenticator, MAC_BYTES, MacBytes};
pub(crate) use authenticator::{decode_mac, encode_mac};
pub use kek::{Kek, KekError};
use mac::mac;
use records::{Dek, Root};

use crate::envelope::{self, DataKey, EnvelopeError, KeyId};
use crate::error::{Error, Kind};
use crate::limits::COMMIT_ATTEMPTS;
use crate::ports::store::{Batch, Expected, Key, Store, StoreError};
use crate::ports::{Clock, Entropy};
use crate::secret::Secret;

/// Entries of one page when data keys are loaded.
const PAGE: usize = 256;
/// Most data keys of a keyring: far more than a daemon ever uses up, and few enough to hold.
const MAX_KEYS: usize = 4096;

/// Why the keyring cannot be used.
#[derive(Debug)]
enum KeyringError {
    WrongKey,
    Lost,
    Damaged,
    TooManyKeys,
    Contended,
    Envelope(EnvelopeError),
    Store(StoreError),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongKey => "this key file does not belong to this data",
            Self::Lost => {
                "there is data, but the keyring that it was sealed with is gone: copy the data first, then put back a copy that has it"
            }
            Self::Damaged | Self::Envelope(_) => {
                "the keyring in the data was changed: copy the data first, then put back an older copy"
            }
            Self::TooManyKeys => {
                "the keyring has more data keys than any daemon makes: copy the data first, then put back an older copy"
            }
            Self::Contended => "other daemons kept changing the keyring",
            Self::Store(_) => "the store did not give or take the keyring",
        })
    }
}

impl std::error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Envelope(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl KeyringError {
    fn into_operator_error(self) -> Error {
        let error = Error::new(Kind::Internal, self.to_string());
        match self {
            Self::Envelope(cause) => error.because(cause),
            Self::Store(cause) => error.because(cause),
            Self::WrongKey | Self::Lost | Self::Damaged | Self::TooManyKeys | Self::Contended => {
                error
            }
        }
    }
}

impl From<EnvelopeError> for KeyringError {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl From<StoreError> for KeyringError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The number of seals of a data key. Random nonces of 96 bits are safe up to 2^32 of them.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Reserved durably at a time. A crash wastes what is left of a block and never uses a seal
    /// twice.
    block: u64,
    /// After so many a new data key starts.
    per_key: u64,
}

const BUDGET: Budget = Budget { block: 1 << 20, per_key: 1 << 31 };

/// All keys of one store.
pub struct Keyring {
    store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    wrapping: DataKey,
    root: Root,
    budget: Budget,
    // Read for the time of a clone, written when a data key starts.
    ring: RwLock<Arc<Ring>>,
    // Held while a block is reserved.
    reserving: Mutex<()>,
}

/// The data keys at one time.
struct Ring {
    keys: BTreeMap<KeyId, Arc<DataKey>>,
    active: Arc<Active>,
}

/// The data key that seals, and how many of its reserved seals are left.
struct Active {
    key: Arc<DataKey>,
    left: AtomicU64,
}

impl Active {
    /// Uses up one seal, if one is left.
    fn spend(&self) -> bool {
        let spend_one = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend_one).is_ok()
    }

    fn grant(&self, seals: u64) {
        self.left.fetch_add(seals, Ordering::Relaxed);
    }
}

impl Keyring {
    /// Loads the keyring of `store`; in a store without any data, makes one. Of daemons that make
    /// one at once, one wins and the others load what it made.
    ///
    /// # Errors
    /// `Internal`, its sentence for operators: the KEK is not the one that wrapped this keyring;
    /// the keyring was changed; there is data without a keyring; the store does not answer.
    pub async fn load(
        store: Arc<dyn Store>,
        kek: Kek,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        Self::load_with(store, kek, entropy, clock, BUDGET)
            .await
            .map_err(KeyringError::into_operator_error)
    }

    async fn load_with(
        store: Arc<dyn Store>,
        kek: Kek,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        budget: Budget,
    ) -> Result<Self, KeyringError> {
        let root = load_or_make_root(&*store, &kek, &*entropy, &*clock).await?;
        let wrapping = kek.wrapping_key();
        let ring = RwLock::new(Arc::new(load_ring(&*store, &wrapping).await?));
        Ok(Self {
            store,
            entropy,
            clock,
            wrapping,
            root,
            budget,
            ring,
            reserving: Mutex::default(),
        })
    }

    /// Seals `plain` for `field` of the value at `key`, with the active data key. Waits for the
    /// store once in a million times.
    ///
    /// # Errors
    /// `Internal`, when a new block of seals could not be reserved. Nothing was sealed.
    pub async fn seal(&self, key: &Key, field: &str, plain: &[u8]) -> Result<Bytes, Error> {
        let active = self.spend().await.map_err(Error::internal)?;
        envelope::seal(&active, &*self.entropy, key, field, plain).map_err(Error::internal)
    }

    /// As [`Keyring::seal`], for a text whose length is to stay hidden.
    ///
    /// # Errors
    /// As [`Keyring::seal`].
    pub async fn seal_padded(&self, key: &Key, field: &str, plain: &[u8]) -> Result<Bytes, Error> {
        let active = self.spend().await.map_err(Error::internal)?;
        envelope::seal_padded(&active, &*self.entropy, key, field, plain).map_err(Error::internal)
    }

    /// Opens what was sealed for `field` of the value at `key`, by any of the data keys. The text
    /// is wiped when dropped.
    ///
    /// # Errors
    /// `Internal`: what is there was not sealed there, or not by this keyring. The cause says how;
    /// the sentence does not.
    pub fn open(&self, key: &Key, field: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.try_open(key, field, sealed).map_err(Error::internal)
    }

    fn try_open(
        &self,
        key: &Key,
        field: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let id = envelope::key_id(sealed)?;
        let ring = self.ring();
        let with = ring.keys.get(&id).ok_or(EnvelopeError::UnknownKey(id))?;
        envelope::open(with, key, field, sealed)
    }

    /// A name for `parts` that discloses whether two are equal and nothing else: 16 bytes of
    /// HMAC-SHA-256, the same for the life of the data. Equal parts have different pseudonyms in
    /// different spaces.
    pub fn pseudonym(&self, space: &str, parts: &[&[u8]]) -> [u8; 16] {
        let parts: Vec<&[u8]> =
            std::iter::once(space.as_bytes()).chain(parts.iter().copied()).collect();
        truncated(&mac(&self.root.pseudonyms, &parts))
    }

    /// A key of 32 bytes for `purpose`, the same for the life of the data.
    pub fn derive(&self, purpose: &str) -> Secret {
        Secret::new(mac(&self.root.derivations, &[purpose.as_bytes()]).to_vec())
    }

    /// The authenticator that signs and checks texts for `purpose`, the same for the life of the
    /// data.
    pub fn authenticator(&self, purpose: &str) -> Authenticator {
        Authenticator::new(mac(&self.root.derivations, &[b"authenticate", purpose.as_bytes()]))
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_ring(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// The active data key, after one of its seals was used up.
    async fn spend(&self) -> Result<Arc<DataKey>, KeyringError> {
        loop {
            let active = Arc::clone(&self.ring().active);
            if active.spend() {
                return Ok(Arc::clone(&active.key));
            }
            self.reserve().await?;
        }
    }

    /// Makes sure that seals are left. One task at a time: a task that waited for the lock finds
    /// what the one before reserved.
    async fn reserve(&self) -> Result<(), KeyringError> {
        let _alone = self.reserving.lock().await;
        for _ in 0..COMMIT_ATTEMPTS {
            if self.ring().active.left.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            match self.reserve_once().await {
                Ok(()) => {}
                // Lost to another daemon, or of unknown fate: what the store has now counts. At
                // worst a block is wasted.
                Err(KeyringError::Store(StoreError::Conflict { .. } | StoreError::Unknown(_))) => {
                    self.set_ring(load_ring(&*self.store, &self.wrapping).await?);
                }
                Err(error) => return Err(error),
            }
        }
        Err(KeyringError::Contended)
    }

    async fn reserve_once(&self) -> Result<(), KeyringError> {
        let ring = self.ring();
        let id = ring.active.key.id();
        let stored = self.store.get(&records::dek_key(id)).await?.ok_or(KeyringError::Damaged)?;
        let mut dek = Dek::unwrap(&self.wrapping, id, &stored.value)?;
        let reserved = dek.reserved.saturating_add(self.budget.block);
        if reserved > self.budget.per_key {
            return self.start_next_key(&ring).await;
        }
        dek.reserved = reserved;
        let value = dek.wrap(&self.wrapping, &*self.entropy, id)?;
        let batch = Batch::default()
            .expect(records::dek_key(id), Expected::At(stored.revision))
            .put(records::dek_key(id), value)
            // Without a key that seals, nothing urgent could be written either.
            .urgent();
        self.store.commit(batch).await?;
        ring.active.grant(self.budget.block);
        Ok(())
    }

    /// Makes a new data key and lets it seal from now on.
    async fn start_next_key(&self, ring: &Ring) -> Result<(), KeyringError> {
        if ring.keys.len() >= MAX_KEYS {
            return Err(KeyringError::TooManyKeys);
        }
        let id =
            ring.active.key.id().0.checked_add(1).map(KeyId).ok_or(KeyringError::TooManyKeys)?;
        let dek = Dek::generate(&*self.entropy, self.clock.now(), self.budget.block);
        let value = dek.wrap(&self.wrapping, &*self.entropy, id)?;
        let batch = Batch::default()
            .expect(records::dek_key(id), Expected::Absent)
            .put(records::dek_key(id), value)
            .urgent();
        self.store.commit(batch).await?;

        let key = Arc::new(dek.data_key(id));
        let mut keys = ring.keys.clone();
        keys.insert(id, Arc::clone(&key));
        self.set_ring(Ring {
            keys,
            active: Arc::new(Active { key, left: self.budget.block.into() }),
        });
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} data keys)", self.ring().keys.len())
    }
}

fn truncated(full: &Zeroizing<[u8; 32]>) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(full.iter()) {
        *to = *from;
    }
    short
}

async fn load_or_make_root(
    store: &dyn Store,
    kek: &Kek,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
) -> Result<Root, KeyringError> {
    for _ in 0..COMMIT_ATTEMPTS {
        if let Some(stored) = store.get(&records::root_key()).await? {
            return Root::unwrap(kek, &stored.value);
        }
        if !store.scan(&Key::new(""), None, 1).await?.entries.is_empty() {
            // Either another daemon has just made a keyring, or this one was lost: a new one would
            // open nothing that is there.
            match store.get(&records::root_key()).await? {
                Some(stored) => return Root::unwrap(kek, &stored.value),
                None => return Err(KeyringError::Lost),
            }
        }
        match store.commit(first_keyring(kek, entropy, clock)?).await {
            // Read back what is there, whichever daemon wrote it: the store, not this process, says
            // which keyring it is.
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(KeyringError::Contended)
}

fn first_keyring(
    kek: &Kek,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
) -> Result<Batch, KeyringError> {
    let root = Root::generate(entropy).wrap(kek, entropy)?;
    let id = KeyId(1);
    let dek = Dek::generate(entropy, clock.now(), 0).wrap(&kek.wrapping_key(), entropy, id)?;
    Ok(Batch::default()
        .expect(records::root_key(), Expected::Absent)
        .expect(records::dek_key(id), Expected::Absent)
        .put(records::root_key(), root)
        .put(records::dek_key(id), dek))
}

/// All data keys; the one with the highest id is active. Nothing of it is reserved for this process
/// yet.
async fn load_ring(store: &dyn Store, wrapping: &DataKey) -> Result<Ring, KeyringError> {
    let mut keys = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.scan(&records::dek_prefix(), after.as_ref(), PAGE).await?;
        for (key, stored) in &page.entries {
            let id = records::dek_id(key)?;
            let dek = Dek::unwrap(wrapping, id, &stored.value)?;
            // A store that shows a key twice might go on for ever.
            if keys.insert(id, Arc::new(dek.data_key(id))).is_some() {
                return Err(KeyringError::Damaged);
            }
        }
        if keys.len() > MAX_KEYS {
            return Err(KeyringError::TooManyKeys);
        }
        after = page.entries.into_iter().next_back().map(|(key, _)| key);
        if !page.more || after.is_none() {
            break;
        }
    }
    let newest = keys.values().next_back().map(Arc::clone).ok_or(KeyringError::Damaged)?;
    Ok(Ring { keys, active: Arc::new(Active { key: newest, left: 0.into() }) })
}

#[cfg(test)]
mod tests;
