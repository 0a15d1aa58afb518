//! Finds the world of a component by its exports, and checks that the contract has every import of
//! it.
//!
//! Never here: running it.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::{LoadError, LoadFault};

const PACKAGE: &str = "credsmith:plugin/";
/// The version of the contract that is served.
pub(crate) const VERSION: &str = "0.1.0";

/// A world of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// Issues and revokes.
    ServicePlugin,
    /// The same, and publishes what it revoked.
    ListingServicePlugin,
    /// Knows a type of credential of the vault.
    CredentialTypePlugin,
    /// Knows where companies come from.
    DirectoryPlugin,
}

impl World {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServicePlugin => "service-plugin",
            Self::ListingServicePlugin => "listing-service-plugin",
            Self::CredentialTypePlugin => "credential-type-plugin",
            Self::DirectoryPlugin => "directory-plugin",
        }
    }

    /// The interfaces of the contract that it may import.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::ServicePlugin | Self::ListingServicePlugin => {
                &["types", "log", "settings", "keys", "http", "call"]
            }
            Self::CredentialTypePlugin => &["types", "log"],
            Self::DirectoryPlugin => &["types", "log", "settings", "http"],
        }
    }

    /// Whether it serves as a service: a world that includes the base world does.
    pub fn is_service(self) -> bool {
        matches!(self, Self::ServicePlugin | Self::ListingServicePlugin)
    }
}

/// The imports and exports of a component, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl Shape {
    pub(crate) fn of(engine: &Engine, component: &Component) -> Self {
        let of = component.component_type();
        // A component also lists the bare types that its exports are built of.
        let is_type = |item: &ComponentItem| {
            matches!(item, ComponentItem::Type(_) | ComponentItem::Resource(_))
        };
        let imports = of
            .imports(engine)
            .filter(|(_, item)| !is_type(&item.ty))
            .map(|(name, _)| name.to_owned());
        let exports = of
            .exports(engine)
            .filter(|(_, item)| !is_type(&item.ty))
            .map(|(name, _)| name.to_owned());
        Self { imports: imports.collect(), exports: exports.collect() }
    }

    /// Which world it belongs to.
    pub(crate) fn world(&self, origin: &str) -> Result<World, LoadError> {
        let exports = |interface: &str| {
            self.exports.iter().any(|name| *name == format!("{PACKAGE}{interface}@{VERSION}"))
        };
        if exports("service") {
            let listing = exports("revocation-list");
            return Ok(if listing { World::ListingServicePlugin } else { World::ServicePlugin });
        }
        if exports("credential-type") {
            return Ok(World::CredentialTypePlugin);
        }
        if exports("directory") {
            return Ok(World::DirectoryPlugin);
        }
        let other = self.exports.iter().find(|name| name.starts_with(PACKAGE));
        let (cause, fix) = match other {
            Some(name) => (
                format!("it exports {name}, which is not of version {VERSION} of the contract"),
                "build it with a plugin SDK of this daemon's version",
            ),
            None => (
                "it exports nothing of the plugin contract".to_owned(),
                "build it for a world of credsmith:plugin, such as service-plugin",
            ),
        };
        Err(LoadError::new(LoadFault::WrongWorld, origin, cause, fix))
    }

    /// Refuses imports that the contract does not have in `world`.
    pub(crate) fn check_imports(&self, world: World, origin: &str) -> Result<(), LoadError> {
        let Some(unknown) = self.imports.iter().find(|name| !is_served(world, name)) else {
            return Ok(());
        };
        let fix = match unknown.strip_prefix(PACKAGE) {
            Some(_) => format!(
                "build it against version {VERSION} of the contract, as a {}",
                world.as_str()
            ),
            None if unknown.starts_with("wasi:http") => {
                "use the http of the plugin SDK, which is guarded by the daemon".to_owned()
            }
            None => "remove what needs it: a plugin has the contract, the clock and randomness"
                .to_owned(),
        };
        Err(LoadError::new(
            LoadFault::UnknownImport,
            origin,
            format!("it imports {unknown}, which is not given to a {}", world.as_str()),
            fix,
        ))
    }
}

fn is_served(world: World, import: &str) -> bool {
    if let Some(rest) = import.strip_prefix(PACKAGE) {
        return rest.split_once('@').is_some_and(|(interface, version)| {
            version == VERSION && world.imports().contains(&interface)
        });
    }
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"]
        .iter()
        .any(|package| import.starts_with(package) && import.contains("@0.2."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(imports: &[&str], exports: &[&str]) -> Shape {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Shape { imports: owned(imports), exports: owned(exports) }
    }

    #[test]
    fn exports_decide_the_world() {
        for (exports, world) in [
            (&["credsmith:plugin/service@0.1.0"][..], World::ServicePlugin),
            (
                &["credsmith:plugin/service@0.1.0", "credsmith:plugin/revocation-list@0.1.0"],
                World::ListingServicePlugin,
            ),
            (&["credsmith:plugin/credential-type@0.1.0"], World::CredentialTypePlugin),
            (&["credsmith:plugin/directory@0.1.0"], World::DirectoryPlugin),
        ] {
            assert_eq!(shape(&[], exports).world("x").unwrap(), world);
        }
    }

    #[test]
    fn a_wrong_world_says_what_to_do() {
        let newer = shape(&[], &["credsmith:plugin/service@2.0.0"]).world("x.wasm").unwrap_err();
        assert_eq!(newer.fault(), LoadFault::WrongWorld);
        assert!(
            newer.to_string().contains("service@2.0.0") && newer.to_string().contains("SDK"),
            "{newer}"
        );
        let foreign = shape(&[], &["wasi:cli/run@0.2.6"]).world("x.wasm").unwrap_err();
        assert!(
            foreign.to_string().contains("exports nothing of the plugin contract"),
            "{foreign}"
        );
    }

    #[test]
    fn imports_are_those_of_the_world() {
        let ok =
            ["credsmith:plugin/log@0.1.0", "wasi:cli/stdout@0.2.6", "wasi:random/random@0.2.0"];
        shape(&ok, &[]).check_imports(World::CredentialTypePlugin, "x").unwrap();
        for (import, world, hint) in [
            (
                "credsmith:plugin/http@0.1.0",
                World::CredentialTypePlugin,
                "as a credential-type-plugin",
            ),
            ("credsmith:plugin/keys@0.1.0", World::DirectoryPlugin, "as a directory-plugin"),
            ("credsmith:plugin/sql@0.1.0", World::ServicePlugin, "version 0.1.0"),
            ("credsmith:plugin/log@0.2.0", World::ServicePlugin, "version 0.1.0"),
            ("wasi:http/outgoing-handler@0.2.6", World::ServicePlugin, "http of the plugin SDK"),
            ("wasi:cli/stdout@0.3.0", World::ServicePlugin, "remove"),
            ("env", World::ServicePlugin, "remove"),
        ] {
            let refused = shape(&[import], &[]).check_imports(world, "x").unwrap_err();
            assert_eq!(refused.fault(), LoadFault::UnknownImport);
            assert!(
                refused.to_string().contains(import) && refused.to_string().contains(hint),
                "{refused}"
            );
        }
    }
}
