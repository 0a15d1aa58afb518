//! Lists of credentials: those of a company, those of a type. They leave out what the caller may
//! not see.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::access::vault::{Fetch, authorize_list_of_company, visible};
use crate::access::{Grant, ListOfCompany, ListOfType};
use crate::caller::Member;
use crate::error::Error;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::model::credential::Credential;
use crate::paging::{Page, Paging};
use crate::ports::audit::{Action, Event, Outcome, Target};
use crate::ports::store::Versioned;
use crate::text::fold;
use crate::vault::credentials::names::{Name, Of};
use crate::vault::credentials::{CredentialSnapshot, CredentialView};
use crate::vault::{AuthorizedCredential, CONCURRENT_READS, Vault, no_such_type};

impl Vault {
    /// The credential, without its secure values.
    ///
    /// # Errors
    /// `Internal` when reads are audited, and the event cannot be made durable.
    pub async fn fetch(
        &self,
        authorized: AuthorizedCredential<Fetch>,
    ) -> Result<CredentialView, Error> {
        let fields = authorized.view().values.into_iter().map(|(field, _)| field).collect();
        self.record_read(authorized.grant.member(), &authorized.snapshot, fields).await?;
        Ok(authorized.view())
    }

    /// Audits that `member` is shown plain `fields` of a credential, where reads are audited.
    ///
    /// # Errors
    /// `Internal` when the store fails: then do not answer.
    pub(super) async fn record_read(
        &self,
        member: &Member,
        snapshot: &CredentialSnapshot,
        fields: Vec<String>,
    ) -> Result<(), Error> {
        if !self.options.audit_reads {
            return Ok(());
        }
        let credential = &snapshot.stored.value;
        let event = self.credential_event(Some(member.into()), Action::Read, credential, fields);
        self.ground.record(&event).await
    }

    /// Audits that `member` is shown a list of credentials, where reads are audited: one event,
    /// which says how many.
    ///
    /// # Errors
    /// `Internal` when the store fails: then do not answer.
    async fn record_list(
        &self,
        member: &Member,
        target: Target,
        shown: usize,
    ) -> Result<(), Error> {
        if !self.options.audit_reads {
            return Ok(());
        }
        let event = self.ground.event(Some(member.into()), Action::Read, target, Outcome::Done);
        let note = Some(format!("a list of {shown} credentials"));
        self.ground.record(&Event { note, ..event }).await
    }

    /// Authorizes `member` to list the credentials of a company.
    ///
    /// # Errors
    /// `Forbidden` without `credential.fetch.many` for that company; `NotFound` when there is no
    /// such company; `Internal` when the store fails.
    pub async fn authorize_list_of_company(
        &self,
        member: &Member,
        id: CompanyId,
    ) -> Result<Grant<ListOfCompany>, Error> {
        let companies = self.companies.view().await?;
        authorize_list_of_company(member, &companies, id)
    }

    /// A page of the credentials of a company, by name ignoring case, then id.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn list_of_company(
        &self,
        grant: Grant<ListOfCompany>,
        paging: Paging,
    ) -> Result<Page<CredentialView>, Error> {
        let _turn = self.list_locks.lock(grant.member().user()).await;
        let company = grant.company();
        let names = self.lists.current(self.records(), Of::Company(company)).await?;
        let (types, companies) = (self.types().await?, self.companies.view().await?);
        let mut listed_by_type = HashMap::new();
        let sees = |name: &&Arc<Name>| {
            *listed_by_type.entry(name.type_id).or_insert_with(|| {
                types.by_id(name.type_id).is_some_and(|found| {
                    let scope = found.value.permission_scope.as_deref();
                    visible(grant.member(), &companies, scope).lists(company)
                })
            })
        };
        let seen: Vec<_> = names.0.iter().filter(sees).map(|name| name.id).collect();
        let page = paging.of(seen.into_iter());
        let page = self.views(grant.member(), page, |found| found.company.id == company).await?;
        let target = Target { company: Some(company), ..Target::default() };
        self.record_list(grant.member(), target, page.items.len()).await?;
        Ok(page)
    }

    /// A page of the credentials of a type, by name ignoring case, then id.
    ///
    /// # Errors
    /// `NotFound` when there is no such type; `Internal` when the store fails.
    pub async fn list_of_type(
        &self,
        grant: Grant<ListOfType>,
        id: TypeId,
        paging: Paging,
    ) -> Result<Page<CredentialView>, Error> {
        let _turn = self.list_locks.lock(grant.member().user()).await;
        let types = self.types().await?;
        let stored = types.by_id(id).ok_or_else(no_such_type)?;
        let companies = self.companies.view().await?;
        let visible = visible(grant.member(), &companies, stored.value.permission_scope.as_deref());
        let names = self.lists.current(self.records(), Of::Type(id)).await?;
        let seen = names.0.iter().filter(|name| visible.lists(name.company));
        let seen: Vec<_> = seen.map(|name| name.id).collect();
        let page = paging.of(seen.into_iter());
        let belongs = |found: &CredentialSnapshot| found.credential_type.value.id == id;
        let page = self.views(grant.member(), page, belongs).await?;
        let target = Target { credential_type: Some(id), ..Target::default() };
        self.record_list(grant.member(), target, page.items.len()).await?;
        Ok(page)
    }

    /// Views of those of `page` that exist and that `member` may see in a list. An entry of an
    /// index counts only if the record agrees with it.
    async fn views(
        &self,
        member: &Member,
        page: Page<CredentialId>,
        belongs: impl Fn(&CredentialSnapshot) -> bool,
    ) -> Result<Page<CredentialView>, Error> {
        let Page { items, total, paging } = page;
        let read =
            stream::iter(items).map(|id| self.records().credential(id)).buffered(CONCURRENT_READS);
        let read: Vec<_> = read.try_collect().await?;
        // The types are read after the records: no value is shown by a definition that is older
        // than the value.
        let (types, companies) = (self.types().await?, self.companies.view().await?);
        let snapshot = |stored: Versioned<Credential>| {
            let credential_type = Arc::clone(types.by_id(stored.value.type_id)?);
            let company = Arc::clone(companies.by_id(stored.value.company)?);
            Some(CredentialSnapshot { stored, credential_type, company })
        };
        let live = read.into_iter().flatten().filter(|stored| stored.value.deleted.is_none());
        let seen = live.filter_map(snapshot).filter(belongs).filter(|found| {
            let scope = found.credential_type.value.permission_scope.as_deref();
            visible(member, &companies, scope).lists(found.company.id)
        });
        let mut views: Vec<_> = seen.map(|found| found.view()).collect();
        views.sort_by_cached_key(|view| (fold(&view.name), view.id));
        Ok(Page { items: views, total, paging })
    }
}
