//! Introspection: who is asked about tokens that only their issuer understands.

use serde::Deserialize;

use super::files::{Files, authority};
use super::issuer::wanted;
use super::secret::SecretRef;
use super::value::{Count, Some1, Table, Time};
use super::word::{AlgorithmWord, words};
use crate::error::{ConfigFault, Faults};
use crate::introspection::{AnswerGap, ClientAuth, Introspection};
use crate::secret::SecretSource;

/// Where the tokens of one issuer are asked about (RFC 7662), and what its answers are worth.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(rename = "Introspection", extend("required" = ["issuer", "endpoint", "client"]))
)]
pub(super) struct IntrospectionTable {
    /// The issuer: one of `issuers`, with keys or `opaque`.
    issuer: Option<String>,
    /// Its introspection endpoint.
    endpoint: Option<String>,
    /// Who this server is there.
    client: Option<Table<ClientTable>>,
    /// Only tokens that begin so are of this issuer; the longest beginning that fits decides. Of several
    /// issuers all but one need one.
    prefixes: Option<Some1<String>>,
    /// Whether only policies that name the issuer, with `introspected_by`, send tokens to it.
    only_where_named: bool,
    /// Whether JWTs that name this issuer are sent to it as well.
    jwts: bool,
    /// Whether answers have to be signed with a key of the issuer (RFC 9701).
    signed_answers: Option<bool>,
    /// What signed answers have to name in `aud`; the client id unless said otherwise. It wants signed
    /// answers by itself.
    signed_for: Option<String>,
    /// Members that its answers lack, while tokens are accepted all the same.
    may_lack: Option<Some1<AnswerGapWord>>,
    /// How long an answer is kept, at most "10m"; "30s" unless said otherwise. "0s" asks with every
    /// request.
    ttl: Option<Time>,
    /// How long it is kept that a token is not active, at most `ttl`; "5s" unless said otherwise.
    negative_ttl: Option<Time>,
    /// The room for answers, in bytes, at most 4294967296; 16777216 unless said otherwise.
    cache_bytes: Option<Count>,
    /// The longest a call may take and a request waits, "50ms" to "10s"; "2s" unless said otherwise.
    timeout: Option<Time>,
    /// How many calls are under way at once, 1 to 1024; 64 unless said otherwise.
    max_at_once: Option<Count>,
    /// The path of a PEM file with the certificates of a private authority: the endpoint is then asked
    /// with these as trust anchors, and no others.
    ca_file: Option<String>,
    /// Settings that weaken what an answer proves.
    dangerous: Option<Table<DangerousTable>>,
}

/// How this server authenticates itself at the endpoint (RFC 7662 §2.1).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Client", extend("required" = ["method"])))]
struct ClientTable {
    /// The method, as OAuth names it.
    method: Option<MethodWord>,
    /// The client id: of every method but "bearer" and "insecure_unauthenticated".
    client_id: Option<String>,
    /// The client secret: of "client_secret_basic" and "client_secret_post".
    secret: Option<SecretRef>,
    /// The private key, in PEM (PKCS #8) or a JWK: of "private_key_jwt".
    key: Option<SecretRef>,
    /// The access token: of "bearer".
    token: Option<SecretRef>,
    /// The algorithm of the assertions of "private_key_jwt"; that of the key unless said otherwise.
    algorithm: Option<AlgorithmWord>,
    /// The `kid` of the assertions of "private_key_jwt"; that of a JWK unless said otherwise.
    key_id: Option<String>,
    /// The `aud` of the assertions of "private_key_jwt"; the issuer unless said otherwise.
    audience: Option<String>,
}

/// Settings that weaken what an answer proves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DangerousOfIntrospection"))]
struct DangerousTable {
    /// Takes an answer without `aud` as one about a token for this server.
    insecure_without_audience: bool,
    /// Lets the endpoint be at an `http` URL of a loopback host.
    insecure_loopback_http: bool,
}

/// A way to authenticate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    Basic,
    Post,
    PrivateKeyJwt,
    Mtls,
    Bearer,
    Unauthenticated,
}

words! {
    /// A way to authenticate.
    MethodWord(Method);
}

words! {
    /// A member that answers may lack.
    AnswerGapWord(AnswerGap);
}

impl IntrospectionTable {
    /// The introspection. Where something is wrong it is there all the same.
    pub(super) fn introspection(&self, files: Files<'_>, faults: &mut Faults) -> Introspection {
        wanted("issuer", self.issuer.is_some(), faults);
        wanted("endpoint", self.endpoint.is_some(), faults);
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut introspection = Introspection::at(said(&self.issuer), said(&self.endpoint));
        if let Some(Table(client)) = &self.client
            && let Some(client) = faults.at("client", |faults| client.client(files, faults))
        {
            introspection = introspection.client(client);
        }
        for prefix in self.prefixes.iter().flat_map(|Some1(list)| list) {
            introspection = introspection.prefix(prefix);
        }
        if self.only_where_named {
            introspection = introspection.only_where_named();
        }
        if self.jwts {
            introspection = introspection.jwts();
        }
        if self.signed_answers == Some(true) {
            introspection = introspection.signed_answers();
        }
        if let Some(audience) = &self.signed_for {
            if self.signed_answers == Some(false) {
                let fault = "`signed_for` wants signed answers: take one of the two away";
                faults.push_at("signed_answers", ConfigFault::File(fault.to_owned()));
            }
            introspection = introspection.signed_for(audience);
        }
        for AnswerGapWord(gap) in self.may_lack.iter().flat_map(|Some1(list)| list) {
            introspection = introspection.may_lack(*gap);
        }
        introspection = self.bounds(introspection);
        if let Some(path) = &self.ca_file
            && let Some(transport) = authority(path, files, faults)
        {
            introspection = introspection.transport(transport);
        }
        if let Some(Table(dangerous)) = &self.dangerous {
            if dangerous.insecure_without_audience {
                introspection = introspection.dangerous().insecure_without_audience();
            }
            if dangerous.insecure_loopback_http {
                introspection = introspection.dangerous().insecure_loopback_http();
            }
        }
        introspection
    }

    fn bounds(&self, mut introspection: Introspection) -> Introspection {
        if let Some(Time(ttl)) = self.ttl {
            introspection = introspection.ttl(ttl);
        }
        if let Some(Time(ttl)) = self.negative_ttl {
            introspection = introspection.negative_ttl(ttl);
        }
        if let Some(Count(bytes)) = self.cache_bytes {
            introspection = introspection.cache_bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        if let Some(Time(timeout)) = self.timeout {
            introspection = introspection.timeout(timeout);
        }
        match self.max_at_once {
            Some(Count(calls)) => introspection.max_at_once(calls),
            None => introspection,
        }
    }
}

impl ClientTable {
    /// Who this server is; `None` if it is not known how it says so.
    fn client(&self, files: Files<'_>, faults: &mut Faults) -> Option<ClientAuth> {
        wanted("method", self.method.is_some(), faults);
        let MethodWord(method) = self.method?;
        let takes = method.takes();
        let secrets = [("secret", &self.secret), ("key", &self.key), ("token", &self.token)];
        let there = secrets.map(|(member, secret)| (member, secret.is_some()));
        for (member, there) in [("client_id", self.client_id.is_some())].into_iter().chain(there) {
            if takes.contains(&member) {
                wanted(member, there, faults);
            } else if there {
                let fault = format!("`{}` has no `{member}`: leave it out", method.as_str());
                faults.push_at(member, ConfigFault::File(fault));
            }
        }
        let taken = secrets.into_iter().find(|(member, _)| takes.contains(member));
        // What is missing was told; what stands for it is never read.
        let source = match taken {
            Some((member, Some(secret))) => read(member, secret, files, faults),
            Some((_, None)) | None => SecretSource::env(""),
        };
        let client_id = self.client_id.clone().unwrap_or_default();
        let mut client = match method {
            Method::Basic => ClientAuth::basic(client_id, source),
            Method::Post => ClientAuth::post(client_id, source),
            Method::PrivateKeyJwt => ClientAuth::private_key_jwt(client_id, source),
            Method::Mtls => ClientAuth::mtls(client_id),
            Method::Bearer => ClientAuth::bearer(source),
            Method::Unauthenticated => ClientAuth::insecure_unauthenticated(),
        };
        if let Some(AlgorithmWord(algorithm)) = self.algorithm {
            client = client.algorithm(algorithm);
        }
        if let Some(key_id) = &self.key_id {
            client = client.key_id(key_id);
        }
        if let Some(audience) = &self.audience {
            client = client.audience(audience);
        }
        Some(client)
    }
}

/// Where a secret is. It has to be there now: that it is not would show with the first token.
fn read(member: &str, secret: &SecretRef, files: Files<'_>, faults: &mut Faults) -> SecretSource {
    let source = secret.from(files.0);
    if let Err(error) = source.read() {
        faults.push_at(member, ConfigFault::Secret(error.to_string()));
    }
    source
}

impl Method {
    const ALL: &'static [Self] = &[
        Self::Basic,
        Self::Post,
        Self::PrivateKeyJwt,
        Self::Mtls,
        Self::Bearer,
        Self::Unauthenticated,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Mtls => "tls_client_auth",
            Self::Bearer => "bearer",
            Self::Unauthenticated => "insecure_unauthenticated",
        }
    }

    /// The members that it cannot do without, and that those do without which do not take them.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Basic | Self::Post => &["client_id", "secret"],
            Self::PrivateKeyJwt => &["client_id", "key"],
            Self::Mtls => &["client_id"],
            Self::Bearer => &["token"],
            Self::Unauthenticated => &[],
        }
    }
}
