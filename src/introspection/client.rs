use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::assertion::{Asserter, AssertionError, Parsed};
use super::form::{Form, encoded};
use crate::error::{ConfigFault, Faults};
use crate::jose::Algorithm;
use crate::secret::{
    Credential, CredentialScheme, Secret, SecretError, SecretReader, SecretSource,
};
use crate::time::Clock;

/// The longest client id, key id or audience, in bytes: as long as any identifier.
const LONGEST: usize = 8_000;

/// How this server authenticates itself at an introspection endpoint (RFC 7662 §2.1).
///
/// A secret, a key or a token is read anew for each question, on a thread that may block, so that a
/// rotated one is seen; it is never printed. Nothing is read when the server is built.
///
/// ```
/// use portcullis::introspection::ClientAuth;
/// use portcullis::secret::SecretSource;
///
/// let key = SecretSource::file("/run/secrets/introspection-key.pem");
/// let auth = ClientAuth::private_key_jwt("api", key).key_id("2025-01");
/// assert_eq!(format!("{auth:?}"), r#"ClientAuth { kind: "private_key_jwt", client_id: "api", .. }"#);
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientAuth {
    method: Method,
    client_id: Option<String>,
    source: Option<SecretSource>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    audience: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Basic,
    Post,
    PrivateKeyJwt,
    Mtls,
    Bearer,
    Unauthenticated,
}

impl ClientAuth {
    /// `client_secret_basic` (RFC 6749 §2.3.1): client id and secret in `Authorization`, each encoded as
    /// in a form first, whatever characters they have.
    pub fn basic(client_id: impl Into<String>, secret: SecretSource) -> Self {
        Self::new(Method::Basic, Some(client_id.into()), Some(secret))
    }

    /// `client_secret_post` (RFC 6749 §2.3.1): client id and secret in the body, for a server that takes
    /// no other; RFC 6749 does not recommend it.
    pub fn post(client_id: impl Into<String>, secret: SecretSource) -> Self {
        Self::new(Method::Post, Some(client_id.into()), Some(secret))
    }

    /// `private_key_jwt` (RFC 7523 §2.2): an assertion of one minute, signed anew for each question. The
    /// key is in PEM (PKCS #8, not encrypted) or a private JWK.
    pub fn private_key_jwt(client_id: impl Into<String>, key: SecretSource) -> Self {
        Self::new(Method::PrivateKeyJwt, Some(client_id.into()), Some(key))
    }

    /// `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705 §2): the client id in the body. The
    /// certificate is for the transport to show, as
    /// [`ReqwestTransportBuilder::client_certificate`](crate::transport::ReqwestTransportBuilder::client_certificate)
    /// makes it.
    pub fn mtls(client_id: impl Into<String>) -> Self {
        Self::new(Method::Mtls, Some(client_id.into()), None)
    }

    /// An access token of our own (RFC 7662 §2.1), as `Authorization: Bearer`.
    pub fn bearer(token: SecretSource) -> Self {
        Self::new(Method::Bearer, None, Some(token))
    }

    /// None. RFC 7662 §2.1 has the endpoint require some: one that does not lets anybody who reaches it
    /// try out tokens (§4).
    pub fn insecure_unauthenticated() -> Self {
        Self::new(Method::Unauthenticated, None, None)
    }

    fn new(method: Method, client_id: Option<String>, source: Option<SecretSource>) -> Self {
        Self { method, client_id, source, algorithm: None, key_id: None, audience: None }
    }

    /// The algorithm of the assertions: of [`Self::private_key_jwt`] only. By default what `alg` of a
    /// JWK says; else ES256, ES384 or ES512 by the curve, PS256 for an RSA key, and `EdDSA` for an
    /// Ed25519 key, which more servers know by this name than by `Ed25519` (RFC 9864).
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// The `kid` of the assertions: of [`Self::private_key_jwt`] only. By default the `kid` of a JWK.
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// The `aud` of the assertions: of [`Self::private_key_jwt`] only. By default the issuer identifier,
    /// which no other server has; some servers want the URL of their token endpoint, or of the endpoint
    /// that is asked.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// What it is to be used as, or faults.
    pub(crate) fn check(&self, issuer: &str, faults: &mut Faults) -> Option<CheckedClient> {
        let before = faults.len();
        let mut fault = |member, what: String| {
            let what = format!("issuer `{issuer}`: client authentication: {what}");
            faults.push_at(member, ConfigFault::Introspection(what));
        };
        for (member, value) in
            [("client_id", &self.client_id), ("key_id", &self.key_id), ("audience", &self.audience)]
        {
            let Some(value) = value else { continue };
            if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
                fault(
                    member,
                    format!(
                        "`{member}` is empty, longer than {LONGEST} bytes, or has a control character: \
                         correct it"
                    ),
                );
            }
        }
        for (member, given) in [
            ("algorithm", self.algorithm.is_some()),
            ("key_id", self.key_id.is_some()),
            ("audience", self.audience.is_some()),
        ] {
            if given && self.method != Method::PrivateKeyJwt {
                let name = self.method.name();
                fault(
                    member,
                    format!(
                        "`{member}` is for `private_key_jwt`, and this is `{name}`: leave it out"
                    ),
                );
            }
        }
        if faults.len() > before {
            return None;
        }
        let reader = |source: &SecretSource| Arc::new(SecretReader::new(source.clone()));
        let shown = match (self.method, &self.client_id, &self.source) {
            (Method::Basic, Some(_), Some(source)) => Shown::Basic(reader(source)),
            (Method::Post, Some(_), Some(source)) => Shown::Post(reader(source)),
            (Method::PrivateKeyJwt, Some(client_id), Some(source)) => {
                Shown::Assertion(Arc::new(Asserter {
                    client_id: client_id.clone(),
                    key: reader(source),
                    algorithm: self.algorithm,
                    key_id: self.key_id.clone(),
                    audience: self.audience.clone(),
                    parsed: Parsed::default(),
                }))
            }
            (Method::Bearer, _, Some(source)) => {
                let credential = Credential::new(source.clone(), CredentialScheme::Bearer);
                Shown::Bearer(Arc::new(credential))
            }
            (Method::Mtls, Some(_), _) => Shown::ClientId,
            (Method::Unauthenticated, ..) => Shown::Nothing,
            // INVARIANT: each constructor sets what its method needs.
            _ => return None,
        };
        Some(CheckedClient { auth: self.clone(), shown })
    }
}

impl Method {
    /// As OAuth names it (RFC 6749 §2.3.1, RFC 7591 §2, RFC 8705 §2.1).
    const fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Mtls => "tls_client_auth",
            Self::Bearer => "bearer",
            Self::Unauthenticated => "none",
        }
    }
}

/// Kind and client id, and nothing that is secret.
impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientAuth");
        shown.field("kind", &self.method.name());
        if let Some(client_id) = &self.client_id {
            shown.field("client_id", client_id);
        }
        shown.finish_non_exhaustive()
    }
}

/// Client authentication that can be used. A clone reads the same secret.
#[derive(Clone)]
pub(crate) struct CheckedClient {
    auth: ClientAuth,
    shown: Shown,
}

/// What the endpoint is shown.
#[derive(Clone)]
enum Shown {
    Basic(Arc<SecretReader>),
    Post(Arc<SecretReader>),
    Assertion(Arc<Asserter>),
    Bearer(Arc<Credential>),
    ClientId,
    Nothing,
}

/// Why this server cannot authenticate itself. For operators; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {what}")]
pub(crate) struct ClientAuthError {
    endpoint: String,
    what: ClientAuthFault,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ClientAuthFault {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Assertion(#[from] AssertionError),
}

impl CheckedClient {
    /// What the assertion is (RFC 7523 §2.2).
    const ASSERTION_TYPE: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    /// Adds what authenticates this server to a question: `Authorization`, or members of the form. How
    /// long a secret may be read is for the caller to bound.
    pub(crate) async fn apply(
        &self,
        form: &mut Form,
        headers: &mut HeaderMap,
        endpoint: &str,
        issuer: &str,
        clock: &dyn Clock,
    ) -> Result<(), ClientAuthError> {
        let shown = self.show(form, headers, issuer, clock).await;
        shown.map_err(|what| ClientAuthError { endpoint: endpoint.to_owned(), what })
    }

    async fn show(
        &self,
        form: &mut Form,
        headers: &mut HeaderMap,
        issuer: &str,
        clock: &dyn Clock,
    ) -> Result<(), ClientAuthFault> {
        let client_id = self.client_id().unwrap_or_default();
        match &self.shown {
            Shown::Basic(reader) => {
                let secret = password(reader, reader.read().await?)?;
                let value = basic(client_id, &secret)
                    .ok_or_else(|| reader.source().unusable("it does not fit into a field"))?;
                headers.insert(AUTHORIZATION, value);
            }
            Shown::Post(reader) => {
                let secret = password(reader, reader.read().await?)?;
                form.push("client_id", client_id);
                form.push("client_secret", secret.expose());
            }
            Shown::Assertion(asserter) => {
                let assertion = asserter.assert(issuer, clock).await?;
                // RFC 7521 §4.2 leaves it to us whether to send the client id; some servers look the
                // key up by it.
                form.push("client_id", client_id);
                form.push("client_assertion_type", Self::ASSERTION_TYPE);
                form.push("client_assertion", assertion);
            }
            Shown::Bearer(credential) => {
                headers.insert(AUTHORIZATION, credential.read().await?);
            }
            Shown::ClientId => form.push("client_id", client_id),
            Shown::Nothing => {}
        }
        Ok(())
    }

    pub(crate) fn client_id(&self) -> Option<&str> {
        self.auth.client_id.as_deref()
    }

    /// The method, as OAuth names it; `bearer` or `none` where it has no name for it.
    pub(crate) fn kind(&self) -> &'static str {
        self.auth.method.name()
    }

    /// What it says, in the words of a file: where a secret is, and never what it is.
    pub(crate) fn report(&self) -> serde_json::Value {
        let auth = &self.auth;
        let mut report = serde_json::Map::new();
        let method = match self.kind() {
            "none" => "insecure_unauthenticated",
            kind => kind,
        };
        let secret = match auth.method {
            Method::PrivateKeyJwt => "key",
            Method::Bearer => "token",
            _ => "secret",
        };
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        for (member, said) in [
            ("method", Some(method.into())),
            ("client_id", self.client_id().map(Into::into)),
            (secret, self.source().map(SecretSource::report)),
            ("algorithm", auth.algorithm.map(|algorithm| algorithm.as_str().into())),
            ("key_id", text(&auth.key_id)),
            ("audience", text(&auth.audience)),
        ] {
            report.extend(said.map(|said| (member.to_owned(), said)));
        }
        report.into()
    }

    /// Where the secret, the key or the token is.
    pub(crate) fn source(&self) -> Option<&SecretSource> {
        self.auth.source.as_ref()
    }
}

impl fmt::Debug for CheckedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedClient").field(&self.auth).finish()
    }
}

/// A client secret is text without control characters (RFC 6749 §A.2, Appendix B): a file of several
/// lines, or one that is not UTF-8, is something else.
fn password(reader: &SecretReader, secret: Secret) -> Result<Secret, SecretError> {
    let text = std::str::from_utf8(secret.expose());
    if text.is_ok_and(|text| !text.chars().any(char::is_control)) {
        return Ok(secret);
    }
    Err(reader.source().unusable("it is not UTF-8, or has a control character such as a line end"))
}

fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let pair = format!("{}:{}", encoded(client_id.as_bytes()), encoded(secret.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::jose::base64url;
    use crate::testing::ManualClock;

    const ISSUER: &str = "https://login.example.com";
    const ENDPOINT: &str = "https://login.example.com/introspect";

    /// A file that is removed in the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
            let name = format!("portcullis-client-{name}-{}", std::process::id());
            let place = Self(std::env::temp_dir().join(name));
            place.write(text);
            place
        }

        fn write(&self, text: impl AsRef<[u8]>) {
            std::fs::write(&self.0, text).unwrap();
        }

        fn source(&self) -> SecretSource {
            SecretSource::file(&self.0)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn checked(auth: &ClientAuth) -> CheckedClient {
        let mut faults = Faults::new();
        let checked = auth.check(ISSUER, &mut faults);
        faults.unless_none(checked.unwrap()).unwrap()
    }

    /// The field and the body of a question about `t`.
    async fn question(client: &CheckedClient) -> Result<(Option<String>, String), ClientAuthError> {
        let (mut form, mut headers) = (Form::new(), HeaderMap::new());
        form.push("token", "t");
        let clock = ManualClock::new();
        let applied = client.apply(&mut form, &mut headers, ENDPOINT, ISSUER, &clock).await;
        let body = String::from_utf8(form.into_bytes().into()).unwrap();
        if applied.is_err() {
            assert_eq!((headers.len(), &*body), (0, "token=t"), "nothing by halves");
        }
        applied?;
        let field = headers.remove(AUTHORIZATION).map(|value| {
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        });
        assert!(headers.is_empty());
        Ok((field, body))
    }

    /// INT-02, RFC 6749 §2.3.1: the examples of the RFC, to the octet.
    #[tokio::test]
    async fn the_examples_of_the_rfc() {
        let place = Place::new("rfc", "7Fjfp0ZBr1KtDRbnfVdmIw\n");
        let basic = checked(&ClientAuth::basic("s6BhdRkqt3", place.source()));
        let wanted = "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3";
        let asked = question(&basic).await.unwrap();
        assert_eq!(asked, (Some(wanted.to_owned()), "token=t".to_owned()));
        let post = checked(&ClientAuth::post("s6BhdRkqt3", place.source()));
        let wanted = "token=t&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw";
        assert_eq!(question(&post).await.unwrap(), (None, wanted.to_owned()));
    }

    /// INT-01, INT-02: no character of a client id or a secret ends it, or is taken for another.
    #[tokio::test]
    async fn odd_ids_and_secrets_are_encoded() {
        for (client_id, secret, id, encoded) in [
            ("a:b", "c:d", "a%3Ab", "c%3Ad"),
            ("a b", "c d", "a+b", "c+d"),
            ("a+b", "+/=~%", "a%2Bb", "%2B%2F%3D%7E%25"),
            ("a&client_id=b", "c&d=e", "a%26client_id%3Db", "c%26d%3De"),
            ("https://api.example.com", "%41", "https%3A%2F%2Fapi.example.com", "%2541"),
            ("\u{a3}", "p\u{e4}ss\u{20ac}", "%C2%A3", "p%C3%A4ss%E2%82%AC"),
            ("*-._", "*-._", "*-._", "*-._"),
        ] {
            let place = Place::new("odd", secret);
            let basic = checked(&ClientAuth::basic(client_id, place.source()));
            let (field, body) = question(&basic).await.unwrap();
            let pair = STANDARD.decode(field.unwrap().strip_prefix("Basic ").unwrap()).unwrap();
            assert_eq!(String::from_utf8(pair).unwrap(), format!("{id}:{encoded}"));
            assert_eq!(body, "token=t");
            let post = checked(&ClientAuth::post(client_id, place.source()));
            let wanted = format!("token=t&client_id={id}&client_secret={encoded}");
            assert_eq!(question(&post).await.unwrap(), (None, wanted));
        }
    }

    /// INT-02, RFC 7523 §2.2, RFC 8705 §2, RFC 7662 §2.1: what the other kinds show.
    #[tokio::test]
    async fn each_kind_shows_what_it_is() {
        let token = Place::new("token", "aaa.bbb~c+/=");
        let bearer = checked(&ClientAuth::bearer(token.source()));
        let wanted = (Some("Bearer aaa.bbb~c+/=".to_owned()), "token=t".to_owned());
        assert_eq!(question(&bearer).await.unwrap(), wanted);
        assert_eq!((bearer.kind(), bearer.client_id()), ("bearer", None));
        assert_eq!(bearer.source(), Some(&token.source()));

        let mtls = checked(&ClientAuth::mtls("a b"));
        assert_eq!(question(&mtls).await.unwrap(), (None, "token=t&client_id=a+b".to_owned()));
        assert_eq!((mtls.kind(), mtls.client_id()), ("tls_client_auth", Some("a b")));
        assert_eq!(mtls.source(), None);

        let nobody = checked(&ClientAuth::insecure_unauthenticated());
        assert_eq!(question(&nobody).await.unwrap(), (None, "token=t".to_owned()));
        assert_eq!((nobody.kind(), nobody.client_id(), nobody.source()), ("none", None, None));

        let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = Place::new("key", jwk);
        let jwt = checked(&ClientAuth::private_key_jwt("a b", key.source()).key_id("k"));
        let (field, body) = question(&jwt).await.unwrap();
        let assertion = body.strip_prefix(
            "token=t&client_id=a+b&client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=",
        );
        let assertion = assertion.unwrap();
        assert_eq!((field, jwt.kind()), (None, "private_key_jwt"));
        let header = base64url::decode(assertion.split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, serde_json::json!({ "alg": "EdDSA", "kid": "k", "typ": "JWT" }));
        assert!(!assertion.contains(['&', '%', '=']));
        let (_, again) = question(&jwt.clone()).await.unwrap();
        assert_ne!(again, body);
    }

    /// A secret is read for each question, also by a clone: nothing of an earlier one is kept.
    #[tokio::test]
    async fn a_rotated_secret_is_seen() {
        let place = Place::new("rotated", "one");
        let post = checked(&ClientAuth::post("api", place.source()));
        let clone = post.clone();
        let is = |secret| format!("token=t&client_id=api&client_secret={secret}");
        assert_eq!(question(&post).await.unwrap().1, is("one"));
        place.write("two");
        assert_eq!(question(&post).await.unwrap().1, is("two"));
        std::fs::remove_file(&place.0).unwrap();
        assert!(question(&post).await.is_err());
        place.write("three");
        assert_eq!(question(&clone).await.unwrap().1, is("three"));
    }

    /// AUTH-22: a secret that cannot be one is refused before anything is sent, and is not shown.
    #[tokio::test]
    async fn a_secret_that_cannot_be_one_is_not_sent() {
        let (two_lines, other): (&[u8], &[u8]) = (b"s3cret\nX-Admin: 1", b"s3cret\xff");
        for (name, secret, kinds) in [
            ("two lines", two_lines, &["basic", "post", "bearer"][..]),
            ("another encoding", other, &["basic", "post"]),
            ("nothing", b" \n", &["basic", "post", "bearer"]),
        ] {
            let place = Place::new("no-secret", secret);
            for kind in kinds {
                let auth = match *kind {
                    "basic" => ClientAuth::basic("api", place.source()),
                    "post" => ClientAuth::post("api", place.source()),
                    _ => ClientAuth::bearer(place.source()),
                };
                let error = question(&checked(&auth)).await.expect_err(name);
                let printed = format!("{error} {error:?}");
                assert!(printed.starts_with(ENDPOINT), "{printed}");
                assert!(printed.contains("portcullis-client-no-secret"), "{printed}");
                assert!(!printed.contains("s3cret"), "{printed}");
            }
        }
    }

    /// AUTH-22: kind and client id are printed, and nothing else.
    #[tokio::test]
    async fn no_secret_is_printed() {
        let place = Place::new("printed", "s3cret-and-long");
        for auth in [
            ClientAuth::basic("api", place.source()),
            ClientAuth::post("api", place.source()),
            ClientAuth::bearer(place.source()),
        ] {
            let client = checked(&auth);
            question(&client).await.unwrap();
            let printed = format!("{auth:?} {client:?} {auth:#?} {client:#?}");
            assert!(printed.contains(client.kind()), "{printed}");
            assert!(!printed.contains("s3cret") && !printed.contains("portcullis-"), "{printed}");
        }
    }

    /// INT-02: what cannot work is a fault of the configuration, with its place.
    #[test]
    fn what_cannot_work_is_a_fault() {
        let source = || SecretSource::env("SECRET");
        let jwt = || ClientAuth::private_key_jwt("api", source());
        let long = "a".repeat(LONGEST + 1);
        for (name, auth, wanted) in [
            ("good", ClientAuth::basic("api", source()), &[][..]),
            (
                "all that a key may have",
                jwt().algorithm(Algorithm::Es256).key_id("k").audience("a"),
                &[],
            ),
            ("as long as may be", ClientAuth::mtls("a".repeat(LONGEST)), &[]),
            ("no client id", ClientAuth::basic("", source()), &["client_id"]),
            ("a line end", ClientAuth::mtls("api\n"), &["client_id"]),
            ("a control character", ClientAuth::post("a\u{85}pi", source()), &["client_id"]),
            ("too long", ClientAuth::mtls(long), &["client_id"]),
            ("no key id", jwt().key_id(""), &["key_id"]),
            ("no audience", jwt().audience("\0"), &["audience"]),
            (
                "basic",
                ClientAuth::basic("api", source()).algorithm(Algorithm::Es256),
                &["algorithm"],
            ),
            ("mtls", ClientAuth::mtls("api").key_id("k").audience("a"), &["key_id", "audience"]),
            ("nobody", ClientAuth::insecure_unauthenticated().audience("a"), &["audience"]),
        ] {
            let mut faults = Faults::new();
            let checked = auth.check(ISSUER, &mut faults);
            assert_eq!(checked.is_some(), wanted.is_empty(), "{name}");
            let Err(error) = faults.unless_none(()) else { continue };
            let places: Vec<_> = error.places().map(|(place, _)| place).collect();
            assert_eq!(places, wanted, "{name}");
            assert!(error.to_string().contains(ISSUER), "{name}: {error}");
        }
    }
}
