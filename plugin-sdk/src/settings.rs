//! Reading the settings that the configuration gave to a plugin.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::field::Field;
use crate::from_text::FromText;
use crate::imports;
use crate::problem::FieldProblem;
use crate::secret::Secret;

/// The settings of one service or directory, and the faults that were found while reading them.
///
/// Read everything first, then use `?`: then an admin gets all faults at once.
///
/// ```no_run
/// # use credsmith_plugin_sdk::prelude::*;
/// # struct Plugin { api: String, key: Secret }
/// # impl Plugin {
/// fn configure(settings: &Settings) -> Result<Self, Noted> {
///     let api = settings.get("api");
///     let key = settings.get("key");
///     Ok(Self { api: api?, key: key? })
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Settings {
    defaults: BTreeMap<String, String>,
    faults: RefCell<Vec<FieldProblem>>,
}

/// A fault was noted in the [`Settings`]: proof that the daemon will report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted(());

impl Settings {
    /// The settings of this call; `fields` are those of the description and bring the defaults.
    pub(crate) fn new(fields: &[Field]) -> Self {
        let defaults = fields
            .iter()
            .filter_map(|field| Some((field.key.clone(), field.default.clone()?)))
            .collect();
        Self { defaults, faults: RefCell::default() }
    }

    /// Every key that is set, also those beyond the description where it has `open_settings`.
    pub fn names(&self) -> Vec<String> {
        imports::settings::names()
    }

    /// Reads one setting: text, number, yes or no, [`Duration`], list, map, any JSON, [`Secret`], a
    /// signing key, or an `Option` of these. A setting that is not there takes the default of its
    /// description.
    ///
    /// # Errors
    /// [`Noted`]: it is missing or not of that type.
    pub fn get<T: FromSetting>(&self, key: &str) -> Result<T, Noted> {
        T::read(self, key).map_err(|message| self.fault(FieldProblem::at(key, message)))
    }

    /// As [`get`](Self::get), and then a check or conversion of the plugin's own.
    ///
    /// # Errors
    /// [`Noted`]: as with [`get`](Self::get), or the check found a fault.
    pub fn parse<T: FromSetting, U>(
        &self,
        key: &str,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<U, Noted> {
        check(self.get(key)?).map_err(|message| self.fault(FieldProblem::at(key, message)))
    }

    /// Notes a fault.
    pub fn fault(&self, fault: FieldProblem) -> Noted {
        self.faults.borrow_mut().push(fault);
        Noted(())
    }

    /// The faults that were noted so far.
    pub(crate) fn into_faults(self) -> Vec<FieldProblem> {
        self.faults.into_inner()
    }

    fn text(&self, key: &str) -> Option<String> {
        imports::settings::get(key).or_else(|| self.defaults.get(key).cloned())
    }
}

/// Types that [`Settings::get`] can read.
pub trait FromSetting: Sized {
    /// Reads `key`.
    ///
    /// # Errors
    /// The fault, as the rest of a sentence that begins with the key.
    fn read(settings: &Settings, key: &str) -> Result<Self, String>;

    /// Whether the setting is there.
    fn is_there(settings: &Settings, key: &str) -> bool {
        settings.text(key).is_some()
    }
}

pub(crate) const MISSING: &str = "is missing";

impl<T: FromText> FromSetting for T {
    fn read(settings: &Settings, key: &str) -> Result<Self, String> {
        settings.text(key).ok_or(MISSING).map_err(String::from).and_then(|text| T::from_text(&text))
    }
}

impl FromSetting for Duration {
    fn read(settings: &Settings, key: &str) -> Result<Self, String> {
        let seconds = f64::read(settings, key).ok();
        seconds
            .and_then(|seconds| Self::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| "is missing or is no duration".into())
    }
}

impl FromSetting for Vec<String> {
    fn read(settings: &Settings, key: &str) -> Result<Self, String> {
        from_json(settings, key, "is no list of texts")
    }
}

impl FromSetting for BTreeMap<String, String> {
    fn read(settings: &Settings, key: &str) -> Result<Self, String> {
        from_json(settings, key, "is no table of texts")
    }
}

fn from_json<T: serde::de::DeserializeOwned>(
    settings: &Settings,
    key: &str,
    otherwise: &str,
) -> Result<T, String> {
    let text = settings.text(key).ok_or(MISSING)?;
    serde_json::from_str(&text).map_err(|_| otherwise.into())
}

impl FromSetting for Secret {
    fn read(_: &Settings, key: &str) -> Result<Self, String> {
        imports::settings::get_secret(key).map(Self).ok_or_else(|| MISSING.into())
    }

    fn is_there(_: &Settings, key: &str) -> bool {
        imports::settings::get_secret(key).is_some()
    }
}

impl<T: FromSetting> FromSetting for Option<T> {
    fn read(settings: &Settings, key: &str) -> Result<Self, String> {
        if T::is_there(settings, key) { T::read(settings, key).map(Some) } else { Ok(None) }
    }
}
