//! The imports of a component from the daemon, played by the kit: the same calls as the generated
//! bindings have.

pub(crate) use super::call::imports as call;
pub(crate) use super::http::imports as http;

/// The log.
pub(crate) mod log {
    use crate::testing::world::{LogLine, current};

    /// Keeps a line.
    pub(crate) fn emit(level: &str, message: &str) {
        current().log.borrow_mut().push(LogLine { level: level.into(), message: message.into() });
    }
}

/// The clock.
pub(crate) mod clock {
    use std::time::{SystemTime, UNIX_EPOCH};

    use crate::testing::world::current;

    /// The kit's time, or the real one.
    pub(crate) fn now() -> u64 {
        let world = current();
        world.impure("the clock");
        world.now.unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
        })
    }
}

/// Randomness.
pub(crate) mod random {
    use crate::testing::world::current;

    /// The kit's bytes over and over, or real ones.
    #[expect(
        clippy::panic,
        reason = "the kit runs in tests, and a machine without randomness fails them"
    )]
    pub(crate) fn fill(bytes: &mut [u8]) {
        let world = current();
        world.impure("randomness");
        let mut script = world.random.borrow_mut();
        if script.is_empty() {
            if let Err(error) = getrandom::fill(bytes) {
                panic!("no randomness: {error}");
            }
            return;
        }
        for byte in bytes {
            script.rotate_left(1);
            *byte = script.back().copied().unwrap_or_default();
        }
    }
}

/// Settings and secrets.
pub(crate) mod settings {
    use std::rc::Rc;

    use ring::hmac;

    use crate::testing::world::{HeldSecret, current};

    /// The handle of a secret.
    pub(crate) struct Secret(pub(in crate::testing) Rc<HeldSecret>);

    /// Every key that is set.
    pub(crate) fn names() -> Vec<String> {
        let world = current();
        world.impure("settings");
        world
            .settings
            .keys()
            .chain(world.secrets.keys())
            .chain(world.keys.keys())
            .cloned()
            .collect()
    }

    /// A setting that is no secret and no key.
    pub(crate) fn get(key: &str) -> Option<String> {
        let world = current();
        world.impure("settings");
        let seconds = world.seconds.borrow().get(key).cloned();
        seconds.or_else(|| world.settings.get(key).cloned())
    }

    /// A secret.
    pub(crate) fn get_secret(key: &str) -> Option<Secret> {
        let world = current();
        world.impure("secrets");
        world.secrets.get(key).cloned().map(Secret)
    }

    impl Secret {
        /// The value, where granted.
        pub(crate) fn reveal(&self) -> Result<String, String> {
            let held = &self.0;
            held.reveal
                .then(|| held.value.clone())
                .ok_or_else(|| format!("`reveal` is not granted for `{}`", held.name))
        }

        /// A chain of HMACs, where granted.
        pub(crate) fn hmac(
            &self,
            algorithm: &str,
            prefix: &str,
            messages: &[Vec<u8>],
        ) -> Result<Vec<u8>, String> {
            let held = &self.0;
            if !held.hmac {
                return Err(format!("`hmac` is not granted for `{}`", held.name));
            }
            let algorithm = match algorithm {
                "sha256" => hmac::HMAC_SHA256,
                "sha512" => hmac::HMAC_SHA512,
                other => return Err(format!("no HMAC is built on {other}")),
            };
            let first = [prefix.as_bytes(), held.value.as_bytes()].concat();
            let chain = |key: Vec<u8>, message: &Vec<u8>| {
                hmac::sign(&hmac::Key::new(algorithm, &key), message).as_ref().to_vec()
            };
            Ok(messages.iter().fold(first, chain))
        }
    }
}

/// Signing keys.
pub(crate) mod keys {
    use std::rc::Rc;

    use crate::testing::TestKey;
    use crate::testing::world::current;

    /// The handle of a key.
    pub(crate) struct SigningKey {
        key: Rc<TestKey>,
        grease: bool,
    }

    /// A key.
    pub(crate) fn get(setting: &str) -> Option<SigningKey> {
        let world = current();
        world.impure("keys");
        world.keys.get(setting).map(|key| SigningKey { key: Rc::clone(key), grease: world.grease })
    }

    impl SigningKey {
        /// How it signs; with a way that no plugin knows among them.
        pub(crate) fn algorithms(&self) -> Vec<String> {
            let grease = self.grease.then(|| "grease-none".to_owned());
            grease.into_iter().chain([self.key.algorithm().name().to_owned()]).collect()
        }

        /// SubjectPublicKeyInfo.
        pub(crate) fn public_key(&self) -> Vec<u8> {
            self.key.public_key()
        }

        /// Signs.
        pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, String> {
            if algorithm != self.key.algorithm().name() {
                return Err(format!("the key does not sign with {algorithm}"));
            }
            Ok(self.key.sign(message))
        }
    }
}
