//! A server that plugins meet: it does what its path says, and remembers every request byte by
//! byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The server. It ends when dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    serving: AbortHandle,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: Mutex<Vec<Vec<u8>>>,
}

/// What the server does with requests.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// `/redirect` leads to this URL, `/large` is large, `/echo` gives back what it got, all else
    /// is fine.
    Answering { redirect: String },
    /// It takes requests and never says a word.
    Silent,
    /// Somebody else answers.
    By(Answers),
}

/// Answers a request, given its head and body, with a whole response; `None` ends the connection.
type Answer = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// What answers requests.
#[derive(Clone)]
pub(crate) struct Answers(pub(crate) Arc<Answer>);

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers(..)")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Peer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let serving = tokio::spawn(serve(listener, manner, Arc::clone(&seen))).abort_handle();
        Self { address, seen, serving }
    }

    pub(crate) async fn answering() -> Self {
        Self::start(Manner::Answering { redirect: "http://127.0.0.1:1/".to_owned() }).await
    }

    /// Its URL, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often anybody connected.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Most connections that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.seen.most_open.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// All requests, head and body as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }
}

async fn serve(listener: TcpListener, manner: Manner, seen: Arc<Seen>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (manner, seen) = (manner.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most_open.fetch_max(open, Ordering::SeqCst);
            converse(stream, &manner, &seen).await;
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn converse(mut stream: TcpStream, manner: &Manner, seen: &Seen) {
    let mut buffer = Vec::new();
    while let Some((request, body)) = request(&mut stream, &mut buffer).await {
        let text = String::from_utf8_lossy(&request).into_owned();
        seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let answer = match manner {
            Manner::Answering { redirect } => answering(&text, &body, redirect),
            Manner::By(Answers(answers)) => match answers(&text) {
                Some(answer) => answer,
                None => return,
            },
            Manner::Silent => {
                // Nothing is said until the other side has had enough.
                while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                return;
            }
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn answering(request: &str, body: &[u8], redirect: &str) -> Vec<u8> {
    match request.split(' ').nth(1).unwrap_or_default() {
        "/redirect" => response("302 Found", &format!("location: {redirect}\r\n"), b""),
        "/large" => response("200 OK", "", &vec![b'x'; 8 << 20]),
        "/echo" => response("200 OK", "", body),
        _ => response("200 OK", "", b"fine"),
    }
}

/// A whole response; `headers` are whole lines.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One request as it came, and its body; `None` when the connection ends.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        fill(stream, buffer).await?;
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let whole = head + length.unwrap_or(0);
    while buffer.len() < whole {
        fill(stream, buffer).await?;
    }
    let rest = buffer.split_off(whole);
    let request = std::mem::replace(buffer, rest);
    let body = request[head..].to_vec();
    Some((request, body))
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(buffer).await.ok()?;
    (count > 0).then_some(())
}
