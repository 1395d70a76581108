//! The routes of the operators' API, written down as they are added, so that a test can hold them against the document that
//! describes them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use super::OperatorsParts;

/// The routes so far.
#[derive(Default)]
pub(super) struct Routes {
    /// What answers.
    pub(super) router: Router<Arc<OperatorsParts>>,
    /// Each as the document has it: its method in small letters, and its path.
    pub(super) known: Vec<(&'static str, &'static str)>,
}

impl Routes {
    /// `GET path` is answered by `handler`.
    pub(super) fn get<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<OperatorsParts>>,
        T: 'static,
    {
        self.add("get", MethodFilter::GET, path, handler)
    }

    /// `POST path` is answered by `handler`.
    pub(super) fn post<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<OperatorsParts>>,
        T: 'static,
    {
        self.add("post", MethodFilter::POST, path, handler)
    }

    /// `PUT path` is answered by `handler`.
    pub(super) fn put<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<OperatorsParts>>,
        T: 'static,
    {
        self.add("put", MethodFilter::PUT, path, handler)
    }

    /// `DELETE path` is answered by `handler`.
    pub(super) fn delete<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<OperatorsParts>>,
        T: 'static,
    {
        self.add("delete", MethodFilter::DELETE, path, handler)
    }

    fn add<H, T>(mut self, name: &'static str, method: MethodFilter, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<OperatorsParts>>,
        T: 'static,
    {
        self.known.push((name, path));
        self.router = self.router.route(path, on(method, handler));
        self
    }
}
