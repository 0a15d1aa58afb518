//! Plugins for types of credentials: they check and normalise the values of one credential.
//!
//! Such a plugin sees plain secrets, so it gets nothing to send them with: no HTTP, no settings, and its log is counted and thrown away.
//! What it says about a field that the request did not name is replaced, else an update would tell what is stored. Never here: storage.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::error::FieldProblem;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::{Broken, PluginIdentity, Urgency};
use credsmith_core::secret::Secret;
use wasmtime::Store;

use crate::error::{LoadError, LoadFault};
use crate::fields::{self, Field, KeyStyle, Problems};
use crate::journal::{About, Journal, Keep};
use crate::lane::Lane;
use crate::load::{DESCRIBE_MEMORY, Loading};
use crate::machine::Machine;
use crate::options::ComponentSource;
use crate::run::{self, Broke, Plan};
use crate::shelf::{Compiled, Shelf, Template};
use crate::state::{Grants, State};
use crate::text;
use crate::v0;

const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a normalisation may take. It computes and waits for nobody.
const NORMALISE_TIMEOUT: Duration = Duration::from_secs(5);
/// Linear memory of one, in bytes.
const NORMALISE_MEMORY: usize = 64 << 20;
/// How many normalisations may wait for their turn.
const MAX_WAITING: usize = 256;
/// Most fields of a type.
const MAX_FIELDS: usize = 200;
/// All values of a credential together, in bytes.
const MAX_VALUES: usize = 256 * 1024;
/// Longest message about a field, in characters.
const MAX_MESSAGE: usize = 500;
/// Longest label, icon or scope, in bytes.
const MAX_LABEL: usize = 200;
/// What is said of a field that the request did not name.
const ELSEWHERE: &str = "A value that was not part of the request does not fit.";

/// What a plugin for a type of credential says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDescription {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: String,
    /// The type that it brings, if it brings a whole one.
    pub declares: Option<DeclaredType>,
}

/// A type of credential that exists because of its plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    /// What people call it.
    pub label: String,
    /// The name of its picture.
    pub icon: String,
    /// The permission that it needs beyond the usual ones.
    pub permission_scope: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// One value of a credential.
#[derive(Debug, Clone)]
pub struct TypeValue {
    /// The key of its field.
    pub key: String,
    /// The value.
    pub value: Secret,
    /// Whether the request brought it. The others come from the store.
    pub named: bool,
}

/// Why values were not normalised.
#[derive(Debug)]
pub enum NormaliseFailure {
    /// They do not fit the type.
    Invalid(Vec<FieldProblem>),
    /// There was no place to run in time.
    Busy,
    /// The plugin broke.
    Broken(Broken),
}

/// A loaded plugin for a type of credential. Clones share it.
#[derive(Clone)]
pub struct TypePlugin {
    machine: Arc<Machine>,
    plugin: Arc<Compiled>,
    description: Arc<TypeDescription>,
    turns: Arc<Lane>,
    /// How many places in the pool an instance takes.
    weight: usize,
}

impl fmt::Debug for TypePlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypePlugin({})", self.description.name)
    }
}

impl TypePlugin {
    pub(crate) async fn load(
        machine: &Arc<Machine>,
        shelf: &Arc<Shelf>,
        source: &ComponentSource,
    ) -> Result<Self, LoadError> {
        let plugin = shelf.take(source).await?;
        if !matches!(plugin.template, Template::CredentialType(_)) {
            return Err(LoadError::new(
                LoadFault::WrongWorld,
                &source.origin,
                format!("it is a {}, not a credential-type-plugin", plugin.world.as_str()),
                "give the component of a plugin for a type of credential",
            ));
        }
        let weight = machine.weight(plugin.needs.memories, plugin.needs.tables);
        let loading = Loading { machine, source, service: "", memory: DESCRIBE_MEMORY, weight };
        let description = Arc::new(describe(&loading, &plugin).await?);
        // Like a service, it gets at most half of the pool.
        let turns = Lane::new(machine.pool_size / 2 / weight, MAX_WAITING);
        Ok(Self { machine: machine.clone(), plugin, description, turns, weight })
    }

    /// What it says of itself.
    pub fn description(&self) -> &TypeDescription {
        &self.description
    }

    /// Which plugin it is.
    pub fn identity(&self) -> PluginIdentity {
        PluginIdentity {
            name: self.description.name.clone(),
            version: self.description.version.clone(),
            digest: self.plugin.digest.clone(),
        }
    }

    /// Checks and normalises the values of one credential. `definition`: the fields of its type.
    ///
    /// # Errors
    /// See [`NormaliseFailure`]. Dropping the future ends the plugin.
    pub async fn normalise(
        &self,
        definition: &[Field],
        values: &[TypeValue],
    ) -> Result<Vec<(String, Secret)>, NormaliseFailure> {
        let Ok(turn) = self.turns.turn(Urgency::User, NORMALISE_TIMEOUT).await else {
            return Err(NormaliseFailure::Busy);
        };
        let waiting = tokio::time::timeout(NORMALISE_TIMEOUT, self.machine.places(self.weight));
        let Ok(Ok(permit)) = waiting.await else { return Err(NormaliseFailure::Busy) };
        let place = (turn, permit);
        let journal = Journal::new(Keep::Counted);
        let plan = Plan {
            grants: Arc::new(Grants::default()),
            journal: journal.clone(),
            memory: NORMALISE_MEMORY.min(self.machine.max_memory),
            timeout: NORMALISE_TIMEOUT,
            largest: MAX_VALUES,
        };
        let plugin = self.plugin.clone();
        let given: Vec<v0::types::Field> = definition.iter().map(to_wire).collect();
        let pairs: Vec<v0::types::Pair> = values.iter().filter_map(pair).collect();
        let answer = run::run(&self.machine, place, plan, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_credential_type().call_normalise(store, &given, &pairs).await
            })
        })
        .await;
        journal.withhold(&self.about());
        let checked = answer.and_then(|answer| match answer {
            Ok(pairs) => check_values(definition, pairs).map(Ok),
            Err(problems) => Ok(Err(problems_of(problems, values))),
        });
        match checked {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(problems)) => Err(NormaliseFailure::Invalid(problems)),
            Err(broke) => Err(NormaliseFailure::Broken(self.broken(&broke))),
        }
    }

    fn about(&self) -> About {
        About {
            service: "".into(),
            plugin: self.description.name.as_str().into(),
            version: self.description.version.as_str().into(),
            operation: "normalise",
            lease: None,
        }
    }

    fn broken(&self, broke: &Broke) -> Broken {
        let PluginIdentity { name, version, digest } = self.identity();
        let cause = format!("plugin {name} {version} (sha256 {digest}) failed to normalise: {}", broke.what);
        Broken { how: broke.how, cause: cause.into() }
    }
}

async fn instance(plugin: &Compiled, store: &mut Store<State>) -> wasmtime::Result<v0::CredentialTypePlugin> {
    match &plugin.template {
        Template::CredentialType(template) => template.instantiate_async(store).await,
        Template::Service(_) | Template::Unserved => {
            wasmtime::bail!("it is not a plugin for a type of credential")
        }
    }
}

/// Asks a plugin for a type of credential what it is.
pub(crate) async fn describe(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
) -> Result<TypeDescription, LoadError> {
    let plugin = plugin.clone();
    let nothing = Arc::new(Grants::default());
    let given = loading
        .run("describe", &nothing, DESCRIBE_TIMEOUT, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_credential_type().call_describe(store).await
            })
        })
        .await?;
    check_description(given).map_err(|problems| loading.bad_description(problems))
}

fn check_description(given: v0::credential_type::Description) -> Result<TypeDescription, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let name = fields::identity(&mut problems, &given.name, &given.version);
    let declares = given.declares.map(|declared| check_declared(&mut problems, declared));
    let Some(name) = name else { return Err(problems.into_vec()) };
    problems.or(TypeDescription { name, version: given.version, declares })
}

fn check_declared(problems: &mut Problems, given: v0::credential_type::DeclaredType) -> DeclaredType {
    let texts = [Some(&given.label), Some(&given.icon), given.permission_scope.as_ref()];
    let fits = texts.into_iter().flatten().all(|text| text.len() <= MAX_LABEL && text::is_one_line(text));
    problems.require(
        fits,
        &["declares"],
        format!("expected texts of one line and at most {MAX_LABEL} bytes"),
    );
    let fields = fields::fields(problems, &["declares", "fields"], given.fields, KeyStyle::Mixed, MAX_FIELDS);
    DeclaredType { label: given.label, icon: given.icon, permission_scope: given.permission_scope, fields }
}

fn to_wire(field: &Field) -> v0::types::Field {
    v0::types::Field {
        key: field.key.clone(),
        label: field.label.clone(),
        help: field.help.clone(),
        kind: field.kind.clone(),
        choices: field.choices.clone(),
        required: field.required,
        secure: field.secure,
        computed: field.computed,
        default: field.default.clone(),
        extra: Vec::new(),
    }
}

fn pair(value: &TypeValue) -> Option<v0::types::Pair> {
    Some(v0::types::Pair { key: value.key.clone(), value: value.value.expose_str()?.to_owned() })
}

/// Checks what came back: fields of the definition alone, each once, of bearable size.
fn check_values(definition: &[Field], given: Vec<v0::types::Pair>) -> Result<Vec<(String, Secret)>, Broke> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0_usize;
    let mut values = Vec::with_capacity(given.len().min(definition.len()));
    for pair in given {
        if !definition.iter().any(|field| field.key == pair.key) {
            return Err(Broke::bad_output("it answered a field that the type does not have"));
        }
        if !seen.insert(pair.key.clone()) {
            return Err(Broke::bad_output("it answered a field twice"));
        }
        bytes = bytes.saturating_add(pair.value.len());
        if bytes > MAX_VALUES {
            return Err(Broke::bad_output(format!("its values have more than {MAX_VALUES} bytes")));
        }
        values.push((pair.key, Secret::new(pair.value)));
    }
    Ok(values)
}

/// What the plugin has against the values. Of a field that the request did not name it may not speak.
fn problems_of(given: Vec<v0::types::FieldProblem>, values: &[TypeValue]) -> Vec<FieldProblem> {
    let named: BTreeSet<&str> =
        values.iter().filter(|value| value.named).map(|value| value.key.as_str()).collect();
    let hidden: Vec<&[u8]> =
        values.iter().filter(|value| !value.named).map(|value| value.value.expose()).collect();
    let mut problems = Vec::new();
    for problem in given.into_iter().take(MAX_FIELDS) {
        let field = problem.path.first().filter(|field| named.contains(field.as_str()));
        let tells = hidden.iter().any(|value| text::contains(problem.message.as_bytes(), value));
        let problem = match field {
            Some(field) if !tells => {
                FieldProblem::new([field.clone().into()], text::cleaned(&problem.message, MAX_MESSAGE))
            }
            _ => FieldProblem::new([], ELSEWHERE),
        };
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(key: &str) -> Field {
        Field {
            key: key.to_owned(),
            label: String::new(),
            help: String::new(),
            kind: "text".to_owned(),
            choices: Vec::new(),
            required: false,
            secure: false,
            computed: false,
            default: None,
        }
    }

    fn pair(key: &str, value: &str) -> v0::types::Pair {
        v0::types::Pair { key: key.to_owned(), value: value.to_owned() }
    }

    fn problem(path: &[&str], message: &str) -> v0::types::FieldProblem {
        v0::types::FieldProblem {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn values_are_those_of_the_definition() {
        let definition = [field("user"), field("password")];
        assert_eq!(check_values(&definition, vec![pair("user", "a")]).unwrap().len(), 1);
        for (given, expected) in [
            (vec![pair("other", "a")], "does not have"),
            (vec![pair("user", "a"), pair("user", "b")], "twice"),
            (vec![pair("user", &"x".repeat(MAX_VALUES + 1))], "bytes"),
        ] {
            let why = check_values(&definition, given).map(|_| ()).unwrap_err().what;
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn an_update_is_no_oracle() {
        let value = |key: &str, value: &str, named| TypeValue {
            key: key.to_owned(),
            value: Secret::new(value),
            named,
        };
        let values = [value("user", "a", true), value("password", "hunter22", false)];
        let told = problems_of(
            vec![
                problem(&["user"], "too\nshort"),
                problem(&["user"], "must not be hunter22"),
                problem(&["password"], "starts with h"),
                problem(&["elsewhere"], "h"),
                problem(&[], "h"),
            ],
            &values,
        );
        let hidden = FieldProblem::new([], ELSEWHERE);
        let short = FieldProblem::new(["user".into()], "too short");
        assert_eq!(told, [short, hidden]);
    }

    #[test]
    fn a_declared_type_is_checked() {
        let described = |label: &str, key: &str| v0::credential_type::Description {
            name: "login".to_owned(),
            version: "1".to_owned(),
            declares: Some(v0::credential_type::DeclaredType {
                label: label.to_owned(),
                icon: "key".to_owned(),
                permission_scope: None,
                fields: vec![to_wire(&field(key))],
            }),
            extra: Vec::new(),
        };
        assert!(check_description(described("Login", "userName")).is_ok());
        assert!(check_description(described("Lo\ngin", "userName")).is_err());
        assert!(check_description(described("Login", "user-name")).is_err());
    }
}
