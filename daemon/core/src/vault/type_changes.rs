//! What a change of a type's fields asks for. Decided from the two definitions alone; what is stored is looked at where the plan says so.

use super::field::Field;

/// What has to be seen to when one definition takes the place of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Fields that will be plain and may have sealed values: the change waits until it is known that there are none, for a schema change
    /// never decrypts.
    pub(crate) opening: Vec<String>,
    /// Whether there may be plain values of fields that will be secure.
    pub(crate) reseal: bool,
}

/// What it takes to get from `old` to `new`. A field that is not in `old` may have been there before, and have values out of sight.
pub(crate) fn plan(old: &[Field], new: &[Field]) -> Plan {
    let before = |field: &Field| old.iter().find(|other| other.id == field.id).map(|other| other.secure);
    let opening = new.iter().filter(|field| !field.secure && before(field) != Some(false));
    let reseal = new.iter().any(|field| field.secure && before(field) != Some(true));
    Plan { opening: opening.map(|field| field.id.clone()).collect(), reseal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::field::ValueType;

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
            let expected = Plan { opening: opening.then(|| "f".to_owned()).into_iter().collect(), reseal };
            assert_eq!(plan(&one(old), &one(new)), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn order_names_and_the_rest_ask_for_nothing() {
        let old = definition(&[("a", true), ("b", false)]);
        let mut new = definition(&[("b", false), ("a", true)]);
        new.iter_mut().for_each(|field| field.required = true);
        assert_eq!(plan(&old, &new), Plan::default());
    }
}
