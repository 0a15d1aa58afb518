//! Finds the rows of a path.
//!
//! Two rows may name the same parameter differently (`{identifier}`, `{id}`): the tree knows
//! parameters by their position, each row by its own names.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use percent_encoding::percent_decode_str;

use super::cx::Params;
use super::route::{Route, parameter_name};

/// Two rows contradict each other, or a path is malformed.
#[derive(Debug, thiserror::Error)]
#[error("the routes contradict each other: {0}")]
pub struct RouteConflict(String);

/// All routes.
pub(super) struct Table {
    tree: matchit::Router<usize>,
    places: Vec<PathRows>,
}

/// The rows of one path.
struct PathRows {
    shape: String,
    rows: Vec<Arc<Route>>,
    /// The value of `allow`.
    allow: String,
}

/// A path that has rows, with the values of its parameters.
pub(super) struct PathMatch<'t, 'p> {
    place: &'t PathRows,
    values: Vec<Cow<'p, str>>,
}

impl Table {
    /// # Errors
    /// When two rows have the same method and path, or the paths cannot be told apart.
    pub(super) fn new(routes: Vec<Route>) -> Result<Self, RouteConflict> {
        let mut places: Vec<PathRows> = Vec::new();
        for route in routes {
            let shape = shape(route.path());
            match places.iter_mut().find(|place| place.shape == shape) {
                Some(place) => place.add(route)?,
                None => places.push(PathRows {
                    shape,
                    allow: String::new(),
                    rows: vec![Arc::new(route)],
                }),
            }
        }
        let mut tree = matchit::Router::new();
        for (index, place) in places.iter_mut().enumerate() {
            place.allow = allow(&place.rows);
            let inserted = tree.insert(place.shape.clone(), index);
            inserted.map_err(|error| RouteConflict(format!("{}: {error}", place.shape)))?;
        }
        Ok(Self { tree, places })
    }

    /// The rows of `path`, which is still encoded. A path with a broken escape, with one that is no
    /// UTF-8, or with an empty segment has none.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<PathMatch<'_, 'p>> {
        if path.ends_with('/') || path.contains("//") {
            return None;
        }
        let matched = self.tree.at(path).ok()?;
        let place = self.places.get(*matched.value)?;
        let values: Option<_> = matched.params.iter().map(|(_, value)| decode(value)).collect();
        Some(PathMatch { place, values: values? })
    }
}

impl PathRows {
    fn add(&mut self, route: Route) -> Result<(), RouteConflict> {
        if self.rows.iter().any(|row| row.method() == route.method()) {
            return Err(RouteConflict(format!("{route:?} stands twice")));
        }
        self.rows.push(Arc::new(route));
        Ok(())
    }
}

impl<'t> PathMatch<'t, '_> {
    /// The row for `method`. HEAD is GET without a body.
    pub(super) fn row(&self, method: &Method) -> Option<&'t Arc<Route>> {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        self.place.rows.iter().find(|row| row.method() == wanted)
    }

    /// The value of `allow`.
    pub(super) fn allow(&self) -> &'t str {
        &self.place.allow
    }

    /// The parameters under the names of `row`.
    pub(super) fn params(self, row: &Route) -> Params {
        row.path_parameters().zip(self.values.into_iter().map(Cow::into_owned)).collect()
    }
}

/// A path whose parameters are named by their position.
fn shape(path: &'static str) -> String {
    let mut next = 0;
    let segments = path.split('/').map(|segment| match parameter_name(segment) {
        None => segment.to_owned(),
        Some(_) => {
            next += 1;
            format!("{{{next}}}")
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

fn allow(rows: &[Arc<Route>]) -> String {
    let mut methods = Vec::new();
    for row in rows {
        methods.push(row.method().as_str());
        if row.method() == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

fn decode(value: &str) -> Option<Cow<'_, str>> {
    let escapes_are_whole = value
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()));
    if !escapes_are_whole {
        return None;
    }
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::refuse::Refusal;
    use super::super::route::Access;
    use super::*;

    fn get(path: &'static str) -> Route {
        Route::get(path, Access::Public, |_| async { Err(Refusal::NotFound) }.boxed())
    }

    fn delete(path: &'static str) -> Route {
        Route::delete(path, Access::Public, |_| async { Err(Refusal::NotFound) }.boxed())
    }

    fn table() -> Table {
        let rows = [
            get("/v1/things/{identifier}"),
            delete("/v1/things/{id}"),
            get("/v1/things/{id}/parts"),
            get("/v1/things/of/{owner}"),
            get("/v1/things"),
        ];
        Table::new(rows.into()).unwrap()
    }

    /// The path of the row, and its parameters.
    fn found(method: Method, path: &str) -> Option<(&'static str, Params)> {
        let table = table();
        let found = table.find(path)?;
        let row = found.row(&method)?;
        Some((row.path(), found.params(row)))
    }

    fn one(name: &'static str, value: &str) -> Params {
        vec![(name, value.to_owned())]
    }

    #[test]
    fn each_row_has_its_own_names() {
        assert_eq!(
            found(Method::GET, "/v1/things/x"),
            Some(("/v1/things/{identifier}", one("identifier", "x")))
        );
        assert_eq!(
            found(Method::DELETE, "/v1/things/x"),
            Some(("/v1/things/{id}", one("id", "x")))
        );
        assert_eq!(found(Method::HEAD, "/v1/things"), Some(("/v1/things", vec![])));
    }

    #[test]
    fn words_come_before_parameters() {
        assert_eq!(
            found(Method::GET, "/v1/things/of/me"),
            Some(("/v1/things/of/{owner}", one("owner", "me")))
        );
        assert_eq!(
            found(Method::GET, "/v1/things/of/parts"),
            Some(("/v1/things/of/{owner}", one("owner", "parts")))
        );
        assert_eq!(
            found(Method::GET, "/v1/things/of"),
            Some(("/v1/things/{identifier}", one("identifier", "of")))
        );
        assert_eq!(
            found(Method::GET, "/v1/things/office/parts"),
            Some(("/v1/things/{id}/parts", one("id", "office")))
        );
    }

    #[test]
    fn parameters_are_decoded_once_and_after_matching() {
        for (path, value) in [
            ("/v1/things/a%20b", "a b"),
            ("/v1/things/%2F", "/"),
            ("/v1/things/%252e", "%2e"),
            ("/v1/things/..", ".."),
            ("/v1/things/caf%C3%A9", "café"),
            ("/v1/things/a+b", "a+b"),
        ] {
            assert_eq!(
                found(Method::GET, path),
                Some(("/v1/things/{identifier}", one("identifier", value))),
                "{path}"
            );
        }
    }

    #[test]
    fn nothing_lives_elsewhere() {
        for path in [
            "",
            "/",
            "*",
            "/v1",
            "/v1/",
            "/v1/things/",
            "/v1//things",
            "/v1/things//parts",
            "/v1/things/x/",
            "/v1/things/x/parts/y",
            "/V1/things",
            "/v1/Things",
            "/v1/thing%73",
            "/v1/things/%",
            "/v1/things/%4",
            "/v1/things/%zz",
            "/v1/things/%+4",
            "/v1/things/%ff",
        ] {
            assert!(table().find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn allow_names_what_is_there() {
        let table = table();
        assert_eq!(table.find("/v1/things/x").unwrap().allow(), "GET, HEAD, DELETE, OPTIONS");
        assert_eq!(table.find("/v1/things").unwrap().allow(), "GET, HEAD, OPTIONS");
        assert!(table.find("/v1/things").unwrap().row(&Method::DELETE).is_none());
    }

    #[test]
    fn contradictions_are_found() {
        assert!(Table::new(vec![get("/a/{x}"), get("/a/{y}")]).is_err());
        assert!(Table::new(vec![get("/a/{x}"), get("/a/b{y}")]).is_ok());
    }
}
