//! The page at the end of a sign-in: it says what happened and tries to close its window. It loads
//! nothing, and nothing may frame it.

use credsmith_http::{Reply, ReplyBody};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use super::super::refuse::Refusal;
use super::refuse;

/// The page of a sign-in that succeeded.
pub(super) fn signed_in(nonce: &str) -> Reply {
    page(StatusCode::OK, nonce, "Signed in", "You are signed in. You can close this window.")
}

/// The page of a sign-in that failed. The headers are those of the refusal.
pub(super) fn not_signed_in(nonce: &str, refusal: Refusal) -> Reply {
    let sentence = refusal.sentence();
    let reply = refuse::present(refusal);
    let sentence = format!("{sentence} You can close this window.");
    let mut page = page(reply.status(), nonce, "Not signed in", &sentence);
    for (name, value) in reply.headers() {
        if !page.headers().contains_key(name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

fn page(status: StatusCode, nonce: &str, title: &str, sentence: &str) -> Reply {
    let (nonce, title, sentence) = (escaped(nonce), escaped(title), escaped(sentence));
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <style nonce=\"{nonce}\">body {{ font: 1.1em sans-serif; margin: 4em auto; max-width: 30em; }}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n<p>{sentence}</p>\n\
         <script nonce=\"{nonce}\">window.close();</script>\n</body>\n</html>\n"
    );
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let mut reply =
        ReplyBody::typed(status, HeaderValue::from_static("text/html; charset=utf-8"), html);
    let fixed: [(HeaderName, HeaderValue); 4] = [
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    reply.headers_mut().extend(fixed);
    // A nonce of letters and digits is always a header value; the fallback lets nothing run.
    let policy = HeaderValue::try_from(policy)
        .unwrap_or(HeaderValue::from_static("default-src 'none'; sandbox"));
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    reply
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use credsmith_core::{Error, Kind};

    use super::*;

    /// Attack: text of a provider, or of a link, that would be markup.
    #[test]
    fn everything_is_escaped() {
        let error = Error::new(Kind::Unauthenticated, "<script>alert('x')</script> & \"more\"");
        let reply = not_signed_in("abc123", error.into());
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
        let html = String::from_utf8(reply.body().bytes().to_vec()).unwrap();
        assert!(
            html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;")
        );
        assert_eq!(html.matches("<script").count(), 1, "ours alone");
    }

    #[test]
    fn only_what_has_the_nonce_runs() {
        let reply = signed_in("abc123");
        let header = |name: &str| reply.headers()[name].to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'nonce-abc123';")
                && !policy.contains("unsafe")
        );
        assert_eq!(
            ["referrer-policy", "x-content-type-options", "x-frame-options", "cache-control"]
                .map(header),
            ["no-referrer", "nosniff", "DENY", "no-store"]
        );
        let html = String::from_utf8(reply.body().bytes().to_vec()).unwrap();
        assert_eq!(
            (html.matches("<script").count(), html.matches("nonce=\"abc123\"").count()),
            (1, 2)
        );
        assert!(html.contains("You can close this window."));
    }
}
