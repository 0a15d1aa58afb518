//! The values of one credential on their way through a plugin: read by their definition, all faults
//! collected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::kinds;
use crate::field::Field;
use crate::problem::FieldProblem;

pub use credsmith_contract::limits::MAX_VALUE;

/// The values of one credential. Reading them checks each against the kind of its field; a plugin
/// adds what it alone knows.
///
/// Every fault is collected, at most one for each field. No message quotes a value.
///
/// ```
/// use credsmith_plugin_sdk::Field;
/// use credsmith_plugin_sdk::credential_type::Values;
///
/// let definition = [Field::text("serial").required(), Field::text("year").computed()];
/// let sent = vec![("serial".into(), "2026-17".into())];
/// let mut values = Values::read(&definition, sent, &["year"]);
/// let year = values.parse("serial", |serial| {
///     let parts = serial.split_once('-').ok_or("expected a year, `-` and a number")?;
///     Ok(parts.0.to_owned())
/// });
/// if let Some(year) = year {
///     values.compute("year", year);
/// }
/// let normal = values.finish();
/// # assert_eq!(normal.unwrap()[1], ("year".to_owned(), "2026".to_owned()));
/// ```
pub struct Values<'d> {
    definition: &'d [Field],
    /// By field, those that are sound so far.
    sound: BTreeMap<&'d str, String>,
    problems: BTreeMap<String, String>,
}

/// Without values: they may be secrets.
impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl<'d> Values<'d> {
    /// Reads `given` by `definition`. `computes`: the fields that this plugin fills in, where a
    /// type has them.
    ///
    /// An empty value counts as missing. A value that is given for a computed field is dropped: the
    /// plugin computes it again.
    pub fn read(definition: &'d [Field], given: Vec<(String, String)>, computes: &[&str]) -> Self {
        let mut values = Self { definition, sound: BTreeMap::new(), problems: BTreeMap::new() };
        for field in definition {
            match (field.computed, computes.contains(&field.key.as_str())) {
                (true, false) => {
                    values.problem(&field.key, "cannot be computed by the plugin of this type")
                }
                (false, true) => {
                    values.problem(&field.key, "has to be a computed field of the type")
                }
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        for (key, value) in given {
            if seen.insert(key.clone()) {
                values.take(&key, value);
            } else {
                values.problem(&key, "is given twice");
            }
        }
        values.require(definition.iter().filter(|field| field.required && !field.computed));
        values
    }

    fn take(&mut self, key: &str, value: String) {
        let Some(field) = self.field(key) else {
            return self.problem(key, "is not a field of this type");
        };
        if value.is_empty() || field.computed {
            return;
        }
        match sound(field, value) {
            Ok(value) => {
                self.sound.insert(&field.key, value);
            }
            Err(why) => self.problem(key, why),
        }
    }

    fn require<'f>(&mut self, fields: impl Iterator<Item = &'f Field>) {
        for field in fields {
            if !self.sound.contains_key(field.key.as_str()) {
                self.problem(&field.key, "is required");
            }
        }
    }

    fn field(&self, key: &str) -> Option<&'d Field> {
        self.definition.iter().find(|field| field.key == key)
    }

    /// The type has to have this field, and to keep it sealed.
    pub fn expect_secure(&mut self, key: &str) {
        match self.field(key) {
            None => self.problem(key, "has to be a field of the type"),
            Some(field) if !field.secure => {
                self.problem(key, "has to be a secure field of the type")
            }
            Some(_) => {}
        }
    }

    /// The type has to have this field.
    pub fn expect(&mut self, key: &str) {
        if self.field(key).is_none() {
            self.problem(key, "has to be a field of the type");
        }
    }

    /// Whether the type has this field.
    pub fn defines(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    /// The value, if it is there and sound so far.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.sound.get(key).map(String::as_str)
    }

    /// Reads a value further, if it is there and sound so far.
    pub fn parse<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match read(self.get(key)?) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.problem(key, why);
                None
            }
        }
    }

    /// Puts another spelling in place of a value that is there.
    pub fn replace(&mut self, key: &str, value: impl Into<String>) {
        if let Some(old) = self.sound.get_mut(key) {
            *old = value.into();
        }
    }

    /// Fills in a computed field, if the type has it.
    pub fn compute(&mut self, key: &str, value: impl Into<String>) {
        if let Some(field) = self.field(key).filter(|field| field.computed) {
            self.sound.insert(&field.key, value.into());
        }
    }

    /// Notes a fault at a field. `message` says what was expected, and quotes nothing. The first
    /// fault of a field is the one that is reported.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.sound.remove(key);
        self.problems.entry(key.to_owned()).or_insert_with(|| message.into());
    }

    /// The whole credential, in the order of the definition.
    ///
    /// # Errors
    /// The faults.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        if !self.problems.is_empty() {
            return Err(self
                .problems
                .into_iter()
                .map(|(key, why)| FieldProblem::at(key, why))
                .collect());
        }
        let ordered = self.definition.iter().filter_map(|field| {
            self.sound.remove(field.key.as_str()).map(|value| (field.key.clone(), value))
        });
        Ok(ordered.collect())
    }
}

fn sound(field: &Field, value: String) -> Result<String, String> {
    if value.len() > MAX_VALUE {
        return Err(format!("expected at most {MAX_VALUE} bytes"));
    }
    kinds::normal(field, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn problems(values: Values<'_>) -> Vec<String> {
        values.finish().unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn definition() -> [Field; 4] {
        [
            Field::text("name").required(),
            Field::password("password").secure(),
            Field::number("age"),
            Field::text("length").computed().required(),
        ]
    }

    #[test]
    fn a_credential_comes_back_in_the_order_of_its_type() {
        let definition = definition();
        let given =
            pairs(&[("age", "7"), ("length", "forged"), ("password", ""), ("name", "alice")]);
        let mut values = Values::read(&definition, given, &["length"]);
        assert_eq!(
            (values.get("name"), values.get("password"), values.get("length")),
            (Some("alice"), None, None)
        );
        values.replace("name", "Alice");
        values.replace("password", "not there, so not put there");
        values.compute("length", "5");
        values.compute("age", "only computed fields are filled in");
        values.compute("elsewhere", "no such field");
        assert_eq!(
            values.finish().unwrap(),
            pairs(&[("name", "Alice"), ("age", "7"), ("length", "5")])
        );
    }

    #[test]
    fn all_faults_are_told_at_once_and_once() {
        let definition = definition();
        let given = pairs(&[
            ("name", ""),
            ("age", "old"),
            ("other", "x"),
            ("password", "a"),
            ("password", "b"),
        ]);
        let mut values = Values::read(&definition, given, &["length"]);
        values.problem("age", "is a second fault, which is dropped");
        values.expect("name");
        values.expect("site");
        values.expect_secure("password");
        values.expect_secure("seed");
        assert_eq!(values.parse("age", |_| Ok(())), None, "a faulty value is not read further");
        assert_eq!(
            problems(values),
            [
                "`age` expected a decimal number, such as 5 or -1.5",
                "`name` is required",
                "`other` is not a field of this type",
                "`password` is given twice",
                "`seed` has to be a field of the type",
                "`site` has to be a field of the type",
            ]
        );
        let mut plain = Values::read(&definition, pairs(&[("name", "a")]), &["length"]);
        plain.expect_secure("name");
        assert_eq!(problems(plain), ["`name` has to be a secure field of the type"]);
    }

    #[test]
    fn only_what_the_plugin_computes_is_computed() {
        let definition = [Field::text("a").computed(), Field::text("b")];
        assert_eq!(
            problems(Values::read(&definition, Vec::new(), &["b"])),
            [
                "`a` cannot be computed by the plugin of this type",
                "`b` has to be a computed field of the type"
            ]
        );
    }

    #[test]
    fn a_value_has_at_most_sixteen_kibibytes() {
        let definition = [Field::text("a")];
        let read = |bytes| Values::read(&definition, pairs(&[("a", &"x".repeat(bytes))]), &[]);
        assert!(read(MAX_VALUE).finish().is_ok());
        assert_eq!(problems(read(MAX_VALUE + 1)), ["`a` expected at most 16384 bytes"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let definition = [Field::password("a")];
        let values = Values::read(&definition, pairs(&[("a", "hunter2")]), &[]);
        assert!(!format!("{values:?}").contains("hunter2"));
    }
}
