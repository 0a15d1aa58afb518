//! The teapot.

use futures_util::FutureExt as _;
use http::StatusCode;

use super::cx::Cx;
use super::route::{Access, Outcome, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/teapot", Access::Public, |cx| refuse_coffee(cx).boxed())
            .named("brewCoffee")
            .summary("Says what it is.")
            .answers_without_data(StatusCode::IM_A_TEAPOT, "I'm a teapot"),
    ]
}

async fn refuse_coffee(cx: Cx) -> Outcome {
    cx.success_without_data()
}
