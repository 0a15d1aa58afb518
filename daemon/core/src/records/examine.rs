//! Reading the whole ledger against itself: does every index say what the leases say, and every
//! counter what a recount says?

use std::collections::{BTreeMap, BTreeSet};

use super::{COUNT, HOLDER, LEASE, Records, encoding, keys, malformed, number};
use crate::error::Error;
use crate::model::lease::{Lease, State, Timing};
use crate::ports::store::{Key, Versioned};

/// The indexes and counters that the leases imply.
#[derive(Default)]
struct Should {
    leases: Vec<Lease>,
    /// Keys of indexes and kept secrets.
    keys: BTreeSet<Key>,
    counts: BTreeMap<Key, u64>,
    holders: BTreeMap<Key, String>,
    faults: Vec<String>,
}

impl Records {
    /// All leases, and every contradiction as a sentence. Reads everything, and without a snapshot:
    /// what is written meanwhile may look like a contradiction.
    pub(crate) async fn examine(
        &self,
        timing: &Timing,
    ) -> Result<(Vec<Lease>, Vec<String>), Error> {
        let mut should = Should::default();
        for (key, sealed) in self.all(keys::LEASE).await? {
            let plain = self.keyring.open(&key, LEASE, &sealed.value)?;
            let id = keys::trailing_id(&key).ok_or_else(|| malformed(&key))?;
            let lease = encoding::decode_lease(id, &plain).map_err(Error::internal)?;
            self.expect(&mut should, lease, timing);
        }
        for space in [keys::OWN, keys::DUE, keys::PARKED, keys::REVOKE_WITH] {
            for (key, _) in self.all(space).await? {
                if !should.keys.remove(&key) {
                    should.faults.push(format!("nothing calls for {key:?}"));
                }
            }
        }
        should.faults.extend(should.keys.iter().map(|key| format!("{key:?} is missing")));
        self.compare_counts(&mut should).await?;
        self.compare_holders(&mut should).await?;
        Ok((should.leases, should.faults))
    }

    fn expect(&self, should: &mut Should, lease: Lease, timing: &Timing) {
        let subject = self.subject_key(&lease.owner);
        should.keys.extend(lease.due(timing).map(|(at, _)| keys::due(at, lease.id)));
        if matches!(lease.state, State::Parked(_)) {
            should.keys.insert(keys::parked(&lease.service, lease.id));
        }
        if lease.state.is_counted() {
            should.keys.insert(keys::own(&subject, &lease.service, lease.id));
            *should.counts.entry(keys::count(&subject, &lease.service)).or_default() += 1;
        }
        if let Some(made) = lease.state.made() {
            if made.with_secret {
                should.keys.insert(keys::revoke_with(lease.id));
            }
            let key = self.state_key(&lease.service, &made.state);
            if let Some(other) = should.holders.insert(key, lease.id.to_string()) {
                should
                    .faults
                    .push(format!("leases {other} and {} hold one plugin state", lease.id));
            }
        }
        should.leases.push(lease);
    }

    async fn compare_counts(&self, should: &mut Should) -> Result<(), Error> {
        for (key, sealed) in self.all(keys::COUNT).await? {
            let counted = number(&self.keyring.open(&key, COUNT, &sealed.value)?)?;
            let recounted = should.counts.remove(&key).unwrap_or(0);
            if counted != recounted {
                should.faults.push(format!("{key:?} says {counted}, a recount says {recounted}"));
            }
        }
        let missing = should
            .counts
            .iter()
            .map(|(key, count)| format!("{key:?} is missing; a recount says {count}"));
        should.faults.extend(missing);
        Ok(())
    }

    async fn compare_holders(&self, should: &mut Should) -> Result<(), Error> {
        for (key, sealed) in self.all(keys::STATE).await? {
            let holder = self.keyring.open(&key, HOLDER, &sealed.value)?;
            match should.holders.remove(&key) {
                Some(lease) if lease.as_bytes() == holder.as_slice() => {}
                Some(lease) => {
                    should.faults.push(format!("{key:?} names another lease than {lease}"))
                }
                None => should.faults.push(format!("no lease holds {key:?}")),
            }
        }
        should.faults.extend(
            should.holders.values().map(|lease| format!("the plugin state of {lease} is not held")),
        );
        Ok(())
    }

    async fn all(&self, space: &'static [u8]) -> Result<Vec<(Key, Versioned)>, Error> {
        self.scan_all(&Key::new(space), |key, stored| Ok((key.clone(), stored.clone()))).await
    }
}
