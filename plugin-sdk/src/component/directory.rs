//! The world `directory-plugin`.

use std::marker::PhantomData;

wit_bindgen::generate!({
    path: "wit",
    world: "directory-plugin",
    pub_export_macro: true,
    export_macro_name: "export_directory_component",
    default_bindings_module: "credsmith_plugin_sdk::component::directory",
});

use self::credsmith::plugin::types;
use self::exports::credsmith::plugin::directory as wire;
use super::convert::pairs;
use crate::description::Description;
use crate::directory::{Company, Directory, Page};
use crate::problem::FieldProblem;
use crate::refusal::Refusal;
use crate::settings::{Noted, Settings};

/// A [`Directory`] as the component's exports.
pub struct Exported<D>(PhantomData<D>);

impl<D: Directory + 'static> wire::Guest for Exported<D> {
    fn describe() -> wire::Description {
        D::describe().into()
    }

    fn configure() -> Result<(), Vec<types::FieldProblem>> {
        configured::<D>().map(drop).map_err(|faults| faults.into_iter().map(Into::into).collect())
    }

    fn companies(cursor: Option<String>) -> Result<wire::Page, types::Refusal> {
        ready::<D>()?.companies(cursor.as_deref()).map(Into::into).map_err(Into::into)
    }

    fn configurations(company_id: String) -> Result<String, types::Refusal> {
        ready::<D>()?.configurations(&company_id).map_err(Into::into)
    }
}

fn configured<D: Directory>() -> Result<D, Vec<FieldProblem>> {
    let settings = Settings::new(&D::describe().settings);
    D::configure(&settings).map_err(|Noted { .. }| settings.into_faults())
}

/// The directory for a call. Its settings were fine at load, so faults now are a defect of the
/// plugin.
fn ready<D: Directory>() -> Result<D, types::Refusal> {
    configured::<D>().map_err(|faults| Refusal::misconfigured(&faults).into())
}

impl From<Description> for wire::Description {
    fn from(description: Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            contact: description.contact,
            settings: description.settings.into_iter().map(Into::into).collect(),
            open_settings: description.open_settings,
            extra: pairs(description.extra),
        }
    }
}

impl From<Page> for wire::Page {
    fn from(page: Page) -> Self {
        Self {
            companies: page.companies.into_iter().map(Into::into).collect(),
            next: page.next,
            extra: pairs(page.extra),
        }
    }
}

impl From<Company> for wire::Company {
    fn from(company: Company) -> Self {
        Self {
            id: company.id,
            identifier: company.identifier,
            name: company.name,
            extra: pairs(company.extra),
        }
    }
}
