//! The import `log`: lines go to the call's journal.

use crate::call::journal::Level;
use crate::call::state::State;
use crate::v0;

impl v0::log::Host for State {
    fn emit(&mut self, level: String, message: String) -> wasmtime::Result<()> {
        Ok(self.journal.line(Level::parse(&level), message)?)
    }
}
