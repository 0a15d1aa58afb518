//! The bundled `connectwise` against a ConnectWise that pages, throttles, changes while it is
//! walked, fails, and answers garbage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use credsmith_core::ports::directory::{Directory, DirectoryCompany, DirectoryPage};
use credsmith_core::ports::plugins::{CallFailure, Refusal};
use credsmith_core::secret::Secret;
use credsmith_host::{DirectoryPlugin, DirectorySetup, Endpoint, HttpLimits, LoadFault, Setting};
use serde_json::{Value, json};

use crate::log::Mark;
use crate::peer::{Answers, Manner, Peer, response};
use crate::stage::{CANARY, EVER, Stage, destination, source, text};

/// `acme+Pub1ic` with the canary for private key, as basic authentication spells it.
const AUTHORIZATION: &str = "authorization: Basic YWNtZStQdWIxaWM6Y2FuYXJ5LTV1cDNyLXMzY3IzdC1iMXJk";
const CLIENT_ID: &str = "6e5e1b0c-0000-4000-8000-000000000000";

/// What the server does once, in place of a good answer.
enum Odd {
    /// This response; `None`: it cuts the connection.
    Answer(Option<Vec<u8>>),
    /// What it answered before, whatever is asked for.
    Again,
    /// A good answer, with everything that it was sent in a name.
    Echo,
}

/// A ConnectWise with some companies and configurations.
#[derive(Default)]
struct ConnectWise {
    companies: BTreeMap<u64, String>,
    configurations: BTreeMap<u64, Vec<Value>>,
    odd: VecDeque<Odd>,
    last: Vec<u8>,
}

impl ConnectWise {
    fn answer(&mut self, request: &str) -> Option<Vec<u8>> {
        let answer = match self.odd.pop_front() {
            Some(Odd::Answer(answer)) => return answer,
            Some(Odd::Again) => return Some(self.last.clone()),
            Some(Odd::Echo) => ok(&json!([{"id": 1, "identifier": "echo", "name": request}])),
            None => self.good_answer(request),
        };
        self.last.clone_from(&answer);
        Some(answer)
    }

    fn good_answer(&self, request: &str) -> Vec<u8> {
        let is_there = |line: &str| request.lines().any(|have| have.eq_ignore_ascii_case(line));
        let client = format!("clientid: {CLIENT_ID}");
        if !request.contains(AUTHORIZATION)
            || !is_there(&client)
            || !is_there("pagination-type: forward-only")
        {
            return response("401 Unauthorized", "", br#"{"code":"Unauthorized","message":"no"}"#);
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<_, _> =
            query.split('&').filter_map(|part| part.split_once('=')).collect();
        let after: u64 = query["pageId"].parse().expect("an id");
        let size: usize = query["pageSize"].parse().expect("a size");
        assert!(query["orderBy"] == "id" && (1..=1000).contains(&size), "{target}");
        match path {
            "/v4_6_release/apis/3.0/company/companies" => {
                assert_eq!(query["conditions"], "deletedFlag%3Dfalse");
                assert_eq!(query["fields"], "id%2Cidentifier%2Cname");
                let after = self.companies.range(after + 1..).take(size);
                let row = |(id, name): (&u64, &String)| json!({"id": id, "identifier": format!("C{id}"), "name": name});
                ok(&after.map(row).collect())
            }
            "/v4_6_release/apis/3.0/company/configurations" => {
                let company =
                    query["conditions"].strip_prefix("company%2Fid%3D").expect("a condition");
                let all = self.configurations.get(&company.parse().expect("a whole number"));
                let rows = all
                    .into_iter()
                    .flatten()
                    .filter(|row| row["id"].as_u64() > Some(after))
                    .take(size);
                ok(&rows.cloned().collect())
            }
            _ => response("404 Not Found", "", b""),
        }
    }
}

fn ok(rows: &Value) -> Vec<u8> {
    body(rows.to_string())
}

fn body(text: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", "content-type: application/json\r\n", text.as_ref())
}

/// The server, a host, and the plugin on it.
struct Scene {
    state: Arc<Mutex<ConnectWise>>,
    peer: Peer,
    directory: DirectoryPlugin,
    _stage: Stage,
}

impl Scene {
    async fn new() -> Self {
        let state = Arc::<Mutex<ConnectWise>>::default();
        let server = Arc::clone(&state);
        let answers = Answers(Arc::new(move |request| lock(&server).answer(request)));
        let peer = Peer::start(Manner::By(answers)).await;
        let stage = Stage::new().await;
        let directory = stage.host.load_directory(&setup(&peer.url())).await.expect("a directory");
        Self { state, peer, directory, _stage: stage }
    }

    fn state(&self) -> MutexGuard<'_, ConnectWise> {
        lock(&self.state)
    }

    /// It has these companies from now on, and no others.
    fn set(&self, ids: impl IntoIterator<Item = u64>) {
        self.state().companies = ids.into_iter().map(|id| (id, format!("Company {id}"))).collect();
    }

    /// The next request meets this.
    fn odd(&self, odd: Odd) {
        self.state().odd.push_back(odd);
    }

    async fn walk(&self) -> Vec<DirectoryCompany> {
        let mut companies = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.directory.companies(cursor.as_deref()).await.expect("a page");
            companies.extend(page.companies);
            cursor = page.next;
            if cursor.is_none() {
                return companies;
            }
        }
    }

    /// The refusal that the next request for companies brings.
    async fn refused(&self) -> Refusal {
        match self.directory.companies(Some("1")).await {
            Err(CallFailure::Refused(refusal)) => refusal,
            other => panic!("it was not refused: {other:?}"),
        }
    }
}

fn lock(state: &Mutex<ConnectWise>) -> MutexGuard<'_, ConnectWise> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(url: &str) -> Setting {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let destinations = vec![Endpoint::new("127.0.0.1", port).into()];
    Setting::Secret { value: Secret::new(CANARY), destinations, reveal: false, hmac: false }
}

fn setup(url: &str) -> DirectorySetup {
    let settings = [
        ("site", text(url)),
        ("company", text("acme")),
        ("public_key", text("Pub1ic")),
        ("client_id", text(CLIENT_ID)),
        ("private_key", key(url)),
    ];
    let connectwise = credsmith_bundle::find("connectwise").expect("a bundled plugin");
    DirectorySetup {
        settings: settings.into_iter().map(|(key, setting)| (key.to_owned(), setting)).collect(),
        destinations: vec![destination(url, true)],
        plugin_timeout: EVER,
        queue_wait: EVER,
        ..DirectorySetup::new(source(connectwise))
    }
}

fn ids(companies: &[DirectoryCompany]) -> Vec<u64> {
    companies.iter().map(|company| company.id.parse().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_finds_every_company_once() {
    let scene = Scene::new().await;
    scene.set((1..=2345).map(|n| n * 3));
    let mark = Mark::now();
    let companies = scene.walk().await;
    assert_eq!(ids(&companies), (1..=2345).map(|n| n * 3).collect::<Vec<_>>());
    assert_eq!((companies[0].identifier.as_str(), companies[0].name.as_str()), ("C3", "Company 3"));
    assert_eq!(scene.peer.requests().len(), 4, "1000, 1000, 345, and nothing");
    assert_eq!(scene.peer.most_open(), 1);
    assert!(
        !mark.text().contains(CANARY) && !mark.text().contains("YWNtZStQdWIxaWM6"),
        "the log shows the key"
    );
}

/// Companies that come and go during a walk move no other company from one page to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_narrows_hides_no_company_that_stays() {
    let scene = Scene::new().await;
    scene.set(1..=1500);
    let first = scene.directory.companies(None).await.unwrap();
    assert_eq!(first.companies.len(), 1000);
    scene.set((501..=1500).chain([1600]));
    let DirectoryPage { companies, next } =
        scene.directory.companies(first.next.as_deref()).await.unwrap();
    assert_eq!(ids(&companies), (1001..=1500).chain([1600]).collect::<Vec<_>>());
    assert_eq!(scene.directory.companies(next.as_deref()).await.unwrap().next, None);

    // Next time it has fewer, and a narrowed role may see none at all: that is a complete walk, and
    // its own to say.
    assert_eq!(scene.walk().await.len(), 1001);
    scene.set([7]);
    assert_eq!(ids(&scene.walk().await), [7]);
    scene.set([]);
    assert_eq!(scene.walk().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_a_pause_and_no_end() {
    let scene = Scene::new().await;
    scene.set([1, 2]);
    for (headers, seconds) in
        [("retry-after: 7\r\n", 7), ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 1), ("", 30)]
    {
        scene.odd(Odd::Answer(Some(response("429 Too Many Requests", headers, b""))));
        assert_eq!(
            scene.refused().await.retry_after,
            Some(Duration::from_secs(seconds)),
            "{headers}"
        );
        // The same cursor, later.
        let page = scene.directory.companies(Some("1")).await.unwrap();
        assert_eq!(ids(&page.companies), [2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_is_asked_again() {
    let scene = Scene::new().await;
    scene.set([1, 2]);
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n[{".to_vec();
    for answer in [
        Some(response("500 Internal Server Error", "", b"<html>oops</html>")),
        Some(response("503 Service Unavailable", "", b"")),
        None,
        Some(cut[..20].to_vec()),
    ] {
        let shown = answer.as_deref().map(String::from_utf8_lossy).map(|text| text.into_owned());
        scene.odd(Odd::Answer(answer));
        // A connection that ends without an answer may be tried again by the client of its own
        // accord.
        let ended = scene.directory.companies(Some("1")).await;
        match ended {
            Err(CallFailure::Refused(refusal)) => {
                assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)), "{shown:?}");
                assert_eq!(refusal.user, "ConnectWise could not be asked. Please try again later.");
            }
            other => panic!("{shown:?}: {other:?}"),
        }
        assert_eq!(ids(&scene.walk().await), [1, 2], "after {shown:?}");
    }
}

/// Garbage is never taken for a page: a walk that ends early would make companies vanish, one that
/// does not advance would never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_no_page() {
    let scene = Scene::new().await;
    scene.set([1, 2]);
    let many: Value =
        (1..=1001).map(|id| json!({"id": id + 1, "identifier": "x", "name": "x"})).collect();
    for answer in [
        body(""),
        body("<html>Sign in</html>"),
        body("null"),
        body(r#"{"companies": []}"#),
        body(r#"[{"id": "2", "identifier": "a", "name": "b"}]"#),
        body(r#"[{"identifier": "a", "name": "b"}]"#),
        body(r#"[{"id": 2, "identifier": "a", "name": "b"}"#),
        body(
            r#"[{"id": 2, "identifier": "a", "name": "b"}, {"id": 2, "identifier": "a", "name": "b"}]"#,
        ),
        body(
            r#"[{"id": 3, "identifier": "a", "name": "b"}, {"id": 2, "identifier": "a", "name": "b"}]"#,
        ),
        body("[".repeat(100_000)),
        body(many.to_string()),
        // More than an answer may have.
        body("x".repeat(5 << 20)),
        response("302 Found", "location: http://169.254.169.254/\r\n", b""),
        response("404 Not Found", "", b""),
        response("401 Unauthorized", "", br#"{"message": "The private key is wrong"}"#),
        response("200 OK", "content-encoding: gzip\r\n", b"\x1f\x8b"),
    ] {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        scene.odd(Odd::Answer(Some(answer)));
        let refusal = scene.refused().await;
        assert_eq!(refusal.retry_after, None, "{shown}");
        assert_eq!(ids(&scene.walk().await), [1, 2], "after {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_does_not_advance_is_ended() {
    let scene = Scene::new().await;
    scene.set([1, 2, 3]);
    let first = scene.directory.companies(None).await.unwrap();
    scene.odd(Odd::Again);
    let Err(CallFailure::Refused(refusal)) = scene.directory.companies(first.next.as_deref()).await
    else {
        panic!("the first page was taken for the second")
    };
    assert_eq!(refusal.retry_after, None);
    // The same among the pages of configurations.
    scene.state().configurations.insert(7, vec![json!({"id": 1})]);
    scene.directory.configurations("7").await.unwrap();
    scene.odd(Odd::Answer(Some(ok(&json!([{"id": 1}])))));
    scene.odd(Odd::Answer(Some(ok(&json!([{"id": 1}])))));
    assert!(matches!(scene.directory.configurations("7").await, Err(CallFailure::Refused(_))));
}

/// A server, or somebody in its place, that shows what it was sent: the answer is withheld.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_comes_back_is_not_passed_on() {
    let scene = Scene::new().await;
    let mark = Mark::now();
    scene.odd(Odd::Echo);
    let refusal = scene.refused().await;
    assert_eq!(refusal.user, "ConnectWise could not be asked. Please try again later.");
    assert!(!mark.text().contains(CANARY) && !mark.text().contains("YWNtZStQdWIxaWM6"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_of_all_pages_are_one_list() {
    let scene = Scene::new().await;
    let own: Vec<Value> =
        (1..=120).map(|id| json!({"id": id * 2, "questions": [{"answer": "hunter2"}]})).collect();
    scene.state().configurations =
        BTreeMap::from([(7, own.clone()), (8, vec![json!({"id": 999})])]);
    let mark = Mark::now();
    let all = scene.directory.configurations("7").await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), Value::from(own));
    assert_eq!(scene.peer.requests().len(), 4, "50, 50, 20, and nothing");
    assert_eq!(scene.directory.configurations("9").await.unwrap(), "[]");
    assert!(!mark.own().contains("hunter2"), "what answers hold is no matter of the log");
}

/// Injection into a condition: it would ask for the configurations, and the passwords in them, of
/// every company.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_no_whole_number_is_not_asked_for() {
    let scene = Scene::new().await;
    for id in ["1 or id>0", "1%20or%20id%3E0", "1&conditions=id>0", "", "-1", "1.5", "1\r\nx: y"] {
        let ended = scene.directory.configurations(id).await;
        assert!(matches!(ended, Err(CallFailure::Refused(_))), "{id:?}: {ended:?}");
    }
    assert_eq!(scene.peer.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_is_given_up() {
    let stage = Stage::new().await;
    let peer = Peer::start(Manner::Silent).await;
    let http = HttpLimits { timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let directory =
        stage.host.load_directory(&DirectorySetup { http, ..setup(&peer.url()) }).await.unwrap();
    let Err(CallFailure::Refused(refusal)) = directory.companies(None).await else {
        panic!("it waits")
    };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_its_settings_are_told_together() {
    let stage = Stage::new().await;
    let mut setup = setup("http://127.0.0.1:1");
    setup.settings.insert("site".to_owned(), text("http://127.0.0.1:1/path"));
    setup.settings.insert("codebase".to_owned(), text("../.."));
    setup.settings.insert("company".to_owned(), text("acme:x"));
    let error = stage.host.load_directory(&setup).await.unwrap_err();
    assert_eq!(error.fault(), LoadFault::BadSettings);
    let places: Vec<_> = error.problems().iter().map(|problem| problem.place()).collect();
    assert_eq!(places, ["settings.site", "settings.codebase", "settings.company"]);
    // The key's own words would be a leak: as plain text it is refused before the plugin sees it.
    setup.settings.insert("private_key".to_owned(), text(CANARY));
    let error = stage.host.load_directory(&setup).await.unwrap_err();
    assert!(
        error.to_string().contains("settings.private_key") && !error.to_string().contains(CANARY),
        "{error}"
    );
}
