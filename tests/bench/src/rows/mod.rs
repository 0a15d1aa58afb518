//! One file for each thing that is measured.

mod change;
mod cycles;
mod list;
mod memory;
mod overhead;
mod per_process;
mod sockets;
mod start;
mod vault;
mod yardstick;

use tokio::runtime::{Builder, Runtime};

use crate::Effort;
use crate::load::Failure;
use crate::table::Table;

type Measure = fn(&Effort, &mut Table) -> Result<(), Failure>;

/// All of them by name, in the order in which they run.
pub(crate) const ROWS: [(&str, Measure); 8] = [
    ("list", list::measure),
    ("cycles", cycles::measure),
    ("overhead", overhead::measure),
    ("memory", memory::measure),
    ("start", start::measure),
    ("vault", vault::measure),
    ("change", change::measure),
    ("sockets", sockets::measure),
];

/// One thread for all clients.
fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// A rate, with a separator of thousands.
fn rate(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push_str("/s");
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        let texts = [7.4, 999.6, 12_345.0, 1_234_567.0].map(super::rate);
        assert_eq!(texts, ["7/s", "1,000/s", "12,345/s", "1,234,567/s"]);
    }
}
