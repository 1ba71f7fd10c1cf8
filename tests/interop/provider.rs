//! The authorization server.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::Issuer;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::certificates::Certificates;
use crate::process::{Process, node};

const ANSWER: Duration = Duration::from_secs(30);

/// The authorization servers `a` and `b`, and what controls them.
pub(crate) struct Provider {
    process: Process,
    pub(crate) issuer_a: String,
    pub(crate) issuer_b: String,
    control: String,
    client: Client<HttpConnector, Body>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        Self::spawn(&mut node("provider.mjs")).await
    }

    /// With a second door, where clients present their certificates.
    pub(crate) async fn with_tls(certificates: &Certificates) -> Self {
        let directory = certificates.directory();
        Self::spawn(node("provider.mjs").env("INTEROP_TLS_DIRECTORY", directory)).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let (process, ready) = Process::ready(command).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            process,
            issuer_a: text(&ready["a"]["issuer"]),
            issuer_b: text(&ready["b"]["issuer"]),
            control: text(&ready["control"]),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Value {
        let url = format!("{}{path}", self.control);
        let request = Request::builder().method(method).uri(&url).body(Body::empty()).unwrap();
        let response = self.fetch(request).await;
        assert!(response.status().is_success(), "{method} {url}: {}", response.status());
        serde_json::from_slice(response.body()).unwrap()
    }

    /// The client wants to give a token back; the error of the authorization server, if it does not take it.
    pub(crate) async fn revocation_error(&self, client: &str, token: &str) -> Option<String> {
        let url = format!("{}/revoke?client={client}&token={token}", self.control);
        let response = self.fetch(Request::post(url).body(Body::empty()).unwrap()).await;
        let answer: Value = serde_json::from_slice(response.body()).unwrap();
        answer["error"].as_str().map(str::to_owned)
    }

    async fn fetch(&self, request: Request<Body>) -> Response<Bytes> {
        let answer = async {
            let (parts, body) = self.client.request(request).await.unwrap().into_parts();
            Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
        };
        timeout(ANSWER, answer).await.expect("the provider answers")
    }

    /// What an issuer says of itself.
    pub(crate) async fn metadata(&self, issuer: &str) -> Value {
        let url = format!("{issuer}/.well-known/openid-configuration");
        let response = self.fetch(Request::get(url).body(Body::empty()).unwrap()).await;
        serde_json::from_slice(response.body()).unwrap()
    }

    /// A form, sent as a client sends it.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &HeaderMap,
        form: &[(&str, &str)],
    ) -> (HeaderMap, Value) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(url).body(Body::from(form)).unwrap();
        request.headers_mut().extend(headers.clone());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let (parts, body) = self.fetch(request).await.into_parts();
        (parts.headers, serde_json::from_slice(&body).unwrap())
    }

    /// The issuer's own answer about a token, as the resource server gets it.
    pub(crate) async fn answer_about(&self, token: &str) -> Value {
        self.ask("GET", &format!("/introspect?token={token}")).await
    }

    /// The client gives a token back; `client`: whose it is.
    pub(crate) async fn revoke(&self, client: &str, token: &str) {
        self.ask("POST", &format!("/revoke?client={client}&token={token}")).await;
    }

    pub(crate) async fn token(&self, query: &str) -> String {
        let answer = self.ask("GET", &format!("/token?{query}")).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn id_token(&self, client: &str) -> String {
        let answer = self.ask("GET", &format!("/id_token?client={client}")).await;
        answer["id_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) async fn stop(self) {
        self.ask("POST", "/stop").await;
        self.process.ended().await;
    }
}

/// Issuers without TLS, on loopback, for these tests alone; the transport is the real one.
pub(crate) fn discover(issuer: &str) -> Issuer {
    Issuer::discover(issuer).dangerous().insecure_loopback_http()
}
