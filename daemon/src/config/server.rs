//! `[server]`: listeners, and limits for clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use credsmith_core::secret::Secret;
use credsmith_http::ServerOptions;
use ipnet::IpNet;
use url::{Host, Url};

use super::keys::{self, Key};
use super::read::{Table, Value};
use super::report::Position;
use super::{networks, pem, secrets};

const SHORTEST: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: u64 = 1024 * 1024;

/// The keys of the section that limit clients. Their defaults are those of [`ServerOptions`].
pub(super) const LIMITS: &[Key<ServerOptions>] = &[
    Key::count(
        "requests_in_work",
        |limits| &mut limits.in_work,
        1..=65_536,
        "Requests in work at a time; one more is answered 503. Waiting for a plugin does not count.",
    ),
    Key::count(
        "connections",
        |limits| &mut limits.connections,
        1..=1_000_000,
        "Connections at a time; when they run out, the longest idle one is closed. One address has a quarter of them, a trusted proxy any number.",
    ),
    Key::count(
        "requests_per_second_per_address",
        |limits| &mut limits.requests_per_second,
        0..=1_000_000,
        "Requests that one address (IPv6: one /64) may send in a second in the long run, ten times as many at once; one more is answered 429. 0 for any number.",
    ),
    Key::flag(
        "limit_loopback",
        |limits| &mut limits.limit_loopback,
        "Whether that holds for clients on this machine too. A proxy on it that is not in trusted_proxies makes all clients appear there.",
    ),
    Key::size(
        "unfinished_bodies",
        |limits| &mut limits.unfinished_bodies,
        MIB..=64 * 1024 * MIB,
        "Memory for bodies that have not arrived whole; one address has a quarter of it. Above it, the oldest are cut.",
    ),
    Key::size(
        "unread_replies",
        |limits| &mut limits.unread_replies,
        MIB..=64 * 1024 * MIB,
        "Memory for answers that clients have not read; one address has a quarter of it. Above it, the oldest are cut.",
    ),
    Key::duration(
        "head_timeout",
        |limits| &mut limits.head_timeout,
        SHORTEST..=HOUR,
        "How long the head of a request may take to arrive.",
    ),
    Key::duration(
        "idle_timeout",
        |limits| &mut limits.idle_timeout,
        SHORTEST..=HOUR,
        "How long a connection may wait for its next request.",
    ),
];

/// Where and how clients are served.
#[derive(Debug)]
pub(crate) struct Server {
    /// The public address of the daemon; ends with `/`.
    pub(crate) public_url: Url,
    /// At least one.
    pub(crate) listen: Vec<Listen>,
    /// The values of the header `host` that are accepted; `None`: any.
    pub(crate) hosts: Option<Vec<String>>,
    /// Whether answers name the host that was asked for. No key: a demo sets it.
    pub(crate) as_asked: bool,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How many clients are served at once, and how long they may take.
    pub(crate) limits: ServerOptions,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
    at: Position,
    key: String,
}

/// The certificate and key of a listener.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) certificate: Vec<u8>,
    pub(crate) private_key: Secret,
}

impl Server {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let plain = table.or("allow_plain_http", false, Value::flag);
        let public_url =
            table.required("public_url", "\"https://credsmith.example.org/\"", public_url);
        let listen = table.required("listen", "[{ address = \"127.0.0.1:8080\" }]", |value| {
            value.list(|item| item.table(|table| Listen::read(table, plain)).flatten())
        });
        let mut limits = ServerOptions::default();
        keys::read(LIMITS, table, &mut limits);
        let server = Self {
            hosts: table.optional("hosts", |value| value.list(Value::line)),
            as_asked: false,
            trusted_proxies: table.or("trusted_proxies", Vec::new(), networks::read),
            limits,
            public_url: public_url?,
            listen: listen?,
        };
        server.check(table.value());
        Some(server)
    }

    fn check(&self, value: &Value<'_>) {
        if self.listen.is_empty() {
            value.fault("has no listener, expected `listen = [{ address = \"127.0.0.1:8080\" }]`");
        }
        if self.public_url.scheme() == "http"
            && self.listen.iter().all(|listen| listen.tls.is_some())
        {
            value.warning("public_url begins with http://, but every listener speaks TLS");
        }
        for (place, listen) in self.listen.iter().enumerate() {
            let clash = self
                .listen
                .iter()
                .take(place)
                .find(|earlier| collide(earlier.address, listen.address));
            if let Some(earlier) = clash {
                let first = value.reading.report.describe(earlier.at).unwrap_or_default();
                let message = format!(
                    "listens on {}, which is taken by the listener at {first}",
                    listen.address
                );
                value.reading.report.fault(Some(listen.at), &listen.key, message);
            }
        }
    }
}

impl Server {
    /// Whether all clients seem to come from this machine, because they come through a proxy on it
    /// whose `X-Forwarded-For` is not trusted.
    pub(crate) fn takes_clients_for_its_proxy(&self) -> bool {
        let is_local = match self.public_url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let on_loopback = self.listen.iter().all(|listen| listen.address.ip().is_loopback());
        !is_local && on_loopback && self.trusted_proxies.is_empty()
    }
}

impl Listen {
    fn read(table: &Table<'_>, plain_allowed: bool) -> Option<Self> {
        let address = table.required("address", "\"127.0.0.1:8080\"", |value| {
            value.parsed::<SocketAddr>(
                "an address with a port, like \"127.0.0.1:8080\" or \"[::]:8443\"",
            )
        });
        let certificate = table.get("certificate").map(|value| pem::certificates(&value));
        let private_key = table.get("private_key").map(|value| secrets::secret(&value));
        let tls = match (certificate, private_key) {
            (None, None) => None,
            (Some(certificate), Some(private_key)) => {
                let tls = Tls { certificate: certificate?, private_key: private_key? };
                pem::check_identity(table.value(), &tls.certificate, &tls.private_key)?;
                Some(tls)
            }
            _ => {
                table.value().fault(
                    "has a certificate without a private_key or the reverse, expected both or none",
                );
                return None;
            }
        };
        let listen = Self {
            address: address?,
            tls,
            at: table.value().at(),
            key: table.value().key().to_owned(),
        };
        if listen.tls.is_none() && !listen.address.ip().is_loopback() && !plain_allowed {
            table.value().fault(format!(
                "sends tokens and credentials over {} unencrypted, expected certificate and private_key, or \
                 server.allow_plain_http = true where a proxy on a trusted network adds TLS",
                listen.address
            ));
        }
        Some(listen)
    }
}

fn public_url(value: &Value<'_>) -> Option<Url> {
    let expected = "an absolute http:// or https:// address without user, query and fragment, like \
                    \"https://credsmith.example.org/\"";
    let mut url: Url = value.parsed(expected)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
        value.fault(format!("is not usable, expected {expected}"));
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

/// Whether two listeners cannot have these addresses at once. Port 0 is a new port each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || (same_family && (any(one.ip()) || any(other.ip()))))
}
