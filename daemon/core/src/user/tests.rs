use std::sync::Arc;

use super::*;
use crate::access::{authorize_profile, authorize_roles, authorize_suspension, authorize_users};
use crate::caller::{Interface, Member};
use crate::doubles::{PROVIDER, vouched};
use crate::error::{FieldProblem, Kind};
use crate::ids::{ProviderId, SessionId};
use crate::paging::Paging;
use crate::rights::Role;
use crate::rights::permission::Pattern;
use crate::rules::{Configured, ProviderMatch, Rule, Rules, Test};
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
    let rule = Rule::new(ProviderMatch::Any, claim, Test::equals(value)).unwrap();
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

struct House {
    world: World,
    users: Users,
}

impl House {
    async fn new() -> Self {
        let world = World::new().await;
        let users = Users::new(Arc::clone(&world.leases), roles());
        Self { world, users }
    }

    async fn known(&self, id: UserId) -> User {
        self.world.ground().records.user(id).await.unwrap().unwrap().value
    }

    /// `name`, who has just signed in, with these roles by hand.
    async fn member(&self, name: &str, by_hand: &[&str]) -> Member {
        let id = self.users.welcome(vouched(name)).await.unwrap();
        if !by_hand.is_empty() {
            let known = self.world.ground().records.user(id).await.unwrap().unwrap();
            let hand_roles = by_hand.iter().map(|name| (*name).to_owned()).collect();
            let after = User { hand_roles, ..known.value.clone() };
            self.users.write_change(&known, &after).await.unwrap();
        }
        self.again(id).await
    }

    async fn again(&self, id: UserId) -> Member {
        let user = self.known(id).await;
        Member {
            user: id,
            rights: self.users.rights(&user),
            subject: user.subject,
            session: SessionId::from_random([1; 16]),
            scopes: vec!["user.read".into(), "user.write".into()],
        }
    }

    async fn assign(&self, by: &Member, to: &Member, names: &[&str]) -> Result<Vec<String>, Error> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let grant = authorize_roles(by, to.user)?;
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

#[tokio::test]
async fn the_first_sign_in_makes_a_user_and_later_ones_keep_what_they_changed() {
    let house = House::new().await;
    let member = house.member("alice", &[]).await;
    let view = house.users.me(&member).await.unwrap();
    assert_eq!((view.login.as_str(), view.name.as_str()), ("alice", "alice"));
    assert_eq!((view.email.as_deref(), view.created), (Some("alice@example.org"), view.updated));

    let change = ProfileChange { name: Some(" Alice A. ".into()), image: None };
    house.world.clock.advance(SECOND);
    let view =
        house.users.change_profile(authorize_profile(&member).unwrap(), &change).await.unwrap();
    assert_eq!((view.name.as_str(), view.updated), ("Alice A.", view.created + SECOND));

    let mut again = vouched("alice");
    again.claims.insert("name".into(), "Somebody".into());
    again.claims.insert("email".into(), "new@example.org".into());
    again.claims.insert("picture".into(), "https://op.example.org/alice.png".into());
    assert_eq!(house.users.welcome(again).await.unwrap(), member.user);
    let view = house.users.me(&member).await.unwrap();
    assert_eq!((view.name.as_str(), view.email.as_deref()), ("Alice A.", Some("new@example.org")));
    assert_eq!(view.image.as_deref(), Some("https://op.example.org/alice.png"));

    let none = ProfileChange { name: None, image: Some(None) };
    let view =
        house.users.change_profile(authorize_profile(&member).unwrap(), &none).await.unwrap();
    assert_eq!((view.name.as_str(), view.image), ("Alice A.", None));
    let commits = house.world.store.commits();
    let nothing = ProfileChange::default();
    house.users.change_profile(authorize_profile(&member).unwrap(), &nothing).await.unwrap();
    assert_eq!(house.world.store.commits(), commits, "a change of nothing writes nothing");
}

/// Attack: another provider, or another person, says that it is alice's address.
#[tokio::test]
async fn a_user_is_known_by_issuer_and_subject_never_by_email() {
    let house = House::new().await;
    let alice = house.users.welcome(vouched("alice")).await.unwrap();
    let mut elsewhere = vouched("alice");
    elsewhere.subject.issuer = "https://evil.example".into();
    let mut other = vouched("mallory");
    other.claims.insert("email".into(), "alice@example.org".into());
    for stranger in [elsewhere, other] {
        assert_ne!(house.users.welcome(stranger).await.unwrap(), alice);
    }
}

#[tokio::test]
async fn every_fault_of_a_profile_is_found() {
    let house = House::new().await;
    let member = house.member("alice", &[]).await;
    for (name, image, places) in [
        (Some("  "), Some("ftp://x"), vec!["name", "image"]),
        (Some("a\u{202e}b"), None, vec!["name"]),
        (None, Some("https://user@x/"), vec!["image"]),
    ] {
        let change = ProfileChange {
            name: name.map(str::to_owned),
            image: image.map(|url| Some(url.to_owned())),
        };
        let refused = house
            .users
            .change_profile(authorize_profile(&member).unwrap(), &change)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        assert_eq!(refused.fields().iter().map(FieldProblem::place).collect::<Vec<_>>(), places);
    }
    let narrow = Member { scopes: vec!["user.read".into()], ..member };
    assert_eq!(kind(authorize_profile(&narrow)), Some(Kind::Forbidden));
}

#[tokio::test]
async fn rights_are_those_of_the_roles_that_are_configured_now() {
    let mut house = House::new().await;
    let member = house.member("alice", &["helper", "gone"]).await;
    assert!(member.rights.hold("user.update") && !member.rights.hold("gone.by"));
    house.users = Users::new(
        Arc::clone(&house.world.leases),
        Roles::new(vec![role("gone", &["gone.by"], None)]),
    );
    let later = house.again(member.user).await;
    assert!(!later.rights.hold("user.update"), "configured no more");
    assert!(later.rights.hold("gone.by"), "configured again");
}

#[tokio::test]
async fn claim_roles_are_those_of_the_last_sign_in() {
    let house = House::new().await;
    for (dept, holds) in [(Some("7"), true), (Some("8"), false), (Some("7"), true), (None, false)] {
        let mut vouched = vouched("alice");
        if let Some(dept) = dept {
            vouched.claims.insert("dept".into(), dept.into());
        }
        let id = house.users.welcome(vouched).await.unwrap();
        assert_eq!(house.again(id).await.rights.hold("seven.up"), holds, "{dept:?}");
    }
    let mut large = vouched("alice");
    large.claims.insert("dept".into(), "7".repeat(20_000).into());
    assert!(
        house.users.welcome(large).await.is_ok(),
        "claims too large to keep give nothing, and harm nobody"
    );
}

/// Attack: a helper makes an admin of a friend, unmakes one, or makes themselves one.
#[tokio::test]
async fn nobody_gives_or_takes_what_they_do_not_hold() {
    let house = House::new().await;
    let root = house.member("root", &[]).await;
    let helper = house.member("helper", &["helper"]).await;
    let friend = house.member("friend", &[]).await;
    let boss = house.member("boss", &["admin", "auditor"]).await;
    for (by, to, names, refused) in [
        (&helper, &friend, &["admin"][..], Some(Kind::Forbidden)),
        (&helper, &friend, &["auditor"], Some(Kind::Forbidden)),
        (&helper, &friend, &["acme"], Some(Kind::Forbidden)),
        (&helper, &boss, &[], Some(Kind::Forbidden)),
        (&helper, &boss, &["auditor"], Some(Kind::Forbidden)),
        (&helper, &boss, &["admin", "auditor", "helper"], None),
        (&helper, &helper, &["helper", "admin"], Some(Kind::Forbidden)),
        (&root, &root, &[], Some(Kind::Forbidden)),
        (&friend, &helper, &[], Some(Kind::Forbidden)),
        (&helper, &friend, &["helper"], None),
        (&root, &friend, &["acme", "acme"], None),
        (&root, &boss, &[], None),
    ] {
        assert_eq!(kind(house.assign(by, to, names).await), refused, "{names:?}");
    }
    assert_eq!(house.users.me(&friend).await.unwrap().roles, ["acme"]);
    assert_eq!(
        house.assign(&root, &friend, &["helper", "acme"]).await.unwrap(),
        ["helper", "acme"]
    );
}

/// Attack: who may do something at one company gives it to others everywhere.
#[tokio::test]
async fn a_bound_role_is_not_given_unbound() {
    let house = House::new().await;
    let local = house.member("local", &["acme"]).await;
    let rights = Rights::new(vec![
        Arc::clone(house.users.roles.get("acme").unwrap()),
        role("assigner", &["user.roles.update"], None).role,
    ]);
    let local = Member { rights, ..local };
    let friend = house.member("friend", &[]).await;
    assert_eq!(kind(house.assign(&local, &friend, &["auditor"]).await), Some(Kind::Forbidden));
    assert!(house.assign(&local, &friend, &["acme"]).await.is_ok());
}

#[tokio::test]
async fn unknown_roles_are_all_named_and_so_is_an_unknown_user() {
    let house = House::new().await;
    let root = house.member("root", &[]).await;
    let friend = house.member("friend", &[]).await;
    let refused = house.assign(&root, &friend, &["x", "acme", "y"]).await.unwrap_err();
    assert_eq!(
        refused.fields().iter().map(FieldProblem::place).collect::<Vec<_>>(),
        ["roles.0", "roles.2"]
    );
    let nobody = Member { user: UserId::from_random([9; 16]), ..friend };
    assert_eq!(kind(house.assign(&root, &nobody, &[]).await), Some(Kind::NotFound));
    let grant = authorize_suspension(&root, nobody.user).unwrap();
    assert_eq!(kind(house.users.set_suspended(grant, true).await), Some(Kind::NotFound));
}

#[tokio::test]
async fn a_suspended_user_is_suspended_in_every_dialect() {
    let house = House::new().await;
    let root = house.member("root", &[]).await;
    let alice = house.member("alice", &[]).await;
    let provider = ProviderId::parse(PROVIDER).unwrap();
    let bearer = || house.world.leases.sign_in(&provider, Secret::new("alice"), Interface::Rest);
    let suspend = |suspended| {
        let grant = authorize_suspension(&root, alice.user).unwrap();
        house.users.set_suspended(grant, suspended)
    };
    assert!(bearer().await.is_ok());
    let era = house.known(alice.user).await.era;
    assert!(suspend(true).await.unwrap().suspended);
    assert_eq!(kind(bearer().await), Some(Kind::Unauthenticated));
    assert_eq!(kind(house.users.welcome(vouched("alice")).await), Some(Kind::Unauthenticated));
    assert!(house.known(alice.user).await.era > era);
    assert!(!suspend(false).await.unwrap().suspended);
    assert!(bearer().await.is_ok());
    assert_eq!(house.users.welcome(vouched("alice")).await.unwrap(), alice.user);
    assert_eq!(
        kind(authorize_suspension(&root, root.user)),
        Some(Kind::Forbidden),
        "nobody suspends themselves"
    );
    assert_eq!(kind(authorize_suspension(&alice, root.user)), Some(Kind::Forbidden));
}

/// What is being issued to somebody who is suspended meanwhile is taken back.
#[tokio::test]
async fn a_suspension_by_a_member_dooms_what_is_being_issued() {
    use crate::doubles::{Gate, IssueStep, caller};
    use crate::testing::id;
    let house = House::new().await;
    let world = &house.world;
    world.leases.start().await.unwrap();
    let root = house.member("root", &[]).await;
    let alice = house.member("alice", &[]).await;
    let gate = Gate::shut();
    world
        .plugins
        .on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), Box::new(IssueStep::state("thing"))));
    let grant = world.leases.authorize_issue(&caller("alice"), "ssh").unwrap();
    let core = Arc::clone(&world.leases);
    let issuing = tokio::spawn(async move { core.issue(grant, serde_json::Map::new()).await });
    while gate.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    house
        .users
        .set_suspended(authorize_suspension(&root, alice.user).unwrap(), true)
        .await
        .unwrap();
    gate.open();
    assert_eq!(kind(issuing.await.unwrap()), Some(Kind::Unauthenticated));
    world.run(30 * SECOND).await;
    assert!(world.things().is_empty());
}

#[tokio::test]
async fn users_are_listed_by_name_and_found_by_what_they_are_called() {
    let house = House::new().await;
    let root = house.member("root", &[]).await;
    for (subject, name) in [("b", "Zoë"), ("c", "alice"), ("d", "Bob Strasse"), ("e", "ALICE")] {
        let mut vouched = vouched(subject);
        vouched.claims.insert("name".into(), name.into());
        house.users.welcome(vouched).await.unwrap();
    }
    let all = house.list(&root, "").await;
    assert_eq!(
        all.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>(),
        ["alice", "alice", "bob strasse", "root", "zoë"]
    );
    assert_eq!(house.list(&root, "  ZOË ").await, ["Zoë"]);
    assert_eq!(house.list(&root, "straße").await, ["Bob Strasse"]);
    assert_eq!(house.list(&root, "D@EXAMPLE").await, ["Bob Strasse"]);
    assert!(house.list(&root, "nobody").await.is_empty());
    let second = Paging::new(2, 3).unwrap();
    let page = house.users.list(authorize_users(&root).unwrap(), "", second).await.unwrap();
    assert_eq!((page.total, page.items.len()), (5, 2));

    let bob = house.users.welcome(vouched("d")).await.unwrap();
    let change = ProfileChange { name: Some("Yves".into()), image: None };
    let grant = authorize_profile(&house.again(bob).await).unwrap();
    house.users.change_profile(grant, &change).await.unwrap();
    assert_eq!(house.list(&root, "yves").await, ["Yves"], "a change is seen at once");
    let nobody = house.member("nobody", &[]).await;
    assert_eq!(kind(authorize_users(&nobody)), Some(Kind::Forbidden));
}

#[tokio::test]
async fn a_client_learns_what_its_user_may_do() {
    let house = House::new().await;
    let member = house.member("alice", &["helper", "acme", "auditor"]).await;
    let lines: Vec<_> = granted(&member)
        .into_iter()
        .map(|line| format!("{} {}", line.permission, line.companies.unwrap_or_default().join(",")))
        .collect();
    assert_eq!(
        lines,
        ["company.* ", "company.* acme", "company.fetch ", "credential.* acme", "user.* "]
    );
}
