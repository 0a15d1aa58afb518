//! The command line: what can be asked of the program, and nothing of how it is done.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "Exit codes:
  0   done; after TERM or INT: everything in work was finished
  1   something failed while running; the sentence on standard error says what
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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon; `ready http://...` on standard output says that it serves
    #[command(after_help = EXIT_CODES)]
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration and tell every fault in it, without starting anything
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Try Credsmith out: a demo configuration and an OpenID provider with demo accounts, on this
    /// machine only
    #[command(after_help = EXIT_CODES)]
    Dev {
        /// Where the daemon listens; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = loopback)]
        listen: SocketAddr,
        /// Where the demo provider listens; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = loopback)]
        provider_listen: SocketAddr,
        /// Keep state in this directory; without it, state is gone at the end
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Make keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look at the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look after leases that a running daemon could not revoke
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Suspend a user of a running daemon on every surface, or let them in again
    #[command(subcommand)]
    User(UserCommand),
    /// Look after the vault of a running daemon
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Tell a running daemon that the clock is right, after it has jumped and was looked at
    TrustClock {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// Which daemon is spoken to: one that runs on this machine.
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

/// What to do with leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List leases that wait for an operator
    Parked {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Have the revocation of a parked lease tried again
    Retry {
        /// The lease, as `parked` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Let go of a parked lease: what it stands for may stay alive at its target
    Drop {
        /// The lease, as `parked` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Why; it goes into the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Read the whole ledger against itself and tell every contradiction
    Examine {
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Find every edit, deletion, reordering and truncation in an audit log, whether or not the
    /// daemon runs
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// Its files, the oldest first where it was moved away on the way
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The daemon's configuration file, running or not; without it there is no key, and only
        /// hashes, numbers and chain are looked at
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The admin socket of a running daemon in place of its configuration; that of `credsmith
        /// dev --data DIR` is DIR/admin.sock
        #[arg(long, value_name = "PATH", conflicts_with = "config")]
        socket: Option<PathBuf>,
        /// The number of the line that the files begin with, where older ones were put away for
        /// good
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        from: u64,
    },
}

/// What to do with the vault.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Synchronise companies with their directory now
    Sync {
        /// Let a walk count that would mark unusually many companies as missing
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
    /// Bring back a deleted credential, or a type with all that went along
    Restore {
        /// As `deleted` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Remove something deleted for good, before its time
    Purge {
        /// As `deleted` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// What to do with users. A user is known by issuer and subject.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Refuse a user everywhere, and take back what is being issued to them
    Suspend {
        /// The issuer, as the provider's discovery document spells it
        issuer: String,
        /// The subject at that issuer
        subject: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
    /// Let a suspended user in again
    Resume {
        /// The issuer, as the provider's discovery document spells it
        issuer: String,
        /// The subject at that issuer
        subject: String,
        #[command(flatten)]
        daemon: RunningDaemon,
    },
}

/// What to do with plugins.
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

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make the key that protects all data; an existing file is left alone
    Init {
        /// Where to put it (mode 600)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Ids stand in the paths that the daemon is asked by.
fn id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let expected = "expected letters, digits and hyphens, as the daemon shows the id";
    fits.then(|| text.to_owned()).ok_or_else(|| expected.to_owned())
}

/// Anybody can have tokens from the demo provider: it serves this machine only.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address with a port, like 127.0.0.1:8080".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address: whoever reaches the demo can be any of its users, so that it \
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
