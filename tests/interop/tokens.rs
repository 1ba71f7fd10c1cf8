//! Plain tokens of the authorization server, one by one.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::assert_challenge;
use portcullis::check::scope;
use portcullis::{Access, Binding, Rejection, RejectionKind, ResourceServer, TokenClass};
use tokio::net::TcpListener;

use crate::RESOURCE;
use crate::provider::{Provider, discover};

/// A protected API on loopback.
struct Api {
    url: String,
    server: tokio::task::JoinHandle<()>,
    client: Client<HttpConnector, Body>,
    api: ResourceServer,
}

impl Api {
    async fn start(issuers: &[&str]) -> Self {
        let mut builder = ResourceServer::builder(RESOURCE)
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_mins(5)));
        for issuer in issuers {
            builder = builder.issuer(discover(issuer));
        }
        let api = builder.build().unwrap();
        let why = axum::middleware::map_response(async |response: Response<Body>| {
            if let Some(rejection) = response.extensions().get::<Rejection>() {
                println!("refused: {rejection}");
            }
            response
        });
        let app = Router::new()
            .route("/", get(async |access: Access| access.subject().to_string()))
            .layer(api.protect(scope("notes:read")))
            .layer(why);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url, server, client, api }
    }

    async fn get(&self, token: &str) -> Response<hyper::body::Incoming> {
        let request = Request::get(&self.url)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        self.client.request(request).await.unwrap()
    }

    async fn kind(&self, token: &str) -> Option<RejectionKind> {
        let (parts, ()) = Request::get("/")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap()
            .into_parts();
        self.api.verify(&parts).await.err().map(|rejection| rejection.kind())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
#[ignore = "needs Node 20 and `npm ci` in tests/interop"]
async fn a_real_authorization_servers_tokens_are_decided() {
    let provider = Provider::start().await;
    let api = Api::start(&[&provider.issuer_a]).await;
    let resource = format!("resource={RESOURCE}");

    let token = provider.token(&format!("{resource}&scope=notes:read")).await;
    let response = api.get(&token).await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "notes-worker", "found by discovery, verified, read");

    let weaker = provider.token(&format!("{resource}&scope=notes:write")).await;
    assert_challenge!(
        api.get(&weaker).await,
        403,
        "Bearer",
        error = "insufficient_scope",
        scope = "notes:read",
    );

    for (name, token, expected) in [
        ("its ID token", provider.id_token("web").await, RejectionKind::WrongType),
        (
            "its ID token for a client that is named like the resource",
            provider.id_token("lookalike").await,
            RejectionKind::WrongType,
        ),
        (
            "a token for another resource",
            provider.token("resource=https://other.example").await,
            RejectionKind::WrongAudience,
        ),
        (
            "a token of another issuer that has the same kid",
            provider.token(&format!("issuer=b&{resource}&scope=notes:read")).await,
            RejectionKind::UnknownIssuer,
        ),
        ("an opaque token", provider.token("resource=&scope=").await, RejectionKind::OpaqueToken),
        (
            "another algorithm with the RSA key, which has no alg and is used for RS256",
            provider.token(&format!("{resource}&scope=notes:read&alg=PS256")).await,
            RejectionKind::UnknownKey,
        ),
    ] {
        assert_eq!(api.kind(&token).await, Some(expected), "{name}");
        assert_challenge!(api.get(&token).await, 401, "Bearer", error = "invalid_token");
    }
    for algorithm in ["RS256", "ES256", "EdDSA", "Ed25519"] {
        let query = format!("{resource}&scope=notes:read&alg={algorithm}");
        let token = provider.token(&query).await;
        assert_eq!(api.get(&token).await.status(), 200, "{algorithm}");
    }

    let both = Api::start(&[&provider.issuer_a, &provider.issuer_b]).await;
    for issuer in ["a", "b"] {
        let token = provider.token(&format!("issuer={issuer}&{resource}")).await;
        assert_eq!(both.get(&token).await.status(), 200, "{issuer}: one kid, two issuers");
    }

    let before = api.api.health()[0].fetches;
    let rotation = provider.ask("POST", "/rotate").await;
    assert_ne!(rotation["old_kid"], rotation["new_kid"]);
    let new = provider.token(&format!("{resource}&scope=notes:read")).await;
    assert_eq!(api.get(&new).await.status(), 200, "the rotated key is fetched and accepted");
    assert_eq!(api.kind(&token).await, Some(RejectionKind::UnknownKey), "the old one is gone");
    let health = api.api.health();
    assert_eq!(health[0].fetches, before + 1, "one for the new key: {health:?}");

    provider.stop().await;
    assert_eq!(api.get(&new).await.status(), 200, "known keys outlive their issuer");
    assert_ne!(api.kind(&token).await, None);
}
