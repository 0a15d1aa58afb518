//! The servers that a plugin may send requests to, with roots of trust and identity, and the
//! servers that a secret may be sent to.

use credsmith_core::secret::Secret;
use ipnet::IpNet;

use super::origin::{self, Origin};
use super::read::{Table, Value};
use super::report::did_you_mean;
use super::{networks, pem, secrets};

/// A server that a plugin may send requests to.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) origin: Origin,
    /// Addresses that are not public and to which connections are allowed.
    pub(crate) addresses: Vec<IpNet>,
    /// Further roots of trust, PEM.
    pub(crate) roots: Option<Vec<u8>>,
    /// The client identity of the daemon: certificates (PEM) and key (PEM).
    pub(crate) identity: Option<(Vec<u8>, Secret)>,
}

/// Reads `http`, a list of servers.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<Destination>> {
    let destinations = value.list(|item| item.table(destination).flatten())?;
    for (place, destination) in destinations.iter().enumerate() {
        if destinations.iter().take(place).any(|earlier| earlier.origin == destination.origin) {
            value.fault(format!("has {} twice, expected each server once", destination.origin));
        }
    }
    Some(destinations)
}

fn destination(table: &Table<'_>) -> Option<Destination> {
    let origin = table.required("destination", "\"https://api.example.org\"", |value| {
        value.parsed(origin::EXPECTED)
    });
    let roots = table.get("roots").map(|value| pem::roots(&value));
    let certificate = table.get("certificate").map(|value| pem::certificates(&value));
    let private_key = table.get("private_key").map(|value| secrets::secret(&value));
    let addresses = table.or("addresses", Vec::new(), networks::read);
    let origin: Origin = origin?;
    let identity = match (certificate, private_key) {
        (None, None) => None,
        (Some(certificate), Some(private_key)) => {
            let identity = (certificate?, private_key?);
            pem::check_identity(table.value(), &identity.0, &identity.1)?;
            Some(identity)
        }
        _ => {
            table.value().fault(
                "has a certificate without a private_key or the reverse, expected both or none",
            );
            return None;
        }
    };
    if !origin.https && (roots.is_some() || identity.is_some()) {
        table.value().fault("is an http:// server with roots or a certificate, expected https://");
    }
    Some(Destination {
        origin,
        addresses,
        roots: roots.map_or(Some(None), |read| read.map(Some))?,
        identity,
    })
}

/// Reads `destinations` of a secret: servers that `http` grants. Absent: none.
pub(crate) fn secret_destinations(table: &Table<'_>, http: &[Destination]) -> Vec<Origin> {
    table.or("destinations", Vec::new(), |value| value.list(|item| granted(item, http)))
}

fn granted(item: &Value<'_>, http: &[Destination]) -> Option<Origin> {
    let origin: Origin = item.parsed(origin::EXPECTED)?;
    if http.iter().any(|destination| destination.origin == origin) {
        return Some(origin);
    }
    let granted: Vec<String> =
        http.iter().map(|destination| destination.origin.to_string()).collect();
    let hint = did_you_mean(&origin.to_string(), granted.iter().map(String::as_str));
    item.fault(format!(
        "is {origin}, which the service's http list does not grant; expected one of its servers{hint}"
    ));
    None
}
