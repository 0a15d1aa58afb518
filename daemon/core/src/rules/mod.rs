//! Allow and forbid rules: lines over the claims of a user, as WaTTS has them.
//!
//! A user is allowed when some allow rule matches and no forbid rule does. Without rules no user
//! is. Only rules for the provider of the user's *primary* login count, and those for any provider;
//! additional logins never do.
//!
//! Where a rule cannot be judged, it is judged against the user: an allow rule then does not match,
//! and a forbid rule does. That is so when the claim is absent (or null), whatever the condition;
//! when the claim has a type that the condition cannot judge; and when the rule names a provider
//! that is not configured: such a forbid rule matches every user, of every provider.
//!
//! Never here: the text of a claim in what is logged; a claim may be anything, and private.

mod condition;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

pub use condition::Condition;
use condition::Verdict;

use crate::caller::{Caller, Interface};
use crate::ids::{InvalidId, ProviderId};

/// Longest name of a claim, in bytes.
const MAX_CLAIM_NAME: usize = 256;

/// Why a text does not make a rule: a sentence for the author of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl RuleError {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

/// The provider for whose users a rule counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderMatch {
    /// Of any provider, relying service providers included.
    Any,
    /// Of this one.
    Id(ProviderId),
    /// Of the relying service provider with this id; written `rsp-<id>`.
    Rsp(String),
}

impl ProviderMatch {
    /// Reads `any`, `rsp-<id>` or the id of a provider.
    ///
    /// # Errors
    /// [`InvalidId`] says what an id has to look like.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text == "any" {
            return Ok(Self::Any);
        }
        match text.strip_prefix("rsp-") {
            // The id behind the prefix is a word like every other id.
            Some(id) => {
                crate::ids::ServiceId::parse(id).map(|word| Self::Rsp(word.as_str().to_owned()))
            }
            None => ProviderId::parse(text).map(Self::Id),
        }
    }

    fn covers(&self, caller: &Caller) -> bool {
        match self {
            Self::Any => true,
            Self::Id(id) => caller.interface != Interface::Rsp && caller.identity.provider() == id,
            Self::Rsp(id) => {
                caller.interface == Interface::Rsp
                    && caller
                        .subject()
                        .issuer
                        .strip_prefix("rsp-")
                        .is_some_and(|issuer| issuer == id)
            }
        }
    }
}

impl fmt::Display for ProviderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Id(id) => id.fmt(f),
            Self::Rsp(id) => write!(f, "rsp-{id}"),
        }
    }
}

/// The configured providers: a rule that names another one fails closed.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// The providers, ready or not.
    pub providers: BTreeSet<ProviderId>,
    /// The ids of the relying service providers.
    pub rsps: BTreeSet<String>,
}

impl Configured {
    fn knows(&self, provider: &ProviderMatch) -> bool {
        match provider {
            ProviderMatch::Any => true,
            ProviderMatch::Id(id) => self.providers.contains(id),
            ProviderMatch::Rsp(id) => self.rsps.contains(id),
        }
    }
}

/// One line: a condition on one claim, for users of a provider.
#[derive(Debug, Clone)]
pub struct Rule {
    provider: ProviderMatch,
    claim: String,
    condition: Condition,
}

impl Rule {
    /// A rule about the claim of exactly that name.
    ///
    /// # Errors
    /// A name that is empty, longer than 256 bytes, or has control characters.
    pub fn new(
        provider: ProviderMatch,
        claim: impl Into<String>,
        condition: Condition,
    ) -> Result<Self, RuleError> {
        let claim = claim.into();
        if claim.is_empty() || claim.len() > MAX_CLAIM_NAME || claim.chars().any(char::is_control) {
            return Err(RuleError::new(
                "a claim's name has 1 to 256 bytes and no control characters",
            ));
        }
        Ok(Self { provider, claim, condition })
    }

    /// The provider for whose users it counts.
    pub fn provider(&self) -> &ProviderMatch {
        &self.provider
    }

    /// The name of the claim.
    pub fn claim(&self) -> &str {
        &self.claim
    }

    fn judge(&self, caller: &Caller) -> Finding {
        match caller.identity.claims().get(&self.claim) {
            None | Some(serde_json::Value::Null) => Finding::Absent,
            Some(value) => match self.condition.judge(value) {
                Verdict::Yes => Finding::Matches,
                Verdict::No => Finding::Differs,
                Verdict::Unfit => Finding::Unfit,
            },
        }
    }
}

/// As WaTTS writes it, without the value: `<provider>.<claim>.<condition>`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.provider, self.claim, self.condition.name())
    }
}

/// The result of one rule, before it is read as allow or forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The condition holds.
    Matches,
    /// The condition does not hold.
    Differs,
    /// The user has no such claim.
    Absent,
    /// The condition cannot judge the claim: a wrong type, or too long.
    Unfit,
    /// The rule is for a provider that is not configured.
    Unconfigured,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Matches => "it matches",
            Self::Differs => "it does not match",
            Self::Absent => "the claim is absent",
            Self::Unfit => "the claim has a type or length that the test cannot look at",
            Self::Unconfigured => "its provider is not configured",
        })
    }
}

/// The decision of the rules about a user, and the rule that decided; fit for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// An allow rule matches, and no forbid rule does.
    Allowed {
        /// The first allow rule that matches.
        rule: String,
    },
    /// A forbid rule matches, or could not be judged.
    Forbidden {
        /// The first such rule.
        rule: String,
        /// Why it counts.
        finding: Finding,
    },
    /// No allow rule matches.
    NotAllowed {
        /// The first allow rule whose claim had a type that it cannot judge: perhaps a mistake in
        /// the configuration.
        unfit: Option<String>,
    },
}

impl Decision {
    /// Whether the user is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { rule } => write!(f, "the allow rule {rule} matches"),
            Self::Forbidden { rule, finding } => {
                write!(f, "the forbid rule {rule} decides: {finding}")
            }
            Self::NotAllowed { unfit: None } => f.write_str("no allow rule matches"),
            Self::NotAllowed { unfit: Some(rule) } => {
                write!(f, "no allow rule matches; at {rule} {}", Finding::Unfit)
            }
        }
    }
}

/// The rules of a service. Without any, no user is allowed.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    allow: Vec<Line>,
    forbid: Vec<Line>,
}

/// A rule, and whether the provider that it names is configured.
#[derive(Debug, Clone)]
struct Line {
    rule: Rule,
    configured: bool,
}

impl Line {
    /// The finding about `caller`; `None` when the rule does not count for users of that provider.
    fn judge(&self, caller: &Caller) -> Option<Finding> {
        if !self.configured {
            return Some(Finding::Unconfigured);
        }
        self.rule.provider.covers(caller).then(|| self.rule.judge(caller))
    }
}

impl Rules {
    /// Rules among what is `configured`.
    pub fn new(allow: Vec<Rule>, forbid: Vec<Rule>, configured: &Configured) -> Self {
        let lines = |rules: Vec<Rule>| {
            rules
                .into_iter()
                .map(|rule| Line { configured: configured.knows(&rule.provider), rule })
                .collect()
        };
        Self { allow: lines(allow), forbid: lines(forbid) }
    }

    /// The claims that the rules read, some perhaps more than once.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.allow.iter().chain(&self.forbid).map(|line| line.rule.claim.as_str())
    }

    /// Decides about `caller`. Every forbid rule goes before every allow rule.
    pub fn judge(&self, caller: &Caller) -> Decision {
        let forbidding = self.forbid.iter().find_map(|line| match line.judge(caller)? {
            Finding::Differs => None,
            finding => Some(Decision::Forbidden { rule: line.rule.to_string(), finding }),
        });
        forbidding.unwrap_or_else(|| self.judge_allow(caller))
    }

    fn judge_allow(&self, caller: &Caller) -> Decision {
        let mut unfit = None;
        for line in &self.allow {
            match line.judge(caller) {
                Some(Finding::Matches) => return Decision::Allowed { rule: line.rule.to_string() },
                Some(Finding::Unfit) if unfit.is_none() => unfit = Some(line.rule.to_string()),
                _ => {}
            }
        }
        Decision::NotAllowed { unfit }
    }
}
