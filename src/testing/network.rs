use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::issuer::TestIssuer;
use crate::transport::{Fetch, FetchLimits, Transport};

/// A network of test issuers and nothing else, without sockets. A clone is the same network.
#[derive(Clone, Debug, Default)]
pub struct TestNetwork {
    issuers: Vec<TestIssuer>,
    fetches: Arc<AtomicUsize>,
}

impl TestNetwork {
    /// A network on which these can be reached.
    #[must_use]
    pub fn of(issuers: &[&TestIssuer]) -> Self {
        Self {
            issuers: issuers.iter().map(|issuer| (*issuer).clone()).collect(),
            fetches: Arc::default(),
        }
    }

    /// How often anything was fetched from it, known or not.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl Transport for TestNetwork {
    fn fetch(&self, request: Request<Bytes>, _: FetchLimits) -> Fetch<'_> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let url = request.uri().to_string();
            match self.issuers.iter().find(|issuer| issuer.serves(&url)) {
                Some(issuer) => issuer.answer(&request).await,
                None => {
                    let mut response = Response::new(Bytes::new());
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    Ok(response)
                }
            }
        })
    }
}
