//! Plugins for types of credentials that do what a test says, and otherwise what a plain plugin
//! would do.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Gate, lock};
use crate::error::FieldProblem;
use crate::field::{Field, ValueType};
use crate::ids::PluginName;
use crate::ports::plugins::{Broken, BrokenHow, PluginIdentity};
use crate::ports::types::{DeclaredType, NormaliseFailure, TypePluginView, TypePlugins, TypeValue};
use crate::secret::Secret;

/// The step of the next check.
#[derive(Debug, Clone)]
pub enum NormaliseStep {
    /// The answer of a plain plugin.
    Plain,
    /// The same, once the gate is open.
    Wait(Gate),
    /// It finds these problems.
    Invalid(Vec<FieldProblem>),
    /// The same, once the gate is open.
    InvalidLater(Gate, Vec<FieldProblem>),
    /// It returns these values, whatever it was given.
    Return(Vec<(String, String)>),
    /// There is no place to run.
    Busy,
    /// It breaks.
    Broken(BrokenHow),
}

/// One check that was asked for: which plugin, and the values with whether the request named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormaliseCall {
    /// The plugin.
    pub plugin: PluginName,
    /// Field, value, named.
    pub values: Vec<(String, String, bool)>,
}

/// Plugins that take every text, numbers and booleans where a definition asks for them, and compute
/// `FIELD from N values` for computed fields.
#[derive(Debug, Default)]
pub struct ScriptedTypePlugins {
    plugins: Mutex<Vec<TypePluginView>>,
    steps: Mutex<VecDeque<NormaliseStep>>,
    calls: Mutex<Vec<NormaliseCall>>,
}

impl ScriptedTypePlugins {
    /// `generic` alone.
    pub fn new() -> Self {
        let plugins = Self::default();
        plugins.configure("generic", None);
        plugins
    }

    /// Configures a plugin, in the place of one of its name.
    ///
    /// # Panics
    /// When `name` is none.
    #[expect(clippy::expect_used, reason = "tests name their plugins themselves")]
    pub fn configure(&self, name: &str, declares: Option<DeclaredType>) {
        let name = PluginName::parse(name).expect("the name of a plugin");
        let identity = PluginIdentity { name, version: "1.0".into(), digest: "00".repeat(32) };
        self.remove(identity.name.as_str());
        lock(&self.plugins).push(TypePluginView { identity, declares });
    }

    /// The plugin is configured no more.
    pub fn remove(&self, name: &str) {
        lock(&self.plugins).retain(|plugin| plugin.identity.name.as_str() != name);
    }

    /// The next check ends like this; one after another when called again.
    pub fn next(&self, step: NormaliseStep) {
        lock(&self.steps).push_back(step);
    }

    /// All checks so far.
    pub fn calls(&self) -> Vec<NormaliseCall> {
        lock(&self.calls).clone()
    }
}

#[async_trait]
impl TypePlugins for ScriptedTypePlugins {
    fn list(&self) -> Vec<TypePluginView> {
        lock(&self.plugins).clone()
    }

    async fn normalise(
        &self,
        plugin: &PluginName,
        definition: &[Field],
        values: &[TypeValue],
    ) -> Result<Vec<(String, Secret)>, NormaliseFailure> {
        if !lock(&self.plugins).iter().any(|known| known.identity.name == *plugin) {
            return Err(NormaliseFailure::NotLoaded);
        }
        let text = |value: &TypeValue| String::from_utf8_lossy(value.value.expose()).into_owned();
        let seen =
            values.iter().map(|value| (value.field.clone(), text(value), value.named)).collect();
        lock(&self.calls).push(NormaliseCall { plugin: plugin.clone(), values: seen });
        let step = lock(&self.steps).pop_front();
        match step.unwrap_or(NormaliseStep::Plain) {
            NormaliseStep::Plain => plain(definition, values),
            NormaliseStep::Wait(gate) => {
                gate.pass().await;
                plain(definition, values)
            }
            NormaliseStep::Invalid(problems) => Err(NormaliseFailure::Invalid(problems)),
            NormaliseStep::InvalidLater(gate, problems) => {
                gate.pass().await;
                Err(NormaliseFailure::Invalid(problems))
            }
            NormaliseStep::Return(values) => {
                Ok(values.into_iter().map(|(field, value)| (field, Secret::new(value))).collect())
            }
            NormaliseStep::Busy => Err(NormaliseFailure::Busy),
            NormaliseStep::Broken(how) => Err(NormaliseFailure::Broken(Broken {
                how,
                cause: "a test makes it break".into(),
                last_words: None,
            })),
        }
    }
}

fn plain(
    definition: &[Field],
    values: &[TypeValue],
) -> Result<Vec<(String, Secret)>, NormaliseFailure> {
    let mut problems = Vec::new();
    let mut normal = Vec::new();
    for field in definition {
        if field.computed {
            let computed = format!("{} from {} values", field.id, values.len());
            normal.push((field.id.clone(), Secret::new(computed)));
            continue;
        }
        let Some(value) = values.iter().find(|value| value.field == field.id) else { continue };
        match fault(field, value.value.expose_str().unwrap_or_default()) {
            Some(why) => problems.push(FieldProblem::new([field.id.clone().into()], why)),
            None => normal.push((field.id.clone(), value.value.clone())),
        }
    }
    if problems.is_empty() { Ok(normal) } else { Err(NormaliseFailure::Invalid(problems)) }
}

fn fault(field: &Field, value: &str) -> Option<&'static str> {
    match field.value_type {
        ValueType::Number if value.parse::<f64>().is_err() => Some("expected a number"),
        ValueType::Boolean if !matches!(value, "true" | "false") => Some("expected true or false"),
        ValueType::Choice if !field.choices.iter().any(|choice| choice == value) => {
            Some("expected one of the choices")
        }
        _ => None,
    }
}
