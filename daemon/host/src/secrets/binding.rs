//! Which requests a secret may be part of: those to a server, and where the configuration says so,
//! only by some methods and only below a path.
//!
//! A path is compared as a server may read it. A request whose path can be read in two ways (with
//! an encoded slash, or a way back up) is outside of every path. Never here: which servers a plugin
//! may reach at all.

use std::fmt;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use url::Url;

use super::Endpoint;

/// Headers by which some servers take a request for one of another method.
const METHOD_OVERRIDES: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// A kind of request that a secret may be part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    endpoint: Endpoint,
    /// None: all.
    methods: Vec<Method>,
    /// Without a slash at its end.
    path: Option<String>,
}

/// Why a binding cannot be: a predicate that says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBinding {
    /// No method of HTTP.
    #[error("is no method of HTTP, expected one in capitals, such as \"POST\"")]
    Method,
    /// No path, or one that can be read in two ways.
    #[error(
        "is no plain path, expected one like \"/api/v1/tokens\": it begins with a slash and has no `..`, `%`, `?`, `#` or `;`"
    )]
    Path,
}

impl From<Endpoint> for Binding {
    /// All requests to `endpoint`.
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, methods: Vec::new(), path: None }
    }
}

impl Binding {
    /// Only requests by one of `methods`; none: by all.
    ///
    /// # Errors
    /// [`BadBinding::Method`].
    pub fn by_methods<'a>(
        mut self,
        methods: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadBinding> {
        let parse = |name: &str| {
            let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase());
            Method::from_bytes(name.as_bytes()).ok().filter(|_| is_plain).ok_or(BadBinding::Method)
        };
        self.methods = methods.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Only requests to `path` and to what is below it.
    ///
    /// # Errors
    /// [`BadBinding::Path`].
    pub fn below(mut self, path: &str) -> Result<Self, BadBinding> {
        let is_plain = path.starts_with('/')
            && path.len() <= 1024
            && path.bytes().all(|b| b.is_ascii_graphic() && !b"%?#;\\".contains(&b))
            && plain_segments(path).is_some();
        if !is_plain {
            return Err(BadBinding::Path);
        }
        let path = path.trim_end_matches('/');
        self.path = (!path.is_empty()).then(|| path.to_owned());
        Ok(self)
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether a request of this method and URL is of this kind.
    pub(crate) fn covers(&self, method: &Method, url: &Url, headers: &HeaderMap) -> bool {
        Endpoint::of(url).is_some_and(|endpoint| endpoint == self.endpoint)
            && self.covers_method(method, url, headers)
            && self.path.as_deref().is_none_or(|path| is_below(url.path(), path))
    }

    fn covers_method(&self, method: &Method, url: &Url, headers: &HeaderMap) -> bool {
        let overridden = METHOD_OVERRIDES.iter().any(|name| headers.contains_key(*name))
            || url.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("_method"));
        self.methods.is_empty() || (self.methods.contains(method) && !overridden)
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if at == 0 { "" } else { "/" })?;
        }
        let space = if self.methods.is_empty() { "" } else { " " };
        write!(f, "{space}{}{}", self.endpoint, self.path.as_deref().unwrap_or_default())
    }
}

/// Whether `path` is `prefix` or below it, in each way in which a server may read it.
fn is_below(path: &str, prefix: &str) -> bool {
    let Some(read) = plain_segments(path) else { return false };
    let wanted = prefix.split('/').skip(1);
    let mut have = read.iter();
    wanted.into_iter().all(|segment| have.next().is_some_and(|other| other == segment))
}

/// The segments of `path`, decoded; `None` where a server may see others: since one is a way back
/// up, or contains what separates segments, or is encoded twice.
fn plain_segments(path: &str) -> Option<Vec<String>> {
    let segment = |raw: &str| {
        let decoded = percent_decode_str(raw).decode_utf8().ok()?.into_owned();
        // Some servers take what follows a semicolon for a parameter of the segment.
        let name = decoded.split(';').next().unwrap_or_default();
        let plain = !decoded.contains(['/', '\\', '%', '?', '#'])
            && !decoded.contains(char::is_control)
            && !matches!(name.trim(), "." | "..");
        plain.then_some(decoded)
    };
    path.strip_prefix('/')?.split('/').map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(methods: &[&str], path: &str) -> Binding {
        let binding = Binding::from(Endpoint::new("api.example", 443));
        let binding = binding.by_methods(methods.iter().copied()).unwrap();
        if path.is_empty() { binding } else { binding.below(path).unwrap() }
    }

    fn covers(binding: &Binding, method: &str, url: &str) -> bool {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        binding.covers(&method, &Url::parse(url).unwrap(), &HeaderMap::new())
    }

    #[test]
    fn a_server_alone_is_all_of_its_requests() {
        let all = bound(&[], "");
        for (method, url, expected) in [
            ("GET", "https://api.example/", true),
            ("DELETE", "https://API.example:443/a/..%2fb?_method=PUT", true),
            ("GET", "https://other.example/", false),
            ("GET", "https://api.example:8443/", false),
            ("GET", "http://api.example/", false),
        ] {
            assert_eq!(covers(&all, method, url), expected, "{method} {url}");
        }
    }

    #[test]
    fn a_method_is_the_one_that_the_server_sees() {
        let posts = bound(&["POST", "PUT"], "");
        for (method, url, expected) in [
            ("POST", "https://api.example/a", true),
            ("PUT", "https://api.example/a", true),
            ("GET", "https://api.example/a", false),
            ("post", "https://api.example/a", false),
            ("POST", "https://api.example/a?_method=GET", false),
            ("POST", "https://api.example/a?x=1&%5FMETHOD=GET", false),
        ] {
            assert_eq!(covers(&posts, method, url), expected, "{method} {url}");
        }
        for name in METHOD_OVERRIDES {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static("GET"),
            )]);
            let url = Url::parse("https://api.example/a").unwrap();
            assert!(!posts.covers(&Method::POST, &url, &headers), "{name}");
        }
    }

    /// Attack: a path that begins as it has to and leads elsewhere.
    #[test]
    fn a_path_is_left_by_no_detour() {
        for binding in [bound(&[], "/v1/tokens"), bound(&[], "/v1/tokens/")] {
            for (path, expected) in [
                ("/v1/tokens", true),
                ("/v1/tokens/", true),
                ("/v1/tokens/7?x=/../y", true),
                ("/v1/tokens/a%20b", true),
                ("/v1/%74okens/7", true),
                ("/v1/tokens;a=b/7", false),
                ("/v1/tokens2", false),
                ("/v1", false),
                ("/V1/tokens", false),
                ("/", false),
                ("/v1/tokens/../users", false),
                ("/v1/tokens/%2e%2e/users", false),
                ("/v1/tokens/.%2E/users", false),
                ("/v1/tokens/..;/users", false),
                ("/v1/tokens/..%2fusers", false),
                ("/v1/tokens/..%5cusers", false),
                ("/v1/tokens/%252e%252e/users", false),
                ("/v1/tokens/a%2f..%2f..%2fusers", false),
                ("/v1/tokens/..%00/users", false),
                ("/v1/tokens/%20..%20/users", false),
                ("//v1/tokens", false),
                ("/v1//tokens", false),
                ("/v1/tokens/%ff", false),
            ] {
                let url = format!("https://api.example{path}");
                assert_eq!(covers(&binding, "GET", &url), expected, "{path}");
            }
        }
    }

    #[test]
    fn a_binding_that_cannot_be_is_refused() {
        let endpoint = || Binding::from(Endpoint::new("api.example", 443));
        for bad in ["", "get", "GET ", "G\nT"] {
            assert_eq!(endpoint().by_methods([bad]), Err(BadBinding::Method), "{bad:?}");
        }
        for bad in ["", "a", "/a/../b", "/a%2fb", "/a?b", "/a#b", "/a;b", "/a b", "/./a", "/a\\b"] {
            assert_eq!(endpoint().below(bad), Err(BadBinding::Path), "{bad:?}");
        }
        let both = bound(&["POST", "PUT"], "/v1/");
        assert_eq!(both.to_string(), "POST/PUT api.example:443/v1");
        assert_eq!(bound(&[], "/").to_string(), "api.example:443");
    }
}
