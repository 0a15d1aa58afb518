//! The options of the host: plain structs that the daemon fills from its configuration. They are
//! checked where they are used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use credsmith_contract::limits::{MAX_ENTRIES, MAX_ENTRIES_TOTAL};
use credsmith_core::ids::ServiceId;
use credsmith_core::secret::Secret;
use credsmith_http::client::Destination;
use serde_json::Value;

use crate::secrets::Binding;

/// How the host as a whole behaves.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where compiled components are kept; `None` compiles them at every start. The host makes the
    /// directory, for its user alone.
    pub artefacts: Option<PathBuf>,
    /// Proves that a compiled component was written by this daemon.
    pub artefact_key: Secret,
    /// How many calls run at once, of all services together. One service gets at most half of them.
    pub pool_size: u32,
    /// Threads that run guests.
    pub guest_threads: usize,
    /// How often a busy guest is interrupted to let others run and to look at the clock; 1 to 5 ms.
    pub epoch_tick: Duration,
    /// Most linear memory that any plugin may be given, in bytes.
    pub max_memory_bytes: usize,
    /// The process that compiles components. `None` compiles them in this one, without bounds of
    /// time and memory: for tests, whose components are known.
    pub compiler: Option<CompilerProcess>,
}

/// A process that runs [`compile_component`](crate::compile_component), with its bounds.
#[derive(Debug, Clone)]
pub struct CompilerProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before those that are the bounds.
    pub arguments: Vec<String>,
    /// How long one component may take to be compiled. The time of each processor is bounded, too.
    pub timeout: Duration,
    /// Most memory that compiling one may take, in bytes.
    pub memory_bytes: u64,
}

impl HostOptions {
    /// The defaults, without an artefact cache.
    pub fn new(artefact_key: Secret) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            artefacts: None,
            artefact_key,
            pool_size: 128,
            guest_threads: cores.clamp(2, 8),
            epoch_tick: Duration::from_millis(2),
            max_memory_bytes: 256 << 20,
            compiler: None,
        }
    }
}

/// A component as it was read.
#[derive(Debug, Clone)]
pub struct ComponentSource {
    /// The component, binary.
    pub bytes: Cow<'static, [u8]>,
    /// Where it comes from, for messages: a path, or a word such as `bundled:info`.
    pub origin: String,
    /// The SHA-256 in hex that it has to have, if the configuration pins it.
    pub sha256: Option<String>,
}

/// One value that an admin gave to a plugin.
#[derive(Debug, Clone)]
pub enum Setting {
    /// A string of the configuration.
    Text(String),
    /// Any other value of the configuration.
    Json(Value),
    /// A secret.
    Secret {
        /// The value.
        value: Secret,
        /// Which requests the host may put it into.
        destinations: Vec<Binding>,
        /// Whether the plugin may see it.
        reveal: bool,
        /// Whether the plugin may compute HMACs with it.
        hmac: bool,
    },
    /// A private key that signs.
    SigningKey {
        /// PEM: PKCS#8, SEC 1, PKCS#1 or unencrypted OpenSSH.
        pem: Secret,
    },
}

/// The grant of a user's access token to a plugin.
#[derive(Debug, Clone)]
pub struct TokenGrant {
    /// Which requests the host may put it into.
    pub destinations: Vec<Binding>,
    /// Whether the plugin may see it.
    pub reveal: bool,
}

/// How much HTTP one call may do.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Requests in one call.
    pub requests: u32,
    /// Body of a request, in bytes.
    pub request_bytes: usize,
    /// Body of a response, in bytes.
    pub response_bytes: usize,
    /// One request from dialling to the last byte.
    pub timeout: Duration,
}

impl HttpLimits {
    /// The default of directories: configurations of one company come in many pages, and each of
    /// them is large.
    pub fn of_directories() -> Self {
        Self { requests: 128, response_bytes: 4 << 20, ..Self::default() }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            requests: 32,
            request_bytes: 1 << 20,
            response_bytes: 1 << 20,
            timeout: Duration::from_secs(10),
        }
    }
}

/// How much a plugin may answer. The contract's own limits (of state and refusals) are not among
/// these.
#[derive(Debug, Clone, Copy)]
pub struct OutputLimits {
    /// Entries of an issued result.
    pub entries: usize,
    /// All entries together, in bytes.
    pub bytes: usize,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { entries: MAX_ENTRIES, bytes: MAX_ENTRIES_TOTAL }
    }
}

/// One configured service.
#[derive(Debug, Clone)]
pub struct ServiceSetup {
    /// Its id.
    pub id: ServiceId,
    /// The plugin behind it.
    pub component: ComponentSource,
    /// The settings of the admin, by key.
    pub settings: BTreeMap<String, Setting>,
    /// Where the plugin may send HTTP requests.
    pub destinations: Vec<Destination>,
    /// How many issues run at once; `None`: as many as one service may.
    pub parallel_runner: Option<usize>,
    /// How many calls may wait for their turn, in each of the service's queues.
    pub queue_length: usize,
    /// How long a call waits for its turn.
    pub queue_wait: Duration,
    /// How long a call may take once it runs.
    pub plugin_timeout: Duration,
    /// Linear memory of one call, in bytes.
    pub memory_bytes: usize,
    /// How much it may answer.
    pub output: OutputLimits,
    /// Whether, and how far, the plugin gets the user's access token.
    pub pass_access_token: Option<TokenGrant>,
    /// How much HTTP one call may do.
    pub http: HttpLimits,
}

impl ServiceSetup {
    /// A service with the defaults: no settings, no grants, one issue at a time.
    pub fn new(id: ServiceId, component: ComponentSource) -> Self {
        Self {
            id,
            component,
            settings: BTreeMap::new(),
            destinations: Vec::new(),
            parallel_runner: Some(1),
            queue_length: 64,
            queue_wait: Duration::from_secs(10),
            plugin_timeout: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            output: OutputLimits::default(),
            pass_access_token: None,
            http: HttpLimits::default(),
        }
    }
}

/// The configured directory of companies.
#[derive(Debug, Clone)]
pub struct DirectorySetup {
    /// The plugin behind it.
    pub component: ComponentSource,
    /// The settings of the admin, by key.
    pub settings: BTreeMap<String, Setting>,
    /// Where the plugin may send HTTP requests.
    pub destinations: Vec<Destination>,
    /// How many looks at configurations run at once. Walks run one at a time regardless.
    pub parallel_looks: usize,
    /// How many calls may wait for their turn, of walks and of looks each.
    pub queue_length: usize,
    /// How long a call waits for its turn.
    pub queue_wait: Duration,
    /// How long a call may take once it runs.
    pub plugin_timeout: Duration,
    /// Linear memory of one call, in bytes.
    pub memory_bytes: usize,
    /// How much HTTP one call may do.
    pub http: HttpLimits,
}

impl DirectorySetup {
    /// A directory with the defaults: no settings, no grants, four looks at once.
    pub fn new(component: ComponentSource) -> Self {
        Self {
            component,
            settings: BTreeMap::new(),
            destinations: Vec::new(),
            parallel_looks: 4,
            queue_length: 64,
            queue_wait: Duration::from_secs(10),
            plugin_timeout: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            http: HttpLimits::of_directories(),
        }
    }
}
