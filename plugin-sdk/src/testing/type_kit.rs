//! The kit for types of credentials.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;

use super::checks;
use super::world::{Phase, World};
use crate::credential_type::{CredentialType, Description};
use crate::field::Field;
use crate::problem::FieldProblem;

/// Runs the credential type `T` and checks what the daemon would check.
///
/// ```
/// # use credsmith_plugin_sdk::credential_type::{CredentialType, Description};
/// # use credsmith_plugin_sdk::{Field, FieldProblem};
/// # struct Plugin;
/// # impl CredentialType for Plugin {
/// #     fn describe() -> Description { Description::new("plugin", "1.0.0") }
/// #     fn normalise(
/// #         _: &[Field],
/// #         values: Vec<(String, String)>,
/// #     ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
/// #         let short = || vec![FieldProblem::at("pin", "expected four digits")];
/// #         if values[0].1.len() < 4 { Err(short()) } else { Ok(values) }
/// #     }
/// # }
/// use credsmith_plugin_sdk::testing::TypeKit;
///
/// let kit = TypeKit::<Plugin>::of([Field::password("pin")]);
/// assert_eq!(kit.normalise(&[("pin", "4711")]).unwrap()["pin"], "4711");
/// assert_eq!(kit.normalise(&[("pin", "12")]).unwrap_err()["pin"], "expected four digits");
/// ```
pub struct TypeKit<T> {
    world: Rc<World>,
    definition: Vec<Field>,
    plugin: PhantomData<T>,
}

impl<T: CredentialType> TypeKit<T> {
    /// Credentials of a type with these fields, as a technician defined it on the plugin.
    pub fn of(definition: impl IntoIterator<Item = Field>) -> Self {
        let definition = definition.into_iter().collect();
        Self { world: Rc::new(World::new()), definition, plugin: PhantomData }
    }

    /// Credentials of the type that the plugin declares.
    ///
    /// # Panics
    /// When it declares none, or the daemon would not accept its description.
    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    pub fn declared() -> Self {
        let mut kit = Self::of([]);
        match kit.describe().declares {
            Some(declared) => kit.definition = declared.fields,
            None => panic!("the plugin declares no type"),
        }
        kit
    }

    /// The plugin's description.
    ///
    /// # Panics
    /// When the daemon would not accept it, or it differs between two calls.
    pub fn describe(&self) -> Description {
        let description = self.world.around(Phase::Describe, T::describe);
        if self.world.around(Phase::Describe, T::describe) != description {
            self.world.problem("describe does not answer the same twice");
        }
        self.complain("describe", checks::types::description(&description));
        description
    }

    /// Normalises values: field and value in, field and value out.
    ///
    /// # Errors
    /// Field and message of each problem.
    ///
    /// # Panics
    /// When the daemon would not accept the answer, a message quotes a value, or the plugin would
    /// not take its own answer again, unchanged: at an update, the daemon gives it what it
    /// answered, with what the update changes.
    pub fn normalise(
        &self,
        values: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>, BTreeMap<String, String>> {
        let given: Vec<_> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        match self.run(given.clone()) {
            Ok(normal) => {
                self.complain("normalise", checks::types::normalised(&self.definition, &normal));
                self.twice(&normal);
                Ok(normal.into_iter().collect())
            }
            Err(problems) => {
                self.complain("normalise", checks::types::problems(&given, &problems));
                Err(problems
                    .into_iter()
                    .map(|problem| (problem.path.concat(), problem.message))
                    .collect())
            }
        }
    }

    fn run(
        &self,
        given: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        self.world.around(Phase::Call, || T::normalise(&self.definition, given))
    }

    fn twice(&self, normal: &[(String, String)]) {
        let sorted = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        let again = self.run(normal.to_vec()).map(|again| sorted(&again));
        if again != Ok(sorted(normal)) {
            self.world.problem("it does not take its own answer again, unchanged");
        }
        self.complain("normalise", Vec::new());
    }

    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    fn complain(&self, operation: &str, complaints: Vec<String>) {
        let mut problems = self.world.problems.take();
        problems.extend(complaints);
        if !problems.is_empty() {
            panic!("the daemon would not accept this from {operation}: {}", problems.join("; "));
        }
    }
}
