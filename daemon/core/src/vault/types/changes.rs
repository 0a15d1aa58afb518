//! What a change of a type's fields requires. Decided from the two definitions alone: where the
//! plan depends on stored values, it names what to look for.
//!
//! Never here: a record or a value.

use crate::error::RequestField;
use crate::field::Field;
use crate::model::credential_type::FormerField;

/// What has to be done when one definition replaces another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChangePlan {
    /// What must not change while there are sealed values: the change waits until it is known that
    /// there are none.
    pub(super) locked: Vec<LockedProperty>,
    /// Whether there may be plain values of fields that will be secure.
    pub(super) reseal: bool,
}

/// A property of a field that must stay as it is while the field has sealed values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockedProperty {
    pub(super) field: String,
    pub(super) property: FieldProperty,
}

/// A property of a field that sealed values can lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldProperty {
    /// Locked because a change of a type decrypts nothing.
    Secure,
    /// Locked because the next update has the plugin check what is stored. A caller who may not
    /// reveal a value could otherwise guess it: by changing what it is checked against, and seeing
    /// whether the update is refused.
    ValueType,
    /// Locked for the same reason as the type of the values.
    Choices,
    /// That the plugin fills a plain field. Locked by sealed values of any field, because a plugin
    /// sees them all: what it computes into a plain field tells of them without a reveal.
    Computed,
    /// Which plugin checks the values: a property of the type, not of one field. Locked by sealed
    /// values of any field: another plugin checks otherwise, and may compute otherwise.
    Plugin,
}

impl FieldProperty {
    /// The field of a request that asks to change it.
    pub(super) const fn field(self) -> RequestField {
        match self {
            Self::Secure => RequestField::Secure,
            Self::ValueType => RequestField::ValueType,
            Self::Choices => RequestField::Choices,
            Self::Computed => RequestField::Computed,
            Self::Plugin => RequestField::Plugin,
        }
    }

    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Secure => "There are secure values of this field: it stays secure.",
            Self::ValueType => {
                "There are secure values of this field, deleted credentials included: its type stays."
            }
            Self::Choices => {
                "There are secure values of this field, deleted credentials included: its choices stay."
            }
            Self::Computed => {
                "There are secure values of this type, deleted credentials included: no further plain field is computed of them."
            }
            Self::Plugin => {
                "There are secure values of this type, deleted credentials included: its plugin stays."
            }
        }
    }

    /// Whether values of deleted credentials lock it too. A value that is restored to a field that
    /// is plain by then is not shown; a value that is restored to a secure field is checked by the
    /// next update.
    pub(super) const fn is_locked_by_deleted(self) -> bool {
        !matches!(self, Self::Secure)
    }

    /// Whether sealed values of any field lock it.
    pub(super) const fn is_locked_by_any_field(self) -> bool {
        matches!(self, Self::Computed | Self::Plugin)
    }
}

impl LockedProperty {
    /// The plugin of the type.
    pub(super) fn plugin() -> Self {
        Self { field: String::new(), property: FieldProperty::Plugin }
    }
}

/// What the change from `old` to `new` requires. A field that is not in `old` may have existed
/// before, and have values that are not shown; `former` says what it was when it was last secure.
pub(super) fn plan_change(old: &[Field], former: &[FormerField], new: &[Field]) -> ChangePlan {
    let was_secure =
        |field: &Field| old.iter().find(|other| other.id == field.id).map(|other| other.secure);
    let opened = new.iter().filter(|field| !field.secure && was_secure(field) != Some(false));
    let opened = opened
        .map(|field| LockedProperty { field: field.id.clone(), property: FieldProperty::Secure });
    let rechecked = new.iter().filter(|field| field.secure).filter_map(|field| {
        let as_new = FormerField::from_field(field);
        let property = differing(&last_secure(old, former, field, &as_new)?, &as_new)?;
        Some(LockedProperty { field: field.id.clone(), property })
    });
    let is_computed_plain = |field: &&Field| field.computed && !field.secure;
    let was_computed = |id: &str| old.iter().filter(is_computed_plain).any(|other| other.id == id);
    let computed = new.iter().filter(is_computed_plain).filter(|field| !was_computed(&field.id));
    let computed = computed
        .map(|field| LockedProperty { field: field.id.clone(), property: FieldProperty::Computed });
    let reseal = new.iter().any(|field| field.secure && was_secure(field) != Some(true));
    ChangePlan { locked: opened.chain(rechecked).chain(computed).collect(), reseal }
}

/// The fields that were secure in `old` or before, and are not secure in `new`.
pub(super) fn former_fields(
    old: &[Field],
    former: &[FormerField],
    new: &[Field],
) -> Vec<FormerField> {
    let secure = |fields: &[Field]| {
        fields.iter().filter(|field| field.secure).map(FormerField::from_field).collect()
    };
    let (was, is): (Vec<_>, Vec<_>) = (secure(old), secure(new));
    let is_secure = |field: &FormerField| is.iter().any(|other| other.id == field.id);
    former.iter().cloned().chain(was).filter(|field| !is_secure(field)).collect()
}

/// What `new` was when it was last secure, if it ever was.
fn last_secure(
    old: &[Field],
    former: &[FormerField],
    new: &Field,
    as_new: &FormerField,
) -> Option<FormerField> {
    let present = old.iter().find(|other| other.id == new.id && other.secure);
    let present = present.map(FormerField::from_field);
    present.or_else(|| former.iter().find(|other| other.id == as_new.id).cloned())
}

fn differing(old: &FormerField, new: &FormerField) -> Option<FieldProperty> {
    if old.value_type != new.value_type {
        return Some(FieldProperty::ValueType);
    }
    (old.choices != new.choices).then_some(FieldProperty::Choices)
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
    fn every_change_of_secure_is_planned() {
        for (old, new, opened, reseal) in [
            (Some(false), Some(false), false, false),
            (Some(true), Some(true), false, false),
            (Some(false), Some(true), false, true),
            (Some(true), Some(false), true, false),
            (Some(true), None, false, false),
            (Some(false), None, false, false),
            // It may have existed before.
            (None, Some(true), false, true),
            (None, Some(false), true, false),
        ] {
            let one = |secure: Option<bool>| {
                definition(&secure.map(|secure| ("f", secure)).into_iter().collect::<Vec<_>>())
            };
            let locked = LockedProperty { field: "f".to_owned(), property: FieldProperty::Secure };
            let locked = opened.then_some(locked).into_iter().collect();
            let expected = ChangePlan { locked, reseal };
            assert_eq!(plan_change(&one(old), &[], &one(new)), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn order_names_and_the_rest_require_nothing() {
        let old = definition(&[("a", true), ("b", false)]);
        let mut new = definition(&[("b", false), ("a", true)]);
        new.iter_mut().for_each(|field| field.required = true);
        assert_eq!(plan_change(&old, &[], &new), ChangePlan::default());
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
    fn what_a_secure_field_is_checked_against_is_locked() {
        let (text, plain_text) = (definition(&[("f", true)]), definition(&[("f", false)]));
        let (narrow, wide) = (choice(true, &["1"]), choice(true, &["1", "2"]));
        for (old, new, property) in [
            (&text, &narrow, Some(FieldProperty::ValueType)),
            (&narrow, &text, Some(FieldProperty::ValueType)),
            (&narrow, &wide, Some(FieldProperty::Choices)),
            (&narrow, &narrow, None),
            // Plain values are no secret.
            (&plain_text, &narrow, None),
            (&plain_text, &choice(false, &["1"]), None),
        ] {
            let locked: Vec<_> = property
                .map(|property| LockedProperty { field: "f".into(), property })
                .into_iter()
                .collect();
            assert_eq!(plan_change(old, &[], new).locked, locked, "{old:?} {new:?}");
            // The same when the field is absent or plain in between.
            for between in [Vec::new(), plain_text.clone()] {
                let left = former_fields(old, &[], &between);
                let mut rechecked = plan_change(&between, &left, new).locked;
                rechecked.retain(|locked| locked.property != FieldProperty::Secure);
                assert_eq!(rechecked, locked, "{old:?} {between:?} {new:?}");
                assert_eq!(
                    former_fields(&between, &left, new).is_empty(),
                    new[0].secure || left.is_empty()
                );
            }
        }
    }
}
