//! What a change of a type's fields asks for. Decided from the two definitions alone; what is
//! stored is looked at where the plan says so.

use crate::error::RequestField;
use crate::field::Field;
use crate::model::credential_type::Former;

/// What has to be seen to when one definition takes the place of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What must not change while there are sealed values: the change waits until it is known that
    /// there are none.
    pub(crate) held: Vec<Held>,
    /// Whether there may be plain values of fields that will be secure.
    pub(crate) reseal: bool,
}

/// Something about a field that its sealed values hold as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) field: String,
    pub(crate) part: Part,
}

/// What of a field is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A schema change never decrypts.
    Secure,
    /// The next update has the plugin judge what is stored. Whoever could change what it is judged
    /// by would learn by guesses what they may not reveal.
    ValueType,
    /// As the type of its values.
    Choices,
}

impl Part {
    /// The field of a request that asks to change it.
    pub(crate) const fn field(self) -> RequestField {
        match self {
            Self::Secure => RequestField::Secure,
            Self::ValueType => RequestField::ValueType,
            Self::Choices => RequestField::Choices,
        }
    }

    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Secure => "There are secure values of this field: it stays secure.",
            Self::ValueType => {
                "There are secure values of this field, deleted credentials included: its type stays."
            }
            Self::Choices => {
                "There are secure values of this field, deleted credentials included: its choices stay."
            }
        }
    }

    /// Whether values of deleted credentials hold it too. One that returns to a field that is plain
    /// now stays out of sight; to one that is secure, it would be judged.
    pub(crate) const fn is_held_by_deleted(self) -> bool {
        !matches!(self, Self::Secure)
    }
}

/// What it takes to get from `old` to `new`. A field that is not in `old` may have been there
/// before, and have values out of sight; what it was when it was last secure is among the `former`.
pub(crate) fn plan(old: &[Field], former: &[Former], new: &[Field]) -> Plan {
    let before =
        |field: &Field| old.iter().find(|other| other.id == field.id).map(|other| other.secure);
    let opening = new.iter().filter(|field| !field.secure && before(field) != Some(false));
    let opening = opening.map(|field| Held { field: field.id.clone(), part: Part::Secure });
    let judged = new.iter().filter(|field| field.secure).filter_map(|field| {
        let as_new = Former::of(field);
        let part = differing(&last_secure(old, former, field, &as_new)?, &as_new)?;
        Some(Held { field: field.id.clone(), part })
    });
    let reseal = new.iter().any(|field| field.secure && before(field) != Some(true));
    Plan { held: opening.chain(judged).collect(), reseal }
}

/// What was secure by `old` or before, and is not by `new`.
pub(crate) fn former(old: &[Field], former: &[Former], new: &[Field]) -> Vec<Former> {
    let secure =
        |fields: &[Field]| fields.iter().filter(|field| field.secure).map(Former::of).collect();
    let (was, is): (Vec<_>, Vec<_>) = (secure(old), secure(new));
    let is_secure = |field: &Former| is.iter().any(|other| other.id == field.id);
    former.iter().cloned().chain(was).filter(|field| !is_secure(field)).collect()
}

/// What `new` was when it was secure last, if it ever was.
fn last_secure(old: &[Field], former: &[Former], new: &Field, as_new: &Former) -> Option<Former> {
    let present = old.iter().find(|other| other.id == new.id && other.secure).map(Former::of);
    present.or_else(|| former.iter().find(|other| other.id == as_new.id).cloned())
}

fn differing(old: &Former, new: &Former) -> Option<Part> {
    if old.value_type != new.value_type {
        return Some(Part::ValueType);
    }
    (old.choices != new.choices).then_some(Part::Choices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::ValueType;

    fn definition(fields: &[(&str, bool)]) -> Vec<Field> {
        let field = |(id, secure): &(&str, bool)| Field {
            id: (*id).into(),
            name: (*id).into(),
            required: false,
            secure: *secure,
            value_type: ValueType::PlainText,
            choices: Vec::new(),
            computed: false,
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn every_way_of_a_field_is_judged() {
        for (old, new, opening, reseal) in [
            (Some(false), Some(false), false, false),
            (Some(true), Some(true), false, false),
            (Some(false), Some(true), false, true),
            (Some(true), Some(false), true, false),
            (Some(true), None, false, false),
            (Some(false), None, false, false),
            // It may have been there before.
            (None, Some(true), false, true),
            (None, Some(false), true, false),
        ] {
            let one = |secure: Option<bool>| {
                definition(&secure.map(|secure| ("f", secure)).into_iter().collect::<Vec<_>>())
            };
            let held = Held { field: "f".to_owned(), part: Part::Secure };
            let expected = Plan { held: opening.then_some(held).into_iter().collect(), reseal };
            assert_eq!(plan(&one(old), &[], &one(new)), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn order_names_and_the_rest_ask_for_nothing() {
        let old = definition(&[("a", true), ("b", false)]);
        let mut new = definition(&[("b", false), ("a", true)]);
        new.iter_mut().for_each(|field| field.required = true);
        assert_eq!(plan(&old, &[], &new), Plan::default());
    }

    fn choice(secure: bool, choices: &[&str]) -> Vec<Field> {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        let value_type = ValueType::Choice;
        definition(&[("f", secure)])
            .into_iter()
            .map(|field| Field { value_type, choices: Vec::clone(&choices), ..field })
            .collect()
    }

    #[test]
    fn what_a_secure_field_is_judged_by_is_held() {
        let (text, plain_text) = (definition(&[("f", true)]), definition(&[("f", false)]));
        let (narrow, wide) = (choice(true, &["1"]), choice(true, &["1", "2"]));
        for (old, new, part) in [
            (&text, &narrow, Some(Part::ValueType)),
            (&narrow, &text, Some(Part::ValueType)),
            (&narrow, &wide, Some(Part::Choices)),
            (&narrow, &narrow, None),
            // Plain values are no secret.
            (&plain_text, &narrow, None),
            (&plain_text, &choice(false, &["1"]), None),
        ] {
            let held: Vec<_> =
                part.map(|part| Held { field: "f".into(), part }).into_iter().collect();
            assert_eq!(plan(old, &[], new).held, held, "{old:?} {new:?}");
            // By way of no field, and of a plain one.
            for between in [Vec::new(), plain_text.clone()] {
                let left = former(old, &[], &between);
                let Plan { held: now, .. } = plan(&between, &left, new);
                let judged: Vec<_> =
                    now.into_iter().filter(|held| held.part != Part::Secure).collect();
                assert_eq!(judged, held, "{old:?} {between:?} {new:?}");
                assert_eq!(
                    former(&between, &left, new).is_empty(),
                    new[0].secure || left.is_empty()
                );
            }
        }
    }
}
