//! The original route list, read as it stands. What its JSON leaves out with dots or a comment, is
//! marked in what comes of it.

use serde_json::Value;

/// What `{...}`, `[...]` and a line `...` become, as a key or an item.
pub(crate) const MORE: &str = "...";
/// What a comment in place of data becomes, as a key.
pub(crate) const COMMENT: &str = "//";

/// A route with its example.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) method: String,
    /// Below the base URL, with parameters as `:name`.
    pub(crate) path: String,
    /// Whether it takes an access token.
    pub(crate) signed_in: bool,
    pub(crate) permissions: Vec<String>,
    pub(crate) body: Option<Value>,
    /// `None` where the document describes the answer in words.
    pub(crate) answer: Option<Value>,
}

impl Example {
    /// Method and path: what it is called by.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Everything that is in the list.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) examples: Vec<Example>,
    /// How failures look.
    pub(crate) failures: Vec<Value>,
}

impl Document {
    /// The list of this directory.
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/vault/routes.txt");
        Self::parse(&std::fs::read_to_string(path).unwrap())
    }

    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some((method, path)) = route(line) {
                document.examples.push(Example {
                    method: method.to_owned(),
                    path: path.to_owned(),
                    signed_in: false,
                    permissions: Vec::new(),
                    body: None,
                    answer: None,
                });
            } else if is_failure(line) {
                document.failures.push(block(&mut lines));
            } else if let Some(example) = document.examples.last_mut() {
                example.learn(line, &mut lines);
            }
        }
        document
    }

    /// The example of that route.
    pub(crate) fn example(&self, name: &str) -> &Example {
        self.examples
            .iter()
            .find(|example| example.name() == name)
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// How a failure of that status looks.
    pub(crate) fn failure(&self, status: u16) -> &Value {
        self.failures.iter().find(|failure| failure["status"] == status).unwrap()
    }
}

impl Example {
    fn learn<'t>(&mut self, line: &str, lines: &mut impl Iterator<Item = &'t str>) {
        match line.split_once(':').map(|(key, value)| (key, value.trim())) {
            Some(("Authentication Required", said)) => self.signed_in = said == "Yes",
            Some(("Required Permissions", names)) => {
                self.permissions = names.split(", ").map(str::to_owned).collect();
            }
            Some(("Request Body", "")) => self.body = Some(block(lines)),
            Some(("Response", "")) => self.answer = Some(block(lines)),
            _ => {}
        }
    }
}

/// A line that names a route, and nothing else.
fn route(line: &str) -> Option<(&str, &str)> {
    let (method, path) = line.split_once(' ')?;
    let names_one = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method)
        && path.starts_with('/')
        && !path.contains(' ');
    names_one.then_some((method, path))
}

/// A line like `404 Not Found`.
fn is_failure(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(status, _)| matches!(status.parse(), Ok(400..=599_u16)))
}

/// The JSON that begins with the next line.
fn block<'t>(lines: &mut impl Iterator<Item = &'t str>) -> Value {
    let mut text = String::new();
    loop {
        let line = lines.next().unwrap_or_else(|| panic!("it does not end: {text}"));
        let line = match line.trim() {
            MORE => format!("\"{MORE}\": 0"),
            comment if comment.starts_with(COMMENT) => format!("\"{COMMENT}\": 0"),
            line => line.replace("{...}", "{\"...\": 0}").replace("[...]", "[\"...\"]"),
        };
        text.push_str(&line);
        // No string of the list has a brace in it.
        if text.matches('{').count() == text.matches('}').count() {
            return serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
    }
}
