//! `credsmith key`: makes keys.

use std::path::Path;

use credsmith_core::keyring::Kek;

use crate::console;
use crate::end::Failure;
use crate::files;
use crate::system::SystemEntropy;

/// Makes the key-encryption key. An existing file is left alone: with another key in it, no data
/// could be read again.
pub(crate) fn init(path: &Path) -> Result<(), Failure> {
    let place = path.display();
    let kek = Kek::generate(&SystemEntropy);
    match files::write_private(path, kek.to_file_text().as_bytes()) {
        Ok(()) => {
            console::say(format!(
                "Wrote {place}. Keep a copy in another place: without this key the data cannot be read."
            ));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::run(format!("{place} exists already and is left as it is.")))
        }
        Err(error) => Err(Failure::run(format!("{place} cannot be written: {error}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        init(&path).unwrap();
        let written = std::fs::read(&path).unwrap();
        Kek::parse(&written).unwrap();
        let again = init(&path).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
        assert_eq!(std::fs::read(&path).unwrap(), written);
    }
}
