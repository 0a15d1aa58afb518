//! Reads the files of an audit log, in pieces, however long they are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use credsmith_core::audit::{Check, Verdict, Verifier};

/// How much is read at a time.
const PIECE: usize = 64 * 1024;

/// Verifies `files`, which follow each other, against `check`.
///
/// # Errors A sentence, when a file cannot be read, or `give_up` returns true.
pub(crate) fn against(
    files: &[PathBuf],
    check: Check,
    give_up: impl Fn() -> bool,
) -> Result<Verdict, String> {
    let mut verifier = Verifier::new(check);
    for path in files {
        read(path, &mut verifier, &give_up)
            .map_err(|error| format!("{} cannot be read: {error}.", path.display()))?;
    }
    Ok(verifier.finish())
}

fn read(path: &Path, verifier: &mut Verifier, give_up: &impl Fn() -> bool) -> io::Result<()> {
    // Opening a named pipe would wait for its other end for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    verifier.begin_file(path.display().to_string());
    let mut piece = vec![0; PIECE];
    loop {
        if give_up() {
            return Err(io::Error::other("the caller no longer waits for the verdict"));
        }
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => verifier.read(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    verifier.end_of_file();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        std::fs::write(&paths[0], "x\n".repeat(PIECE)).unwrap();
        std::fs::write(&paths[1], "no end").unwrap();
        let verdict = against(&paths, Check { from: 1, ..Check::default() }, || false).unwrap();
        assert_eq!(verdict.lines, PIECE as u64);
        let (first, second) = (paths[0].display(), paths[1].display());
        assert!(verdict.faults[1].starts_with(&format!("Line 2 of {first} is no line")));
        let short = against(&paths[1..], Check { from: 1, ..Check::default() }, || false).unwrap();
        assert!(short.faults[0].starts_with(&format!("Line 1 of {second} has no end")));
        let given_up = against(&paths, Check::default(), || true).unwrap_err();
        assert!(given_up.contains("no longer waits"), "{given_up}");
        for missing in [dir.path().join("absent"), dir.path().to_owned()] {
            let error = against(&[missing], Check::default(), || false).unwrap_err();
            assert!(error.contains("cannot be read"), "{error}");
        }
    }
}
