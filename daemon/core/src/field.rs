//! The fields of a type of credential.

use serde::{Deserialize, Serialize};

/// Most fields of a type.
pub const MAX_FIELDS: usize = 64;

/// One field of a type of credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `[A-Za-z][A-Za-z0-9_]*`, unique in its type.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether a credential has to have it.
    pub required: bool,
    /// Whether its values are sealed, each in an envelope of its own, and shown only by a reveal.
    pub secure: bool,
    /// What its values look like.
    pub value_type: ValueType,
    /// The values allowed when the type is [`ValueType::Choice`].
    pub choices: Vec<String>,
    /// Filled in by the plugin, never accepted from a client.
    pub computed: bool,
}

/// What values of a field look like (`daemon/dialects/vault.md`, "Credential types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// One line.
    PlainText,
    /// Some lines.
    MultiLine,
    /// A secret that a person types.
    Password,
    /// An absolute URL.
    Url,
    /// An address.
    Email,
    /// A number, as text.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A day, as in RFC 3339.
    Date,
    /// Of version 4 or 6.
    IpAddress,
    /// The secret of one-time codes (RFC 6238).
    TotpSecret,
    /// One of a list.
    Choice,
}

impl ValueType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::PlainText,
        Self::MultiLine,
        Self::Password,
        Self::Url,
        Self::Email,
        Self::Number,
        Self::Boolean,
        Self::Date,
        Self::IpAddress,
        Self::TotpSecret,
        Self::Choice,
    ];

    /// Its name in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlainText => "plain_text",
            Self::MultiLine => "multi_line",
            Self::Password => "password",
            Self::Url => "url",
            Self::Email => "email",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::IpAddress => "ip_address",
            Self::TotpSecret => "totp_secret",
            Self::Choice => "choice",
        }
    }

    /// The type of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value_type| value_type.as_str() == name)
    }

    /// The name of the kind in the plugin contract.
    pub const fn contract_kind(self) -> &'static str {
        match self {
            Self::PlainText => "text",
            Self::MultiLine => "multiline",
            Self::Password => "password",
            Self::Url => "url",
            Self::Email => "email",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::IpAddress => "ip-address",
            Self::TotpSecret => "totp-secret",
            Self::Choice => "choice",
        }
    }

    /// The type for a kind of the plugin contract; unknown kinds are text.
    pub fn from_contract_kind(kind: &str) -> Self {
        if kind == "integer" {
            return Self::Number;
        }
        Self::ALL
            .into_iter()
            .find(|value_type| value_type.contract_kind() == kind)
            .unwrap_or(Self::PlainText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_are_those_of_records() {
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::parse(value_type.as_str()), Some(value_type));
            assert_eq!(serde_json::to_value(value_type).unwrap(), value_type.as_str());
        }
        assert_eq!(ValueType::parse("Plain_text"), None);
    }

    #[test]
    fn kinds_of_the_contract_come_back() {
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::from_contract_kind(value_type.contract_kind()), value_type);
        }
        assert_eq!(ValueType::from_contract_kind("integer"), ValueType::Number);
        assert_eq!(ValueType::from_contract_kind("hologram"), ValueType::PlainText);
    }
}
