//! A configuration in a directory of its own.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::binary::{credsmith, fixture};
use crate::daemon::{Daemon, Ended};
use crate::provider::{CLIENT_ID, CLIENT_SECRET, Provider};

/// Where `Location` points unless a test sets another address: no test connects to it.
pub(crate) const PUBLIC_URL: &str = "http://localhost:7080";

/// Directory, key and configuration of a daemon; what it keeps stays from one start to the next.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    public_url: String,
    /// Lines of `[server]`.
    server: String,
    /// Lines of `[data]`, besides its directory.
    data: String,
    /// Everything else.
    sections: String,
    /// Tests in threads may serve one site in turns.
    serving: Mutex<()>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site with a key and nothing else. It listens on loopback, on a port of its own each time.
    ///
    /// # Panics
    /// The program cannot make a key.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("credsmith-test-").tempdir().unwrap();
        let made = credsmith()
            .args(["key", "init"])
            .arg(directory.path().join("kek"))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "the program makes a key");
        let site = Self {
            directory,
            public_url: PUBLIC_URL.into(),
            server: String::new(),
            data: String::new(),
            sections: String::new(),
            serving: Mutex::new(()),
        };
        site.secret("client.secret", CLIENT_SECRET);
        site
    }

    /// The same directory, key and data with nothing configured yet.
    #[must_use]
    pub fn anew(mut self) -> Self {
        self.server.clear();
        self.sections.clear();
        self
    }

    /// Where `Location` points.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.public_url);
        self
    }

    /// Lines of `[server]`.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Self {
        writeln!(self.server, "{lines}").unwrap();
        self
    }

    /// The lines of `[data]`, besides its directory.
    #[must_use]
    pub fn data_lines(mut self, lines: &str) -> Self {
        self.data = format!("{lines}\n");
        self
    }

    /// A section, or any other text of the configuration.
    #[must_use]
    pub fn section(mut self, name: &str, lines: &str) -> Self {
        writeln!(self.sections, "\n[{name}]\n{lines}").unwrap();
        self
    }

    /// A provider that accepts tokens made for [`CLIENT_ID`], and introspects.
    #[must_use]
    pub fn provider(self, id: &str, provider: &Provider) -> Self {
        self.provider_at(id, &provider.issuer(), &format!("audience = [\"{CLIENT_ID}\"]"))
    }

    /// A provider with lines of one's own, of which one is about the audience.
    #[must_use]
    pub fn provider_at(self, id: &str, issuer: &str, lines: &str) -> Self {
        let description =
            if lines.contains("description") { "" } else { "description = \"A provider\"\n" };
        let lines = format!(
            "issuer = \"{issuer}\"\nallow_insecure_issuer = true\naddresses = [\"127.0.0.0/8\"]\n\
             client_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\n{description}{lines}"
        );
        self.section(&format!("providers.{id}"), &lines)
    }

    /// A service of a test plugin, for every user in the group users unless `lines` have other
    /// rules.
    #[must_use]
    pub fn service(self, id: &str, plugin: &str, lines: &str) -> Self {
        let path = fixture(plugin, self.path());
        self.service_of(id, &path.display().to_string(), lines)
    }

    /// A service of any plugin: a path, or `bundled:NAME`.
    #[must_use]
    pub fn service_of(self, id: &str, plugin: &str, lines: &str) -> Self {
        let mut text = format!("plugin = \"{plugin}\"\n");
        if !lines.contains("description =") {
            writeln!(text, "description = \"The service {id}\"").unwrap();
        }
        if !lines.contains("allow =") {
            text.push_str(
                "allow = [{ provider = \"any\", claim = \"groups\", has = \"users\" }]\n",
            );
        }
        text.push_str(lines);
        self.section(&format!("services.{id}"), &text)
    }

    /// Writes a secret (mode 600), for `{ file = "NAME" }`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn secret(&self, name: &str, value: &str) {
        let path = self.path().join(name);
        fs::write(&path, value).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// The directory of all this; the data is in `data` below it.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What the daemon keeps.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes the configuration and returns its path.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn configuration(&self) -> PathBuf {
        let path = self.path().join("credsmith.toml");
        let listen = if self.server.contains("listen =") {
            ""
        } else {
            "listen = [{ address = \"127.0.0.1:0\" }]\n"
        };
        let text = format!(
            "[server]\npublic_url = \"{}\"\n{listen}{}\n[data]\ndirectory = \"data\"\n{}\n[keyring]\nkey = {{ file = \"kek\" }}\n{}",
            self.public_url, self.server, self.data, self.sections
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts the daemon and waits until it serves.
    ///
    /// # Panics
    /// It does not start.
    #[track_caller]
    pub fn serve(&self) -> Daemon {
        self.try_serve().unwrap_or_else(|ended| panic!("the daemon does not start: {ended:?}"))
    }

    /// The same; an error when it ends instead.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_serve(&self) -> Result<Daemon, Ended> {
        let _turn = self.serving.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut command = credsmith();
        command.arg("serve").arg("--config").arg(self.configuration());
        Daemon::start(command, Some(self.data()))
    }
}
