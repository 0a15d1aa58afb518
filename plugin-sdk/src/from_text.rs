//! Reading values from text.

use serde_json::Value;

/// Values that are read from text: parameters and plain settings.
pub trait FromText: Sized {
    /// Reads `text`.
    ///
    /// # Errors
    /// The expected form, as the rest of a sentence that begins with the key. It does not quote the
    /// text.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// Any other JSON; what is no JSON is a JSON text.
impl FromText for Value {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(serde_json::from_str(text).unwrap_or_else(|_| Self::from(text)))
    }
}

macro_rules! parsed {
    ($($type:ty: $expected:literal),* $(,)?) => {
        $(impl FromText for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| concat!("is no ", $expected).into())
            }
        })*
    };
}

parsed! {
    bool: "boolean (true or false)",
    i64: "whole number",
    u64: "whole number from 0",
    u32: "whole number from 0 to 4294967295",
    u16: "whole number from 0 to 65535",
    f64: "number",
}
