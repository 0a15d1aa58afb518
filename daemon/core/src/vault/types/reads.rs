//! Reading types.

use std::sync::Arc;

use crate::access::vault::visible;
use crate::access::{ChangeType, FetchType, Grant, ListTypes};
use crate::caller::Member;
use crate::error::Error;
use crate::ids::TypeId;
use crate::model::companies::CompanyView;
use crate::model::credential_type::CredentialType;
use crate::ports::store::Versioned;
use crate::vault::types::TypeView;
use crate::vault::{Vault, no_such_type};

impl Vault {
    /// The type that `identifier` names: by its id, or by its name ignoring case.
    ///
    /// # Errors
    /// `NotFound`; `Internal` when the store fails.
    pub async fn fetch_type(
        &self,
        grant: Grant<FetchType>,
        identifier: &str,
    ) -> Result<TypeView, Error> {
        let types = self.types().await?;
        let stored = types.resolve(identifier).ok_or_else(no_such_type)?;
        self.type_view(grant.member(), stored).await
    }

    /// All types, by name ignoring case, then id.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn list_types(&self, grant: Grant<ListTypes>) -> Result<Vec<TypeView>, Error> {
        let types = self.types().await?;
        self.counts.retain(|id| types.by_id(id).is_some());
        let companies = self.companies.view().await?;
        let mut views = Vec::with_capacity(types.sorted().len());
        for stored in types.sorted() {
            views.push(self.counted_view(grant.member(), &companies, stored).await?);
        }
        Ok(views)
    }

    /// The type as it is before a change. A client may send parts of it back unchanged.
    ///
    /// # Errors
    /// `NotFound`; `Internal` when the store fails.
    pub async fn type_to_change(
        &self,
        grant: &Grant<ChangeType>,
        id: TypeId,
    ) -> Result<TypeView, Error> {
        self.view_of_id(grant.member(), id).await
    }

    pub(super) async fn view_of_id(&self, member: &Member, id: TypeId) -> Result<TypeView, Error> {
        let types = self.types().await?;
        let stored = types.by_id(id).ok_or_else(no_such_type)?;
        self.type_view(member, stored).await
    }

    pub(super) async fn type_view(
        &self,
        member: &Member,
        stored: &Arc<Versioned<CredentialType>>,
    ) -> Result<TypeView, Error> {
        let companies = self.companies.view().await?;
        self.counted_view(member, &companies, stored).await
    }

    async fn counted_view(
        &self,
        member: &Member,
        companies: &CompanyView,
        stored: &Versioned<CredentialType>,
    ) -> Result<TypeView, Error> {
        let visible = visible(member, companies, stored.value.permission_scope.as_deref());
        let counted = self.counts.current(self.records(), stored.value.id).await?;
        let seen = counted.by_company.iter().filter(|(company, _)| visible.contains(**company));
        Ok(TypeView::new(&stored.value, seen.map(|(_, count)| count).sum()))
    }
}
