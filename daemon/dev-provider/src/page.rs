//! The pages: the account picker, and a page for requests that cannot be answered by a redirect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credsmith_http::{HeaderValue, Reply, ReplyBody, StatusCode, header};
use sha2::{Digest as _, Sha256};

const STYLE: &str = "body{font-family:sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}li{margin:.5rem 0}";

/// A page: no script, no foreign content, no frame around it, no form.
fn page(status: StatusCode, title: &str, content: &str) -> Reply {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{content}</body></html>\n"
    );
    let mut reply =
        ReplyBody::typed(status, HeaderValue::from_static("text/html; charset=utf-8"), html);
    if let Ok(policy) = HeaderValue::from_str(&policy()) {
        reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    crate::reply::no_store(reply)
}

fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Lets the user pick one of `choices`: names with the addresses that picking them leads to.
pub(crate) fn picker(client: &str, choices: impl Iterator<Item = (String, String)>) -> Reply {
    let items: String = choices
        .map(|(name, address)| {
            format!("<li><a href=\"{}\">{}</a></li>", escape(&address), escape(&name))
        })
        .collect();
    let client = escape(client);
    let content = format!(
        "<p>Sign in to <b>{client}</b>. This provider is for trying things out: there is no password.</p><ul>{items}</ul>"
    );
    page(StatusCode::OK, "Pick an account", &content)
}

/// A page for a faulty request whose client is not known.
pub(crate) fn refusal(sentence: &str) -> Reply {
    page(
        StatusCode::BAD_REQUEST,
        "This sign-in cannot go on",
        &format!("<p>{}</p>", escape(sentence)),
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        let evil = "\"><script>alert('1')</script>&";
        let reply = picker(evil, [(evil.to_owned(), format!("/authorize?x={evil}"))].into_iter());
        let html = String::from_utf8(reply.body().bytes().to_vec()).unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;1&#39;)").count(), 3, "{html}");
        let policy = reply.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-")
                && !policy.contains("unsafe"),
            "{policy}"
        );
    }
}
