//! The vault when the daemon is killed: credentials, their types, sessions, and the events that
//! tell of them.
//!
//! `keeper` says what has to hold of one client's credentials and sessions at every restart: start
//! reading there. `editor` is the same for a type. `at_random` kills while both are at work,
//! `ten_thousand` while a change of a type goes through all credentials of it. `remains` reads what
//! a dead daemon left.

mod at_random;
mod editor;
mod keeper;
mod line;
mod remains;
mod site;
mod ten_thousand;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dice::Dice;

/// Somebody who asks until the daemon is dead, and goes on with the next one.
trait Client: Send {
    /// Compares what was acknowledged with what the daemon at `to` has, and comes to know what was
    /// in doubt.
    fn settle(&mut self, to: SocketAddr) -> io::Result<()>;

    /// Does one thing.
    fn act(&mut self, dice: &mut Dice) -> io::Result<()>;

    /// Goes on at the daemon at `to` until that is dead. Only one that is `doomed` may leave a
    /// request without an answer.
    fn live(&mut self, to: SocketAddr, mut dice: Dice, doomed: &AtomicBool) {
        let mut next = self.settle(to);
        while next.is_ok() {
            next = self.act(&mut dice);
        }
        assert!(
            doomed.load(Ordering::SeqCst),
            "no answer though nobody killed the daemon: {next:?}"
        );
    }
}
