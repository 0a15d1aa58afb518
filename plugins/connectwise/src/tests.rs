//! The plugin against scripted answers.

use credsmith_plugin_sdk::json;
use credsmith_plugin_sdk::testing::{Kit, Reply, Sent};

use super::*;

const KEY: &str = "pr1vate-k3y";

fn kit() -> Kit<ConnectWise> {
    Kit::new()
        .setting("site", "https://api-na.myconnectwise.net/")
        .setting("company", "acme")
        .setting("public_key", "Pub1ic")
        .setting("client_id", "6e5e1b0c-0000-4000-8000-000000000000")
        .secret("private_key", KEY)
        .at(1_785_000_000)
}

fn rows(ids: impl IntoIterator<Item = u64>) -> Reply {
    let row =
        |id| json!({"id": id, "identifier": format!("C{id}"), "name": format!("Company {id}")});
    Reply::json(200, &ids.into_iter().map(row).collect())
}

/// The parameters of a request.
fn parameters(sent: &Sent) -> Vec<&str> {
    let (_, query) = sent.url.split_once('?').unwrap();
    query.split('&').collect()
}

fn ids(companies: &[Company]) -> Vec<&str> {
    companies.iter().map(|company| company.id.as_str()).collect()
}

#[test]
fn a_walk_asks_for_what_comes_after_the_last_id() {
    let kit = kit().reply(rows([2, 5])).reply(rows([7])).reply(rows([]));
    let companies = kit.walk().unwrap();
    assert_eq!(ids(&companies), ["2", "5", "7"]);
    assert_eq!((companies[1].identifier.as_str(), companies[1].name.as_str()), ("C5", "Company 5"));

    let sent = kit.sent();
    let page = |sent: &Sent| {
        parameters(sent).into_iter().find(|part| part.starts_with("pageId=")).unwrap().to_owned()
    };
    assert_eq!(sent.iter().map(page).collect::<Vec<_>>(), ["pageId=0", "pageId=5", "pageId=7"]);
}

#[test]
fn a_request_is_as_connectwise_wants_it() {
    let kit = kit()
        .setting("child_conditions", "types/name=\"Client\"")
        .setting("api_version", "2025.1")
        .setting("codebase", "v2025_1/")
        .setting("page_size", 250)
        .reply(rows([]));
    kit.companies(None).unwrap();
    let sent = &kit.sent()[0];
    assert_eq!(sent.method, "GET");
    let (path, _) = sent.url.split_once('?').unwrap();
    assert_eq!(path, "https://api-na.myconnectwise.net/v2025_1/apis/3.0/company/companies");
    assert_eq!(
        parameters(sent),
        [
            "conditions=deletedFlag%3Dfalse",
            "orderBy=id",
            "pageSize=250",
            "pageId=0",
            "childConditions=types%2Fname%3D%22Client%22",
            "fields=id%2Cidentifier%2Cname",
        ]
    );
    for (name, value) in [
        ("clientid", "6e5e1b0c-0000-4000-8000-000000000000"),
        ("pagination-type", "forward-only"),
        ("accept", "application/vnd.connectwise.com+json; version=2025.1"),
        // The handle, not the key.
        ("authorization", "Basic acme+Pub1ic:{secret:private_key}"),
    ] {
        assert_eq!(sent.header(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn without_more_settings_the_usual_holds() {
    let kit = kit().reply(rows([]));
    kit.companies(None).unwrap();
    let sent = &kit.sent()[0];
    assert!(sent.url.starts_with("https://api-na.myconnectwise.net/v4_6_release/apis/3.0/"));
    assert!(parameters(sent).contains(&"pageSize=1000"));
    assert!(!sent.url.contains("childConditions"));
    assert_eq!(sent.header("accept").unwrap(), "application/json");
}

/// A page that is shorter than asked for may be as large as this server's pages get: the walk goes
/// on.
#[test]
fn a_walk_ends_at_an_empty_page_alone() {
    let kit = kit().reply(rows([1]));
    assert_eq!(kit.companies(None).unwrap().next.as_deref(), Some("1"));
    assert_eq!(kit.sent().len(), 1);
    kit.then(rows([]));
    assert_eq!(kit.companies(Some("1")).unwrap().next, None);
}

/// A walk that took such an answer for a page would miss companies, never end, or make companies
/// vanish.
#[test]
fn what_is_no_page_in_order_is_refused() {
    for reply in [
        Reply::status(200),
        Reply::status(200).body("<html>Sign in</html>"),
        Reply::json(200, &json!({"companies": []})),
        Reply::json(200, &json!(null)),
        Reply::json(200, &json!([{"id": "12", "identifier": "A", "name": "A"}])),
        Reply::json(200, &json!([{"id": 12.5, "identifier": "A", "name": "A"}])),
        Reply::json(200, &json!([{"id": -12, "identifier": "A", "name": "A"}])),
        Reply::json(200, &json!([{"identifier": "A", "name": "A"}])),
        Reply::json(200, &json!([null])),
        Reply::json(200, &json!([{"id": 12, "identifier": "A", "name": "A"}, 7])),
        Reply::status(200).body(r#"[{"id": 12, "identifier": "A", "name": "A"}"#),
        rows([12, 11]),
        rows([12, 12]),
        // The page asked for before, or one before it: a cursor that does not advance.
        rows([9]),
        rows([1, 2, 3]),
        rows([0]),
        rows(10..1_011),
    ] {
        let kit = kit().reply(reply.clone());
        let refusal = kit.companies(Some("9")).unwrap_err();
        assert_eq!(refusal.retry_after, None, "{reply:?}");
        assert!(refusal.log.starts_with("ConnectWise answered what is no answer: "), "{refusal:?}");
        assert_eq!(refusal.user, "ConnectWise could not be asked. Please try again later.");
    }
}

/// One record that was spoilt years ago must not keep all other companies away, and its company
/// must not vanish either.
#[test]
fn one_odd_company_is_left_out_and_named() {
    for odd in [
        r#"{"id": 12, "identifier": "A", "name": null}"#,
        r#"{"id": 12, "identifier": null, "name": "A"}"#,
        r#"{"id": 12, "name": "A"}"#,
        r#"{"id": 12, "identifier": "A"}"#,
        r#"{"id": 12, "identifier": 7, "name": ["A"]}"#,
        r#"{"id": 12, "identifier": "A", "name": "half \ud83d a pair"}"#,
        r#"{"id": 12, "identifier": "\udc00", "name": "A"}"#,
    ] {
        let page = format!(
            r#"[{{"id": 11, "identifier": "B", "name": "B"}}, {odd}, {{"id": 13, "identifier": "C", "name": "C"}}]"#
        );
        let kit = kit().reply(Reply::status(200).body(page));
        let page = kit.companies(Some("9")).unwrap();
        assert_eq!(page.companies[1], Company::nameless("12"), "{odd}");
        assert_eq!(page.companies[2], Company::new("13", "C", "C"));
        assert_eq!(page.next.as_deref(), Some("13"));
        assert!(format!("{:?}", kit.log()).contains("the company 12 is left out"), "{odd}");
    }
}

#[test]
fn throttling_passes_on_when_to_come_back() {
    for (header, seconds) in [
        (Some("7"), 7),
        (Some(" 120 "), 120),
        (Some("0"), 1),
        // 42 seconds after the clock of the test, and long ago.
        (Some("Sat, 25 Jul 2026 17:20:42 GMT"), 42),
        (Some("Sun, 06 Nov 1994 08:49:37 GMT"), 1),
        (Some("99999999999999999999"), 24 * 3600),
        (Some("soon"), 30),
        (Some("-5"), 30),
        (None, 30),
    ] {
        for status in [429, 503] {
            let reply = Reply::status(status);
            let reply = header.map_or(reply.clone(), |value| reply.header("Retry-After", value));
            let refusal = kit().reply(reply).companies(None).unwrap_err();
            assert_eq!(refusal.retry_after, Some(seconds), "{status} {header:?}");
        }
    }
}

#[test]
fn a_no_says_what_to_look_at() {
    for (status, hint, retry) in [
        (302, "API server itself", None),
        (400, "`conditions`", None),
        (401, "`private_key`", None),
        (403, "`private_key`", None),
        (404, "`codebase`", None),
        (409, "409", None),
        (204, "204", None),
        (500, "500", Some(30)),
        (502, "502", Some(30)),
        (504, "504", Some(30)),
    ] {
        let refusal = kit().reply(Reply::status(status)).companies(None).unwrap_err();
        assert!(refusal.log.contains(hint), "{status}: {}", refusal.log);
        assert_eq!(refusal.retry_after, retry, "{status}");
    }
    let said = json!({"code": "InvalidObject", "message": format!("bad\n{}", "x".repeat(10_000))});
    let refusal = kit().reply(Reply::json(400, &said)).companies(None).unwrap_err();
    assert!(
        refusal.log.contains(r#"saying "bad\nxxx"#) && refusal.log.len() < 500,
        "{}",
        refusal.log
    );
    assert!(!refusal.user.contains("bad"), "texts of ConnectWise are not for users");
}

#[test]
fn without_an_answer_the_same_page_is_asked_for_again() {
    for (reply, retry) in [
        (Reply::lost(), Some(30)),
        (Reply::not_sent("connect"), Some(30)),
        (Reply::not_sent("resolve"), Some(30)),
        (Reply::not_sent("not-granted"), None),
        (Reply::not_sent("too-large"), None),
    ] {
        let refusal = kit().reply(reply.clone()).companies(None).unwrap_err();
        assert_eq!(refusal.retry_after, retry, "{reply:?}");
        assert!(refusal.log.contains("scripted failure"), "{refusal:?}");
    }
}

#[test]
fn texts_that_people_typed_stop_no_walk() {
    let reply = Reply::json(
        200,
        &json!([
            {"id": 1, "identifier": " A\tB ", "name": "Two\r\nLines"},
            {"id": 2, "identifier": "", "name": "\u{7}"},
            {"id": 3, "identifier": "ä".repeat(300), "name": "ö".repeat(3000), "_info": {"href": "x"}},
        ]),
    );
    let companies = kit().reply(reply).companies(None).unwrap().companies;
    assert_eq!(
        (companies[0].identifier.as_str(), companies[0].name.as_str()),
        ("A B", "Two  Lines")
    );
    assert_eq!((companies[1].identifier.as_str(), companies[1].name.as_str()), ("2", "2"));
    assert_eq!((companies[2].identifier.len(), companies[2].name.len()), (256, 1024));
}

#[test]
fn configurations_are_joined_to_the_byte() {
    // Numbers beyond what a double holds, odd spacing, the order of keys: none of it may change.
    let first =
        r#"[ {"id":3,"z":1.10,"a":123456789012345678901234567890}, {"name":"x , ]","id":4} ]"#;
    let second = "[{\"questions\": [{\"answer\": \"a\\u0041\"}], \"id\": 9}]";
    let kit = kit()
        .reply(Reply::status(200).body(first))
        .reply(Reply::status(200).body(second))
        .reply(rows([]));
    assert_eq!(
        kit.configurations("250").unwrap(),
        r#"[{"id":3,"z":1.10,"a":123456789012345678901234567890},{"name":"x , ]","id":4},{"questions": [{"answer": "a\u0041"}], "id": 9}]"#
    );
    let sent = kit.sent();
    let expected = ["conditions=company%2Fid%3D250", "orderBy=id", "pageSize=50", "pageId=4"];
    assert_eq!(parameters(&sent[1]), expected);
    assert!(sent[1].url.contains("/company/configurations?"));
    assert_eq!(sent[1].header("pagination-type").unwrap(), "forward-only");
}

#[test]
fn a_company_without_configurations_has_none() {
    assert_eq!(kit().reply(rows([])).configurations("1").unwrap(), "[]");
}

/// Injection into a condition: `1 or id>0` would ask for the configurations, and the passwords in
/// them, of every company.
#[test]
fn an_id_that_is_no_whole_number_never_becomes_part_of_a_condition() {
    for id in [
        "",
        " ",
        "1 or id>0",
        "1%20or%20id%3E0",
        "1&conditions=id>0",
        "+1",
        "-1",
        "1.0",
        "0x1",
        "1e3",
        "1\n",
        "١",
        "99999999999999999999999",
        "1;2",
        "\"1\"",
    ] {
        let kit = kit();
        assert_eq!(
            kit.configurations(id).unwrap_err().user,
            "ConnectWise has no such company.",
            "{id:?}"
        );
        assert!(kit.companies(Some(id)).is_err(), "nor of a cursor: {id:?}");
        assert!(kit.sent().is_empty(), "{id:?} was asked for");
    }
    let kit = kit().reply(rows([]));
    kit.configurations("0042").unwrap();
    assert!(kit.sent()[0].url.contains("conditions=company%2Fid%3D42&"));
}

#[test]
fn half_of_the_configurations_is_not_told_for_all() {
    for reply in [
        Reply::status(500),
        Reply::status(429),
        Reply::lost(),
        Reply::status(200).body("{}"),
        Reply::json(200, &json!([{"name": "without an id"}])),
        // A cursor that does not advance.
        rows([4]),
    ] {
        let kit = kit().reply(rows([4])).reply(reply.clone());
        assert!(kit.configurations("1").is_err(), "{reply:?}");
        assert_eq!(kit.sent().len(), 2);
    }
}

#[test]
fn configurations_without_end_are_ended() {
    let large = |id: u64| Reply::json(200, &json!([{"id": id, "notes": "x".repeat(900_000)}]));
    let kit = (1..=5).fold(kit(), |kit, id| kit.reply(large(id)));
    let refusal = kit.configurations("1").unwrap_err();
    assert!(refusal.user.contains("more configurations"), "{refusal:?}");
}

#[test]
fn settings_are_checked_together() {
    let kit = kit()
        .setting("site", "https://user@api-na.myconnectwise.net/path")
        .setting("codebase", "../v4")
        .setting("company", "acme:x")
        .setting("public_key", "a+b")
        .setting("client_id", "two words")
        .setting("api_version", "1; q=0\r\nx: y")
        .setting("page_size", 1001);
    let faults: Vec<_> =
        kit.configured().unwrap_err().into_iter().map(|fault| fault.path.join(".")).collect();
    assert_eq!(
        faults,
        ["site", "codebase", "company", "public_key", "client_id", "api_version", "page_size"]
    );
    let missing: Vec<_> = Kit::<ConnectWise>::new().configured().unwrap_err();
    let missing: Vec<_> = missing.iter().map(|fault| fault.path.join(".")).collect();
    assert_eq!(missing, ["site", "company", "public_key", "private_key", "client_id"]);
}

#[test]
fn a_site_is_an_origin() {
    for (site, fine) in [
        ("https://na.myconnectwise.net", true),
        ("http://127.0.0.1:8080", true),
        ("https://[::1]:8443/", true),
        ("https://", false),
        ("ftp://na.myconnectwise.net", false),
        ("https://na.myconnectwise.net/v4_6_release", false),
        ("https://na.myconnectwise.net?x", false),
        ("https://na.myconnectwise.net#x", false),
        ("https://na myconnectwise.net", false),
    ] {
        assert_eq!(kit().setting("site", site).configured().is_ok(), fine, "{site}");
    }
}
