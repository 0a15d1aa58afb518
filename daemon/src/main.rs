//! Credsmith: a daemon that issues and revokes credentials through sandboxed plugins.
//!
//! This package is the only place where all crates meet. `cli` defines the command line, `config`
//! the configuration, `wire_up` builds the daemon, `run` runs it until a signal comes, `dev` does
//! the same for a demo, `commands` has the other commands.
//!
//! Never here: a decision about access, a term of a dialect, wasm, sled, hyper.

mod audit;
mod cli;
mod commands;
mod config;
mod console;
mod descriptors;
mod dev;
mod failure;
mod files;
mod logging;
mod run;
mod sentence;
mod system;
mod wire_up;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use cli::{AuditCommand, Cli, Command, KeyCommand, PluginCommand, StoreCommand};
use commands::{key, plugin, running, store_copy};
use failure::Failure;

/// It gives freed memory back to the system, also when other threads freed it than allocated it
/// (decision 0029).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = system::harden() {
        console::say(format!("warning: core dumps cannot be turned off: {error}"));
    }
    match run_command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::say(&failure);
            failure.code()
        }
    }
}

fn run_command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { config } => {
            system::check_clock()?;
            let loaded = run::load(&config)?;
            let _flush = logging::install(loaded.config.log);
            block_on(run::serve(&config, loaded))
        }
        Command::Dev { listen, provider_listen, data, quiet } => {
            system::check_clock()?;
            let _flush = logging::install(dev::log(quiet));
            block_on(dev::run(listen, provider_listen, data.as_deref()))
        }
        Command::Check { config } => block_on(commands::check::check(&config)),
        Command::Plugin(PluginCommand::Inspect { file }) => block_on(plugin::inspect(&file)),
        Command::Plugin(PluginCommand::List { config }) => {
            block_on(plugin::list(run::load(&config)?))
        }
        Command::Key(KeyCommand::Init { file }) => key::init(&file),
        Command::Store(StoreCommand::Copy { config, to, engine }) => {
            block_on(store_copy::copy(run::load(&config)?, to, engine))
        }
        Command::Audit(AuditCommand::Verify { files, config, socket, from }) => {
            block_on(commands::audit::verify(files, config.as_deref(), socket.as_deref(), from))
        }
        Command::CompileComponent { memory, seconds } => {
            credsmith_host::compile_component(memory, seconds).map_err(Failure::run)
        }
        Command::Store(StoreCommand::Accept { config, log, yes }) => {
            block_on(commands::store::accept(&config, &log, yes))
        }
        Command::Lease(command) => block_on(running::lease(command)),
        Command::User(command) => block_on(running::user(command)),
        Command::Vault(command) => block_on(running::vault(command)),
        Command::TrustClock { daemon } => block_on(running::trust_clock(daemon)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    // Tasks that still run after a drain, or after a second signal, are not waited for.
    runtime.shutdown_background();
    result
}

/// The runtime's threads. Where the system makes no more of them, the runtime panics.
fn runtime() -> Result<Runtime, Failure> {
    let built = std::panic::catch_unwind(|| Builder::new_multi_thread().enable_all().build());
    built.map_or_else(|_| Err(no_threads()), |runtime| runtime.map_err(Failure::error))
}

fn no_threads() -> Failure {
    Failure::run(
        "The system makes no further thread for the daemon: raise its limit (TasksMax of its unit, or `ulimit -u`).",
    )
}
