//! Users: the caller, and with the permissions for it, other users.

use credsmith_core::access::{
    AssignRoles, ChangeProfile, ListUsers, SuspendUser, authorize_profile, authorize_roles,
    authorize_suspension, authorize_users,
};
use credsmith_core::caller::{Member, Subject};
use credsmith_core::ids::UserId;
use credsmith_core::user::{
    EffectivePermission, ProfileChange, SuspendedBy, UserView, effective_permissions,
};
use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::body::{Decoder, Object, without_problems};
use super::cx::Cx;
use super::present::{Moment, RecordId};
use super::query::Listing;
use super::route::{Access, Outcome, Route};
use crate::docs::never_null;

const READ: Access = Access::scopes(&[Member::READ]);
const CHANGE_PROFILE: Access = Access::scopes(ChangeProfile::SCOPES);
const LIST: Access = Access::permissions(ListUsers::PERMISSIONS);
const SUSPEND: Access = Access::permissions(SuspendUser::PERMISSIONS);
const ASSIGN_ROLES: Access = Access::permissions(AssignRoles::PERMISSIONS);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/user/@me", READ, |cx| me(cx).boxed())
            .named("getMe")
            .summary("The user of the token.")
            .answers::<UserBody>(StatusCode::OK, "Fetched user."),
        Route::patch("/v1/user/@me", CHANGE_PROFILE, |cx| change_me(cx).boxed())
            .named("changeMe")
            .summary("Changes the name or the picture of the user of the token.")
            .reads::<ProfileSent>()
            .answers::<ProfileBody>(StatusCode::OK, "Successfully updated user."),
        Route::get("/v1/user/@me/permissions", READ, |cx| permissions(cx).boxed())
            .named("listMyPermissions")
            .summary("The permissions of the user of the token: for a user interface, not for decisions.")
            .answers::<Vec<PermissionBody>>(StatusCode::OK, "Fetched permissions."),
        Route::get("/v1/user/users", LIST, |cx| list(cx).boxed())
            .named("listUsers")
            .summary("Lists users, by name.")
            .answers_page_of::<ListedBody>("Users Fetched Successfully!"),
        Route::patch("/v1/user/users/{id}", SUSPEND, |cx| suspend(cx).boxed())
            .named("suspendUser")
            .summary("Suspends a user, which ends all sessions of that user, or lifts the suspension. Never the caller.")
            .reads::<SuspensionSent>()
            .answers::<ListedBody>(StatusCode::OK, "User Updated Successfully!"),
        Route::put("/v1/user/users/{id}/roles", ASSIGN_ROLES, |cx| assign(cx).boxed())
            .named("setUserRoles")
            .summary("Sets the roles that a user has by hand. Never the caller's own, and no role that grants more than the caller holds.")
            .reads::<RolesSent>()
            .answers::<ListedBody>(StatusCode::OK, "User Roles Updated Successfully!"),
    ]
}

/// A user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
#[serde(rename_all = "camelCase")]
struct UserBody {
    id: RecordId,
    name: String,
    email: Option<String>,
    login: String,
    image: Option<String>,
    /// The roles that they have now.
    roles: Vec<String>,
    created_at: Moment,
    updated_at: Moment,
}

/// The profile of a user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
struct ProfileBody {
    id: RecordId,
    name: String,
    email: Option<String>,
    image: Option<String>,
}

/// A user as administrators of users see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedUser")]
#[serde(rename_all = "camelCase")]
struct ListedBody {
    #[serde(flatten)]
    user: UserBody,
    suspended: bool,
    /// Who suspended the user: another user, or an operator, whose suspension only operators lift;
    /// `null` unless suspended.
    suspended_by: Option<SuspendedByBody>,
    /// The issuer that vouches for the user. This and the two after it are shown to callers who
    /// assign roles, so that they know whom they give them to; `null` to others.
    issuer: Option<String>,
    /// The name that the issuer knows the user by.
    subject: Option<String>,
    /// Whether the provider verified the mail address; `null` where it is not known.
    email_verified: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
enum SuspendedByBody {
    User,
    Operator,
}

/// A permission that a user has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Granted")]
struct PermissionBody {
    /// A permission, `*`, or one that ends in `.*` and covers everything below.
    permission: String,
    /// The companies to which it is bound; `null`: all.
    companies: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct ProfileSent {
    #[schemars(length(min = 1, max = 200), transform = never_null)]
    name: Option<String>,
    /// `null`: none.
    image: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct SuspensionSent {
    #[schemars(transform = never_null)]
    suspended: Option<bool>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct RolesSent {
    /// Names of roles.
    roles: Vec<String>,
}

impl From<UserView> for UserBody {
    fn from(user: UserView) -> Self {
        Self {
            id: user.id.into(),
            name: user.name,
            email: user.email,
            login: user.login,
            image: user.image,
            roles: user.roles,
            created_at: Moment(user.created),
            updated_at: Moment(user.updated),
        }
    }
}

impl From<UserView> for ProfileBody {
    fn from(user: UserView) -> Self {
        Self { id: user.id.into(), name: user.name, email: user.email, image: user.image }
    }
}

impl ListedBody {
    /// The user, as `member` may see it.
    fn shown(user: UserView, member: &Member) -> Self {
        let assigns = member.rights().require(AssignRoles::PERMISSIONS).is_ok();
        let Subject { issuer, subject } = user.subject.clone();
        let email_verified = user.email_verified.filter(|_| assigns);
        let suspended_by = user.suspended.map(|by| match by {
            SuspendedBy::User => SuspendedByBody::User,
            SuspendedBy::Operator => SuspendedByBody::Operator,
        });
        Self {
            suspended: suspended_by.is_some(),
            suspended_by,
            issuer: assigns.then_some(issuer),
            subject: assigns.then_some(subject),
            email_verified,
            user: user.into(),
        }
    }
}

impl From<EffectivePermission> for PermissionBody {
    fn from(granted: EffectivePermission) -> Self {
        Self { permission: granted.permission.as_str().to_owned(), companies: granted.companies }
    }
}

async fn me(cx: Cx) -> Outcome {
    let user = cx.core().users.me(cx.member()?).await?;
    cx.success(&UserBody::from(user))
}

async fn change_me(mut cx: Cx) -> Outcome {
    let body = cx.body()?;
    let present = UserBody::from(cx.core().users.me(cx.member()?).await?);
    let (change, mut problems) = body.decode(|object| {
        let change = profile(object);
        object.read_only(&present);
        change
    });
    problems.extend(change.problems());
    let change = without_problems((change, problems))?;
    let user = cx.core().users.change_profile(authorize_profile(cx.member()?)?, &change).await?;
    cx.success(&ProfileBody::from(user))
}

fn profile(object: &mut Object<'_>) -> ProfileChange {
    ProfileChange {
        name: object.optional("name", Decoder::string),
        image: object.nullable("image", Decoder::string),
    }
}

async fn permissions(cx: Cx) -> Outcome {
    let lines: Vec<_> =
        effective_permissions(cx.member()?).into_iter().map(PermissionBody::from).collect();
    cx.success(&lines)
}

async fn list(cx: Cx) -> Outcome {
    let Listing { paging, search } = cx.query().listing()?;
    let page = cx.core().users.list(authorize_users(cx.member()?)?, &search, paging).await?;
    let member = cx.member()?;
    cx.page(&page.map(|user| ListedBody::shown(user, member)))
}

async fn suspend(mut cx: Cx) -> Outcome {
    let grant = authorize_suspension(cx.member()?, cx.id("id", UserId::parse)?)?;
    let present = cx.core().users.before_suspension(&grant).await?;
    let present_body = ListedBody::shown(present.clone(), cx.member()?);
    let suspended = without_problems(cx.body()?.decode(|object| {
        let suspended = suspension(object);
        object.read_only(&present_body);
        suspended
    }))?;
    let user = match suspended {
        Some(suspended) => cx.core().users.set_suspended(grant, suspended).await?,
        None => present,
    };
    cx.success(&ListedBody::shown(user, cx.member()?))
}

fn suspension(object: &mut Object<'_>) -> Option<bool> {
    object.optional("suspended", Decoder::boolean)
}

async fn assign(mut cx: Cx) -> Outcome {
    let grant = authorize_roles(cx.member()?, cx.id("id", UserId::parse)?)?;
    let (names, mut problems) = cx.body()?.decode(roles);
    problems.extend(cx.core().users.unknown_roles(&names));
    let names: Vec<_> = without_problems((names, problems))?.into_iter().flatten().collect();
    let user = cx.core().users.assign_roles(grant, &names).await?;
    cx.success(&ListedBody::shown(user, cx.member()?))
}

/// A name that cannot be read keeps its position.
fn roles(object: &mut Object<'_>) -> Vec<Option<String>> {
    let names = object.required("roles", |decoder, value| decoder.list(value, Decoder::string));
    names.unwrap_or_default()
}

#[cfg(test)]
mod tests;
