//! Components, compiled once for each digest and kept ready for instances.
//!
//! Never here: settings and grants. Two services may use one component.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::call::state::State;
use crate::component::artefacts::{Artefacts, load_code};
use crate::component::compiler::{Compiler, NotCompiled};
use crate::component::sources::{self, Remark};
use crate::component::world::{Shape, World};
use crate::engine::limits::{MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::error::{LoadError, LoadFault};
use crate::options::{CompilerProcess, ComponentSource};
use crate::v0;

/// Largest component that is compiled, in bytes.
pub(crate) const MAX_COMPONENT: usize = 64 << 20;

/// A component that is ready to be instantiated.
pub(crate) struct Compiled {
    /// SHA-256 of the component, in hex.
    pub(crate) digest: String,
    pub(crate) shape: Shape,
    pub(crate) world: World,
    /// What an admin should know about its time and its randomness.
    pub(crate) remarks: Vec<Remark>,
    pub(crate) template: Template,
    pub(crate) needs: InstanceNeeds,
}

/// The parts of the pool that one instance takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InstanceNeeds {
    pub(crate) memories: usize,
    pub(crate) tables: usize,
}

/// Makes instances, by world.
pub(crate) enum Template {
    Service(v0::ServicePluginPre<State>),
    CredentialType(v0::CredentialTypePluginPre<State>),
    Directory(v0::DirectoryPluginPre<State>),
}

type Slot = Arc<tokio::sync::Mutex<Weak<Compiled>>>;

/// The compiled components in use.
pub(crate) struct ComponentCache {
    engine: Engine,
    artefacts: Option<Artefacts>,
    /// `None`: components are compiled in this process.
    compiler: Option<Compiler>,
    linkers: Linkers,
    slots: Mutex<HashMap<String, Slot>>,
}

/// The host functions that components of each world are linked with.
pub(crate) struct Linkers {
    service: Linker<State>,
    credential_type: Linker<State>,
    directory: Linker<State>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut service = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut service)?;
        v0::ServicePlugin::add_to_linker::<_, HasSelf<State>>(&mut service, |state| state)?;
        let mut credential_type = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut credential_type)?;
        v0::log::add_to_linker::<_, HasSelf<State>>(&mut credential_type, |state| state)?;
        v0::types::add_to_linker::<_, HasSelf<State>>(&mut credential_type, |state| state)?;
        let mut directory = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut directory)?;
        v0::log::add_to_linker::<_, HasSelf<State>>(&mut directory, |state| state)?;
        v0::types::add_to_linker::<_, HasSelf<State>>(&mut directory, |state| state)?;
        v0::settings::add_to_linker::<_, HasSelf<State>>(&mut directory, |state| state)?;
        v0::http::add_to_linker::<_, HasSelf<State>>(&mut directory, |state| state)?;
        Ok(Self { service, credential_type, directory })
    }
}

impl ComponentCache {
    pub(crate) fn new(
        engine: Engine,
        artefacts: Option<Artefacts>,
        compiler: Option<CompilerProcess>,
        linkers: Linkers,
    ) -> Self {
        let compiler = compiler.map(Compiler::new);
        Self { engine, artefacts, compiler, linkers, slots: Mutex::default() }
    }

    /// Returns the component of `source`, compiled. Concurrent calls for the same component wait
    /// for one compilation.
    pub(crate) async fn get(
        self: &Arc<Self>,
        source: &ComponentSource,
    ) -> Result<Arc<Compiled>, LoadError> {
        let digest = hex::encode(Sha256::digest(&source.bytes));
        check_pin(source, &digest)?;
        let slot = self.slot(&digest);
        let mut kept = slot.lock().await;
        if let Some(ready) = kept.upgrade() {
            return Ok(ready);
        }
        let compiled = Arc::new(self.compile(source, digest).await?);
        *kept = Arc::downgrade(&compiled);
        Ok(compiled)
    }

    fn slot(&self, digest: &str) -> Slot {
        let mut slots = self.slots.lock();
        // Slots whose component is no longer used are removed when the next one is added.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|kept| kept.strong_count() > 0)
        });
        slots.entry(digest.to_owned()).or_default().clone()
    }

    async fn compile(
        self: &Arc<Self>,
        source: &ComponentSource,
        digest: String,
    ) -> Result<Compiled, LoadError> {
        let kept = {
            let digest = digest.clone();
            self.blocking(source, move |cache, _| Ok(cache.kept(&digest))).await?
        };
        let component = match (kept, &self.compiler) {
            (Some(component), _) => component,
            (None, Some(compiler)) => self.compile_apart(compiler, source, &digest).await?,
            (None, None) => {
                let digest = digest.clone();
                self.blocking(source, move |cache, source| cache.compile_here(source, &digest))
                    .await?
            }
        };
        self.blocking(source, move |cache, source| cache.finish(source, digest, &component)).await
    }

    /// Runs `work` where it holds up no other task.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        source: &ComponentSource,
        work: impl FnOnce(&Self, &ComponentSource) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let (cache, its) = (self.clone(), source.clone());
        let working = tokio::task::spawn_blocking(move || work(&cache, &its));
        working.await.map_err(|why| {
            LoadError::new(
                LoadFault::Unfit,
                &source.origin,
                format!("compiling it broke the host: {why}"),
                "report this with the component",
            )
        })?
    }

    fn kept(&self, digest: &str) -> Option<Component> {
        self.artefacts.as_ref().and_then(|artefacts| artefacts.load(&self.engine, digest))
    }

    async fn compile_apart(
        self: &Arc<Self>,
        compiler: &Compiler,
        source: &ComponentSource,
        digest: &str,
    ) -> Result<Component, LoadError> {
        check_form(source)?;
        let code = compiler.compile(source.bytes.clone()).await.map_err(|why| {
            let (fault, fix) = match why {
                NotCompiled::Invalid(_) => (LoadFault::NotAComponent, BUILD_ANEW),
                NotCompiled::TooMuch(_) => (
                    LoadFault::Unfit,
                    "do not trust it unless you know why; compile_timeout and compile_memory in [plugins] raise the bounds",
                ),
                NotCompiled::Process(_) => {
                    (LoadFault::Unfit, "see whether the daemon may start its own program again")
                }
            };
            LoadError::new(fault, &source.origin, why, fix)
        })?;
        let digest = digest.to_owned();
        self.blocking(source, move |cache, source| {
            let component =
                load_code(&cache.engine, &code).map_err(|why| cannot_be_compiled(source, &why))?;
            if let Some(artefacts) = &cache.artefacts {
                artefacts.store(&digest, &code);
            }
            Ok(component)
        })
        .await
    }

    fn compile_here(&self, source: &ComponentSource, digest: &str) -> Result<Component, LoadError> {
        check_form(source)?;
        let component = Component::from_binary(&self.engine, &source.bytes)
            .map_err(|why| cannot_be_compiled(source, &why))?;
        if let Some(artefacts) = &self.artefacts
            && let Ok(code) = component.serialize()
        {
            artefacts.store(digest, &code);
        }
        Ok(component)
    }

    fn finish(
        &self,
        source: &ComponentSource,
        digest: String,
        component: &Component,
    ) -> Result<Compiled, LoadError> {
        let shape = Shape::of(&self.engine, component);
        let world = shape.world(&source.origin)?;
        shape.check_imports(world, &source.origin)?;
        let needs = needs(component, &source.origin)?;
        let template = self.linkers.template(world, component).map_err(|why| {
            LoadError::new(
                LoadFault::WrongWorld,
                &source.origin,
                format!("it does not fit the world {}: {why:#}", world.as_str()),
                "build it with a plugin SDK of this daemon's version",
            )
        })?;
        let remarks = sources::remarks(&shape, world);
        Ok(Compiled { digest, shape, world, remarks, template, needs })
    }
}

/// The fix for bytes that the engine does not take.
const BUILD_ANEW: &str = "build it anew; the file may be cut short, or need something of WebAssembly that is not standard yet";

fn cannot_be_compiled(source: &ComponentSource, why: &wasmtime::Error) -> LoadError {
    let cause = format!("it cannot be compiled: {why:#}");
    LoadError::new(LoadFault::NotAComponent, &source.origin, cause, BUILD_ANEW)
}

impl Linkers {
    fn template(&self, world: World, component: &Component) -> wasmtime::Result<Template> {
        Ok(match world {
            World::ServicePlugin | World::ListingServicePlugin => Template::Service(
                v0::ServicePluginPre::new(self.service.instantiate_pre(component)?)?,
            ),
            World::CredentialTypePlugin => Template::CredentialType(
                v0::CredentialTypePluginPre::new(self.credential_type.instantiate_pre(component)?)?,
            ),
            World::DirectoryPlugin => Template::Directory(v0::DirectoryPluginPre::new(
                self.directory.instantiate_pre(component)?,
            )?),
        })
    }
}

fn check_pin(source: &ComponentSource, digest: &str) -> Result<(), LoadError> {
    match &source.sha256 {
        Some(pin) if !pin.eq_ignore_ascii_case(digest) => Err(LoadError::new(
            LoadFault::WrongDigest,
            &source.origin,
            format!("its SHA-256 is {digest}, not the one of the configuration"),
            "find out where the file comes from; pin the new digest only if you trust it",
        )),
        _ => Ok(()),
    }
}

/// Refuses bytes that are no component before the compiler does, with a clearer message.
fn check_form(source: &ComponentSource) -> Result<(), LoadError> {
    let refuse = |cause: &str, fix: &str| {
        Err(LoadError::new(LoadFault::NotAComponent, &source.origin, cause, fix))
    };
    if source.bytes.len() > MAX_COMPONENT {
        return refuse("it is larger than 64 MiB", "build it optimised for size and stripped");
    }
    if Engine::detect_precompiled(&source.bytes).is_some() {
        return refuse(
            "it is compiled code of an engine, which is never loaded from outside",
            "give the .wasm that it was made from",
        );
    }
    match source.bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => refuse(
            "it is a core WebAssembly module, not a component",
            "build it for the target wasm32-wasip2, or wrap it with `wasm-tools component new`",
        ),
        Some([0, b'a', b's', b'm', ..]) => Ok(()),
        _ => refuse("it is not WebAssembly", "give the path of a .wasm component"),
    }
}

/// Returns what an instance needs. Refuses a component that no pool can hold at load, not at its
/// first call.
fn needs(component: &Component, origin: &str) -> Result<InstanceNeeds, LoadError> {
    let unfit = |cause: String| {
        LoadError::new(LoadFault::Unfit, origin, cause, "build it smaller, or as one module")
    };
    let Some(needs) = component.resources_required() else {
        return Err(unfit("it instantiates modules that it imports".to_owned()));
    };
    let memories = usize::try_from(needs.num_memories).unwrap_or(usize::MAX);
    let tables = usize::try_from(needs.num_tables).unwrap_or(usize::MAX);
    if memories > MAX_MEMORIES || tables > MAX_TABLES {
        return Err(unfit(format!(
            "it needs {memories} memories and {tables} tables; a plugin has at most {MAX_MEMORIES} and {MAX_TABLES}"
        )));
    }
    let entries = needs.max_initial_table_size.unwrap_or(0);
    if usize::try_from(entries).unwrap_or(usize::MAX) > MAX_TABLE_ELEMENTS {
        return Err(unfit(format!(
            "it needs a table of {entries} entries; a plugin has at most {MAX_TABLE_ELEMENTS}"
        )));
    }
    Ok(InstanceNeeds { memories, tables })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Arc<ComponentCache> {
        let engine = Engine::default();
        let linkers = Linkers::new(&engine).unwrap();
        Arc::new(ComponentCache::new(engine, None, None, linkers))
    }

    fn source(text: &str) -> ComponentSource {
        from_bytes(wat::parse_str(text).unwrap())
    }

    fn from_bytes(bytes: Vec<u8>) -> ComponentSource {
        ComponentSource { bytes: bytes.into(), origin: "x.wasm".to_owned(), sha256: None }
    }

    /// The least that can be compiled as a plugin: its functions are there, and do nothing.
    const DIRECTORY: &str = r#"(component
        (core module $m (func (export "f")))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (instance $directory
            (export "describe" (func $f))
            (export "configure" (func $f))
            (export "companies" (func $f))
            (export "configurations" (func $f)))
        (export "credsmith:plugin/directory@0.1.0" (instance $directory)))"#;

    #[tokio::test]
    async fn what_is_no_plugin_says_what_it_is_and_what_to_do() {
        let serialized = Component::new(&Engine::default(), wat::parse_str("(component)").unwrap())
            .unwrap()
            .serialize();
        let mut cut = wat::parse_str(DIRECTORY).unwrap();
        cut.pop();
        for (source, fault, expected) in [
            (from_bytes(b"hello".to_vec()), LoadFault::NotAComponent, "not WebAssembly"),
            (from_bytes(Vec::new()), LoadFault::NotAComponent, "not WebAssembly"),
            (source("(module)"), LoadFault::NotAComponent, "wasm32-wasip2"),
            (from_bytes(serialized.unwrap()), LoadFault::NotAComponent, "compiled code"),
            (from_bytes(cut), LoadFault::NotAComponent, "cannot be compiled"),
            (
                source("(component)"),
                LoadFault::WrongWorld,
                "exports nothing of the plugin contract",
            ),
            (
                source(
                    r#"(component (import "other:thing/x" (instance)) (instance $i) (export "credsmith:plugin/service@0.1.0" (instance $i)))"#,
                ),
                LoadFault::UnknownImport,
                "other:thing/x",
            ),
            (
                source(
                    r#"(component (instance $i) (export "credsmith:plugin/service@0.1.0" (instance $i)))"#,
                ),
                LoadFault::WrongWorld,
                "does not fit the world service-plugin",
            ),
            (
                source(
                    r#"(component
                        (core module $m (memory 1) (memory 1) (memory 1) (memory 1) (memory 1))
                        (core instance (instantiate $m))
                        (instance $i) (export "credsmith:plugin/directory@0.1.0" (instance $i)))"#,
                ),
                LoadFault::Unfit,
                "5 memories",
            ),
        ] {
            let refused = cache().get(&source).await.map(|_| ()).unwrap_err();
            assert_eq!(refused.fault(), fault, "{refused}");
            assert!(refused.to_string().contains(expected), "{refused}");
            assert!(
                refused.to_string().starts_with("plugin x.wasm: ") && !refused.fix().is_empty(),
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn a_pin_holds() {
        let mut source = source(DIRECTORY);
        let digest = cache().get(&source).await.unwrap().digest.clone();
        source.sha256 = Some(digest.to_uppercase());
        cache().get(&source).await.unwrap();
        source.sha256 = Some("00".repeat(32));
        let refused = cache().get(&source).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.fault(), LoadFault::WrongDigest);
        assert!(refused.to_string().contains(&digest), "{refused}");
    }

    #[tokio::test]
    async fn one_component_is_compiled_once_and_kept_while_it_is_used() {
        let cache = cache();
        let source = source(DIRECTORY);
        let (one, other) = tokio::join!(cache.get(&source), cache.get(&source));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(one.world, World::DirectoryPlugin);
        let gone = Arc::downgrade(&one);
        drop((one, other));
        assert!(gone.upgrade().is_none());
        cache.get(&source).await.unwrap();
        assert_eq!(cache.slots.lock().len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_loaded_can_be_tried_again() {
        let cache = cache();
        let broken = source("(component)");
        for _ in 0..2 {
            assert!(cache.get(&broken).await.is_err());
        }
    }
}
