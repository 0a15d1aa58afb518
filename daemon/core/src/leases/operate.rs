//! The commands of operators: suspend a subject, look after parked leases.

use crate::access::{Grant, Operate};
use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::ground::{outcome_of, retry};
use crate::ids::{LeaseId, ServiceId};
use crate::leases::ledger::NotAdvanced;
use crate::leases::suspension::{Lifted, SuspensionOrder};
use crate::leases::{Leases, target_of};
use crate::model::lease::{Event, Lease, Reason, State};
use crate::model::user::Suspension;
use crate::ports::audit::{self, Action, Outcome, Target};
use crate::ports::store::Versioned;
use crate::records::{CommitError, Findings};
use crate::time::Timestamp;

/// The result of reading the whole ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Contradictions in the ledger, as sentences. There should be none.
    pub faults: Vec<String>,
    /// How many contradictions there are beyond those.
    pub more_faults: u64,
    /// How many leases count.
    pub counted: u64,
}

/// A lease that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedView {
    /// Its id.
    pub id: LeaseId,
    /// Its owner.
    pub owner: Subject,
    /// The service that issued, or was asked to.
    pub service: ServiceId,
    /// Its state: `pending`, `active`, `revoking`, `parked`.
    pub stage: &'static str,
    /// The plugin's name for what it made, where that is known.
    pub plugin_state: Option<String>,
}

/// A lease that waits for an operator, or for its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedView {
    /// Its id.
    pub id: LeaseId,
    /// Its owner.
    pub owner: Subject,
    /// The service that issued.
    pub service: ServiceId,
    /// When it was parked.
    pub since: Timestamp,
    /// Why, as a sentence.
    pub reason: String,
    /// What its plugin logged last before a call about it broke off: one line, masked.
    pub last_words: Option<String>,
}

impl Leases {
    /// Suspends `subject` in every dialect: it cannot sign in any more, its sessions of the vault
    /// are over, and what is being issued to it now is taken back. What was issued before stays.
    /// Issuers that differ in a slash at their end are one.
    ///
    /// # Errors
    /// Unless it may be `unseen`: `NotFound` when no configured provider has that issuer, or the
    /// subject has neither a user of the vault nor a lease. `Internal` when the store fails; doing
    /// it again is fine.
    pub async fn suspend(
        &self,
        grant: Grant<Operate>,
        subject: &Subject,
        unseen: bool,
    ) -> Result<(), Error> {
        if !unseen {
            self.check_seen(subject).await?;
        }
        let actor = grant.actor();
        self.suspend_as(&SuspensionOrder::of_operator(&actor), subject).await
    }

    /// Fails unless `subject` is one that the daemon has dealt with: a misspelt name would count as
    /// suspended, and the user would go on.
    async fn check_seen(&self, subject: &Subject) -> Result<(), Error> {
        if self.provider_by_issuer(&subject.issuer).is_none() {
            let issuers: Vec<_> =
                self.providers().into_iter().map(|provider| provider.issuer).collect();
            return Err(unseen("No configured provider has that issuer")
                .because(format!("the issuers are {}", issuers.join(", "))));
        }
        if self.has_seen(subject).await? {
            return Ok(());
        }
        Err(unseen("No user of the vault and no lease has that subject"))
    }

    async fn has_seen(&self, subject: &Subject) -> Result<bool, Error> {
        let records = &self.ground.records;
        let is_known = records.is_suspended(subject).await?
            || !records.users_of_any_spelling(subject).await?.is_empty();
        if is_known {
            return Ok(true);
        }
        for spelling in subject.spellings() {
            if !records.leases_of(&spelling, None).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every suspension, by issuer and subject.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn suspensions(&self, _grant: Grant<Operate>) -> Result<Vec<Suspension>, Error> {
        let mut found = self.ground.records.suspensions().await?;
        found.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(found)
    }

    /// Marks every pending lease of `subject`, however its issuer is spelt, so that what is being
    /// issued is taken back.
    pub(crate) async fn doom_pending(&self, subject: &Subject) -> Result<(), Error> {
        for spelling in subject.spellings() {
            for stored in self.ground.records.leases_of(&spelling, None).await? {
                if matches!(stored.value.state, State::Pending { .. }) {
                    self.doom(stored).await?;
                }
            }
        }
        Ok(())
    }

    async fn doom(&self, mut stored: Versioned<Lease>) -> Result<(), Error> {
        loop {
            // The suspension has an audit event of its own.
            match self.ledger.advance(&stored, [Event::Suspended], |_| Vec::new()).await {
                // A lease that is no longer pending is not affected.
                Ok(_) | Err(NotAdvanced::NotPossible(_)) => return Ok(()),
                Err(NotAdvanced::Failed(error)) => return Err(error),
                Err(NotAdvanced::Conflict) => {
                    match self.ground.records.lease(stored.value.id).await? {
                        Some(again) => stored = again,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Lifts the suspension of `subject`, by whomever it is. Sessions stay over.
    ///
    /// # Errors
    /// `NotFound` when the subject is not suspended; `Internal` when the store fails.
    pub async fn resume(&self, grant: Grant<Operate>, subject: &Subject) -> Result<(), Error> {
        let actor = grant.actor();
        match self.resume_as(&SuspensionOrder::of_operator(&actor), subject).await? {
            Lifted::Now => Ok(()),
            Lifted::Before => Err(Error::new(
                Kind::NotFound,
                "That subject is not suspended; `credsmith user suspended` lists those that are.",
            )),
        }
    }

    /// Parked leases, by service; at most `limit`.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn parked(
        &self,
        _grant: Grant<Operate>,
        limit: usize,
    ) -> Result<Vec<ParkedView>, Error> {
        let mut parked = Vec::new();
        for id in self.ground.records.parked(None, limit).await?.leases {
            parked
                .extend(self.ground.records.lease(id).await?.and_then(|stored| view(stored.value)));
        }
        Ok(parked)
    }

    /// Tries the revocation of a parked lease again.
    ///
    /// # Errors
    /// `NotFound` unless there is such a lease and it is parked; `Internal` when the store fails.
    pub async fn retry(&self, grant: Grant<Operate>, lease: LeaseId) -> Result<(), Error> {
        self.advance_parked(&grant, lease, Event::Retry, (Action::Retry, None)).await
    }

    /// Drops a parked lease: the daemon does not try to revoke it any more. `reason` goes into the
    /// audit event.
    ///
    /// # Errors
    /// `Invalid` without a reason, `NotFound` unless there is such a lease and it is parked;
    /// `Internal` when the store fails.
    pub async fn drop_lease(
        &self,
        grant: Grant<Operate>,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), Error> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::new(Kind::Invalid, "Dropping a lease needs a reason."));
        }
        self.advance_parked(&grant, lease, Event::Dropped, (Action::Drop, Some(reason))).await
    }

    /// Checks the whole ledger for contradictions: leases against indexes and counters. Calls
    /// `each` with every lease that counts. Its time grows with the ledger, its memory does not;
    /// work that is under way meanwhile is no contradiction.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn examine(
        &self,
        _grant: Grant<Operate>,
        mut each: impl FnMut(CountedView) + Send,
    ) -> Result<Examination, Error> {
        let mut total = 0_u64;
        let mut count = |lease: Lease| {
            if lease.state.is_counted() {
                total += 1;
                each(counted(lease));
            }
        };
        let found = self.ground.records.examine(&self.ledger.timing, &mut count).await?;
        let Findings { faults, more: more_faults } = found;
        Ok(Examination { faults, more_faults, counted: total })
    }

    /// Audits that an operator `asked` for something that has no event of its own: a list, or a
    /// command that came to nothing. The event is durable when this returns, so that no flood of
    /// other events pushes it out.
    ///
    /// # Errors
    /// `Internal` when the store fails. The event is then queued as a remark: it is written once
    /// the store is well again, unless the daemon is killed before.
    pub async fn record_command(
        &self,
        grant: Grant<Operate>,
        asked: String,
        refused: Option<&Error>,
    ) -> Result<(), Error> {
        let target = Target { asked: Some(asked), ..Target::default() };
        let outcome = refused.map_or(Outcome::Done, outcome_of);
        let event = self.ground.event(Some(grant.actor()), Action::Operate, target, outcome);
        let recorded = self.ground.record(&event).await;
        if recorded.is_err() {
            self.ground.remark(event);
        }
        recorded
    }

    async fn advance_parked(
        &self,
        grant: &Grant<Operate>,
        id: LeaseId,
        event: Event,
        (action, note): (Action, Option<&str>),
    ) -> Result<(), Error> {
        retry(|| async {
            let stored = self.parked_lease(id).await?;
            let target = target_of(&stored.value);
            let audited = self.ground.event(Some(grant.actor()), action, target, Outcome::Done);
            let audited = audit::Event { note: note.map(ToOwned::to_owned), ..audited };
            self.ledger.advance(&stored, [event.clone()], |_| vec![audited]).await?;
            Ok::<(), CommitError>(())
        })
        .await
    }

    async fn parked_lease(&self, id: LeaseId) -> Result<Versioned<Lease>, Error> {
        let stored = self.ground.records.lease(id).await?;
        let is_parked = |stored: &Versioned<Lease>| matches!(stored.value.state, State::Parked(_));
        stored.filter(is_parked).ok_or_else(not_parked)
    }
}

fn counted(lease: Lease) -> CountedView {
    let plugin_state = lease.state.made().map(|made| made.state.clone());
    CountedView {
        id: lease.id,
        owner: lease.owner,
        service: lease.service,
        stage: lease.state.name(),
        plugin_state,
    }
}

fn unseen(why: &str) -> Error {
    let what = "to suspend it all the same, say that it may be unseen";
    Error::new(Kind::NotFound, format!("{why}; {what} (`--unseen`)."))
}

fn not_parked() -> Error {
    Error::new(Kind::NotFound, "There is no parked lease of that id.")
}

fn view(lease: Lease) -> Option<ParkedView> {
    let State::Parked(parked) = lease.state else { return None };
    let reason = match parked.reason {
        Reason::ServiceGone => {
            "its service is configured no more, or has another plugin".to_owned()
        }
        Reason::Refused(words) => format!("the plugin refused: {words}"),
        Reason::TooManyFailures => "attempts to revoke it failed for too long".to_owned(),
    };
    Some(ParkedView {
        id: lease.id,
        owner: lease.owner,
        service: lease.service,
        since: parked.since,
        reason,
        last_words: lease.last_words,
    })
}
