//! The library of plugin authors: the contract of `wit/credsmith-plugin.wit` as plain Rust.
//!
//! A plugin is a type that implements [`Service`] and one line, [`export_service!`]; or one of its
//! siblings, [`directory::Directory`] and [`credential_type::CredentialType`]. The same code
//! compiles natively, where [`testing::Kit`](testing) stands in for the daemon, and to a component
//! for `wasm32-wasip2`, where the daemon's functions are imported. The crate decides nothing and
//! keeps nothing: limits, records and revocation are the daemon's.
//!
//! Start reading at [`Service`]; `README.md` beside this crate is the guide for authors.

pub mod clock;
mod field;
pub mod log;
mod problem;
pub mod random;

// In a component, what is not of its world does not exist: it would ask the daemon for imports of
// another.
#[cfg(any(feature = "credential-type", not(target_arch = "wasm32")))]
pub mod credential_type;
#[cfg(any(feature = "directory", not(target_arch = "wasm32")))]
pub mod directory;
#[cfg(any(feature = "service", not(target_arch = "wasm32")))]
mod service;

// Of every world whose plugins are configured and send requests.
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
mod description;
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
mod from_text;
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
pub mod http;
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
mod refusal;
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
mod secret;
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
mod settings;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

// The one seam: a component imports the functions of the daemon, and natively the test kit plays
// them. Both offer the same calls.
#[cfg(target_arch = "wasm32")]
use component::imports;
#[cfg(not(target_arch = "wasm32"))]
use testing::imports;

pub use credsmith_contract::pem;
pub use field::Field;
pub use problem::FieldProblem;
pub use serde_json::{Value, json};
#[cfg(any(feature = "service", not(target_arch = "wasm32")))]
pub use service::{
    Entry, Issued, Made, Offer, Outcome, Service,
    key::{Algorithm, SigningKey},
    not_issued::NotIssued,
    request::{Identity, Request},
};
#[cfg(any(feature = "service", feature = "directory", not(target_arch = "wasm32")))]
pub use {
    description::Description,
    from_text::FromText,
    refusal::Refusal,
    secret::{Hash, Secret},
    settings::{FromSetting, Noted, Settings},
};

/// Which characters texts may have: what the daemon refuses in an answer.
pub use credsmith_contract::text;

/// Everything that a service plugin usually names.
#[cfg(any(feature = "service", not(target_arch = "wasm32")))]
pub mod prelude {
    pub use crate::{
        Description, Entry, Field, Identity, Issued, Made, NotIssued, Noted, Offer, Outcome,
        Refusal, Request, Secret, Service, Settings, SigningKey, Value, export_service, http, json,
    };
}

/// Makes a type that implements [`Service`] the component's service. Natively it only checks that
/// the type does.
///
/// ```
/// # use credsmith_plugin_sdk::prelude::*;
/// # struct Plugin;
/// # impl Service for Plugin {
/// #     fn describe() -> Description { Description::new("plugin", "1.0.0") }
/// #     fn configure(_: &Settings) -> Result<Self, Noted> { Ok(Self) }
/// #     fn offer(&self) -> Offer { Offer::revocable() }
/// #     fn issue(&self, _: &Request) -> Result<Outcome, NotIssued> { Ok(Issued::new("1").into()) }
/// #     fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> { Ok(()) }
/// # }
/// export_service!(Plugin);
/// # fn main() {}
/// ```
#[cfg(any(feature = "service", not(target_arch = "wasm32")))]
#[macro_export]
macro_rules! export_service {
    ($plugin:ident) => {
        const _: () = {
            const fn implements<T: $crate::Service>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod credsmith_component {
            type Exported = $crate::component::service::Exported<super::$plugin>;
            $crate::component::service::export_service_component!(Exported);
        }
    };
}
