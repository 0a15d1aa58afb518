//! Lists of credentials, page by page.

use crate::access::authorize_list_of_type;
use crate::caller::Member;
use crate::ids::{CompanyId, TypeId};
use crate::paging::{Page, Paging};

use super::world::login;
use super::{World, admin, member};

impl World {
    async fn page_of_company(
        &self,
        member: &Member,
        id: CompanyId,
        paging: Paging,
    ) -> Page<String> {
        let grant = self.vault.authorize_list_of_company(member, id).await.unwrap();
        self.vault.list_of_company(grant, paging).await.unwrap().map(|view| view.name)
    }

    async fn page_of_type(&self, member: &Member, id: TypeId, paging: Paging) -> Page<String> {
        let grant = authorize_list_of_type(member).unwrap();
        self.vault.list_of_type(grant, id, paging).await.unwrap().map(|view| view.name)
    }
}

/// All pages of both lists, which have to show the same.
async fn leaf(world: &World, type_id: TypeId) -> Vec<String> {
    let (mut seen, mut next) = (Vec::new(), Some(1));
    while let Some(number) = next {
        let paging = Paging::new(number, 3).unwrap();
        let page = world.page_of_company(&admin(), world.acme, paging).await;
        assert_eq!(page, world.page_of_type(&admin(), type_id, paging).await);
        assert!(page.items.len() <= 3);
        next = page.next();
        seen.extend(page.items);
    }
    seen
}

/// The order of a list is kept in memory: every change has to reach it.
#[tokio::test]
async fn pages_follow_every_change() {
    let mut world = World::new().await;
    let type_id = login(&world).await.id;
    let mut made = Vec::new();
    for name in ["g", "C", "a", "e", "B", "f", "D"] {
        made.push(world.create(type_id, name, &[("user", Some("u"))]).await.id);
    }
    assert_eq!(leaf(&world, type_id).await, ["a", "B", "C", "D", "e", "f", "g"]);
    world.rename(made[2], "Z").await.unwrap();
    assert_eq!(leaf(&world, type_id).await, ["B", "C", "D", "e", "f", "g", "Z"]);
    world.change(made[2], &[("user", Some("v"))]).await.unwrap();
    world.delete(made[0]).await.unwrap();
    assert_eq!(leaf(&world, type_id).await, ["B", "C", "D", "e", "f", "Z"]);
    // Another daemon over the same data changes a name: the epoch says so.
    let other = world.second_daemon().await;
    let authorized = other.authorize(&admin(), made[2]).await.unwrap();
    other.rename(authorized, Some("A"), Vec::new(), None).await.unwrap();
    assert_eq!(leaf(&world, type_id).await, ["A", "B", "C", "D", "e", "f"]);
    world.crash().await;
    assert_eq!(leaf(&world, type_id).await, ["A", "B", "C", "D", "e", "f"]);
    world.delete_type(&admin(), type_id).await.unwrap();
    let rest = world.page_of_company(&admin(), world.acme, Paging::default()).await;
    assert_eq!((rest.items.len(), rest.total), (0, 0));
}

/// Attack: a page or a total reveals credentials that the caller may not see.
#[tokio::test]
async fn credentials_out_of_reach_are_neither_listed_nor_counted() {
    let world = World::new().await;
    let type_id = login(&world).await.id;
    let hidden = world.create_type_as(&admin(), "Hidden", "demo.hidden", Vec::new()).await;
    let hidden = hidden.unwrap().id;
    world.create(type_id, "b", &[("user", Some("u"))]).await;
    for name in ["a", "c"] {
        world.create(hidden, name, &[]).await;
    }
    let elsewhere = (type_id, world.globex);
    world.create_as(&admin(), elsewhere, "d", &[("user", Some("u"))]).await.unwrap();
    let permissions =
        ["credential.fetch.many", "credential.fetch", "credential_type.fetch", "demo.login"];
    let reader = member(&permissions, Some(&["acme"]));
    let paging = Paging::new(1, 1).unwrap();
    for page in [
        world.page_of_company(&reader, world.acme, paging).await,
        world.page_of_type(&reader, type_id, paging).await,
    ] {
        assert_eq!((page.items, page.total), (vec!["b".to_owned()], 1));
    }
    let all = world.page_of_company(&admin(), world.acme, paging).await;
    assert_eq!((all.items, all.total), (vec!["a".to_owned()], 3));
}

/// Attack: 50,000 credentials of one company in one answer; here of fewer, beyond the longest page.
#[tokio::test]
async fn a_list_has_at_most_a_thousand_at_once() {
    let world = World::new().await;
    let type_id = login(&world).await.id;
    for number in 0..1005 {
        world.create(type_id, &format!("{number:04}"), &[("user", Some("u"))]).await;
    }
    let first = world.page_of_company(&admin(), world.acme, Paging::longest()).await;
    assert_eq!((first.items.len(), first.total, first.next()), (1000, 1005, Some(2)));
    assert_eq!(first.items[999], "0999");
    let second = world.page_of_type(&admin(), type_id, Paging::new(2, 1000).unwrap()).await;
    assert_eq!(second.items, ["1000", "1001", "1002", "1003", "1004"]);
}
