use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri};

use crate::access::Access;
use crate::time::Timestamp;

/// The head of a request, borrowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URI, as the layer saw it.
    pub uri: &'a Uri,
    /// The header fields. `Authorization` among them is a secret.
    pub headers: &'a HeaderMap,
    /// What outer layers and the server put there.
    pub extensions: &'a Extensions,
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// What a check may look at.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    access: &'a Access,
    head: RequestHead<'a>,
    now: Timestamp,
}

impl<'a> CheckContext<'a> {
    pub(crate) fn new(access: &'a Access, head: RequestHead<'a>, now: Timestamp) -> Self {
        Self { access, head, now }
    }

    /// The accepted token.
    #[must_use]
    pub fn access(&self) -> &'a Access {
        self.access
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.head.method
    }

    /// The request's URI, as the layer saw it.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.head.uri
    }

    /// The request's head, whole.
    #[must_use]
    pub fn head(&self) -> RequestHead<'a> {
        self.head
    }

    /// The time of the decision.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
