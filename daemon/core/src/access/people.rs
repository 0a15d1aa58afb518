//! Authorization to read and change users. A member cannot give or take permissions that they do
//! not hold, and cannot change their own roles or suspension.

use super::grant::Grant;
use crate::caller::Member;
use crate::error::{BoxedCause, Error, FieldProblem};
use crate::ids::UserId;
use crate::ports::audit::Actor;
use crate::rights::{Rights, Role, forbidden};

/// The action of listing users.
#[derive(Debug)]
pub struct ListUsers(());

/// The action of changing one's own profile.
#[derive(Debug)]
pub struct ChangeProfile(Member);

/// The action of giving roles to a user by hand, and taking them away.
#[derive(Debug)]
pub struct AssignRoles {
    member: Member,
    user: UserId,
}

/// The action of suspending a user, or lifting a suspension.
#[derive(Debug)]
pub struct SuspendUser {
    member: Member,
    user: UserId,
}

impl ListUsers {
    /// The permissions that it needs.
    pub const PERMISSIONS: &'static [&'static str] = &["user.fetch.many"];
}

impl ChangeProfile {
    /// The scopes that it needs.
    pub const SCOPES: &'static [&'static str] = &[Member::WRITE];
}

impl AssignRoles {
    /// The permissions that it needs.
    pub const PERMISSIONS: &'static [&'static str] = &["user.roles.update"];
}

impl SuspendUser {
    /// The permissions that it needs.
    pub const PERMISSIONS: &'static [&'static str] = &["user.update"];
}

/// Authorizes `member` to list users.
///
/// # Errors
/// `Forbidden` without the permission `user.fetch.many`.
pub fn authorize_users(member: &Member) -> Result<Grant<ListUsers>, Error> {
    member.rights().require(ListUsers::PERMISSIONS)?;
    Ok(Grant::of(ListUsers(())))
}

/// Authorizes `member` to change their own profile.
///
/// # Errors
/// `Forbidden` when the token does not have the scope `user.write`.
pub fn authorize_profile(member: &Member) -> Result<Grant<ChangeProfile>, Error> {
    if ChangeProfile::SCOPES.iter().all(|scope| member.has_scope(scope)) {
        return Ok(Grant::of(ChangeProfile(member.clone())));
    }
    Err(refused("the token has not the scope user.write", "The token lacks the scope user.write."))
}

/// Authorizes `member` to give roles to `user` and to take roles from them. [`Grant::judge`] then
/// judges each role.
///
/// # Errors
/// `Forbidden` without the permission `user.roles.update`, and for one's own roles.
pub fn authorize_roles(member: &Member, user: UserId) -> Result<Grant<AssignRoles>, Error> {
    member.rights().require(AssignRoles::PERMISSIONS)?;
    not_oneself(member, user)?;
    Ok(Grant::of(AssignRoles { member: member.clone(), user }))
}

/// Authorizes `member` to suspend `user`, or to lift a suspension.
///
/// # Errors
/// `Forbidden` without the permission `user.update`, and for oneself: a member who locks themselves
/// out may be the only one who could lift that. [`Grant::judge`] then judges what the user holds.
pub fn authorize_suspension(member: &Member, user: UserId) -> Result<Grant<SuspendUser>, Error> {
    member.rights().require(SuspendUser::PERMISSIONS)?;
    not_oneself(member, user)?;
    Ok(Grant::of(SuspendUser { member: member.clone(), user }))
}

impl Grant<ChangeProfile> {
    /// The member whose profile it is.
    pub fn member(&self) -> &Member {
        &self.action().0
    }
}

impl Grant<AssignRoles> {
    /// The user whose roles change.
    pub fn user(&self) -> UserId {
        self.action().user
    }

    /// The member as the actor of an audit event.
    pub fn actor(&self) -> Actor {
        Actor::from(&self.action().member)
    }

    /// Whether `role` may be given or taken.
    ///
    /// # Errors
    /// `Forbidden` unless the member holds everything that it grants, everywhere where it does.
    pub fn judge(&self, role: &Role) -> Result<(), Error> {
        if self.action().member.rights().include(role) {
            return Ok(());
        }
        Err(refused(
            format!("the role {} grants more than the member holds", role.name),
            format!("The role {} grants more than you hold.", role.name),
        ))
    }
}

impl Grant<SuspendUser> {
    /// Whether a user with these `rights` may be suspended, or let in again: the rule of roles.
    ///
    /// # Errors
    /// `Forbidden` unless the member holds everything that the user holds, everywhere where the
    /// user does.
    pub fn judge(&self, rights: &Rights) -> Result<(), Error> {
        let own = self.action().member.rights();
        match rights.roles().iter().find(|role| !own.include(role)) {
            None => Ok(()),
            Some(role) => Err(refused(
                format!("the user's role {} grants more than the member holds", role.name),
                "This user holds more than you do.",
            )),
        }
    }

    /// The user.
    pub fn user(&self) -> UserId {
        self.action().user
    }

    /// The member as the actor of an audit event.
    pub fn actor(&self) -> Actor {
        Actor::from(&self.action().member)
    }
}

fn not_oneself(member: &Member, user: UserId) -> Result<(), Error> {
    if member.user() == user {
        return Err(refused(
            "it is their own",
            "Another user has to change your roles or your suspension.",
        ));
    }
    Ok(())
}

/// A refusal with a cause for operators, and a sentence for the caller.
fn refused(cause: impl Into<BoxedCause>, sentence: impl Into<String>) -> Error {
    forbidden().because(cause).with_fields(vec![FieldProblem::new([], sentence.into())])
}
