//! Checks the whole ledger for consistency: every index against the leases, every counter against a
//! recount.
//!
//! It goes entry by entry and keeps none, so that its memory does not grow with the ledger. The
//! daemon works meanwhile, and a scan is no snapshot: what looks like a contradiction is looked at
//! again, and counts only if the lease is the same before and after the read of its key. A batch
//! changes a lease and its keys together, so that work under way never passes for a fault.

use std::future::poll_fn;
use std::task::Poll;

use super::{COUNT, HOLDER, PAGE, Records, holder_in, keys, malformed, next_of, number};
use crate::error::Error;
use crate::ids::LeaseId;
use crate::model::lease::{Lease, State, Timing};
use crate::ports::store::{Key, Page, Versioned};

/// How often a contradiction is looked at while its lease or counter goes on changing.
const LOOKS: usize = 16;
/// How often a counter has to differ from the same recount. A reservation that retires a lease
/// leaves the counter as it was, and a recount may see one of both or neither.
const AGREED_LOOKS: usize = 3;
/// Most contradictions that are kept as sentences; further ones are counted.
const MOST_FAULTS: usize = 1000;

/// Contradictions in the ledger.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// One sentence each.
    pub(crate) faults: Vec<String>,
    /// How many more there are.
    pub(crate) more: u64,
}

impl Findings {
    fn add(&mut self, fault: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

impl Records {
    /// Every contradiction in the ledger. Calls `each` with every lease. Reads everything.
    ///
    /// # Errors
    /// `Internal` when the store fails. A record that cannot be read is a contradiction.
    pub(crate) async fn examine(
        &self,
        timing: &Timing,
        each: &mut (dyn FnMut(Lease) + Send),
    ) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        self.examine_leases(timing, &mut findings, each).await?;
        for space in [keys::OWN, keys::DUE, keys::PARKED, keys::FAILING, keys::REVOKE_WITH] {
            self.examine_index(space, timing, &mut findings).await?;
        }
        self.examine_holders(timing, &mut findings).await?;
        self.recount(&mut findings).await?;
        self.examine_counters(&mut findings).await?;
        Ok(findings)
    }

    async fn examine_leases(
        &self,
        timing: &Timing,
        findings: &mut Findings,
        each: &mut (dyn FnMut(Lease) + Send),
    ) -> Result<(), Error> {
        let mut pages = Pages::of(keys::LEASE);
        while let Some(page) = pages.next(self).await? {
            for (key, sealed) in page.entries {
                match self.lease_in(&key, &sealed.value) {
                    Ok(lease) => {
                        self.examine_lease(&lease, timing, findings).await?;
                        each(lease);
                    }
                    Err(_) => findings.add(format!("{key:?} cannot be read")),
                }
            }
        }
        Ok(())
    }

    async fn examine_lease(
        &self,
        lease: &Lease,
        timing: &Timing,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        for key in self.derived_keys(lease, timing) {
            let found = self.entry(&key).await?;
            if !self.is_held_by(&key, found.as_ref(), lease.id)
                && !self.agrees(lease.id, &key, timing).await?
            {
                findings.add(match found {
                    None => format!("{key:?} of lease {} is missing", lease.id),
                    Some(_) => format!("{key:?} names another lease than {}", lease.id),
                });
            }
        }
        Ok(())
    }

    async fn examine_index(
        &self,
        space: &'static [u8],
        timing: &Timing,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut pages = Pages::of(space);
        while let Some(page) = pages.next(self).await? {
            for (key, _) in page.entries {
                let id = keys::trailing_id(&key).ok_or_else(|| malformed(&key))?;
                self.examine_key(&key, id, timing, findings).await?;
            }
        }
        Ok(())
    }

    async fn examine_holders(&self, timing: &Timing, findings: &mut Findings) -> Result<(), Error> {
        let mut pages = Pages::of(keys::STATE);
        while let Some(page) = pages.next(self).await? {
            for (key, sealed) in page.entries {
                match self.holder_at(&key, &sealed) {
                    Some(id) => self.examine_key(&key, id, timing, findings).await?,
                    None => findings.add(format!("{key:?} cannot be read")),
                }
            }
        }
        Ok(())
    }

    /// Whether the lease `id` calls for `key`, which is there.
    async fn examine_key(
        &self,
        key: &Key,
        id: LeaseId,
        timing: &Timing,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let lease = self.entry(&keys::lease(id)).await?;
        if !self.calls_for(id, lease.as_ref(), key, timing) && !self.agrees(id, key, timing).await?
        {
            findings.add(format!("nothing calls for {key:?}"));
        }
        Ok(())
    }

    /// Whether the lease `id` and `key` agree at one moment: it calls for the key, and the key
    /// names it, or neither. A lease that never stands still is given the benefit of the doubt.
    async fn agrees(&self, id: LeaseId, key: &Key, timing: &Timing) -> Result<bool, Error> {
        let revision = |stored: &Option<Versioned>| stored.as_ref().map(|stored| stored.revision);
        for _ in 0..LOOKS {
            let before = self.entry(&keys::lease(id)).await?;
            let found = self.entry(key).await?;
            let after = self.entry(&keys::lease(id)).await?;
            if revision(&before) == revision(&after) {
                let wanted = self.calls_for(id, before.as_ref(), key, timing);
                return Ok(wanted == self.is_held_by(key, found.as_ref(), id));
            }
        }
        Ok(true)
    }

    /// Whether the record of a lease calls for `key`. One that cannot be read is reported once, and
    /// calls for anything.
    fn calls_for(
        &self,
        id: LeaseId,
        lease: Option<&Versioned>,
        key: &Key,
        timing: &Timing,
    ) -> bool {
        lease.is_some_and(|stored| {
            let lease = self.lease_in(&keys::lease(id), &stored.value);
            lease.map_or(true, |lease| self.derived_keys(&lease, timing).contains(key))
        })
    }

    /// Whether an entry is there and names the lease `id`.
    fn is_held_by(&self, key: &Key, found: Option<&Versioned>, id: LeaseId) -> bool {
        let is_holder = key.as_bytes().starts_with(keys::STATE);
        found.is_some_and(|sealed| !is_holder || self.holder_at(key, sealed) == Some(id))
    }

    fn holder_at(&self, key: &Key, sealed: &Versioned) -> Option<LeaseId> {
        holder_in(&self.keyring.open(key, HOLDER, &sealed.value).ok()?)
    }

    /// Every key that has to exist because `lease` is as it is, but for its counter.
    fn derived_keys(&self, lease: &Lease, timing: &Timing) -> Vec<Key> {
        let mut derived: Vec<Key> =
            lease.due(timing).map(|(at, _)| keys::due(at, lease.id)).into_iter().collect();
        if matches!(lease.state, State::Parked(_)) {
            derived.push(keys::parked(&lease.service, lease.id));
        }
        if lease.state.is_failing() {
            derived.push(keys::failing(&lease.service, lease.id));
        }
        if lease.state.is_counted() {
            derived.push(keys::own(&self.subject_key(&lease.owner), &lease.service, lease.id));
        }
        if let Some(made) = lease.state.made() {
            derived.push(self.state_key(&lease.owner, &lease.service, &made.state));
            if made.with_secret {
                derived.push(keys::revoke_with(lease.id));
            }
        }
        derived
    }

    /// Compares the counter of every account that has leases. The keys of an account follow each
    /// other.
    async fn recount(&self, findings: &mut Findings) -> Result<(), Error> {
        let (mut pages, mut account, mut leases) = (Pages::of(keys::OWN), None, 0_u64);
        while let Some(page) = pages.next(self).await? {
            for (key, _) in page.entries {
                let next = keys::counter_of(&key).ok_or_else(|| malformed(&key))?;
                if account.as_ref() == Some(&next) {
                    leases += 1;
                    continue;
                }
                if let Some(counter) = account.replace(next) {
                    self.examine_counter(&counter, leases, findings).await?;
                }
                leases = 1;
            }
        }
        match account {
            Some(counter) => self.examine_counter(&counter, leases, findings).await,
            None => Ok(()),
        }
    }

    /// Looks for counters of accounts that have no leases.
    async fn examine_counters(&self, findings: &mut Findings) -> Result<(), Error> {
        let mut pages = Pages::of(keys::COUNT);
        while let Some(page) = pages.next(self).await? {
            for (counter, _) in page.entries {
                let own = keys::owned_at(&counter).ok_or_else(|| malformed(&counter))?;
                if self.scan(&own, None, 1).await?.entries.is_empty() {
                    self.examine_counter(&counter, 0, findings).await?;
                }
            }
        }
        Ok(())
    }

    async fn examine_counter(
        &self,
        counter: &Key,
        leases: u64,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        if self.counted_at(counter, self.entry(counter).await?.as_ref())? == leases {
            return Ok(());
        }
        if let Some((counted, leases)) = self.miscount(counter).await? {
            findings.add(format!("{counter:?} says {counted}, a recount says {leases}"));
        }
        Ok(())
    }

    /// What the counter says and what a recount says, where they differ while the counter stands
    /// still.
    async fn miscount(&self, counter: &Key) -> Result<Option<(u64, u64)>, Error> {
        let (mut last, mut agreed) = (None, 0);
        for _ in 0..LOOKS {
            let before = self.entry(counter).await?;
            let leases = self.owned(counter).await?;
            let after = self.entry(counter).await?;
            if before.as_ref().map(|stored| stored.revision)
                != after.as_ref().map(|stored| stored.revision)
            {
                continue;
            }
            let seen = (self.counted_at(counter, before.as_ref())?, leases);
            if seen.0 == seen.1 {
                return Ok(None);
            }
            agreed = if last == Some(seen) { agreed + 1 } else { 1 };
            last = Some(seen);
            if agreed == AGREED_LOOKS {
                return Ok(last);
            }
        }
        Ok(None)
    }

    async fn owned(&self, counter: &Key) -> Result<u64, Error> {
        let own = keys::owned_at(counter).ok_or_else(|| malformed(counter))?;
        let (mut leases, mut after) = (0_u64, None);
        loop {
            let page = self.scan(&own, after.as_ref(), PAGE).await?;
            leases += u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
            after = next_of(page);
            if after.is_none() {
                return Ok(leases);
            }
        }
    }

    fn counted_at(&self, counter: &Key, stored: Option<&Versioned>) -> Result<u64, Error> {
        stored.map_or(Ok(0), |sealed| number(&self.keyring.open(counter, COUNT, &sealed.value)?))
    }

    async fn entry(&self, key: &Key) -> Result<Option<Versioned>, Error> {
        self.store.get(key).await.map_err(Error::internal)
    }
}

/// The pages of a space, one at a time. Other tasks run between two of them.
struct Pages {
    space: Key,
    after: Option<Key>,
    done: bool,
}

impl Pages {
    fn of(space: &'static [u8]) -> Self {
        Self { space: Key::new(space), after: None, done: false }
    }

    async fn next(&mut self, records: &Records) -> Result<Option<Page>, Error> {
        if self.done {
            return Ok(None);
        }
        let_others_run().await;
        let page = records.scan(&self.space, self.after.as_ref(), PAGE).await?;
        self.after = page.entries.last().map(|(key, _)| key.clone());
        self.done = !page.more;
        Ok(Some(page))
    }
}

/// Lets other tasks run once. Reads of a store may never wait: without this, a pass would keep a
/// thread for itself.
pub(crate) async fn let_others_run() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::access::operator;
    use crate::catalogue::Service;
    use crate::doubles;
    use crate::testing::{HOUR, World, options};

    use super::*;

    async fn faults(world: &World) -> Vec<String> {
        world.leases.examine(operator(), |_| ()).await.unwrap().faults
    }

    #[tokio::test]
    async fn every_kind_of_contradiction_is_found() {
        let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
        let world = World::with(vec![service], options()).await;
        for user in ["alice", "bob"] {
            world.get(user, "ssh").await.unwrap();
        }
        assert_eq!(faults(&world).await, Vec::<String>::new());
        for (space, found) in [
            ("own/", vec!["own/", "count/"]),
            ("due/", vec!["due/"]),
            ("state-of/", vec!["state-of/"]),
            ("count/", vec!["count/"]),
            ("lease/", vec!["own/", "due/", "state-of/"]),
        ] {
            let (key, value) = world.store.dump(space).remove(0);
            world.store.tamper(&key, None);
            let faults = faults(&world).await;
            assert_eq!(faults.len(), found.len(), "{space}: {faults:?}");
            for (fault, space) in faults.iter().zip(found) {
                assert!(fault.contains(space), "{space}: {faults:?}");
            }
            world.store.tamper(&key, Some(value));
        }
        let [a, b] = &world.store.dump("state-of/")[..] else { panic!() };
        world.store.tamper(&a.0, Some(b.1.clone()));
        assert!(faults(&world).await.iter().all(|fault| fault.contains("state-of/")));
        world.store.tamper(&a.0, Some(a.1.clone()));
        assert_eq!(faults(&world).await, Vec::<String>::new());
    }

    /// The examination once reported contradictions because the daemon wrote during it.
    #[tokio::test]
    async fn work_under_way_is_no_contradiction() {
        let world = Arc::new(World::new().await);
        world.leases.start().await.unwrap();
        for _ in 0..20 {
            world.get("alice", "ssh").await.unwrap();
        }
        let working = tokio::spawn({
            let world = Arc::clone(&world);
            async move {
                for _ in 0..50 {
                    let lease = world.get("alice", "ssh").await.unwrap();
                    let other = world.get("bob", "ssh").await.unwrap();
                    world.revoke("alice", lease).await.unwrap();
                    world.revoke("bob", other).await.unwrap();
                }
            }
        });
        let before = world.store.commits();
        assert_eq!(faults(&world).await, Vec::<String>::new());
        assert!(world.store.commits() > before + 50, "it worked meanwhile");
        while !working.is_finished() {
            assert_eq!(faults(&world).await, Vec::<String>::new());
        }
        working.await.unwrap();
        world.assert_sound().await;
    }

    #[tokio::test]
    async fn contradictions_beyond_a_thousand_are_counted() {
        let mut findings = Findings::default();
        (0..1005).for_each(|n| findings.add(n.to_string()));
        assert_eq!((findings.faults.len(), findings.more), (1000, 5));
    }
}
