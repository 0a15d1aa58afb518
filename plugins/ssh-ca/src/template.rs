//! Texts with claims in them: the principals of a certificate and its key id.
//!
//! A claim comes from outside and is often the user's own choice. Principals therefore take a
//! narrow set of characters and refuse everything else; the key id, which only ends in logs,
//! replaces it.

use credsmith_plugin_sdk::{FieldProblem, Identity, Noted, Refusal, Request, Settings, Value};

/// A text with `{claim}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(String),
}

impl Template {
    /// # Errors
    /// The fault in the braces.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("has a `{` without its `}`")?;
            if name.is_empty() || name.contains('{') {
                return Err("has braces without the name of a claim in them".into());
            }
            parts.extend([Part::Text(before.into()), Part::Claim(name.into())]);
            rest = behind;
        }
        parts.push(Part::Text(rest.into()));
        if parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains('}'))) {
            return Err("has a `}` without its `{`".into());
        }
        Ok(Self(parts.into_iter().filter(|part| *part != Part::Text(String::new())).collect()))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Claim(_) => None,
        })
    }

    fn claims(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Claim(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// Most principals in one certificate.
const MOST_PRINCIPALS: usize = 128;
/// Longest principal, in characters.
const MOST_PRINCIPAL: usize = 128;

/// Which accounts certificates open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principals {
    templates: Vec<Template>,
    reserved: Vec<String>,
}

/// Reads the settings `principals` and `reserved_principals`.
///
/// # Errors
/// [`Noted`], after noting every fault.
pub(crate) fn principals(settings: &Settings) -> Result<Principals, Noted> {
    let reserved = settings.get("reserved_principals");
    let texts: Vec<String> = settings.get("principals")?;
    if texts.is_empty() {
        return Err(settings
            .fault(FieldProblem::at("principals", "is empty; a certificate needs an account")));
    }
    let templates = texts.iter().enumerate().map(|(position, text)| {
        let problem =
            |message| FieldProblem::at("principals", message).within(position.to_string());
        principal_template(text).map_err(|message| settings.fault(problem(message)))
    });
    // Every element is looked at before the first fault ends it.
    let templates: Vec<_> = templates.collect();
    Ok(Principals {
        templates: templates.into_iter().collect::<Result<_, _>>()?,
        reserved: reserved?,
    })
}

fn principal_template(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    if template.0.is_empty() {
        return Err("is empty".into());
    }
    if !template.texts().flat_map(str::chars).all(is_safe) {
        return Err("has characters other than letters, digits and ._@- outside of braces".into());
    }
    if template
        .0
        .first()
        .is_some_and(|part| matches!(part, Part::Text(text) if text.starts_with('-')))
    {
        return Err("begins with `-`".into());
    }
    Ok(template)
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-')
}

impl Principals {
    /// The accounts of `user`: never none.
    ///
    /// # Errors
    /// A refusal when a claim is missing, empty, or no account name.
    pub(crate) fn of(&self, user: &Identity) -> Result<Vec<String>, Refusal> {
        let mut principals = Vec::new();
        for template in &self.templates {
            for principal in self.expand(template, user)? {
                if !principals.contains(&principal) {
                    principals.push(principal);
                }
            }
        }
        match principals.len() {
            // To OpenSSH, a certificate without principals is valid for every account.
            0 => Err(Refusal::new("Your login leads to no account.")),
            1..=MOST_PRINCIPALS => Ok(principals),
            _ => Err(too_many()),
        }
    }

    /// Every combination of the claims' values.
    fn expand(&self, template: &Template, user: &Identity) -> Result<Vec<String>, Refusal> {
        let mut texts = vec![String::new()];
        for part in &template.0 {
            let values = match part {
                Part::Text(text) => vec![text.clone()],
                Part::Claim(name) => account_names(user, name)?,
            };
            if texts.len().saturating_mul(values.len()) > MOST_PRINCIPALS {
                return Err(too_many());
            }
            texts = texts
                .iter()
                .flat_map(|text| values.iter().map(move |value| format!("{text}{value}")))
                .collect();
        }
        let from_claim = template.claims().next().is_some();
        texts.iter().try_for_each(|text| self.check(text, from_claim))?;
        Ok(texts)
    }

    fn check(&self, principal: &str, from_claim: bool) -> Result<(), Refusal> {
        if principal.len() > MOST_PRINCIPAL || principal.starts_with('-') {
            return Err(Refusal::new(
                "Your login leads to an account name that is too long or begins with `-`.",
            ));
        }
        if from_claim && self.reserved.iter().any(|reserved| reserved == principal) {
            return Err(Refusal::new("Your login leads to a reserved account."));
        }
        Ok(())
    }
}

fn too_many() -> Refusal {
    Refusal::new(format!("Your login leads to more than {MOST_PRINCIPALS} accounts."))
}

/// The values of a claim, as account names.
fn account_names(user: &Identity, claim: &str) -> Result<Vec<String>, Refusal> {
    let values = if claim == "sub" { Some(vec![user.subject()]) } else { user.claim_list(claim) };
    let values = values.filter(|values| !values.is_empty()).ok_or_else(|| {
        Refusal::new(format!(
            "Your identity provider does not say your `{claim}`, which this service needs."
        ))
    })?;
    let sound = values.iter().all(|value| !value.is_empty() && value.chars().all(is_safe));
    sound.then_some(values).ok_or_else(|| {
        Refusal::new(format!(
            "Your `{claim}` is no account name: only letters, digits and the characters ._@- may be in it."
        ))
    })
}

/// Longest key id, in characters.
const MOST_KEY_ID: usize = 256;
/// How many of them a template may use itself: what is left is more than a credential's id needs,
/// and the service's.
const MOST_KEY_ID_TEXT: usize = 128;

/// The text that servers log about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyId(Template);

impl KeyId {
    /// Reads the setting.
    ///
    /// # Errors
    /// The fault.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text)?;
        if !template.claims().any(|name| name == "credential_id") {
            return Err("does not contain {credential_id}".into());
        }
        if !template.texts().flat_map(str::chars).all(is_loggable) {
            return Err("has characters other than printable ASCII".into());
        }
        if template.texts().map(str::len).sum::<usize>() > MOST_KEY_ID_TEXT {
            return Err(format!("has more than {MOST_KEY_ID_TEXT} characters outside of braces"));
        }
        let mut ours: Vec<_> = template.claims().filter(|name| is_ours(name)).collect();
        ours.sort_unstable();
        if ours.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err("has {credential_id} or {service} more than once".into());
        }
        Ok(Self(template))
    }

    /// The key id of one certificate. A claim gets what the rest leaves: however long users make
    /// theirs, the credential's id stays whole, so that what a server logs always leads to the
    /// credential.
    pub(crate) fn of(&self, request: &Request<'_>) -> String {
        let parts = self.0.0.iter().map(|part| match part {
            Part::Text(text) => (text.clone(), false),
            Part::Claim(name) => (loggable(&value(request, name)), !is_ours(name)),
        });
        let parts: Vec<(String, bool)> = parts.collect();
        let ours: usize =
            parts.iter().filter(|(_, claim)| !claim).map(|(text, _)| text.len()).sum();
        let mut room = MOST_KEY_ID.saturating_sub(ours);
        let mut whole = String::new();
        for (text, claim) in parts {
            let shown = if claim { text.chars().take(room).collect() } else { text };
            room -= if claim { shown.len() } else { 0 };
            whole.push_str(&shown);
        }
        whole
    }
}

/// Whether a name in a key id's braces is the daemon's and no claim.
fn is_ours(name: &str) -> bool {
    matches!(name, "credential_id" | "service")
}

fn value(request: &Request<'_>, name: &str) -> String {
    match name {
        "credential_id" => request.credential_id(),
        "service" => request.service(),
        "sub" => request.user().subject(),
        claim => match request.user().claim(claim) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => "-".into(),
        },
    }
}

fn is_loggable(c: char) -> bool {
    c.is_ascii_graphic() || c == ' '
}

/// Claims cannot pretend to be several fields of a log line, so blanks and quotes go as well.
fn loggable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "._@:/+=-".contains(c) { c } else { '_' };
    text.chars().take(MOST_KEY_ID).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_read() {
        let parsed = Template::parse("a{b}{c}").unwrap();
        assert_eq!(
            parsed.0,
            [Part::Text("a".into()), Part::Claim("b".into()), Part::Claim("c".into())]
        );
        for bad in ["{", "}", "a{b", "a}b", "{}", "{a{b}}", "{a}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn literal_principals_are_account_names() {
        for good in ["deploy", "{name}", "x-{name}@host", "a.b_c"] {
            assert!(principal_template(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a,b", "*", "a\n", "-o{name}", "ü"] {
            assert!(principal_template(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_id_names_the_credential() {
        assert!(KeyId::parse("{credential_id} {sub}").is_ok());
        assert!(KeyId::parse("{sub}").is_err());
        assert!(KeyId::parse("{credential_id}\n").is_err());
        assert!(KeyId::parse("{credential_id} {service} {credential_id}").is_err());
        assert!(KeyId::parse(&format!("{}{{credential_id}}", "x".repeat(128))).is_ok());
        assert!(KeyId::parse(&format!("{}{{credential_id}}", "x".repeat(129))).is_err());
    }
}
