//! What clients do.

use crate::connection::{Answer, Connection};
use crate::load::{Client, Failure};
use crate::site::User;

const LIST: &str = "/api/v2/dev/service";
const CREDENTIALS: &str = "/api/v2/dev/credential";
const WANTED: &str = r#"{"service_id":"unique"}"#;

/// Lists the services, or asks for any other path.
pub(crate) struct Lister {
    connection: Connection,
    request: Vec<u8>,
}

impl Lister {
    pub(crate) async fn new(user: &User) -> Result<Self, Failure> {
        Ok(Self { connection: Connection::open(user.at).await?, request: user.plain("GET", LIST) })
    }

    /// The body of one answer.
    pub(crate) async fn body(&mut self) -> Result<Vec<u8>, Failure> {
        let answer = self.connection.exchange(&self.request).await?;
        expect(&answer, 200)?;
        Ok(answer.body.to_vec())
    }
}

impl Client for Lister {
    async fn once(&mut self) -> Result<(), Failure> {
        let answer = self.connection.exchange(&self.request).await?;
        expect(&answer, 200)
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
        let issuer = |user: &User| Issuer { user: user.clone(), issue: user.post(CREDENTIALS, WANTED) };
        Ok(Self { connection, users: users.iter().map(issuer).collect(), turns: 0, keep: false })
    }

    /// Issues and fetches.
    pub(crate) async fn keeping(users: &[User]) -> Result<Self, Failure> {
        Ok(Self { keep: true, ..Self::new(users).await? })
    }
}

impl Client for Cycler {
    async fn once(&mut self) -> Result<(), Failure> {
        let Issuer { user, issue } = self.users.get(self.turns % self.users.len()).ok_or("no users")?;
        self.turns += 1;
        let answer = self.connection.exchange(issue).await?;
        expect(&answer, 303)?;
        let location = answer.header("location").ok_or("an issue without a location")?;
        let fetch = user.plain("GET", path_of(location)?);

        let answer = self.connection.exchange(&fetch).await?;
        expect(&answer, 200)?;
        let id = answer.text("id").ok_or("a credential without an id")?;
        answer.text("value").filter(|value| value.len() == 32).ok_or("a credential without its entry")?;
        if self.keep {
            return Ok(());
        }
        let revoke = user.plain("DELETE", &format!("{CREDENTIALS}/{id}"));

        let answer = self.connection.exchange(&revoke).await?;
        expect(&answer, 200)
    }
}

/// Path and query of an absolute URL.
fn path_of(url: &str) -> Result<&str, Failure> {
    let (_, rest) = url.split_once("://").ok_or("a location that is no URL")?;
    Ok(rest.find('/').and_then(|at| rest.get(at..)).ok_or("a location without a path")?)
}

fn expect(answer: &Answer<'_>, status: u16) -> Result<(), Failure> {
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
