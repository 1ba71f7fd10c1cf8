//! How the tokens of one issuer are written.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::kind::{ClaimTest, KindRule};
use crate::access::SubjectKind;
use crate::error::{ConfigFault, Faults};
use crate::jose::json;
use crate::jose::{ClaimsSet, Header, ScopeForm};

/// Where an issuer's access tokens differ from RFC 9068, each difference by name.
///
/// [`TokenProfile::rfc9068`] is the default: `typ` is `at+jwt`, all seven claims are there. Most
/// issuers that people have are not that far; [`TokenProfile::relaxed`] begins as strict, and lets
/// go of what is named, one thing at a time. Every profile refuses every other kind of token that
/// it can tell: by `typ`, and by the claims that only an ID token, a logout token, a security
/// event, a status list or a proof has. A signed feed of revocations is told by `typ`.
///
/// There is one for each of the common issuers. Each says what it lets go and what is
/// wanted in its place, how a client's own token is told from a person's
/// ([`crate::SubjectKind`]), and what could not be confirmed in the vendor's documents.
///
/// | issuer | what differs from RFC 9068 | profile, issuer |
/// |---|---|---|
/// | Keycloak | `typ` `JWT`; client in `azp`; the claim `typ` says what the token is; a client's own token has `client_id` | [`keycloak`](Self::keycloak), [`Issuer::keycloak`] |
/// | Auth0 | `typ` `JWT`, client in `azp`, no `jti` (or RFC 9068, by the API's setting); a client's own token has `gty`, or `sub` `<client>@clients` | [`auth0`](Self::auth0), [`Issuer::auth0`] |
/// | Microsoft Entra ID | `typ` `JWT`; client in `azp` (v2) or `appid` (v1); scope in `scp`; no `jti`; one issuer per tenant; a client's own token has no `scp` | [`entra_id`](Self::entra_id), [`Issuer::entra_id`], [`Issuer::entra_id_v1`] |
/// | Okta, custom authorization server | no `typ`; client in `cid`; scope is the array `scp`; a client's own token has no `uid` | [`okta`](Self::okta), [`Issuer::okta`] |
/// | Amazon Cognito | no `typ`; `token_use` says what the token is; no `aud` unless a resource was asked for | [`cognito`](Self::cognito), [`Issuer::cognito`] |
/// | Google | ID tokens with a chosen audience, in place of access tokens; client in `azp`; no `jti`, no scope | [`google_id_token`](Self::google_id_token), [`Issuer::google_id_token`] |
/// | Kubernetes service accounts | no `typ`; no client, no scope; no `jti` before 1.30; keys behind a private CA and a token | [`kubernetes`](Self::kubernetes), [`Issuer::jwks`] |
/// | node oidc-provider | nothing; an answer about an opaque token lacks `jti`, and `sub` of a client's own | [`oidc_provider`](Self::oidc_provider), [`Issuer::discover`] |
/// | Ory Hydra | `typ` `JWT`; scope is the array `scp`, or `scope` | [`hydra`](Self::hydra), [`Issuer::discover`], [`Issuer::opaque`] |
///
/// [`Issuer::keycloak`]: crate::Issuer::keycloak
/// [`Issuer::auth0`]: crate::Issuer::auth0
/// [`Issuer::entra_id`]: crate::Issuer::entra_id
/// [`Issuer::entra_id_v1`]: crate::Issuer::entra_id_v1
/// [`Issuer::okta`]: crate::Issuer::okta
/// [`Issuer::cognito`]: crate::Issuer::cognito
/// [`Issuer::google_id_token`]: crate::Issuer::google_id_token
/// [`Issuer::jwks`]: crate::Issuer::jwks
/// [`Issuer::discover`]: crate::Issuer::discover
/// [`Issuer::opaque`]: crate::Issuer::opaque
///
/// ```
/// use portcullis::Issuer;
/// use portcullis::issuer::{OptionalClaim, TokenProfile};
///
/// let issuer = Issuer::discover("https://login.example.com").profile(
///     TokenProfile::relaxed()
///         .accept_type("JWT")
///         .may_lack(OptionalClaim::JwtId)
///         .client_id_from(["azp"]),
/// );
/// # let _ = issuer;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a profile does nothing until it is given to an `Issuer`"]
pub struct TokenProfile {
    pub(crate) name: Cow<'static, str>,
    pub(crate) types: Vec<String>,
    pub(crate) untyped: Untyped,
    pub(crate) may_lack: Vec<OptionalClaim>,
    pub(crate) client_id_claims: Vec<String>,
    pub(crate) scope_claims: Vec<String>,
    pub(crate) scope_form: ScopeForm,
    pub(crate) audience_claims: Vec<String>,
    pub(crate) id_tokens: IdTokens,
    pub(crate) required: Vec<RequiredClaim>,
    pub(crate) kinds: Vec<KindRule>,
    /// What a constructor found wrong with its arguments; reported with the other faults.
    faults: Vec<String>,
}

/// Whether a token without `typ` is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untyped {
    Refused,
    Accepted,
}

/// Whether ID tokens are taken as access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdTokens {
    Refused,
    Accepted,
}

/// A claim of RFC 9068 §2.2 that a profile can do without. `iss`, `aud`, `exp` and `sub` are not
/// among them: without one of those nothing says whose token it is, for whom, or how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionalClaim {
    /// `client_id`, or what stands for it: the token then names no client, and no rule about
    /// clients matches it.
    ClientId,
    /// `iat`: how long the token lives is then measured by the life it has left, no class with a
    /// maximum age accepts it, and any revocation by time hits it.
    IssuedAt,
    /// `jti`: the token can then not be revoked by its id, and its uses cannot be counted.
    JwtId,
}

impl OptionalClaim {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::ClientId, Self::IssuedAt, Self::JwtId];

    /// The claim's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::IssuedAt => "iat",
            Self::JwtId => "jti",
        }
    }
}

/// A claim that has to be there with one of these values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequiredClaim {
    pub(crate) name: String,
    pub(crate) one_of: Vec<Value>,
}

impl TokenProfile {
    /// The media type of a JWT access token (RFC 9068 §2.1).
    pub(crate) const ACCESS_TOKEN_TYPE: &'static str = "at+jwt";

    const STRICT: &'static str = "rfc9068";
    const RELAXED: &'static str = "relaxed";

    /// Types that are something else by name: no profile takes them.
    const OTHER_TYPES: [&'static str; 21] = [
        "dpop+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "revocation-feed+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "txntoken+jwt",
        "wit+jwt",
        "wpt+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "client-authentication+jwt",
        "id+jwt",
        "kb+jwt",
        "dc+sd-jwt",
        "vc+sd-jwt",
        "vc+jwt",
        "vp+jwt",
        "oauth-client-attestation+jwt",
        "oauth-client-attestation-pop+jwt",
        "oauth-id-jag+jwt",
    ];

    /// Claims that no access token has: a security event or a logout token, an introspection
    /// answer, a status list, a proof.
    const OTHER_CLAIMS: [&'static str; 5] =
        ["events", "token_introspection", "status_list", "htu", "wth"];

    /// Claims that ID tokens have and access tokens do not (OpenID Connect Core §2, §3.3.2.11).
    const ID_TOKEN_CLAIMS: [&'static str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

    /// Claims of other kinds of token, which matter where `typ` does not say `at+jwt`: a transaction
    /// token, a security event, a credential.
    const OTHER_CLAIMS_UNTYPED: [&'static str; 4] = ["req_wl", "toe", "_sd_alg", "vct"];

    /// What issuers write into ID tokens, refresh tokens and logout tokens, for themselves to tell
    /// them: Keycloak's `typ`, Cognito's and Hydra's `token_use`.
    const OTHER_VALUES: [(&'static str, &'static [&'static str]); 2] = [
        ("typ", &["ID", "Refresh", "Offline", "Logout"]),
        ("token_use", &["id", "refresh", "refresh_token"]),
    ];

    /// RFC 9068, to the letter.
    pub fn rfc9068() -> Self {
        Self {
            name: Cow::Borrowed(Self::STRICT),
            types: vec![Self::ACCESS_TOKEN_TYPE.to_owned()],
            untyped: Untyped::Refused,
            may_lack: Vec::new(),
            client_id_claims: vec!["client_id".to_owned()],
            scope_claims: vec!["scope".to_owned()],
            scope_form: ScopeForm::Text,
            audience_claims: vec!["aud".to_owned()],
            id_tokens: IdTokens::Refused,
            required: Vec::new(),
            kinds: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// As strict as [`TokenProfile::rfc9068`], to let go of one thing after the other.
    pub fn relaxed() -> Self {
        Self::named(Self::RELAXED)
    }

    pub(super) fn named(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), ..Self::rfc9068() }
    }

    /// The same, with a fault for `build()` to report.
    pub(super) fn with_fault(mut self, what: String) -> Self {
        self.faults.push(what);
        self
    }

    /// What differs from RFC 9068 does not go by its name.
    fn no_longer_strict(&mut self) {
        if self.name == Self::STRICT {
            self.name = Cow::Borrowed(Self::RELAXED);
        }
    }

    /// Takes tokens with this `typ` as well; compared without case and without a leading
    /// `application/`. With `JWT`, only the claims tell an access token from an ID token, which is
    /// refused by its own ones (`nonce`, `at_hash`, ...) where it has them. An ID token for another
    /// audience than this resource is refused in any case.
    pub fn accept_type(mut self, typ: impl Into<String>) -> Self {
        self.no_longer_strict();
        const PREFIX: &str = "application/";
        let typ = typ.into();
        // As a token's own `typ` is read.
        let bare = match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
            _ => &typ,
        };
        self.types.push(bare.to_owned());
        self
    }

    /// Takes tokens without `typ` as well.
    pub fn accept_no_type(mut self) -> Self {
        self.no_longer_strict();
        self.untyped = Untyped::Accepted;
        self
    }

    /// Does without this claim. See [`OptionalClaim`] for what that costs.
    pub fn may_lack(mut self, claim: OptionalClaim) -> Self {
        self.no_longer_strict();
        if !self.may_lack.contains(&claim) {
            self.may_lack.push(claim);
        }
        self
    }

    /// The client is in the first of these claims that is there, in place of `client_id`.
    pub fn client_id_from<C: Into<String>>(mut self, claims: impl IntoIterator<Item = C>) -> Self {
        self.no_longer_strict();
        self.client_id_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// The scope is in the first of these claims that is there, in place of `scope`.
    pub fn scope_from<C: Into<String>>(mut self, claims: impl IntoIterator<Item = C>) -> Self {
        self.no_longer_strict();
        self.scope_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Takes a scope claim that is an array as well, with one scope token in each element.
    pub fn accept_scope_array(mut self) -> Self {
        self.no_longer_strict();
        self.scope_form = ScopeForm::TextOrArray;
        self
    }

    /// Wants this claim to have this value, beside everything else: strings are compared exactly,
    /// other JSON values by what they are. A token without it is of another kind: 401.
    pub fn require_claim(self, claim: impl Into<String>, value: impl Into<Value>) -> Self {
        self.require_claim_in(claim, [value])
    }

    /// Wants this claim to have one of these values.
    pub fn require_claim_in<V: Into<Value>>(
        mut self,
        claim: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let one_of = values.into_iter().map(Into::into).collect();
        self.required.push(RequiredClaim { name: claim.into(), one_of });
        self
    }

    /// A token for which this holds speaks for a subject of this kind. The first such rule decides;
    /// where none holds, `sub` and the client are compared ([`SubjectKind`]). Where the issuer is asked about a
    /// JWT, whether `client_id`, `username` or `token_type` is there is asked of the JWT: every answer may have
    /// them.
    pub fn subject_kind(mut self, kind: SubjectKind, when: ClaimTest) -> Self {
        self.kinds.push(KindRule { kind, when });
        self
    }

    /// Takes ID tokens as access tokens, which no standard does: an ID token is meant for a client
    /// to read. A claim has to be required beside it that says whose are taken
    /// ([`TokenProfile::require_claim_in`]): of most issuers anybody can get an ID token. It is for
    /// issuers that write nothing else for one's own URL as audience, such as Google
    /// ([`TokenProfile::google_id_token`]).
    pub fn accept_id_tokens(mut self) -> Self {
        self.no_longer_strict();
        self.id_tokens = IdTokens::Accepted;
        self
    }

    /// Settings that weaken what a token has to prove.
    pub fn dangerous(self) -> DangerousProfile {
        DangerousProfile(self)
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `typ` says that a token is something that no profile takes.
    pub(crate) fn is_other_kind(header: &Header<'_>) -> bool {
        // Most tokens are what they should be, and need not be compared with all of these.
        !header.is_type(Self::ACCESS_TOKEN_TYPE)
            && Self::OTHER_TYPES.into_iter().any(|typ| header.is_type(typ))
    }

    /// Whether `typ` is one that this profile takes.
    pub(crate) fn takes_type(&self, header: &Header<'_>) -> bool {
        match header.typ() {
            None => self.untyped == Untyped::Accepted,
            Some(_) => self.types.iter().any(|typ| header.is_type(typ)),
        }
    }

    /// The claim by which a token shows that it is something else, if it has one.
    ///
    /// An answer about a token has no header: `None`.
    pub(crate) fn other_kind(
        &self,
        header: Option<&Header<'_>>,
        claims: &ClaimsSet<'_>,
    ) -> Option<&str> {
        let first =
            |names: &'static [&'static str]| names.iter().copied().find(|name| claims.has(name));
        if let Some(name) = first(&Self::OTHER_CLAIMS) {
            return Some(name);
        }
        // A token that says `at+jwt` is one, whatever else it carries.
        if header.is_some_and(|header| header.is_type(Self::ACCESS_TOKEN_TYPE)) {
            return None;
        }
        if let Some(name) = first(&Self::OTHER_CLAIMS_UNTYPED) {
            return Some(name);
        }
        let takes_id_tokens = self.id_tokens == IdTokens::Accepted;
        let is_other = |(name, values): &(&'static str, &[&str])| {
            let found = claims.value(name).and_then(json::Value::as_str);
            found.is_some_and(|found| {
                let is_id_token = found.eq_ignore_ascii_case("id");
                values.contains(&&*found) && !(takes_id_tokens && is_id_token)
            })
        };
        let by_value =
            Self::OTHER_VALUES.iter().find(|other| is_other(other)).map(|(name, _)| *name);
        if takes_id_tokens {
            return by_value;
        }
        first(&Self::ID_TOKEN_CLAIMS).or(by_value)
    }

    /// The first required claim that is not as it has to be.
    pub(crate) fn unmet_claim(&self, claims: &ClaimsSet<'_>) -> Option<String> {
        let unmet = self.required.iter().find(|required| {
            let found = claims.value(&required.name);
            let found = found.and_then(|value| serde_json::from_str::<Value>(value.text()).ok());
            !found.is_some_and(|found| required.one_of.contains(&found))
        });
        unmet.map(|required| {
            // Claims that say what a token is, and nobody who.
            const SHOWN: [&str; 4] = ["typ", "token_use", "ver", "tid"];
            let found = match claims.value(&required.name).map(json::Value::text) {
                None => "absent".to_owned(),
                Some(text) if SHOWN.contains(&&*required.name) => {
                    let start: String = text.chars().take(60).collect();
                    // The text of a string has its quotes already.
                    start.escape_debug().to_string().replace("\\\"", "\"")
                }
                Some(_) => "another value".to_owned(),
            };
            let wanted: Vec<_> = required.one_of.iter().take(5).map(ToString::to_string).collect();
            let (name, wanted) = (&required.name, wanted.join(" or "));
            format!("claim `{name}` is {found}, profile `{}` wants {wanted}", self.name)
        })
    }

    /// Whom a token speaks for. `jwt`: where `claims` are an answer about a JWT, what that says itself.
    pub(crate) fn kind_of(
        &self,
        claims: &ClaimsSet<'_>,
        jwt: Option<&ClaimsSet<'_>>,
        subject: &str,
        client_id: Option<&str>,
    ) -> SubjectKind {
        let holds = |test: &ClaimTest| match jwt {
            Some(jwt) if test.is_of_answers() => test.holds(jwt),
            _ => test.holds(claims),
        };
        if let Some(rule) = self.kinds.iter().find(|rule| holds(&rule.when)) {
            return rule.kind;
        }
        match client_id {
            Some(client) if client == subject => SubjectKind::Client,
            Some(_) => SubjectKind::Person,
            None => SubjectKind::Unknown,
        }
    }

    pub(super) fn check(&self, issuer: &str, faults: &mut Faults) {
        let mut fault = |what: String| {
            faults.push(ConfigFault::Profile { issuer: issuer.to_owned(), what });
        };
        for what in &self.faults {
            fault(what.clone());
        }
        for typ in &self.types {
            let bare = typ.to_ascii_lowercase();
            let bare = bare.strip_prefix("application/").unwrap_or(&bare);
            if Self::OTHER_TYPES.contains(&bare) {
                fault(format!(
                    "`typ` {typ:?} is that of another kind of token, which is never taken: remove it"
                ));
            } else if bare.is_empty() {
                fault("a `typ` is empty; say `accept_no_type` for tokens without one".to_owned());
            } else if !bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&b))
            {
                fault(format!(
                    "`typ` {typ:?} is no media type (RFC 6838 §4.2): write it as in `at+jwt`"
                ));
            }
        }
        for (what, claims) in [
            ("client id", &self.client_id_claims),
            ("scope", &self.scope_claims),
            ("audience", &self.audience_claims),
        ] {
            if claims.is_empty() || claims.iter().any(String::is_empty) {
                fault(format!("the {what} comes from a claim without a name: say which"));
            }
        }
        for required in &self.required {
            if required.name.is_empty() {
                fault("a required claim has no name: say which".to_owned());
            }
            if required.one_of.is_empty() {
                fault(format!("claim `{}` may have no value at all: name one", required.name));
            }
            if required.one_of.contains(&Value::Null) {
                fault(format!(
                    "claim `{}` is wanted to be null, which says nothing: name a value",
                    required.name
                ));
            }
        }
        for rule in &self.kinds {
            if let Some(what) = rule.when.fault() {
                fault(what.to_owned());
            }
        }
        if self.id_tokens == IdTokens::Accepted && self.required.is_empty() {
            fault(
                "ID tokens are taken, and anybody may have one: say whose with \
                 `require_claim_in(\"sub\", [...])`"
                    .to_owned(),
            );
        }
    }
}

impl Default for TokenProfile {
    fn default() -> Self {
        Self::rfc9068()
    }
}

/// Settings of a [`TokenProfile`] that weaken what a token has to prove.
#[must_use = "take the profile back with one of the methods"]
pub struct DangerousProfile(TokenProfile);

impl DangerousProfile {
    /// Takes the audience from the first of these claims that is there, for issuers that write no
    /// `aud`. A claim that the issuer did not mean as an audience says for whom the token is only
    /// as far as you know: every service that reads the claim so accepts every such token.
    pub fn insecure_audience_from<C: Into<String>>(
        mut self,
        claims: impl IntoIterator<Item = C>,
    ) -> TokenProfile {
        self.0.no_longer_strict();
        self.0.audience_claims = claims.into_iter().map(Into::into).collect();
        self.0
    }
}

impl fmt::Debug for DangerousProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DangerousProfile").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, Compact};
    use crate::revocation::{FeedDocument, StatusListToken};
    use crate::testing::{ClientKey, ManualClock, TestIntrospection, TestTransmitter};

    /// JWS-42: whatever else is read here in signed form may be signed with the keys of a token issuer.
    /// None of it is an access token by its type, and no profile can say that it is.
    #[test]
    fn what_else_is_read_here_is_no_access_token() {
        let clock = ManualClock::new();
        let transmitter = TestTransmitter::new("https://tx.example", "https://rs.example", &clock);
        let client = ClientKey::generate(Algorithm::Es256, &clock);
        for signed in [
            transmitter.verification(None).sign(),
            client.proof(http::Method::GET, "https://rs.example").sign(),
        ] {
            let jws = Compact::parse(&signed).unwrap();
            let header = jws.header().unwrap();
            assert!(TokenProfile::is_other_kind(&header), "{:?}", header.typ());
        }
        for (typ, is_other) in [
            (FeedDocument::SIGNED_TYPE, true),
            (StatusListToken::MEDIA_TYPE, true),
            (TestIntrospection::MEDIA_TYPE, true),
            ("Application/Revocation-Feed+JWT", true),
            ("revocation-feed", false),
            ("JWT", false),
            (TokenProfile::ACCESS_TOKEN_TYPE, false),
        ] {
            let text = format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#);
            let header = Header::parse(text.as_bytes()).unwrap();
            assert_eq!(TokenProfile::is_other_kind(&header), is_other, "{typ}");
            let mut faults = Faults::default();
            TokenProfile::relaxed().accept_type(typ).check("https://as.example", &mut faults);
            assert_eq!(faults.len(), usize::from(is_other), "{typ}");
        }
    }
}
