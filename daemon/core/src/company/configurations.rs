//! The configurations of a company in its directory: fetched at each request, passed on unchanged,
//! stored nowhere.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::de::IgnoredAny;

use super::{Companies, Source};
use crate::access::{FetchConfigurations, Grant};
use crate::error::{Error, Kind};
use crate::model::company::Company;
use crate::ports::directory::Directory;
use crate::ports::plugins::{CallFailure, NotStarted};

/// Longest answer about one company, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest call. The host has a timeout of its own; this one holds if that fails.
const LONGEST: Duration = Duration::from_secs(60);

/// The configurations of a company: the JSON text of the directory's answer. It may contain
/// passwords, so its `Debug` does not print it.
pub struct Configurations(String);

impl Configurations {
    /// The configurations of a company without a directory.
    fn none() -> Self {
        Self("[]".to_owned())
    }

    /// Checks that `text` is JSON.
    fn parse(text: String) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(unavailable().because("the directory's answer is too long"));
        }
        match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => Ok(Self(text)),
            // The position only, not the text: it may contain passwords.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let cause =
                    format!("the directory's answer is no JSON: line {line}, column {column}");
                Err(unavailable().because(cause))
            }
        }
    }

    /// The JSON text, unchanged.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Configurations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configurations(..)")
    }
}

impl Companies {
    /// The directory's answer about the configurations of the company of the grant; `[]` for a
    /// company of a list.
    ///
    /// # Errors
    /// `Upstream` when the directory cannot be reached, refuses, or does not answer with JSON;
    /// `Busy` when too many calls are running already. Dropping the future cancels the call.
    pub async fn configurations(
        &self,
        grant: Grant<FetchConfigurations>,
    ) -> Result<Configurations, Error> {
        match &self.source {
            Source::Listed(_) => Ok(Configurations::none()),
            Source::Directory(directory) => self.ask(&**directory, grant.company()).await,
        }
    }

    async fn ask(
        &self,
        directory: &dyn Directory,
        company: &Company,
    ) -> Result<Configurations, Error> {
        let answer = self.with_timeout(directory.configurations(&company.directory_id)).await;
        let text = answer.map_err(|failure| failed(&failure).because(cause(company, &failure)))?;
        Configurations::parse(text)
    }

    async fn with_timeout<T>(
        &self,
        call: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        match select(pin!(call), self.ground.clock.sleep(LONGEST)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(CallFailure::NotStarted(NotStarted::NotLoaded(
                "it did not answer in time".to_owned(),
            ))),
        }
    }
}

fn cause(company: &Company, failure: &CallFailure) -> String {
    format!("the directory was asked about company {}: {failure}", company.id)
}

fn failed(failure: &CallFailure) -> Error {
    match failure {
        CallFailure::NotStarted(NotStarted::Busy) => {
            Error::new(Kind::Busy, "The directory is busy; please try again later.")
        }
        CallFailure::Refused(refusal) => match refusal.retry_after {
            Some(after) => unavailable().retry_after(after),
            None => unavailable(),
        },
        CallFailure::NotStarted(NotStarted::NotLoaded(_)) | CallFailure::Broken(_) => unavailable(),
    }
}

fn unavailable() -> Error {
    Error::new(Kind::Upstream, "The directory of companies cannot be asked at the moment.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_passed_on_unchanged() {
        let text = "[ {\"b\": 1.10, \"a\": 12345678901234567890123, \"a\": \"\\u00e9\"} ]\n";
        assert_eq!(Configurations::parse(text.to_owned()).unwrap().as_json(), text);
    }

    /// Attack: an answer that is not JSON breaks out of the JSON around it, or its text gets into a
    /// log.
    #[test]
    fn an_answer_that_is_not_json_reaches_neither_client_nor_log() {
        for bad in [
            "",
            "hunter2",
            "[hunter2",
            "[] , \"successful\": false",
            "[]]",
            "{'hunter2': 1}",
            "NaN",
        ] {
            let error = Configurations::parse(bad.to_owned()).unwrap_err();
            assert_eq!(error.kind(), Kind::Upstream, "{bad}");
            assert!(!error.cause().unwrap().contains("hunter2"), "{bad}");
        }
        assert!(Configurations::parse(format!("\"{}\"", "x".repeat(MAX_BYTES))).is_err());
        assert!(!format!("{:?}", Configurations("hunter2".into())).contains("hunter2"));
    }
}
