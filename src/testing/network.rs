use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};

use super::event::TestTransmitter;
use super::introspection::TestIntrospection;
use super::issuer::TestIssuer;
use super::status_list::TestStatusList;
use crate::transport::{Fetch, FetchLimits, Transport};

/// A network of test issuers, their status lists and documents, without sockets. A clone is the same network.
#[derive(Clone, Debug, Default)]
pub struct TestNetwork {
    issuers: Vec<TestIssuer>,
    lists: Vec<TestStatusList>,
    transmitters: Vec<TestTransmitter>,
    introspections: Vec<TestIntrospection>,
    /// By URL: a content type and a body.
    documents: Vec<(String, HeaderValue, Bytes)>,
    fetches: Arc<AtomicUsize>,
}

impl TestNetwork {
    /// A network on which these can be reached.
    #[must_use]
    pub fn of(issuers: &[&TestIssuer]) -> Self {
        Self {
            issuers: issuers.iter().map(|issuer| (*issuer).clone()).collect(),
            lists: Vec::new(),
            transmitters: Vec::new(),
            introspections: Vec::new(),
            documents: Vec::new(),
            fetches: Arc::default(),
        }
    }

    /// The same network, on which this list can be reached too.
    #[must_use]
    pub fn with_list(mut self, list: &TestStatusList) -> Self {
        self.lists.push(list.clone());
        self
    }

    /// The same network, on which this transmitter of events can be reached too. Its identifier is another one
    /// than every issuer's: here the two would publish their keys at one URL, and the issuer's would be found.
    #[must_use]
    pub fn with_transmitter(mut self, transmitter: &TestTransmitter) -> Self {
        self.transmitters.push(transmitter.clone());
        self
    }

    /// The same network, on which this introspection endpoint can be reached too.
    #[must_use]
    pub fn with_introspection(mut self, introspection: &TestIntrospection) -> Self {
        self.introspections.push(introspection.clone());
        self
    }

    /// The same network, with this document at this URL.
    ///
    /// # Panics
    /// If the content type is no field value.
    #[must_use]
    pub fn with_document(
        mut self,
        url: impl Into<String>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let content_type = HeaderValue::try_from(content_type).expect("a field value");
        self.documents.push((url.into(), content_type, body.into()));
        self
    }

    /// How often anything was fetched from it, known or not.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl Transport for TestNetwork {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let url = request.uri().to_string();
            if let Some(issuer) = self.issuers.iter().find(|issuer| issuer.serves(&url)) {
                return issuer.answer(&request).await;
            }
            if let Some(list) = self.lists.iter().find(|list| list.serves(&url)) {
                return list.answer(&request).await;
            }
            if let Some(transmitter) = self.transmitters.iter().find(|one| one.serves(&url)) {
                return transmitter.answer(&request).await;
            }
            if let Some(endpoint) = self.introspections.iter().find(|one| one.serves(&url)) {
                return endpoint.answer(&request, limits).await;
            }
            let mut response = Response::new(Bytes::new());
            match self.documents.iter().find(|(at, ..)| *at == url) {
                Some((_, content_type, body)) => {
                    response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
                    *response.body_mut() = body.clone();
                }
                None => *response.status_mut() = StatusCode::NOT_FOUND,
            }
            Ok(response)
        })
    }
}
