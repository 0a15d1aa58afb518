//! The OpenID provider of the tests: the demo provider on loopback, in this process. It can go down
//! and come up again at its address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use credsmith_dev_provider::{Account, Client, DevProvider, Options, TokenSpec};
use credsmith_http::{
    Drain, Fault, Listener, Reply, Request, Server, ServerOptions, Surface, Surfaces,
};
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::wait::{PATIENCE, wait_for};

/// The name of the daemon at the provider.
pub const CLIENT_ID: &str = "credsmith-tests";
/// Its secret, which must be seen nowhere.
pub const CLIENT_SECRET: &str = "canary-client-secret-3f9a1c";

/// A provider with the demo accounts and those that it is given.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    surface: Arc<Watched>,
    /// What serves it; `None` while it is down.
    serving: Option<Runtime>,
}

impl Provider {
    /// A provider that is up.
    pub fn start() -> Self {
        Self::with(Vec::new())
    }

    /// The same with further accounts.
    ///
    /// # Panics
    /// There is no port.
    pub fn with(accounts: Vec<Account>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(Listener::tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let mut provider = Self::at(listener.local_addr().unwrap(), accounts);
        provider.serve(runtime, listener);
        provider
    }

    /// A provider with an address without a listener until [`Self::up`].
    ///
    /// # Panics
    /// There is no port.
    pub fn down(accounts: Vec<Account>) -> Self {
        // The port is unlikely to be reused: the kernel assigns others first.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::at(address, accounts)
    }

    fn at(address: SocketAddr, accounts: Vec<Account>) -> Self {
        // On loopback the port may be any.
        let back = ["http://127.0.0.1/oidc", "http://localhost/v1/auth/redirect"];
        let client = Client::new(CLIENT_ID, Some(CLIENT_SECRET), &back).unwrap();
        let mut options = Options::new(format!("http://{address}"), vec![client]);
        options.accounts.extend(accounts);
        let inner = DevProvider::new(options).unwrap();
        Self {
            address,
            surface: Arc::new(Watched { inner, asked: AtomicUsize::new(0), held: Held::default() }),
            serving: None,
        }
    }

    /// Listens, with everything that was given out before.
    pub fn up(&mut self) {
        let runtime = runtime();
        let listener =
            wait_for("the provider's port", || runtime.block_on(Listener::tcp(self.address)).ok());
        self.serve(runtime, listener);
    }

    fn serve(&mut self, runtime: Runtime, listener: Listener) {
        let surfaces = Surfaces::new(Arc::clone(&self.surface) as Arc<dyn Surface>);
        let server = Server::new(ServerOptions::default(), surfaces, Drain::new());
        {
            let _here = runtime.enter();
            server.serve(listener);
        }
        self.serving = Some(runtime);
    }

    /// Closes all connections and listens no more.
    pub fn go_down(&mut self) {
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers nothing until [`Self::go_on`].
    pub fn hold(&self) {
        self.surface.hold(true);
    }

    /// Answers again, first those who wait.
    pub fn go_on(&self) {
        self.surface.hold(false);
    }

    /// How many requests it has had.
    pub fn asked(&self) -> usize {
        self.surface.asked.load(Ordering::SeqCst)
    }

    /// An access token: scopes `openid profile email`, made for [`CLIENT_ID`], good for an hour.
    ///
    /// # Panics
    /// There is no such account.
    pub fn token(&self, user: &str) -> String {
        self.token_like(user, |_| ())
    }

    /// The same with changes.
    ///
    /// # Panics
    /// There is no such account.
    pub fn token_like(&self, user: &str, change: impl FnOnce(&mut TokenSpec)) -> String {
        let mut spec = self.surface.inner.usual_token();
        change(&mut spec);
        self.surface.inner.issue_token(user, &spec).unwrap()
    }

    /// Ends a token.
    pub fn revoke(&self, token: &str) {
        assert!(self.surface.inner.revoke_token(token), "there was such a token");
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.go_on();
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug)]
struct Watched {
    inner: DevProvider,
    asked: AtomicUsize,
    held: Held,
}

type Held = (Mutex<bool>, Condvar);

impl Watched {
    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }

    /// Blocks the only thread of the provider, which is what a provider that hangs looks like.
    fn wait(&self) {
        let held = self.held.0.lock().unwrap();
        drop(self.held.1.wait_timeout_while(held, PATIENCE, |held| *held).unwrap());
    }
}

impl Surface for Watched {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.wait();
        self.inner.call(request)
    }

    fn fault(&self, fault: Fault) -> Reply {
        self.inner.fault(fault)
    }
}
