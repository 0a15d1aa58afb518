//! A gate that tests hold shut.

use std::sync::Arc;

use tokio::sync::watch;

/// Shut until opened; then open for good. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A shut gate.
    pub fn shut() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets every task through, those that wait and those that come.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.open.receiver_count()
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        let mut open = self.open.subscribe();
        // The sender lives as long as this borrow: the wait ends with the opening alone.
        let _ = open.wait_for(|open| *open).await;
    }
}
