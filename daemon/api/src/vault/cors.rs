//! Access of pages of other origins: an exact list of origins may call, never with credentials
//! (there are no cookies to send). `*` matches no origin.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use credsmith_http::{Reply, ReplyBody};

const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-refresh-token, if-match");
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins that may call.
pub(super) struct Cors {
    listed: Vec<String>,
    /// The origin of our own public URL.
    ours: Option<String>,
}

impl Cors {
    pub(super) fn new(listed: Vec<String>, public_url: &str) -> Self {
        let ours =
            url::Url::parse(public_url).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        Self { listed, ours: ours.map(|origin| origin.ascii_serialization()) }
    }

    /// The origin that a request names, if it names one alone and that is listed.
    fn listed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.if_listed(only(headers)?)
    }

    fn if_listed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        self.listed
            .iter()
            .any(|listed| listed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }

    /// Whether the sender may open a socket: a page of our origin or of a listed one, or a program
    /// that is no page. Browsers let every page open a socket anywhere, so the server has to check.
    pub(super) fn admits_socket(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(ORIGIN) {
            return true;
        }
        let named = only(headers).map(HeaderValue::as_bytes);
        let is_ours = named.is_some() && named == self.ours.as_deref().map(str::as_bytes);
        is_ours || self.listed(headers).is_some()
    }

    /// Whether a browser says that a page of our origin sent the request: by `Sec-Fetch-Site`, or
    /// where it sends none (plain HTTP), by `Origin`. A sandboxed page, or one that sends no
    /// referrer, has the origin `null`, which proves nothing by itself.
    pub(super) fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let origin = match headers.contains_key(ORIGIN) {
            true => only(headers).map(HeaderValue::as_bytes),
            false => Some(&b"null"[..]),
        };
        let is_ours = origin.is_some() && origin == self.ours.as_deref().map(str::as_bytes);
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        match (sites.next(), sites.next()) {
            (None, _) => is_ours,
            (Some(site), None) => {
                site.as_bytes() == b"same-origin" && (is_ours || origin == Some(b"null"))
            }
            _ => false,
        }
    }

    /// The answer to OPTIONS at a path with these methods.
    pub(super) fn options(&self, headers: &HeaderMap, allow: &str) -> Reply {
        let mut reply = ReplyBody::bare(StatusCode::NO_CONTENT);
        // Method names are always a header value.
        let allow = HeaderValue::from_str(allow).unwrap_or(HeaderValue::from_static(""));
        if self.listed(headers).is_some() {
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        }
        reply.headers_mut().insert(ALLOW, allow);
        reply
    }

    /// Adds the headers that let the page that sent the request read `reply`.
    pub(super) fn mark(&self, reply: &mut Reply, origin: &ListedOrigin) {
        if self.listed.is_empty() {
            return;
        }
        reply.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = &origin.0 {
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            reply.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// The origin for which [`Cors::mark`] marks the reply.
    pub(super) fn listed_origin(&self, headers: &HeaderMap) -> ListedOrigin {
        ListedOrigin(self.listed(headers))
    }

    /// The same where only the origin of a request is known.
    pub(super) fn listed_origin_from(&self, origin: Option<&HeaderValue>) -> ListedOrigin {
        ListedOrigin(origin.and_then(|origin| self.if_listed(origin)))
    }
}

/// The listed origin that a request came from, if it came from one.
pub(super) struct ListedOrigin(Option<HeaderValue>);

fn only(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = headers.get_all(ORIGIN).iter();
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://app.example";

    fn cors() -> Cors {
        Cors::new(vec![PAGE.into(), "http://localhost:5173".into()], "https://vault.example/base")
    }

    fn from(origins: &[&'static str]) -> HeaderMap {
        origins.iter().map(|origin| (ORIGIN, HeaderValue::from_static(origin))).collect()
    }

    fn preflight(cors: &Cors, headers: &HeaderMap) -> Reply {
        let mut reply = cors.options(headers, "GET, HEAD, OPTIONS");
        cors.mark(&mut reply, &cors.listed_origin(headers));
        reply
    }

    #[test]
    fn a_listed_origin_learns_methods_and_headers() {
        let reply = preflight(&cors(), &from(&[PAGE]));
        assert_eq!(reply.status(), StatusCode::NO_CONTENT);
        let header = |name: &str| reply.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(
            header("access-control-allow-headers"),
            Some("authorization, content-type, x-refresh-token, if-match")
        );
        assert_eq!(header("access-control-expose-headers"), Some("ETag"));
        assert_eq!(header("vary"), Some("Origin"));
        assert_eq!(header("allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(header("access-control-allow-credentials"), None);
    }

    #[test]
    fn other_origins_learn_nothing() {
        let two = from(&[PAGE, "https://evil.example"]);
        for other in [
            "https://evil.example",
            "https://app.example.evil.example",
            "http://app.example",
            "null",
            "*",
        ] {
            let reply = preflight(&cors(), &from(&[other]));
            assert!(
                reply.headers().keys().all(|name| !name.as_str().starts_with("access-control")),
                "{other}"
            );
            assert_eq!(reply.headers()[VARY], "Origin");
        }
        assert!(!preflight(&cors(), &two).headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        let none = Cors::new(vec![], "https://vault.example");
        assert_eq!(preflight(&none, &from(&[PAGE])).headers().len(), 1, "`allow` alone");
    }

    /// Attack: a page of another site sends a form of ours.
    #[test]
    fn a_page_of_ours_is_known_by_what_its_browser_says() {
        let headers = |site: &[&'static str], origins: &[&'static str]| {
            let mut headers = from(origins);
            for site in site {
                headers.append(SEC_FETCH_SITE, HeaderValue::from_static(site));
            }
            headers
        };
        const OURS: &str = "https://vault.example";
        for (site, origin) in [
            (&["same-origin"][..], &[OURS][..]),
            (&["same-origin"], &["null"]),
            (&["same-origin"], &[]),
            (&[], &[OURS]),
        ] {
            assert!(cors().is_own_page(&headers(site, origin)), "{site:?} {origin:?}");
        }
        for (site, origin) in [
            (&[][..], &[][..]),
            (&[], &["null"]),
            (&[], &["https://evil.example"]),
            (&[], &[PAGE]),
            (&[], &[OURS, "https://evil.example"]),
            (&["same-origin"], &["https://evil.example"]),
            (&["same-origin"], &[PAGE]),
            (&["same-origin", "cross-site"], &[OURS]),
            (&["same-site"], &[OURS]),
            (&["cross-site"], &[OURS]),
            (&["cross-site"], &["null"]),
            (&["none"], &[]),
            (&[""], &[OURS]),
        ] {
            assert!(!cors().is_own_page(&headers(site, origin)), "{site:?} {origin:?}");
        }
    }

    #[test]
    fn a_foreign_page_opens_no_socket() {
        for good in [&[][..], &[PAGE], &["https://vault.example"]] {
            assert!(cors().admits_socket(&from(good)), "{good:?}");
        }
        for bad in
            [&["https://evil.example"][..], &["null"], &[""], &[PAGE, "https://evil.example"]]
        {
            assert!(!cors().admits_socket(&from(bad)), "{bad:?}");
        }
        assert!(!Cors::new(vec![], "").admits_socket(&from(&[""])));
        assert!(
            !Cors::new(vec![], "data:x").admits_socket(&from(&["null"])),
            "an opaque origin is never ours"
        );
    }
}
