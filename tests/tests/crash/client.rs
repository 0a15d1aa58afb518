//! A user at the daemon, as any REST client: asks, fetches, lists, revokes.

use std::io;
use std::net::SocketAddr;

use credsmith_tests::{Answer, Provider, Request};
use serde_json::{Value, json};

/// A user with a token.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// As the provider, and so the target, knows them.
    pub(crate) name: String,
    token: String,
}

impl User {
    pub(crate) fn new(provider: &Provider, name: &str) -> Self {
        Self { name: name.to_owned(), token: provider.token(name) }
    }

    fn ask(&self, to: SocketAddr, request: Request) -> io::Result<Answer> {
        request.bearer(&self.token).try_send(to)
    }

    /// Asks for a credential. The path of the result, where the daemon promises one.
    pub(crate) fn request(
        &self,
        to: SocketAddr,
        service: &str,
        how: &str,
    ) -> io::Result<Result<String, Answer>> {
        let params = if how.is_empty() { json!({}) } else { json!({ "how": how }) };
        let body = json!({ "service_id": service, "params": params });
        let answer = self.ask(to, Request::post("/api/v2/op/credential", &body))?;
        if answer.status != 303 {
            return Ok(Err(answer));
        }
        let location = answer.header("location").expect("a place to fetch it from");
        Ok(Ok(location[location.find("/api/").expect("a path of the API")..].to_owned()))
    }

    /// Fetches what was promised: the id of the credential.
    pub(crate) fn fetch(&self, to: SocketAddr, path: &str) -> io::Result<Result<String, Answer>> {
        let answer = self.ask(to, Request::get(path))?;
        if answer.status != 200 {
            return Ok(Err(answer));
        }
        Ok(Ok(answer.json()["credential"]["id"].as_str().expect("an id").to_owned()))
    }

    pub(crate) fn revoke(&self, to: SocketAddr, id: &str) -> io::Result<Answer> {
        self.ask(to, Request::delete(format!("/api/v2/op/credential/{id}")))
    }

    /// An error also while nobody can sign in: the provider is discovered in the background.
    fn look(&self, to: SocketAddr, path: &str) -> io::Result<Value> {
        let answer = self.ask(to, Request::get(path))?;
        if answer.status == 401 {
            Err(io::Error::other("not signed in"))
        } else {
            Ok(answer.expect(200).json())
        }
    }

    /// The ids of the credentials of `service` that the user has.
    pub(crate) fn list(&self, to: SocketAddr, service: &str) -> io::Result<Vec<String>> {
        let list = self.look(to, "/api/v2/op/credential")?;
        let mine = list["credential_list"].as_array().expect("a list").iter();
        let mine = mine.filter(|entry| entry["service_id"] == service);
        Ok(mine.map(|entry| entry["cred_id"].as_str().expect("an id").to_owned()).collect())
    }

    /// How many credentials of `service` count.
    pub(crate) fn count(&self, to: SocketAddr, service: &str) -> io::Result<u64> {
        let list = self.look(to, "/api/v2/op/service")?;
        let mut services = list["service_list"].as_array().expect("a list").iter();
        let mine = services.find(|entry| entry["id"] == service).expect("the service");
        Ok(mine["cred_count"].as_u64().expect("a number"))
    }
}
