//! Measures the whole daemon on loopback and prints a table, each figure beside its yardstick of
//! the same sitting.
//!
//! `credsmith-bench [--quick] [ROW ...]`, started by the script `run`, which builds what this needs
//! beside it. A missed target is printed and is no failure; a wrong answer is one. The rows are in
//! `rows`, the clients in `clients`, what they run on in `site`.
//!
//! Never here: a part of the daemon. It is measured from outside, as the program that ships.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod audit;
mod clients;
mod connection;
mod load;
mod process;
mod rows;
mod sign_in;
mod site;
mod table;
mod vault;

use std::process::ExitCode;
use std::time::Duration;

use load::{Failure, Span};
use rows::ROWS;
use table::Table;

/// How thoroughly.
#[derive(Debug, Clone, Copy)]
struct Effort {
    span: Span,
    /// Leases of the row about memory, and of the row about starting.
    leases: [usize; 2],
    /// Calls of the row about plugin calls.
    calls: usize,
    /// Starts of which the middle one counts.
    starts: usize,
    /// Sockets that wait at a time.
    sockets: usize,
    /// Credentials of the type that changes.
    credentials: usize,
}

const FULL: Effort = Effort {
    span: Span { warm_up: Duration::from_secs(2), watched: Duration::from_secs(10) },
    leases: [100_000, 1_000_000],
    calls: 20_000,
    starts: 7,
    sockets: 10_000,
    credentials: 10_000,
};
const QUICK: Effort = Effort {
    span: Span { warm_up: Duration::from_millis(500), watched: Duration::from_secs(2) },
    leases: [10_000, 20_000],
    calls: 2_000,
    starts: 3,
    sockets: 1_000,
    credentials: 1_000,
};

fn main() -> ExitCode {
    match obey(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn obey(words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut effort = FULL;
    let mut wanted = Vec::new();
    for word in words {
        match word.as_str() {
            "--quick" => effort = QUICK,
            name if ROWS.iter().any(|(row, _)| *row == name) => wanted.push(word),
            _ => return Err(format!("{word} is unknown; --quick and {} are not", names()).into()),
        }
    }
    println!("{}", machine()?);
    let mut table = Table::default();
    for (name, measure) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("{name} ... (load average {})", load_average()?);
            measure(&effort, &mut table).map_err(|failure| format!("{name}: {failure}"))?;
        }
    }
    println!("\n{table}");
    println!("targets missed: {}; load average at the end {}", table.missed(), load_average()?);
    Ok(())
}

fn names() -> String {
    ROWS.map(|(name, _)| name).join(", ")
}

fn machine() -> Result<String, Failure> {
    let processors = std::thread::available_parallelism()?;
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, name)| name);
    Ok(format!("{processors} processors, {model}; load average before {}", load_average()?))
}

/// Of the last minute.
fn load_average() -> Result<String, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
