//! The text form of keys (RFC 7468) as people paste it: with lines of any width, on one line, with
//! blanks around it, or with `\n` spelled out, as JSON does.
//!
//! Readers of keys differ in what they accept of that; with [`rewrap`] they get one form.

/// Characters of a line (RFC 7468, section 2).
const WIDTH: usize = 64;
/// Characters of a line in OpenSSH's own form, as `ssh-keygen` writes it.
const OPENSSH_WIDTH: usize = 70;

/// The block in `text` with lines of the usual width, its BEGIN and END lines by themselves.
///
/// `None` where `text` is something else: no block or more than one, text around it, other
/// characters than base64 in it, or headers, as encrypted keys of the old kind have.
///
/// ```
/// use credsmith_contract::pem::rewrap;
///
/// let pasted = " -----BEGIN PRIVATE KEY----- AAAA BBBB -----END PRIVATE KEY-----";
/// let block = "-----BEGIN PRIVATE KEY-----\nAAAABBBB\n-----END PRIVATE KEY-----\n";
/// assert_eq!(rewrap(pasted).as_deref(), Some(block));
/// ```
pub fn rewrap(text: &str) -> Option<String> {
    let text = spelled_out(text);
    let (label, rest) =
        text.trim_matches(is_blank).strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    let body: String = body.chars().filter(|c| !is_blank(*c)).collect();
    if label.contains(['\n', '\r']) || !body.bytes().all(is_base64) {
        return None;
    }
    let width = if label.starts_with("OPENSSH ") { OPENSSH_WIDTH } else { WIDTH };
    let mut block = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(width).unwrap_or((rest, ""));
        block.push_str(line);
        block.push('\n');
        rest = after;
    }
    block.push_str(&format!("-----END {label}-----\n"));
    Some(block)
}

/// `text` with `\n` and `\r` as line ends, where it has none of its own: a value of JSON that was
/// pasted with its escapes.
fn spelled_out(text: &str) -> String {
    if text.trim_matches(is_blank).contains('\n') {
        return text.to_owned();
    }
    text.replace("\\r", "\n").replace("\\n", "\n")
}

/// White space, and what else is not seen where text was copied from a page.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block whose body is `body`, in lines of `width`.
    fn block(label: &str, body: &str, width: usize, line_end: &str) -> String {
        let lines: Vec<&str> =
            body.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let lines = lines.join(line_end);
        format!("-----BEGIN {label}-----{line_end}{lines}{line_end}-----END {label}-----{line_end}")
    }

    #[test]
    fn every_width_becomes_the_usual_one() {
        let body = "MC4CAQAwBQYDK2VwBCIEIA+/".repeat(12);
        for (label, usual) in [
            ("PRIVATE KEY", 64),
            ("RSA PRIVATE KEY", 64),
            ("EC PRIVATE KEY", 64),
            ("OPENSSH PRIVATE KEY", 70),
        ] {
            let expected = block(label, &body, usual, "\n");
            for width in 4..=200 {
                for line_end in ["\n", "\r\n", "\r", " ", "\t", " \n ", "\n\n", "\u{a0}"] {
                    let given = block(label, &body, width, line_end);
                    assert_eq!(rewrap(&given).as_deref(), Some(&*expected), "{width} {line_end:?}");
                }
            }
            let one_line = block(label, &body, usual, "");
            assert_eq!(rewrap(&one_line).as_deref(), Some(&*expected));
            let escaped = block(label, &body, usual, "\\n");
            assert_eq!(rewrap(&escaped).as_deref(), Some(&*expected));
            assert_eq!(rewrap(&format!("\u{feff}{expected}")).as_deref(), Some(&*expected));
        }
    }

    #[test]
    fn other_texts_are_not_changed_into_one() {
        let block = "-----BEGIN A KEY-----\nAAAA\n-----END A KEY-----\n";
        for text in [
            "",
            "AAAA",
            "-----BEGIN A KEY-----",
            "-----BEGIN A KEY-----\nAAAA\n-----END B KEY-----\n",
            "-----BEGIN A KEY-----\nAA,A\n-----END A KEY-----\n",
            "-----BEGIN A KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A KEY-----\n",
            "-----BEGIN A\nKEY-----\nAAAA\n-----END A\nKEY-----\n",
            &format!("{block}{block}"),
            &format!("{block}and more"),
            &format!("more and {block}"),
        ] {
            assert_eq!(rewrap(text), None, "{text}");
        }
    }
}
