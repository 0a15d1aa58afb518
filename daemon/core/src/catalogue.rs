//! The configured services as the domain sees them: name, rules, limits and lifetime. The settings
//! of their plugins are the host's matter.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::ServiceId;
use crate::rules::Rules;

/// A configured service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name, everywhere.
    pub id: ServiceId,
    /// Its name for people.
    pub description: String,
    /// Smaller is listed earlier; services without one come last.
    pub display_priority: Option<i64>,
    /// Most leases of one user at a time; `None`: no limit. Zero: no lease at all.
    pub limit: Option<u32>,
    /// Whether a plugin state that an active lease of the same user holds means that lease.
    pub allow_same_state: bool,
    /// Whether the plugin is given the user's access token.
    pub pass_access_token: bool,
    /// When the daemon revokes at the latest, counted from the issue; `None`: only on request.
    pub max_lifetime: Option<Duration>,
    /// The rules about its users.
    pub rules: Rules,
    /// Whether it is left out of the lists of users who may not use it.
    pub hide: bool,
    /// The tooltip of lists for users who may not use it; `None`: the dialect's usual one.
    pub tooltip: Option<String>,
}

/// Two services share an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateService(pub ServiceId);

impl fmt::Display for DuplicateService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service `{}` is configured twice", self.0)
    }
}

impl std::error::Error for DuplicateService {}

/// All configured services.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    listed: Vec<Arc<Service>>,
    by_id: BTreeMap<ServiceId, Arc<Service>>,
}

impl Catalogue {
    /// Takes the services in any order.
    ///
    /// # Errors
    /// [`DuplicateService`] names the first id that occurs twice.
    pub fn new(services: Vec<Service>) -> Result<Self, DuplicateService> {
        let mut catalogue = Self::default();
        for service in services {
            let service = Arc::new(service);
            if catalogue.by_id.insert(service.id.clone(), Arc::clone(&service)).is_some() {
                return Err(DuplicateService(service.id.clone()));
            }
            catalogue.listed.push(service);
        }
        catalogue.listed.sort_by(|a, b| list_order(a, b));
        Ok(catalogue)
    }

    /// The service of exactly that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Service>> {
        self.by_id.get(id)
    }

    /// All of them in the order of lists: by display priority, ascending, then those without one;
    /// ties by lower-cased id.
    pub fn listed(&self) -> &[Arc<Service>] {
        &self.listed
    }
}

fn list_order(a: &Service, b: &Service) -> Ordering {
    let rank = |service: &Service| (service.display_priority.is_none(), service.display_priority);
    let name = |service: &Service| service.id.as_str().to_ascii_lowercase();
    rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b))).then_with(|| a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles;

    fn service(id: &str, display_priority: Option<i64>) -> Service {
        Service { display_priority, ..doubles::service(id) }
    }

    fn order(services: Vec<Service>) -> Vec<String> {
        let catalogue = Catalogue::new(services).unwrap();
        catalogue.listed().iter().map(|service| service.id.to_string()).collect()
    }

    #[test]
    fn lists_go_by_priority_then_by_lower_cased_id() {
        let services = vec![
            service("b", None),
            service("A", None),
            service("late", Some(10)),
            service("early", Some(-1)),
            service("Zero", Some(0)),
            service("also-zero", Some(0)),
            service("a", None),
        ];
        assert_eq!(order(services), ["early", "also-zero", "Zero", "late", "A", "a", "b"]);
    }

    /// The order in which WaTTS 1.6.1 listed the services of the recordings: it fits three
    /// priorities, the rest by id.
    #[test]
    fn lists_go_as_recorded() {
        let services = vec![
            service("ssh", None),
            service("hidden", None),
            service("two", Some(3)),
            service("nostdin", None),
            service("py", Some(2)),
            service("admins", None),
            service("info", Some(1)),
        ];
        assert_eq!(order(services), ["info", "py", "two", "admins", "hidden", "nostdin", "ssh"]);
    }

    #[test]
    fn an_id_occurs_once_and_is_found_exactly() {
        let twice = Catalogue::new(vec![service("a", None), service("a", Some(1))]).unwrap_err();
        assert_eq!(twice.to_string(), "the service `a` is configured twice");

        let catalogue = Catalogue::new(vec![service("a", None), service("B", None)]).unwrap();
        assert_eq!(catalogue.get("B").unwrap().id.as_str(), "B");
        assert!(catalogue.get("b").is_none());
        assert!(catalogue.get("no such").is_none());
    }
}
