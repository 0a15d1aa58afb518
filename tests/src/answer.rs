//! What comes back, byte for byte.

use std::fmt;

use serde_json::Value;

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    /// Reads an answer that begins with `bytes`; `None` while it is not complete. `ended`: no more
    /// bytes will come. Returns how many bytes belong to it.
    ///
    /// # Panics
    /// It is no HTTP/1.1.
    pub(crate) fn parse(bytes: &[u8], to_head: bool, ended: bool) -> Option<(Self, usize)> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head that is text");
        let mut lines = head.split("\r\n");
        let mut status_line = lines.next().unwrap().splitn(3, ' ');
        assert_eq!(status_line.next(), Some("HTTP/1.1"), "{head}");
        let status: u16 = status_line.next().unwrap().parse().unwrap_or_else(|_| panic!("{head}"));
        let headers: Vec<_> = lines
            .map(|line| {
                line.split_once(':').unwrap_or_else(|| panic!("a header without a colon: {line}"))
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        let begin = end + 4;
        let rest = &bytes[begin..];
        let (body, length) = answer.cut(rest, to_head, ended)?;
        answer.body = body;
        Some((answer, begin + length))
    }

    /// The body at the beginning of `rest`, and how many bytes it takes there.
    fn cut(&self, rest: &[u8], to_head: bool, ended: bool) -> Option<(Vec<u8>, usize)> {
        if to_head || matches!(self.status, 100..=199 | 204 | 304) {
            return Some((Vec::new(), 0));
        }
        if self
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return dechunk(rest);
        }
        match self.header("content-length") {
            Some(length) => {
                let length: usize = length.parse().expect("a content-length that is a number");
                rest.get(..length).map(|body| (body.to_vec(), length))
            }
            None => ended.then(|| (rest.to_vec(), rest.len())),
        }
    }

    /// The only header of that name.
    ///
    /// # Panics
    /// There are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = found.next();
        assert!(found.next().is_none(), "{name} stands twice: {self:?}");
        first
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap_or_else(|_| panic!("no text: {self:?}"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// This answer, if it has that status.
    ///
    /// # Panics
    /// It has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The sentence of a refusal in the WaTTS dialect with that status, whose form is checked.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        let object = body.as_object().unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(object.len(), 2, "{self:?}");
        assert_eq!(object["result"], "error", "{self:?}");
        object["user_msg"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

fn dechunk(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let whole = rest.len();
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).unwrap().split(';').next().unwrap();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let chunk = rest.get(line + 2..line + 2 + size + 2)?;
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[line + 2 + size + 2..];
        if size == 0 {
            return Some((body, whole - rest.len()));
        }
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
        let (answer, length) = Answer::parse(counted, false, false).unwrap();
        assert_eq!((answer.text().as_str(), length), ("abc", counted.len() - 4));
        assert!(Answer::parse(&counted[..39], false, false).is_none());
        assert_eq!(Answer::parse(counted, true, false).unwrap().1, counted.len() - 7);

        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nx";
        let (answer, length) = Answer::parse(chunked, false, false).unwrap();
        assert_eq!((answer.text().as_str(), length), ("abcde", chunked.len() - 1));

        let open = b"HTTP/1.1 200 OK\r\n\r\nabc";
        assert!(Answer::parse(open, false, false).is_none());
        assert_eq!(Answer::parse(open, false, true).unwrap().0.text(), "abc");
    }
}
