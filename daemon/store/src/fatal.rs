//! Ends the process when durability is lost. After a failed apply, flush or sync the content of the
//! disk is unknown, and a retry would report success for pages that the kernel has already dropped;
//! only a fresh start reads the actual state.

use std::fmt;
use std::sync::Arc;

use credsmith_core::error::BoxedCause;

/// The step of a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Changing the engine's data.
    Apply,
    /// Handing the changes to the operating system.
    Flush,
    /// Making them durable (fdatasync).
    Sync,
    /// Noting the group in the file that knows the last acknowledged commit.
    Tip,
    /// A panic in one of the others.
    Panic,
}

/// A failed write: the durability of its group is unknown.
#[derive(Debug)]
pub struct Fatal {
    /// The step that failed.
    pub step: Step,
    /// The error of the step.
    pub cause: BoxedCause,
}

/// The reaction to a failed write, called once, on the committer's thread. The default logs and
/// aborts the process. One that returns (in tests) leaves a store that refuses every later commit
/// and still reads what was acknowledged.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

impl Fatal {
    pub(crate) fn new(step: Step, cause: impl Into<BoxedCause>) -> Self {
        Self { step, cause: cause.into() }
    }

    pub(crate) fn from_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        Self::new(Step::Panic, panic_text(payload))
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Apply => "the store could not change its data",
            Step::Flush => "the store could not write its file",
            Step::Sync => "the store could not make its file durable",
            Step::Tip => "the store could not note its last commit",
            Step::Panic => "the store broke down while it wrote",
        })
    }
}

impl std::error::Error for Fatal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Logs and aborts, without running destructors, since they could write.
pub(crate) fn abort(fatal: &Fatal) {
    tracing::error!(
        step = ?fatal.step,
        cause = %fatal.cause,
        "{fatal}; the process ends here, because no answer could be trusted any more"
    );
    std::process::abort();
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
