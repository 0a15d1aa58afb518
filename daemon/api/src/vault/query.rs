//! The query of a request. Parameters that no handler asks for are ignored.

use credsmith_core::FieldProblem;
use credsmith_core::paging::Paging;
use schemars::JsonSchema;

use super::refuse::Refusal;

/// The query, decoded.
pub(super) struct Query(Vec<(String, String)>);

/// The page of a list that may also be asked for as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) paging: Paging,
    /// Whether the request names a page, or its length.
    pub(super) is_asked_for: bool,
}

/// The part of a list that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) paging: Paging,
    /// As it was sent; empty when it was left out.
    pub(super) search: String,
}

/// The schema of `page`.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes a parameter; its values are read by hand")]
pub(super) struct Page(#[schemars(range(min = 1))] u64);

/// The schema of `rpp`.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes a parameter; its values are read by hand")]
pub(super) struct Rpp(#[schemars(range(min = 1, max = 1000))] u64);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// A 400 when it is repeated: two readers could take different values of it.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        self.single(name).map_err(|problem| Refusal::Invalid(vec![problem]))
    }

    fn single(&self, name: &'static str) -> Result<Option<&str>, FieldProblem> {
        let mut values =
            self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(FieldProblem::new([name.into()], "It may stand in the query once.")),
        }
    }

    /// `page`, `rpp` and `search`.
    ///
    /// # Errors
    /// A 400 that names all of them that are invalid.
    pub(super) fn listing(&self) -> Result<Listing, Refusal> {
        let mut problems = Vec::new();
        let paging = self.paging(&mut problems);
        let search = self.noting("search", &mut problems).unwrap_or_default().to_owned();
        match paging {
            Some(paging) if problems.is_empty() => Ok(Listing { paging, search }),
            _ => Err(Refusal::Invalid(problems)),
        }
    }

    /// `page` and `rpp` of a list that comes whole, up to the longest page, where neither is named.
    ///
    /// # Errors
    /// A 400 that names all of them that are invalid.
    pub(super) fn part(&self) -> Result<Part, Refusal> {
        if !self.0.iter().any(|(key, _)| key == "page" || key == "rpp") {
            return Ok(Part { paging: Paging::longest(), is_asked_for: false });
        }
        let mut problems = Vec::new();
        match self.paging(&mut problems) {
            Some(paging) if problems.is_empty() => Ok(Part { paging, is_asked_for: true }),
            _ => Err(Refusal::Invalid(problems)),
        }
    }

    fn paging(&self, problems: &mut Vec<FieldProblem>) -> Option<Paging> {
        let page = self.noting("page", problems).map_or(1, number);
        let rpp = self.noting("rpp", problems).map_or(Paging::USUAL_PER_PAGE, number);
        Paging::new(page, rpp).map_err(|bounds| problems.extend(bounds)).ok()
    }

    /// The value of `name`, or none where there is a problem with it.
    fn noting(&self, name: &'static str, problems: &mut Vec<FieldProblem>) -> Option<&str> {
        self.single(name).map_err(|problem| problems.push(problem)).ok().flatten()
    }
}

/// A number of digits alone (`parse` would accept a sign); 0, which is always out of bounds, for
/// any other text.
fn number(text: &str) -> usize {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::field_names::spelled;
    use super::*;

    fn listing(query: &str) -> Result<Listing, Vec<String>> {
        Query::parse(Some(query)).listing().map_err(|refusal| match refusal {
            Refusal::Invalid(problems) => {
                problems.iter().map(|problem| spelled(problem).place()).collect()
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_page_of_thirty_is_usual() {
        assert_eq!(
            listing(""),
            Ok(Listing { paging: Paging::new(1, 30).unwrap(), search: String::new() })
        );
        assert_eq!(
            listing("rpp=1000&page=7&search=a%20b+c&other=1&other=2"),
            Ok(Listing { paging: Paging::new(7, 1000).unwrap(), search: "a b c".into() })
        );
    }

    #[test]
    fn every_bad_number_is_named() {
        for bad in ["0", "-1", "+1", "1.0", "x", "", "99999999999999999999999", "%31x"] {
            assert_eq!(
                listing(&format!("page={bad}&rpp={bad}")),
                Err(vec!["page".into(), "rpp".into()]),
                "{bad}"
            );
        }
        assert_eq!(listing("rpp=1001"), Err(vec!["rpp".into()]));
        assert_eq!(listing("page=1&page=2"), Err(vec!["page".into()]));
        assert_eq!(listing("search=a&search=b"), Err(vec!["search".into()]));
    }

    #[test]
    fn a_list_comes_whole_where_no_page_is_asked_for() {
        let part = |query: &str| Query::parse(Some(query)).part().ok();
        let whole = Part { paging: Paging::longest(), is_asked_for: false };
        let page = |page, rpp| Part { paging: Paging::new(page, rpp).unwrap(), is_asked_for: true };
        assert_eq!(part(""), Some(whole));
        assert_eq!(part("search=x"), Some(whole));
        assert_eq!(part("page=2"), Some(page(2, 30)));
        assert_eq!(part("rpp=7"), Some(page(1, 7)));
        for bad in ["page=0", "rpp=1001", "page=", "page=1&page=1", "rpp=x"] {
            assert_eq!(part(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_stands_twice_says_nothing() {
        let query = Query::parse(Some("code=a&code=b&state=c"));
        assert!(query.one("code").is_err());
        assert_eq!(query.one("state").unwrap(), Some("c"));
        assert_eq!(query.one("iss").unwrap(), None);
    }
}
