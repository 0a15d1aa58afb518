//! The recorded answers of the original WaTTS, replayed one after the other against the daemon
//! configured alike.

mod differences;
mod masks;
mod recording;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use credsmith_dev_provider::Account;
use credsmith_tests::{Answer, Daemon, Provider, Site, eventually};
use serde_json::{Value, json};

use differences::DIFFERENCES;
use masks::Masks;
use recording::{Asked, Recorded, Recording};

/// How long a credential can be fetched here: the original gave it ten seconds, which is too long
/// to wait for in a test.
const HANDOFF: Duration = Duration::from_secs(4);
/// How long the one token lives that ends between two recordings.
const BRIEF: Duration = Duration::from_secs(6);

/// That token, as recorded.
const BRIEF_TOKEN: &str = "mx7bTju0w-PiCIOjaJsRJ6hpyHABfv2L-EpoQsluX7P";

/// Headers that say nothing about the dialect.
const UNCOMPARED: [&str; 5] = ["connection", "content-length", "date", "server", "x-request-id"];

/// What was sent for the recordings of which only the lines of the index are left.
const WITHOUT_FILE: [(u32, &str); 10] = [
    (
        135,
        "-X DELETE -H 'Content-Type: text/plain' --data-binary hello {url}/f5a22286-7b2f-4ccb-a0c0-a3b330b8d44b",
    ),
    (
        136,
        "-X DELETE -H 'Content-Type: application/json' {url}/e38244da-d51c-497c-88a3-1c95dcbe647b",
    ),
    (137, "-X DELETE {url}"),
    (138, "-X DELETE {url}/845F68C8-5FEC-4D21-A3D1-C412956003B6"),
    (139, "-X DELETE -H 'Accept: text/html' {url}/845f68c8-5fec-4d21-a3d1-c412956003b6"),
    (140, "{url}/845f68c8-5fec-4d21-a3d1-c412956003b6"),
    (141, "{url}/11111111-2222-3333-4444-555555555555"),
    (
        142,
        "-H 'Content-Type: application/json' --data-binary '{\"service_id\": \"py\", \"params\": {\"behave\": \"revoke_fails\"}}' -L {url}",
    ),
    (143, "-X DELETE {url}/386c8b07-a055-4909-8048-d3643e8b2911"),
    (144, "{url}"),
];
/// The user of these.
const LAST_USER: &str = "-H 'Authorization: Bearer 5Hw3eacA4_-tKAWiTTxKkXJTgEpov-mzzuazK9tlgM3'";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/watts")
}

fn recordings() -> Vec<Recording> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .map(|path| Recording::read(&path))
        .collect();
    let index = std::fs::read_to_string(directory().join("INDEX.md")).unwrap();
    for (number, curl) in WITHOUT_FILE {
        let line = index.lines().find(|line| line.starts_with(&format!("- {number}-"))).unwrap();
        let url = format!("{LAST_USER} http://localhost:7080/api/v2/op/credential");
        all.push(Recording::listed(line, &format!("curl {}", curl.replace("{url}", &url))));
    }
    all.sort_by_key(|recording| recording.number);
    let numbers: Vec<_> = all.iter().map(|recording| recording.number).collect();
    assert_eq!(numbers, (1..=144).collect::<Vec<_>>(), "every recording, once");
    all
}

struct Original {
    op: Provider,
    dead: Provider,
    _off: Provider,
    _site: Site,
    daemon: Daemon,
}

fn account(name: &str, groups: &[&str]) -> Account {
    let email = format!("{name}@example.org");
    Account::new(name, [("name", json!(name)), ("email", json!(email)), ("groups", json!(groups))])
}

impl Original {
    /// The configuration of the recorded server, as `README.md` beside the recordings has it.
    fn start() -> Self {
        let users = ["user-c5", "user-v1", "user-v0"].map(|name| account(name, &["users"]));
        // Stands for alice where a token shows no groups: this provider shows them with every
        // token.
        let op = Provider::with(users.into_iter().chain([account("nobody", &[])]).collect());
        let dead = Provider::down(Vec::new());
        let off = Provider::start();
        let any_user = "allow = [{ provider = \"any\", claim = \"sub\", any = true }]";
        let admins = "allow = [{ provider = \"any\", claim = \"groups\", has = \"admins\" }]";
        let site = Site::new()
            .section("leases", &format!("handoff_lifetime = \"{}s\"", HANDOFF.as_secs()))
            .section("plugins", "tolerate_broken_services = true")
            .provider_at("op", &op.issuer(), "description = \"Loopback OP\"\nany_audience = true")
            .provider_at("dead", &dead.issuer(), "description = \"Provider that is down\"\nany_audience = true")
            .provider_at("off", &off.issuer(), "description = \"No login\"\nany_audience = true\ndisable_login = true")
            .service("info", "recorded-info", &format!("description = \"Simple Info Service\"\n{any_user}\ncredential_limit = 1\ndisplay_priority = 1"))
            .service("py", "recorded", &format!("description = \"Python test service\"\n{any_user}\ndisplay_priority = 2\nplugin_timeout = \"3s\"\nsettings.mode = \"fancy\""))
            .service("two", "recorded", &format!("description = \"Limit of two\"\n{any_user}\ndisplay_priority = 3\ncredential_limit = 2\npass_access_token = true\naccess_token = {{ reveal = true }}"))
            .service("admins", "recorded", &format!("description = \"Admins only\"\n{admins}\ndisplay_priority = 4\ntooltip = \"you must be a member of admins\""))
            .service("hidden", "recorded", &format!("description = \"Hidden unless admin\"\n{admins}\ndisplay_priority = 5\nhide = true"))
            .service_of("nostdin", "missing.wasm", &format!("description = \"Disabled (plugin without stdin)\"\n{any_user}\ndisplay_priority = 6"))
            .service("ssh", "recorded-ssh", &format!("description = \"ssh key service\"\n{any_user}\ndisplay_priority = 7\ncredential_limit = 1"));
        let daemon = site.serve();
        eventually("the providers that are up", || {
            let warnings = daemon.admin("/readyz").json()["warnings"].to_string();
            !warnings.contains("provider op") && !warnings.contains("provider off")
        });
        Self { op, dead, _off: off, _site: site, daemon }
    }

    /// Recorded tokens, and those that stand for them here.
    fn masks(&self) -> Masks {
        let like = |user: &str, change: fn(&mut credsmith_dev_provider::TokenSpec)| {
            self.op.token_like(user, change)
        };
        let scopes = |spec: &mut credsmith_dev_provider::TokenSpec| {
            spec.scopes = ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec();
        };
        let tokens = [
            ("VAs23dGVBCvTrUv7d04PYRpohGskWX1fCTy1DjIC9BJ", like("alice", scopes)),
            ("Kj9UHXxshXfVHa8WIND9GRnZsxQETGPxi7fR9FR24ej", like("bob", scopes)),
            ("5Hw3eacA4_-tKAWiTTxKkXJTgEpov-mzzuazK9tlgM3", like("user-c5", scopes)),
            ("aG6FFb6OsbLiOvlCR8RAxwbnfKOt2OtQr_SZ2GRgv-6", like("user-v1", scopes)),
            ("bY0_kRfbwEB5u-lYZHkP0pEcU22VCNzSkDKJFj8DeLM", like("user-v0", scopes)),
            (
                "VsQ8N42SNQ0juOa9eMmgqISkAIX3ZCouS8ZBRio_fSd",
                like("nobody", |spec| spec.scopes = vec!["openid".into()]),
            ),
            (
                "L-smX8j-LQQq-qV0eRzFxSQmhRc7erFMKb3xDYo-vdi",
                like("alice", |spec| spec.scopes = vec!["email".into()]),
            ),
            (
                "RIaE1IjfGIoEuBytW9BqVhKJj6Uthufrhumbyz0WvqN",
                like("alice", |spec| spec.audience = vec!["other".into()]),
            ),
            (
                "iZ1KzutL68LMeP2bidPLSm2aoTeHB4Z5IRJQQkYpkMm",
                like("alice", |spec| spec.lifetime = Duration::ZERO),
            ),
        ];
        let texts = tokens.map(|(recorded, ours)| (recorded.to_owned(), ours));
        let issuers = [
            ("http://127.0.0.1:7001".to_owned(), self.op.issuer()),
            ("http://127.0.0.1:7999".to_owned(), self.dead.issuer()),
        ];
        let escaped = issuers.clone().map(|(recorded, ours)| (percent(&recorded), percent(&ours)));
        Masks::new(texts.into_iter().chain(issuers).chain(escaped).collect())
    }
}

fn percent(url: &str) -> String {
    url.replace(':', "%3A").replace('/', "%2F")
}

#[test]
fn the_recorded_answers_of_watts() {
    let original = Original::start();
    let mut masks = original.masks();
    let mut brief_ends = Instant::now();
    let mut faults = Vec::new();
    for recording in recordings() {
        match recording.number {
            69 => {
                brief_ends = Instant::now() + BRIEF;
                masks.text(
                    BRIEF_TOKEN,
                    original.op.token_like("alice", |spec| spec.lifetime = BRIEF),
                );
            }
            70 => thread::sleep(brief_ends.saturating_duration_since(Instant::now())),
            115 => thread::sleep(HANDOFF),
            _ => {}
        }
        if let Err(fault) = replay(&recording, &original.daemon, &mut masks) {
            faults.push(format!("{}: {fault}", recording.name));
        }
    }
    assert!(faults.is_empty(), "{} of 144 differ:\n{}", faults.len(), faults.join("\n"));
}

/// Sends what was sent, follows where curl followed, and compares.
fn replay(recording: &Recording, daemon: &Daemon, masks: &mut Masks) -> Result<(), String> {
    let mut expected = recording.answers.clone();
    for difference in DIFFERENCES.iter().filter(|difference| difference.is_about(recording.number))
    {
        difference.apply(expected.last_mut().unwrap())?;
    }
    let mut asked = recording.asked.clone();
    for (place, expected) in expected.iter().enumerate() {
        let ours = daemon.ask(&translated(&asked, masks).request());
        compare(expected, &ours, masks).map_err(|fault| format!("{fault}\n    {ours:?}"))?;
        check_account(&ours)?;
        let last = place + 1 == recording.answers.len();
        if last {
            break;
        }
        let location = ours.header("location").ok_or("nowhere to follow to")?;
        let target =
            location.strip_prefix("http://localhost:7080").ok_or("a location elsewhere")?;
        asked = asked.following(target);
    }
    Ok(())
}

fn translated(asked: &Asked, masks: &Masks) -> Asked {
    let headers = asked.headers.iter().map(|(name, value)| (name.clone(), masks.ours(value)));
    Asked { target: masks.ours(&asked.target), headers: headers.collect(), ..asked.clone() }
}

fn compare(expected: &Recorded, ours: &Answer, masks: &mut Masks) -> Result<(), String> {
    if expected.status != ours.status {
        return Err(format!("expected status {}, got {}", expected.status, ours.status));
    }
    if let Some(headers) = &expected.headers {
        compare_headers(headers, &ours.headers, masks)?;
    }
    match expected.body.as_deref() {
        None => Ok(()),
        Some([]) if ours.body.is_empty() => Ok(()),
        Some([]) => Err("expected no body".into()),
        Some(body) => masks.compare(&serde_json::from_slice(body).unwrap(), &ours.json(), ""),
    }
}

fn compare_headers(
    expected: &[(String, String)],
    ours: &[(String, String)],
    masks: &mut Masks,
) -> Result<(), String> {
    let counted = |headers: &[(String, String)]| {
        let mut counted: Vec<_> = headers
            .iter()
            .filter(|(name, _)| !UNCOMPARED.contains(&name.as_str()))
            .cloned()
            .collect();
        counted.sort();
        counted
    };
    let (mut expected, mut ours) = (counted(expected), counted(ours));
    if let (Some(one), Some(other)) = (take_location(&mut expected), take_location(&mut ours)) {
        let (base, id) = one.rsplit_once('/').unwrap();
        let (our_base, our_id) = other.rsplit_once('/').unwrap();
        if base != our_base || our_id.len() != 22 {
            return Err(format!("expected the location {one}, got {other}"));
        }
        masks.same(id, our_id)?;
    }
    if expected == ours {
        Ok(())
    } else {
        Err(format!("expected headers {expected:?}, got {ours:?}"))
    }
}

fn take_location(headers: &mut Vec<(String, String)>) -> Option<String> {
    let place = headers.iter().position(|(name, _)| name == "location")?;
    Some(headers.remove(place).1)
}

/// The name of an account ends like the user id that the plugin was given.
fn check_account(ours: &Answer) -> Result<(), String> {
    let Ok(body) = serde_json::from_slice::<Value>(&ours.body) else { return Ok(()) };
    let entries = if body.is_array() { &body } else { &body["credential"]["entries"] };
    let value = |name: &str| {
        let entry = entries.as_array()?.iter().find(|entry| entry["name"] == name)?;
        entry["value"].as_str()
    };
    let (Some(name), Some(input)) = (value("Username"), value("input")) else { return Ok(()) };
    let input: Value = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let id = input["watts_userid"].as_str().unwrap_or_default();
    let tail = &id[id.len().saturating_sub(6)..];
    if name == format!("user{tail}") { Ok(()) } else { Err(format!("{name} is not made of {id}")) }
}
