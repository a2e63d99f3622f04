//! The page of HTTP routes.

use std::fmt::Write;

use super::fields::cell;
use crate::api::ROUTES;

pub(super) fn page() -> String {
    let mut out = "# HTTP routes\n\n\
        All paths of the service's HTTP server (`http.listen`, `127.0.0.1:9797` unless set). Made by \
        `watchbell reference`; do not edit.\n\n| method | path | |\n| --- | --- | --- |\n"
        .to_owned();
    for route in ROUTES {
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {} | `{}` | {} |", route.method, route.path, cell(route.summary));
    }
    out
}
