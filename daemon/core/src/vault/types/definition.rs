//! Checks the definition of a type: every problem of it, with its path.
//!
//! Never here: a type that is stored.

use std::collections::BTreeSet;

use crate::error::{RequestField, Segment};
use crate::field::{Field, MAX_FIELDS, ValueType};
use crate::text;
use crate::vault::draft::{FieldDraft, Problems};

/// Longest name of anything in the vault, in characters.
pub(super) const MAX_NAME_CHARS: usize = 200;
/// Longest id of a field.
const MAX_FIELD_ID: usize = 64;
/// Longest permission that narrows a type.
const MAX_SCOPE: usize = 128;
/// Most choices of a field, and the longest of them in characters.
const MAX_CHOICES: usize = 200;
/// Permissions of the daemon itself begin with these words: a scope must not.
const RESERVED_PREFIXES: [&str; 4] = ["user.", "company.", "credential.", "credential_type."];

/// A name as it is stored: trimmed, 1 to 200 characters, none of which breaks the line or changes
/// the direction of the text around it.
pub(in crate::vault) fn parse_name(
    problems: &mut Problems,
    path: &[Segment],
    given: &str,
) -> Option<String> {
    let name = given.trim();
    let length = name.chars().count();
    let message = match length {
        0 => "This is required.",
        1..=MAX_NAME_CHARS if !name.chars().any(text::is_unfit_for_names) => {
            return Some(name.to_owned());
        }
        1..=MAX_NAME_CHARS => {
            "Expected a name without control characters and without any that turn text around."
        }
        _ => "Expected at most 200 characters.",
    };
    problems.add(path.iter().cloned(), message);
    None
}

/// The permission that the credentials of a type need.
pub(super) fn parse_scope(problems: &mut Problems, given: &str) -> Option<String> {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let message = if given.len() > MAX_SCOPE {
        "Expected at most 128 characters."
    } else if !given.contains('.') || !given.split('.').all(is_word) {
        "Expected words of a-z, 0-9 and _ with dots between them, like aws.credentials."
    } else if RESERVED_PREFIXES.iter().any(|space| given.starts_with(space)) {
        "A scope does not begin with user, company, credential or credential_type."
    } else {
        return Some(given.to_owned());
    };
    problems.add([RequestField::PermissionScope.into()], message);
    None
}

/// The fields of a type; `None` when there is a problem. Every problem is added to `problems`.
pub(super) fn parse_fields(
    problems: &mut Problems,
    given: &[Option<FieldDraft>],
) -> Option<Vec<Field>> {
    if given.len() > MAX_FIELDS {
        problems
            .add([RequestField::Fields.into()], format!("Expected at most {MAX_FIELDS} fields."));
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut fields = Vec::with_capacity(given.len());
    for (index, draft) in given.iter().enumerate() {
        let Some(draft) = draft else { continue };
        let mut at = FieldProblems { problems, index };
        if let Some(id) = draft.id.as_deref().filter(|id| !seen.insert(*id)) {
            at.problem(RequestField::Id, format!("The type has a field {id} already.").as_str());
        }
        fields.extend(parse_field(&mut at, draft));
    }
    (fields.len() == given.len()).then_some(fields)
}

/// The problems of one field of the draft.
struct FieldProblems<'a> {
    problems: &'a mut Problems,
    index: usize,
}

impl FieldProblems<'_> {
    fn path(&self, field: RequestField) -> [Segment; 3] {
        [RequestField::Fields.into(), self.index.into(), field.into()]
    }

    fn problem(&mut self, field: RequestField, message: &str) {
        let path = self.path(field);
        self.problems.add(path, message);
    }
}

fn parse_field(at: &mut FieldProblems<'_>, draft: &FieldDraft) -> Option<Field> {
    let id = draft.id.as_deref().and_then(|id| parse_field_id(at, id));
    let path = at.path(RequestField::Name);
    let name = draft.name.as_deref().and_then(|given| parse_name(at.problems, &path, given));
    let value_type = draft.value_type.as_deref().and_then(|word| parse_value_type(at, word));
    let computed = draft.computed.unwrap_or(false);
    if computed && draft.required == Some(true) {
        at.problem(RequestField::Required, "A computed field is never required.");
        return None;
    }
    let choices = parse_choices(at, draft, value_type)?;
    Some(Field {
        id: id?,
        name: name?,
        required: draft.required?,
        secure: draft.secure?,
        value_type: value_type?,
        choices,
        computed,
    })
}

fn parse_field_id(at: &mut FieldProblems<'_>, id: &str) -> Option<String> {
    let fits = id.len() <= MAX_FIELD_ID
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        return Some(id.to_owned());
    }
    at.problem(RequestField::Id, "Expected a letter, then letters, digits and _, 64 at most.");
    None
}

fn parse_value_type(at: &mut FieldProblems<'_>, word: &str) -> Option<ValueType> {
    let found = ValueType::parse(word);
    if found.is_none() {
        let names: Vec<_> = ValueType::ALL.iter().map(|known| known.as_str()).collect();
        at.problem(RequestField::ValueType, &format!("Expected one of {}.", names.join(", ")));
    }
    found
}

/// The choices of a field: some for a choice, none for anything else.
fn parse_choices(
    at: &mut FieldProblems<'_>,
    draft: &FieldDraft,
    value_type: Option<ValueType>,
) -> Option<Vec<String>> {
    let given = draft.choices.as_deref().unwrap_or_default();
    let is_choice = value_type == Some(ValueType::Choice);
    let fits = |choice: &str| {
        let length = choice.chars().count();
        (1..=MAX_NAME_CHARS).contains(&length) && !choice.chars().any(text::is_unfit_for_names)
    };
    let choices: Vec<String> = given.iter().flatten().cloned().collect();
    let distinct: BTreeSet<&str> = choices.iter().map(String::as_str).collect();
    let message = match (is_choice, given.len()) {
        (false, 0) => return Some(Vec::new()),
        // The value type is invalid, and reported already.
        (false, _) if value_type.is_none() => return None,
        (false, _) => "Only a choice has choices.",
        (true, 0) => "A choice needs choices.",
        (true, MAX_CHOICES..) => "Expected fewer than 200 choices.",
        (true, _) if distinct.len() != choices.len() => "Expected choices that differ.",
        (true, _) if !choices.iter().all(|choice| fits(choice)) => {
            "Expected choices of 1 to 200 characters on one line."
        }
        (true, given) => return (given == choices.len()).then_some(choices),
    };
    at.problem(RequestField::Choices, message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldProblem;

    fn draft(id: &str) -> FieldDraft {
        FieldDraft {
            id: Some(id.into()),
            name: Some("Name".into()),
            required: Some(false),
            secure: Some(false),
            value_type: Some("plain_text".into()),
            ..FieldDraft::default()
        }
    }

    fn paths(problems: Problems) -> Vec<String> {
        problems.into_error().fields().iter().map(FieldProblem::place).collect()
    }

    fn places(given: &[Option<FieldDraft>]) -> Vec<String> {
        let mut problems = Problems::default();
        let fields = parse_fields(&mut problems, given);
        assert_eq!(fields.is_none(), !problems.is_empty() || given.contains_none());
        paths(problems)
    }

    trait ContainsNone {
        fn contains_none(&self) -> bool;
    }

    impl ContainsNone for [Option<FieldDraft>] {
        fn contains_none(&self) -> bool {
            self.iter().any(Option::is_none)
        }
    }

    #[test]
    fn valid_fields_pass() {
        let all = ValueType::ALL.iter().enumerate().map(|(index, kind)| {
            let choices = (*kind == ValueType::Choice).then(|| vec![Some("red".to_owned())]);
            Some(FieldDraft {
                value_type: Some(kind.as_str().into()),
                choices,
                ..draft(&format!("f{index}"))
            })
        });
        let all: Vec<_> = all.collect();
        let mut problems = Problems::default();
        let fields = parse_fields(&mut problems, &all).unwrap();
        assert!(problems.is_empty());
        let kinds: Vec<_> = fields.iter().map(|field| field.value_type).collect();
        assert_eq!(kinds, ValueType::ALL);
    }

    #[test]
    fn every_problem_of_every_field_is_reported() {
        let given = [
            Some(FieldDraft { value_type: Some("hologram".into()), ..draft("1a") }),
            Some(draft("twice")),
            Some(FieldDraft { name: Some(" \t ".into()), ..draft("twice") }),
            Some(FieldDraft { computed: Some(true), required: Some(true), ..draft("c") }),
            Some(FieldDraft { choices: Some(vec![Some("x".into())]), ..draft("d") }),
            Some(FieldDraft { value_type: Some("choice".into()), ..draft("e") }),
            Some(FieldDraft {
                value_type: Some("choice".into()),
                choices: Some(vec![Some("x".into()), Some("x".into())]),
                ..draft("f")
            }),
            None,
        ];
        assert_eq!(
            places(&given),
            [
                "fields.0.id",
                "fields.0.value_type",
                "fields.2.id",
                "fields.2.name",
                "fields.3.required",
                "fields.4.choices",
                "fields.5.choices",
                "fields.6.choices",
            ]
        );
    }

    #[test]
    fn there_are_at_most_64() {
        let some =
            |count: usize| (0..count).map(|n| Some(draft(&format!("f{n}")))).collect::<Vec<_>>();
        assert_eq!(places(&some(64)), [""; 0]);
        assert_eq!(places(&some(65)), ["fields"]);
    }

    /// Attack: a type that takes a permission of the daemon as its scope, or all of them.
    #[test]
    fn scopes_are_words_outside_of_the_reserved_ones() {
        for good in ["aws.credentials", "a_1.b.c", "users.x", "credentials.x"] {
            let mut problems = Problems::default();
            assert_eq!(parse_scope(&mut problems, good).as_deref(), Some(good));
        }
        let long = format!("a.{}", "b".repeat(127));
        for bad in [
            "",
            "aws",
            "aws.",
            ".aws",
            "aws..x",
            "aws.*",
            "*",
            "Aws.x",
            "user.update",
            "company.fetch",
            "credential.fetch",
            "credential_type.x",
            "a b.c",
            long.as_str(),
        ] {
            let mut problems = Problems::default();
            assert_eq!(parse_scope(&mut problems, bad), None, "{bad}");
            assert_eq!(paths(problems), ["permission_scope"]);
        }
    }

    /// Attack: a name that looks like another, or breaks out of its line.
    #[test]
    fn names_are_trimmed_lines() {
        let checked =
            |given: &str| parse_name(&mut Problems::default(), &[RequestField::Name.into()], given);
        assert_eq!(checked("  AWS "), Some("AWS".to_owned()));
        assert_eq!(checked(&"ä".repeat(200)).map(|name| name.len()), Some(400));
        for bad in ["", "  ", "a\nb", "a\0", "a\u{202e}b", &"ä".repeat(201)] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
    }
}
