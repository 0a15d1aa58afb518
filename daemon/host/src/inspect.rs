//! What a component is, for people who are about to trust it.

use std::borrow::Cow;
use std::sync::Arc;

use credsmith_core::ports::types::TypePluginView;
use credsmith_core::secret::Secret;

use crate::directory;
use crate::error::{LoadError, LoadFault};
use crate::fields::Description;
use crate::host::Host;
use crate::load::{self, DESCRIBE_MEMORY, Loading};
use crate::machine::Machine;
use crate::options::{ComponentSource, HostOptions};
use crate::shelf::{Shelf, Template};
use crate::type_plugin;
use crate::world::World;

/// What a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of its bytes, in hex: what the configuration pins.
    pub digest: String,
    /// Which world of the contract it belongs to.
    pub world: World,
    /// Everything that it imports, by name.
    pub imports: Vec<String>,
    /// Everything that it exports, by name.
    pub exports: Vec<String>,
    /// What it says of itself.
    pub described: Described,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// A service plugin.
    Service(Description),
    /// A plugin for a type of credential.
    CredentialType(TypePluginView),
    /// A directory of companies.
    Directory(Description),
}

/// Says what the component in `bytes` is. For a single look, without a host; needs a runtime.
/// `origin` names it in errors.
///
/// # Errors
/// [`LoadError`] names cause and fix.
pub async fn inspect(
    bytes: impl Into<Cow<'static, [u8]>>,
    origin: &str,
) -> Result<Inspection, LoadError> {
    let options =
        HostOptions { pool_size: 2, guest_threads: 1, ..HostOptions::new(Secret::new("")) };
    let host = Host::new(options).map_err(|why| {
        LoadError::new(
            LoadFault::Broke,
            origin,
            why,
            "see why the plugin engine does not start here",
        )
    })?;
    host.inspect(&ComponentSource { bytes: bytes.into(), origin: origin.to_owned(), sha256: None })
        .await
}

pub(crate) async fn look_at(
    machine: &Arc<Machine>,
    shelf: &Arc<Shelf>,
    source: &ComponentSource,
) -> Result<Inspection, LoadError> {
    let plugin = shelf.take(source).await?;
    let weight = machine.weight(plugin.needs.memories, plugin.needs.tables);
    let loading = Loading { machine, source, service: "", memory: DESCRIBE_MEMORY, weight };
    let described = match &plugin.template {
        Template::Service(_) => Described::Service(load::describe(&loading, &plugin).await?),
        Template::CredentialType(_) => {
            Described::CredentialType(type_plugin::describe(&loading, &plugin).await?)
        }
        Template::Directory(_) => {
            Described::Directory(directory::describe(&loading, &plugin).await?)
        }
    };
    Ok(Inspection {
        digest: plugin.digest.clone(),
        world: plugin.world,
        imports: plugin.shape.imports.clone(),
        exports: plugin.shape.exports.clone(),
        described,
    })
}
