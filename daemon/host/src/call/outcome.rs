//! Checks the answers of plugins before they are used: sizes, kinds, names, and that no secret is
//! in a text that is stored or shown.
//!
//! Never here: a repair. An answer that breaks the contract is a failure of the plugin, but for
//! texts for people, which are cut and cleaned.

use std::collections::BTreeSet;
use std::time::Duration;

use credsmith_contract::limits::{
    LAST_SECOND, MAX_ENTRY_NAME, MAX_EXTENT, MAX_FILE_NAME, MAX_REVOKE_WITH, MAX_STATE,
    MAX_USER_TEXT,
};
use credsmith_core::ports::plugins::{Entry, EntryKind, IssueOutcome, Issued, Refusal};
use credsmith_core::secret::Secret;
use credsmith_core::text::is_file_name;
use credsmith_core::time::Timestamp;

use crate::call::run::GuestFailure;
use crate::options::OutputLimits;
use crate::secrets::guard::Guard;
use crate::secrets::prints::{Print, Prints};
use crate::{text, v0};

/// Longest id of a provider, in characters.
const MAX_PROVIDER: usize = 64;

// Core stores the state, and bounds it as well.
const _: () = assert!(MAX_STATE == credsmith_core::ports::plugins::MAX_STATE_BYTES);

/// The checked outcome of an issue, and the secrets in it that log lines must not show.
pub(crate) struct CheckedOutcome {
    pub(crate) outcome: IssueOutcome,
    pub(crate) secrets: Vec<Secret>,
}

/// The secrets that must not be in a text that is stored or shown: those of the plugin, recent
/// access tokens, and those of one call.
pub(crate) struct Forbidden<'a> {
    guard: &'a Guard,
    more: Prints,
    /// Access tokens of this call that an entry may show.
    shown: Vec<Print>,
}

impl<'a> Forbidden<'a> {
    /// `more`: secrets of the call that are neither settings nor access tokens.
    pub(crate) fn new(guard: &'a Guard, more: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut prints = Prints::default();
        more.into_iter().for_each(|secret| guard.add_once(&mut prints, secret.expose()));
        Self { guard, more: prints, shown: Vec::new() }
    }

    /// Lets entries show `tokens`: those of the call's own user, where the plugin may see them.
    pub(crate) fn showing<'b>(mut self, tokens: impl IntoIterator<Item = &'b Secret>) -> Self {
        self.shown.extend(tokens.into_iter().flat_map(|token| self.guard.prints(token)));
        self
    }

    /// Whether one of them is in `text`.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.guard.finds(text.as_bytes(), &self.more)
    }

    /// Whether one of them that the plugin may not see is in `text`.
    fn is_hidden_in(&self, text: &str) -> bool {
        self.guard.finds_hidden(text.as_bytes(), &self.shown)
    }
}

/// Checks the answer of an issue.
pub(crate) fn issued(
    given: v0::service::Outcome,
    limits: OutputLimits,
    guarded: &Forbidden<'_>,
) -> Result<CheckedOutcome, GuestFailure> {
    match given {
        v0::service::Outcome::Issued(given) => {
            let secrets = secrets_of(&given);
            let issued = check_issued(given, limits, guarded).map_err(GuestFailure::bad_output)?;
            Ok(CheckedOutcome { outcome: IssueOutcome::Issued(issued), secrets })
        }
        v0::service::Outcome::LoginRequired(login) => {
            if guarded.is_in(&login.message) || guarded.is_in(&login.provider) {
                return Err(GuestFailure::bad_output("its request for a login contains a secret"));
            }
            let provider = text::cleaned(&login.provider, MAX_PROVIDER);
            let message = text::cleaned(&login.message, MAX_USER_TEXT);
            Ok(CheckedOutcome {
                outcome: IssueOutcome::LoginRequired { provider, message },
                secrets: Vec::new(),
            })
        }
    }
}

/// Checks a refusal.
pub(crate) fn refusal(
    given: &v0::types::Refusal,
    guarded: &Forbidden<'_>,
) -> Result<Refusal, GuestFailure> {
    if guarded.is_in(&given.user) {
        return Err(GuestFailure::bad_output("its refusal contains a secret"));
    }
    let user = text::cleaned(&given.user, MAX_USER_TEXT);
    let user = if user.is_empty() { "The service refused the request.".to_owned() } else { user };
    Ok(Refusal {
        user,
        retry_after: given.retry_after.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn secrets_of(given: &v0::service::Issued) -> Vec<Secret> {
    let entries =
        given.entries.iter().filter(|entry| entry.secret).map(|entry| entry.value.as_str());
    entries.chain(given.revoke_with.as_deref()).map(Secret::new).collect()
}

fn check_issued(
    given: v0::service::Issued,
    limits: OutputLimits,
    guarded: &Forbidden<'_>,
) -> Result<Issued, String> {
    check_state(&given.state, guarded)?;
    if given.revoke_with.as_ref().is_some_and(|secret| secret.len() > MAX_REVOKE_WITH) {
        return Err(format!("`revoke-with` is longer than {MAX_REVOKE_WITH} bytes"));
    }
    if given.expires_at.is_some_and(|second| second == 0 || second > LAST_SECOND) {
        return Err("`expires-at` is no point in time, in Unix seconds".to_owned());
    }
    Ok(Issued {
        entries: check_entries(given.entries, limits, guarded)?,
        state: given.state,
        revoke_with: given.revoke_with.map(Secret::new),
        expires_at: given.expires_at.map(Timestamp::from_secs),
    })
}

fn check_state(state: &str, guarded: &Forbidden<'_>) -> Result<(), String> {
    if state.is_empty() {
        return Err("the state is empty: it has to name what was made".to_owned());
    }
    if state.len() > MAX_STATE {
        return Err(format!("the state is longer than {MAX_STATE} bytes"));
    }
    if !text::is_lines(state) {
        return Err(
            "the state has control characters, or some that turn text around or end a line"
                .to_owned(),
        );
    }
    if guarded.is_in(state) {
        return Err("the state contains a secret".to_owned());
    }
    Ok(())
}

fn check_entries(
    given: Vec<v0::service::Entry>,
    limits: OutputLimits,
    guarded: &Forbidden<'_>,
) -> Result<Vec<Entry>, String> {
    if given.len() > limits.entries {
        return Err(format!("it has {} entries; {} are allowed", given.len(), limits.entries));
    }
    let bytes = given.iter().fold(0_usize, |sum, entry| {
        sum.saturating_add(entry.name.len()).saturating_add(entry.value.len())
    });
    if bytes > limits.bytes {
        return Err(format!("its entries have {bytes} bytes; {} are allowed", limits.bytes));
    }
    let mut names = BTreeSet::new();
    let mut entries = Vec::with_capacity(given.len());
    for (at, entry) in given.into_iter().enumerate() {
        if !names.insert(entry.name.clone()) {
            return Err(format!("entry {at} has the name of an earlier one"));
        }
        entries.push(check_entry(entry, guarded).map_err(|why| format!("entry {at} {why}"))?);
    }
    Ok(entries)
}

fn check_entry(given: v0::service::Entry, guarded: &Forbidden<'_>) -> Result<Entry, &'static str> {
    if given.name.trim().is_empty()
        || given.name.chars().count() > MAX_ENTRY_NAME
        || !text::is_one_line(&given.name)
    {
        return Err(
            "has a name that is empty, too long, or has control characters or some that turn text around",
        );
    }
    let kind = match given.kind.as_str() {
        "text" => EntryKind::Text,
        "textarea" => EntryKind::Textarea,
        "textfile" => EntryKind::Textfile,
        _ => return Err("is of a kind that the contract does not have"),
    };
    let fits = if kind == EntryKind::Text { text::is_one_line } else { text::is_lines };
    if !fits(&given.value) {
        return Err(
            "has a value with control characters, or some that turn text around, that its kind does not allow (a text is one line)",
        );
    }
    let texts = [Some(&given.name), Some(&given.value), given.save_as.as_ref()];
    if texts.into_iter().flatten().any(|text| guarded.is_hidden_in(text)) {
        return Err("contains a secret that the plugin may not see, or an access token");
    }
    if given.rows.into_iter().chain(given.cols).any(|extent| extent > MAX_EXTENT) {
        return Err("has an absurd size");
    }
    if given
        .save_as
        .as_deref()
        .is_some_and(|name| !is_file_name(name) || name.chars().count() > MAX_FILE_NAME)
    {
        return Err("has a `save-as` that is not a plain file name");
    }
    Ok(Entry {
        name: given.name,
        kind,
        value: Secret::new(given.value),
        rows: given.rows,
        cols: given.cols,
        save_as: given.save_as,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secrets::GuardedSecret;
    use crate::secrets::guard::Guards;

    fn entry(name: &str) -> v0::service::Entry {
        v0::service::Entry {
            name: name.to_owned(),
            kind: "text".to_owned(),
            value: "value".to_owned(),
            rows: None,
            cols: None,
            save_as: None,
            secret: false,
            extra: Vec::new(),
        }
    }

    fn answer() -> v0::service::Issued {
        v0::service::Issued {
            entries: vec![entry("one"), entry("two")],
            state: "made".to_owned(),
            revoke_with: None,
            expires_at: None,
            extra: Vec::new(),
        }
    }

    /// The guard of a plugin with one secret that it may see and one that it may not.
    fn guard() -> Guard {
        let secret = |value: &str, reveal| GuardedSecret {
            name: "key".to_owned(),
            value: Arc::new(Secret::new(value)),
            bindings: Vec::new(),
            reveal,
            hmac: false,
        };
        let guard =
            Guards::default().of([secret("hunter22", false), secret("open sesame", true)].iter());
        guard.note_token(&Secret::new("the token of another user"));
        guard
    }

    fn check(given: v0::service::Issued) -> Result<CheckedOutcome, String> {
        issued(
            v0::service::Outcome::Issued(given),
            OutputLimits { entries: 3, bytes: 1000 },
            &Forbidden::new(&guard(), []),
        )
        .map_err(|failure| failure.what)
    }

    type Spoil = fn(&mut v0::service::Issued);

    #[test]
    fn a_good_answer_passes() {
        let mut given = answer();
        given.entries[1].kind = "textfile".to_owned();
        given.entries[1].value = "line\n\tline\n".to_owned();
        given.entries[1].save_as = Some("id_ed25519-cert.pub".to_owned());
        given.entries[1].secret = true;
        given.expires_at = Some(1_800_000_000);
        given.revoke_with = Some("only with this".to_owned());
        let checked = check(given).map_err(|_| ()).unwrap();
        let IssueOutcome::Issued(issued) = checked.outcome else { panic!() };
        assert_eq!(issued.entries.len(), 2);
        assert_eq!(issued.entries[1].kind, EntryKind::Textfile);
        assert_eq!(issued.expires_at, Some(Timestamp::from_secs(1_800_000_000)));
        let masked: Vec<&str> = checked.secrets.iter().filter_map(Secret::expose_str).collect();
        assert_eq!(masked, ["line\n\tline\n", "only with this"]);
    }

    #[test]
    fn every_fault_is_refused_and_named() {
        let cases: [(Spoil, &str); 36] = [
            (|a| a.state.clear(), "state is empty"),
            (|a| a.state = "x".repeat(MAX_STATE + 1), "state is longer"),
            (|a| a.state = "a\0b".to_owned(), "state has control"),
            (|a| a.state = "it is hunter22".to_owned(), "state contains a secret"),
            (|a| a.revoke_with = Some("x".repeat(MAX_REVOKE_WITH + 1)), "revoke-with"),
            (|a| a.expires_at = Some(0), "expires-at"),
            (|a| a.expires_at = Some(1_800_000_000_000), "expires-at"),
            (|a| a.entries = vec![entry("a"), entry("b"), entry("c"), entry("d")], "4 entries; 3"),
            (|a| a.entries[0].value = "x".repeat(1001), "bytes; 1000"),
            (|a| a.entries[1].name = "one".to_owned(), "entry 1 has the name of an earlier"),
            (|a| a.entries[0].name = " ".to_owned(), "entry 0 has a name"),
            (|a| a.entries[0].name = "a\nb".to_owned(), "entry 0 has a name"),
            (|a| a.entries[0].name = "x".repeat(MAX_ENTRY_NAME + 1), "entry 0 has a name"),
            (|a| a.entries[0].kind = "html".to_owned(), "kind"),
            (|a| a.entries[0].value = "two\nlines".to_owned(), "one line"),
            (
                |a| {
                    a.entries[0].kind = "textarea".to_owned();
                    a.entries[0].value = "\u{1b}[2J".to_owned()
                },
                "control",
            ),
            (|a| a.entries[0].rows = Some(u32::MAX), "size"),
            (|a| a.entries[0].save_as = Some("../x".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some("..".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some("a\nb".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some(".bashrc".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some("gpj.\u{202e}exe".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some("nul".to_owned()), "save-as"),
            (|a| a.entries[0].save_as = Some("x".repeat(MAX_FILE_NAME + 1)), "save-as"),
            (|a| a.state = "a\u{202e}b".to_owned(), "state has control"),
            (|a| a.state = "a\rb".to_owned(), "state has control"),
            (|a| a.state = "a\u{2028}b".to_owned(), "state has control"),
            (|a| a.entries[0].name = "a\u{2066}b".to_owned(), "entry 0 has a name"),
            (|a| a.entries[0].name = "a\u{2029}b".to_owned(), "entry 0 has a name"),
            (|a| a.entries[0].value = "a\u{200f}b".to_owned(), "turn text around"),
            (
                |a| {
                    a.entries[0].kind = "textfile".to_owned();
                    a.entries[0].value = "shown\rhidden".to_owned()
                },
                "control",
            ),
            (|a| a.entries[0].value = "it is hunter22".to_owned(), "may not see"),
            (|a| a.entries[0].name = "hunter22".to_owned(), "may not see"),
            (|a| a.entries[0].save_as = Some("hunter22.txt".to_owned()), "may not see"),
            (|a| a.entries[1].value = "the%20token%20of another user".to_owned(), "access token"),
            (|a| a.state = "aHVudGVyMjI=".to_owned(), "state contains a secret"),
        ];
        for (spoil, expected) in cases {
            let mut given = answer();
            spoil(&mut given);
            let why = check(given).map(|_| ()).unwrap_err();
            assert!(why.contains(expected), "{why} for {expected}");
            assert!(!why.contains("hunter22"), "{why}");
        }
    }

    #[test]
    fn a_refusal_is_cleaned_and_hides_nothing() {
        let said = |user: &str| v0::types::Refusal {
            user: user.to_owned(),
            log: String::new(),
            retry_after: Some(3),
        };
        let guard = guard();
        let secret = Secret::new("only of this call");
        let guarded = Forbidden::new(&guard, [&secret]);
        let refused = refusal(&said("no\n\u{1b}[31mway"), &guarded).unwrap();
        assert_eq!(refused.user, "no  [31mway");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(
            refusal(&said(&"ä".repeat(1000)), &guarded).unwrap().user.chars().count(),
            MAX_USER_TEXT
        );
        assert!(!refusal(&said(" "), &guarded).unwrap().user.is_empty());
        let leak = refusal(&said("your password hunter22 is wrong"), &guarded).unwrap_err();
        assert!(!leak.what.contains("hunter22"));
        assert!(refusal(&said("only of this call"), &guarded).is_err());
        assert!(
            refusal(&said("open sesame"), &guarded).is_err(),
            "no secret is shown in a refusal"
        );
        let hidden = format!("{}hunter22", "x".repeat(600));
        assert!(refusal(&said(&hidden), &guarded).is_err(), "also in the part that is cut off");
    }

    #[test]
    fn a_login_request_is_cleaned() {
        let login = |provider: &str, message: &str| {
            v0::service::Outcome::LoginRequired(v0::service::Login {
                provider: provider.to_owned(),
                message: message.to_owned(),
            })
        };
        let limits = OutputLimits::default();
        let guard = guard();
        let guarded = Forbidden::new(&guard, []);
        let Ok(CheckedOutcome {
            outcome: IssueOutcome::LoginRequired { provider, message }, ..
        }) = issued(login("op\n", "sign\nin"), limits, &guarded)
        else {
            panic!()
        };
        assert_eq!((provider.as_str(), message.as_str()), ("op", "sign in"));
        assert!(issued(login("op", "hunter22"), limits, &guarded).is_err());
        assert!(issued(login("op", "the token of another user"), limits, &guarded).is_err());
    }
}
