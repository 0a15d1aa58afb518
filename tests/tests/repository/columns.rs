//! Comments are as narrow as code, which rustfmt holds.

use super::files;

const WIDEST: usize = 100;

#[test]
fn no_line_of_comment_is_wider_than_code() {
    let mut wide = Vec::new();
    for file in files::with_extension(&["rs"]) {
        for (index, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("//") && line.chars().count() > WIDEST {
                wide.push(format!("{}:{}", file.path.display(), index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "lines of comment with more than {WIDEST} columns: {wide:#?}");
}
