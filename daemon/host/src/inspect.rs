//! Inspects a component, for an admin who is about to trust it.

use std::borrow::Cow;

use credsmith_core::ports::types::TypePluginView;
use credsmith_core::secret::Secret;

use crate::component::cache::Template;
use crate::component::sources::Remark;
use crate::component::world::World;
use crate::error::{LoadError, LoadFault};
use crate::load::fields::Description;
use crate::load::loader::{DESCRIBE_MEMORY, Loader};
use crate::options::{CompilerProcess, ComponentSource, HostOptions};
use crate::worlds::credential_type::plugin::CredentialTypeWorld;
use crate::worlds::directory::DirectoryWorld;
use crate::worlds::service::ServiceWorld;

/// The result of an inspection.
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
    /// What an admin should know about its time and its randomness.
    pub remarks: Vec<Remark>,
    /// Its description of itself.
    pub described: Described,
}

/// The description of a plugin, by world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// A service plugin.
    Service(Description),
    /// A plugin for a type of credential.
    CredentialType(TypePluginView),
    /// A directory of companies.
    Directory(Description),
}

/// Inspects the component in `bytes`. For a single inspection, without a host; needs a runtime.
/// `origin` names it in errors; `compiler` is the process that compiles it.
///
/// # Errors
/// [`LoadError`] names cause and fix.
pub async fn inspect(
    bytes: impl Into<Cow<'static, [u8]>>,
    origin: &str,
    compiler: Option<CompilerProcess>,
) -> Result<Inspection, LoadError> {
    let options = HostOptions {
        pool_size: 2,
        guest_threads: 1,
        compiler,
        ..HostOptions::new(Secret::new(""))
    };
    let loader = Loader::start(&options).map_err(|why| {
        let fix = "see why the plugin engine does not start here";
        LoadError::new(LoadFault::Broke, origin, why, fix)
    })?;
    let source = ComponentSource { bytes: bytes.into(), origin: origin.to_owned(), sha256: None };
    inspect_with(&loader, &source).await
}

/// Inspects the component of `source`.
pub(crate) async fn inspect_with(
    loader: &Loader,
    source: &ComponentSource,
) -> Result<Inspection, LoadError> {
    let loading = loader.compile(source, "", DESCRIBE_MEMORY).await?;
    let plugin = &loading.component;
    let described = match &plugin.template {
        Template::Service(_) => Described::Service(loading.describe::<ServiceWorld>().await?),
        Template::CredentialType(_) => {
            Described::CredentialType(loading.describe::<CredentialTypeWorld>().await?)
        }
        Template::Directory(_) => Described::Directory(loading.describe::<DirectoryWorld>().await?),
    };
    Ok(Inspection {
        digest: plugin.digest.clone(),
        world: plugin.world,
        imports: plugin.shape.imports.clone(),
        exports: plugin.shape.exports.clone(),
        remarks: plugin.remarks.clone(),
        described,
    })
}
