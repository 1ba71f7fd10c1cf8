//! Issuers whose every token is as a test wants it: `issuer.mjs` (npm `jose`) and `issuer.py` (Authlib,
//! joserfc, PyJWT).

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::introspection::text;
use crate::process::{Process, node, python};

pub(crate) struct Issuer {
    process: Process,
    pub(crate) id: String,
    control: String,
    client: Client<HttpConnector, Body>,
}

impl Issuer {
    pub(crate) async fn jose() -> Self {
        Self::spawn(&mut node("issuer.mjs")).await
    }

    pub(crate) async fn authlib() -> Self {
        Self::spawn(&mut python("issuer.py")).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let (process, ready) = Process::ready(command).await;
        Self {
            process,
            id: text(&ready["issuer"]).to_owned(),
            control: text(&ready["control"]).to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it is asked over its control.
    pub(crate) async fn ask(&self, path: &str, what: &Value) -> Value {
        let url = format!("{}{path}", self.control);
        let request = Request::post(&url).header("content-type", "application/json");
        let request = request.body(Body::from(what.to_string())).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(head.status.is_success(), "{path} {what}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// A form that a client of Authlib's server sends, with the client's secret; the answer.
    async fn post(&self, client: &str, path: &str, form: &[(&str, &str)]) -> Value {
        let secrets = self.ask("/clients", &json!({})).await;
        let pair = format!("{client}:{}", text(&secrets[client]));
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(format!("{}{path}", self.id))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            .body(Body::from(form))
            .unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(head.status.is_success(), "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// An access token that a client of Authlib's server gets for itself.
    pub(crate) async fn token(&self, client: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        text(&self.post(client, "/token", &form).await["access_token"]).to_owned()
    }

    /// The client gives a token back (RFC 7009).
    pub(crate) async fn revoke(&self, client: &str, token: &str) {
        self.post(client, "/revoke", &[("token", token)]).await;
    }

    /// A token by this recipe.
    pub(crate) async fn sign(&self, recipe: &Value) -> String {
        text(&self.ask("/sign", recipe).await["token"]).to_owned()
    }
}
