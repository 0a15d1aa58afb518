//! The question to the user of a sign-in, and the visits of browsers that must not count.

use credsmith_core::doubles::{session_options, vouched};
use credsmith_core::ports::sign_in::Vouched;
use credsmith_core::session::SignInProvider;

use super::tests::{FORM, Headers, JSON, Lines, SAME_ORIGIN, World};
use super::*;

/// Attack: a foreign sign-in link hands over the session of the user who follows it, also from
/// behind one address.
#[tokio::test]
async fn a_foreign_sign_in_link_asks_its_user_first() {
    let world = World::new().await;
    let from: Address = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let key = world.begin().await;
    let attacker = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
    let page = world.get(&world.back(&key, "victim"), &[]).await;
    assert_eq!(page.status, 200);
    for part in ["192.0.2.1", "ago", "Yes, sign me in", "action=\"confirm\"", "victim"] {
        assert!(page.text.contains(part), "{part} is not in {}", page.text);
    }
    assert!(!page.text.contains(&key) && !page.text.contains("window.close"), "{}", page.text);
    let ended = world.answer(&page, "no").await;
    assert_eq!(ended.status, 200);
    assert!(ended.text.contains("was not signed in"), "{}", ended.text);
    let frame: Value = serde_json::from_str(&outcome(&attacker).await).unwrap();
    assert_eq!(frame["event"], "auth:error");
    assert!(!frame.to_string().contains("victim"));
    // The page is good for nothing any more.
    let again = world.answer(&page, "yes").await;
    assert_eq!(again.status, 400);
    assert!(again.text.contains("answered already"), "{}", again.text);
}

#[tokio::test]
async fn a_yes_gives_the_tokens_to_the_client() {
    let world = World::new().await;
    let from: Address = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let key = world.begin().await;
    let client = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
    let page = world.get(&world.back(&key, "alice"), &[]).await;
    let ended = world.answer(&page, "yes").await;
    assert!(ended.text.contains("You are signed in.") && ended.text.contains("window.close()"));
    assert_eq!((ended.status, ended.header("cache-control")), (200, "no-store"));
    assert!(ended.header("content-security-policy").contains("form-action 'none'"));
    let frame: Value = serde_json::from_str(&outcome(&client).await).unwrap();
    assert!(world.opens(frame["data"]["accessToken"].as_str().unwrap()).await);
}

/// Attack: a page of another site, or a program that is no page, answers for the user. The question
/// stands all the same.
#[tokio::test]
async fn only_our_own_page_answers() {
    let world = World::new().await;
    let key = world.begin().await;
    let page = world.get(&world.back(&key, "alice"), &[]).await;
    let form = format!("token={}&answer=yes", page.token());
    let post = async |headers: Headers<'_>, form: &str| {
        world.send_from("192.0.2.1", "POST", "confirm", headers, form).await
    };
    for headers in [
        &[FORM][..],
        &[FORM, ("origin", "https://evil.example")],
        &[FORM, ("origin", "https://app.example")],
        &[FORM, ("origin", "null")],
        &[FORM, ("sec-fetch-site", "cross-site"), ("origin", "https://vault.example")],
        &[FORM, ("sec-fetch-site", "same-site")],
        &[FORM, SAME_ORIGIN, ("origin", "https://evil.example")],
        &[JSON, FORM],
    ] {
        let refused = post(headers, &form).await;
        assert_eq!(refused.status, 403, "{headers:?}");
        assert!(!refused.headers.contains_key("access-control-allow-credentials"));
    }
    for (bad, status) in [
        ("", 400),
        ("answer=yes", 400),
        ("token=x", 400),
        ("token=x&answer=yes", 400),
        (&*form.replace("yes", "maybe"), 400),
        (&*format!("{form}&answer=no"), 400),
        (&*format!("{form}&{form}"), 400),
        (&*"x".repeat(5000), 413),
    ] {
        assert_eq!(post(&[FORM, SAME_ORIGIN], bad).await.status, status, "{bad}");
    }
    let json = ("content-type", "application/json");
    assert_eq!(post(&[json, SAME_ORIGIN], &form).await.status, 415);
    assert_eq!(world.get(&format!("confirm?{form}"), &[SAME_ORIGIN]).await.status, 405);
    let elsewhere =
        world.send_from("192.0.2.9", "POST", "confirm", &[FORM, SAME_ORIGIN], &form).await;
    assert_eq!(elsewhere.status, 403);
    assert!(elsewhere.text.contains("same_address"));
    // Without `Sec-Fetch-Site` it is the origin that counts.
    let answered = post(&[FORM, ("origin", "https://vault.example")], &form).await;
    assert_eq!(answered.status, 200);
}

/// Attack: a page reads tokens without a question, by asking for JSON in the victim's browser while
/// the attacker waits.
#[tokio::test]
async fn json_is_no_way_around_the_question_where_a_client_waits() {
    let world = World::new().await;
    let key = world.begin().await;
    let from: Address = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let attacker = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
    let page = world.get(&world.back(&key, "victim"), &[JSON]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    world.answer(&page, "no").await;
    assert!(outcome(&attacker).await.contains("auth:error"));
}

/// A browser fetches ahead of its user, or a mail scanner does: the sign-in is as it was.
#[tokio::test]
async fn a_prefetched_redirect_changes_nothing() {
    let world = World::new().await;
    let key = world.begin().await;
    let path = world.back(&key, "alice");
    for header in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("Sec-Purpose", "Prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("purpose", "preview"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        for accept in ["text/html", "application/json"] {
            let reply = world.get(&path, &[header, ("accept", accept)]).await;
            assert_eq!((reply.status, reply.header("cache-control")), (403, "no-store"));
        }
    }
    let ended = world.browse(&path).await;
    assert!(ended.status == 200 && ended.text.contains("You are signed in."), "{}", ended.text);
}

#[tokio::test]
async fn a_second_hit_of_the_redirect_says_that_it_was_used() {
    let world = World::new().await;
    let key = world.begin().await;
    let path = world.back(&key, "alice");
    let asked = world.get(&path, &[]).await;
    let second = world.get(&path, &[]).await;
    assert_eq!(second.status, 400);
    assert!(second.text.contains("used already"), "{}", second.text);
    assert!(second.text.contains("may be signed in"), "{}", second.text);
    assert_eq!(world.ask_from("192.0.2.1", "HEAD", &path, &[]).await.status, 405);
    // The question of the first page stands.
    assert_eq!(world.answer(&asked, "yes").await.status, 200);
    let program = world.get(&path, &[JSON]).await;
    assert_eq!(program.json()["errors"][0]["message"], "It was used already.");
}

#[tokio::test]
async fn what_a_provider_says_is_in_the_log_and_on_no_page() {
    let (lines, _guard) = Lines::record();
    let world = World::new().await;
    let key = world.begin().await;
    let path = format!(
        "redirect?state={key}&error=access_denied&error_description=AADSTS50105%0Aforged+line"
    );
    let page = world.get(&path, &[]).await;
    assert_eq!(page.status, 401);
    assert!(!page.text.contains("AADSTS"), "{}", page.text);
    let log = lines.text();
    assert!(log.contains("`access_denied` (AADSTS50105"), "{log}");
    assert!(!log.contains(&key), "{log}");
}

/// The log names a sign-in by a code with which no one can take it over.
#[tokio::test]
async fn the_steps_of_a_sign_in_are_in_the_debug_log() {
    let from: Address = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let sign_in = async || {
        let (lines, _guard) = Lines::record();
        let world = World::new().await;
        let key = world.begin().await;
        let client = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
        let page = world.get(&world.back(&key, "alice"), &[]).await;
        world.answer(&page, "yes").await;
        outcome(&client).await;
        (lines.text(), key, page)
    };
    // A line that another test writes for the first time, without a log, is off until the next log
    // begins.
    sign_in().await;
    let (log, key, page) = sign_in().await;
    for step in [
        "a sign-in began",
        "a client waits for a sign-in",
        "the browser of a sign-in came back",
        "the provider vouched for the user of a sign-in",
        "the user of a sign-in is asked",
        "the user of a sign-in has answered",
        "a client learns the outcome",
        "a session began",
    ] {
        assert!(log.contains(step), "{step} is not in {log}");
    }
    for secret in [&key, page.token(), "alice-ck"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

/// Attack: the answer of one provider comes back as that of another.
#[tokio::test]
async fn each_provider_but_the_first_has_an_address_of_its_own() {
    let other = ProviderId::parse("other").unwrap();
    let mut options = session_options();
    options.providers.push(SignInProvider {
        id: other.clone(),
        redirect_uri: "https://vault.example/v1/auth/redirect/other".into(),
    });
    let world = World::with(options).await;
    world.people.provider.add_provider(other);
    let begun = world.get("uri?provider=other", &[]).await.json();
    let uri = begun["data"]["uri"].as_str().unwrap();
    assert!(uri.contains("redirect_uri=https://vault.example/v1/auth/redirect/other&"), "{uri}");
    let key = begun["data"]["callbackKey"].as_str().unwrap();
    assert_eq!(world.get(&world.back(key, "alice"), &[]).await.status, 401, "not at the first one");
    for (at, status) in [("other", 401), ("op", 401), ("unknown", 401), ("%00", 404)] {
        let path = world.back(&world.begin().await, "alice");
        let path = path.replace("redirect?", &format!("redirect/{at}?"));
        assert_eq!(world.get(&path, &[]).await.status, status, "{at}");
    }
    // At its own address the form of the page leads to the same place.
    let begun = world.get("uri?provider=other", &[]).await.json();
    let key = begun["data"]["callbackKey"].as_str().unwrap();
    let code = format!("code-{key}");
    let vouched = Vouched { provider: ProviderId::parse("other").unwrap(), ..vouched("alice") };
    world.people.provider.add_code(&code, vouched);
    let page = world.get(&format!("redirect/other?code={code}&state={key}"), &[]).await;
    assert!(page.text.contains("action=\"../confirm\""), "{}", page.text);
    assert_eq!(world.answer(&page, "yes").await.status, 200);
}

/// A client whose answer got lost asks again with the same token.
#[tokio::test]
async fn a_lost_answer_to_a_refresh_can_be_had_again() {
    let world = World::new().await;
    let [access, first] = world.tokens("alice").await;
    let [one, two] = [world.refresh(&first).await, world.refresh(&first).await];
    assert_eq!((one.status, two.status), (201, 201));
    for reply in [one, two] {
        assert!(world.opens(reply.json()["data"]["accessToken"].as_str().unwrap()).await);
    }
    assert!(world.opens(&access).await, "nothing has ended");
    world.people.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(world.refresh(&first).await.status, 401);
    assert!(!world.opens(&access).await);
}
