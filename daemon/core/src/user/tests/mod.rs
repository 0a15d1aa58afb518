//! Users over a store in memory.

mod lists;
mod profiles;
mod roles;
mod suspension;

use std::sync::Arc;

use super::*;
use crate::access::{
    authorize_profile, authorize_roles, authorize_suspension, authorize_users, operator,
};
use crate::caller::{Interface, Member};
use crate::doubles::{self, PROVIDER, vouched};
use crate::error::{FieldProblem, Kind};
use crate::ids::ProviderId;
use crate::paging::Paging;
use crate::rights::Role;
use crate::rights::permission::Pattern;
use crate::rules::{Condition, Configured, ProviderMatch, Rule, Rules};
use crate::secret::Secret;
use crate::testing::{SECOND, World};

fn role(name: &str, permissions: &[&str], companies: Option<&[&str]>) -> ConfiguredRole {
    let permissions = permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let companies = companies.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    ConfiguredRole {
        role: Arc::new(Role { name: name.into(), permissions, companies }),
        rules: Rules::default(),
    }
}

fn by_claim(claim: &str, value: &str) -> Rules {
    let rule = Rule::new(ProviderMatch::Any, claim, Condition::equals(value)).unwrap();
    Rules::new(vec![rule], Vec::new(), &Configured::default())
}

fn roles() -> Roles {
    Roles::new(vec![
        ConfiguredRole { rules: by_claim("sub", "root"), ..role("admin", &["*"], None) },
        role("helper", &["user.*", "company.fetch"], None),
        role("acme", &["company.*", "credential.*"], Some(&["acme"])),
        role("auditor", &["company.*"], None),
        ConfiguredRole { rules: by_claim("dept", "7"), ..role("seven", &["seven.up"], None) },
    ])
}

struct Setup {
    world: World,
    users: Users,
}

impl Setup {
    async fn new() -> Self {
        let world = World::new().await;
        let users = Users::new(Arc::clone(&world.leases), roles());
        Self { world, users }
    }

    async fn stored(&self, id: UserId) -> User {
        self.world.ground().records.user(id).await.unwrap().unwrap().value
    }

    /// Signs `name` in and assigns these roles by hand.
    async fn member(&self, name: &str, assigned: &[&str]) -> Member {
        let id = self.users.record_sign_in(vouched(name), &Client::default()).await.unwrap();
        if !assigned.is_empty() {
            let stored = self.world.ground().records.user(id).await.unwrap().unwrap();
            let assigned_roles = assigned.iter().map(|name| (*name).to_owned()).collect();
            let after = User { assigned_roles, ..stored.value.clone() };
            self.users.commit_update(&stored, &after).await.unwrap();
        }
        self.again(id).await
    }

    async fn again(&self, id: UserId) -> Member {
        let user = self.stored(id).await;
        let rights = self.users.rights(&user);
        doubles::member(id, user.subject, &["user.read", "user.write"], rights)
    }

    async fn assign(&self, by: &Member, to: &Member, names: &[&str]) -> Result<Vec<String>, Error> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let grant = authorize_roles(by, to.user())?;
        self.users.assign_roles(grant, &names).await.map(|view| view.roles)
    }

    async fn list(&self, by: &Member, search: &str) -> Vec<String> {
        let page =
            self.users.list(authorize_users(by).unwrap(), search, Paging::default()).await.unwrap();
        assert_eq!(page.total, page.items.len());
        page.items.into_iter().map(|user| user.name).collect()
    }
}

fn kind<T>(result: Result<T, Error>) -> Option<Kind> {
    result.err().map(|error| error.kind())
}
