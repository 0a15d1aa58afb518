//! The path grammar of the WaTTS dialect (`daemon/dialects/watts.md` section 1.2). No route table:
//! versions have several spellings, and the issuer may stand in the path or in a header.

use std::borrow::Cow;

/// The dialect's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The resource of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Providers,
    Info,
    Logout,
    Services,
    Credential,
    CredentialData,
    AccessToken,
}

/// A path that follows the grammar. `decode` checks later whether its parts name anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<'p> {
    pub(super) version: Version,
    pub(super) issuer: Option<Cow<'p, str>>,
    pub(super) resource: Resource,
    pub(super) id: Option<Cow<'p, str>>,
}

/// Reads everything behind `/api`. `issuer_header` is the value of `X-OpenId-Connect-Issuer`, which
/// only version 1 takes. `None`: the path does not follow the grammar.
pub(super) fn parse<'p>(behind_api: &'p str, issuer_header: Option<&'p str>) -> Option<Path<'p>> {
    let segments = segments(behind_api)?;
    let (version, rest) = segments.split_first()?;
    let version = parse_version(version)?;
    if issuer_header.is_some() && version != Version::V1 {
        return None;
    }
    let (issuer, resource, id) = match (issuer_header, rest) {
        (None, [resource]) => (None, resource, None),
        (None, [issuer, resource]) => (Some(issuer.clone()), resource, None),
        (None, [issuer, resource, id]) => (Some(issuer.clone()), resource, Some(id.clone())),
        (Some(issuer), [resource]) => (Some(Cow::Borrowed(issuer)), resource, None),
        (Some(issuer), [resource, id]) => (Some(Cow::Borrowed(issuer)), resource, Some(id.clone())),
        _ => return None,
    };
    Some(Path { version, issuer, resource: parse_resource(resource)?, id })
}

/// `path` without the one-time address of a result, however it is spelled: the rest may stand in a
/// log.
pub(super) fn without_handoff(path: &str) -> Cow<'_, str> {
    let mut end = 0;
    for segment in path.split_inclusive('/') {
        end += segment.len();
        if decode(segment.trim_end_matches('/')).is_some_and(|name| name == "credential_data") {
            let (shown, hidden) = path.split_at(end);
            return if hidden.is_empty() {
                Cow::Borrowed(path)
            } else {
                Cow::Owned(format!("{shown}..."))
            };
        }
    }
    Cow::Borrowed(path)
}

/// The decoded segments. One trailing slash does not count; an empty segment in the middle does.
fn segments(behind_api: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = behind_api.strip_prefix('/').unwrap_or(behind_api);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/').map(decode).collect()
}

/// Resolves percent escapes; `None` for a broken one. Bytes that are not UTF-8 become replacement
/// characters, which no name contains.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

fn parse_version(segment: &str) -> Option<Version> {
    let number = segment.strip_prefix(['v', 'V'])?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match number.trim_start_matches('0') {
        "1" => Some(Version::V1),
        "2" => Some(Version::V2),
        _ => None,
    }
}

fn parse_resource(segment: &str) -> Option<Resource> {
    Some(match segment {
        "oidcp" => Resource::Providers,
        "info" => Resource::Info,
        "logout" => Resource::Logout,
        "service" => Resource::Services,
        "credential" => Resource::Credential,
        "credential_data" => Resource::CredentialData,
        "access_token" => Resource::AccessToken,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_version() {
        for (path, version) in [
            ("/v1/oidcp", Version::V1),
            ("/V1/oidcp", Version::V1),
            ("/v02/oidcp", Version::V2),
            ("/V2/oidcp", Version::V2),
        ] {
            assert_eq!(parse(path, None).map(|p| p.version), Some(version), "{path}");
        }
        for path in [
            "/v0/oidcp",
            "/v3/oidcp",
            "/v10/oidcp",
            "/v-1/oidcp",
            "/v/oidcp",
            "/v2.0/oidcp",
            "/x2/oidcp",
            "/2/oidcp",
            "/latest/oidcp",
            "/oidcp",
        ] {
            assert_eq!(parse(path, None), None, "{path}");
        }
    }

    #[test]
    fn issuer_and_id_by_position() {
        let path = parse("/v2/op/credential/x", None).unwrap();
        assert_eq!(path.issuer.as_deref(), Some("op"));
        assert_eq!(path.resource, Resource::Credential);
        assert_eq!(path.id.as_deref(), Some("x"));
        assert_eq!(parse("/v2/op/credential/x/y", None), None);
        assert_eq!(parse("/v2//oidcp", None).unwrap().issuer.as_deref(), Some(""));
        assert_eq!(parse("/v2/./oidcp", None).unwrap().issuer.as_deref(), Some("."));
        assert_eq!(parse("//v2/oidcp", None), None);
    }

    #[test]
    fn the_header_is_for_version_1_and_excludes_the_path() {
        let path = parse("/v1/credential/x", Some("op")).unwrap();
        assert_eq!(path.issuer.as_deref(), Some("op"));
        assert_eq!(path.id.as_deref(), Some("x"));
        assert_eq!(parse("/v2/service", Some("op")), None);
        assert!(parse("/v1/op/service", Some("op")).is_none(), "`op` is no resource");
    }

    #[test]
    fn one_trailing_slash_does_not_count() {
        assert!(parse("/v2/oidcp/", None).is_some());
        assert!(parse("/v2/oidcp//", None).is_none(), "two of them make an empty resource");
        for path in ["", "/", "/v2", "/v2/"] {
            assert_eq!(parse(path, None), None, "{path}");
        }
    }

    #[test]
    fn logs_do_not_learn_where_results_wait() {
        for (path, shown) in [
            ("/api/v2/op/credential_data/rmZuEqwOeDBCSeMiG_LvkA", "/api/v2/op/credential_data/..."),
            (
                "/api/v2/op/%63redential_data/rmZuEqwOeDBCSeMiG_LvkA/",
                "/api/v2/op/%63redential_data/...",
            ),
            ("/api/v2/op/credential_data/", "/api/v2/op/credential_data/"),
            ("/api/v2/op/credential/x", "/api/v2/op/credential/x"),
            ("/%zz", "/%zz"),
        ] {
            assert_eq!(without_handoff(path), shown);
        }
    }

    #[test]
    fn escapes_are_resolved_within_a_segment() {
        assert_eq!(parse("/v2/%6fidcp", None).unwrap().resource, Resource::Providers);
        let path = parse("/v2/https%3A%2F%2Fop.example%2F/service", None).unwrap();
        assert_eq!(path.issuer.as_deref(), Some("https://op.example/"));
        for path in ["/v2/%zz/oidcp", "/v2/%/oidcp", "/v2/%4/oidcp"] {
            assert_eq!(parse(path, None), None, "{path}");
        }
    }
}
