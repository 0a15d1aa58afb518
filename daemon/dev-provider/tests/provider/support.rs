//! A demo provider that serves, and ways to talk to it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use credsmith_core::doubles::ManualClock;
use credsmith_core::ports::Clock as _;
use credsmith_dev_provider::{Client as App, DevProvider, Options};
use credsmith_http::client::{
    AddressPolicy, CallLimits, Client, ClientOptions, Destination, Failure, IpNet,
};
use credsmith_http::{Bytes, Drain, HostPolicy, Listener, Server, ServerOptions, Surfaces};
use http::{Method, Request, Response};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

/// Longer than anything here takes, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const LIMITS: CallLimits = CallLimits { deadline: PATIENCE, max_response_bytes: 1 << 20 };

pub(crate) const SECRET: &str = "dev secret: 100%";

pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy::allowing(vec!["127.0.0.0/8".parse::<IpNet>().unwrap()])
}

/// The HTTP client that the crate openidconnect drives.
pub(crate) struct Wire(Client);

impl<'c> AsyncHttpClient<'c> for Wire {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Failure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let request = request.map(Bytes::from);
        Box::pin(async move { Ok(self.0.send(request, LIMITS).await?.map(|body| body.to_vec())) })
    }
}

/// A provider on loopback with the clients `app` (secret) and `cli` (public), its time a clock of
/// the test's.
pub(crate) struct Dev {
    pub(crate) base: String,
    pub(crate) provider: Arc<DevProvider>,
    pub(crate) clock: ManualClock,
    client: Client,
    _drain: Drain,
}

impl Dev {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with changes to its options.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        // The crate openidconnect judges id tokens by the clock of the machine: begin there.
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let clock = ManualClock::at(credsmith_core::time::Timestamp::from_secs(wall.as_secs()));
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}");

        let apps = vec![
            App::new("app", Some(SECRET), &["http://127.0.0.1/cb"]).unwrap(),
            App::new("cli", None, &["http://127.0.0.1/cb"]).unwrap(),
        ];
        let mut options = Options::new(&base, apps);
        let time = clock.clone();
        options.now = Arc::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_millis(time.now().as_millis())
        });
        change(&mut options);
        let provider = Arc::new(DevProvider::new(options).unwrap());

        let drain = Drain::new();
        let options =
            ServerOptions { hosts: HostPolicy::only([address]), ..ServerOptions::default() };
        Server::new(options, Surfaces::new(provider.clone()), drain.clone()).serve(listener);
        let mut destination = Destination::of_url(&base).unwrap();
        destination.addresses = loopback();
        let client = Client::new(ClientOptions {
            destinations: vec![destination],
            ..ClientOptions::default()
        })
        .unwrap();
        Self { base, provider, clock, client, _drain: drain }
    }

    /// The HTTP client for the crate openidconnect.
    pub(crate) fn wire(&self) -> Wire {
        Wire(self.client.clone())
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.client.send(request, LIMITS).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let request = headers
            .iter()
            .fold(Request::get(format!("{}{path}", self.base)), |r, (n, v)| r.header(*n, *v));
        self.send(request.body(Bytes::new()).unwrap()).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> Response<Bytes> {
        let request = Request::builder().method(Method::POST).uri(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Bytes::from(form.to_owned())).unwrap()).await
    }

    pub(crate) async fn token(&self, user: &str) -> String {
        text(&self.get(&format!("/dev/token?user={user}")).await)
    }
}

pub(crate) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

pub(crate) fn json(response: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(response.body()).unwrap()
}
