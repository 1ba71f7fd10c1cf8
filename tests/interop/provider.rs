//! The authorization server, and any other process of Node.

use std::process::{Output, Stdio};
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
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::DIRECTORY;
use crate::certificates::Certificates;

const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(30);
const CLIENT: Duration = Duration::from_mins(2);

/// A process that is killed when this test lets go of it, however that comes.
fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script).current_dir(DIRECTORY).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The authorization servers `a` and `b`, and what controls them.
pub(crate) struct Provider {
    process: Child,
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
        // Node was seen to hang once as it started: a second one is tried.
        let mut tries = 0;
        let (process, ready) = loop {
            tries += 1;
            let mut process = command.spawn().expect("node is installed");
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
            match timeout(START, lines.next_line()).await {
                Ok(ready) => break (process, ready),
                Err(_) => assert!(tries < 3, "the provider says in time that it is ready"),
            }
        };
        let ready =
            ready.unwrap().expect("the provider started: run `npm ci` in tests/interop first");
        let ready: Value = serde_json::from_str(&ready).unwrap();
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

    pub(crate) async fn stop(mut self) {
        self.ask("POST", "/stop").await;
        let stopped = timeout(ANSWER, self.process.wait()).await.expect("the provider stops");
        let status = stopped.unwrap();
        assert!(status.success(), "the provider stopped with {status}");
    }
}

/// Issuers without TLS, on loopback, for these tests alone; the transport is the real one.
pub(crate) fn discover(issuer: &str) -> Issuer {
    Issuer::discover(issuer).dangerous().insecure_loopback_http()
}

/// Runs a client with these settings to its end; what it printed.
pub(crate) async fn run(script: &str, settings: &Value) -> String {
    let mut process = node(script).stderr(Stdio::piped()).spawn().expect("node is installed");
    let mut stdin = process.stdin.take().unwrap();
    // Where it cannot be written the process has ended, and its status says more.
    let _ = stdin.write_all(settings.to_string().as_bytes()).await;
    drop(stdin);
    let end = timeout(CLIENT, process.wait_with_output()).await;
    let Output { status, stdout, stderr } = end.expect("the client is done in time").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{script} ended with {status}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}
