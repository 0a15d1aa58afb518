//! Accepting a store that is older than the audit log: suspensions and revocations that the log
//! knows are made true again, and the store takes the end of the log for known.
//!
//! Everything here can be done again after it broke off.

use std::sync::Arc;

use super::Options;
use super::ledger::{Ledger, NotAdvanced};
use super::suspension::{self, SuspensionOrder};
use crate::access::{Grant, Operate};
use crate::audit::Forgotten;
use crate::error::Error;
use crate::ground::{Ground, retry};
use crate::ids::LeaseId;
use crate::model::lease::{Event, State};
use crate::ports::audit::{self, Action, Outcome, Target};
use crate::records::{AUDIT_BATCH, AuditEnd, CommitError};

/// Applies what the store of `ground` has `forgotten`, and records an event of it with `note`.
/// `bytes` is where the last line ends in the file that the daemon writes.
///
/// # Errors
/// `Internal` when the store fails; doing it again is fine.
pub async fn accept(
    grant: Grant<Operate>,
    ground: &Arc<Ground>,
    options: &Options,
    forgotten: &Forgotten,
    bytes: u64,
    note: String,
) -> Result<(), Error> {
    let actor = grant.actor();
    let order = SuspensionOrder::of_operator(&actor);
    for (subject, suspended) in &forgotten.suspensions {
        if *suspended {
            suspension::suspend(ground, &order, subject).await?;
        } else {
            suspension::lift(ground, &order, subject).await?;
        }
    }
    let ledger = Ledger::new(Arc::clone(ground), options.timing());
    for lease in &forgotten.revoked {
        end_revoked(ground, &ledger, *lease).await?;
    }
    let event = ground.event(Some(actor), Action::AcceptStore, Target::default(), Outcome::Done);
    ground.record(&audit::Event { note: Some(note), ..event }).await?;
    take_over_end(ground, forgotten, bytes).await
}

/// The lease was revoked, and the store has it in an earlier state.
async fn end_revoked(ground: &Ground, ledger: &Ledger, id: LeaseId) -> Result<(), Error> {
    retry(|| async {
        let Some(stored) = ground.records.lease(id).await? else { return Ok(()) };
        let events: &[Event] = match stored.value.state {
            State::Active(_) => &[Event::RevokeAsked, Event::Revoked],
            State::Revoking(_) => &[Event::Revoked],
            State::Parked(_) => &[Event::Retry, Event::Revoked],
            // A pending one is cleaned up when its deadline has passed.
            State::Pending { .. } | State::Ended { .. } => return Ok(()),
        };
        // The log has the event of it.
        match ledger.advance(&stored, events.iter().cloned(), |_| Vec::new()).await {
            Ok(_) | Err(NotAdvanced::NotPossible(_)) => Ok(()),
            Err(error) => Err(CommitError::from(error)),
        }
    })
    .await
}

/// The log goes on behind its last line. Events of lines that are in it wait no more.
async fn take_over_end(ground: &Ground, forgotten: &Forgotten, bytes: u64) -> Result<(), Error> {
    let Some(mark) = forgotten.last else { return Ok(()) };
    let mut written = Vec::new();
    for id in &forgotten.ids {
        if ground.records.is_outgoing(id).await? {
            written.push(id.clone());
        }
    }
    // At least one batch, for the end itself.
    let batches = written.chunks(AUDIT_BATCH).map(<[String]>::to_vec);
    let batches: Vec<Vec<String>> =
        if written.is_empty() { vec![vec![]] } else { batches.collect() };
    for ids in batches {
        retry(|| async {
            let (_, expected) = ground.records.audit_end().await?;
            let end = AuditEnd { mark, bytes };
            ground.records.put_audit_end(expected, &end, &ids).await.map(drop)
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::operator;
    use crate::audit::AuditLog;
    use crate::doubles::{MemoryFile, RecordingAudit, caller};
    use crate::testing::{World, options};

    async fn forgotten(world: &World, file: &MemoryFile) -> Forgotten {
        let mut forgotten = Forgotten::since_end_of(world.ground()).await.unwrap();
        file.lines().iter().for_each(|line| {
            forgotten.read(line.as_bytes());
        });
        forgotten
    }

    fn log(world: &World, file: &MemoryFile) -> Arc<AuditLog> {
        let echo = Arc::new(RecordingAudit::new());
        AuditLog::new(Arc::clone(world.ground()), Arc::new(file.clone()), echo)
    }

    #[tokio::test]
    async fn an_older_store_is_accepted_with_what_the_log_knows() {
        let mut world = World::new().await;
        let file = MemoryFile::default();
        world.leases.start().await.unwrap();
        let kept = world.get("alice", "ssh").await.unwrap();
        let revoked = world.get("alice", "ssh").await.unwrap();
        world.leases.suspend(operator(), caller("carol").subject(), true).await.unwrap();
        log(&world, &file).finish().await.unwrap();
        let backup = world.store.snapshot();

        world.leases.resume(operator(), caller("carol").subject()).await.unwrap();
        world.leases.suspend(operator(), caller("bob").subject(), true).await.unwrap();
        world.revoke("alice", revoked).await.unwrap();
        log(&world, &file).finish().await.unwrap();
        let lines = file.lines().len() as u64;

        world.store = backup;
        world.crash().await;
        assert!(log(&world, &file).begin().await.is_err());
        let found = forgotten(&world, &file).await;
        assert_eq!(found.written(), Some(lines));
        assert_eq!((found.missing, found.foreign), (0, 0));
        assert_eq!(found.to_apply(), (2, 1), "{:?}", found.actions);
        // Twice: it may break off after any step.
        for _ in 0..2 {
            let bytes = file.bytes().len() as u64;
            let note = "it was older".to_owned();
            accept(operator(), world.ground(), &options(), &found, bytes, note).await.unwrap();
        }
        world.crash().await;
        let log = log(&world, &file);
        log.begin().await.unwrap();
        log.finish().await.unwrap();
        assert!(file.lines().iter().any(|line| line.contains(r#""action":"accept-store""#)));

        let records = &world.ground().records;
        let is_suspended =
            async |name: &str| records.is_suspended(caller(name).subject()).await.unwrap();
        assert!(is_suspended("bob").await && !is_suspended("carol").await);
        let state = async |id| records.lease(id).await.unwrap().unwrap().value.state.name();
        assert_eq!(state(kept).await, "active");
        assert_eq!(state(revoked).await, "ended", "a revoked lease is not active again");
        let faults = records.examine(&options().timing(), &mut |_| ()).await.unwrap().faults;
        assert_eq!(faults, Vec::<String>::new());
    }

    #[tokio::test]
    async fn lines_without_a_code_count_for_nothing() {
        let world = World::new().await;
        let file = MemoryFile::default();
        world.leases.suspend(operator(), caller("bob").subject(), true).await.unwrap();
        log(&world, &file).finish().await.unwrap();
        let line = file.lines().remove(0);
        let mut forgotten = Forgotten::since_end_of(world.ground()).await.unwrap();
        forgotten.known = 0;
        assert!(!forgotten.read(line.replace("bob", "eve").as_bytes()));
        assert!(!forgotten.read(b"no line"));
        assert_eq!((forgotten.foreign, forgotten.to_apply()), (2, (0, 0)));
        assert!(forgotten.read(line.as_bytes()));
        assert_eq!(forgotten.to_apply(), (1, 0));
    }
}
