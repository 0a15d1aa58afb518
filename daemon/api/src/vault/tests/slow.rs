//! Bodies that arrive in two pieces, at a real server: between the pieces the caller loses the
//! right to call.

use std::net::SocketAddr;

use credsmith_core::access::authorize_suspension;
use credsmith_core::doubles::role_of;
use credsmith_http::{Drain, Listener, Server, ServerOptions, Surfaces};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::rights::{Probe, ROWS, Row};
use super::*;
use crate::vault::test_vault::World;

/// Longer than any step takes, on any machine.
const EVER: Duration = Duration::from_secs(30);

async fn serve(surface: &Arc<Vault>) -> (SocketAddr, Drain) {
    let (drain, surface) = (Drain::new(), Arc::clone(surface));
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    Server::new(ServerOptions::default(), Surfaces::new(surface), drain.clone()).serve(listener);
    (address, drain)
}

/// The status of an answer to a body in two pieces. `between` runs when the caller is admitted and
/// the server waits for the rest of the body.
async fn in_two_pieces(
    (surface, asked): (&Arc<Vault>, &watch::Sender<usize>),
    token: &str,
    (method, path): (&str, &str),
    body: &str,
    between: impl Future<Output = ()>,
) -> u16 {
    let (address, drain) = serve(surface).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (first, rest) = body.split_at(5);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    let next = *asked.borrow() + 1;
    stream.write_all(head.as_bytes()).await.unwrap();
    asked.subscribe().wait_for(|asked| *asked >= next).await.unwrap();
    between.await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    drain.begin();
    drain.wait().await;
    said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap().parse().unwrap()
}

/// Every view of the records that a call may change.
async fn seen(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    let of_acme = format!("credential/credentials/company/{}", world.acme);
    for path in ["user/users", "user/@me", "credential-type/credential-types", &of_acme] {
        all.push(world.get(path).await.body);
    }
    let credentials = all.last().unwrap()["data"].as_array().cloned().unwrap_or_default();
    for credential in credentials {
        let id = credential["id"].as_str().unwrap();
        all.push(world.get(&format!("credential/credentials/{id}/fields")).await.body);
    }
    all
}

/// The rows that read a body for a caller: there is no caller whose rights could change at the
/// others.
fn rows_with_a_body() -> impl Iterator<Item = &'static Row> {
    let routes = routes();
    ROWS.iter().filter(move |row| {
        let own = |route: &&Route| (route.method().as_str(), route.path()) == row.call;
        let route = routes.iter().find(own).unwrap();
        route.reads_body() && route.access() != Access::Public
    })
}

/// Attack: the head is sent with the right, the rest of the body after the right is lost.
#[tokio::test]
async fn rights_lost_while_the_body_arrived_do_not_count() {
    for row in rows_with_a_body() {
        // After a suspension or a sign-out the token is invalid. Without the role, or the scope, it
        // is that of a caller with fewer rights.
        let less = if row.is_by_scope() { "|*" } else { "nothing" };
        for (token_now, status) in [("?", 401), (less, 403)] {
            let mut probe = Probe::new(row).await;
            let [things, _] = probe.things().await;
            let (body, path) = ((row.body)(&things).to_string(), row.path(&things));
            let before = seen(&probe.world).await;
            let world = &probe.world;
            let call = (row.call.0, path.as_str());
            let site = (&world.surface, &world.authenticator.asked);
            let now = async { world.authenticator.take_all_for(Some(token_now)) };
            let answered = in_two_pieces(site, "*", call, &body, now);
            let answered = tokio::time::timeout(EVER, answered).await.unwrap();
            assert_eq!(answered, status, "{:?} as {token_now}", row.call);
            world.authenticator.take_all_for(None);
            assert_eq!(seen(world).await, before, "{:?} as {token_now}", row.call);
            // The same call of a caller who keeps the rights.
            let answered = in_two_pieces(site, "*", call, &body, async {});
            assert_eq!(
                tokio::time::timeout(EVER, answered).await.unwrap(),
                row.status,
                "{:?}",
                row.call
            );
            assert_ne!(
                seen(world).await,
                before,
                "{:?} changes nothing that this test sees",
                row.call
            );
        }
    }
}

/// The real sessions, and a count of the authentications.
struct Counted(Arc<Sessions>, watch::Sender<usize>);

impl Authenticator for Counted {
    fn authenticate<'a>(
        &'a self,
        token: &'a Secret,
        client: Client,
    ) -> BoxFuture<'a, Result<Member, Error>> {
        let answered =
            self.0.authenticate(token, client).inspect(|_| self.1.send_modify(|asked| *asked += 1));
        answered.boxed()
    }

    fn public_keys(&self) -> Value {
        self.0.public_keys()
    }
}

/// Attack: an admin who is suspended, or signs out, makes an accomplice an admin with a body that
/// was begun before.
#[tokio::test]
async fn a_member_suspended_or_signed_out_meanwhile_changes_nothing() {
    for suspended in [true, false] {
        let roles = ["alice", "carol"].map(|name| role_of(name, name, &["*"]));
        let people = People::new(roles.into(), session_options()).await;
        let [alice, carol, bob] =
            [people.sign_in("alice"), people.sign_in("carol"), people.sign_in("bob")];
        let (alice, carol, bob) = (alice.await.access, carol.await.access, bob.await.access);
        let sessions = &people.sessions;
        let admin = sessions.authenticate(&carol, Client::default()).await.unwrap();
        let member = sessions.authenticate(&alice, Client::default()).await.unwrap();
        let accomplice = sessions.authenticate(&bob, Client::default()).await.unwrap();

        let authenticator = Arc::new(Counted(Arc::clone(sessions), watch::Sender::new(0)));
        let surface =
            Arc::new(vault_of(&people, Arc::clone(&authenticator) as Arc<dyn Authenticator>).await);
        let path = format!("/v1/user/users/{}/roles", accomplice.user());
        let between = async {
            if suspended {
                let grant = authorize_suspension(&admin, member.user()).unwrap();
                people.users.set_suspended(grant, true).await.unwrap();
            } else {
                sessions.sign_out(&member).await.unwrap();
            }
        };
        let (token, body) = (alice.expose_str().unwrap(), "{\"roles\":[\"alice\"]}");
        let answered =
            in_two_pieces((&surface, &authenticator.1), token, ("PUT", &path), body, between);
        assert_eq!(tokio::time::timeout(EVER, answered).await.unwrap(), 401);
        assert_eq!(people.users.me(&accomplice).await.unwrap().roles, Vec::<String>::new());
    }
}
