//! Keys of a section as rows of a table: the name of a key, the field that it sets, the values that
//! it takes and its documentation stand in one place.
//!
//! The default of a key is the value that its field has before the section is read. A test compares
//! names, defaults and documentation with the example.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::read::{Table, Value};

/// A key of a section that is read into an `S`.
pub(crate) struct Key<S: 'static> {
    pub(crate) name: &'static str,
    field: Field<S>,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the example"))]
    pub(crate) doc: &'static str,
}

/// The field that a key sets, and its bounds.
enum Field<S: 'static> {
    Duration(fn(&mut S) -> &mut Duration, RangeInclusive<Duration>),
    Count(fn(&mut S) -> &mut usize, RangeInclusive<u32>),
    Size(fn(&mut S) -> &mut u64, RangeInclusive<u64>),
    Flag(fn(&mut S) -> &mut bool),
}

impl<S> Key<S> {
    /// A key that takes a duration.
    pub(crate) const fn duration(
        name: &'static str,
        field: fn(&mut S) -> &mut Duration,
        bounds: RangeInclusive<Duration>,
        doc: &'static str,
    ) -> Self {
        Self { name, field: Field::Duration(field, bounds), doc }
    }

    /// A key that takes a whole number.
    pub(crate) const fn count(
        name: &'static str,
        field: fn(&mut S) -> &mut usize,
        bounds: RangeInclusive<u32>,
        doc: &'static str,
    ) -> Self {
        Self { name, field: Field::Count(field, bounds), doc }
    }

    /// A key that takes a size in bytes.
    pub(crate) const fn size(
        name: &'static str,
        field: fn(&mut S) -> &mut u64,
        bounds: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Self {
        Self { name, field: Field::Size(field, bounds), doc }
    }

    /// A key that takes `true` or `false`.
    pub(crate) const fn flag(
        name: &'static str,
        field: fn(&mut S) -> &mut bool,
        doc: &'static str,
    ) -> Self {
        Self { name, field: Field::Flag(field), doc }
    }

    fn read(&self, table: &Table<'_>, section: &mut S) {
        let name = self.name;
        match &self.field {
            Field::Duration(field, bounds) => {
                set(field(section), table.optional(name, |value| value.duration(bounds.clone())));
            }
            Field::Count(field, bounds) => {
                let count = table.optional(name, |value| value.count(bounds.clone()));
                set(field(section), count.and_then(|count| usize::try_from(count).ok()));
            }
            Field::Size(field, bounds) => {
                set(field(section), table.optional(name, |value| value.size(bounds.clone())));
            }
            Field::Flag(field) => set(field(section), table.optional(name, Value::flag)),
        }
    }

    /// The value of the key in `section`, as the configuration spells it.
    #[cfg(test)]
    pub(crate) fn spelled(&self, section: &mut S) -> String {
        use super::units::{show_duration, show_size};
        match &self.field {
            Field::Duration(field, _) => format!("{:?}", show_duration(*field(section))),
            Field::Count(field, _) => field(section).to_string(),
            Field::Size(field, _) => format!("{:?}", show_size(*field(section))),
            Field::Flag(field) => field(section).to_string(),
        }
    }
}

/// Reads every key of `keys` that is set in `table` into `section`.
pub(crate) fn read<S>(keys: &[Key<S>], table: &Table<'_>, section: &mut S) {
    for key in keys {
        key.read(table, section);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
