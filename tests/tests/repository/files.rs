//! The files of the repository, and the comments in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that tools make, and the only one with a leading dot that is ours.
const MADE: [&str; 3] = ["target", "node_modules", "__pycache__"];
const OURS: &str = ".ci";

/// A file, by its path below the root.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Neighbouring lines of comment.
pub(crate) struct Comment {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// Its lines without their markers.
    pub(crate) text: String,
}

/// The directory of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file whose name ends in one of `extensions`.
pub(crate) fn with_extension(extensions: &[&str]) -> Vec<File> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    let read = |path: PathBuf| File {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(&root).unwrap().to_owned(),
    };
    paths.into_iter().filter(wanted).map(read).collect()
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !entry.file_type().unwrap().is_dir() {
            into.push(entry.path());
        } else if name == OURS || !(name.starts_with('.') || MADE.contains(&name.as_str())) {
            collect(&entry.path(), into);
        }
    }
}

/// The comments of a file whose comments begin with `marker`. What stands behind code on its line
/// is a comment of its own.
pub(crate) fn comments(text: &str, marker: &str) -> Vec<Comment> {
    let mut comments: Vec<Comment> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let alone = line.trim_start().strip_prefix(marker);
        let behind = || line.split_once(&format!(" {marker} ")).map(|(_, comment)| comment);
        match (alone, comments.last_mut()) {
            (Some(more), Some(comment)) if goes_on => {
                comment.text.push(' ');
                comment.text.push_str(without_marks(more));
            }
            _ => comments.extend(
                alone
                    .or_else(behind)
                    .map(|text| Comment { line: index + 1, text: without_marks(text).to_owned() }),
            ),
        }
        goes_on = alone.is_some();
    }
    comments
}

fn without_marks(comment: &str) -> &str {
    comment.trim_start_matches(['/', '!']).trim()
}

#[test]
fn lines_of_one_comment_belong_together() {
    let text = "//! One\n//! two.\n\nlet x = 1; // three\n// four\ncode();\n";
    let found: Vec<_> =
        comments(text, "//").into_iter().map(|comment| (comment.line, comment.text)).collect();
    let expected = [(1, "One two."), (4, "three"), (5, "four")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}
