//! Credsmith: a daemon that issues and revokes credentials through sandboxed plugins.
//!
//! This package is the only place where all parts meet. `cli` says what can be asked, `config` what
//! can be configured, `wire_up` puts the parts together, `run` is the life of the daemon, `dev` the
//! same for trying out.
//!
//! Never here: a decision about who may do what, a word of a dialect, wasm, sled, hyper.

mod audit;
mod cli;
mod config;
mod console;
mod dev;
mod end;
mod files;
mod keys;
mod logging;
mod operator;
mod plugins;
mod run;
mod system;
mod wire_up;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use cli::{AuditCommand, Cli, Command, KeyCommand, PluginCommand};
use config::Log;
use end::Failure;

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::say(&failure);
            failure.code()
        }
    }
}

fn obey(command: Command) -> Result<(), Failure> {
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
        Command::Plugin(PluginCommand::Inspect { file }) => block_on(plugins::inspect(&file)),
        Command::Plugin(PluginCommand::List { config }) => {
            block_on(plugins::list(run::load(&config)?))
        }
        Command::Key(KeyCommand::Init { file }) => keys::init(&file),
        Command::Audit(AuditCommand::Verify { files, config, socket, from }) => {
            block_on(audit::verify(files, config.as_deref(), socket.as_deref(), from))
        }
        Command::Lease(command) => block_on(operator::lease(command)),
        Command::User(command) => block_on(operator::user(command)),
        Command::Vault(command) => block_on(operator::vault(command)),
        Command::TrustClock { daemon } => block_on(operator::trust_clock(daemon)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime: Runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(run::sentence(&error)))?;
    let result = runtime.block_on(work);
    // What still runs after a drain, or after a second signal, is not waited for.
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
