//! Users of the vault: their records, the user of each subject, and suspended subjects.

use serde::{Deserialize, Serialize};

use super::encoding::{self, Unreadable};
use super::writing::Writing;
use super::{Records, keys, malformed};
use crate::caller::{Claims, Subject};
use crate::error::Error;
use crate::ids::{ProviderId, UserId};
use crate::model::profile::Profile;
use crate::model::user::{ProfileOverrides, SuspendedBy, Suspension, User};
use crate::ports::store::Versioned;
use crate::ports::store::{Expected, Key, Revision};
use crate::time::Timestamp;

/// The space whose epoch moves when a user changes.
pub(crate) const USERS: &str = "users";

const USER: &str = "user";
const USER_OF: &str = "user-of";
const SUSPENDED: &str = "suspended";

#[derive(Serialize, Deserialize)]
struct UserRecord {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: String,
    #[serde(rename = "prov")]
    provider: String,
    login: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    email: Option<String>,
    #[serde(rename = "ver", skip_serializing_if = "Option::is_none", default)]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    image: Option<String>,
    #[serde(rename = "own", skip_serializing_if = "Option::is_none", default)]
    name_override: Option<String>,
    /// Empty: the user wants no picture.
    #[serde(rename = "pic", skip_serializing_if = "Option::is_none", default)]
    image_override: Option<String>,
    #[serde(skip_serializing_if = "Claims::is_empty", default)]
    claims: Claims,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    roles: Vec<String>,
    #[serde(rename = "susp", skip_serializing_if = "std::ops::Not::not", default)]
    suspended: bool,
    /// Absent in records of earlier versions, as in those of users who are not suspended.
    #[serde(rename = "by", skip_serializing_if = "Option::is_none", default)]
    suspended_by: Option<ByRecord>,
    #[serde(rename = "era")]
    session_generation: u64,
    #[serde(rename = "at")]
    created: Timestamp,
    #[serde(rename = "mod")]
    updated: Timestamp,
}

/// A suspended subject.
#[derive(Serialize, Deserialize)]
struct SuspensionRecord {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: String,
    at: Timestamp,
    /// Absent in records of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<ByRecord>,
}

/// Who suspended a subject. Where a record of an earlier version does not say it, it counts as an
/// operator: else a user could lift what an operator had decided.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ByRecord {
    User,
    Operator,
}

impl From<SuspendedBy> for ByRecord {
    fn from(by: SuspendedBy) -> Self {
        match by {
            SuspendedBy::User => Self::User,
            SuspendedBy::Operator => Self::Operator,
        }
    }
}

impl ByRecord {
    fn decode(by: Option<Self>) -> SuspendedBy {
        match by {
            Some(Self::User) => SuspendedBy::User,
            Some(Self::Operator) | None => SuspendedBy::Operator,
        }
    }
}

impl Records {
    /// The user of that id.
    pub(crate) async fn user(&self, id: UserId) -> Result<Option<Versioned<User>>, Error> {
        let Some((plain, revision)) = self.get(&keys::user(id), USER).await? else {
            return Ok(None);
        };
        let user = decode(id, &plain).map_err(Error::internal)?;
        Ok(Some(Versioned { value: user, revision }))
    }

    /// The user with that `subject`.
    pub(crate) async fn user_of(
        &self,
        subject: &Subject,
    ) -> Result<Option<Versioned<User>>, Error> {
        let key = keys::user_of(&self.subject_key(subject));
        let Some((plain, _)) = self.get(&key, USER_OF).await? else { return Ok(None) };
        let text = std::str::from_utf8(&plain).map_err(Error::internal)?;
        let id = UserId::parse(text).map_err(Error::internal)?;
        let known = self
            .user(id)
            .await?
            .ok_or_else(|| Error::internal("a subject names a user who is not there"))?;
        // The key holds only a keyed hash of the subject: the record decides.
        if known.value.subject == *subject {
            Ok(Some(known))
        } else {
            Err(Error::internal("a subject names another user"))
        }
    }

    /// The users of that `subject`, however its issuer is spelt: one at most, unless its provider
    /// changed the spelling.
    pub(crate) async fn users_of_any_spelling(
        &self,
        subject: &Subject,
    ) -> Result<Vec<Versioned<User>>, Error> {
        let mut users = Vec::new();
        for spelling in subject.spellings() {
            users.extend(self.user_of(&spelling).await?);
        }
        Ok(users)
    }

    /// Whether `subject` is suspended, however its issuer is spelt.
    pub(crate) async fn is_suspended(&self, subject: &Subject) -> Result<bool, Error> {
        for key in self.suspension_keys(subject) {
            if self.store.get(&key).await.map_err(Error::internal)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The suspension of `subject`, however its issuer is spelt.
    pub(crate) async fn suspension(&self, subject: &Subject) -> Result<Option<Suspension>, Error> {
        let mut found: Option<Suspension> = None;
        for key in self.suspension_keys(subject) {
            if let Some((plain, _)) = self.get(&key, SUSPENDED).await? {
                let other = decode_suspension(&plain).map_err(Error::internal)?;
                found = Some(match found {
                    Some(found) if found.by >= other.by => found,
                    _ => other,
                });
            }
        }
        Ok(found)
    }

    /// All suspensions, in no order. Reads every record.
    pub(crate) async fn suspensions(&self) -> Result<Vec<Suspension>, Error> {
        self.scan_all(&Key::new(keys::SUSPENDED), |key, sealed| {
            let plain = self.keyring.open(key, SUSPENDED, &sealed.value)?;
            decode_suspension(&plain).map_err(Error::internal)
        })
        .await
    }

    /// The keys at which a suspension of `subject` may be: one for each spelling of the issuer.
    /// New ones are at the first.
    pub(super) fn suspension_keys(&self, subject: &Subject) -> [Key; 2] {
        subject.spellings().map(|spelling| keys::suspended(&self.subject_key(&spelling)))
    }

    /// All users. Reads every record: for projections.
    pub(crate) async fn users(&self) -> Result<Vec<User>, Error> {
        self.scan_all(&Key::new(keys::USER), |key, sealed| {
            let id = keys::parse_user(key).ok_or_else(|| malformed(key))?;
            let plain = self.keyring.open(key, USER, &sealed.value)?;
            decode(id, &plain).map_err(Error::internal)
        })
        .await
    }
}

impl Writing<'_> {
    /// Writes a new user.
    pub(crate) async fn begin_user(&mut self, user: &User) -> Result<(), Error> {
        let key = keys::user_of(&self.records().subject_key(&user.subject));
        self.expect(&key, Expected::Absent);
        self.put_user(user, Expected::Absent).await?;
        self.put(&key, USER_OF, user.id.as_str().as_bytes()).await
    }

    /// Writes a changed user, if the record is as it was read.
    pub(crate) async fn change_user(&mut self, user: &User, read: Revision) -> Result<(), Error> {
        self.put_user(user, Expected::At(read)).await
    }

    async fn put_user(&mut self, user: &User, expected: Expected) -> Result<(), Error> {
        let key = keys::user(user.id);
        self.expect(&key, expected);
        self.put(&key, USER, &encode(user).map_err(Error::internal)?).await
    }

    /// Demands that the user is as it was read.
    pub(crate) fn expect_user(&mut self, id: UserId, read: Revision) {
        self.expect(&keys::user(id), Expected::At(read));
    }

    /// Demands that there is no user with that `subject`.
    pub(crate) fn expect_no_user_of(&mut self, subject: &Subject) {
        let key = keys::user_of(&self.records().subject_key(subject));
        self.expect(&key, Expected::Absent);
    }
}

impl Writing<'_> {
    /// Demands that `subject` is not suspended, however its issuer is spelt.
    pub(crate) fn unless_suspended(&mut self, subject: &Subject) {
        for key in self.records().suspension_keys(subject) {
            self.expect(&key, Expected::Absent);
        }
    }

    /// Suspends a subject. Doing it twice is fine.
    pub(crate) async fn suspend(&mut self, suspension: &Suspension) -> Result<(), Error> {
        self.is_urgent();
        let Suspension { subject, since, by } = suspension;
        let [key, other] = self.records().suspension_keys(subject);
        let record = SuspensionRecord {
            issuer: subject.issuer.clone(),
            subject: subject.subject.clone(),
            at: *since,
            by: Some((*by).into()),
        };
        self.delete(other);
        self.put(&key, SUSPENDED, &encoding::encode(&record).map_err(Error::internal)?).await
    }

    /// Lifts the suspension of `subject`, if there is one.
    pub(crate) fn resume(&mut self, subject: &Subject) {
        for key in self.records().suspension_keys(subject) {
            self.delete(key);
        }
    }
}

fn decode_suspension(plain: &[u8]) -> Result<Suspension, Unreadable> {
    let SuspensionRecord { issuer, subject, at, by } = encoding::decode(plain)?;
    let subject = Subject { issuer, subject };
    Ok(Suspension { subject, since: at, by: ByRecord::decode(by) })
}

fn encode(user: &User) -> Result<Vec<u8>, Unreadable> {
    let User { subject, provider, profile, overrides, claims, assigned_roles, .. } = user.clone();
    encoding::encode(&UserRecord {
        issuer: subject.issuer,
        subject: subject.subject,
        provider: provider.as_str().to_owned(),
        login: profile.login,
        name: profile.name,
        email: profile.email,
        email_verified: user.email_verified,
        image: profile.image,
        name_override: overrides.name,
        image_override: overrides.image.map(Option::unwrap_or_default),
        claims,
        roles: assigned_roles,
        suspended: user.suspended.is_some(),
        suspended_by: user.suspended.map(ByRecord::from),
        session_generation: user.session_generation,
        created: user.created,
        updated: user.updated,
    })
}

fn decode(id: UserId, plain: &[u8]) -> Result<User, Unreadable> {
    let record: UserRecord = encoding::decode(plain)?;
    let UserRecord { login, name, email, image, .. } = record;
    Ok(User {
        id,
        subject: Subject { issuer: record.issuer, subject: record.subject },
        provider: ProviderId::parse(&record.provider).map_err(encoding::unreadable)?,
        profile: Profile { login, name, email, image },
        email_verified: record.email_verified,
        overrides: ProfileOverrides {
            name: record.name_override,
            image: record.image_override.map(|image| Some(image).filter(|image| !image.is_empty())),
        },
        claims: record.claims,
        assigned_roles: record.roles,
        suspended: record.suspended.then(|| ByRecord::decode(record.suspended_by)),
        session_generation: record.session_generation,
        created: record.created,
        updated: record.updated,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user() -> User {
        User {
            id: UserId::from_random([7; 16]),
            subject: Subject { issuer: "https://op.example".into(), subject: "alice".into() },
            provider: ProviderId::parse("op").unwrap(),
            profile: Profile {
                login: "alice".into(),
                name: "Alice".into(),
                email: None,
                image: None,
            },
            email_verified: None,
            overrides: ProfileOverrides::default(),
            claims: Claims::new(),
            assigned_roles: Vec::new(),
            suspended: None,
            session_generation: 3,
            created: Timestamp::from_secs(1),
            updated: Timestamp::from_secs(2),
        }
    }

    #[test]
    fn every_user_comes_back_as_they_were() {
        let full = User {
            profile: Profile {
                email: Some("a@b".into()),
                image: Some("https://i".into()),
                ..user().profile
            },
            email_verified: Some(true),
            overrides: ProfileOverrides { name: Some("Al".into()), image: Some(None) },
            claims: [("groups".to_owned(), json!(["a"]))].into_iter().collect(),
            assigned_roles: vec!["admin".into()],
            suspended: Some(SuspendedBy::Operator),
            ..user()
        };
        let by_a_user = User { suspended: Some(SuspendedBy::User), ..user() };
        let pictured = User {
            overrides: ProfileOverrides { name: None, image: Some(Some("https://j".into())) },
            ..user()
        };
        for user in [user(), full, pictured, by_a_user] {
            assert_eq!(decode(user.id, &encode(&user).unwrap()).unwrap(), user);
        }
    }

    /// What earlier versions wrote does not say who suspended.
    #[test]
    fn a_suspension_of_an_earlier_version_is_an_operators() {
        let plain = encode(&user()).unwrap();
        let text = std::str::from_utf8(&plain[1..]).unwrap();
        let suspended = text.replace(r#""era":"#, r#""susp":true,"era":"#);
        let plain = [&plain[..1], suspended.as_bytes()].concat();
        let user = decode(user().id, &plain).unwrap();
        assert_eq!(user.suspended, Some(SuspendedBy::Operator));
        let json = br#"{"iss":"https://op.example","sub":"alice","at":1000}"#;
        let suspension = decode_suspension(&[&plain[..1], json].concat()).unwrap();
        assert_eq!(suspension.by, SuspendedBy::Operator);
    }

    /// The names in the record are a contract with data on disk: a renamed field has to fail here.
    #[test]
    fn the_record_of_a_user_is_this_one() {
        let plain = encode(&user()).unwrap();
        assert_eq!(
            std::str::from_utf8(&plain[1..]).unwrap(),
            r#"{"iss":"https://op.example","sub":"alice","prov":"op","login":"alice","name":"Alice","#
                .to_owned()
                + r#""era":3,"at":1000,"mod":2000}"#
        );
    }
}
