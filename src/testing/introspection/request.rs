use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};

use super::client;

/// A question that came to a [`super::TestIntrospection`]. How it prints shows neither the token nor
/// what the client authenticates itself with.
#[derive(Clone)]
pub struct TestIntrospectionRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

impl TestIntrospectionRequest {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
        }
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where it went, with a query if there was one.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body, as it was encoded.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The parameter of this name, decoded: the first one.
    #[must_use]
    pub fn form(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Every parameter, decoded, in order.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// The client's identifier and secret in `Authorization`, decoded (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client(&self) -> Option<(String, String)> {
        client::basic(&self.headers)
    }
}

impl fmt::Debug for TestIntrospectionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PLAIN: &[&str] = &["token_type_hint", "client_id", "client_assertion_type"];
        const SECRET: &[&str] = &["token", "client_secret", "client_assertion"];
        let form: Vec<(String, String)> = self
            .parameters()
            .into_iter()
            .map(|(name, value)| {
                if PLAIN.contains(&name.as_str()) {
                    (name, value)
                } else if SECRET.contains(&name.as_str()) {
                    (name, "..".to_owned())
                } else {
                    // A body that is no form is all name.
                    ("..".to_owned(), "..".to_owned())
                }
            })
            .collect();
        let headers: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("TestIntrospectionRequest")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .field("headers", &headers)
            .field("form", &form)
            .finish_non_exhaustive()
    }
}
