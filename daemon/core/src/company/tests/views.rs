//! Views of the stored companies.

use super::*;
use crate::error::Kind;
use crate::paging::Paging;
use crate::rights::Coverage;

#[tokio::test]
async fn unchanged_companies_are_not_read_again() {
    let mut world = World::with(100);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let before = companies.view().await.unwrap();
    assert!(Arc::ptr_eq(&before, &companies.view().await.unwrap()));
    world.directory.set(numbered(0..101));
    sync(&companies).await.unwrap();
    let after = companies.view().await.unwrap();
    assert_eq!(after.len(), 101);
    assert!(before.all().all(|company| Arc::ptr_eq(company, after.by_id(company.id).unwrap())));
}

/// A page of a long list reads no record: it is answered even when all records are gone.
#[tokio::test]
async fn a_list_is_answered_from_memory() {
    let mut world = World::with(5000);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    assert_eq!(companies.view().await.unwrap().len(), 5000);
    for (record, _) in world.store.dump("company/") {
        world.store.tamper(&record, None);
    }
    for (search, number, listed, total) in
        [("", 1, 30, 5000), ("", 167, 20, 5000), ("company 49", 4, 21, 111)]
    {
        let view = companies.view().await.unwrap();
        let page = view.list(&Coverage::Everywhere, search, Paging::new(number, 30).unwrap());
        assert_eq!((page.items.len(), page.total), (listed, total), "{search} {number}");
    }
}

/// Attack: a record is replaced by that of another company in the store.
#[tokio::test]
async fn tampered_records_are_refused() {
    let mut world = World::with(2);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let records = world.store.dump("company/");
    world.store.tamper(&records[0].0, Some(records[1].1.clone()));
    world.crash();
    let companies = world.companies().await;
    assert_eq!(companies.view().await.unwrap_err().kind(), Kind::Internal);
    assert_eq!(companies.start().await.unwrap_err().kind(), Kind::Internal);
}
