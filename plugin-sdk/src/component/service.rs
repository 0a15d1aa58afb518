//! The world `service-plugin`.

use std::marker::PhantomData;

wit_bindgen::generate!({
    path: "wit",
    world: "service-plugin",
    pub_export_macro: true,
    export_macro_name: "export_service_component",
    default_bindings_module: "credsmith_plugin_sdk::component::service",
});

use self::credsmith::plugin::{call, types};
use self::exports::credsmith::plugin::service as wire;
use super::convert::pairs;
use crate::description::Description;
use crate::problem::FieldProblem;
use crate::refusal::Refusal;
use crate::service::not_issued::NotIssued;
use crate::service::request::Request;
use crate::service::{Entry, Issued, Made, Offer, Outcome, Service};
use crate::settings::{Noted, Settings};

/// A [`Service`] as the component's exports.
pub struct Exported<S>(PhantomData<S>);

impl<S: Service + 'static> wire::Guest for Exported<S> {
    fn describe() -> wire::Description {
        S::describe().into()
    }

    fn configure() -> Result<wire::Offer, Vec<types::FieldProblem>> {
        configured::<S>()
            .map(|service| service.offer().into())
            .map_err(|faults| faults.into_iter().map(Into::into).collect())
    }

    fn issue(request: &call::Request) -> Result<wire::Outcome, types::Refusal> {
        let service = ready::<S>()?;
        match service.issue(&Request(request)) {
            Ok(outcome) => Ok(outcome.into()),
            Err(NotIssued::Refused(refusal)) => Err(refusal.into()),
            Err(NotIssued::Unsure(why)) => break_off(&why),
        }
    }

    fn revoke(
        request: &call::Request,
        state: String,
        revoke_with: Option<String>,
    ) -> Result<(), types::Refusal> {
        let service = ready::<S>()?;
        service.revoke(&Request(request), &Made::new(state, revoke_with)).map_err(Into::into)
    }
}

fn configured<S: Service>() -> Result<S, Vec<FieldProblem>> {
    let settings = Settings::new(&S::describe().settings);
    S::configure(&settings).map_err(|Noted { .. }| settings.into_faults())
}

/// The service for a call. Its settings were fine at load, so faults now are a defect of the
/// plugin.
fn ready<S: Service>() -> Result<S, types::Refusal> {
    configured::<S>().map_err(|faults| Refusal::misconfigured(&faults).into())
}

/// Ends the call without an answer: the contract's way of not knowing what was made. The daemon
/// then cleans up.
fn break_off(why: &str) -> ! {
    crate::log::error(why);
    std::process::abort()
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

impl From<Offer> for wire::Offer {
    fn from(offer: Offer) -> Self {
        let set = |set: Vec<crate::Field>| set.into_iter().map(Into::into).collect();
        Self {
            parameter_sets: offer.parameter_sets.into_iter().map(set).collect(),
            can_revoke: offer.can_revoke,
            extra: pairs(offer.extra),
        }
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Issued(issued) => Self::Issued(issued.into()),
            Outcome::LoginRequired { provider, message } => {
                Self::LoginRequired(wire::Login { provider, message })
            }
        }
    }
}

impl From<Issued> for wire::Issued {
    fn from(issued: Issued) -> Self {
        Self {
            entries: issued.entries.into_iter().map(Into::into).collect(),
            state: issued.state,
            revoke_with: issued.revoke_with,
            expires_at: issued.expires_at,
            extra: pairs(issued.extra),
        }
    }
}

impl From<Entry> for wire::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.name,
            kind: entry.kind,
            value: entry.value,
            rows: entry.rows,
            cols: entry.cols,
            save_as: entry.save_as,
            secret: entry.secret,
            extra: pairs(entry.extra),
        }
    }
}
