//! `credsmith key`: makes keys.

use std::path::Path;

use credsmith_core::keyring::Kek;

use crate::failure::Failure;
use crate::system::SystemEntropy;
use crate::{console, files};

/// Makes the key-encryption key. An existing file is not overwritten: without its key the data
/// cannot be read.
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
            Err(Failure::run(format!("The file {place} exists already and is not overwritten.")))
        }
        Err(error) => Err(Failure::run(format!("The file {place} cannot be written: {error}."))),
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
