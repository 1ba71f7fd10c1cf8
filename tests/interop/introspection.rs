//! A resource server that asks the authorization server about tokens, and what it tells its clients.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use portcullis::check::scope;
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection, IntrospectionHealth};
use portcullis::secret::SecretSource;
use portcullis::testing::challenges;
use portcullis::{Access, Binding, Issuer, Rejection, ResourceServer, ServerBuilder, TokenClass};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::RESOURCE;
use crate::provider::Provider;

pub(crate) const UNAVAILABLE: &str = "503 introspection_unavailable";
pub(crate) const INACTIVE: &str = "401 inactive, Bearer invalid_token";

/// The authorization server, and what its resource server shows there. The files are removed in the
/// end.
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) endpoint: String,
    secrets: Secrets,
}

/// Secrets in files, which are removed in the end.
pub(crate) struct Secrets {
    directory: PathBuf,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("interop-secrets-{}-{count}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// A file with this text. The name is that of the same file as before.
    pub(crate) fn file(&self, name: &str, text: &str) -> SecretSource {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        SecretSource::file(path)
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Provider::start().await).await
    }

    pub(crate) async fn of(provider: Provider) -> Self {
        let metadata = provider.metadata(&provider.issuer_a).await;
        let endpoint = metadata["introspection_endpoint"].as_str().unwrap().to_owned();
        Self { provider, endpoint, secrets: Secrets::new() }
    }

    /// A file with this text. The name is that of the same file as before.
    pub(crate) fn secret(&self, name: &str, text: &str) -> SecretSource {
        self.secrets.file(name, text)
    }

    /// What the authorization server knows of a client.
    pub(crate) async fn client(&self, name: &str) -> Value {
        self.provider.ask("GET", &format!("/client?client={name}")).await
    }

    /// `client_secret_basic`, as the client of this name.
    pub(crate) async fn basic(&self, name: &str) -> ClientAuth {
        let client = self.client(name).await;
        ClientAuth::basic(
            text(&client["client_id"]),
            self.secret(name, text(&client["client_secret"])),
        )
    }

    /// Every request is asked about, and answers may lack what those of oidc-provider lack.
    pub(crate) fn asked_by(&self, client: ClientAuth) -> Introspection {
        Introspection::at(&self.provider.issuer_a, &self.endpoint)
            .client(client)
            .may_lack(AnswerGap::Subject)
            .ttl(Duration::ZERO)
            .dangerous()
            .insecure_loopback_http()
    }

    /// A server that asks so, and has no keys of the issuer.
    pub(crate) fn api(&self, introspection: Introspection) -> Api {
        Api::new(self.opaque(), |builder| builder.introspection(introspection))
    }

    /// The issuer without its keys.
    pub(crate) fn opaque(&self) -> Issuer {
        let issuer = Issuer::opaque(&self.provider.issuer_a);
        issuer.dangerous().insecure_loopback_http()
    }

    /// An opaque token for the notes, which a client got for itself.
    pub(crate) async fn token(&self) -> String {
        self.provider.token("format=opaque&scope=notes:read").await
    }

    /// An access token for the notes, and a refresh token, of a person's client.
    pub(crate) async fn user_tokens(&self) -> (String, String) {
        let tokens = self.provider.ask("GET", "/user_tokens?format=opaque").await;
        let token = |name: &str| text(&tokens[name]).to_owned();
        (token("access_token"), token("refresh_token"))
    }

    pub(crate) async fn stop(self) {
        self.provider.stop().await;
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A protected API with the machine's clock and the real transport.
pub(crate) struct Api {
    pub(crate) server: ResourceServer,
    app: Router,
}

impl Api {
    pub(crate) fn new(
        issuer: Issuer,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let builder = ResourceServer::builder(RESOURCE)
            .issuer(issuer)
            .class(TokenClass::default_at_most(Duration::from_mins(5)))
            .binding(Binding::WhereBound);
        let server = settings(builder).build().unwrap();
        let app = Router::new()
            .route("/", get(async |access: Access| access.subject().to_string()))
            .layer(server.protect(scope("notes:read")));
        Self { server, app }
    }

    /// What a bearer of this token is told, and for 200 the subject.
    pub(crate) async fn told(&self, token: &str) -> String {
        self.told_with(&format!("Bearer {token}"), None).await
    }

    /// The same with a scheme, and with a proof.
    pub(crate) async fn told_with(&self, authorization: &str, proof: Option<&str>) -> String {
        let request = Request::get("/").header(AUTHORIZATION, authorization);
        let request = match proof {
            None => request,
            Some(proof) => request.header("dpop", proof),
        };
        let request = request.body(Body::empty()).unwrap();
        told(self.app.clone().oneshot(request).await.unwrap()).await
    }

    /// Why a bearer of this token is refused, as an operator reads it.
    pub(crate) async fn why(&self, token: &str) -> String {
        let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
        let response =
            self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let rejection = response.extensions().get::<Rejection>().expect("it is refused");
        rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string)
    }

    pub(crate) fn health(&self) -> IntrospectionHealth {
        self.server.introspection_health().remove(0)
    }
}

async fn told(response: Response<Body>) -> String {
    let (parts, body) = response.into_parts();
    let mut told = parts.status.as_u16().to_string();
    let Some(rejection) = parts.extensions.get::<Rejection>() else {
        let subject = body.collect().await.unwrap().to_bytes();
        return format!("{told} {}", std::str::from_utf8(&subject).unwrap());
    };
    println!("refused: {rejection}");
    told = format!("{told} {}", rejection.kind());
    for challenge in challenges(&parts.headers) {
        let error = challenge.param("error").unwrap_or("-");
        told = format!("{told}, {} {error}", challenge.scheme);
    }
    // INT-11: an outage is never the token's fault.
    let unavailable = parts.status.as_u16() == 503;
    assert_eq!(parts.headers.contains_key(WWW_AUTHENTICATE), !unavailable, "{told}");
    told
}
