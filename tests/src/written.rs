//! What a process writes.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::PATIENCE;

/// Everything that came out of one stream so far. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Written {
    /// Reads `stream` to its end, on a thread of its own.
    pub(crate) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let written = Self::default();
        let shared = written.clone();
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            loop {
                let read = stream.read(&mut chunk).unwrap_or(0);
                let mut state = shared.0.0.lock().unwrap();
                state.bytes.extend_from_slice(&chunk[..read]);
                state.ended = read == 0;
                shared.0.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        written
    }

    /// What has been written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until `find` finds something in what has been written; `None` when the stream ends
    /// before.
    ///
    /// # Panics
    /// Nothing of both for [`PATIENCE`].
    pub fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (lock, changed) = &*self.0;
        let mut state = lock.lock().unwrap();
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(&state.bytes)) {
                return Some(found);
            }
            if state.ended {
                return None;
            }
            let (next, timeout) = changed.wait_timeout(state, PATIENCE).unwrap();
            state = next;
            assert!(
                !timeout.timed_out(),
                "waited in vain for output: {}",
                String::from_utf8_lossy(&state.bytes)
            );
        }
    }

    /// Waits for the end of the stream and returns all of it.
    pub fn all(&self) -> String {
        self.wait(|_| None::<()>);
        self.text()
    }
}
