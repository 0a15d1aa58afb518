//! Lines for the operator's log.
//!
//! The daemon keeps the lines of a call until it ends, masks the secrets it handed out, and drops
//! lines beyond 64 KiB. Anything a user may see belongs into a [`Refusal`](crate::Refusal) instead.

use crate::imports::log::emit;

/// For debugging the plugin.
pub fn debug(message: impl AsRef<str>) {
    emit("debug", message.as_ref());
}

/// Worth knowing.
pub fn info(message: impl AsRef<str>) {
    emit("info", message.as_ref());
}

/// Worth looking at.
pub fn warn(message: impl AsRef<str>) {
    emit("warn", message.as_ref());
}

/// An operator has to act.
pub fn error(message: impl AsRef<str>) {
    emit("error", message.as_ref());
}
