//! Permissions and restrictions of a certificate beyond its principals: extensions and critical
//! options of PROTOCOL.certkeys (OpenSSH).

use std::net::IpAddr;

use credsmith_plugin_sdk::{FieldProblem, Noted, Settings};
use ssh_key::certificate::Builder;

/// The same for every certificate of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restrictions {
    extensions: Vec<String>,
    force_command: Option<String>,
    source_address: Option<String>,
}

const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// Longest command, in bytes.
const MOST_COMMAND: usize = 4096;
/// Most networks.
const MOST_NETWORKS: usize = 64;

impl Restrictions {
    /// Reads them all.
    ///
    /// # Errors
    /// [`Noted`], after noting every fault.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Noted> {
        let extensions = each(settings, "extensions", settings.get("extensions"), check_extension);
        let force_command =
            settings.parse("force_command", |command: Option<String>| match command {
                Some(command) => check_command(command).map(Some),
                None => Ok(None),
            });
        let source_address = source_address(settings);
        Ok(Self {
            extensions: extensions?,
            force_command: force_command?,
            source_address: source_address?,
        })
    }

    /// Writes them into a certificate.
    ///
    /// # Errors
    /// When one is in it already.
    pub(crate) fn apply(&self, builder: &mut Builder) -> ssh_key::Result<()> {
        for extension in &self.extensions {
            builder.extension(extension, "")?;
        }
        if let Some(command) = &self.force_command {
            builder.critical_option("force-command", command)?;
        }
        if let Some(networks) = &self.source_address {
            builder.critical_option("source-address", networks)?;
        }
        Ok(())
    }
}

fn source_address(settings: &Settings) -> Result<Option<String>, Noted> {
    let Some(networks) = settings.get::<Option<Vec<String>>>("source_address")? else {
        return Ok(None);
    };
    // An empty list is more likely a mistake than the wish for certificates that work nowhere; to
    // OpenSSH it would be no restriction.
    if networks.is_empty() || networks.len() > MOST_NETWORKS {
        let problem = format!("has to name 1 to {MOST_NETWORKS} networks, or be left out");
        return Err(settings.fault(FieldProblem::at("source_address", problem)));
    }
    each(settings, "source_address", Ok(networks), check_network)
        .map(|networks| Some(networks.join(",")))
}

/// Checks each element, and notes every fault with its position.
fn each(
    settings: &Settings,
    key: &str,
    values: Result<Vec<String>, Noted>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, Noted> {
    let mut values = values?;
    let mut outcome = Ok(());
    for (position, value) in values.iter().enumerate() {
        if let Err(message) = check(value) {
            outcome =
                Err(settings.fault(FieldProblem::at(key, message).within(position.to_string())));
        }
    }
    values.sort();
    values.dedup();
    outcome.map(|()| values)
}

fn check_extension(name: &str) -> Result<(), String> {
    let known = EXTENSIONS.contains(&name);
    known.then_some(()).ok_or_else(|| {
        format!("is no extension of a user certificate; known are {}", EXTENSIONS.join(", "))
    })
}

fn check_command(command: String) -> Result<String, String> {
    let sound = !command.trim().is_empty()
        && command.len() <= MOST_COMMAND
        && !command.chars().any(char::is_control);
    sound.then_some(command).ok_or_else(|| format!("is not one line of 1 to {MOST_COMMAND} bytes"))
}

/// An address or a network without host bits: OpenSSH rejects every login of a certificate whose
/// list it cannot read.
fn check_network(text: &str) -> Result<(), String> {
    let expected = || "is no address and no network such as 192.0.2.0/24".to_owned();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let Some(prefix) = prefix else { return Ok(()) };
    let plain = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: u32 =
        prefix.parse().ok().filter(|prefix| plain && *prefix <= width).ok_or_else(expected)?;
    let host_bits = 1_u128.checked_shl(width - prefix).map_or(u128::MAX, |bound| bound - 1);
    if bits & host_bits != 0 {
        return Err(format!("has bits set behind its prefix of {prefix}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_openssh_reads_them() {
        for good in [
            "192.0.2.1",
            "192.0.2.0/24",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
            "10.0.0.1/32",
        ] {
            assert_eq!(check_network(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "!192.0.2.1",
            "192.0.2",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "::1/64",
            "::/129",
            "a/8",
            "192.0.2.0/24,::1",
            " ::1",
        ] {
            assert!(check_network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_is_one_line() {
        assert!(check_command("internal-sftp -R".into()).is_ok());
        for bad in ["", "  ", "a\nb", "a\0"] {
            assert!(check_command(bad.into()).is_err(), "{bad:?}");
        }
        assert!(check_command("x".repeat(MOST_COMMAND + 1)).is_err());
    }
}
