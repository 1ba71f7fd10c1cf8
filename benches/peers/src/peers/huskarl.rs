//! huskarl-resource-server: a validator for RFC 9068, DPoP and certificates, mounted by the layer of
//! huskarl-axum. Its keys come by a client of one's own, here one that has them in memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use huskarl_axum::layers::{ScopedLayer, ValidatorLayer};
use huskarl_resource_server::core::Error;
use huskarl_resource_server::core::http::{HttpClient, HttpResponse, Idempotency};
use huskarl_resource_server::core::jwt::JtiUniquenessChecker;
use huskarl_resource_server::core::platform::MaybeSendBoxFuture;
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;

use crate::tokens::{ISSUER, Keys, RESOURCE, SCOPE};

#[derive(Clone)]
pub struct Memory {
    jwks: Bytes,
    pub fetches: Arc<AtomicUsize>,
}

impl Memory {
    pub fn new(keys: &Keys) -> Self {
        Self { jwks: keys.jwks.clone().into(), fetches: Arc::default() }
    }
}

impl HttpClient for Memory {
    fn execute(
        &self,
        _: Request<Bytes>,
        _: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let (status, headers) = (StatusCode::OK, HeaderMap::new());
        let body = self.jwks.clone();
        Box::pin(async move { Ok(HttpResponse { status, headers, body }) })
    }
}

/// Used proofs. The peer has none of its own; this one forgets nothing.
#[derive(Debug, Default)]
struct Used(Mutex<HashSet<String>>);

impl JtiUniquenessChecker for Used {
    fn check_and_mark_seen(&self, jti: &str) -> MaybeSendBoxFuture<'_, Result<bool, Error>> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(jti.to_owned());
        Box::pin(async move { Ok(!new) })
    }
}

pub async fn layer(client: Memory) -> ScopedLayer<Rfc9068Validator> {
    let validator = Rfc9068Validator::builder()
        .issuer(ISSUER)
        .audience(RESOURCE)
        .jwks_uri("https://login.example.com/jwks.json".parse().expect("a URL"))
        .jwks_source(client)
        .dpop_jti_checker(Used::default())
        .build()
        .await
        .expect("huskarl-resource-server");
    let layer = ValidatorLayer::builder().validator(validator);
    let layer = layer.base_url(RESOURCE).expect("an origin").build();
    layer.require_scopes([SCOPE])
}
