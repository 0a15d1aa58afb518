//! From a component and what an admin configured to a directory that can be asked. The order is
//! that of [`crate::load`].

use std::sync::Arc;

use credsmith_core::ports::plugins::PluginIdentity;
use tokio::runtime::Handle;

use super::{DirectoryPlugin, instance};
use crate::error::{LoadError, LoadFault};
use crate::fields::{self, Description};
use crate::grants::Wishes;
use crate::load::{DESCRIBE_TIMEOUT, Loading};
use crate::machine::Machine;
use crate::options::DirectorySetup;
use crate::shelf::{Compiled, Shelf, Template};
use crate::state::Grants;
use crate::v0;

/// Loads a directory.
pub(crate) async fn directory(
    machine: &Arc<Machine>,
    shelf: &Arc<Shelf>,
    network: &Handle,
    setup: &DirectorySetup,
) -> Result<DirectoryPlugin, LoadError> {
    let source = &setup.component;
    let wishes = Wishes::from(setup);
    wishes.check_memory(machine)?;
    let plugin = shelf.take(source).await?;
    if !matches!(plugin.template, Template::Directory(_)) {
        return Err(LoadError::new(
            LoadFault::WrongWorld,
            &source.origin,
            format!("it is a {}, not a directory-plugin", plugin.world.as_str()),
            "give the component of a directory plugin",
        ));
    }
    let weight = machine.weight(plugin.needs.memories, plugin.needs.tables);
    let loading = Loading { machine, source, service: "", memory: setup.memory_bytes, weight };
    let description = describe(&loading, &plugin).await?;
    let grants = wishes.grant(&description, network)?;
    configure(&loading, &plugin, &grants, setup, &description).await?;
    let identity = PluginIdentity {
        name: description.name,
        version: description.version,
        digest: plugin.digest.clone(),
    };
    Ok(DirectoryPlugin::new(machine.clone(), plugin, setup, identity, grants))
}

/// Asks a directory plugin what it is, twice.
pub(crate) async fn describe(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
) -> Result<Description, LoadError> {
    let first = describe_once(loading, plugin).await?;
    let second = describe_once(loading, plugin).await?;
    loading.agreed(first, &second)
}

async fn describe_once(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
) -> Result<Description, LoadError> {
    let plugin = plugin.clone();
    let nothing = Arc::new(Grants::default());
    let given = loading
        .run("describe", &nothing, DESCRIBE_TIMEOUT, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_directory().call_describe(store).await
            })
        })
        .await?;
    fields::description(given.into()).map_err(|problems| loading.bad_description(problems))
}

/// Has it read its settings. There is no HTTP while it does.
async fn configure(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
    grants: &Grants,
    setup: &DirectorySetup,
    description: &Description,
) -> Result<(), LoadError> {
    let plugin = plugin.clone();
    let offline = Arc::new(grants.offline());
    let configured = loading
        .run("configure", &offline, setup.plugin_timeout, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_directory().call_configure(store).await
            })
        })
        .await?;
    configured.map_err(|problems| loading.bad_settings(&description.name, problems, grants))
}

/// Both worlds say the same of themselves, each in its own type.
impl From<v0::directory::Description> for v0::service::Description {
    fn from(given: v0::directory::Description) -> Self {
        Self {
            name: given.name,
            version: given.version,
            contact: given.contact,
            settings: given.settings,
            open_settings: given.open_settings,
            extra: given.extra,
        }
    }
}
