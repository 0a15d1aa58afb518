//! Everything that is stored, as typed records: under which key, as which bytes, sealed for what,
//! and which keys change in one batch.
//!
//! For leases start with [`Records::commit`]: everything derived from a lease (its counter, its
//! indexes, the holder of a plugin state) is written in the batch that writes the lease, worked out
//! from the lease before and after the change. For everything else start with [`writing::Writing`]:
//! each kind of record has a file of its own. [`Projection`] keeps in memory what is read often.
//!
//! Never here: a decision about a lease, a user or a credential. Never elsewhere: a key of the
//! store, or a byte of a record.

mod change;
mod clock;
mod companies;
pub(crate) mod credential_types;
mod credential_values;
pub(crate) mod credentials;
mod encoding;
mod event_record;
mod events;
mod examine;
mod keys;
mod lease_form;
mod projection;
mod sessions;
mod spans;
pub(crate) mod users;
mod vault_keys;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub(crate) use change::{Change, CommitError, Move};
pub(crate) use companies::{COMPANIES, COMPANIES_IN_A_BATCH};
pub(crate) use event_record::decode_event;
pub(crate) use events::{AUDIT_BATCH, AuditEnd, Outgoing};
pub(crate) use examine::Findings;
#[cfg(feature = "doubles")]
pub(crate) use examine::let_others_run;
use keys::Pseudonym;
pub(crate) use projection::Projection;
use spans::Spans;
pub(crate) use vault_keys::{credentials_space, names_of_company_space, names_of_type_space};
pub(crate) use writing::Writing;

use crate::caller::Subject;
use crate::error::Error;
use crate::ids::{LeaseId, ServiceId};
use crate::keyring::Keyring;
use crate::model::lease::Lease;
use crate::ports::store::{Expected, Key, Page, Revision, Store, Versioned};
use crate::ports::{Clock, Entropy};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The field of the AAD: what kind of value is sealed.
const LEASE: &str = "lease";
const COUNT: &str = "count";
const HOLDER: &str = "holder";
const REVOKE_WITH: &str = "revoke-with";
const EVENT: &str = "event";

const PAGE: usize = 256;

/// The records of the store.
pub(crate) struct Records {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Events put into batches so far.
    outgoing: AtomicU64,
    spans: Spans,
}

/// A subject and a service: their leases are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    subject: Pseudonym,
    service: ServiceId,
}

/// A counter as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    expected: Expected,
}

/// Part of an index, and where the next part begins.
pub(crate) struct IndexPage {
    pub(crate) leases: Vec<LeaseId>,
    /// `None`: this was the last part.
    pub(crate) next: Option<Key>,
}

impl Records {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            keyring,
            clock,
            entropy,
            outgoing: AtomicU64::default(),
            spans: Spans::default(),
        }
    }

    /// The same records in another store.
    #[cfg(test)]
    pub(crate) fn in_store(&self, store: Arc<dyn Store>) -> Self {
        let Self { keyring, clock, entropy, .. } = self;
        Self::new(store, Arc::clone(keyring), Arc::clone(clock), Arc::clone(entropy))
    }

    /// The account of `subject` at `service`.
    pub(crate) fn account(&self, subject: &Subject, service: &ServiceId) -> Account {
        Account { subject: self.subject_key(subject), service: service.clone() }
    }

    /// The lease of that id.
    pub(crate) async fn lease(&self, id: LeaseId) -> Result<Option<Versioned<Lease>>, Error> {
        let key = keys::lease(id);
        let Some((plain, revision)) = self.get(&key, LEASE).await? else { return Ok(None) };
        let lease = encoding::decode_lease(id, &plain).map_err(Error::internal)?;
        Ok(Some(Versioned { value: lease, revision }))
    }

    /// The counted leases of `subject`, of one service or of all.
    pub(crate) async fn leases_of(
        &self,
        subject: &Subject,
        service: Option<&ServiceId>,
    ) -> Result<Vec<Versioned<Lease>>, Error> {
        let prefix = keys::own_prefix(&self.subject_key(subject), service);
        let mut leases = Vec::new();
        for id in self.scan_keys(&prefix, keys::trailing_id).await? {
            leases.extend(self.lease(id).await?.filter(|stored| stored.value.owner == *subject));
        }
        Ok(leases)
    }

    /// How many leases count for `account`.
    pub(crate) async fn tally(&self, account: &Account) -> Result<Tally, Error> {
        let key = keys::count(&account.subject, &account.service);
        Ok(match self.get(&key, COUNT).await? {
            Some((plain, revision)) => {
                Tally { count: number(&plain)?, expected: Expected::At(revision) }
            }
            None => Tally { count: 0, expected: Expected::Absent },
        })
    }

    /// How many leases of `subject` count, by service; services with none are left out.
    pub(crate) async fn counts(
        &self,
        subject: &Subject,
    ) -> Result<BTreeMap<ServiceId, u64>, Error> {
        let prefix = keys::count_prefix(&self.subject_key(subject));
        let counts = self.scan_all(&prefix, |key, sealed| {
            let plain = self.keyring.open(key, COUNT, &sealed.value)?;
            let service = keys::trailing_service(key, &prefix).ok_or_else(|| malformed(key))?;
            Ok((service, number(&plain)?))
        });
        Ok(counts.await?.into_iter().collect())
    }

    /// The lease by which `owner` holds `state` of `service`.
    pub(crate) async fn holder(
        &self,
        owner: &Subject,
        service: &ServiceId,
        state: &str,
    ) -> Result<Option<LeaseId>, Error> {
        let key = self.state_key(owner, service, state);
        let Some((plain, _)) = self.get(&key, HOLDER).await? else { return Ok(None) };
        holder_in(&plain).map(Some).ok_or_else(|| Error::internal("a holder is no lease"))
    }

    /// The secret that was kept for the revocation of that lease.
    pub(crate) async fn revoke_with(&self, id: LeaseId) -> Result<Option<Secret>, Error> {
        let found = self.get(&keys::revoke_with(id), REVOKE_WITH).await?;
        Ok(found.map(|(plain, _)| Secret::new(plain.to_vec())))
    }

    /// Leases that are due at `now`, earliest first, at most `limit`, `after` the end of an earlier
    /// page.
    pub(crate) async fn due(
        &self,
        after: Option<&Key>,
        now: Timestamp,
        limit: usize,
    ) -> Result<IndexPage, Error> {
        let page = self.scan(&Key::new(keys::DUE), after, limit).await?;
        let found = page.entries.len();
        let due = |key: &Key| keys::parse_due(key).filter(|(seconds, _)| *seconds <= now.as_secs());
        let leases: Vec<_> =
            page.entries.iter().map_while(|(key, _)| due(key)).map(|(_, id)| id).collect();
        let next = if leases.len() == found { next_of(page) } else { None };
        Ok(IndexPage { leases, next })
    }

    /// Leases that became due after the second of `from` and by `until`, earliest first, at most
    /// `limit`, `after` the end of an earlier page.
    pub(crate) async fn due_between(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<IndexPage, Error> {
        let begin = keys::due_after(from);
        self.due(Some(after.unwrap_or(&begin)), until, limit).await
    }

    /// How many leases count, of a page of at most `limit` of them, and where the next one begins.
    pub(crate) async fn counted_leases(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<(usize, Option<Key>), Error> {
        let page = self.scan(&Key::new(keys::OWN), after, limit).await?;
        Ok((page.entries.len(), next_of(page)))
    }

    /// Leases of `service` that failed to be revoked and are tried again.
    pub(crate) async fn failing(
        &self,
        service: &ServiceId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<IndexPage, Error> {
        self.index(&keys::failing_prefix(service), after, limit).await
    }

    /// Parked leases, of one service or of all.
    pub(crate) async fn parked(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<IndexPage, Error> {
        self.index(&Key::new(keys::PARKED), after, limit).await
    }

    fn subject_key(&self, subject: &Subject) -> Pseudonym {
        self.keyring.pseudonym("subject", &[subject.issuer.as_bytes(), subject.subject.as_bytes()])
    }

    fn state_key(&self, owner: &Subject, service: &ServiceId, state: &str) -> Key {
        keys::state(&self.subject_key(owner), service, &self.state_pseudonym(service, state))
    }

    fn state_pseudonym(&self, service: &ServiceId, state: &str) -> Pseudonym {
        self.keyring.pseudonym("state", &[service.as_str().as_bytes(), state.as_bytes()])
    }

    async fn get(&self, key: &Key, field: &str) -> Result<Option<(Plain, Revision)>, Error> {
        let Some(Versioned { value, revision }) =
            self.store.get(key).await.map_err(Error::internal)?
        else {
            return Ok(None);
        };
        Ok(Some((self.keyring.open(key, field, &value)?, revision)))
    }

    async fn index(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<IndexPage, Error> {
        let page = self.scan(prefix, after, limit).await?;
        let id = |key: &Key| keys::trailing_id(key).ok_or_else(|| malformed(key));
        let leases = page.entries.iter().map(|(key, _)| id(key)).collect::<Result<_, _>>()?;
        Ok(IndexPage { leases, next: next_of(page) })
    }

    async fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.store.scan(prefix, after, limit).await.map_err(Error::internal)
    }

    /// What `read` makes of each entry under `prefix`, in the order of the keys. Reads page by page
    /// to the end, without a snapshot.
    async fn scan_all<T>(
        &self,
        prefix: &Key,
        read: impl Fn(&Key, &Versioned) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.scan(prefix, after.as_ref(), PAGE).await?;
            for (key, stored) in &page.entries {
                found.push(read(key, stored)?);
            }
            after = next_of(page);
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// What `parse` reads from each key under `prefix`, in the order of the keys.
    async fn scan_keys<T>(
        &self,
        prefix: &Key,
        parse: fn(&Key) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.scan_all(prefix, |key, _| parse(key).ok_or_else(|| malformed(key))).await
    }
}

type Plain = zeroize::Zeroizing<Vec<u8>>;

fn next_of(mut page: Page) -> Option<Key> {
    if page.more { page.entries.pop().map(|(key, _)| key) } else { None }
}

/// The lease that the record of a held plugin state names.
fn holder_in(plain: &[u8]) -> Option<LeaseId> {
    LeaseId::parse(std::str::from_utf8(plain).ok()?).ok()
}

fn number(plain: &[u8]) -> Result<u64, Error> {
    let bytes =
        plain.try_into().map_err(|_| Error::internal("a counter is not eight bytes long"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn malformed(key: &Key) -> Error {
    Error::internal(format!("an index has a malformed key: {key:?}"))
}
