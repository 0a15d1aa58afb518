//! Brings the keys that are derived from leases into their present form, once.
//!
//! The first form kept a plugin state by its service alone, and had no index of failing leases. The
//! form of a store stands in a record of its own. A pass that is cut short begins again and finds
//! its earlier steps done; nothing but this pass may run meanwhile.

use futures_util::{StreamExt as _, stream};

use super::{HOLDER, LEASE, PAGE, Records, encoding, keys, malformed, next_of};
use crate::error::Error;
use crate::model::lease::Lease;
use crate::ports::store::{Batch, Key, MAX_BATCH_KEYS, StoreError};

const FORM: &str = "form";
/// The form that this version writes.
const PRESENT: &[u8] = &[2];
/// Leases in one batch. Each has three keys at most: old and new state, and `failing/`.
const LEASES_AT_ONCE: usize = MAX_BATCH_KEYS / 3;
/// Batches under way at a time, so that the store can make several durable together.
const BATCHES: usize = 16;

impl Records {
    /// Brings the store into the present form. Reads the whole ledger, once in the life of a store
    /// that an earlier version wrote; later starts read one record.
    ///
    /// # Errors
    /// `Internal` when the store fails, or when its form is newer than this version knows.
    pub(crate) async fn bring_leases_into_form(&self) -> Result<(), Error> {
        match self.get(&keys::lease_form(), FORM).await? {
            Some((form, _)) if form.as_slice() == PRESENT => return Ok(()),
            Some(_) => {
                return Err(Error::internal(
                    "the leases in the store have a form that this version does not know; use the version that wrote them, or a later one",
                ));
            }
            None => {}
        }
        let moved = self.move_leases().await?;
        self.drop_old_states().await?;
        if moved > 0 {
            tracing::info!(
                leases = moved,
                "the leases of an earlier version were brought into form"
            );
        }
        let key = keys::lease_form();
        let sealed = self.keyring.seal(&key, FORM, PRESENT).await?;
        let batch = Batch::default().put(key, sealed).urgent();
        self.store.commit(batch).await.map_err(Error::internal)?;
        Ok(())
    }

    /// Returns how many leases there are.
    async fn move_leases(&self) -> Result<usize, Error> {
        let (mut moved, mut after) = (0, None);
        loop {
            let page = self.scan(&Key::new(keys::LEASE), after.as_ref(), PAGE).await?;
            let mut leases = Vec::with_capacity(page.entries.len());
            for (key, sealed) in &page.entries {
                match self.lease_in(key, &sealed.value) {
                    Ok(lease) => leases.push(lease),
                    // It holds nothing that could be found, and must not keep the daemon from
                    // starting.
                    Err(error) => {
                        tracing::error!(?key, cause = error.cause(), "a lease cannot be read");
                    }
                }
            }
            moved += leases.len();
            let batches = leases.chunks(LEASES_AT_ONCE).map(|leases| self.move_some(leases));
            let mut batches = stream::iter(batches).buffer_unordered(BATCHES);
            while let Some(done) = batches.next().await {
                done?;
            }
            drop(batches);
            after = next_of(page);
            if after.is_none() {
                return Ok(moved);
            }
        }
    }

    pub(super) fn lease_in(&self, key: &Key, sealed: &[u8]) -> Result<Lease, Error> {
        let plain = self.keyring.open(key, LEASE, sealed)?;
        let id = keys::trailing_id(key).ok_or_else(|| malformed(key))?;
        encoding::decode_lease(id, &plain).map_err(Error::internal)
    }

    async fn move_some(&self, leases: &[Lease]) -> Result<(), Error> {
        let mut batch = Batch::default();
        for lease in leases {
            if lease.state.is_failing() {
                batch = batch.put(keys::failing(&lease.service, lease.id), "");
            }
            if let Some(made) = lease.state.made() {
                let old = self.state_pseudonym(&lease.service, &made.state);
                batch = batch.delete(keys::state_by_service(&lease.service, &old));
                let key = self.state_key(&lease.owner, &lease.service, &made.state);
                let holder = lease.id.to_string();
                let sealed = self.keyring.seal(&key, HOLDER, holder.as_bytes()).await?;
                batch = batch.put(key, sealed);
            }
        }
        self.commit_all(batch).await
    }

    /// Removes old keys that no lease holds.
    async fn drop_old_states(&self) -> Result<(), Error> {
        loop {
            let prefix = Key::new(keys::STATE_BY_SERVICE);
            let page = self.scan(&prefix, None, MAX_BATCH_KEYS).await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            let keys = page.entries.into_iter().map(|(key, _)| key);
            self.commit_all(keys.fold(Batch::default(), Batch::delete)).await?;
        }
    }

    /// Commits a batch that may be applied any number of times. Urgent: without the present form
    /// nothing is revoked.
    async fn commit_all(&self, batch: Batch) -> Result<(), Error> {
        if batch.puts.is_empty() && batch.deletes.is_empty() {
            return Ok(());
        }
        let batch = batch.urgent();
        match self.store.commit(batch.clone()).await {
            Err(StoreError::Unknown(_)) => self.store.commit(batch).await.map(drop),
            done => done.map(drop),
        }
        .map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use crate::access::operator;
    use crate::doubles::{self, Effect, IssueStep, RevokeStep};
    use crate::ports::plugins::BrokenHow;
    use crate::testing::{DAY, HOUR, SECOND, World, id, options};

    use super::*;

    /// The store as the version before the second form would have left it.
    fn into_first_form(world: &World, leases: &[Lease]) {
        let records = &world.ground().records;
        for space in ["state-of/", "failing/", "form/"] {
            for (key, _) in world.store.dump(space) {
                world.store.tamper(&key, None);
            }
        }
        for lease in leases {
            if let Some(made) = lease.state.made() {
                let state = records.state_pseudonym(&lease.service, &made.state);
                let key = keys::state_by_service(&lease.service, &state);
                world.store.tamper(&key, Some("held".into()));
            }
        }
    }

    #[tokio::test]
    async fn a_store_of_an_earlier_version_is_brought_into_form_at_a_start() {
        let mut world = World::with(vec![doubles::service("ssh")], options()).await;
        for n in 0..60 {
            world.plugins.on_issue(&id("ssh"), IssueStep::state(&format!("thing {n}")));
            let lease = world.get("alice", "ssh").await.unwrap();
            if n % 3 == 0 {
                let step = RevokeStep::Break(BrokenHow::Timeout, Effect::None);
                world.plugins.on_revoke(&id("ssh"), step);
                world.revoke("alice", lease).await.unwrap_err();
            }
        }
        let records = &world.ground().records;
        let leases = world.store.dump("lease/");
        let leases = leases.iter().map(|(key, sealed)| records.lease_in(key, sealed).unwrap());
        into_first_form(&world, &leases.collect::<Vec<_>>());
        let found = world.leases.examine(operator(), |_| ()).await.unwrap();
        assert_eq!(found.faults.len(), 60 + 20, "states and failing leases are missing");

        world.crash().await;
        world.leases.start().await.unwrap();
        world.assert_sound().await;
        assert_eq!(world.store.dump("state/"), []);
        assert_eq!(
            (world.store.dump("state-of/").len(), world.store.dump("failing/").len()),
            (60, 20)
        );
        world.crash().await;
        world.leases.start().await.unwrap();
        assert!(world.store.commits() <= 2, "once is enough");
        world.run(HOUR + 60 * SECOND).await;
        assert_eq!(world.count("alice", "ssh").await, 40);
        world.run(DAY).await;
        world.assert_sound().await;
    }

    #[tokio::test]
    async fn a_store_of_an_earlier_version_is_brought_into_form_on_a_low_disk() {
        let mut world = World::with(vec![doubles::service("ssh")], options()).await;
        let lease = world.get("alice", "ssh").await.unwrap();
        let records = &world.ground().records;
        let leases = world.store.dump("lease/");
        let leases = leases.iter().map(|(key, sealed)| records.lease_in(key, sealed).unwrap());
        into_first_form(&world, &leases.collect::<Vec<_>>());
        world.crash().await;
        world.store.set_full(true);
        world.leases.start().await.unwrap();
        assert_eq!(world.store.dump("state/"), []);
        assert_eq!(world.store.dump("form/").len(), 1);
        world.revoke("alice", lease).await.unwrap();
        world.assert_sound().await;
    }

    #[tokio::test]
    async fn a_form_of_a_later_version_is_refused_in_words() {
        let world = World::new().await;
        world.leases.start().await.unwrap();
        let records = &world.ground().records;
        let key = keys::lease_form();
        let sealed = records.keyring.seal(&key, FORM, &[9]).await.unwrap();
        world.store.tamper(&key, Some(sealed));
        let refused = records.bring_leases_into_form().await.unwrap_err();
        assert!(refused.cause().unwrap().contains("a form that this version does not know"));
    }
}
