//! A server that plugins send requests to, in this process. The test decides what it answers, and
//! when.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// One request as the server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its path and query.
    pub target: String,
    /// Its whole head.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Handler = dyn Fn(&Received) -> (u16, String) + Send + Sync;

/// A server on loopback, one request a connection. It ends when dropped.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    ending: Arc<AtomicBool>,
}

impl Target {
    /// A server that answers as `handler` says: status and JSON. It is called on a thread of its
    /// own for each request, and may take as long as it likes.
    ///
    /// # Panics
    /// There is no port.
    pub fn start(handler: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            ending: Arc::default(),
        };
        let (received, ending) = (Arc::clone(&target.received), Arc::clone(&target.ending));
        let handler: Arc<Handler> = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let (received, handler) = (Arc::clone(&received), Arc::clone(&handler));
                thread::spawn(move || stream.map(|stream| serve(stream, &received, &*handler)));
            }
        });
        target
    }

    /// Where it is: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has got so far.
    ///
    /// # Panics
    /// A handler panicked.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The lines of a service that grant it, for [`crate::Site::service`]: with the setting
    /// `target`.
    pub fn granted_to(&self, service: &str) -> String {
        let url = self.url();
        format!(
            "[[services.{service}.http]]\ndestination = \"{url}\"\naddresses = [\"127.0.0.0/8\"]\n\
             [services.{service}.settings]\ntarget = \"{url}\"\n"
        )
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Received>>, handler: &Handler) {
    let Some(request) = read(&mut stream) else { return };
    log.lock().unwrap().push(request.clone());
    let (status, body) = handler(&request);
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = crate::answer::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.trim().parse().unwrap());
            if let Some(body) = bytes.get(end + 4..end + 4 + length) {
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                return Some(Received { target, body: body.to_vec(), head });
            }
        }
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    }
}
