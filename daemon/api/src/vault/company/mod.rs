//! Companies.

use std::sync::Arc;

use credsmith_core::Error;
use credsmith_core::access::{
    FetchCompany, FetchConfigurations, ListCompanies, authorize_companies,
};
use credsmith_core::model::company::Company;
use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cx::Cx;
use super::present::{Moment, RecordId};
use super::query::Listing;
use super::route::{Access, Outcome, Route};

const FETCH: Access = Access::permissions(FetchCompany::PERMISSIONS);
const LIST: Access = Access::permissions(ListCompanies::PERMISSIONS);
const FETCH_CONFIGURATIONS: Access = Access::permissions(FetchConfigurations::PERMISSIONS);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/company/companies", LIST, |cx| list(cx).boxed())
            .named("listCompanies")
            .summary("Lists companies, by name.")
            .answers_page_of::<CompanyBody>("Companies Fetched Successfully!"),
        Route::get("/v1/company/companies/{identifier}", FETCH, |cx| fetch(cx).boxed())
            .named("getCompany")
            .summary("One company, by our id, by its number in the directory, or by its identifier there.")
            .answers::<CompanyBody>(StatusCode::OK, "Company Fetched Successfully!"),
        Route::get("/v1/company/companies/{identifier}/configurations", FETCH_CONFIGURATIONS, |cx| {
            configurations(cx).boxed()
        })
        .named("listCompanyConfigurations")
        .summary("What the directory answers about the configurations of a company, unchanged.")
        .answers::<Value>(StatusCode::OK, "Company Configurations Fetched Successfully!")
        .fails(&[StatusCode::BAD_GATEWAY]),
    ]
}

/// A company.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Company")]
struct CompanyBody {
    id: RecordId,
    name: String,
    /// Its id in the directory, where that is a number.
    #[serde(rename = "cw_CompanyId")]
    number: Option<u64>,
    /// Its short name in the directory.
    #[serde(rename = "cw_Identifier")]
    identifier: Option<String>,
    /// Since when the directory no longer has it; only there when it does not.
    #[serde(rename = "missingSince", skip_serializing_if = "Option::is_none")]
    missing_since: Option<Moment>,
}

/// The company that something belongs to.
#[derive(Serialize, JsonSchema)]
pub(super) struct CompanyOf {
    id: RecordId,
    name: String,
}

impl From<&Company> for CompanyBody {
    fn from(company: &Company) -> Self {
        // An id that would change its spelling as a number is a text.
        let number = company.directory_id.parse().ok();
        Self {
            id: company.id.into(),
            name: company.name.clone(),
            number: number.filter(|number: &u64| number.to_string() == company.directory_id),
            identifier: Some(company.identifier.clone())
                .filter(|identifier| !identifier.is_empty()),
            missing_since: company.missing_since.map(Moment),
        }
    }
}

impl From<&Company> for CompanyOf {
    fn from(company: &Company) -> Self {
        Self { id: company.id.into(), name: company.name.clone() }
    }
}

async fn list(cx: Cx) -> Outcome {
    let Listing { paging, search } = cx.query().listing()?;
    let grant = authorize_companies(cx.member()?)?;
    let page = cx.core().companies.list(grant, &search, paging).await?;
    cx.page(&page.map(|company| CompanyBody::from(&*company)))
}

async fn fetch(cx: Cx) -> Outcome {
    let companies = &cx.core().companies;
    let grant = companies.authorize(cx.member()?, cx.param("identifier")?).await?;
    let company: Arc<Company> = companies.fetch(grant);
    cx.success(&CompanyBody::from(&*company))
}

async fn configurations(cx: Cx) -> Outcome {
    let companies = &cx.core().companies;
    let grant = companies.authorize_configurations(cx.member()?, cx.param("identifier")?).await?;
    let configurations = companies.configurations(grant).await?;
    // Raw: numbers, order and repeated keys stay as the directory wrote them. Core has checked that
    // it is JSON.
    let raw: &RawValue = serde_json::from_str(configurations.as_json()).map_err(|_| not_json())?;
    cx.success(&raw)
}

fn not_json() -> Error {
    Error::internal("configurations that core let pass are no JSON")
}

#[cfg(test)]
mod tests;
