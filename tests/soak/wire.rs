//! The network of the soak: the test kit's, the publisher of a feed, and an introspection endpoint that
//! keeps nothing of what it was asked (the kit's keeps every question, and memory would not be flat).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use portcullis::testing::TestNetwork;
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};

use crate::publisher::Publisher;

pub(crate) const ENDPOINT: &str = "https://asked.example/introspect";
pub(crate) const FEED: &str = "https://feed.example/revocations.json";

/// A clone is the same.
#[derive(Clone)]
pub(crate) struct Wire {
    kit: TestNetwork,
    pub(crate) publisher: Publisher,
    endpoint: Arc<Mutex<Endpoint>>,
}

#[derive(Default)]
struct Endpoint {
    /// What is said of tokens that are active.
    active: HashMap<String, String>,
    is_down: bool,
    questions: u64,
}

impl Wire {
    pub(crate) fn new(kit: TestNetwork) -> Self {
        Self { kit, publisher: Publisher::default(), endpoint: Arc::default() }
    }

    /// From now on a token is active, and has these claims.
    pub(crate) fn activate(&self, token: &str, claims: &str) {
        let members = claims.strip_prefix('{').unwrap();
        let answer = format!("{{\"active\":true,\"token_type\":\"Bearer\",{members}");
        self.endpoint().active.insert(token.to_owned(), answer);
    }

    pub(crate) fn deactivate(&self, token: &str) {
        self.endpoint().active.remove(token);
    }

    /// The same of the token that has this `jti` and no other.
    pub(crate) fn deactivate_if(&self, token: &str, jti: &str) {
        let mut endpoint = self.endpoint();
        let claim = format!("\"{jti}\"");
        if endpoint.active.get(token).is_some_and(|answer| answer.contains(&claim)) {
            endpoint.active.remove(token);
        }
    }

    pub(crate) fn take_down(&self, is_down: bool) {
        self.endpoint().is_down = is_down;
    }

    pub(crate) fn questions(&self) -> u64 {
        self.endpoint().questions
    }

    fn endpoint(&self) -> MutexGuard<'_, Endpoint> {
        self.endpoint.lock().unwrap()
    }

    fn introspect(&self, form: &[u8]) -> Result<Response<Bytes>, FetchError> {
        let mut endpoint = self.endpoint();
        endpoint.questions += 1;
        if endpoint.is_down {
            return Err(FetchError::new(FetchErrorKind::Connection));
        }
        let form = std::str::from_utf8(form).unwrap();
        // The tokens of this test need no escapes.
        let token = form.split('&').find_map(|member| member.strip_prefix("token=")).unwrap();
        let answer = endpoint.active.get(token).cloned();
        let answer = answer.unwrap_or_else(|| r#"{"active":false}"#.to_owned());
        let mut response = Response::new(Bytes::from(answer));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}

impl Transport for Wire {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        match request.uri().to_string().as_str() {
            ENDPOINT => {
                let answer = self.introspect(request.body());
                Box::pin(async move {
                    // An answer takes its time, in which others come with the same token.
                    tokio::task::yield_now().await;
                    answer
                })
            }
            FEED => self.publisher.fetch(request, limits),
            _ => self.kit.fetch(request, limits),
        }
    }
}
