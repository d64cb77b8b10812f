//! What every HTTP handler shares: routes, middleware, extractors, pages, the OpenAPI document.
