//! The pages of a sign-in: the question whether the program may have the tokens, and the end, which
//! says what happened and tries to close its window. They load nothing, and nothing may frame them.
//!
//! Never here: a text that is not escaped, a token of a session, a callback key.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use credsmith_core::session::{Address, Confirmation};
use credsmith_http::{Reply, ReplyBody};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use super::super::refuse::Refusal;
use super::refuse;

/// Tries to close the window: a browser allows it where a program opened the window.
const CLOSE: &str = "window.close();";
/// The page that just came up takes no click that was meant for the one before it.
const ARM: &str = "const yes = document.querySelector('button[value=yes]'); yes.disabled = true; \
    setTimeout(() => { yes.disabled = false; }, 700);";

/// The page of a sign-in that succeeded.
pub(super) fn signed_in(nonce: &str) -> Reply {
    ended(StatusCode::OK, nonce, "Signed in", "You are signed in. You can close this window.")
}

/// The page of a sign-in that its user declined.
pub(super) fn declined(nonce: &str) -> Reply {
    let sentence = "The program was not signed in. You can close this window.";
    ended(StatusCode::OK, nonce, "Not signed in", sentence)
}

/// The page of a sign-in that failed. The headers are those of the refusal.
pub(super) fn not_signed_in(nonce: &str, refusal: Refusal) -> Reply {
    let sentence = refusal.sentence();
    let reply = refuse::present(refusal);
    let sentence = format!("{sentence} You can close this window.");
    let mut page = ended(reply.status(), nonce, "Not signed in", &sentence);
    for (name, value) in reply.headers() {
        if !page.headers().contains_key(name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// The page that asks the user. Its form goes to `action`.
pub(super) fn question(nonce: &str, action: &str, asked: &Confirmation) -> Reply {
    let program = escaped(&place(asked.program));
    let waiting = waiting(asked.waiting);
    let (login, provider) = (escaped(&asked.login), escaped(asked.provider.as_str()));
    let token = escaped(asked.token.expose_str().unwrap_or_default());
    let (action, code) = (escaped(action), escaped(&asked.code));
    let body = format!(
        "<p>A program at <strong>{program}</strong> asked {waiting} ago to be signed in. It will act as \
         <strong>{login}</strong>, who signed in at <strong>{provider}</strong>.</p>\n\
         <p>The code of this sign-in is <strong>{code}</strong>. If the program shows another code, say no.</p>\n\
         <p>Say yes only if you started this yourself, in a program that you trust. If you followed a link that was \
         sent to you, say no.</p>\n\
         <form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">\n\
         <button type=\"submit\" name=\"answer\" value=\"yes\">Yes, sign me in</button>\n\
         <button type=\"submit\" name=\"answer\" value=\"no\">No</button>\n\
         </form>"
    );
    Page { title: "Sign this program in?", body: &body, script: ARM, has_form: true }
        .reply(StatusCode::OK, nonce)
}

/// The address of a program, in words where it is not known.
fn place(program: Address) -> String {
    if program == Address::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
        "an unknown address".to_owned()
    } else {
        format!("the address {program}")
    }
}

fn waiting(span: Duration) -> String {
    match span.as_secs() {
        0 | 1 => "a moment".to_owned(),
        seconds @ 2..=119 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

/// A page that says what happened and closes its window.
fn ended(status: StatusCode, nonce: &str, title: &str, sentence: &str) -> Reply {
    let body = format!("<p>{}</p>", escaped(sentence));
    Page { title, body: &body, script: CLOSE, has_form: false }.reply(status, nonce)
}

/// A page of ours.
struct Page<'a> {
    title: &'a str,
    /// Markup.
    body: &'a str,
    script: &'static str,
    has_form: bool,
}

impl Page<'_> {
    fn reply(&self, status: StatusCode, nonce: &str) -> Reply {
        let mut reply = ReplyBody::typed(
            status,
            HeaderValue::from_static("text/html; charset=utf-8"),
            self.html(&escaped(nonce)),
        );
        let fixed: [(HeaderName, HeaderValue); 4] = [
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        reply.headers_mut().extend(fixed);
        // A nonce of letters and digits is always a header value; the fallback lets nothing run.
        let policy = HeaderValue::try_from(self.policy(nonce))
            .unwrap_or(HeaderValue::from_static("default-src 'none'; sandbox"));
        reply.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        reply
    }

    fn policy(&self, nonce: &str) -> String {
        let form = if self.has_form { "'self'" } else { "'none'" };
        format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; \
             form-action {form}; frame-ancestors 'none'"
        )
    }

    fn html(&self, nonce: &str) -> String {
        let Self { title, body, script, has_form } = self;
        let title = escaped(title);
        // Without a referrer a browser sends `Origin: null` with the form. To our own origin it may
        // send one: that origin knows the address already.
        let referrer =
            if *has_form { "<meta name=\"referrer\" content=\"same-origin\">\n" } else { "" };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n{referrer}\
             <style nonce=\"{nonce}\">body {{ font: 1.1em sans-serif; margin: 4em auto; max-width: 30em; padding: 0 1em; }} \
             button {{ font: inherit; margin: 0 1em 1em 0; padding: 0.4em 1em; }}</style>\n\
             </head>\n<body>\n<h1>{title}</h1>\n{body}\n\
             <script nonce=\"{nonce}\">{script}</script>\n</body>\n</html>\n"
        )
    }
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
    use credsmith_core::ids::ProviderId;
    use credsmith_core::secret::Secret;
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
    fn asked() -> Confirmation {
        Confirmation {
            token: Secret::new("0123abcd"),
            code: "ABC234".into(),
            program: Address::from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            waiting: Duration::from_secs(14),
            provider: ProviderId::parse("op").unwrap(),
            login: "<img src=x onerror=alert(1)>\"'&".into(),
        }
    }

    /// Attack: a login name of the attacker's choice that would be markup.
    #[test]
    fn the_question_names_the_program_and_escapes_what_is_foreign() {
        let reply = question("abc123", "\"><script>", &asked());
        assert_eq!(reply.status(), StatusCode::OK);
        let html = String::from_utf8(reply.body().bytes().to_vec()).unwrap();
        for part in [
            "the address 192.0.2.1",
            "14 seconds ago",
            "ABC234",
            "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;",
            "Yes, sign me in",
            "action=\"&quot;&gt;&lt;script&gt;\"",
            "name=\"token\" value=\"0123abcd\"",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(!html.contains("<img"));
        assert_eq!(html.matches("<script").count(), 1, "ours alone");
        let header = |name: &str| reply.headers()[name].to_str().unwrap();
        assert!(
            header("content-security-policy")
                .ends_with("base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
        );
        assert_eq!(
            ["referrer-policy", "x-frame-options", "cache-control"].map(header),
            ["no-referrer", "DENY", "no-store"]
        );
    }

    #[test]
    fn a_span_is_said_in_words() {
        let said = |secs| waiting(Duration::from_secs(secs));
        assert_eq!(
            [0, 2, 119, 120, 599].map(said),
            ["a moment", "2 seconds", "119 seconds", "2 minutes", "9 minutes"]
        );
        let unknown = Address::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        assert_eq!(place(unknown), "an unknown address");
    }
}
