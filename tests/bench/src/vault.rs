//! What clients of the vault do, and the credentials that they do it with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::clients::{Reader, expect};
use crate::connection::Connection;
use crate::load::{self, Client, Failure};
use crate::sign_in::Member;

const CREDENTIALS: &str = "/v1/credential/credentials";
const TYPES: &str = "/v1/credential-type/credential-types";
/// Companies over which credentials are spread.
const COMPANIES: usize = 30;

/// The field that is secure from the start, and its value.
const PASSWORD: (&str, &str) = ("password", "correct horse battery staple");
/// The field that becomes secure, and its value.
pub(crate) const TOKEN: (&str, &str) = ("token", "tok-4711");

/// A type, and companies for its credentials.
pub(crate) struct Kind {
    id: String,
    companies: Vec<String>,
}

impl Kind {
    /// Makes a type with one plain field, one that may become secure, and one that is.
    pub(crate) async fn make(by: &Member) -> Result<Self, Failure> {
        let mut connection = Connection::open(by.user.at).await?;
        let page = by.user.plain("GET", &format!("/v1/company/companies?rpp={COMPANIES}"));
        let answer = connection.exchange(&page).await?;
        expect(&answer, 200)?;
        let page: Value = serde_json::from_slice(answer.body)?;
        let listed =
            page.get("data").and_then(Value::as_array).ok_or("a page without companies")?;
        let companies: Vec<_> =
            listed.iter().filter_map(|one| Some(one.get("id")?.as_str()?.to_owned())).collect();

        let wanted = json!({
            "name": "Measured",
            "permissionScope": "measured.credentials",
            "icon": null,
            "fields": fields(false),
        });
        let answer =
            connection.exchange(&by.user.with_json("POST", TYPES, &wanted.to_string())).await?;
        expect(&answer, 201)?;
        let made: Value = serde_json::from_slice(answer.body)?;
        let id = made
            .pointer("/data/id")
            .and_then(Value::as_str)
            .ok_or("a type without an id")?
            .to_owned();
        if companies.len() == COMPANIES {
            Ok(Self { id, companies })
        } else {
            Err("too few companies".into())
        }
    }

    /// The request that makes the field [`TOKEN`] secure.
    pub(crate) fn change(&self, by: &Member) -> Vec<u8> {
        let body = json!({ "fields": fields(true) }).to_string();
        by.user.with_json("PATCH", &format!("{TYPES}/{}", self.id), &body)
    }

    /// Has `count` credentials made by all members together, and gives their ids.
    pub(crate) async fn credentials(
        &self,
        by: &[Member],
        count: usize,
    ) -> Result<Vec<String>, Failure> {
        let (ids, made) = channel();
        let mut makers = self.makers(by).await?;
        makers.iter_mut().for_each(|maker| maker.ids = Some(ids.clone()));
        drop(ids);
        load::run_times(makers, count.div_ceil(by.len())).await?;
        Ok(made.iter().take(count).collect())
    }

    /// A client for each member that makes credentials.
    pub(crate) async fn makers(&self, by: &[Member]) -> Result<Vec<Maker>, Failure> {
        let mut makers = Vec::new();
        for (member, company) in by.iter().zip(self.companies.iter().cycle()) {
            let body = json!({
                "name": "Production",
                "typeId": self.id,
                "companyId": company,
                "fields": [
                    { "fieldId": "username", "value": "operator" },
                    { "fieldId": TOKEN.0, "value": TOKEN.1 },
                    { "fieldId": PASSWORD.0, "value": PASSWORD.1 },
                ],
            });
            let request = member.user.with_json("POST", CREDENTIALS, &body.to_string());
            makers.push(Maker {
                connection: Connection::open(member.user.at).await?,
                request,
                ids: None,
            });
        }
        Ok(makers)
    }
}

fn fields(token_is_secure: bool) -> Value {
    json!([
        { "id": "username", "name": "User", "required": true, "secure": false, "valueType": "plain_text" },
        { "id": TOKEN.0, "name": "Token", "required": false, "secure": token_is_secure, "valueType": "plain_text" },
        { "id": PASSWORD.0, "name": "Password", "required": true, "secure": true, "valueType": "password" },
    ])
}

/// Makes credentials.
pub(crate) struct Maker {
    connection: Connection,
    request: Vec<u8>,
    /// Who wants to know what was made.
    ids: Option<Sender<String>>,
}

impl Client for Maker {
    async fn once(&mut self) -> Result<(), Failure> {
        let answer = self.connection.exchange(&self.request).await?;
        expect(&answer, 201)?;
        if let Some(ids) = &self.ids {
            ids.send(answer.text("id").ok_or("a credential without an id")?.to_owned())?;
        }
        Ok(())
    }
}

/// The paths of credentials.
pub(crate) fn paths(ids: &[String]) -> Vec<String> {
    ids.iter().map(|id| format!("{CREDENTIALS}/{id}")).collect()
}

/// Reveals one credential after the other.
pub(crate) struct Revealer {
    reader: Reader,
    /// What has to be in each answer.
    value: String,
    /// Reveals of all of them.
    done: Arc<AtomicUsize>,
}

impl Revealer {
    /// Answers have to show the password and, if it is secure by now, the token.
    pub(crate) async fn new(
        by: &Member,
        ids: &[String],
        token_is_secure: bool,
        done: &Arc<AtomicUsize>,
    ) -> Result<Self, Failure> {
        let paths: Vec<_> = paths(ids).iter().map(|path| format!("{path}/secure-values")).collect();
        let (key, value) = if token_is_secure { TOKEN } else { PASSWORD };
        let reader = Reader::new(&by.user, &paths).await?;
        Ok(Self { reader, value: format!("\"{key}\":\"{value}\""), done: Arc::clone(done) })
    }
}

impl Client for Revealer {
    async fn once(&mut self) -> Result<(), Failure> {
        let body = std::str::from_utf8(self.reader.body().await?)?;
        if !body.contains(&self.value) {
            return Err("a reveal without the value".into());
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Has its tokens renewed.
pub(crate) struct Refresher {
    connection: Connection,
    host: String,
    token: String,
}

impl Refresher {
    pub(crate) async fn new(of: &Member) -> Result<Self, Failure> {
        let at = of.user.at;
        Ok(Self {
            connection: Connection::open(at).await?,
            host: at.to_string(),
            token: of.refresh.clone(),
        })
    }
}

impl Client for Refresher {
    async fn once(&mut self) -> Result<(), Failure> {
        let Self { connection, host, token } = self;
        let request = format!(
            "POST /v1/auth/refresh HTTP/1.1\r\nHost: {host}\r\nX-Refresh-Token: {token}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        expect(&answer, 201)?;
        answer.text("refreshToken").ok_or("a renewal without a token")?.clone_into(token);
        Ok(())
    }
}
