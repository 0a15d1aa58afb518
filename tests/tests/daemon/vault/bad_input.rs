//! Faulty requests: the answer to each names every fault at its place.

use credsmith_tests::{Answer, Request};
use serde_json::{Value, json};

use super::world::{
    COMPANIES, CREDENTIALS, TYPES, World, at, credential, data, names, refused, type_with,
};

/// The largest body.
const MOST: usize = 1 << 20;

/// The places of the faults, in the order of the answer.
#[track_caller]
fn places(answer: &Answer) -> Vec<String> {
    refused(answer, 400).iter().map(|fault| fault.split_once(':').unwrap().0.to_owned()).collect()
}

fn has(answer: &Answer, status: u16, message: &str) {
    refused(answer, status);
    assert_eq!(answer.json()["message"], message);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
}

#[test]
fn every_fault_of_a_type_is_reported_at_once() {
    let world = World::get();
    let body = json!({
        "name": "",
        "permissionScope": "credential.mine",
        "icon": "javascript:alert(1)",
        "plugin": "unknown",
        "colour": "red",
        "fields": [
            { "id": "1st", "name": "x", "required": "yes", "secure": false, "valueType": "hologram" },
            { "id": "twice", "name": "x", "required": false, "secure": false, "valueType": "plain_text" },
            { "id": "twice", "required": false, "secure": false, "valueType": "choice", "size": 1 },
            7,
        ],
    });
    let mut found = places(&world.admin.send("POST", TYPES, &body));
    found.sort_unstable();
    let mut expected = [
        "name",
        "permissionScope",
        "icon",
        "plugin",
        "colour",
        "fields.0.id",
        "fields.0.required",
        "fields.0.valueType",
        "fields.2.id",
        "fields.2.name",
        "fields.2.choices",
        "fields.2.size",
        "fields.3",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn every_fault_of_a_credential_is_reported_at_once() {
    let world = World::get();
    let admin = &world.admin;
    let mut of = type_with("Faulty", "faulty.all", &["user", "secretWord"]);
    let typed = |id: &str, kind: &str, required: bool| json!({ "id": id, "name": id, "required": required, "secure": false, "valueType": kind });
    let fields = of["fields"].as_array_mut().unwrap();
    fields.extend([
        typed("port", "number", false),
        typed("since", "date", false),
        typed("needed", "plain_text", true),
    ]);
    let id = admin.make_type(&of);
    let acme = admin.company("acme");
    let one = admin.make_credential(&credential("Sound", &id, &acme, &[("needed", "n")]));
    let body = json!({
        "name": "\u{202e}desrever",
        "typeId": id,
        "companyId": "c000000000000000000000000",
        "owner": 1,
        "fields": [
            { "fieldId": "nothing", "value": "x" },
            { "fieldId": "port", "value": "eighty" },
            { "fieldId": "since", "value": "2026-02-29" },
            { "fieldId": "user", "value": 5 },
            { "fieldId": "user", "value": "again" },
            { "value": "lost" },
            { "fieldId": "secretWord", "value": "x".repeat(16 * 1024 + 1) },
        ],
    });
    let answer = admin.send("POST", CREDENTIALS, &body);
    let mut found = places(&answer);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "companyId",
            "fields.0.fieldId",
            "fields.1.value",
            "fields.2.value",
            "fields.3.value",
            "fields.4.fieldId",
            "fields.5.fieldId",
            "fields.6.value",
            "fields.needed",
            "name",
            "owner",
        ]
    );
    for quoted in ["eighty", "2026-02-29", "desrever", "xxxx"] {
        assert!(!answer.text().contains(quoted), "{answer:?}");
    }
    let put = |fields: Value| {
        places(&admin.send("PUT", &at(&one, "/fields"), &json!({ "fields": fields })))
    };
    assert_eq!(put(json!([{ "fieldId": "needed", "value": null }])), ["fields.0.value"]);
    assert_eq!(put(json!([{ "fieldId": "port" }])), ["fields.0.value"]);
    assert_eq!(put(json!("all")), ["fields"]);
    assert_eq!(places(&admin.send("PUT", &at(&one, "/fields"), &json!({}))), ["fields"]);
    assert_eq!(places(&admin.send("PATCH", &at(&one, ""), &json!({ "name": null }))), ["name"]);
    // A company and a type are known by their ids alone here.
    let answer = admin.send("POST", CREDENTIALS, &credential("X", "Faulty", "acme", &[]));
    assert_eq!(places(&answer), ["typeId", "companyId"]);
}

#[test]
fn what_is_no_json() {
    let world = World::get();
    for body in
        ["", "{", "{\"name\": \"x\"", "{} {}", "nonsense", "{\"name\": \"\\ud800\"}", "\u{feff}{}"]
    {
        let request =
            Request::new("POST", TYPES).header("Content-Type", "application/json").body(body);
        assert_eq!(places(&world.admin.ask(request)), [""], "{body:?}");
    }
    let request = Request::new("POST", TYPES)
        .header("Content-Type", "application/json")
        .body(b"{\"a\": \"\xff\"}".to_vec());
    assert_eq!(places(&world.admin.ask(request)), [""]);
    for body in [json!([]), json!(null), json!("x")] {
        assert_eq!(places(&world.admin.send("POST", TYPES, &body)), [""], "{body}");
    }
    let deep = format!("{{\"name\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let request = Request::new("POST", TYPES).header("Content-Type", "application/json").body(deep);
    assert_eq!(places(&world.admin.ask(request)), [""]);
}

#[test]
fn bodies_of_another_kind_or_size() {
    let world = World::get();
    let admin = &world.admin;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/jsonp",
        "application/json, text/plain",
    ] {
        let request = Request::new("POST", TYPES).header("Content-Type", kind).body("{}");
        has(&admin.ask(request), 415, "Unsupported media type");
    }
    has(
        &admin.ask(Request::new("PATCH", "/v1/user/@me").body("{}")),
        415,
        "Unsupported media type",
    );
    let json = |body: String| {
        Request::new("PATCH", "/v1/user/@me").header("Content-Type", "application/json").body(body)
    };
    let padded = |size: usize| json(format!("{{{}}}", " ".repeat(size - 2)));
    admin.ask(padded(MOST)).expect(200);
    has(&admin.ask(padded(MOST + 1)), 413, "Payload too large");
    let chunked = Request::new("PATCH", "/v1/user/@me")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Transfer-Encoding", "chunked");
    let whole = |request: Request, size: usize| {
        let head = request.bearer(admin.access_token()).header("Connection", "close").bytes();
        let mut connection = credsmith_tests::Connection::open(world.daemon.address()).unwrap();
        let chunk = format!("{{{}}}", " ".repeat(size));
        let body = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
        connection.send(&[head, body.into_bytes()].concat()).unwrap();
        connection.answer(false).unwrap()
    };
    whole(chunked.clone(), 10).expect(200);
    has(&whole(chunked, MOST), 413, "Payload too large");
    // A caller without the permission gets 403 before the body is read; a route without a body
    // reads none.
    has(&world.daemon.ask(&padded(MOST + 1)), 401, "Unauthorized");
    let stranger = world.sign_in("user-150");
    has(&stranger.ask(Request::new("POST", TYPES).body("x")), 403, "Insufficient permissions");
    let request =
        Request::new("GET", "/v1/user/@me").header("Content-Type", "text/plain").body("ignored");
    admin.ask(request).expect(200);
}

#[test]
fn other_methods_and_other_paths() {
    let world = World::get();
    for (method, path, allow) in [
        ("POST", "/v1/auth/uri", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/auth/refresh", "POST, OPTIONS"),
        ("DELETE", "/v1/user/@me", "GET, HEAD, PATCH, OPTIONS"),
        ("PUT", CREDENTIALS, "POST, OPTIONS"),
        ("PATCH", &at("c000000000000000000000000", "/fields"), "PUT, GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/teapot", "GET, HEAD, OPTIONS"),
    ] {
        let answer = world.daemon.ask(&Request::new(method, path));
        has(&answer, 405, "Method not allowed");
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split(", ").map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        assert_eq!(sorted(answer.header("allow").unwrap()), sorted(allow), "{method} {path}");
        let options = world
            .daemon
            .ask(&Request::new("OPTIONS", path).header("Origin", "https://evil.example"));
        assert_eq!(
            (options.status, options.header("allow")),
            (204, answer.header("allow")),
            "{options:?}"
        );
        assert!(
            !options.headers.iter().any(|(name, _)| name.starts_with("access-control-")),
            "{options:?}"
        );
    }
    for path in [
        "/v1",
        "/v1/",
        "/v1/nowhere",
        "/v1/teapot/",
        "/V1/teapot",
        "/v1//teapot",
        "/v1/user",
        "/v1/user/%zz",
        "/v2/teapot",
    ] {
        let answer = world.daemon.ask(&Request::get(path));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        if path.starts_with("/v1/") || path == "/v1" {
            has(&answer, 404, "Resource not found");
        }
    }
    let admin = &world.admin;
    for path in [
        at("x", ""),
        at("c000000000000000000000000", ""),
        format!("{TYPES}/nothing"),
        format!("{TYPES}/c000000000000000000000000/credentials"),
        format!("{COMPANIES}/unknown"),
        format!("{CREDENTIALS}/company/acme"),
        format!("{CREDENTIALS}/company/c000000000000000000000000"),
    ] {
        has(&admin.get(&path), 404, "Resource not found");
    }
    let head = admin.ask(Request::new("HEAD", "/v1/user/@me"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn pages_of_lists() {
    let world = World::get();
    let admin = &world.admin;
    let page = |query: &str| admin.get(&format!("{COMPANIES}?{query}"));
    let all = page("rpp=1000&nonsense=1&nonsense=2").expect(200);
    assert_eq!(names(&all), ["Acme Corp", "Globex", "Initech"]);
    assert_eq!(
        data(&all)[0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["cw_CompanyId", "cw_Identifier", "id", "name"]
    );
    let place = |query: &str| page(query).expect(200).json()["pagination"].clone();
    let expected =
        |previous: Value, current: u64, next: Value, pages: u64, records: u64, listed: u64| {
            json!({
                "previousPage": previous, "currentPage": current, "nextPage": next,
                "totalPages": pages, "totalRecords": records, "listedRecords": listed,
            })
        };
    assert_eq!(place("rpp=2"), expected(Value::Null, 1, json!(2), 2, 3, 2));
    assert_eq!(place("rpp=2&page=2"), expected(json!(1), 2, Value::Null, 2, 3, 1));
    assert_eq!(place("rpp=2&page=9"), expected(json!(2), 9, Value::Null, 2, 3, 0));
    assert_eq!(place("search=unknown"), expected(Value::Null, 1, Value::Null, 0, 0, 0));
    assert_eq!(place("search=unknown&page=2"), expected(Value::Null, 2, Value::Null, 0, 0, 0));
    for (search, found) in [
        ("%20GLOB%20", &["Globex"][..]),
        ("2", &["Globex"]),
        ("ACME%20c", &["Acme Corp"]),
        ("%20", &["Acme Corp", "Globex", "Initech"]),
    ] {
        assert_eq!(names(&page(&format!("search={search}"))), found, "{search}");
    }
    for bad in ["0", "-1", "1.5", "x", "", "99999999999999999999"] {
        assert_eq!(places(&page(&format!("page={bad}&rpp={bad}"))), ["page", "rpp"], "{bad}");
    }
    assert_eq!(places(&page("rpp=1001")), ["rpp"]);
}
