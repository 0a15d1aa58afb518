//! Configurations of companies.

use super::*;
use crate::caller::Member;
use crate::doubles::{self, identity};
use crate::error::Kind;
use crate::ids::UserId;
use crate::rights::permission::Pattern;
use crate::rights::{Rights, Role};

fn technician() -> Member {
    let role = Role {
        name: "technician".into(),
        permissions: vec![Pattern::parse("company.*").unwrap()],
        companies: None,
    };
    let (user, subject) = (UserId::from_random([1; 16]), identity("bob").subject().clone());
    doubles::member(user, subject, &[], Rights::new(vec![Arc::new(role)]))
}

async fn ask(companies: &Companies, name: &str) -> Result<String, Error> {
    let grant = companies.authorize_configurations(&technician(), name).await?;
    Ok(companies.configurations(grant).await?.as_json().to_owned())
}

#[tokio::test]
async fn the_answer_of_the_directory_is_passed_on_unchanged_and_not_stored() {
    let mut world = World::with(3);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let answer = r#"[ {"id": 7, "questions": [{"answer": "hunter2"}]} ]"#;
    world.directory.set_configurations(answer);
    assert_eq!(ask(&companies, "id1").await.unwrap(), answer);
    world.directory.set_configurations("[]");
    assert_eq!(ask(&companies, "1").await.unwrap(), "[]");
    assert_eq!(world.directory.asked(), ["1", "1"], "by the directory's own id");
    assert!(
        world
            .store
            .dump("")
            .iter()
            .all(|(_, value)| !value.windows(7).any(|part| part == b"hunter2"))
    );
}

#[tokio::test]
async fn a_failing_directory_is_an_upstream_error() {
    let mut world = World::with(3);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    assert_eq!(ask(&companies, "1").await.unwrap_err().kind(), Kind::Upstream);
    world.directory.set_configurations("<html>hunter2</html>");
    let error = ask(&companies, "1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Upstream);
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(ask(&companies, "99").await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_company_of_a_list_has_no_configurations() {
    let mut world = World::new();
    let companies = world.listed(numbered(0..2)).await;
    assert_eq!(ask(&companies, "id1").await.unwrap(), "[]");
}
