//! Companies and their configurations from ConnectWise Manage, by its REST API.
//!
//! It only reads. Companies come by forward-only paging in the order of their ids, so that none is
//! missed when others come and go during a walk; the cursor is the last id seen. An answer that is
//! not a page in that order is refused: a walk that ends early would make companies vanish. The
//! private key is a handle and never seen here. Start reading at `ConnectWise`; `site` builds
//! requests, `answer` reads answers.

mod answer;
mod site;

use credsmith_plugin_sdk::directory::{Company, Directory, Page};
use credsmith_plugin_sdk::{Description, Field, Noted, Refusal, Settings, export_directory, log};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::in_order;
use crate::site::{MAX_PAGE_SIZE, Query, Site};

/// The configured directory.
struct ConnectWise {
    site: Site,
    conditions: String,
    child_conditions: Option<String>,
    page_size: u32,
}

/// Configurations in one page: they are large, and an answer may not be.
const CONFIGURATIONS_PAGE: u32 = 50;
/// Most bytes of configurations, all pages together: a little less than what the daemon takes.
const MAX_CONFIGURATIONS: usize = 4_000_000;
/// Longest identifier and name that are passed on, in bytes. ConnectWise has shorter ones.
const MAX_IDENTIFIER: usize = 256;
const MAX_NAME: usize = 1024;

/// The fields that are read of a company, beside its id.
#[derive(Deserialize)]
struct CompanyRow {
    identifier: String,
    name: String,
}

/// The field that every record has.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

impl Directory for ConnectWise {
    fn describe() -> Description {
        Site::settings(Description::new("connectwise", env!("CARGO_PKG_VERSION")))
            .setting(
                Field::text("conditions")
                    .label("Conditions")
                    .help("Which companies, as a condition of ConnectWise's API.")
                    .default("deletedFlag=false"),
            )
            .setting(
                Field::text("child_conditions").label("Child conditions").help(
                    "Which companies, by what belongs to them, such as types/name=\"Client\".",
                ),
            )
            .setting(
                Field::integer("page_size")
                    .label("Page size")
                    .help("Companies in one page, 1 to 1000.")
                    .default(MAX_PAGE_SIZE),
            )
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let site = Site::read(settings);
        let conditions = settings.get("conditions");
        let child_conditions = settings.get("child_conditions");
        let page_size = settings.parse("page_size", |size: u32| match size {
            1..=MAX_PAGE_SIZE => Ok(size),
            _ => Err(format!("is not 1 to {MAX_PAGE_SIZE}")),
        });
        Ok(Self {
            site: site?,
            conditions: conditions?,
            child_conditions: child_conditions?,
            page_size: page_size?,
        })
    }

    fn companies(&self, cursor: Option<&str>) -> Result<Page, Refusal> {
        let after = cursor.map_or(Ok(0), id_of)?;
        let query = Query {
            path: "company/companies",
            conditions: &self.conditions,
            child_conditions: self.child_conditions.as_deref(),
            fields: Some("id,identifier,name"),
            after,
            page_size: self.page_size,
        };
        let body = self.site.ask(&query)?;
        let rows: Vec<&RawValue> = answer::read(&body)?;
        let ids = ids_of(&rows)?;
        let next = in_order(after, ids.iter().copied(), self.page_size)?;
        // A short page is no sign of the end: only the server knows how large its pages are.
        let companies = ids.iter().zip(rows).map(|(id, row)| company(*id, row));
        Ok(Page::new(companies).next(next.map(|id| id.to_string())))
    }

    fn configurations(&self, company_id: &str) -> Result<String, Refusal> {
        let conditions = format!("company/id={}", id_of(company_id)?);
        let mut joined = String::from("[");
        let mut after = 0;
        loop {
            let query = Query {
                path: "company/configurations",
                conditions: &conditions,
                child_conditions: None,
                fields: None,
                after,
                page_size: CONFIGURATIONS_PAGE,
            };
            let body = self.site.ask(&query)?;
            let rows: Vec<&RawValue> = answer::read(&body)?;
            let Some(last) = in_order(after, ids_of(&rows)?, CONFIGURATIONS_PAGE)? else { break };
            for row in rows {
                append(&mut joined, row.get())?;
            }
            after = last;
        }
        joined.push(']');
        Ok(joined)
    }
}

/// A company's id, which is a whole number. Nothing else may become part of a condition: it could
/// ask for every company's configurations.
fn id_of(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Refusal::new("ConnectWise has no such company.")
            .log("an id that is no whole number was not asked for")
    })
}

fn ids_of(rows: &[&RawValue]) -> Result<Vec<u64>, Refusal> {
    let id = |row: &&RawValue| answer::read(row.get().as_bytes()).map(|row: Numbered| row.id);
    rows.iter().map(id).collect()
}

/// A company whose record has no identifier or no name, or one that is no text, comes without both:
/// the others of its page are as good as ever.
fn company(id: u64, row: &RawValue) -> Company {
    let Ok(CompanyRow { identifier, name }) = serde_json::from_str(row.get()) else {
        log::warn(format!(
            "the company {id} is left out: its identifier or its name is missing, or is no text"
        ));
        return Company::nameless(id.to_string());
    };
    let id = id.to_string();
    let identifier = line(&identifier, MAX_IDENTIFIER).unwrap_or_else(|| id.clone());
    let name = line(&name, MAX_NAME).unwrap_or_else(|| identifier.clone());
    Company::new(id, identifier, name)
}

/// `text` as one line of at most `most` bytes, if anything is left of it: what people typed over
/// the years must not stop a walk.
fn line(text: &str, most: usize) -> Option<String> {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = spaced.trim();
    let line = trimmed.get(..trimmed.floor_char_boundary(most))?.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

fn append(joined: &mut String, row: &str) -> Result<(), Refusal> {
    if joined.len() > 1 {
        joined.push(',');
    }
    if joined.len().saturating_add(row.len()) > MAX_CONFIGURATIONS {
        return Err(Refusal::new("The company has more configurations than can be shown.")
            .log(format!("its configurations have more than {MAX_CONFIGURATIONS} bytes")));
    }
    joined.push_str(row);
    Ok(())
}

export_directory!(ConnectWise);

#[cfg(test)]
mod tests;
