//! Views of users, and lists of them: answered from a projection in memory that holds names and
//! nothing else.

use std::sync::Arc;

use super::Users;
use crate::access::{Grant, ListUsers};
use crate::caller::{Member, Subject};
use crate::error::{Error, Kind};
use crate::ids::UserId;
use crate::model::user::{SuspendedBy, User};
use crate::paging::{Page, Paging};
use crate::records::users::USERS;
use crate::rights::permission::Pattern;
use crate::text::fold;
use crate::time::Timestamp;

/// A user as shown to other users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// The id.
    pub id: UserId,
    /// A short login name.
    pub login: String,
    /// The display name.
    pub name: String,
    /// The mail address.
    pub email: Option<String>,
    /// Whether the provider verified it at the last sign-in; `None`: not known.
    pub email_verified: Option<bool>,
    /// The subject, which is the same in every dialect.
    pub subject: Subject,
    /// A URL of a picture.
    pub image: Option<String>,
    /// The roles that the user has now, in the order of the configuration.
    pub roles: Vec<String>,
    /// Who suspended the user; `None`: the user is not suspended.
    pub suspended: Option<SuspendedBy>,
    /// When the user signed in first.
    pub created: Timestamp,
    /// When the view changed last, except for changes of the configured roles.
    pub updated: Timestamp,
}

/// A permission that a member has by a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectivePermission {
    /// The permission.
    pub permission: Pattern,
    /// The companies to which the role is restricted, by their configured names; `None`: all.
    pub companies: Option<Vec<String>>,
}

/// The permissions of `member`, without duplicates: for a client that disables buttons, never for a
/// decision.
pub fn effective_permissions(member: &Member) -> Vec<EffectivePermission> {
    let roles = member.rights().roles().iter();
    let mut permissions: Vec<_> = roles
        .flat_map(|role| {
            let companies = role.companies.as_ref().map(|names| names.to_vec());
            role.permissions.iter().map(move |permission| EffectivePermission {
                permission: permission.clone(),
                companies: companies.clone(),
            })
        })
        .collect();
    permissions.sort();
    permissions.dedup();
    permissions
}

/// All users by name, as of one moment.
pub(super) struct Names {
    sorted: Vec<Named>,
}

struct Named {
    id: UserId,
    name: String,
    /// All that is searched, folded.
    text: String,
}

impl Names {
    fn new(users: &[User]) -> Self {
        let mut sorted: Vec<_> = users.iter().map(Named::from).collect();
        sorted.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Self { sorted }
    }

    fn search(&self, text: &str) -> Vec<UserId> {
        let wanted = fold(text.trim());
        self.sorted.iter().filter(|user| user.text.contains(&wanted)).map(|user| user.id).collect()
    }
}

impl From<&User> for Named {
    fn from(user: &User) -> Self {
        let name = fold(user.name());
        let email = user.profile.email.as_deref().unwrap_or_default();
        let text = format!("{name}\n{}\n{}", fold(&user.profile.login), fold(email));
        Self { id: user.id, name, text }
    }
}

impl Users {
    /// A page of the users whose name, login or mail address contains `search`, ignoring case; an
    /// empty search matches all. Ordered by name ignoring case, then by id.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn list(
        &self,
        _grant: Grant<ListUsers>,
        search: &str,
        paging: Paging,
    ) -> Result<Page<UserView>, Error> {
        let found = self.names().await?.search(search);
        let Page { items, total, paging } = paging.of(found.into_iter());
        let mut views = Vec::with_capacity(items.len());
        for id in items {
            // Users are never deleted.
            views.extend(self.ground.records.user(id).await?.map(|user| self.view(&user.value)));
        }
        Ok(Page { items: views, total, paging })
    }

    async fn names(&self) -> Result<Arc<Names>, Error> {
        let records = &self.ground.records;
        let read = |_, _| async { Ok(Names::new(&records.users().await?)) };
        self.names.current(records, USERS, read).await
    }

    /// The view of `member`.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn me(&self, member: &Member) -> Result<UserView, Error> {
        let user = self.ground.records.user(member.user()).await?.ok_or_else(no_such_user)?;
        Ok(self.view(&user.value))
    }

    pub(super) fn view(&self, user: &User) -> UserView {
        UserView {
            id: user.id,
            login: user.profile.login.clone(),
            name: user.name().to_owned(),
            email: user.profile.email.clone(),
            email_verified: user.email_verified,
            subject: user.subject.clone(),
            image: user.image().map(str::to_owned),
            roles: self.rights(user).roles().iter().map(|role| role.name.to_string()).collect(),
            suspended: user.suspended,
            created: user.created,
            updated: user.updated,
        }
    }
}

/// The refusal of an id of no user.
pub(super) fn no_such_user() -> Error {
    Error::new(Kind::NotFound, "There is no such user.")
}
