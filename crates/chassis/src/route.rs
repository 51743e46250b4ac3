// SPDX-License-Identifier: Apache-2.0

//! What a request was for, as metrics name it.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use tower::util::MapRequestLayer;

/// The name of requests that met no route.
const UNMATCHED: &str = "unmatched";

/// Where a request went, in every request's extensions: the path of the route, as `/policy/{digest}`.
///
/// A service that routes by itself, behind one fallback, [names](Self::name) the route.
#[derive(Clone, Debug, Default)]
pub struct Route(Arc<OnceLock<String>>);

impl Route {
    /// The request went to this route; the first name counts. No part of it may be the client's choice.
    pub fn name(&self, route: &'static str) {
        let _ = self.0.set(route.to_owned());
    }

    pub(crate) fn get(&self) -> &str {
        self.0.get().map_or(UNMATCHED, String::as_str)
    }
}

/// The same routes; each notes its path in the request's [`Route`].
pub(crate) fn noted(router: Router) -> Router {
    router.layer(MapRequestLayer::new(|request: Request| {
        let extensions = request.extensions();
        if let (Some(route), Some(path)) =
            (extensions.get::<Route>(), extensions.get::<MatchedPath>())
        {
            let _ = route.0.set(path.as_str().to_owned());
        }
        request
    }))
}
