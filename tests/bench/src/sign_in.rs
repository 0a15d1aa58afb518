//! What a client of the vault and its browser do to get tokens.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clients::{expect, path_of};
use crate::connection::{Answer, Connection};
use crate::load::Failure;
use crate::site::User;

/// Until the daemon knows its provider.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Somebody who is signed in.
pub(crate) struct Member {
    pub(crate) user: User,
    pub(crate) refresh: String,
}

impl Member {
    /// The same as clients of another server.
    pub(crate) fn moved(&self, to: SocketAddr) -> Self {
        let mut user = self.user.clone();
        user.at = to;
        Self { user, refresh: self.refresh.clone() }
    }
}

/// A sign-in that has begun.
pub(crate) struct Begun {
    uri: String,
    pub(crate) key: String,
}

impl Begun {
    /// Begins one over a connection to the daemon at `at`.
    pub(crate) async fn at(at: SocketAddr, over: &mut Connection) -> Result<Self, Failure> {
        let answer = over.exchange(&plain("/v1/auth/uri", at)).await?;
        expect(&answer, 200)?;
        let text = |key| {
            answer.text(key).map(str::to_owned).ok_or("a sign-in without an address or a key")
        };
        Ok(Self { uri: text("uri")?, key: text("callbackKey")? })
    }

    /// Signs in as `user` at the provider. Gives what the browser is then sent back to: path and
    /// query.
    async fn visit(&self, user: &str) -> Result<String, Failure> {
        let rest = self.uri.strip_prefix("http://").ok_or("a provider that is not on loopback")?;
        let provider = rest.split('/').next().unwrap_or_default().parse()?;
        let path = format!("{}&login_hint={user}", path_of(&self.uri)?);
        let mut connection = Connection::open(provider).await?;
        let answer = connection.exchange(&plain(&path, provider)).await?;
        expect(&answer, 303)?;
        Ok(path_of(answer.header("location").ok_or("a provider that sends nobody back")?)?
            .to_owned())
    }

    /// Signs in as `user` and comes back to the daemon at `at`, which has nobody else to tell but,
    /// where one waits, a socket.
    pub(crate) async fn finish(
        &self,
        at: SocketAddr,
        user: &str,
    ) -> Result<Option<Member>, Failure> {
        let back = self.visit(user).await?;
        let mut connection = Connection::open(at).await?;
        let answer = connection.exchange(&plain(&back, at)).await?;
        expect(&answer, 200)?;
        let Some(token) = token_of_page(&answer).map(str::to_owned) else {
            return Ok(tokens(&answer, at));
        };
        expect(&connection.exchange(&yes(&token, at)).await?, 200)?;
        Ok(None)
    }
}

/// The token of the page that asks whether the socket may have the tokens, if it is that page.
fn token_of_page<'a>(answer: &'a Answer<'_>) -> Option<&'a str> {
    let (_, rest) = std::str::from_utf8(answer.body).ok()?.split_once("name=\"token\" value=\"")?;
    rest.split('"').next()
}

/// The form of that page, sent with the button for yes.
fn yes(token: &str, host: SocketAddr) -> Vec<u8> {
    let form = format!("token={token}&answer=yes");
    format!(
        "POST /v1/auth/confirm HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// Waits until users can sign in.
pub(crate) async fn ready(at: SocketAddr) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match Begun::at(at, &mut Connection::open(at).await?).await {
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(_) => return Ok(()),
        }
    }
}

/// Signs in so many users, each for the first time.
pub(crate) async fn members(count: usize, at: SocketAddr) -> Result<Vec<Member>, Failure> {
    ready(at).await?;
    let mut connection = Connection::open(at).await?;
    let mut members = Vec::new();
    for number in 0..count {
        let begun = Begun::at(at, &mut connection).await?;
        members.push(
            begun.finish(at, &format!("user-{number}")).await?.ok_or("a sign-in without tokens")?,
        );
    }
    Ok(members)
}

fn tokens(answer: &Answer<'_>, at: SocketAddr) -> Option<Member> {
    let (access, refresh) = (answer.text("accessToken")?, answer.text("refreshToken")?);
    Some(Member { user: User::new(access, at), refresh: refresh.to_owned() })
}

/// A request of nobody, who reads JSON.
fn plain(path: &str, host: SocketAddr) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n").into_bytes()
}
