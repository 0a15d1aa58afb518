//! What clients do.

use crate::connection::{Answer, Connection};
use crate::load::{Client, Failure};
use crate::site::User;

/// The list of services.
pub(crate) const LIST: &str = "/api/v2/dev/service";
const CREDENTIALS: &str = "/api/v2/dev/credential";
const WANTED: &str = r#"{"service_id":"unique"}"#;

/// Reads one path after the other.
pub(crate) struct Reader {
    connection: Connection,
    requests: Vec<Vec<u8>>,
    turns: usize,
}

impl Reader {
    pub(crate) async fn new(user: &User, paths: &[impl AsRef<str>]) -> Result<Self, Failure> {
        let requests = paths.iter().map(|path| user.plain("GET", path.as_ref())).collect();
        Ok(Self { connection: Connection::open(user.at).await?, requests, turns: 0 })
    }

    /// The body of the next answer.
    pub(crate) async fn body(&mut self) -> Result<&[u8], Failure> {
        let request =
            self.requests.get(self.turns % self.requests.len().max(1)).ok_or("nothing to read")?;
        self.turns += 1;
        let answer = self.connection.exchange(request).await?;
        expect(&answer, 200)?;
        Ok(answer.body)
    }
}

impl Client for Reader {
    async fn once(&mut self) -> Result<(), Failure> {
        self.body().await.map(drop)
    }
}

/// Has a credential issued and fetches it; then revokes it, unless it is to be kept.
pub(crate) struct Cycler {
    connection: Connection,
    users: Vec<Issuer>,
    /// Turns so far; the users take them one after the other.
    turns: usize,
    keep: bool,
}

/// A user and the bytes of a request for a credential.
struct Issuer {
    user: User,
    issue: Vec<u8>,
}

impl Cycler {
    /// Issues, fetches and revokes, for one user after the other.
    pub(crate) async fn new(users: &[User]) -> Result<Self, Failure> {
        let connection = Connection::open(users.first().ok_or("no users")?.at).await?;
        let issuer = |user: &User| Issuer {
            user: user.clone(),
            issue: user.with_json("POST", CREDENTIALS, WANTED),
        };
        Ok(Self { connection, users: users.iter().map(issuer).collect(), turns: 0, keep: false })
    }

    /// Issues and fetches.
    pub(crate) async fn keeping(users: &[User]) -> Result<Self, Failure> {
        Ok(Self { keep: true, ..Self::new(users).await? })
    }
}

impl Client for Cycler {
    async fn once(&mut self) -> Result<(), Failure> {
        let Issuer { user, issue } =
            self.users.get(self.turns % self.users.len()).ok_or("no users")?;
        self.turns += 1;
        let answer = self.connection.exchange(issue).await?;
        expect(&answer, 303)?;
        let location = answer.header("location").ok_or("an issue without a location")?;
        let fetch = user.plain("GET", path_of(location)?);

        let answer = self.connection.exchange(&fetch).await?;
        expect(&answer, 200)?;
        let id = answer.text("id").ok_or("a credential without an id")?;
        answer
            .text("value")
            .filter(|value| value.len() == 32)
            .ok_or("a credential without its entry")?;
        if self.keep {
            return Ok(());
        }
        let revoke = user.plain("DELETE", &format!("{CREDENTIALS}/{id}"));

        let answer = self.connection.exchange(&revoke).await?;
        expect(&answer, 200)
    }
}

/// Path and query of an absolute URL.
pub(crate) fn path_of(url: &str) -> Result<&str, Failure> {
    let (_, rest) = url.split_once("://").ok_or("a location that is no URL")?;
    Ok(rest.find('/').and_then(|at| rest.get(at..)).ok_or("a location without a path")?)
}

pub(crate) fn expect(answer: &Answer<'_>, status: u16) -> Result<(), Failure> {
    if answer.status == status {
        return Ok(());
    }
    let body = String::from_utf8_lossy(answer.body);
    Err(format!("the answer is {} instead of {status}: {body}", answer.status).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_path() {
        assert_eq!(path_of("http://localhost:7080/api/x?y").unwrap(), "/api/x?y");
        assert!(path_of("/api/x").is_err());
        assert!(path_of("http://localhost").is_err());
    }
}
