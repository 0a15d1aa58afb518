//! A surface that does on request what tests need, a server around it, and a client that sends
//! bytes as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use credsmith_http::{
    Drain, Fault, Handshake, HandshakeError, HeaderValue, Listener, Peer, Quiet, Reply, ReplyBody,
    Request, RequestId, Server, ServerOptions, Slot, StatusCode, Surface, Surfaces, Upgrade,
    header,
};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Longer than anything takes, on whatever machine.
pub(crate) const EVER: Duration = Duration::from_secs(30);

pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// Answers by path. The test controls the events that it waits for.
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) drain: Drain,
    /// One permit lets one waiting request, or one effect, go on.
    pub(crate) gate: Semaphore,
    pub(crate) waiting: AtomicUsize,
    pub(crate) effects: Arc<AtomicUsize>,
}

impl Probe {
    pub(crate) fn new(name: &'static str, drain: &Drain) -> Arc<Self> {
        Arc::new(Self {
            name,
            drain: drain.clone(),
            gate: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            effects: Arc::default(),
        })
    }

    async fn pass_gate(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Until `count` requests stand at the gate.
    pub(crate) async fn until_waiting(&self, count: usize) {
        until(|| self.waiting.load(Ordering::SeqCst) == count).await;
    }

    fn text(&self, text: impl Into<String>) -> Reply {
        ReplyBody::text(StatusCode::OK, text.into())
    }

    async fn answer(&self, mut request: Request) -> Reply {
        match request.uri().path().rsplit('/').next().unwrap() {
            "ok" => self.text(format!("{}: ok", self.name)),
            "quiet" => {
                let mut reply = self.text("quiet");
                reply.extensions_mut().insert(Quiet);
                reply
            }
            "who" => {
                let id = request.extensions().get::<RequestId>().unwrap().to_string();
                let peer = match request.extensions().get::<Peer>().unwrap() {
                    Peer::Tcp(address) => format!("tcp {}", address.ip()),
                    Peer::Unix(uid) => format!("unix of ours: {}", *uid == Some(own_uid())),
                };
                self.text(format!("{id} {peer}"))
            }
            "echo" => match request.body_mut().read(BODY_LIMIT).await {
                Ok(bytes) => ReplyBody::text(StatusCode::OK, bytes),
                Err(fault) => self.fault(fault.fault()),
            },
            "ignore" => self.text("not read"),
            "gate" => {
                self.pass_gate().await;
                self.text("through the gate")
            }
            "released" => {
                request.extensions().get::<Slot>().unwrap().release();
                self.pass_gate().await;
                self.text("released")
            }
            "big" => ReplyBody::text(StatusCode::OK, vec![b'x'; 64 << 20]),
            "panic" => {
                tokio::task::yield_now().await;
                panic!("first\nsecond line")
            }
            "upgrade" => {
                let mut reply = ReplyBody::with_header(
                    StatusCode::SWITCHING_PROTOCOLS,
                    header::UPGRADE,
                    HeaderValue::from_static("echo"),
                );
                reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                let draining = self.drain.watch();
                reply.extensions_mut().insert(Upgrade::new(move |mut connection| {
                    Box::pin(async move {
                        let mut buffer = [0; 64];
                        loop {
                            tokio::select! {
                                read = connection.read(&mut buffer) => match read {
                                    Ok(count) if count > 0 => connection.write_all(&buffer[..count]).await.unwrap(),
                                    _ => return,
                                },
                                () = draining.begun() => {
                                    connection.write_all(b"bye").await.unwrap();
                                    return;
                                }
                            }
                        }
                    })
                }));
                reply
            }
            _ => self.fault(Fault::NotFound),
        }
    }

    /// A WebSocket that gets its text when the gate opens.
    fn socket(self: &Arc<Self>, request: Request) -> Reply {
        let handshake = match Handshake::read(&request.into_parts().0) {
            Ok(handshake) => handshake,
            Err(_) => {
                let mut reply = ReplyBody::bare(StatusCode::UPGRADE_REQUIRED);
                reply.headers_mut().extend(HandshakeError::headers());
                return reply;
            }
        };
        let probe = Arc::clone(self);
        handshake.accept(move |socket| {
            Box::pin(async move {
                let text = async {
                    probe.pass_gate().await;
                    "through the gate".to_owned()
                };
                socket.deliver(text).await;
            })
        })
    }

    /// Takes the slot along into an effect that goes on without the client.
    fn effect(self: &Arc<Self>, request: &mut Request) -> Reply {
        let slot = request.extensions_mut().remove::<Slot>();
        let probe = Arc::clone(self);
        self.drain.spawn("effect", async move {
            probe.pass_gate().await;
            probe.effects.fetch_add(1, Ordering::SeqCst);
            drop(slot);
        });
        self.text("begun")
    }
}

/// The probe as a surface; it needs a handle to itself.
pub(crate) struct Surfaced(pub(crate) Arc<Probe>);

impl Surface for Surfaced {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Reply> {
        if request.uri().path().ends_with("/panic-early") {
            panic!("before there is a future");
        }
        Box::pin(async move {
            if request.uri().path().ends_with("/effect") {
                return self.0.effect(&mut request);
            }
            if request.uri().path().ends_with("/socket") {
                return self.0.socket(request);
            }
            self.0.answer(request).await
        })
    }

    fn fault(&self, fault: Fault) -> Reply {
        if self.0.name == "broken" {
            panic!("cannot even say no");
        }
        self.0.fault(fault)
    }

    fn fault_for(&self, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
        let mut reply = self.fault(fault);
        reply
            .headers_mut()
            .extend(origin.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())));
        reply
    }
}

impl Probe {
    fn fault(&self, fault: Fault) -> Reply {
        let mut reply =
            ReplyBody::text(fault.status(), format!("{}: {}", self.name, fault.sentence()));
        if let Some(seconds) = fault.retry_after() {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}

/// A server with the surfaces `rest`, `api` at `/api` and `broken` at `/broken`.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) drain: Drain,
    pub(crate) api: Arc<Probe>,
}

impl Fixture {
    pub(crate) fn new(options: ServerOptions) -> Self {
        let drain = Drain::new();
        let api = Probe::new("api", &drain);
        let surface = |name| Arc::new(Surfaced(Probe::new(name, &drain)));
        let surfaces = Surfaces::new(surface("rest"))
            .with("/api", Arc::new(Surfaced(Arc::clone(&api))))
            .with("/broken", surface("broken"));
        Self { server: Server::new(options, surfaces, drain.clone()), drain, api }
    }

    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.server.serve(listener);
        address
    }

    /// Ends everything in order.
    pub(crate) async fn end(self) {
        self.drain.begin();
        within(self.drain.wait()).await;
    }
}

/// Until `is_so`.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The outcome of `future`, which must not hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(EVER, future).await.expect("it hangs")
}

/// All bytes that the server sends in answer to `bytes` until it closes or resets the connection.
pub(crate) async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &[u8],
) -> String {
    let mut said = Vec::new();
    within(async {
        let _ = stream.write_all(bytes).await;
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
        }
    })
    .await;
    String::from_utf8_lossy(&said).into_owned()
}

/// One reply on a connection that stays open. Bodies of known length only.
pub(crate) async fn reply(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut said = Vec::new();
    within(async {
        loop {
            if let Some(end) = whole_reply(&said) {
                assert_eq!(said.len(), end, "more than one reply");
                return;
            }
            let mut byte = [0];
            assert_eq!(
                stream.read(&mut byte).await.unwrap(),
                1,
                "closed: {}",
                String::from_utf8_lossy(&said)
            );
            said.push(byte[0]);
        }
    })
    .await;
    String::from_utf8(said).unwrap()
}

fn whole_reply(said: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(said).ok()?;
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head]
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |n| n.parse().unwrap());
    (said.len() >= head + length).then_some(head + length)
}

/// `GET path` on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(
        &mut stream,
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .await
}

/// `POST path` with a body on a connection of its own.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    say(&mut stream, &[head.as_bytes(), body].concat()).await
}

pub(crate) fn status(reply: &str) -> u16 {
    let line = reply.strip_prefix("HTTP/1.1 ").or_else(|| reply.strip_prefix("HTTP/1.0 "));
    line.and_then(|rest| rest.get(..3))
        .unwrap_or_else(|| panic!("no reply: {reply:?}"))
        .parse()
        .unwrap()
}

pub(crate) fn header_of<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = reply.split_once("\r\n\r\n")?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) fn body_of(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").unwrap().1
}

/// The user id of this process.
fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}
