//! A service on loopback, over HTTP/1.1 and HTTP/2 without TLS: the routes of `examples/axum.rs`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::HeaderValue;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::testing::challenges;
use portcullis::{Binding, Issuer, ResourceServer, ServerBuilder, TokenClass};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::steps::telling;
use crate::{RESOURCE, axum_example};

pub(crate) struct Service {
    pub(crate) origin: String,
    pub(crate) server: ResourceServer,
    client: Client<HttpConnector, Body>,
    task: JoinHandle<()>,
}

/// A server for notes that takes tokens of five minutes.
pub(crate) fn notes(issuers: impl IntoIterator<Item = Issuer>) -> ServerBuilder {
    let builder = ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(5)));
    issuers.into_iter().fold(builder, ServerBuilder::issuer)
}

impl Service {
    /// The routes of the example.
    pub(crate) async fn start(builder: ServerBuilder) -> Self {
        Self::with(|_| builder.build().unwrap(), axum_example::app).await
    }

    /// A server that knows its origin, and these routes.
    pub(crate) async fn with(
        server: impl FnOnce(&str) -> ResourceServer,
        routes: impl FnOnce(&ResourceServer) -> Router,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = server(&origin);
        let app = telling(routes(&server));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { origin, server, client, task }
    }

    /// What a bearer of this token is told at `/notes`.
    pub(crate) async fn told(&self, token: &str) -> String {
        self.told_of(self.request("GET", "/notes", &[("authorization", &bearer(token))])).await
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in fields {
            // As octets: some are no text that a well-behaved client would send.
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(Body::empty()).unwrap()
    }

    /// Status, kind and challenges; of what was answered the text.
    pub(crate) async fn told_of(&self, request: Request<Body>) -> String {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        told(parts.status.as_u16(), &parts.headers, body.trim_end())
    }

    /// Key sets that were fetched from each issuer.
    pub(crate) fn fetches(&self) -> Vec<u64> {
        self.server.health().iter().map(|issuer| issuer.fetches).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// `200 text`; `401 kind, Scheme error`; `503 kind`.
fn told(status: u16, headers: &HeaderMap, body: &str) -> String {
    let Some(kind) = headers.get("interop-kind") else {
        return format!("{status} {body}").trim_end().to_owned();
    };
    let mut told = format!("{status} {}", kind.to_str().unwrap());
    for challenge in challenges(headers) {
        let error = challenge.param("error").unwrap_or("-");
        told = format!("{told}, {} {error}", challenge.scheme);
    }
    told
}
