//! The test kit with a directory plugin: a walk, settings, and what the daemon would not take.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what stands around a test may fail it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use credsmith_plugin_sdk::directory::{Company, Directory, Page};
use credsmith_plugin_sdk::testing::{Kit, Reply};
use credsmith_plugin_sdk::{Description, Field, Noted, Refusal, Secret, Settings, http, json};
use serde::Deserialize;

struct Plain {
    api: String,
    key: Secret,
}

#[derive(Deserialize)]
struct Part {
    companies: Vec<(String, String)>,
    next: Option<String>,
}

impl Directory for Plain {
    fn describe() -> Description {
        Description::new("plain", "1")
            .setting(Field::url("api").required())
            .setting(Field::secret("key").required())
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let (api, key) = (settings.get("api"), settings.get("key"));
        Ok(Self { api: api?, key: key? })
    }

    fn companies(&self, cursor: Option<&str>) -> Result<Page, Refusal> {
        let url = format!("{}/{}", self.api, http::segment(cursor.unwrap_or("first")));
        let part: Part = http::get(url).bearer(&self.key).send()?.success()?.json()?;
        let company = |(id, name): (String, String)| Company::new(id, name.as_str(), name.as_str());
        Ok(Page::new(part.companies.into_iter().map(company)).next(part.next))
    }

    fn configurations(&self, company_id: &str) -> Result<String, Refusal> {
        let url = format!("{}/{}", self.api, http::segment(company_id));
        Ok(http::get(url).bearer(&self.key).send()?.success()?.text())
    }
}

fn kit() -> Kit<Plain> {
    Kit::new().setting("api", "https://api.example").secret("key", "hunter2hunter2")
}

fn complaint(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the kit took it");
    panic.downcast_ref::<String>().cloned().unwrap()
}

#[test]
fn a_walk_goes_from_cursor_to_cursor() {
    let kit = kit()
        .reply(Reply::json(
            200,
            &json!({"companies": [["1", "Acme"], ["2", "Bits"]], "next": "a/b"}),
        ))
        .reply(Reply::json(200, &json!({"companies": [["3", "Core"]], "next": null})));
    let companies = kit.walk().unwrap();
    assert_eq!(
        companies.iter().map(|company| company.id.as_str()).collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
    let sent = kit.sent();
    let urls: Vec<_> = sent.iter().map(|sent| sent.url.as_str()).collect();
    assert_eq!(urls, ["https://api.example/first", "https://api.example/a%2Fb"]);
    assert!(sent.iter().all(|sent| sent.header("authorization").unwrap() == "Bearer {secret:key}"));
}

#[test]
fn faults_of_settings_are_told_together() {
    let faults = Kit::<Plain>::new().configured().unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.path.join(".")).collect::<Vec<_>>(), ["api", "key"]);
    assert_eq!(kit().configured(), Ok(()));
    assert_eq!(kit().described().settings.len(), 2);
}

#[test]
fn a_failed_request_is_a_refusal_to_be_tried_again() {
    for reply in [
        Reply::lost(),
        Reply::not_sent("connect"),
        Reply::status(500),
        Reply::status(200).body("no"),
    ] {
        assert!(
            kit().reply(reply.clone()).companies(None).unwrap_err().retry_after.is_some(),
            "{reply:?}"
        );
    }
}

#[test]
fn the_kit_takes_no_page_that_the_daemon_would_not_take() {
    let many: Vec<_> = (0..1001).map(|n| [n.to_string(), "many".to_owned()]).collect();
    for (page, part) in [
        (json!({"companies": many}), "more than 1000"),
        (json!({"companies": [["1", "a"], ["1", "b"]]}), "`1` is there twice"),
        (json!({"companies": [["", "a"]]}), "the id of the company"),
        (json!({"companies": [["1", " "]]}), "the identifier of the company"),
        (json!({"companies": [["1", "a\nb"]]}), "control characters"),
        (json!({"companies": [], "next": "x".repeat(1025)}), "the cursor is empty, too long"),
        (json!({"companies": [], "next": "here"}), "never ends"),
    ] {
        let kit = kit().reply(Reply::json(200, &page));
        let said = complaint(|| drop(kit.companies(Some("here"))));
        assert!(said.contains("from companies") && said.contains(part), "{said} for {part}");
    }
}

#[test]
fn the_kit_takes_no_configurations_that_the_daemon_would_not_take() {
    assert_eq!(kit().reply(Reply::status(200).body("[1]")).configurations("1").unwrap(), "[1]");
    for (body, part) in [
        ("[".to_owned(), "no JSON"),
        (format!("[\"{}\"]", "x".repeat(4 << 20)), "longer"),
        ("[\"hunter2hunter2\"]".to_owned(), "secret `key`"),
    ] {
        let kit = kit().reply(Reply::status(200).body(body));
        let said = complaint(|| drop(kit.configurations("1")));
        assert!(said.contains("from configurations") && said.contains(part), "{said} for {part}");
    }
}
