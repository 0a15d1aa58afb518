//! One loaded plugin for types of credentials: it checks and normalises the values of one
//! credential.
//!
//! Such a plugin sees plain secrets, so it gets nothing to send them with: no HTTP, no settings,
//! and its log is counted and thrown away. Its message about a field that the request did not name
//! is replaced: else an update would reveal stored values. Never here: storage.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use credsmith_contract::limits::{
    KINDS_OF_SETTINGS, MAX_FIELDS, MAX_LABEL, MAX_PROBLEM, MAX_VALUES_TOTAL, SHORTEST_SEARCHED,
};
use credsmith_core::error::FieldProblem;
use credsmith_core::field::{Field, ValueType};
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::{Broken, PluginIdentity, Urgency};
use credsmith_core::ports::types::{DeclaredType, NormaliseFailure, TypePluginView, TypeValue};
use credsmith_core::secret::Secret;
use futures_util::future::BoxFuture;
use url::Url;
use wasmtime::Store;

use crate::call::grants::Grants;
use crate::call::journal::{CallLabels, Journal, LogLines};
use crate::call::run::{self, GuestFailure, Plan};
use crate::call::state::State;
use crate::component::cache::{Compiled, Template};
use crate::engine::guest_engine::GuestEngine;
use crate::engine::lane::Lane;
use crate::error::LoadError;
use crate::load::fields::{self, KeyStyle, Problems};
use crate::load::loader::{DESCRIBE_MEMORY, Loader, PluginWorld};
use crate::options::ComponentSource;
use crate::{text, v0};

/// How long a normalisation may take: it only computes.
const NORMALISE_TIMEOUT: Duration = Duration::from_secs(5);
/// Linear memory of one, in bytes.
const NORMALISE_MEMORY: usize = 64 << 20;
/// How many normalisations may wait for their turn.
const MAX_WAITING: usize = 256;
/// Longest URL of a picture, in bytes.
const MAX_ICON: usize = 2048;
/// The message about a field that the request did not name.
const ELSEWHERE: &str = "A value that was not part of the request does not fit.";
/// The message about a field that the type does not have.
const LACKING: &str = "The type lacks a field that its plugin needs.";

// Core defines types of credentials, and bounds their fields as well.
const _: () = assert!(MAX_FIELDS == credsmith_core::field::MAX_FIELDS);

/// A plugin that can be called.
pub(crate) struct TypePlugin {
    engine: Arc<GuestEngine>,
    plugin: Arc<Compiled>,
    view: TypePluginView,
    turns: Arc<Lane>,
    /// How many places in the pool an instance takes.
    weight: usize,
}

impl fmt::Debug for TypePlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypePlugin({})", self.name())
    }
}

impl TypePlugin {
    /// Loads a plugin.
    pub(crate) async fn load(loader: &Loader, source: &ComponentSource) -> Result<Self, LoadError> {
        let loading = loader.compile(source, "", DESCRIBE_MEMORY).await?;
        let view = loading.describe::<CredentialTypeWorld>().await?;
        let engine = loader.engine.clone();
        // Like a service, it gets at most half of the pool.
        let turns = Lane::new(engine.pool_size / 2 / loading.weight, MAX_WAITING);
        Ok(Self { engine, plugin: loading.component, view, turns, weight: loading.weight })
    }

    /// Its description, as core reads it.
    pub(crate) fn view(&self) -> &TypePluginView {
        &self.view
    }

    /// The name by which types refer to it.
    pub(crate) fn name(&self) -> &PluginName {
        &self.view.identity.name
    }

    /// See [`TypePlugins::normalise`](credsmith_core::ports::types::TypePlugins::normalise).
    pub(crate) async fn normalise(
        &self,
        definition: &[Field],
        values: &[TypeValue],
    ) -> Result<Vec<(String, Secret)>, NormaliseFailure> {
        let place =
            self.engine.place(&self.turns, self.weight, Urgency::User, NORMALISE_TIMEOUT).await;
        let Ok(place) = place else { return Err(NormaliseFailure::Busy) };
        let journal = Journal::new(LogLines::Counted);
        let plan = Plan {
            grants: Arc::new(Grants::default()),
            journal: journal.clone(),
            memory: NORMALISE_MEMORY.min(self.engine.max_memory),
            timeout: NORMALISE_TIMEOUT,
            largest: MAX_VALUES_TOTAL,
        };
        let plugin = self.plugin.clone();
        let given: Vec<v0::types::Field> = definition.iter().map(to_wire).collect();
        let pairs: Vec<v0::types::Pair> = values.iter().filter_map(pair).collect();
        let answer = run::run(&self.engine, place, plan, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance
                    .credsmith_plugin_credential_type()
                    .call_normalise(store, &given, &pairs)
                    .await
            })
        })
        .await;
        journal.withhold(&self.labels());
        let checked = answer.and_then(|answer| match answer {
            Ok(pairs) => check_values(definition, pairs).map(Ok),
            Err(problems) => Ok(Err(problems_of(definition, problems, values))),
        });
        match checked {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(problems)) => Err(NormaliseFailure::Invalid(problems)),
            Err(failure) => Err(NormaliseFailure::Broken(self.broken(&failure))),
        }
    }

    fn labels(&self) -> CallLabels {
        CallLabels {
            service: "".into(),
            plugin: self.name().as_str().into(),
            version: self.view.identity.version.as_str().into(),
            operation: "normalise",
            lease: None,
        }
    }

    fn broken(&self, failure: &GuestFailure) -> Broken {
        let PluginIdentity { name, version, digest } = &self.view.identity;
        let cause = format!(
            "plugin {name} {version} (sha256 {digest}) failed to normalise: {}",
            failure.what
        );
        Broken { how: failure.how, cause: cause.into(), last_words: None }
    }
}

async fn instance(
    plugin: &Compiled,
    store: &mut Store<State>,
) -> wasmtime::Result<v0::CredentialTypePlugin> {
    match &plugin.template {
        Template::CredentialType(template) => template.instantiate_async(store).await,
        Template::Service(_) | Template::Directory(_) => {
            wasmtime::bail!("it is not a plugin for a type of credential")
        }
    }
}

/// The world of plugins for credential types.
pub(crate) struct CredentialTypeWorld;

impl PluginWorld for CredentialTypeWorld {
    const NAME: &'static str = "credential-type-plugin";
    const FIX: &'static str = "give the component of a plugin for a type of credential";
    type Answer = v0::credential_type::Description;
    type Description = TypePluginView;

    fn is_made_by(template: &Template) -> bool {
        matches!(template, Template::CredentialType(_))
    }

    fn describe<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Self::Answer>> {
        Box::pin(async move {
            let instance = instance(plugin, store).await?;
            instance.credsmith_plugin_credential_type().call_describe(store).await
        })
    }

    fn check(answer: Self::Answer, plugin: &Compiled) -> Result<TypePluginView, Vec<FieldProblem>> {
        check_description(answer, plugin.digest.clone())
    }
}

fn check_description(
    given: v0::credential_type::Description,
    digest: String,
) -> Result<TypePluginView, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let name = fields::identity(&mut problems, &given.name, &given.version);
    let declares = given.declares.map(|declared| check_declared(&mut problems, declared));
    let Some(name) = name else { return Err(problems.into_vec()) };
    let identity = PluginIdentity { name, version: given.version, digest };
    problems.or(TypePluginView { identity, declares })
}

fn check_declared(
    problems: &mut Problems,
    given: v0::credential_type::DeclaredType,
) -> DeclaredType {
    let texts = [Some(&given.label), given.permission_scope.as_ref()];
    let fits =
        texts.into_iter().flatten().all(|text| text.len() <= MAX_LABEL && text::is_one_line(text));
    problems.require(
        fits && !given.label.trim().is_empty(),
        &["declares"],
        format!("expected texts of one line and at most {MAX_LABEL} bytes"),
    );
    let icon = (!given.icon.is_empty()).then_some(given.icon);
    let icon_fits = icon.as_deref().is_none_or(is_picture);
    problems.require(icon_fits, &["declares", "icon"], "expected the URL of a picture, or nothing");
    let fields = fields::fields(
        problems,
        &["declares", "fields"],
        given.fields,
        KeyStyle::Mixed,
        MAX_FIELDS,
    );
    let fields = fields.into_iter().map(|field| declared_field(problems, field)).collect();
    DeclaredType { name: given.label, icon, permission_scope: given.permission_scope, fields }
}

fn declared_field(problems: &mut Problems, given: fields::Field) -> Field {
    let at = ["declares", "fields", given.key.as_str()];
    let storable = !KINDS_OF_SETTINGS.contains(&given.kind.as_str());
    problems.require(storable, &at, "is of a kind that only settings are of");
    problems.require(
        !(given.computed && given.required),
        &at,
        "is computed, and so cannot be required",
    );
    problems.require(
        given.default.is_none(),
        &at,
        "has a default, which a field of a credential has not",
    );
    Field {
        name: given.label,
        required: given.required,
        secure: given.secure,
        value_type: ValueType::from_contract_kind(&given.kind),
        choices: given.choices,
        computed: given.computed,
        id: given.key,
    }
}

fn is_picture(icon: &str) -> bool {
    let fits = |url: Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    };
    icon.len() <= MAX_ICON && Url::parse(icon).is_ok_and(fits)
}

fn to_wire(field: &Field) -> v0::types::Field {
    v0::types::Field {
        key: field.id.clone(),
        label: field.name.clone(),
        help: String::new(),
        kind: field.value_type.contract_kind().to_owned(),
        choices: field.choices.clone(),
        required: field.required,
        secure: field.secure,
        computed: field.computed,
        default: None,
        extra: Vec::new(),
    }
}

fn pair(value: &TypeValue) -> Option<v0::types::Pair> {
    Some(v0::types::Pair { key: value.field.clone(), value: value.value.expose_str()?.to_owned() })
}

/// Checks the values of an answer: only fields of the definition, each once, within the limit of
/// size.
fn check_values(
    definition: &[Field],
    given: Vec<v0::types::Pair>,
) -> Result<Vec<(String, Secret)>, GuestFailure> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0_usize;
    let mut values = Vec::with_capacity(given.len().min(definition.len()));
    for pair in given {
        if !definition.iter().any(|field| field.id == pair.key) {
            return Err(GuestFailure::bad_output(
                "it answered a field that the type does not have",
            ));
        }
        if !seen.insert(pair.key.clone()) {
            return Err(GuestFailure::bad_output("it answered a field twice"));
        }
        bytes = bytes.saturating_add(pair.value.len());
        if bytes > MAX_VALUES_TOTAL {
            return Err(GuestFailure::bad_output(format!(
                "its values have more than {MAX_VALUES_TOTAL} bytes"
            )));
        }
        values.push((pair.key, Secret::new(pair.value)));
    }
    Ok(values)
}

/// The problems that the plugin has with the values. About a field that the request did not name,
/// only that its value does not fit.
fn problems_of(
    definition: &[Field],
    given: Vec<v0::types::FieldProblem>,
    values: &[TypeValue],
) -> Vec<FieldProblem> {
    let named: BTreeSet<&str> =
        values.iter().filter(|value| value.named).map(|value| value.field.as_str()).collect();
    let hidden: Vec<&[u8]> =
        values.iter().filter(|value| !value.named).map(|value| value.value.expose()).collect();
    let mut problems = Vec::new();
    for problem in given.into_iter().take(MAX_FIELDS) {
        let field =
            problem.path.first().filter(|id| definition.iter().any(|field| field.id == **id));
        let leaks = hidden.iter().any(|value| quotes(&problem.message, value));
        let shown = field.is_some_and(|field| named.contains(field.as_str())) && !leaks;
        let message = match field {
            Some(_) if shown => text::cleaned(&problem.message, MAX_PROBLEM),
            None if !problem.path.is_empty() => LACKING.to_owned(),
            _ => ELSEWHERE.to_owned(),
        };
        let problem = FieldProblem::new(field.map(|field| field.clone().into()), message);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Whether `message` contains `value`. A value too short to be searched for is never found.
fn quotes(message: &str, value: &[u8]) -> bool {
    value.len() >= SHORTEST_SEARCHED && memchr::memmem::find(message.as_bytes(), value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(id: &str) -> Field {
        Field {
            id: id.to_owned(),
            name: id.to_owned(),
            required: false,
            secure: false,
            value_type: ValueType::PlainText,
            choices: Vec::new(),
            computed: false,
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
            (vec![pair("user", &"x".repeat(MAX_VALUES_TOTAL + 1))], "bytes"),
        ] {
            let why = check_values(&definition, given).map(|_| ()).unwrap_err().what;
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn an_update_is_no_oracle() {
        let value = |field: &str, value: &str, named| TypeValue {
            field: field.to_owned(),
            value: Secret::new(value),
            named,
        };
        let values = [value("user", "a", true), value("password", "hunter22", false)];
        let problems = problems_of(
            &[field("user"), field("password"), field("absent")],
            vec![
                problem(&["user"], "too\nshort"),
                problem(&["user"], "must not be hunter22"),
                problem(&["password"], "starts with h"),
                problem(&["password"], "and ends with 2"),
                problem(&["absent"], "is missing, unlike hunter22"),
                problem(&["elsewhere"], "h"),
                problem(&["h"], "h"),
                problem(&[], "h"),
            ],
            &values,
        );
        let at = |path: &str, message: &str| FieldProblem::new([path.to_owned().into()], message);
        let expected = [
            at("user", "too short"),
            at("user", ELSEWHERE),
            at("password", ELSEWHERE),
            at("absent", ELSEWHERE),
            FieldProblem::new([], LACKING),
            FieldProblem::new([], ELSEWHERE),
        ];
        assert_eq!(problems, expected);
    }

    type Spoil = fn(&mut v0::credential_type::DeclaredType);

    fn declared(spoil: Spoil) -> Result<TypePluginView, Vec<FieldProblem>> {
        let mut declared = v0::credential_type::DeclaredType {
            label: "Login".to_owned(),
            icon: "https://login.example/icon.png".to_owned(),
            permission_scope: Some("login.use".to_owned()),
            fields: vec![to_wire(&field("userName")), to_wire(&field("pin"))],
        };
        declared.fields[1].kind = "integer".to_owned();
        spoil(&mut declared);
        let description = v0::credential_type::Description {
            name: "login".to_owned(),
            version: "1".to_owned(),
            declares: Some(declared),
            extra: Vec::new(),
        };
        check_description(description, "digest".to_owned())
    }

    #[test]
    fn a_declared_type_is_one_of_core() {
        let view = declared(|_| ()).unwrap();
        assert_eq!(
            (view.identity.name.as_str(), view.identity.digest.as_str()),
            ("login", "digest")
        );
        let declares = view.declares.unwrap();
        assert_eq!(
            (declares.name.as_str(), declares.permission_scope.as_deref()),
            ("Login", Some("login.use"))
        );
        assert_eq!(declares.fields[0], field("userName"));
        assert_eq!(declares.fields[1].value_type, ValueType::Number);
        let plain = declared(|declared| declared.icon.clear()).unwrap().declares.unwrap();
        assert_eq!(plain.icon, None);
    }

    #[test]
    fn a_declared_type_that_could_not_be_defined_is_refused() {
        let cases: [(Spoil, &str); 11] = [
            (|declared| declared.label = "Lo\ngin".to_owned(), "declares"),
            (|declared| declared.label = " ".to_owned(), "declares"),
            (|declared| declared.icon = "key".to_owned(), "declares.icon"),
            (|declared| declared.icon = "https://a:b@login.example/".to_owned(), "declares.icon"),
            (|declared| declared.icon = "javascript:alert(1)".to_owned(), "declares.icon"),
            (
                |declared| declared.fields[0].key = "user-name".to_owned(),
                "declares.fields.user-name",
            ),
            (|declared| declared.fields[0].key = "pin".to_owned(), "declares.fields.pin"),
            // It would be taken for plain text, and stored as such.
            (|declared| declared.fields[0].kind = "secret".to_owned(), "declares.fields.userName"),
            (
                |declared| declared.fields[0].default = Some("a".to_owned()),
                "declares.fields.userName",
            ),
            (
                |declared| {
                    (declared.fields[0].computed, declared.fields[0].required) = (true, true)
                },
                "declares.fields.userName",
            ),
            (
                |declared| {
                    let more = (0..=MAX_FIELDS).map(|n| to_wire(&field(&format!("f{n}"))));
                    declared.fields = more.collect();
                },
                "declares.fields",
            ),
        ];
        for (spoil, place) in cases {
            let problems = declared(spoil).unwrap_err();
            assert_eq!(problems[0].place(), place);
        }
    }
}
