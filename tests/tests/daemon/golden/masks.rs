//! What cannot repeat: ids, dates, tokens, addresses. Ids are mapped, one to one, so that a
//! recording that revokes what an earlier one issued revokes ours.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Recorded ids and ours, and texts that differ between the two set-ups.
#[derive(Debug, Default)]
pub(super) struct Masks {
    ids: BTreeMap<String, String>,
    texts: Vec<(String, String)>,
}

impl Masks {
    /// `texts`: pairs of what stands in a recording and what stands for it here.
    pub(super) fn new(texts: Vec<(String, String)>) -> Self {
        Self { ids: BTreeMap::new(), texts }
    }

    /// Notes that `ours` stands for a recorded text from here on.
    pub(super) fn text(&mut self, recorded: &str, ours: String) {
        self.texts.push((recorded.to_owned(), ours));
    }

    /// Puts ours for what is recorded, in what is sent.
    pub(super) fn ours(&self, text: &str) -> String {
        let ids = self.ids.iter().flat_map(|(recorded, ours)| {
            [(recorded.clone(), ours.clone()), (recorded.to_uppercase(), ours.to_uppercase())]
        });
        self.texts
            .iter()
            .cloned()
            .chain(ids)
            .fold(text.to_owned(), |text, (recorded, ours)| text.replace(&recorded, &ours))
    }

    /// Notes that `recorded` is our `ours`.
    ///
    /// # Errors
    /// One of the two is known as another.
    pub(super) fn same(&mut self, recorded: &str, ours: &str) -> Result<(), String> {
        let known = self.ids.get(recorded);
        let taken = self.ids.iter().any(|(other, id)| id == ours && other != recorded);
        if taken || known.is_some_and(|known| known != ours) {
            return Err(format!("{recorded} is not {ours}"));
        }
        self.ids.insert(recorded.to_owned(), ours.to_owned());
        Ok(())
    }

    /// Compares a recorded body with ours.
    ///
    /// # Errors
    /// Where they differ.
    pub(super) fn compare(
        &mut self,
        recorded: &Value,
        ours: &Value,
        at: &str,
    ) -> Result<(), String> {
        match (recorded, ours) {
            (Value::Array(recorded), Value::Array(ours)) => {
                let ours = if at.ends_with("/credential_list") {
                    self.in_order(recorded, ours)
                } else {
                    ours.clone()
                };
                same_length(recorded.len(), ours.len(), at)?;
                let mut pairs = recorded.iter().zip(&ours).enumerate();
                pairs.try_for_each(|(place, (r, o))| self.compare(r, o, &format!("{at}/{place}")))
            }
            (Value::Object(recorded), Value::Object(ours)) => {
                self.compare_objects(recorded, ours, at)
            }
            (Value::String(recorded), Value::String(ours)) => {
                self.compare_texts(recorded, ours, at)
            }
            _ if recorded == ours => Ok(()),
            _ => Err(differs(at, recorded, ours)),
        }
    }

    fn compare_objects(
        &mut self,
        recorded: &Map<String, Value>,
        ours: &Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        let keys = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
        if keys(recorded) != keys(ours) {
            return Err(differs(at, &keys(recorded), &keys(ours)));
        }
        // An entry of an issued credential is masked by its name.
        let entry =
            recorded.get("name").and_then(Value::as_str).filter(|_| recorded.contains_key("value"));
        let at = entry.map_or_else(|| at.to_owned(), |name| format!("{at}/{name}"));
        recorded
            .iter()
            .zip(ours.values())
            .try_for_each(|((key, r), o)| self.compare(r, o, &format!("{at}/{key}")))
    }

    fn compare_texts(&mut self, recorded: &str, ours: &str, at: &str) -> Result<(), String> {
        if is_uuid(recorded) && is_uuid(ours) {
            return self.same(recorded, ours).map_err(|error| format!("{at}: {error}"));
        }
        let masked = [is_date, is_hex];
        if masked.iter().any(|mask| mask(recorded) && mask(ours)) {
            return Ok(());
        }
        if at.ends_with("/ctime") {
            return Err(differs(at, &recorded, &ours));
        }
        // Made of the issuer, which is another here; `check_account` looks at them.
        if at.ends_with("/Username/value") || at.ends_with("/WaTTS userid/value") {
            return Ok(());
        }
        if at.ends_with("/input/value") || at.ends_with("/json object/value") {
            return compare_keys(&json(recorded), &json(ours), at);
        }
        let expected = self.texts.iter().fold(recorded.to_owned(), |text, (from, to)| {
            text.replace(from, to).replace(&escaped(from), &escaped(to))
        });
        if expected == ours { Ok(()) } else { Err(differs(at, &expected, &ours)) }
    }

    /// Our credentials in the order of the recorded ones: there is no defined one.
    fn in_order(&self, recorded: &[Value], ours: &[Value]) -> Vec<Value> {
        let mut left: Vec<Value> = ours.to_vec();
        let mut ordered = Vec::new();
        for entry in recorded {
            let known = self.ids.get(id(entry));
            let is_it = |candidate: &Value| match known {
                Some(known) => id(candidate) == known,
                None => !self.ids.values().any(|taken| taken == id(candidate)),
            };
            if let Some(place) = left.iter().position(is_it) {
                ordered.push(left.remove(place));
            }
        }
        ordered.extend(left);
        ordered
    }
}

fn id(entry: &Value) -> &str {
    entry.get("id").unwrap_or(entry)["cred_id"].as_str().unwrap_or_default()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Inside a text that is JSON itself.
fn escaped(text: &str) -> String {
    text.replace('/', "\\/")
}

fn compare_keys(recorded: &Value, ours: &Value, at: &str) -> Result<(), String> {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for (recorded, ours) in [(recorded, ours), (&recorded["user_info"], &ours["user_info"])] {
        if keys(recorded) != keys(ours) {
            return Err(differs(at, &keys(recorded), &keys(ours)));
        }
    }
    for key in
        ["action", "params", "conf_params", "cred_state", "additional_logins", "watts_version"]
    {
        if recorded[key] != ours[key] {
            return Err(differs(&format!("{at}/{key}"), &recorded[key], &ours[key]));
        }
    }
    Ok(())
}

fn same_length(recorded: usize, ours: usize, at: &str) -> Result<(), String> {
    if recorded == ours { Ok(()) } else { Err(differs(at, &recorded, &ours)) }
}

fn differs(at: &str, recorded: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug) -> String {
    format!("{at}: expected {recorded:?}, got {ours:?}")
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(place, c)| match place {
            8 | 13 | 18 | 23 => c == '-',
            _ => matches!(c, '0'..='9' | 'a'..='f'),
        })
}

/// `Sat, 21 Nov 2026 19:50:21 GMT`
fn is_date(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    shape == "aaa, 00 aaa 0000 00:00:00 aaa" && text.ends_with(" GMT")
}

/// A password of the recorded plugin.
fn is_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
