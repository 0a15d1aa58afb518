//! The process: how it starts, what it writes, how it ends, what an operator sees.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use credsmith_tests::{Answer, Daemon, Provider, Request, Site, credsmith, eventually, wait_for};
use serde_json::{Value, json};

use crate::canaries::Canaries;
use crate::world::{Gate, TECHNICIAN, User, gated, ready};

const REQUEST: &str = "/api/v2/op/credential";

/// A site with a service that waits for `gate`.
fn waiting(op: &Provider, gate: &Gate) -> (Site, credsmith_tests::Target) {
    let target = gated(gate);
    let lines = format!("plugin_timeout = \"60s\"\n{}", target.granted_to("remote"));
    (Site::new().provider("op", op).service("remote", "remote", &lines), target)
}

#[test]
fn term_finishes_what_is_in_work_and_a_restart_finds_it() {
    let (op, gate) = (Provider::start(), Gate::default());
    let (site, target) = waiting(&op, &gate);
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: op.token("alice") };
    let (first, _) = user.fetch(&user.issue("remote", json!({})));

    gate.close();
    let before = target.received().len();
    let answer = thread::scope(|scope| {
        let request = scope.spawn(|| user.post("remote", json!({})));
        eventually("the call to be in work", || target.received().len() > before);
        daemon.terminate();
        eventually("the listener to be closed", || {
            TcpStream::connect(daemon.address())
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        });
        assert!(!request.is_finished());
        gate.open();
        request.join().unwrap()
    });
    answer.expect(303);
    let token = user.token.clone();
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);

    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token };
    let mut ids = user.credentials();
    assert_eq!(ids.len(), 2, "what was in work was recorded");
    ids.retain(|id| *id != first);
    assert_eq!(ids.len(), 1, "and what was there before is there");
    assert_eq!(user.service("remote").unwrap()["cred_count"], 2);
    for id in user.credentials() {
        user.revoke(&id).expect(200);
    }
    assert_eq!(target.received().iter().filter(|request| request.target == "/delete").count(), 2);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (op, gate) = (Provider::start(), Gate::default());
    let (site, target) = waiting(&op, &gate);
    let daemon = site.serve();
    ready(&daemon);
    gate.close();
    let (address, token) = (daemon.address(), op.token("alice"));
    let body = json!({ "service_id": "remote" });
    let request =
        thread::spawn(move || Request::post(REQUEST, &body).bearer(&token).try_send(address));
    eventually("the call to be in work", || target.received().len() == 1);
    daemon.terminate();
    daemon
        .stderr()
        .wait(|log| log.contains("the daemon finishes the work under way").then_some(()))
        .unwrap();
    daemon.terminate();
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert!(request.join().unwrap().is_err(), "its client was cut off");
    gate.open();
}

#[test]
fn a_provider_that_is_down_delays_no_one_else_and_is_found_when_it_is_up() {
    let (op, mut late) = (Provider::start(), Provider::down(Vec::new()));
    let site =
        Site::new().provider("op", &op).provider("late", &late).service("unique", "unique", "");
    let daemon = site.serve();
    let user = |provider: &str, token: &str| {
        daemon.ask(&Request::get(format!("/api/v2/{provider}/service")).bearer(token)).status
    };
    eventually("the one that is up", || user("op", &op.token("alice")) == 200);
    assert_eq!(daemon.admin("/healthz").expect(200).json(), json!({ "status": "ok" }));
    let state = daemon.admin("/readyz").expect(200).json();
    assert_eq!((&state["ready"], &state["reasons"]), (&json!(true), &json!([])));
    let warnings = state["warnings"].as_array().unwrap();
    assert!(
        warnings.len() == 1 && warnings[0].as_str().unwrap().contains("the provider late"),
        "{state}"
    );
    let token = late.token("alice");
    assert_eq!(user("late", &token), 503);

    late.up();
    eventually("the other one", || user("late", &token) == 200);
    assert_eq!(daemon.admin("/readyz").expect(200).json()["warnings"], json!([]));
    // Only the socket answers with reasons: they name internals.
    daemon.ask(&Request::get("/readyz")).refusal(404);
    daemon.ask(&Request::get("/healthz")).refusal(404);
}

#[test]
fn readiness_says_why_not() {
    let op = Provider::down(Vec::new());
    let site = Site::new()
        .section("plugins", "tolerate_broken_services = true")
        .provider("op", &op)
        .service_of("broken", "missing.wasm", "");
    let daemon = site.serve();
    let state = daemon.admin("/readyz").expect(503).json();
    assert_eq!(state["ready"], false);
    assert!(state["reasons"].to_string().contains("no provider is ready"), "{state}");
    assert!(state["warnings"].to_string().contains("the service broken is disabled"), "{state}");
    assert_eq!(daemon.admin("/healthz").status, 200);
    assert_eq!(daemon.admin_request(&Request::new("POST", "/readyz")).status, 405);
    assert_eq!(daemon.admin("/metrics").status, 404);
    let strict = Site::new().provider("op", &op).service_of("broken", "missing.wasm", "");
    let ended = strict.try_serve().unwrap_err();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("The service broken cannot be loaded"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn data_has_one_daemon_and_outlives_a_kill() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    ready(&daemon);
    let token = op.token("alice");
    let (id, _) = {
        let user = User { daemon: &daemon, token: token.clone() };
        user.fetch(&user.issue("unique", json!({})))
    };
    let second = site.try_serve().unwrap_err();
    assert_eq!((second.status.code(), second.stdout.as_str()), (Some(1), ""), "{second:?}");
    assert_eq!(daemon.admin("/healthz").status, 200, "the first one has not noticed");

    daemon.kill();
    let daemon = site.serve();
    ready(&daemon);
    assert_eq!(
        daemon.admin("/healthz").status,
        200,
        "the socket of the dead daemon did not block the next one"
    );
    let user = User { daemon: &daemon, token };
    assert_eq!(user.credentials(), [id], "what was acknowledged is there");
}

#[test]
fn credentials_of_a_service_that_is_gone() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let token = op.token("alice");
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: token.clone() };
    let (id, _) = user.fetch(&user.issue("unique", json!({})));
    daemon.stop();

    let site = site.anew().provider("op", &op);
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: token.clone() };
    user.revoke(&id).refusal(500);
    assert_eq!(user.credentials(), [id.as_str()], "it stays, and stays visible");
    daemon.stop();

    let site = site.anew().provider("op", &op).section("leases", "allow_dropping = true");
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token };
    user.revoke(&id).expect(200);
    assert_eq!(user.credentials(), [] as [&str; 0]);
}

/// A daemon whose standard error is a pipe that no process reads.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_is_not_read_delays_no_request() {
    let op = Provider::start();
    let site = Site::new().section("log", "level = \"trace\"").provider("op", &op);
    let started = credsmith()
        .arg("serve")
        .arg("--config")
        .arg(site.configuration())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut daemon = Unread(started.unwrap());
    let child = &mut daemon.0;
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready http://").unwrap().parse().unwrap();
    // More than fits a pipe.
    for _ in 0..1000 {
        Request::get("/api/v2/oidcp").send(address).expect(200);
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// An Ed25519 key whose every byte is known: RFC 8410 section 7.
const CA_KEY: &str = "MC4CAQAwBQYDK2VwBCIEIENhbmFyeS1TZWVkLU9mLVRoZS1TU0gtQ0EtMTIzNDU2";
const CA_SEED: &str = "Canary-Seed-Of-The-SSH-CA-123456";
const USER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f user@host";

/// What a plugin tries in order to get its secret out, or to break the log.
const ATTEMPTS: [&str; 15] = [
    "echo-secret-log",
    "echo-secret-stderr",
    "echo-secret-refusal",
    "echo-secret-refusal-log",
    "echo-secret-state",
    "echo-secret-log-then-trap",
    "http-echo-secret",
    "http-secret-elsewhere",
    "http-secret-url",
    "log-inject",
    "log-then-trap",
    "trap",
    "panic",
    "sleep",
    "stderr",
];

fn canary_site(
    format: &str,
    op: &Provider,
    target: &credsmith_tests::Target,
    canaries: &mut Canaries,
) -> Site {
    let url = target.url();
    let everything = format!("plugin_timeout = \"500ms\"\n{}", target.granted_to("hostile"));
    let secret = |service: &str, name: &str, reveal: bool| {
        format!(
            "{name} = {{ file = \"{service}.secret\", destinations = [\"{url}\"], reveal = {reveal} }}\n"
        )
    };
    let site = Site::new()
        .section("log", &format!("format = \"{format}\"\nlevel = \"trace\""))
        .provider("op", op)
        .service("py", "recorded", "pass_access_token = true\naccess_token = { reveal = true }")
        .service("hostile", "hostile", &format!("{everything}{}", secret("hostile", "secret", true)))
        .service("remote", "remote", &format!("{}{}", target.granted_to("remote"), secret("remote", "token", false)))
        .service_of("ssh", "bundled:ssh-ca", "[services.ssh.settings]\nca_key = { file = \"ca.pem\" }\nprincipals = [\"{preferred_username}\"]");
    for (file, value) in
        [("hostile.secret", "canary-hostile-6d51"), ("remote.secret", "canary-remote-77aa")]
    {
        site.secret(file, value);
        canaries.add("secret of a plugin", value);
    }
    site.secret(
        "ca.pem",
        &format!("-----BEGIN PRIVATE KEY-----\n{CA_KEY}\n-----END PRIVATE KEY-----\n"),
    );
    canaries.add("signing key", CA_SEED);
    canaries.add("signing key in base64", &CA_KEY[24..]);
    let kek = fs::read_to_string(site.path().join("kek")).unwrap();
    let text = kek.split_whitespace().max_by_key(|word| word.len()).unwrap();
    canaries.add("key of all data", text);
    canaries.add("secret of the client", credsmith_tests::CLIENT_SECRET);
    site
}

/// Everything that a user and a hostile plugin can do.
fn use_everything(user: &User<'_>, canaries: &mut Canaries) {
    canaries.add("access token", &user.token);
    let parameter = "canary-parameter-41c7";
    canaries.add("value of a parameter", parameter);
    let (kept, entries) = user.fetch(&user.issue("py", json!({ "must": parameter })));
    canaries.add("issued password", entries[1]["value"].as_str().unwrap());
    let (revoked, entries) =
        user.fetch(&user.issue("py", json!({ "must": parameter, "may": parameter })));
    canaries.add("issued password", entries[1]["value"].as_str().unwrap());
    user.revoke(&revoked).expect(200);
    let (_, entries) = user.fetch(&user.issue("ssh", json!({ "pub_key": USER_KEY })));
    let certificate = entries.to_string();
    assert!(certificate.contains("ssh-ed25519-cert-v01@openssh.com"), "{certificate}");
    let one_time = |path: &str| path.rsplit_once('/').unwrap().1.to_owned();
    let path = user.issue("py", json!({}));
    canaries.add("one-time id", one_time(&path));
    user.fetch(&path);
    user.ask(Request::get(path.as_str())).refusal(404);
    // Waits to be fetched, and is not.
    canaries.add("one-time id", one_time(&user.issue("py", json!({ "must": parameter }))));
    user.issue("remote", json!({}));

    for how in ["error", "bad_result", "oidc_login", "exit1"] {
        user.post("py", json!({ "behave": how })).refusal(400);
    }
    user.post("py", json!({ "unknown": parameter })).refusal(400);
    user.post("ssh", json!({ "pub_key": parameter })).refusal(400);
    for how in ATTEMPTS {
        let answer = user.post("hostile", json!({ "how": how }));
        assert!(matches!(answer.status, 303 | 400 | 504), "{how}: {answer:?}");
        canaries.absent_from(how, &answer.body);
    }
    for request in [
        Request::get(format!("{REQUEST}?access_token={}", user.token)),
        Request::get(REQUEST).header("Authorization", format!("Token {}", user.token)),
        Request::get(REQUEST).header("Authorization", user.token.as_str()),
        Request::get(REQUEST)
            .header("Cookie", format!("watts_session={}", user.token))
            .bearer("nonsense"),
        Request::new("POST", REQUEST)
            .bearer(&user.token)
            .header("Content-Type", "application/json")
            .body(parameter),
        Request::new("PUT", REQUEST).bearer(&user.token).body(parameter),
        Request::get("/api/v2/elsewhere/service").bearer(&user.token),
        Request::get(REQUEST).bearer(&format!("{}x", user.token)),
    ] {
        assert!(user.daemon.ask(&request).status >= 400, "{request}");
    }
    assert!(user.credentials().contains(&kept));
}

fn nothing_secret_is_written(format: &str) {
    let op = Provider::start();
    let target = credsmith_tests::Target::start(|request| match request.target.as_str() {
        "/create" => (200, json!({ "id": request.json()["credential_id"] }).to_string()),
        // Sends back what it is sent.
        _ => (200, format!("{} {}", request.head, String::from_utf8_lossy(&request.body))),
    });
    let mut canaries = Canaries::default();
    let site = canary_site(format, &op, &target, &mut canaries);
    let daemon = site.serve();
    ready(&daemon);
    use_everything(&User { daemon: &daemon, token: op.token("user-77") }, &mut canaries);
    for path in ["/healthz", "/readyz", "/nowhere"] {
        canaries.absent_from(path, &daemon.admin(path).body);
    }
    assert!(canaries.absent_below(&site.data()) > 3, "there is data");
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    canaries.absent_from("standard output", ended.stdout.as_bytes());
    canaries.absent_from("standard error", ended.stderr.as_bytes());
    canaries.absent_below(&site.data());
    assert!(ended.stderr.len() > 10_000, "there is a log: {}", ended.stderr);
    assert!(
        !ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\u{7}'),
        "a terminal would obey"
    );
    if format == "json" {
        for line in ended.stderr.lines() {
            let parsed: Result<Value, _> = serde_json::from_str(line);
            assert!(parsed.is_ok_and(|event| event.is_object()), "{line}");
        }
    }
    for line in ended.stderr.lines() {
        assert!(line.len() < 32 * 1024, "a line of {} bytes", line.len());
    }
}

#[test]
fn nothing_secret_is_written_in_json() {
    nothing_secret_is_written("json");
}

#[test]
fn nothing_secret_is_written_for_eyes() {
    nothing_secret_is_written("human");
}

#[test]
fn a_request_is_found_in_the_log_by_its_id() {
    let op = Provider::start();
    for format in ["json", "human"] {
        let site = Site::new()
            .section("log", &format!("format = \"{format}\""))
            .provider("op", &op)
            .service("unique", "unique", "");
        let daemon = site.serve();
        ready(&daemon);
        let user = User { daemon: &daemon, token: op.token("alice") };
        let answer = user.post("unique", json!({})).expect(303);
        let id = answer.header("x-request-id").unwrap().to_owned();
        let log = daemon.stop().stderr;
        let of_it: Vec<_> = log.lines().filter(|line| line.contains(&id)).collect();
        assert!(
            of_it.iter().any(|line| line.contains("request answered") && line.contains("303")),
            "{log}"
        );
        assert!(of_it.iter().any(|line| line.contains("audit")), "what was done, too: {log}");
    }
}

fn have(tool: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output()
        .unwrap()
        .status
        .success()
}

fn sh(commands: &str, directory: &Path) -> Output {
    Command::new("sh").args(["-eu", "-c", commands]).current_dir(directory).output().unwrap()
}

/// The commands of the welcome text.
fn pasted(daemon: &Daemon) -> String {
    let commands = wait_for("the welcome", || {
        let log = daemon.log();
        let (_, rest) = log.split_once("Paste into another shell:\n")?;
        rest.split_once("\nCtrl-C").map(|(commands, _)| commands.to_owned())
    });
    commands
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_commands_of_the_welcome_do_what_they_say_twice() {
    for tool in ["curl", "ssh-keygen"] {
        assert!(have(tool), "the welcome of `credsmith dev` uses {tool}, which is not installed");
    }
    let daemon = Daemon::dev(&[]);
    let commands = pasted(&daemon);
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = sh(&commands, directory.path());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complained}\n{commands}");
        let mut lines = said.lines();
        let mut next = || {
            serde_json::from_str::<Value>(lines.next().unwrap())
                .unwrap_or_else(|_| panic!("{said}"))
        };
        assert_eq!(next()["service_list"][0]["id"], "info");
        assert!(next()["credential_list"].is_array());
        assert_eq!(next()["result"], "ok");
        assert_eq!(next(), json!({ "result": "ok" }), "revoked");
        assert!(said.contains("ssh-ed25519-cert-v01@openssh.com user certificate"), "{said}");
        assert!(said.contains("alice"), "its principal: {said}");
        for message in [
            "Fetched user.",
            "Credential Fetched Successfully!",
            "Secure Values Fetched Successfully!",
        ] {
            assert!(
                said.contains(&format!(r#"{{"status":200,"message":"{message}""#)),
                "{message}: {said}"
            );
        }
    }
    assert_eq!(daemon.stop().status.code(), Some(0));
}

/// An access token of the vault for a demo account.
fn signed_in(daemon: &Daemon, user: &str) -> String {
    let commands = format!(
        r#"URI=$(curl -sS {url}/v1/auth/uri | grep -o '"uri":"[^"]*"' | cut -d '"' -f 4)
        curl -sSL -H 'Accept: application/json' "$URI&login_hint={user}""#,
        url = daemon.url()
    );
    let output = sh(&commands, Path::new("/"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["data"]["accessToken"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The demo answers to the names of this machine alone.
fn ask_demo(daemon: &Daemon, method: &str, path: &str, token: &str) -> Answer {
    let host = daemon.address().to_string();
    daemon.ask(&Request::new(method, path).host(Some(&host)).bearer(token))
}

/// `credsmith vault ...` with this daemon: exit code, standard output, standard error.
fn operate(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    let socket = daemon.data().unwrap().join("admin.sock");
    let Output { status, stdout, stderr } =
        credsmith().arg("vault").args(arguments).arg("--socket").arg(socket).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_demo_has_what_it_promises() {
    let daemon = Daemon::dev(&[]);
    let [alice, bob] = ["alice", "bob"].map(|user| signed_in(&daemon, user));
    let data = |token: &str, path: &str| {
        ask_demo(&daemon, "GET", &format!("/v1/{path}"), token).expect(200).json()["data"].clone()
    };
    let names = |list: Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(data(&alice, "user/@me")["roles"], json!(["admin"]));
    assert_eq!(data(&bob, "user/@me")["roles"], json!(["technician"]));
    assert_eq!(names(data(&alice, "user/@me/permissions"), "permission"), ["*"]);
    let mut technician = names(data(&bob, "user/@me/permissions"), "permission");
    technician.sort();
    assert_eq!(technician, TECHNICIAN);
    let companies = data(&bob, "company/companies");
    assert_eq!(names(companies.clone(), "name").len(), 3);
    let types = data(&bob, "credential-type/credential-types");
    let demo =
        types.as_array().unwrap().iter().find(|of| of["permissionScope"] == "demo.login").unwrap();
    assert_eq!(demo["credentialCount"], 2);
    let of = demo["id"].as_str().unwrap();
    let credentials = data(&bob, &format!("credential-type/credential-types/{of}/credentials"));
    let path = format!(
        "/v1/credential/credentials/{}/secure-values",
        credentials[0]["id"].as_str().unwrap()
    );
    ask_demo(&daemon, "GET", &path, &bob).expect(200);
    ask_demo(&daemon, "GET", &path, &alice).expect(200);
    // Neither dialect's token opens the other.
    ask_demo(&daemon, "GET", "/api/v2/dev/credential", &alice).expect(401);
}

#[test]
fn operators_look_after_the_vault() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("d");
    let daemon = Daemon::dev(&["--data", data.to_str().unwrap()]);
    let alice = signed_in(&daemon, "alice");
    let ask = |method: &str, path: &str| ask_demo(&daemon, method, path, &alice);
    let companies = ask("GET", "/v1/company/companies?search=acme").expect(200).json();
    let company = companies["data"][0]["id"].as_str().unwrap();
    let listed =
        ask("GET", &format!("/v1/credential/credentials/company/{company}")).expect(200).json();
    let id = listed["data"][0]["id"].as_str().unwrap();
    let path = format!("/v1/credential/credentials/{id}");

    assert_eq!(operate(&daemon, &["deleted"]), (Some(0), String::new(), String::new()));
    ask("DELETE", &path).expect(200);
    ask("GET", &path).expect(404);
    let (code, output, _) = operate(&daemon, &["deleted"]);
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &output["kind"], &output["id"]), (Some(0), &json!("credential"), &json!(id)));
    assert_eq!(operate(&daemon, &["restore", id]).0, Some(0));
    ask("GET", &path).expect(200);
    ask("DELETE", &path).expect(200);
    assert_eq!(operate(&daemon, &["purge", id]).0, Some(0));
    assert_eq!(operate(&daemon, &["deleted"]).1, "");
    let (code, output, said) = operate(&daemon, &["restore", id]);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(said.contains("Nothing deleted has that id."), "{said}");
    for accept in [&["sync"][..], &["sync", "--accept"]] {
        let (code, output, said) = operate(&daemon, accept);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["vanished"], 0);
    }

    let log = data.join("audit.jsonl");
    let audit_log = || fs::read_to_string(&log).unwrap_or_default();
    eventually("all commands to be audited", || {
        ["delete", "restore", "purge", "synchronise", "operate"]
            .iter()
            .all(|action| audit_log().contains(&format!("\"action\":\"{action}\"")))
    });
    assert!(audit_log().contains(r#""asked":"GET /vault/deleted""#), "{}", audit_log());
    assert_eq!(daemon.stop().status.code(), Some(0));
}
