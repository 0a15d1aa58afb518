//! Whole configurations: the example, and the faults that concern several topics.

use std::collections::BTreeSet;
use std::path::Path;

use super::fake::FakeEnvironment;
use super::keys::Key;
use super::read::ReadContext;
use super::source::{self, Kind, Node};
use super::{
    Companies, Config, Faults, Plugins, Vault, companies, data, destinations, judge, leases,
    plugins, server, services, vault,
};

const EXAMPLE: &str = include_str!("../../../config/credsmith.example.toml");
const README: &str = include_str!("../../../config/README.md");
const FIRST_STEPS: &str = include_str!("../../../README.md");
const KEK: &str = "credsmith-kek-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// What the example shows as an alternative to what stands beside it.
const ALTERNATIVE: &str = "list = ";

/// The example with every setting in force, apart from the alternative.
fn uncommented() -> String {
    let uncomment = |line: &str| {
        let text = line.trim_start();
        match text.strip_prefix('#') {
            Some(setting) if setting.starts_with(ALTERNATIVE) => line.to_owned(),
            Some(setting) if !setting.is_empty() && !setting.starts_with([' ', '-']) => {
                setting.to_owned()
            }
            _ => line.to_owned(),
        }
    };
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn environment() -> FakeEnvironment {
    let signed = rcgen::generate_simple_self_signed(vec!["credsmith.example.org".into()]).unwrap();
    let pem = format!("{}{}", signed.cert.pem(), signed.signing_key.serialize_pem());
    FakeEnvironment::anything(&pem).with("/etc/credsmith/kek", KEK).with(
        "/etc/credsmith/broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
}

/// A valid configuration.
#[derive(Debug)]
struct Judged {
    config: Config,
    warnings: Vec<String>,
}

fn read_with(
    environment: FakeEnvironment,
    text: &str,
) -> (Result<Judged, Faults>, BTreeSet<String>) {
    let mut reading = ReadContext::new(Box::new(environment));
    let node =
        source::read_text(Path::new("/etc/credsmith/c.toml"), text.into(), &mut reading.report);
    let judged = judge(&reading, &node);
    (judged.map(|(config, warnings)| Judged { config, warnings }), reading.asked())
}

fn faults(text: &str) -> Vec<String> {
    match read_with(environment(), text).0 {
        Ok(_) => Vec::new(),
        Err(faults) => faults.faults,
    }
}

/// Every key of a tree, as [`ReadContext::asked`] has them.
fn keys(node: &Node, prefix: &str, into: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Table(entries) => {
            for entry in entries {
                let free = matches!(
                    prefix,
                    "providers"
                        | "services"
                        | "services.*.settings"
                        | "roles"
                        | "vault.types"
                        | "companies.settings"
                );
                let name = if free { "*" } else { entry.key.as_str() };
                let key =
                    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
                if !free {
                    into.insert(key.clone());
                }
                keys(&entry.value, &key, into);
            }
        }
        Kind::List(items) => items.iter().for_each(|item| keys(item, &format!("{prefix}[]"), into)),
        _ => {}
    }
}

fn keys_of(text: &str) -> BTreeSet<String> {
    let mut reading = ReadContext::new(Box::new(FakeEnvironment::default()));
    let node = source::read_text(Path::new("c.toml"), text.into(), &mut reading.report);
    let mut found = BTreeSet::new();
    keys(&node, "", &mut found);
    found
}

#[test]
fn the_example_is_a_configuration() {
    let loaded =
        read_with(environment(), EXAMPLE).0.unwrap_or_else(|faults| panic!("{:#?}", faults.faults));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_example_with_everything_set_is_a_configuration() {
    let loaded = read_with(environment(), &uncommented())
        .0
        .unwrap_or_else(|faults| panic!("{:#?}", faults.faults));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

/// The other direction, that every key of the example is known, is the test above: an unknown key
/// is a fault.
#[test]
fn the_example_has_every_key_that_is_read() {
    let (_, asked) = read_with(environment(), &uncommented());
    // The three places of a secret are documented once, at the head of the example.
    let documented_once = |key: &&String| {
        !key.ends_with(".file") && !key.ends_with(".env") && !key.ends_with(".credential")
    };
    // Keys that are the same in several places are documented in one of them.
    let same = [
        (".forbid[]", ".allow[]"),
        ("roles.*.assign[]", "services.*.allow[]"),
        ("companies.http[]", "services.*.http[]"),
        ("companies.settings", "services.*.settings"),
    ];
    let rule =
        |key: &String| same.iter().fold(key.clone(), |key, (from, to)| key.replace(from, to));
    let asked: BTreeSet<_> = asked.iter().map(rule).filter(|key| key != "companies.list").collect();
    let written = keys_of(&uncommented());
    let missing: Vec<_> = asked.difference(&written).filter(documented_once).collect();
    assert!(missing.is_empty(), "the example lacks {missing:?}");
    for place in ["file", "env", "credential"] {
        assert!(EXAMPLE.contains(&format!("{{ {place} = ")), "{place}");
    }
    assert!(asked.len() > 80, "only {} keys were asked for", asked.len());
}

/// The comment and the setting of each key of `section` in the example, as `(comment, setting)`.
fn stated(section: &str) -> Vec<(String, String)> {
    let header = format!("[{section}]");
    let lines = EXAMPLE.lines().skip_while(|line| line.trim_start_matches('#') != header).skip(1);
    let (mut found, mut comment) = (Vec::new(), Vec::new());
    for line in lines.take_while(|line| !line.trim_start_matches('#').starts_with('[')) {
        match line.strip_prefix("# ") {
            Some(text) => comment.push(text),
            None => {
                found.push((comment.join(" "), line.trim_start_matches('#').to_owned()));
                comment.clear();
            }
        }
    }
    found
}

fn assert_stated<S>(section: &str, keys: &[Key<S>], mut defaults: S) {
    let stated = stated(section);
    for key in keys {
        let setting = format!("{} = {}", key.name, key.spelled(&mut defaults));
        assert!(
            stated.contains(&(key.doc.to_owned(), setting.clone())),
            "[{section}] of the example lacks\n# {}\n#{setting}",
            key.doc
        );
    }
}

#[test]
fn the_example_states_default_and_documentation_of_each_row() {
    assert_stated("server", server::LIMITS, credsmith_http::ServerOptions::default());
    assert_stated("data", data::SIZES, data::Sizes::default());
    assert_stated("data", data::COPIES, data::DEFAULT_COPIES);
    assert_stated("leases", leases::KEYS, credsmith_core::leases::Options::default());
    assert_stated("plugins", plugins::KEYS, Plugins::default());
    let service = services::ServiceOptions::default();
    assert_stated("services.info", destinations::KEYS, service.http);
    assert_stated("services.info", services::KEYS, service);
    assert_stated("vault", vault::KEYS, Vault::default());
    let directory = companies::DirectoryOptions::default();
    assert_stated("companies", destinations::KEYS, directory.http);
    assert_stated("companies", companies::KEYS, directory);
}

/// The options of a session need a provider, so that the section cannot begin with them.
#[test]
fn the_defaults_of_sessions_are_those_of_the_core() {
    let provider = credsmith_core::ids::ProviderId::parse("op").unwrap();
    let core = credsmith_core::session::Options::new(
        String::new(),
        String::new(),
        String::new(),
        provider,
    );
    let vault = Vault::default();
    assert_eq!(vault.same_address, core.same_address);
    assert_eq!(vault.access_token_lifetime, core.access_lifetime);
    assert_eq!((vault.session_idle, vault.session_lifetime), (core.idle, core.lifetime));
    assert_eq!((vault.confirm, vault.refresh_grace), (core.confirm, core.refresh_grace));
    assert_eq!(u32::try_from(vault.sign_ins_per_minute).ok(), core.sign_ins_per_minute);
}

#[test]
fn the_keys_that_the_reference_names_exist() {
    let known = keys_of(&uncommented());
    let sections: BTreeSet<_> = known.iter().filter_map(|key| key.split('.').next()).collect();
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let quoted: Vec<_> = README.split('`').skip(1).step_by(2).collect();
    let whole = quoted
        .iter()
        .filter(|text| text.split('.').all(is_word) && !text.ends_with(".jsonl"))
        .filter(|text| text.split_once('.').is_some_and(|(section, _)| sections.contains(section)));
    let mut count = 0;
    for key in whole {
        assert!(known.contains(*key), "config/README.md names {key}, which is no key");
        count += 1;
    }
    let last: BTreeSet<_> = known.iter().filter_map(|key| key.rsplit('.').next()).collect();
    let set = quoted.iter().filter_map(|text| text.split_once(" = "));
    for (key, _) in set.filter(|(key, _)| is_word(key) && *key != "include") {
        assert!(last.contains(key), "config/README.md sets {key}, which is no key");
        count += 1;
    }
    assert!(count > 10, "only {count} keys were found");
}

#[test]
fn the_configurations_in_the_reference_have_known_keys() {
    let blocks: Vec<_> = README
        .split("```toml\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.contains("\n["))
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let reported = faults(block).join("\n");
        assert!(!reported.contains("is not a known key"), "{reported}");
    }
}

#[test]
fn the_alternative_in_the_example_is_a_configuration() {
    let line = EXAMPLE
        .lines()
        .find_map(|line| line.strip_prefix('#').filter(|line| line.starts_with(ALTERNATIVE)));
    let text = format!("{EXAMPLE}\n[companies]\n{}\n", line.unwrap());
    let config = read_with(environment(), &text)
        .0
        .unwrap_or_else(|faults| panic!("{:#?}", faults.faults))
        .config;
    let Companies::Listed(companies) = config.companies else { panic!("a list is a list") };
    let ids: Vec<_> = companies
        .iter()
        .map(|company| (company.id.as_str(), company.identifier.as_str()))
        .collect();
    assert_eq!(ids, [("1", "acme")]);
}

#[test]
fn the_defaults_of_the_vault_in_the_example_are_the_defaults() {
    let with = read_with(environment(), &uncommented()).0.ok().unwrap().config;
    let bare = read_with(
        environment(),
        &format!("{EXAMPLE}\n[vault]\n[roles.a]\npermissions = [\"*\"]\n"),
    )
    .0
    .ok()
    .unwrap()
    .config;
    let shared = |config: &Config| {
        let vault = config.vault.as_ref().unwrap();
        let provider = config.providers.first().unwrap();
        format!(
            "{:?}",
            (
                (vault.same_address, vault.sign_ins_per_minute, vault.access_token_lifetime),
                (vault.session_idle, vault.session_lifetime, vault.undelete_window),
                (vault.confirm, vault.refresh_grace),
                (vault.provider(&config.providers), &provider.prompt, provider.trust_email),
            )
        )
    };
    assert_eq!(shared(&with), shared(&bare));
}

#[test]
fn faults_of_the_vault_are_reported_at_their_place() {
    let vault = "[vault]\nprovider = \"oops\"\nsession_idle = \"8d\"\n[vault.types.generic]\nplugin = \"bundled:generic\"\n";
    let roles =
        "[roles.r]\npermissions = [\"company*\"]\n[cors]\norigins = [\"https://a.example/x\"]\n";
    let companies = "[companies]\nplugin = \"bundled:connectwise\"\nlist = []\n";
    let reported = faults(&format!("{}\n{vault}{roles}{companies}", small(&[]))).join("\n");
    for part in [
        "vault.provider: is `oops`, which is not among the providers (did you mean `op`?)",
        "session_idle is longer than session_lifetime",
        "vault.types.generic: is the plugin that is always present",
        "roles.r.permissions[0]: is \"company*\", expected a permission like",
        "cors.origins[0]: is \"https://a.example/x\", expected an origin",
        "companies: has a plugin and a list",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
}

/// [`small`] with a vault, a second provider, and these lines.
fn with_vault(vault: &str, rest: &str) -> String {
    let second = "[providers.two]\ndescription = \"d\"\nissuer = \"https://two.example.org\"\nclient_id = \"c\"\nany_audience = true\n";
    format!("{}\n{second}[vault]\n{vault}\n{rest}", small(&[]))
}

/// Attack: the answer of one provider passes for that of another.
#[test]
fn the_providers_of_the_vault_are_listed_once_and_known() {
    for (vault, expected) in [
        (
            "providers = [\"op\", \"twoo\"]",
            "vault.providers[1]: is `twoo`, which is not among the providers (did you mean `two`?)",
        ),
        ("providers = []", "vault.providers: is empty, so that no user could sign in"),
        (
            "providers = [\"op\", \"two\", \"op\"]",
            "vault.providers[2]: is `op` a second time: two entries at one redirect URI",
        ),
        (
            "provider = \"op\"\nproviders = [\"two\"]",
            "vault.provider: is `op`, which is not among vault.providers",
        ),
    ] {
        let found = faults(&with_vault(vault, ""));
        assert_eq!(found.len(), 1, "{vault}: {found:#?}");
        assert!(found[0].contains(expected), "{expected} is not in {found:#?}");
    }
    let disabled = with_vault("providers = [\"op\", \"two\"]", "")
        .replace("any_audience = true", "any_audience = true\ndisable_login = true");
    let found = faults(&disabled).join("\n");
    assert!(
        found.contains("vault.providers[1]: is `two`, at which sign-ins are disabled"),
        "{found}"
    );
}

#[test]
fn without_a_list_users_sign_in_at_the_provider_of_the_vault_alone() {
    let at = |vault: &str| {
        let loaded = read_with(environment(), &with_vault(vault, "")).0.ok().unwrap();
        let vault = loaded.config.vault.unwrap();
        let names = |ids: Vec<credsmith_core::ids::ProviderId>| {
            ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let default = vault.provider(&loaded.config.providers).into_iter().collect();
        (names(default), names(vault.sign_in_providers(&loaded.config.providers)))
    };
    let said = |default: &str, all: &str| (default.to_owned(), all.to_owned());
    assert_eq!(at(""), said("op", "op"));
    assert_eq!(at("provider = \"two\""), said("two", "two"));
    assert_eq!(at("providers = [\"two\", \"op\"]"), said("two", "two op"));
    assert_eq!(at("provider = \"op\"\nproviders = [\"two\", \"op\"]"), said("op", "two op"));
}

/// Attack: a foreign sign-in link.
#[test]
fn a_vault_that_asks_no_user_has_a_warning() {
    for (vault, is_warned) in
        [("", false), ("confirm = \"always\"", false), ("confirm = \"never\"", true)]
    {
        let loaded = read_with(environment(), &with_vault(vault, "")).0.ok().unwrap();
        let warnings = loaded.warnings.join("\n");
        assert_eq!(warnings.contains("vault.confirm: is \"never\""), is_warned, "{warnings}");
        assert_eq!(loaded.config.vault.unwrap().confirm, !is_warned);
    }
    for bad in ["confirm = \"nevr\"", "confirm = false", "refresh_grace = \"2m\""] {
        assert_eq!(faults(&with_vault(bad, "")).len(), 1, "{bad}");
    }
}

/// Attack: a group whose name has that of the administrators in it.
#[test]
fn a_role_takes_no_test_that_matches_a_part_of_a_text() {
    let with = |test: &str| {
        let role = format!(
            "[roles.a]\npermissions = [\"*\"]\nassign = [{{ provider = \"op\", claim = \"groups\", {test} }}]\n"
        );
        read_with(environment(), &with_vault("", &role)).0
    };
    let found = with("contains = \"admins\"").unwrap_err().faults;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("roles.a.assign[0].contains: matches a part of a text"),
        "{found:#?}"
    );
    assert!(found[0].contains("expected `has`"), "{found:#?}");
    let found = with("x = \"admins\"").unwrap_err().faults.join("\n");
    assert!(found.contains("exactly one of has, is_member_of, equals, regexp, any"), "{found}");
    assert!(!found.contains("any, contains"), "{found}");
    for (test, is_warned) in [
        ("has = \"admins\"", false),
        ("regexp = \"^admins$\"", false),
        ("regexp = \"@example\\\\.org$\"", false),
        ("regexp = \"admins\"", true),
    ] {
        let warnings = with(test).unwrap_or_else(|faults| panic!("{:#?}", faults.faults)).warnings;
        let is_found = warnings.iter().any(|line| line.contains("matches a part of a text"));
        assert_eq!(is_found, is_warned, "{test}: {warnings:?}");
    }
    // Services keep it, as the original records it.
    let service =
        small(&[("claim = \"sub\", any = true", "claim = \"groups\", contains = \"users\"")]);
    assert_eq!(faults(&service), Vec::<String>::new());
}

/// A misspelled permission removes rights without any other sign.
#[test]
fn rights_without_effect_have_a_warning() {
    let vault = "[vault]\n[roles.a]\npermissions = [\"*\"]\nassign = [{ provider = \"op\", claim = \"sub\", any = true }]\n";
    let roles = "[roles.r]\ncompanies = [\"acme\", \"nosuch\", \"GLOBEX\"]\npermissions = [\"credential.secure_value.read\", \"company\", \"credentials.*\", \"demo.*\", \"company.*\", \"user.roles.update\"]\n";
    let companies = "[companies]\nlist = [{ id = 1, identifier = \"acme\", name = \"Acme\" }, { id = 2, identifier = \"globex\", name = \"G\" }, { id = 3, identifier = \"Globex\", name = \"G\" }]\n";
    let text = format!("{}\n{vault}{roles}{companies}", small(&[]));
    let warnings = read_with(environment(), &text)
        .0
        .unwrap_or_else(|faults| panic!("{:#?}", faults.faults))
        .warnings
        .join("\n");
    for part in [
        "roles.r.permissions[0]: is \"credential.secure_value.read\", which covers no permission of a route (did you mean `credential.secure_values.read`?)",
        "roles.r.permissions[1]: is \"company\", which covers no permission of a route",
        "roles.r.permissions[2]: is \"credentials.*\", which covers no permission of a route (did you mean `credential.*`?)",
        "roles.r.companies: names \"nosuch\", which matches none of the companies",
        "roles.r.companies: names \"GLOBEX\", which matches several companies",
    ] {
        assert!(warnings.contains(part), "{part} is not in\n{warnings}");
    }
    for fine in ["demo", "user.roles", "permissions[4]", "\"acme\""] {
        assert!(!warnings.contains(fine), "{fine} is in\n{warnings}");
    }
}

/// Where all clients have one address, a stolen sign-in cannot be detected.
#[test]
fn a_proxy_that_is_not_trusted_has_a_warning() {
    let warned = |edits: &[(&str, &str)], vault: &str| {
        let text = format!("{}\n{vault}[roles.a]\npermissions = [\"*\"]\n", small(edits));
        let warnings = read_with(environment(), &text)
            .0
            .unwrap_or_else(|faults| panic!("{:#?}", faults.faults))
            .warnings;
        warnings.iter().any(|line| line.contains("vault.same_address: has no effect"))
    };
    let listen = "listen = [{ address = \"127.0.0.1:8080\" }]";
    let trusting = format!("{listen}\ntrusted_proxies = [\"127.0.0.1\"]");
    let public = "[server]\nallow_plain_http = true";
    assert!(warned(&[], "[vault]\n"));
    for (edits, vault) in [
        (&[][..], ""),
        (&[], "[vault]\nsame_address = false\n"),
        (&[(listen, &*trusting)], "[vault]\n"),
        (&[("https://c.example.org", "http://localhost:8080")], "[vault]\n"),
        (&[("https://c.example.org", "http://[::1]:8080")], "[vault]\n"),
        (&[("[server]", public), ("127.0.0.1:8080", "0.0.0.0:8080")], "[vault]\n"),
    ] {
        assert!(!warned(edits, vault), "{edits:?} {vault}");
    }
}

#[test]
fn the_audit_log_is_beside_the_data_or_where_it_is_configured() {
    let file = |more: &str| {
        let config =
            read_with(environment(), &format!("{}{more}", small(&[]))).0.ok().unwrap().config;
        config.audit.file(&config.data).display().to_string()
    };
    assert_eq!(file(""), "/var/lib/credsmith/audit.jsonl");
    assert_eq!(file("[audit]\nfile = \"log/a.jsonl\"\n"), "/etc/credsmith/log/a.jsonl");
    let reported = faults(&format!("{}[audit]\nfile = \"/absent/a.jsonl\"\n", small(&[])));
    assert_eq!(reported.len(), 1);
    assert!(
        reported[0].contains(
            "audit.file: is /absent/a.jsonl, which lies in a directory that is not there"
        ),
        "{reported:?}"
    );
}

#[test]
fn the_defaults_in_the_example_are_the_defaults() {
    let with = read_with(environment(), &uncommented()).0.ok().unwrap().config;
    let without = read_with(environment(), EXAMPLE).0.ok().unwrap().config;
    let shared = |config: &Config| {
        let (server, service) = (&config.server, config.services.first().unwrap());
        let provider = config.providers.first().unwrap();
        format!(
            "{:?}",
            (
                (&config.log, &config.leases, config.data.cache),
                (
                    server.limits.in_work,
                    server.limits.connections,
                    server.limits.head_timeout,
                    server.limits.idle_timeout
                ),
                (config.plugins.tolerate_broken_services, config.plugins.instances),
                (
                    service.parallel_runner,
                    service.options.queue_length,
                    service.options.queue_wait,
                    service.options.plugin_timeout
                ),
                (service.options.memory, service.options.hide, service.options.allow_same_state),
                (
                    &provider.scopes,
                    &provider.subject_claim,
                    provider.disable_login,
                    provider.clock_skew
                ),
            )
        )
    };
    assert_eq!(shared(&with), shared(&without));
}

/// A small configuration; `edit` replaces text in it.
fn small(edits: &[(&str, &str)]) -> String {
    let mut text = r#"
[server]
public_url = "https://c.example.org"
listen = [{ address = "127.0.0.1:8080" }]
[data]
directory = "/var/lib/credsmith"
[keyring]
key = { file = "kek" }
[providers.op]
description = "d"
issuer = "https://op.example.org"
client_id = "c"
audience = ["c"]
[services.info]
description = "d"
plugin = "bundled:info"
allow = [{ provider = "op", claim = "sub", any = true }]
"#
    .to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn the_small_configuration_is_fine() {
    assert_eq!(faults(&small(&[])), Vec::<String>::new());
}

#[test]
fn an_empty_file_misses_everything_at_once() {
    let found = faults("").join("\n");
    for key in ["server.public_url", "server.listen", "data.directory", "keyring.key", "providers"]
    {
        assert!(found.contains(&format!("{key}: is missing, expected `")), "{key}: {found}");
    }
}

#[test]
fn each_fault_is_reported_at_its_place() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "public_url = \"https://c.example.org\"",
            "public_url = \"/c\"",
            "c.toml:3:14: server.public_url: is \"/c\", expected an absolute",
        ),
        (
            "public_url = \"https://c.example.org\"",
            "public_url = \"ftp://c\"",
            "3:14: server.public_url: is not usable",
        ),
        (
            "public_url = \"https://c.example.org\"",
            "public_url = \"https://u:p@c\"",
            "server.public_url: is not usable",
        ),
        (
            "127.0.0.1:8080",
            "0.0.0.0:8080",
            "c.toml:4:11: server.listen[0]: sends tokens and credentials over 0.0.0.0:8080 unencrypted",
        ),
        (
            "127.0.0.1:8080",
            "localhost",
            "server.listen[0].address: is \"localhost\", expected an address with a port",
        ),
        ("[{ address = \"127.0.0.1:8080\" }]", "[]", "server: has no listener"),
        (
            "[{ address = \"127.0.0.1:8080\" }]",
            "[{ address = \"127.0.0.1:8080\" }, { address = \"127.0.0.1:8080\" }]",
            "server.listen[1]: listens on 127.0.0.1:8080, which is taken by the listener at /etc/credsmith/c.toml:4:11",
        ),
        (
            "[{ address = \"127.0.0.1:8080\" }]",
            "[{ address = \"127.0.0.1:8080\", certificate = \"c.pem\" }]",
            "expected both or none",
        ),
        (
            "file = \"kek\"",
            "env = \"KEK\"",
            "c.toml:8:7: keyring.key: is a variable of the environment",
        ),
        ("file = \"kek\"", "file = \"other\"", "keyring.key: this is not a key file"),
        (
            "\"/var/lib/credsmith\"",
            "\"/etc/credsmith\"",
            "c.toml:7:1: keyring.key: lies beside the data",
        ),
        (
            "\"/var/lib/credsmith\"",
            concat!(
                "\"/var/lib/",
                "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "\""
            ),
            "c.toml:5:1: data.directory: makes the path of the admin socket",
        ),
        (
            "\"bundled:info\"",
            "\"bundled:inof\"",
            "services.info.plugin: names a plugin that is not built in, expected one of bundled:aws, ",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nroots = \"kek\"",
            "providers.op.roots: the file /etc/credsmith/kek has no certificate",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nroots = \"broken.pem\"",
            "providers.op.roots: cannot be used as roots of trust",
        ),
        ("[providers.op]", "[providers.any]", "providers.any: a provider is never called `any`"),
        (
            "[providers.op]",
            "[providers.rsp1]",
            "providers.rsp1: a provider is never called `any`, and its id never begins",
        ),
        (
            "https://op.example.org",
            "http://op.example.org",
            "c.toml:11:10: providers.op.issuer: begins with http://",
        ),
        (
            "audience = [\"c\"]",
            "",
            "c.toml:9:1: providers.op: sets neither audience nor any_audience",
        ),
        ("audience = [\"c\"]", "audience = []", "providers.op.audience: is empty"),
        (
            "audience = [\"c\"]",
            "audience = [\"c\"]\nany_audience = true",
            "providers.op.audience: is set beside any_audience",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_secret = \"hunter2\"",
            "providers.op.client_secret: is a string, expected `{ file",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_auth = \"private_key_jwt\"",
            "c.toml:9:1: providers.op: sets client_auth to private_key_jwt and has no client_key",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_key = { file = \"k.pem\" }",
            "c.toml:9:1: providers.op: has a client_key that is not used",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_auth = \"post\"",
            "c.toml:9:1: providers.op: sets client_auth and has no client_secret",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_auth = \"client_secret_post\"",
            "providers.op.client_auth: is \"client_secret_post\", expected one of \"basic\", \"post\"",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nclient_auth = \"private_key_jwt\"\nclient_key = { file = \"kek\" }",
            "providers.op.client_key: has no readable private key",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nuserinfo = \"sometimes\"",
            "providers.op.userinfo: is \"sometimes\", expected one of \"when_needed\", \"always\"",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\nscopes = [\"profile\"]",
            "providers.op.scopes: has no \"openid\"",
        ),
        (
            "client_id = \"c\"",
            "client_id = \"c\"\naddresses = [\"10.0.0.0/99\"]",
            "providers.op.addresses[0]: is \"10.0.0.0/99\", expected a network",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nsha256 = \"abc\"",
            "services.info.sha256: is not a SHA-256",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nparallel_runner = 0",
            "services.info.parallel_runner: is 0, expected an integer from 1",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nparalel_runner = 2",
            "(did you mean `parallel_runner`?)",
        ),
        (
            "any = true",
            "any = true, equals = \"x\"",
            "services.info.allow[0]: has no test or several",
        ),
        (
            "any = true",
            "regexp = \"(\"",
            "services.info.allow[0].regexp: the pattern is not a regular expression",
        ),
        ("any = true", "contians = \"x\"", "did you mean `contains`?"),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nsettings = { s = { env = \"S\", destinations = [\"https://a.example.org\"] } }",
            "settings.s.destinations[0]: is https://a.example.org:443, which the service's http list does not grant",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org\" }]\nsettings = { s = { env = \"S\", destinations = [{ server = \"https://b.example.org\" }] } }",
            "settings.s.destinations[0].server: is https://b.example.org:443, which",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org\" }]\nsettings = { s = { env = \"S\", destinations = [{ server = \"https://a.example.org\", methods = [\"post\"] }] } }",
            "settings.s.destinations[0].methods[0]: is no method of HTTP",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org\" }]\nsettings = { s = { env = \"S\", destinations = [{ server = \"https://a.example.org\", methods = [] }] } }",
            "settings.s.destinations[0]: has an empty list of methods",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org\" }]\nsettings = { s = { env = \"S\", destinations = [{ server = \"https://a.example.org\", path = \"/a/../b\" }] } }",
            "settings.s.destinations[0].path: is no plain path",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org\" }]\nsettings = { s = { env = \"S\", destinations = [{ path = \"/a\" }] } }",
            "settings.s.destinations[0]",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\nhttp = [{ destination = \"https://a.example.org/path\" }]",
            "services.info.http[0].destination: is \"https://a.example.org/path\", expected a server like",
        ),
        (
            "plugin = \"bundled:info\"",
            "plugin = \"bundled:info\"\naccess_token = { reveal = true }",
            "services.info: grants uses of the access token without pass_access_token = true",
        ),
    ];
    for (from, to, expected) in cases {
        let found = faults(&small(&[(from, to)]));
        assert_eq!(
            found.iter().filter(|fault| fault.contains(expected)).count(),
            1,
            "{to}\n{found:#?}"
        );
        assert!(!found.concat().contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn two_providers_of_one_issuer_are_refused() {
    let text = small(&[]).replace(
        "[services.info]",
        "[providers.two]\ndescription = \"d\"\nissuer = \"https://op.example.org/\"\nclient_id = \"c\"\nany_audience = true\n[services.info]",
    );
    let found = faults(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("providers.two: has the issuer of the provider `op`"), "{found:?}");
}

#[test]
fn data_that_dev_made_is_refused() {
    let environment = environment().with("/var/lib/credsmith/made-by-credsmith-dev", "");
    let found = read_with(environment, &small(&[])).0.err().unwrap().faults;
    assert!(
        found[0].contains("data.directory: is /var/lib/credsmith, which `credsmith dev` made"),
        "{found:?}"
    );
}

#[test]
fn a_rule_with_an_unknown_provider_is_kept_with_a_warning() {
    let text = small(&[("provider = \"op\"", "provider = \"opp\"")]);
    let loaded = read_with(environment(), &text).0.ok().unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(
        loaded.warnings[0].contains(
            "names the provider `opp`, which is not configured, so that it never matches (did you mean `op`?)"
        ),
        "{:?}",
        loaded.warnings
    );
    let service = loaded.config.services.first().unwrap();
    assert_eq!(service.allow.len(), 1);
}

#[test]
fn a_vault_without_an_administrator_has_a_warning() {
    let admin = "[roles.a]\npermissions = [\"*\"]\n";
    let rule = "assign = [{ provider = \"op\", claim = \"sub\", equals = \"root\" }]\n";
    for (rest, is_warned) in [
        ("[vault]\n".to_owned(), true),
        (format!("[vault]\n{admin}"), true),
        (format!("[vault]\n{admin}companies = [\"acme\"]\n{rule}"), true),
        (format!("[vault]\n[roles.a]\npermissions = [\"user.*\"]\n{rule}"), true),
        (format!("[vault]\n{admin}{rule}"), false),
        // Without a vault roles have no effect.
        (admin.to_owned(), false),
    ] {
        let loaded = read_with(environment(), &format!("{}\n{rest}", small(&[]))).0.ok().unwrap();
        let warnings = loaded.warnings.join("\n");
        assert_eq!(
            warnings.contains("has no role with the permission `*`"),
            is_warned,
            "{rest}: {warnings}"
        );
    }
}

#[test]
fn plain_http_for_others_has_to_be_wanted() {
    let text = small(&[
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("[server]", "[server]\nallow_plain_http = true"),
    ]);
    assert_eq!(faults(&text), Vec::<String>::new());
}

#[test]
fn providers_keep_the_order_of_the_file() {
    let text = small(&[]).replace(
        "[providers.op]",
        "[providers.zz]\ndescription = \"d\"\nissuer = \"https://zz.example.org\"\nclient_id = \"c\"\nany_audience = true\n[providers.op]",
    );
    let config = read_with(environment(), &text).0.ok().unwrap().config;
    let ids: Vec<_> = config.providers.iter().map(|provider| provider.id.as_str()).collect();
    assert_eq!(ids, ["zz", "op"]);
}

/// A TLS configuration with a certificate that is valid for `days` from then on.
fn with_certificate(begin: (i32, u8, u8), end: (i32, u8, u8)) -> Result<Judged, Faults> {
    let mut params = rcgen::CertificateParams::new(vec!["credsmith.example.org".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
    params.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    let environment = FakeEnvironment::anything(&pem).with("/etc/credsmith/kek", KEK);
    let text = small(&[(
        "[{ address = \"127.0.0.1:8080\" }]",
        "[{ address = \"127.0.0.1:8443\", certificate = \"c.pem\", private_key = { file = \"k.pem\" } }]",
    )]);
    read_with(environment, &text).0
}

/// A daemon with an ended certificate starts and is reached by no client.
#[test]
fn a_certificate_that_has_ended_or_not_begun_is_a_fault() {
    let ended = with_certificate((2020, 1, 1), (2021, 1, 1)).unwrap_err();
    assert!(ended.faults[0].contains("c.toml:"), "{ended}");
    assert!(ended.faults[0].contains("a certificate that ended at 2021-01-01"), "{ended}");
    let later = with_certificate((3020, 1, 1), (3021, 1, 1)).unwrap_err();
    assert!(later.faults[0].contains("begins at 3020-01-01"), "{later}");
    assert!(with_certificate((2020, 1, 1), (3021, 1, 1)).is_ok());
}

/// A newcomer pastes it as it stands.
#[test]
fn the_configuration_of_the_first_steps_is_fine() {
    let (_, rest) = FIRST_STEPS.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let judged = read_with(environment(), text).0.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(judged.warnings, Vec::<String>::new());
    assert_eq!(judged.config.services.len(), 1);
}
