//! Runs Credsmith's plugins: sandboxed WebAssembly components.
//!
//! Start with [`Host`]: it loads services and serves core's port
//! [`ServicePlugins`](credsmith_core::ports::plugins::ServicePlugins); the plugins that it loads as
//! [`TypePluginSet`] serves [`TypePlugins`](credsmith_core::ports::types::TypePlugins), and as
//! [`DirectoryPlugin`] [`Directory`](credsmith_core::ports::directory::Directory). A call goes from
//! `host`, which finds the plugin, to `worlds`, where it waits for its turn and its answer is put
//! in core's terms, to `call::run`, which gives it a fresh store and ends it. The functions that a
//! guest can call are in `capability`, one file for each import of the contract; `call::outcome`
//! checks its answer. `load` makes plugins from components and the configuration, `component`
//! compiles them, `engine` runs them. `v0` has the bindings of the contract.
//!
//! Never here: authorization, records, dialects. The host decides nothing
//! about leases.
#![warn(missing_docs)]

mod call;
mod capability;
mod component;
mod engine;
mod error;
mod host;
mod inspect;
mod load;
mod options;
mod secrets;
mod text;
mod v0;
mod worlds;

pub use component::compiler::compile_component;
pub use component::sources::Remark;
pub use component::world::World;
pub use error::{HostError, LoadError, LoadFault};
pub use host::Host;
pub use inspect::{Described, Inspection, inspect};
pub use load::fields::{Description, Field};
pub use options::{
    CompilerProcess, ComponentSource, DirectorySetup, HostOptions, HttpLimits, OutputLimits,
    ServiceSetup, Setting, TokenGrant,
};
pub use secrets::{BadBinding, Binding, Endpoint};
pub use worlds::credential_type::set::TypePluginSet;
pub use worlds::directory::DirectoryPlugin;
