//! Checks the whole ledger for consistency: every index against the leases, every counter against a
//! recount.

use std::collections::{BTreeMap, BTreeSet};

use super::{COUNT, HOLDER, LEASE, Records, encoding, keys, malformed, number};
use crate::error::Error;
use crate::model::lease::{Lease, State, Timing};
use crate::ports::store::{Key, Versioned};

/// What has to exist according to the leases.
#[derive(Default)]
struct ExpectedRecords {
    leases: Vec<Lease>,
    /// Keys of indexes and kept secrets.
    keys: BTreeSet<Key>,
    counts: BTreeMap<Key, u64>,
    holders: BTreeMap<Key, String>,
    faults: Vec<String>,
}

impl Records {
    /// All leases, and every contradiction as a sentence. Reads everything, without a snapshot: a
    /// write that comes in between may look like a contradiction.
    pub(crate) async fn examine(
        &self,
        timing: &Timing,
    ) -> Result<(Vec<Lease>, Vec<String>), Error> {
        let mut expected = ExpectedRecords::default();
        for (key, sealed) in self.all(keys::LEASE).await? {
            let plain = self.keyring.open(&key, LEASE, &sealed.value)?;
            let id = keys::trailing_id(&key).ok_or_else(|| malformed(&key))?;
            let lease = encoding::decode_lease(id, &plain).map_err(Error::internal)?;
            self.expect(&mut expected, lease, timing);
        }
        for space in [keys::OWN, keys::DUE, keys::PARKED, keys::REVOKE_WITH] {
            for (key, _) in self.all(space).await? {
                if !expected.keys.remove(&key) {
                    expected.faults.push(format!("nothing calls for {key:?}"));
                }
            }
        }
        expected.faults.extend(expected.keys.iter().map(|key| format!("{key:?} is missing")));
        self.compare_counts(&mut expected).await?;
        self.compare_holders(&mut expected).await?;
        Ok((expected.leases, expected.faults))
    }

    fn expect(&self, expected: &mut ExpectedRecords, lease: Lease, timing: &Timing) {
        let subject = self.subject_key(&lease.owner);
        expected.keys.extend(lease.due(timing).map(|(at, _)| keys::due(at, lease.id)));
        if matches!(lease.state, State::Parked(_)) {
            expected.keys.insert(keys::parked(&lease.service, lease.id));
        }
        if lease.state.is_counted() {
            expected.keys.insert(keys::own(&subject, &lease.service, lease.id));
            *expected.counts.entry(keys::count(&subject, &lease.service)).or_default() += 1;
        }
        if let Some(made) = lease.state.made() {
            if made.with_secret {
                expected.keys.insert(keys::revoke_with(lease.id));
            }
            let key = self.state_key(&lease.service, &made.state);
            if let Some(other) = expected.holders.insert(key, lease.id.to_string()) {
                expected
                    .faults
                    .push(format!("leases {other} and {} hold one plugin state", lease.id));
            }
        }
        expected.leases.push(lease);
    }

    async fn compare_counts(&self, expected: &mut ExpectedRecords) -> Result<(), Error> {
        for (key, sealed) in self.all(keys::COUNT).await? {
            let counted = number(&self.keyring.open(&key, COUNT, &sealed.value)?)?;
            let recounted = expected.counts.remove(&key).unwrap_or(0);
            if counted != recounted {
                expected.faults.push(format!("{key:?} says {counted}, a recount says {recounted}"));
            }
        }
        let missing = expected
            .counts
            .iter()
            .map(|(key, count)| format!("{key:?} is missing; a recount says {count}"));
        expected.faults.extend(missing);
        Ok(())
    }

    async fn compare_holders(&self, expected: &mut ExpectedRecords) -> Result<(), Error> {
        for (key, sealed) in self.all(keys::STATE).await? {
            let holder = self.keyring.open(&key, HOLDER, &sealed.value)?;
            match expected.holders.remove(&key) {
                Some(lease) if lease.as_bytes() == holder.as_slice() => {}
                Some(lease) => {
                    expected.faults.push(format!("{key:?} names another lease than {lease}"))
                }
                None => expected.faults.push(format!("no lease holds {key:?}")),
            }
        }
        expected.faults.extend(
            expected
                .holders
                .values()
                .map(|lease| format!("the plugin state of {lease} is not held")),
        );
        Ok(())
    }

    async fn all(&self, space: &'static [u8]) -> Result<Vec<(Key, Versioned)>, Error> {
        self.scan_all(&Key::new(space), |key, stored| Ok((key.clone(), stored.clone()))).await
    }
}
