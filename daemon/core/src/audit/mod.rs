//! The audit log: how events leave the store's outbox and become lines of a file.
//!
//! Events enter the outbox in one of three ways, which [`crate::ground`] names. From there
//! [`AuditLog`] writes them to the log and echoes them: `line` is the form of a line, [`Verifier`]
//! checks whether a log is as it was written.
//!
//! Never here: a secret. An event has no field for one.

mod forgotten;
mod line;
mod outbox;
mod remarks;
#[cfg(test)]
mod tests;
mod verify;

pub use forgotten::Forgotten;
pub use outbox::{AuditLog, Behind, check_of};
pub(crate) use remarks::write_remarks_until_stopped;
pub use verify::{Check, Verdict, Verifier};
