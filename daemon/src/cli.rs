//! The command line: commands and arguments, not what they do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use credsmith_store::Engine;

const EXIT_CODES: &str = "Exit codes:
  0   done; after TERM or INT: everything in work was finished
  1   something failed while running; the sentence on standard error names it
  2   the command line is wrong
  3   a second TERM or INT ended the daemon at once; what was in work is cleaned up by the next start
  78  the configuration is wrong; every fault is on standard error, one a line";

/// Issues and revokes credentials through sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "credsmith", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon; it prints `ready` and its addresses on standard output when it serves
    #[command(after_help = EXIT_CODES)]
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration and report every fault in it, without starting the daemon
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run a demo: a demo configuration and an OpenID provider with demo accounts, on this machine
    /// only
    #[command(after_help = EXIT_CODES)]
    Dev {
        /// Where the daemon listens; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = loopback)]
        listen: SocketAddr,
        /// Where the demo provider listens; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = loopback)]
        provider_listen: SocketAddr,
        /// Keep state in this directory; without it, state is removed at the end
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Log warnings and errors only, and no line for each request and event
        #[arg(long)]
        quiet: bool,
    },
    /// Inspect plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Make keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Verify the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look after the store of a daemon that does not run
    #[command(subcommand)]
    Store(StoreCommand),
    /// Manage leases that a running daemon could not revoke
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Suspend or resume a user of a running daemon on every surface
    #[command(subcommand)]
    User(UserCommand),
    /// Manage the vault of a running daemon
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Compile a component from standard input; the daemon starts this itself, to bound it
    #[command(hide = true)]
    CompileComponent {
        /// Most memory, in bytes
        memory: u64,
        /// Most computing time, in seconds
        seconds: u64,
    },
    /// Confirm to a running daemon that the clock is right, after a jump that an operator has
    /// checked
    TrustClock {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// The daemon that a command goes to: one that runs on this machine.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RunningDaemon {
    /// Its configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Its admin socket; that of `credsmith dev --data DIR` is DIR/admin.sock
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Commands for leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List leases that are parked for an operator
    Parked {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Retry the revocation of a parked lease
    Retry {
        /// The lease, as `parked` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Give up a parked lease: its credential may stay valid at its target
    Drop {
        /// The lease, as `parked` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// The reason, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Check the whole ledger for consistency and report every contradiction
    Examine {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// Commands for the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Find every edit, deletion, reordering and truncation in an audit log, whether or not the
    /// daemon runs
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// The files of the log, the oldest first
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The daemon's configuration file, running or not; without it there is no key, and only
        /// hashes, numbers and chain are checked
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The admin socket of a running daemon in place of its configuration; that of `credsmith
        /// dev --data DIR` is DIR/admin.sock
        #[arg(long, value_name = "PATH", conflicts_with = "config")]
        socket: Option<PathBuf>,
        /// The number of the first line in the files, where older ones are no longer kept
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        from: u64,
    },
}

/// Commands for the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Accept a store that has lost something, or is older than the audit log: says what is
    /// missing, asks, and applies the suspensions and revocations that the log knows
    #[command(after_help = EXIT_CODES)]
    Accept {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Files of the audit log that were moved away, the oldest first; the present one is read
        /// in any case
        #[arg(long, value_name = "FILE")]
        log: Vec<PathBuf>,
        /// Accept without asking
        #[arg(long)]
        yes: bool,
    },
    /// Copy the data of a daemon that does not run into a new data directory, also to change the
    /// engine of the store; the copy is read back and compared
    Copy {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The new data directory: one that does not exist, or is empty
        #[arg(long, value_name = "DIRECTORY")]
        to: PathBuf,
        /// The engine of the copy, sled or redb; without it, that of the configuration
        #[arg(long, value_name = "ENGINE")]
        engine: Option<Engine>,
    },
}

/// Commands for the vault.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Synchronise companies with their directory now
    Sync {
        /// Accept a synchronisation that marks unusually many companies as missing
        #[arg(long)]
        accept: bool,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// List deleted types and credentials that can be restored
    Deleted {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Restore a deleted credential, or a type with everything that was deleted with it
    Restore {
        /// As `deleted` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Remove a deleted credential or type for good, before its time
    Purge {
        /// As `deleted` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// Commands for users. A user is identified by issuer and subject.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Refuse a user on every surface, and revoke credentials that are being issued to them
    Suspend {
        /// The issuer, with or without a slash at its end
        issuer: String,
        /// The subject at that issuer
        subject: String,
        /// Suspend even a subject that the daemon has never seen, or of an issuer that no provider
        /// has
        #[arg(long)]
        unseen: bool,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Let a suspended user sign in again
    Resume {
        /// The issuer, with or without a slash at its end
        issuer: String,
        /// The subject at that issuer
        subject: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// List who is suspended, one JSON object per line
    Suspended {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// Commands for plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Show what a component is: world, imports, settings, digest
    Inspect {
        /// A component, or `bundled:NAME` for one that is built in
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Load the plugins of a configuration and show what each service offers, or why it cannot be
    /// loaded
    List {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Commands for keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make the key that protects all data; an existing file is not overwritten
    Init {
        /// The file to create (mode 600)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Ids become part of the paths of requests to the daemon.
fn id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let expected = "expected letters, digits and hyphens, as the daemon shows the id";
    fits.then(|| text.to_owned()).ok_or_else(|| expected.to_owned())
}

/// Accepts loopback addresses only: every client gets tokens from the demo provider.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address with a port, like 127.0.0.1:8080".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address: a client that reaches the demo can sign in as any of its users, so that it \
             listens on 127.0.0.1 or [::1] only",
            address.ip()
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_listens_on_loopback_only() {
        for good in ["127.0.0.1:0", "[::1]:8080", "127.9.9.9:1"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:8080",
            "[::]:8080",
            "192.168.1.1:80",
            "8080",
            "localhost",
            "127.0.0.1",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
        let refused =
            Cli::try_parse_from(["credsmith", "dev", "--listen", "0.0.0.0:8080"]).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("is not a loopback address"), "{refused}");
    }

    #[test]
    fn ids_stay_within_a_path() {
        for good in ["c0123456789abcdefghijklmn", "4a0f3c2e-1111-4222-8333-444455556666"] {
            assert_eq!(id(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a/b", "..", "x?y", "x#y", "%2e", "a\n"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exit_codes_are_in_the_help() {
        for arguments in [["credsmith", "--help"].as_slice(), &["credsmith", "serve", "--help"]] {
            let help = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(help.exit_code(), 0);
            assert!(help.to_string().contains("78  the configuration is wrong"), "{help}");
        }
    }
}
