//! Which texts people can read as what they are: the daemon refuses others in what a plugin
//! answers.
//!
//! The daemon's core has the same rules for its own names; a test of the host compares them.

/// Whether `c` makes the text around it look like another one: a control character, one that turns
/// the direction of the text, ends a line, or is never seen.
pub fn is_unruly(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
    );
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let hides = matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    c.is_control() || turns || breaks || hides
}

/// Whether `text` is one line without unruly characters.
pub fn is_one_line(text: &str) -> bool {
    !text.contains(is_unruly)
}

/// Whether `text` is lines without unruly characters but tabs and line ends: `\n`, or `\r\n`.
pub fn is_lines(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let fits = match c {
            '\t' | '\n' => true,
            '\r' => rest.peek() == Some(&'\n'),
            c => !is_unruly(c),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether `name` is a plain file name: without a path, not hidden, no option of a command, no
/// device of Windows; at most 255 bytes.
pub fn is_file_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let is_numbered = ["com", "lpt"].iter().any(|port| {
        let mut digits = stem.strip_prefix(port).unwrap_or_default().chars();
        digits.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'))
            && digits.next().is_none()
    });
    (1..=255).contains(&name.len())
        && is_one_line(name)
        && !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|'])
        && !name.starts_with(['.', '-', '~'])
        && !name.starts_with(char::is_whitespace)
        && !name.ends_with('.')
        && !name.ends_with(char::is_whitespace)
        && !is_numbered
        && !["con", "prn", "aux", "nul"].contains(&stem.as_str())
}
