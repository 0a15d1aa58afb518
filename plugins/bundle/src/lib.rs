//! The bundled plugins as components: their bytes and digests, compiled by `build.rs` from the
//! crates beside this one.
//!
//! The plugins are built, not linked: nothing of them or of the SDK becomes part of a program that
//! uses this crate. Start reading at [`bundled`].

/// One component.
#[derive(Clone, Copy)]
pub struct Bundled {
    /// The name of its directory: `info`, `ssh-ca` ...
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
    /// SHA-256 of `bytes`, in hex.
    pub sha256: &'static str,
}

impl std::fmt::Debug for Bundled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundled")
            .field("name", &self.name)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The plugins that come with the daemon, in the order of their names.
pub fn bundled() -> &'static [Bundled] {
    BUNDLED
}

/// A plugin that comes with the daemon.
pub fn find(name: &str) -> Option<&'static Bundled> {
    BUNDLED.iter().find(|plugin| plugin.name == name)
}

/// The test plugins, in the order of their names.
#[cfg(feature = "fixtures")]
pub fn fixtures() -> &'static [Bundled] {
    FIXTURES
}

/// A test plugin.
#[cfg(feature = "fixtures")]
pub fn fixture(name: &str) -> Option<&'static Bundled> {
    FIXTURES.iter().find(|plugin| plugin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The preamble of a component: `\0asm`, version 13, layer 1. A core module has version 1,
    /// layer 0.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn they_are_components() {
        assert!(!bundled().is_empty());
        for plugin in bundled() {
            assert!(plugin.bytes.starts_with(COMPONENT), "{}", plugin.name);
        }
    }

    #[test]
    fn they_are_found_by_name() {
        assert_eq!(find("info").unwrap().name, "info");
        assert!(find("bundle").is_none());
        assert!(find("").is_none());
    }

    #[cfg(feature = "fixtures")]
    #[test]
    fn fixtures_are_apart() {
        assert!(fixture("unique").unwrap().bytes.starts_with(COMPONENT));
        assert!(find("unique").is_none());
        assert!(fixture("info").is_none());
    }
}
