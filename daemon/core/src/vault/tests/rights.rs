//! Authorization: permissions, companies, scopes, and that they do not add up.

use super::*;
use crate::access::vault::{AtOne, ChangeValues, Delete, Fetch, FetchValues, Rename, Reveal};
use crate::caller::Member;
use crate::doubles;
use crate::error::Kind;
use crate::ids::{CredentialId, TypeId};
use crate::vault::draft::TypeDraft;

async fn may<K: AtOne>(world: &World, member: &Member, id: CredentialId) -> Result<(), Kind> {
    world.vault.authorize::<K>(member, id).await.map(|_| ()).map_err(|error| error.kind())
}

async fn one(world: &World) -> (TypeId, CredentialId) {
    let credential_type = world.create_type("Login", vec![field("user"), secure("password")]).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("password", Some("x"))])
        .await;
    (credential_type.id, made.id)
}

#[tokio::test]
async fn each_action_needs_each_of_its_permissions() {
    let world = World::new().await;
    let (_, id) = one(&world).await;
    let all = [
        "credential.fetch",
        "credential.fields.fetch",
        "credential.secure_values.read",
        "credential.update",
        "credential.fields.update",
        "credential.delete",
        "credential.fetch.many",
        "credential.create",
    ];
    for missing in all {
        let rest: Vec<_> =
            all.iter().copied().filter(|one| *one != missing).chain(["demo.login"]).collect();
        let caller = member(&rest, None);
        let expected =
            |needs: &[&str]| if needs.contains(&missing) { Err(Kind::Forbidden) } else { Ok(()) };
        assert_eq!(may::<Fetch>(&world, &caller, id).await, expected(Fetch::PERMISSIONS));
        assert_eq!(
            may::<FetchValues>(&world, &caller, id).await,
            expected(FetchValues::PERMISSIONS)
        );
        assert_eq!(may::<Reveal>(&world, &caller, id).await, expected(Reveal::PERMISSIONS));
        assert_eq!(may::<Rename>(&world, &caller, id).await, expected(Rename::PERMISSIONS));
        assert_eq!(
            may::<ChangeValues>(&world, &caller, id).await,
            expected(ChangeValues::PERMISSIONS)
        );
        assert_eq!(may::<Delete>(&world, &caller, id).await, expected(Delete::PERMISSIONS));
        let listed =
            world.credentials_of_company(&caller, world.acme).await.map_err(|error| error.kind());
        assert_eq!(listed.map(|_| ()), expected(&["credential.fetch.many"]));
    }
}

/// A caller without the permission does not learn which credentials exist.
#[tokio::test]
async fn without_the_permission_the_answer_does_not_depend_on_what_exists() {
    let world = World::new().await;
    let (_, id) = one(&world).await;
    let unknown = CredentialId::from_random([9; 16]);
    for id in [id, unknown] {
        assert_eq!(
            may::<Reveal>(&world, &member(&["credential.fetch"], None), id).await,
            Err(Kind::Forbidden)
        );
    }
    assert_eq!(may::<Reveal>(&world, &admin(), unknown).await, Err(Kind::NotFound));
}

#[tokio::test]
async fn the_scope_of_a_type_narrows_every_access_to_its_credentials() {
    let world = World::new().await;
    let (type_id, id) = one(&world).await;
    let outsider = member(&["credential.*", "credential_type.*", "company.*", "demo.other"], None);
    assert_eq!(may::<Fetch>(&world, &outsider, id).await, Err(Kind::Forbidden));
    assert_eq!(may::<Reveal>(&world, &outsider, id).await, Err(Kind::Forbidden));
    assert_eq!(may::<Delete>(&world, &outsider, id).await, Err(Kind::Forbidden));
    let made = world.create_as(&outsider, (type_id, world.acme), "x", &[]).await;
    assert_eq!(kind(made), Kind::Forbidden);
    assert_eq!(world.credentials_of_company(&outsider, world.acme).await.unwrap(), [""; 0]);
    assert_eq!(world.credentials_of_type(&outsider, type_id).await.unwrap(), [""; 0]);
    assert_eq!(world.fetch_type(&outsider, "Login").await.unwrap().credential_count, 0);
    for insider in [&["credential.*", "demo.*"][..], &["credential.*", "demo.login"], &["*"]] {
        assert_eq!(may::<Reveal>(&world, &member(insider, None), id).await, Ok(()));
    }
}

#[tokio::test]
async fn a_role_that_is_bound_to_a_company_reaches_no_other() {
    let world = World::new().await;
    let (type_id, ours) = one(&world).await;
    let theirs =
        world.create_as(&admin(), (type_id, world.globex), "Theirs", &[]).await.unwrap().id;
    let bound = member(&["*"], Some(&["acme"]));
    assert_eq!(may::<Reveal>(&world, &bound, ours).await, Ok(()));
    assert_eq!(may::<Reveal>(&world, &bound, theirs).await, Err(Kind::Forbidden));
    assert_eq!(
        kind(world.create_as(&bound, (type_id, world.globex), "x", &[]).await),
        Kind::Forbidden
    );
    assert!(world.create_as(&bound, (type_id, world.acme), "Second", &[]).await.is_ok());
    assert_eq!(kind(world.credentials_of_company(&bound, world.globex).await), Kind::Forbidden);
    assert_eq!(world.credentials_of_company(&bound, world.acme).await.unwrap(), ["Prod", "Second"]);
    assert_eq!(world.credentials_of_type(&bound, type_id).await.unwrap(), ["Prod", "Second"]);
    assert_eq!(world.fetch_type(&bound, "Login").await.unwrap().credential_count, 2);
    assert_eq!(world.fetch_type(&admin(), "Login").await.unwrap().credential_count, 3);
    let unknown = crate::ids::CompanyId::from_random([7; 16]);
    assert_eq!(kind(world.credentials_of_company(&bound, unknown).await), Kind::NotFound);
}

/// Both permissions have to reach the very company: one here and one there is neither.
#[tokio::test]
async fn permissions_for_different_companies_do_not_add_up() {
    let world = World::new().await;
    let (_, id) = one(&world).await;
    let role = |permissions: &[&str], company: &str| {
        member(permissions, Some(&[company])).rights().roles()[0].clone()
    };
    let roles = vec![
        role(&["credential.fetch", "demo.login"], "acme"),
        role(&["credential.secure_values.read", "demo.login"], "globex"),
    ];
    let mixed = doubles::member_with_rights(&admin(), crate::rights::Rights::new(roles));
    assert_eq!(may::<Fetch>(&world, &mixed, id).await, Ok(()));
    assert_eq!(may::<Reveal>(&world, &mixed, id).await, Err(Kind::Forbidden));
}

/// Attack: a role for one company changes the types of all, or opens a scope for all.
#[tokio::test]
async fn a_bound_role_changes_no_type_and_opens_scopes_for_its_companies_only() {
    let world = World::new().await;
    let (type_id, ours) = one(&world).await;
    let theirs =
        world.create_as(&admin(), (type_id, world.globex), "Theirs", &[]).await.unwrap().id;
    for bound in [&["*"][..], &["credential_type.*", "credential.*", "demo.*"]] {
        let bound = member(bound, Some(&["acme"]));
        let created = world.create_type_as(&bound, "Mine", "demo.login", Vec::new()).await;
        assert_eq!(kind(created), Kind::Forbidden);
        for draft in [TypeDraft::default(), scoped("demo.other")] {
            assert_eq!(kind(world.change_type(&bound, type_id, draft).await), Kind::Forbidden);
        }
        assert_eq!(kind(world.delete_type(&bound, type_id).await), Kind::Forbidden);
        assert_eq!(world.type_names(&bound).await.unwrap(), ["Login"], "it reads them");
    }
    // The scope is held for Acme, the permission for all companies: only both together open.
    let role = |permissions: &[&str], companies: Option<&[&str]>| {
        member(permissions, companies).rights().roles()[0].clone()
    };
    let roles = vec![
        role(&["credential.*", "credential_type.*"], None),
        role(&["demo.login"], Some(&["acme"])),
    ];
    let mixed = doubles::member_with_rights(&admin(), crate::rights::Rights::new(roles));
    assert_eq!(may::<Reveal>(&world, &mixed, ours).await, Ok(()));
    assert_eq!(may::<Fetch>(&world, &mixed, theirs).await, Err(Kind::Forbidden));
    assert_eq!(may::<Reveal>(&world, &mixed, theirs).await, Err(Kind::Forbidden));
    let placed = world.create_as(&mixed, (type_id, world.globex), "x", &[]).await;
    assert_eq!(kind(placed), Kind::Forbidden);
    assert!(world.create_as(&mixed, (type_id, world.acme), "Second", &[]).await.is_ok());
    assert_eq!(world.credentials_of_company(&mixed, world.globex).await.unwrap(), [""; 0]);
    assert_eq!(world.credentials_of_type(&mixed, type_id).await.unwrap(), ["Prod", "Second"]);
    assert_eq!(world.fetch_type(&mixed, "Login").await.unwrap().credential_count, 2);
    // What concerns the type itself needs the scope for all companies.
    assert_eq!(kind(world.change_type(&mixed, type_id, scoped("a.b")).await), Kind::Forbidden);
    assert_eq!(kind(world.delete_type(&mixed, type_id).await), Kind::Forbidden);
}

fn scoped(scope: &str) -> TypeDraft {
    TypeDraft { permission_scope: Some(scope.into()), ..TypeDraft::default() }
}

/// Attack: a caller who may change types, but lacks the scope of one, changes its scope to one that
/// they hold.
#[tokio::test]
async fn a_caller_cannot_change_a_scope_that_they_lack() {
    let world = World::new().await;
    let (type_id, id) = one(&world).await;
    let rights = ["credential_type.*", "credential.*", "mine.own"];
    let definer = member(&rights, None);
    let drafts = [
        scoped("mine.own"),
        TypeDraft {
            fields: Some(vec![Some(field("user")), Some(field("password"))]),
            ..TypeDraft::default()
        },
        TypeDraft { fields: Some(Vec::new()), ..TypeDraft::default() },
        TypeDraft { fields: Some(vec![None]), ..TypeDraft::default() },
        TypeDraft { plugin: Some("aws".into()), ..TypeDraft::default() },
        TypeDraft { name: Some("x".into()), ..scoped("mine.own") },
    ];
    world.plugins.configure("aws", None);
    for draft in drafts {
        assert_eq!(
            kind(world.change_type(&definer, type_id, draft.clone()).await),
            Kind::Forbidden,
            "{draft:?}"
        );
    }
    assert_eq!(kind(world.delete_type(&definer, type_id).await), Kind::Forbidden);
    // They may change what the scope does not protect, and send the rest back unchanged.
    let renamed = TypeDraft {
        name: Some("Anything".into()),
        plugin: Some("generic".into()),
        fields: Some(vec![Some(field("user")), Some(secure("password"))]),
        ..scoped("demo.login")
    };
    assert_eq!(world.change_type(&definer, type_id, renamed).await.unwrap().name, "Anything");
    assert_eq!(may::<Reveal>(&world, &definer, id).await, Err(Kind::Forbidden));

    // The new scope has to be held too: a caller cannot move a type out of their own reach.
    let holder = member(&["credential_type.*", "demo.login"], None);
    assert_eq!(
        kind(world.change_type(&holder, type_id, scoped("other.own")).await),
        Kind::Forbidden
    );
    let both = member(&["credential_type.*", "demo.login", "mine.own"], None);
    assert!(world.change_type(&both, type_id, scoped("mine.own")).await.is_ok());
}

#[tokio::test]
async fn a_type_without_credentials_needs_no_scope_to_be_deleted() {
    let world = World::new().await;
    let (type_id, id) = one(&world).await;
    let definer = member(&["credential_type.*"], None);
    assert_eq!(kind(world.delete_type(&definer, type_id).await), Kind::Forbidden);
    world.delete(id).await.unwrap();
    world.delete_type(&definer, type_id).await.unwrap();
}

/// Attack: a caller without the scope of a type deletes it at a moment when it has no credential
/// yet.
#[tokio::test]
async fn a_deletion_without_the_scope_loses_against_a_new_credential() {
    for round in 0..40 {
        let world = World::new().await;
        let credential_type = world.create_type("Login", vec![field("user")]).await;
        let definer = member(&["credential_type.*"], None);
        let late = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            world.delete_type(&definer, credential_type.id).await
        };
        let creator = admin();
        let (made, deleted) = tokio::join!(
            world.create_as(&creator, (credential_type.id, world.acme), "x", &[]),
            late
        );
        match (made, deleted) {
            (Ok(made), Err(error)) => {
                assert_eq!(error.kind(), Kind::Forbidden);
                assert!(world.fetch(made.id).await.is_ok());
            }
            (Err(error), Ok(())) => assert_eq!(error.kind(), Kind::Invalid),
            (made, deleted) => panic!("{made:?} {deleted:?}"),
        }
    }
}

#[tokio::test]
async fn types_need_their_own_permissions() {
    let world = World::new().await;
    let (type_id, _) = one(&world).await;
    let stranger =
        member(&["credential.*", "company.*", "demo.login", "credential_type.fetch.many"], None);
    assert_eq!(kind(world.fetch_type(&stranger, "Login").await), Kind::Forbidden);
    assert_eq!(
        kind(world.create_type_as(&stranger, "x", "a.b", Vec::new()).await),
        Kind::Forbidden
    );
    assert_eq!(
        kind(world.change_type(&stranger, type_id, TypeDraft::default()).await),
        Kind::Forbidden
    );
    assert_eq!(kind(world.delete_type(&stranger, type_id).await), Kind::Forbidden);
    assert_eq!(kind(world.credentials_of_type(&stranger, type_id).await), Kind::Forbidden);
    assert_eq!(world.type_names(&stranger).await.unwrap(), ["Login"]);
    let fetches = member(&["credential_type.fetch"], None);
    assert_eq!(kind(world.type_names(&fetches).await), Kind::Forbidden);
    assert_eq!(
        world.fetch_type(&fetches, "Login").await.unwrap().credential_count,
        0,
        "credentials that the caller may not see are not counted"
    );
}

/// A caller who holds the scope need not wait for a moment at which no credential is created.
#[tokio::test]
async fn a_deletion_with_the_scope_wins_against_new_credentials() {
    let world = World::new().await;
    let (type_id, _) = one(&world).await;
    let creator = admin();
    let creators = (0..12).map(async |n| {
        // Staggered, so that there is hardly a moment without one.
        for _ in 0..3 * n {
            tokio::task::yield_now().await;
        }
        let mut made = 0;
        while made < 200
            && world.create_as(&creator, (type_id, world.acme), &format!("{n}"), &[]).await.is_ok()
        {
            made += 1;
        }
        made
    });
    let creators = futures_util::future::join_all(creators);
    let deleter = admin();
    let (deleted, made) = tokio::join!(world.delete_type(&deleter, type_id), creators);
    deleted.unwrap();
    assert!(made.iter().sum::<u32>() < 2400, "it did not wait for the last of them");
}
