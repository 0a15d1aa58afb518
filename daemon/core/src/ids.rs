//! Parsed names: what holds one of these has been checked already. Bare strings end at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why a text is not the name it was taken for. Says what was expected; quotes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidId(&'static str);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`InvalidId`] says what the text has to look like.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                $check(text).map(|()| Self(text.into()))
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A configured OpenID provider. Never `any`, never beginning with `rsp`: rules and paths use
    /// these for something else.
    ProviderId,
    check_provider
);
name!(
    /// A configured service.
    ServiceId,
    check_word
);
name!(
    /// The name that a plugin gives itself in `describe`.
    PluginName,
    check_word
);

fn check_word(text: &str) -> Result<(), InvalidId> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    fits.then_some(()).ok_or(InvalidId("expected 1 to 64 letters, digits, `-` or `_`"))
}

fn check_provider(text: &str) -> Result<(), InvalidId> {
    check_word(text)?;
    if text == "any" || text.starts_with("rsp") {
        return Err(InvalidId(
            "a provider is never called `any`, and its id never begins with `rsp`",
        ));
    }
    Ok(())
}

/// One lease: a version 4 UUID in lower case, unique over the life of the daemon's data. It is the
/// credential id on the wire and the idempotency key that plugins see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(uuid::Uuid);

impl LeaseId {
    /// A fresh id from sixteen random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Checks `text`: exactly the 36 characters that `Display` writes.
    ///
    /// # Errors
    /// [`InvalidId`] for every other spelling, upper case included.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let id = uuid::Uuid::try_parse(text).map_err(|_| InvalidId("expected a UUID"))?;
        if id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()) != text {
            return Err(InvalidId("expected a UUID in lower case with hyphens"));
        }
        Ok(Self(id))
    }

    /// The sixteen bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

/// The one-time address of an issued result: sixteen random bytes, 22 characters of base64url.
/// Knowing it is not enough to read the result; it is bound to the user as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandoffId([u8; 16]);

impl HandoffId {
    /// A fresh id from sixteen random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Checks `text`: 22 characters of unpadded base64url.
    ///
    /// # Errors
    /// [`InvalidId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId("expected 22 characters of base64url");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong)
    }
}

impl fmt::Display for HandoffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

// The id opens a result for its user: it stays out of logs.
impl fmt::Debug for HandoffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandoffId(..)")
    }
}

/// Length of a [`record_id`]: `c` and 24 characters.
const RECORD_ID_LEN: usize = 25;

/// `c` and 24 characters `[a-z0-9]`, the digits of base 36 of as many random bits as fit into them.
fn spell_record_id(bytes: [u8; 16]) -> [u8; RECORD_ID_LEN] {
    let mut left = u128::from_be_bytes(bytes);
    let mut text = [b'c'; RECORD_ID_LEN];
    for place in text.iter_mut().skip(1) {
        let digit = u8::try_from(left % 36).unwrap_or(0);
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        left /= 36;
    }
    text
}

macro_rules! record_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; RECORD_ID_LEN]);

        impl $type {
            /// A fresh id from sixteen random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(spell_record_id(bytes))
            }

            /// Checks `text`: `c` and 24 characters `[a-z0-9]`.
            ///
            /// # Errors
            /// [`InvalidId`] for anything else.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                Self::from_bytes(text.as_bytes()).ok_or(InvalidId("expected `c` and 24 characters of a-z and 0-9"))
            }

            /// The same for an id that stands in a key.
            pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let text: [u8; RECORD_ID_LEN] = bytes.try_into().ok()?;
                let fits = text.starts_with(b"c") && text.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
                fits.then_some(Self(text))
            }

            /// The characters of the id.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }
    };
}

record_id!(
    /// A user of the vault.
    UserId
);
record_id!(
    /// A sign-in of a user, with all the tokens that it was given.
    SessionId
);
record_id!(
    /// A company.
    CompanyId
);
record_id!(
    /// A type of credential.
    TypeId
);
record_id!(
    /// A credential of the vault.
    CredentialId
);
record_id!(
    /// One secure value of a credential.
    SecureValueId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for good in ["a", "ssh-ca", "A_1", &"x".repeat(64)] {
            assert_eq!(ServiceId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a\0", "a.b", &"x".repeat(65)] {
            assert!(ServiceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn providers_leave_the_reserved_words_alone() {
        assert!(ProviderId::parse("op").is_ok());
        for bad in ["any", "rsp", "rsp-portal"] {
            assert!(ProviderId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_lease_id_has_one_spelling() {
        let id = LeaseId::from_random([7; 16]);
        assert_eq!(LeaseId::parse(&id.to_string()).unwrap(), id);
        let upper = LeaseId::from_random([0xab; 16]).to_string().to_uppercase();
        for bad in
            [upper.as_str(), "", "xyz", &id.to_string().replace('-', ""), &format!("{{{id}}}")]
        {
            assert!(LeaseId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_handoff_id_is_22_characters_and_never_printed_by_debug() {
        let id = HandoffId::from_random([0xfe; 16]);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(HandoffId::parse(&id.to_string()).unwrap(), id);
        assert!(HandoffId::parse("AAAA").is_err());
        assert_eq!(format!("{id:?}"), "HandoffId(..)");
    }

    #[test]
    fn record_ids_are_c_and_24_characters() {
        let id = CompanyId::from_random([0xff; 16]);
        assert_eq!(CompanyId::parse(id.as_str()), Ok(id));
        assert_eq!(id.to_string().len(), 25);
        assert_ne!(id, CompanyId::from_random([0xfe; 16]));
        let upper = id.to_string().to_uppercase();
        for bad in
            ["", "c", &"c".repeat(24), &"c".repeat(26), &upper, &format!("d{}", "0".repeat(24))]
        {
            assert!(CompanyId::parse(bad).is_err(), "{bad}");
        }
    }
}
