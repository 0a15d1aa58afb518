//! The host names that a server answers for: the guard against DNS rebinding, where a page resolves
//! its own name to a loopback address.

use std::fmt;

/// The values of `host` that a server accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostPolicy {
    /// Any, or none.
    #[default]
    Any,
    /// Exactly these, as `name` (whatever the port) or `name:port`. Case does not matter. A request
    /// without a host is refused.
    Only(Vec<String>),
}

impl HostPolicy {
    /// Accepts these names.
    pub fn only<I: IntoIterator<Item = S>, S: fmt::Display>(names: I) -> Self {
        Self::Only(names.into_iter().map(|name| name.to_string().to_ascii_lowercase()).collect())
    }

    /// Whether a request that names `host` is answered. An empty list refuses every request.
    pub fn admits(&self, host: Option<&str>) -> bool {
        let Self::Only(names) = self else { return true };
        let Some(host) = host else { return false };
        names.iter().any(|name| {
            name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(without_port(host))
        })
    }
}

/// `name` of `name:port`, with the brackets of an IPv6 address left on.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_are_admitted() {
        let policy = HostPolicy::only(["LocalHost:8080", "127.0.0.1:8080", "[::1]", "plain"]);
        for (host, admitted) in [
            ("localhost:8080", true),
            ("LOCALHOST:8080", true),
            ("localhost", false),
            ("localhost:80", false),
            ("localhost:8080.evil.example", false),
            ("evil.example:8080", false),
            ("127.0.0.1:8080", true),
            ("[::1]", true),
            ("[::1]:9", true),
            ("::1", false),
            ("plain", true),
            ("plain:1", true),
            ("plain:", false),
            ("plain:1:2", false),
            ("user@plain", false),
            ("", false),
        ] {
            assert_eq!(policy.admits(Some(host)), admitted, "{host}");
        }
        assert!(!policy.admits(None));
        assert!(!HostPolicy::Only(vec![]).admits(Some("localhost")));
        assert!(HostPolicy::Any.admits(None));
    }
}
