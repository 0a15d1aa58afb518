//! The configured plugins for types of credentials, by name: core's port [`TypePlugins`].
//!
//! The set is made once and never changes. Never here: how one of them runs
//! ([`crate::worlds::credential_type::plugin`]).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use credsmith_core::field::Field;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::types::{NormaliseFailure, TypePluginView, TypePlugins, TypeValue};
use credsmith_core::secret::Secret;
use futures_util::future::join_all;

use crate::error::{LoadError, LoadFault};
use crate::load::loader::Loader;
use crate::options::ComponentSource;
use crate::worlds::credential_type::plugin::TypePlugin;

/// Loaded plugins for types of credentials. Clones share them.
#[derive(Clone)]
pub struct TypePluginSet(Arc<[TypePlugin]>);

impl fmt::Debug for TypePluginSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl TypePluginSet {
    /// Loads all at once, and reports every fault.
    pub(crate) async fn load(
        loader: &Loader,
        sources: &[ComponentSource],
    ) -> Result<Self, Vec<LoadError>> {
        let loads = sources.iter().map(|source| TypePlugin::load(loader, source));
        let mut plugins: Vec<TypePlugin> = Vec::with_capacity(sources.len());
        let mut errors = Vec::new();
        for (source, loaded) in sources.iter().zip(join_all(loads).await) {
            match loaded {
                Ok(plugin) if plugins.iter().any(|known| known.name() == plugin.name()) => {
                    errors.push(name_taken(source, plugin.name()));
                }
                Ok(plugin) => plugins.push(plugin),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(plugins.into())) } else { Err(errors) }
    }

    fn find(&self, name: &PluginName) -> Option<&TypePlugin> {
        self.0.iter().find(|plugin| plugin.name() == name)
    }
}

fn name_taken(source: &ComponentSource, name: &PluginName) -> LoadError {
    LoadError::new(
        LoadFault::NameTaken,
        &source.origin,
        format!("another plugin for types of credentials is called {name}, too"),
        "types refer to a plugin by its name: configure one of the two",
    )
}

#[async_trait]
impl TypePlugins for TypePluginSet {
    fn list(&self) -> Vec<TypePluginView> {
        self.0.iter().map(|plugin| plugin.view().clone()).collect()
    }

    async fn normalise(
        &self,
        plugin: &PluginName,
        definition: &[Field],
        values: &[TypeValue],
    ) -> Result<Vec<(String, Secret)>, NormaliseFailure> {
        match self.find(plugin) {
            Some(plugin) => plugin.normalise(definition, values).await,
            None => Err(NormaliseFailure::NotLoaded),
        }
    }
}
