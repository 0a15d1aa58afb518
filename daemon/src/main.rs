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
mod dev;
mod failure;
mod files;
mod logging;
mod run;
mod sentence;
mod system;
mod wire_up;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use cli::{AuditCommand, Cli, Command, KeyCommand, PluginCommand};
use commands::{key, plugin, running};
use config::Log;
use failure::Failure;

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
            let loaded = run::load(&config)?;
            let _flush = logging::install(loaded.config.log);
            block_on(run::serve(loaded))
        }
        Command::Dev { listen, provider_listen, data } => {
            let _flush = logging::install(Log::default());
            block_on(dev::run(listen, provider_listen, data.as_deref()))
        }
        Command::Check { config } => check(&config),
        Command::Plugin(PluginCommand::Inspect { file }) => block_on(plugin::inspect(&file)),
        Command::Plugin(PluginCommand::List { config }) => {
            block_on(plugin::list(run::load(&config)?))
        }
        Command::Key(KeyCommand::Init { file }) => key::init(&file),
        Command::Audit(AuditCommand::Verify { files, config, socket, from }) => {
            block_on(commands::audit::verify(files, config.as_deref(), socket.as_deref(), from))
        }
        Command::Lease(command) => block_on(running::lease(command)),
        Command::User(command) => block_on(running::user(command)),
        Command::Vault(command) => block_on(running::vault(command)),
        Command::TrustClock { daemon } => block_on(running::trust_clock(daemon)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime: Runtime =
        Builder::new_multi_thread().enable_all().build().map_err(Failure::error)?;
    let result = runtime.block_on(work);
    // Tasks that still run after a drain, or after a second signal, are not waited for.
    runtime.shutdown_background();
    result
}

fn check(path: &Path) -> Result<(), Failure> {
    let loaded = run::load(path)?;
    for warning in &loaded.warnings {
        console::say(format!("warning: {warning}"));
    }
    console::say("The configuration is in order.");
    Ok(())
}
