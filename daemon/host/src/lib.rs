//! Runs Credsmith's plugins: sandboxed WebAssembly components.
//!
//! Start with [`Host`]: it loads services and serves core's port
//! [`ServicePlugins`](credsmith_core::ports::plugins::ServicePlugins); what it loads as
//! [`TypePluginSet`] serves [`TypePlugins`](credsmith_core::ports::types::TypePlugins), and as
//! [`DirectoryPlugin`] [`Directory`](credsmith_core::ports::directory::Directory). A call goes
//! `host` (who) -> `service` (turn, meaning) -> `run` (a fresh store, its end); what a guest can
//! reach stands in `capability`, one file for each import of the contract; what comes back is
//! checked in `outcome`. `v0` has the bindings of the contract.
//!
//! Never here: who may call what, what is recorded, what a dialect says. The host decides nothing
//! about leases.
#![warn(missing_docs)]

mod account;
mod artefacts;
mod capability;
mod directory;
mod error;
mod fields;
mod grants;
mod host;
mod inspect;
mod journal;
mod lane;
mod limits;
mod load;
mod machine;
mod options;
mod outcome;
mod run;
mod secrets;
mod service;
mod settings;
mod shelf;
mod state;
mod text;
mod ticker;
mod type_plugin;
mod types;
mod v0;
mod world;

pub use directory::DirectoryPlugin;
pub use error::{HostError, LoadError, LoadFault};
pub use fields::{Description, Field};
pub use host::Host;
pub use inspect::{Described, Inspection, inspect};
pub use options::{
    ComponentSource, DirectorySetup, HostOptions, HttpLimits, OutputLimits, ServiceSetup, Setting,
    TokenGrant,
};
pub use secrets::Endpoint;
pub use types::TypePluginSet;
pub use world::World;
