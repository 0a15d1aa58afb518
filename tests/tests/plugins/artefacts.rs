//! The cache of compiled plugins against somebody who can write into it: what the daemon did not
//! write is never run.
//!
//! Each case spoils the artefact of one plugin and loads that plugin in a new host. It has to work,
//! by being compiled again, and the file has to be what an honest daemon writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use credsmith_core::secret::Secret;
use credsmith_host::{Host, HostOptions};

use crate::log::Mark;
use crate::stage::{EVER, Stage, call, fixture, options, setup};

const AGAIN: &str = "is made again";

/// A cache of its own, with two plugins in it.
struct Cache {
    directory: tempfile::TempDir,
    stage: Stage,
}

impl Cache {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stage = Stage::with(at(&directory.path().join("artefacts"), "key")).await;
        for name in ["unique", "hostile-load"] {
            stage.load(setup("seed", fixture(name))).await.unwrap();
        }
        Self { directory, stage }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("artefacts")
    }

    fn artefact(&self, plugin: &str) -> PathBuf {
        self.path().join(format!("{}.artefact", fixture(plugin).sha256))
    }

    /// Loads `unique` in a new host over the same directory, calls it, and gives back what was
    /// logged meanwhile.
    async fn load_anew(&mut self, key: &str) -> String {
        self.stage.host = Host::new(at(&self.path(), key)).unwrap();
        let mark = Mark::now();
        self.stage.load(setup("anew", fixture("unique"))).await.unwrap();
        let loaded = credsmith_core::ports::plugins::ServicePlugins::loaded(
            &self.stage.host,
            &crate::stage::service_id("anew"),
        );
        assert_eq!(loaded.unwrap().plugin.name.as_str(), "unique");
        let ended = self.stage.issue(call("anew", &[])).await;
        assert_eq!(ended.end.made().entry("Password").len(), 32);
        assert!(ended.took < EVER);
        mark.text()
    }
}

fn at(path: &Path, key: &str) -> HostOptions {
    HostOptions { artefacts: Some(path.to_owned()), artefact_key: Secret::new(key), ..options() }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_this_daemon_wrote_is_run() {
    let mut cache = Cache::new().await;
    let (artefact, foreign) = (cache.artefact("unique"), cache.artefact("hostile-load"));
    let honest = fs::read(&artefact).unwrap();
    assert!(!cache.load_anew("key").await.contains(AGAIN), "an honest artefact is used as it is");

    type Spoil<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let replace = |bytes: &[u8]| {
        let _ = fs::remove_file(&artefact);
        fs::write(&artefact, bytes).unwrap();
        fs::set_permissions(&artefact, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let link = |to: &Path| {
        fs::remove_file(&artefact).unwrap();
        symlink(to, &artefact).unwrap();
    };
    let outside = cache.directory.path().join("outside");
    fs::write(&outside, &honest).unwrap();
    let cases: Vec<Spoil<'_>> = vec![
        (
            "a flipped byte",
            Box::new(|| {
                let mut bytes = honest.clone();
                bytes[honest.len() / 2] ^= 1;
                replace(&bytes);
            }),
        ),
        ("the artefact of another plugin", Box::new(|| replace(&fs::read(&foreign).unwrap()))),
        ("code without its proof", Box::new(|| replace(&honest[32..]))),
        ("a file that was cut short", Box::new(|| replace(&honest[..honest.len() - 1]))),
        ("an empty file", Box::new(|| replace(b""))),
        ("a link to honest bytes elsewhere", Box::new(|| link(&outside))),
        ("a link that leads nowhere", Box::new(|| link(Path::new("nowhere")))),
        ("a link to the artefact of another plugin", Box::new(|| link(&foreign))),
        (
            "a named pipe that nobody writes to",
            Box::new(|| {
                fs::remove_file(&artefact).unwrap();
                assert!(
                    Command::new("mkfifo")
                        .args(["-m", "600"])
                        .arg(&artefact)
                        .status()
                        .unwrap()
                        .success()
                );
            }),
        ),
        (
            "a file that others can write",
            Box::new(|| {
                replace(&honest);
                fs::set_permissions(&artefact, fs::Permissions::from_mode(0o666)).unwrap();
            }),
        ),
    ];
    for (what, spoil) in &cases {
        spoil();
        let log = cache.load_anew("key").await;
        assert!(log.contains(AGAIN), "{what}: {log}");
        assert!(fs::symlink_metadata(&artefact).unwrap().is_file(), "{what}: it is a file again");
        assert_eq!(mode(&artefact) & 0o077, 0, "{what}: and ours alone");
        assert!(!cache.load_anew("key").await.contains(AGAIN), "{what}: and an honest one");
    }
    assert_eq!(fs::read(&outside).unwrap(), honest, "no link was written through");
}

/// Another daemon's cache, or one from before the keyring was made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artefacts_of_another_key_are_not_run() {
    let mut cache = Cache::new().await;
    assert!(cache.load_anew("another key").await.contains(AGAIN));
    assert!(cache.load_anew("key").await.contains(AGAIN), "now it is the other's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_may_use_is_refused() {
    let cache = Cache::new().await;
    for open in [0o710, 0o750, 0o755, 0o701, 0o777] {
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(open)).unwrap();
        let error = Host::new(at(&cache.path(), "key")).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{open:o}: {error}");
    }
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let link = cache.directory.path().join("link");
    symlink(cache.path(), &link).unwrap();
    assert!(Host::new(at(&link, "key")).is_err(), "a link to it");
    assert!(Host::new(at(&cache.path(), "key")).is_ok());
}
