//! Where companies come from, as a plugin: it walks a directory page by page, and looks up what the
//! directory knows of one company.
//!
//! A directory has settings, secrets and http, as a service has; users do not sign in to it, so it
//! sees none. Build such a plugin with `default-features = false` and the feature `directory`.

use crate::description::Description;
use crate::refusal::Refusal;
use crate::settings::{Noted, Settings};

/// A directory plugin. The implementing type is the configured directory; a new one is made for
/// every call, so it keeps nothing.
///
/// ```
/// use credsmith_plugin_sdk::directory::{Company, Directory, Page};
/// use credsmith_plugin_sdk::{Description, Field, Noted, Refusal, Settings};
/// use credsmith_plugin_sdk::{export_directory, http};
/// use serde::Deserialize;
///
/// struct Plugin { api: String }
///
/// #[derive(Deserialize)]
/// struct Row { id: u64, short: String, name: String }
///
/// impl Directory for Plugin {
///     fn describe() -> Description {
///         Description::new("plugin", "1.0.0").setting(Field::url("api").required())
///     }
///     fn configure(settings: &Settings) -> Result<Self, Noted> {
///         settings.get("api").map(|api| Self { api })
///     }
///     fn companies(&self, cursor: Option<&str>) -> Result<Page, Refusal> {
///         let after = http::segment(cursor.unwrap_or("0"));
///         let url = format!("{}/companies?after={after}", self.api);
///         let rows: Vec<Row> = http::get(url).send()?.success()?.json()?;
///         let next = rows.last().map(|row| row.id.to_string());
///         let company = |row: Row| Company::new(row.id.to_string(), row.short, row.name);
///         Ok(Page::new(rows.into_iter().map(company)).next(next))
///     }
///     fn configurations(&self, company_id: &str) -> Result<String, Refusal> {
///         let id = http::segment(company_id);
///         let url = format!("{}/companies/{id}/configurations", self.api);
///         Ok(http::get(url).send()?.success()?.text())
///     }
/// }
/// export_directory!(Plugin);
/// # fn main() {}
/// ```
pub trait Directory: Sized {
    /// Describes the plugin and the settings it takes. Pure: the same at every call, from nothing
    /// but code.
    fn describe() -> Description;

    /// Makes the configured directory. Runs at load and before each call, without http.
    ///
    /// # Errors
    /// [`Noted`], when some setting is wrong; the faults themselves are in `settings`.
    fn configure(settings: &Settings) -> Result<Self, Noted>;

    /// The part of the walk over all companies that begins at `cursor`, `None` being the first. The
    /// daemon goes on with [`Page::next`] until that is `None`: then, and only then, it knows all
    /// companies, and which of them are gone.
    ///
    /// # Errors
    /// A refusal. With `retry_after` the daemon asks again with the same cursor; without, the walk
    /// is over and changes nothing.
    fn companies(&self, cursor: Option<&str>) -> Result<Page, Refusal>;

    /// Returns the configurations of a company, as JSON text. A user waits
    /// for it.
    ///
    /// # Errors
    /// A refusal.
    fn configurations(&self, company_id: &str) -> Result<String, Refusal>;
}

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Company {
    /// The directory's own id, which never changes: the daemon identifies a company by it. One to
    /// 128 bytes of one line.
    pub id: String,
    /// Its short name. One to 256 bytes of one line.
    pub identifier: String,
    /// Its name. One to 1024 bytes of one line.
    pub name: String,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Company {
    /// A company.
    pub fn new(
        id: impl Into<String>,
        identifier: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), identifier: identifier.into(), name: name.into(), extra: Vec::new() }
    }

    /// A company that exists, but that has no name that could be shown. The daemon leaves it out,
    /// and counts and names it for its operators. A company that is missing from a walk is gone.
    pub fn nameless(id: impl Into<String>) -> Self {
        Self::new(id, "", "")
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// Part of a walk over all companies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// At most 1000, each id once.
    pub companies: Vec<Company>,
    /// Where the next part begins, at most 1 KiB; `None`: this was the last.
    pub next: Option<String>,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Page {
    /// The last part, unless [`next`](Self::next) says otherwise.
    pub fn new(companies: impl IntoIterator<Item = Company>) -> Self {
        Self { companies: companies.into_iter().collect(), next: None, extra: Vec::new() }
    }

    /// Where the next part begins. It has to be another place than where this one began.
    #[must_use]
    pub fn next(mut self, cursor: impl Into<Option<String>>) -> Self {
        self.next = cursor.into();
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// Makes a type that implements [`Directory`] the component's directory. Natively it only checks
/// that the type does.
#[macro_export]
macro_rules! export_directory {
    ($plugin:ident) => {
        const _: () = {
            const fn implements<T: $crate::directory::Directory>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod credsmith_component {
            type Exported = $crate::component::directory::Exported<super::$plugin>;
            $crate::component::directory::export_directory_component!(Exported);
        }
    };
}
