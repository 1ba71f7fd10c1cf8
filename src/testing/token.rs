use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde::Serialize;

use super::jws::{Jws, compact};
use super::key::TestKey;
use super::members::json;
use crate::time::Timestamp;

/// A token to be signed: good as it is made, wrong as a test wants it.
///
/// It begins with every claim of RFC 9068 §2.2: subject `alice`, client `test-client`, a `jti` of
/// its own, issued now for five minutes, no scope.
#[derive(Clone)]
#[must_use = "a token is made by `sign`"]
pub struct TokenBuilder {
    jws: Jws,
}

impl TokenBuilder {
    pub(super) fn new(
        key: Arc<TestKey>,
        issuer: &str,
        audience: &str,
        jti: &str,
        now: Timestamp,
    ) -> Self {
        // Issuers write whole seconds.
        let whole = Timestamp::from_secs(now.as_secs());
        let mut jws = Jws::new(key, "at+jwt");
        jws.header.set("kid", json(jws.key.kid()));
        Self { jws }
            .claim("iss", issuer)
            .claim("aud", audience)
            .claim("sub", "alice")
            .claim("client_id", "test-client")
            .claim("jti", jti)
            .issued_at(whole)
            .expires_at(whole.plus(Duration::from_mins(5)))
    }

    /// The subject.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// The client.
    pub fn client_id(self, client_id: &str) -> Self {
        self.claim("client_id", client_id)
    }

    /// The scope: scope tokens separated by spaces.
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// When it was issued.
    pub fn issued_at(self, at: Timestamp) -> Self {
        self.raw_claim("iat", &at.to_string())
    }

    /// From when on it is not accepted.
    pub fn expires_at(self, at: Timestamp) -> Self {
        self.raw_claim("exp", &at.to_string())
    }

    /// A claim, instead of the one of this name.
    pub fn claim(self, name: &str, value: impl Serialize) -> Self {
        self.raw_claim(name, &json(value))
    }

    /// A claim as JSON text, instead of the one of this name.
    pub fn raw_claim(mut self, name: &str, json: &str) -> Self {
        self.jws.payload.set(name, json.to_owned());
        self
    }

    /// A claim as JSON text, beside one of the same name.
    pub fn repeated_claim(mut self, name: &str, json: &str) -> Self {
        self.jws.payload.push(name, json.to_owned());
        self
    }

    /// The token as Keycloak would write it for a person (see
    /// [`crate::issuer::TokenProfile::keycloak`]): `typ` `JWT`, the client in `azp`, a session. Set
    /// client and scope before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use portcullis::testing::{ManualClock, TestIssuer};
    /// # use portcullis::{Binding, ResourceServer, TokenClass};
    /// use portcullis::issuer::TokenProfile;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let clock = ManualClock::new();
    /// let issuer = TestIssuer::new("https://sso.example/realms/staff", &clock);
    /// let api = ResourceServer::builder("https://rs.example")
    ///     .issuer(issuer.fixed_keys().profile(TokenProfile::keycloak()))
    ///     .binding(Binding::WhereBound)
    ///     .class(TokenClass::default_at_most(Duration::from_mins(15)))
    ///     .clock(clock)
    ///     .build()?;
    /// let token = issuer.token("https://rs.example").client_id("web").keycloak().sign();
    /// let request = http::Request::get("/")
    ///     .header("authorization", format!("Bearer {token}"))
    ///     .body(())?;
    /// assert_eq!(api.verify(&request).await?.client_id().unwrap(), "web");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keycloak(self) -> Self {
        self.header("typ", "JWT")
            .claim("typ", "Bearer")
            .renamed("client_id", "azp")
            .claim("sid", "8f7ec276-358f-4ccc-b313-db08290f376f")
    }

    /// The token as Microsoft Entra ID would write it for a person of this tenant, version 2.0 (see
    /// [`crate::issuer::TokenProfile::entra_id`]): `typ` `JWT`, no `jti`, the client in `azp`, the
    /// scope in `scp`. Set client and scope before.
    pub fn entra_id(self, tenant_id: &str) -> Self {
        self.header("typ", "JWT")
            .renamed("client_id", "azp")
            .renamed("scope", "scp")
            .without("jti")
            .claim("tid", tenant_id)
            .claim("oid", "690222be-ff1a-4d56-abd1-7e4f7d38e474")
            .claim("ver", "2.0")
    }

    fn renamed(mut self, from: &str, to: &str) -> Self {
        self.jws.payload.rename(from, to);
        self
    }

    /// No claim of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.jws.payload.remove(name);
        self
    }

    /// A member of the header, instead of the one of this name.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.jws.header.set(name, json(value));
        self
    }

    /// No member of this name in the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.jws.header.remove(name);
        self
    }

    /// These octets as the header.
    pub fn raw_header(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.jws.raw_header = Some(octets.into());
        self
    }

    /// These octets as the payload.
    pub fn raw_payload(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.jws.raw_payload = Some(octets.into());
        self
    }

    /// The token, signed by the issuer's key.
    #[must_use]
    pub fn sign(&self) -> String {
        self.jws.sign()
    }

    /// The token as it is, signed by this key: its header still names the issuer's.
    #[must_use]
    pub fn sign_with(&self, key: &TestKey) -> String {
        self.jws.sign_with(key)
    }

    /// The token with `alg` `HS256`, signed with this secret.
    #[must_use]
    pub fn sign_with_hmac(&self, secret: &[u8]) -> String {
        let input = self.jws.input_with("HS256");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        compact(&input, tag)
    }

    /// The token with this `alg` and an empty signature.
    #[must_use]
    pub fn unsigned(&self, alg: &str) -> String {
        self.jws.unsigned(alg)
    }

    /// The token with its last signature octet changed.
    #[must_use]
    pub fn tampered(&self) -> String {
        self.jws.tampered()
    }

    /// Encoded header and payload: what is signed.
    #[must_use]
    pub fn signing_input(&self) -> String {
        self.jws.signing_input()
    }

    /// The payload as it would be signed.
    #[must_use]
    pub fn payload(&self) -> String {
        self.jws.payload.to_json()
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jws.debug("TokenBuilder", f)
    }
}
