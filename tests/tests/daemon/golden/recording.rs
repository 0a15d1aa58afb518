//! A recorded exchange: a curl line and the answers that came.

use std::path::Path;

use credsmith_tests::Request;
use serde_json::Value;

/// One recording.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) asked: Asked,
    pub(super) answers: Vec<Recorded>,
}

/// The request that curl was called with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) method: Option<String>,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) follow: bool,
}

/// One answer, or what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recorded {
    /// 0: the original closed the connection without an answer.
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Option<Vec<(String, String)>>,
    pub(super) body: Option<Vec<u8>>,
}

impl Recording {
    /// Reads a file of `tests/golden/watts`.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let number = name[..3].parse().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("$ ")).unwrap();
        let (_, raw) = text.split_once("--- response (raw, CR removed) ---\n").unwrap();
        Self { number, name, asked: Asked::of_curl(line), answers: answers(raw) }
    }

    /// Reads a line of the index about a recording without a file. What was sent is not in it.
    pub(super) fn listed(line: &str, curl: &str) -> Self {
        let (file, rest) = line.strip_prefix("- ").unwrap().split_once(".txt: ").unwrap();
        let (_, outcome) = rest.rsplit_once(" => **").unwrap();
        let (statuses, body) = outcome.split_once("** `").unwrap();
        let body = body.strip_suffix('`').unwrap();
        let statuses: Vec<u16> =
            statuses.split("->").map(|status| status.parse().unwrap()).collect();
        let last = statuses.len() - 1;
        let whole = serde_json::from_str::<Value>(body).is_ok() || body.is_empty();
        let answer = |(place, status): (usize, &u16)| Recorded {
            status: *status,
            headers: None,
            body: (place == last && whole).then(|| body.as_bytes().to_vec()),
        };
        Self {
            number: file[..3].parse().unwrap(),
            name: file.to_owned(),
            asked: Asked::of_curl(curl),
            answers: statuses.iter().enumerate().map(answer).collect(),
        }
    }
}

impl Asked {
    /// Reads a command line.
    fn of_curl(line: &str) -> Self {
        let mut asked = Self::default();
        let mut words = words(line).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"));
        while let Some(word) = words.next() {
            match word.as_str() {
                "-sS" | "-i" | "--path-as-is" => {}
                "--max-time" => drop(words.next()),
                "-L" => asked.follow = true,
                "-X" => asked.method = words.next(),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").unwrap();
                    asked.headers.push((name.to_owned(), value.to_owned()));
                }
                "--data-binary" => asked.body = words.next(),
                url => {
                    let rest = url
                        .strip_prefix("http://localhost:7080")
                        .unwrap_or_else(|| panic!("{url}"));
                    asked.target = if rest.is_empty() { "/".into() } else { rest.into() };
                }
            }
        }
        asked
    }

    /// What curl sends: headers of its own come first, and are replaced by those of its arguments.
    pub(super) fn request(&self) -> Request {
        let method =
            self.method.as_deref().unwrap_or(if self.body.is_some() { "POST" } else { "GET" });
        let mut request = Request::new(method, self.target.as_bytes()).host(Some("localhost:7080"));
        let mut own = vec![("User-Agent", "curl/8.0"), ("Accept", "*/*")];
        if self.body.is_some() {
            own.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        own.retain(|(name, _)| {
            !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
        });
        for (name, value) in own {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name.as_bytes(), value.trim_end().as_bytes());
        }
        match &self.body {
            Some(body) => request.body(body.as_bytes()),
            None => request,
        }
    }

    /// What curl sends after a 303 to `target`.
    pub(super) fn following(&self, target: &str) -> Self {
        Self {
            method: None,
            target: target.to_owned(),
            headers: self.headers.clone(),
            body: None,
            follow: false,
        }
    }
}

/// Words of a shell line: quoted by `'`, and `'text'...(N bytes)` for a text of N bytes that goes
/// on like its last one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        let mut word = word.to_owned();
        rest = after;
        if let Some(cut) = rest.strip_prefix("...(") {
            let (length, after) = cut.split_once(" bytes)").unwrap();
            let last = word.chars().next_back().unwrap().to_string();
            word.push_str(&last.repeat(length.parse::<usize>().unwrap() - word.len()));
            rest = after;
        }
        words.push(word);
        rest = rest.trim_start();
    }
    words
}

fn answers(raw: &str) -> Vec<Recorded> {
    if raw.trim_start().starts_with("(curl exit") {
        return vec![Recorded { status: 0, headers: Some(Vec::new()), body: Some(Vec::new()) }];
    }
    let begin = |text: &str| text.starts_with("HTTP/1.1 ");
    assert!(begin(raw), "{raw}");
    let mut blocks: Vec<String> = Vec::new();
    for line in raw.lines() {
        if begin(line) {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().unwrap();
        block.push_str(line);
        block.push('\n');
    }
    blocks.iter().map(|block| answer(block)).collect()
}

fn answer(block: &str) -> Recorded {
    let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Recorded { status, headers: Some(headers), body: Some(body.trim_end().as_bytes().to_vec()) }
}

#[test]
fn a_shell_line_is_read_as_a_shell_reads_it() {
    let read = words("curl -H 'A: b c' -d '{\"a\": \"b\"}' 'xy'...(5 bytes) http://h/");
    assert_eq!(read, ["curl", "-H", "A: b c", "-d", "{\"a\": \"b\"}", "xyyyy", "http://h/"]);
}
