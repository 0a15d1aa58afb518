//! The description of a plugin with settings.

use crate::field::Field;

/// Name, version and settings of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// 1 to 64 letters, digits, `-` or `_`. Credentials stay bound to it: a new name is another
    /// plugin.
    pub name: String,
    /// For people.
    pub version: String,
    /// Where its authors are reached.
    pub contact: Option<String>,
    /// The settings it knows.
    pub settings: Vec<Field>,
    /// Whether it takes settings beyond those.
    pub open_settings: bool,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Description {
    /// A plugin without settings.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            contact: None,
            settings: Vec::new(),
            open_settings: false,
            extra: Vec::new(),
        }
    }

    /// Where its authors are reached.
    #[must_use]
    pub fn contact(mut self, contact: impl Into<String>) -> Self {
        self.contact = Some(contact.into());
        self
    }

    /// One more setting.
    #[must_use]
    pub fn setting(mut self, field: Field) -> Self {
        self.settings.push(field);
        self
    }

    /// It takes settings beyond those listed.
    #[must_use]
    pub fn open_settings(mut self) -> Self {
        self.open_settings = true;
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}
