//! Which plugins may fill plain fields with what they compute.
//!
//! A plugin sees the secure values of a credential. What it computes into a plain field is shown to
//! every caller who may read the credential: it can tell of a secret what a reveal would, in any
//! coding, and no check of ours finds that. So only plugins that come with the daemon are trusted
//! with every plain field; others with the fields that the configuration lists.
//!
//! Never here: a value.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::PluginName;
use crate::model::credential_type::CredentialType;

/// The plain fields that plugins may compute.
#[derive(Debug, Clone, Default)]
pub struct ComputedPlain {
    trusted: BTreeSet<PluginName>,
    listed: BTreeMap<PluginName, BTreeSet<String>>,
}

impl ComputedPlain {
    /// Trusts `plugin` with every plain field: it comes with the daemon.
    pub fn trust(&mut self, plugin: PluginName) {
        self.trusted.insert(plugin);
    }

    /// Lets `plugin` fill plain fields of these ids.
    pub fn list(&mut self, plugin: PluginName, fields: impl IntoIterator<Item = String>) {
        self.listed.entry(plugin).or_default().extend(fields);
    }

    /// Whether `plugin` may fill a plain field of the id `field`.
    pub(super) fn allows(&self, plugin: &PluginName, field: &str) -> bool {
        self.trusted.contains(plugin)
            || self.listed.get(plugin).is_some_and(|fields| fields.contains(field))
    }

    /// The ids of the plain fields that the plugin of the type computes and may not fill, with
    /// their places in the definition.
    pub(super) fn refused<'a>(
        &'a self,
        credential_type: &'a CredentialType,
    ) -> impl Iterator<Item = (usize, &'a str)> {
        let fields = credential_type.fields.iter().enumerate();
        fields
            .filter(|(_, field)| field.computed && !field.secure)
            .map(|(place, field)| (place, field.id.as_str()))
            .filter(|(_, id)| !self.allows(&credential_type.plugin, id))
    }
}
