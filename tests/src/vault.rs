//! Members of the vault: a browser that signs in at the provider, and a client with the tokens that
//! come of it.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::answer::Answer;
use crate::request::Request;
use crate::site::Site;
use crate::wait::wait_for;

/// What browsers say that they read.
const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
const CREDENTIALS: &str = "/v1/credential/credentials";
const TYPES: &str = "/v1/credential-type/credential-types";

impl Site {
    /// Serves the vault, where one address may begin any number of sign-ins: all tests are at one.
    /// `lines` are further ones of `[vault]`.
    #[must_use]
    pub fn vault(self, lines: &str) -> Self {
        self.section("vault", &format!("sign_ins_per_minute = 0\n{lines}"))
    }

    /// A role of every user with `group` among their groups; without a group administrators assign
    /// it. `lines` are further ones of it.
    #[must_use]
    pub fn role(self, name: &str, permissions: &[&str], group: Option<&str>, lines: &str) -> Self {
        let assign = group.map(|group| {
            format!("assign = [{{ provider = \"any\", claim = \"groups\", has = \"{group}\" }}]\n")
        });
        let lines = format!("permissions = {permissions:?}\n{}{lines}", assign.unwrap_or_default());
        self.section(&format!("roles.{name}"), &lines)
    }
}

/// A sign-in that has begun and is not finished.
#[derive(Debug, Clone)]
pub struct SignIn {
    at: SocketAddr,
    /// Where the browser is to go.
    pub uri: String,
    /// What a client waits with.
    pub key: String,
}

impl SignIn {
    /// Begins one at the daemon at `at`, as soon as that knows its provider.
    ///
    /// # Panics The vault refuses the sign-in.
    #[track_caller]
    pub fn begin(at: SocketAddr) -> Self {
        Self::begin_at(at, None)
    }

    /// The same at a provider of one's choice.
    ///
    /// # Panics The vault refuses the sign-in there.
    #[track_caller]
    pub fn begin_at(at: SocketAddr, provider: Option<&str>) -> Self {
        let query = provider.map(|id| format!("?provider={id}")).unwrap_or_default();
        wait_for("the provider", || Self::try_begin(at, &query).unwrap())
    }

    /// `None` while the daemon does not know its provider.
    fn try_begin(at: SocketAddr, query: &str) -> io::Result<Option<Self>> {
        let answer = request(at, "GET", &format!("/v1/auth/uri{query}")).try_send(at)?;
        if answer.status == 503 {
            return Ok(None);
        }
        let data = answer.expect(200).json()["data"].clone();
        let text = |key: &str| data[key].as_str().unwrap().to_owned();
        Ok(Some(Self { at, uri: text("uri"), key: text("callbackKey") }))
    }

    /// Has `user` sign in at the provider. Gives what the browser is sent back to: path and query.
    ///
    /// # Panics
    /// The provider does not know them.
    #[track_caller]
    pub fn visit(&self, user: &str) -> String {
        let (host, path) = self.uri.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let answer = Request::get(format!("/{path}&login_hint={user}"))
            .host(Some(host))
            .send(host.parse().unwrap());
        let location = answer.expect(303).header("location").unwrap().to_owned();
        let path =
            location.find("/v1/auth/redirect?").unwrap_or_else(|| panic!("back to {location}"));
        location[path..].to_owned()
    }

    /// Sends a browser back whose user says yes where the page asks: the last page.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn browse(&self, path: &str) -> Answer {
        let page = self.question(path);
        if page.text().contains("<form") { self.answer(path, &page, "yes") } else { page }
    }

    /// Sends a browser back: the page that asks its user, or that says why it does not.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn question(&self, path: &str) -> Answer {
        request(self.at, "GET", path).header("Accept", HTML).send(self.at)
    }

    /// Sends the form of `page`, which was met at `path`, as a browser does whose user presses the
    /// button of `answer`.
    ///
    /// # Panics
    /// The page has no form.
    #[track_caller]
    pub fn answer(&self, path: &str, page: &Answer, answer: &str) -> Answer {
        let text = page.text();
        let value = |before: &str| {
            let (_, rest) =
                text.split_once(before).unwrap_or_else(|| panic!("no {before} in {page:?}"));
            rest.split('"').next().unwrap().to_owned()
        };
        let (action, token) = (value("action=\""), value("name=\"token\" value=\""));
        request(self.at, "POST", &resolved(path, &action))
            .header("Accept", HTML)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("token={token}&answer={answer}"))
            .send(self.at)
    }

    /// Sends a browser back that takes the tokens itself, since no client waits.
    ///
    /// # Errors
    /// Of the connection.
    pub fn come_back(&self, path: &str) -> io::Result<Answer> {
        request(self.at, "GET", path).header("Accept", "application/json").try_send(self.at)
    }

    /// Signs `user` in without a waiting client.
    ///
    /// # Panics
    /// They are not let in.
    #[track_caller]
    pub fn finish(&self, user: &str) -> Session {
        let answer = self.come_back(&self.visit(user)).unwrap().expect(200);
        Session::of_tokens(self.at, &answer.json()["data"])
    }
}

/// A user who is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    at: SocketAddr,
    access: String,
    refresh: String,
}

impl Session {
    /// Signs `user` in at the daemon at `at`.
    ///
    /// # Panics
    /// They are not let in.
    #[track_caller]
    pub fn begin(at: SocketAddr, user: &str) -> Self {
        SignIn::begin(at).finish(user)
    }

    /// The same while the daemon may end at any moment.
    ///
    /// # Errors
    /// Of the connection to the daemon.
    ///
    /// # Panics
    /// They are not let in.
    pub fn try_begin(at: SocketAddr, user: &str) -> io::Result<Self> {
        let begun = wait_for("the provider", || SignIn::try_begin(at, "").transpose())?;
        let answer = begun.come_back(&begun.visit(user))?.expect(200);
        Ok(Self::of_tokens(at, &answer.json()["data"]))
    }

    /// What came of a sign-in: the `data` with both tokens.
    ///
    /// # Panics
    /// One is missing.
    #[track_caller]
    pub fn of_tokens(at: SocketAddr, data: &Value) -> Self {
        let text =
            |key: &str| data[key].as_str().unwrap_or_else(|| panic!("no {key}: {data}")).to_owned();
        Self { at, access: text("accessToken"), refresh: text("refreshToken") }
    }

    /// The same session at another address: that of the daemon after a restart.
    #[must_use]
    pub fn moved(&self, to: SocketAddr) -> Self {
        Self { at: to, ..self.clone() }
    }

    /// What opens the vault for some minutes.
    pub fn access_token(&self) -> &str {
        &self.access
    }

    /// What brings the next pair of tokens, once.
    pub fn refresh_token(&self) -> &str {
        &self.refresh
    }

    /// Sends a request with the access token.
    ///
    /// # Errors
    /// Of the connection.
    pub fn try_ask(&self, request: Request) -> io::Result<Answer> {
        request.host(Some(&self.at.to_string())).bearer(&self.access).try_send(self.at)
    }

    /// The same where there is an answer.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    pub fn ask(&self, request: Request) -> Answer {
        self.try_ask(request).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// A GET.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path))
    }

    /// Any method with JSON.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(Request::json(method, path, body))
    }

    /// Makes a type of credentials: its id.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn make_type(&self, body: &Value) -> String {
        id(&self.send("POST", TYPES, body).expect(201))
    }

    /// Makes a credential: its id.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn make_credential(&self, body: &Value) -> String {
        id(&self.send("POST", CREDENTIALS, body).expect(201))
    }

    /// The id of a company, by its identifier.
    ///
    /// # Panics
    /// It is not to be seen.
    #[track_caller]
    pub fn company(&self, identifier: &str) -> String {
        id(&self.get(&format!("/v1/company/companies/{identifier}")).expect(200))
    }

    /// Has both tokens renewed.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn refresh(&mut self) {
        self.try_refresh().unwrap().expect(201);
    }

    /// The same, whatever comes of it. New tokens are taken over.
    ///
    /// # Errors
    /// Of the connection.
    pub fn try_refresh(&mut self) -> io::Result<Answer> {
        let answer = request(self.at, "POST", "/v1/auth/refresh")
            .header("X-Refresh-Token", self.refresh.as_str())
            .try_send(self.at)?;
        if answer.status == 201 {
            *self = Self::of_tokens(self.at, &answer.json()["data"]);
        }
        Ok(answer)
    }
}

/// The id of what an answer is about.
#[track_caller]
fn id(answer: &Answer) -> String {
    answer.json()["data"]["id"].as_str().unwrap_or_else(|| panic!("no id: {answer:?}")).to_owned()
}

/// Where a relative address in the page at `path` leads (RFC 3986 section 5.2).
fn resolved(path: &str, address: &str) -> String {
    let mut segments: Vec<_> = path.split('?').next().unwrap().split('/').collect();
    segments.pop();
    for step in address.split('/') {
        match step {
            ".." => drop(segments.pop()),
            step => segments.push(step),
        }
    }
    segments.join("/")
}

/// A request that names its host as browsers do: `dev` answers to no other name.
fn request(at: SocketAddr, method: &str, path: &str) -> Request {
    Request::new(method, path).host(Some(&at.to_string()))
}
