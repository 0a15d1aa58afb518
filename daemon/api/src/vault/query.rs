//! The query of a request: parameters that nobody asks for are ignored.

use credsmith_core::FieldProblem;
use schemars::JsonSchema;

use super::refuse::Refusal;

/// What `rpp` is when it is not said, and the most that it may be.
const USUAL_RPP: usize = 30;
const MOST_RPP: usize = 1000;

/// The query, decoded.
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    /// From 1.
    pub(super) page: usize,
    /// 1 to 1000.
    pub(super) rpp: usize,
    /// As it was sent.
    pub(super) search: Option<String>,
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
    /// A 400 when it stands there more than once: two readers would not agree on what was said.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        self.single(name).map_err(|problem| Refusal::Invalid(vec![problem]))
    }

    fn single(&self, name: &'static str) -> Result<Option<&str>, FieldProblem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(FieldProblem::new([name.into()], "It may stand in the query once.")),
        }
    }

    /// `page`, `rpp` and `search`.
    ///
    /// # Errors
    /// A 400 that names all of them that are bad.
    pub(super) fn paging(&self) -> Result<Paging, Refusal> {
        let mut problems = Vec::new();
        let mut number = |name, usual, most| {
            self.number(name, most)
                .unwrap_or_else(|problem| {
                    problems.push(problem);
                    None
                })
                .unwrap_or(usual)
        };
        let (page, rpp) = (number("page", 1, usize::MAX), number("rpp", USUAL_RPP, MOST_RPP));
        let search = self.single("search").unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if !problems.is_empty() {
            return Err(Refusal::Invalid(problems));
        }
        Ok(Paging { page, rpp, search: search.map(str::to_owned) })
    }

    fn number(&self, name: &'static str, most: usize) -> Result<Option<usize>, FieldProblem> {
        let Some(text) = self.single(name)? else { return Ok(None) };
        // `parse` would take a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (1..=most).contains(number));
        let sentence = if most == usize::MAX {
            "Expected a whole number from 1.".to_owned()
        } else {
            format!("Expected a whole number from 1 to {most}.")
        };
        number.map(Some).ok_or_else(|| FieldProblem::new([name.into()], sentence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(query: &str) -> Result<Paging, Vec<String>> {
        Query::parse(Some(query)).paging().map_err(|refusal| match refusal {
            Refusal::Invalid(problems) => problems.iter().map(FieldProblem::place).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_page_of_thirty_is_usual() {
        assert_eq!(paging(""), Ok(Paging { page: 1, rpp: 30, search: None }));
        assert_eq!(
            paging("rpp=1000&page=7&search=a%20b+c&other=1&other=2"),
            Ok(Paging { page: 7, rpp: 1000, search: Some("a b c".into()) })
        );
    }

    #[test]
    fn every_bad_number_is_named() {
        for bad in ["0", "-1", "+1", "1.0", "x", "", "99999999999999999999999", "%31x"] {
            assert_eq!(
                paging(&format!("page={bad}&rpp={bad}")),
                Err(vec!["page".into(), "rpp".into()]),
                "{bad}"
            );
        }
        assert_eq!(paging("rpp=1001"), Err(vec!["rpp".into()]));
        assert_eq!(paging("page=1&page=2"), Err(vec!["page".into()]));
        assert_eq!(paging("search=a&search=b"), Err(vec!["search".into()]));
    }

    #[test]
    fn what_stands_twice_says_nothing() {
        let query = Query::parse(Some("code=a&code=b&state=c"));
        assert!(query.one("code").is_err());
        assert_eq!(query.one("state").unwrap(), Some("c"));
        assert_eq!(query.one("iss").unwrap(), None);
    }
}
