//! Shows a user what the daemon knows about them.
