//! Profiles of issuers that people have. What a vendor's documents do not say is named as such.

use super::config::Issuer;
use super::kind::ClaimTest;
use super::profile::{OptionalClaim, TokenProfile};
use crate::access::SubjectKind;

impl TokenProfile {
    /// Keycloak (written for 26). Issuer: [`Issuer::keycloak`].
    ///
    /// Its tokens: `typ` is `JWT`, or `at+jwt` where the client is set so (off by default); the client is in `azp`; `jti` is there, and has a prefix such as `onrtac:`.
    ///
    /// - Let go: `typ` may be `JWT`, the client is taken from `azp`, then `client_id`.
    /// - In its place: the claim `typ` has to be `Bearer` (or `bearer`) or `DPoP`. That keeps out
    ///   ID tokens (`ID`), refresh tokens (`Refresh`, `Offline`) and logout tokens (`Logout`),
    ///   which the same realm signs.
    /// - A client's own token, of a service account, has `client_id` beside `azp`: Keycloak sets it
    ///   in that grant only. Its `sub` is the id of a hidden user and not the client. A person's
    ///   token has a session, `sid`; one that has neither is of [`SubjectKind::Unknown`]. The name of that user, `service-account-...` in `preferred_username`, is not
    ///   looked at: nothing was found that keeps a person from registering under such a name.
    ///   Where you know that nobody can, and clients go without the client scope
    ///   `service_account`, add
    ///   `subject_kind(SubjectKind::Client, ClaimTest::starts_with("preferred_username", "service-account-"))`.
    ///
    /// What the realm needs:
    ///
    /// - A client scope for each scope that a route asks for, such as `notes:read`, with "Include in
    ///   token scope" on, assigned to the clients that may have it: as default, or as optional, so that
    ///   they ask for it. Roles never are scopes: `claim(["realm_access", "roles"]).contains("admin")`
    ///   asks for one ([`crate::check::claim`]).
    /// - In each of these, or in one that all those clients have by default, a mapper "Audience" with
    ///   this resource as "Included Custom Audience", added to access tokens. Without one, `aud` is
    ///   `account` or absent, and the token is refused; an absent `aud` is never filled from `azp`.
    ///   **Never accept `account`** ([`crate::ServerBuilder::accept_audience`]): nearly every token of
    ///   the realm has it, whatever client it was given to.
    /// - The client scope `basic` for people's tokens: without it they have no `sub`.
    /// - Not the mapper "Nonce backwards compatible": `nonce` under `typ` `JWT` is an ID token here.
    ///
    /// Lifetime: 5 minutes is usual for an access token (15 in the implicit flow);
    /// [`crate::TokenClass::default_at_most`] with the realm's "Access Token Lifespan".
    ///
    /// Sources: Red Hat build of Keycloak, "Upgrading Guide"
    /// (<https://docs.redhat.com/en/documentation/red_hat_build_of_keycloak/26.0/html/upgrading_guide/>)
    /// for the scope `basic` and `nonce`; "Server Administration Guide", "Audience support" and "Client
    /// scopes" for mappers and scopes; of keycloak/keycloak, `TokenUtil.java` for the values of the
    /// claim `typ` and issue 34146 for `at+jwt`. Not confirmed there, but seen in tokens: the whole set of
    /// members, the default lifetime, the lower-case `bearer`, and when `client_id` is written.
    pub fn keycloak() -> Self {
        Self::named("keycloak")
            .accept_type("JWT")
            .client_id_from(["azp", "client_id"])
            .require_claim_in("typ", ["Bearer", "bearer", "DPoP"])
            .subject_kind(SubjectKind::Client, ClaimTest::present("client_id"))
            .subject_kind(SubjectKind::Unknown, ClaimTest::absent("sid"))
    }

    /// Auth0. Issuer: [`Issuer::auth0`].
    ///
    /// Its tokens are of the "Auth0 token profile" (`typ` is `JWT`, the client is in `azp`, no
    /// `jti`) or, where the API is set to it, of RFC 9068. Both are taken. Of the second setting
    /// nothing has to be let go: begin with [`TokenProfile::rfc9068`], and give it the rule
    /// `ClaimTest::same_with_suffix("sub", "client_id", "@clients")` for clients.
    ///
    /// - Let go: `typ` may be `JWT`, `jti` may lack, the client is in `azp` or `client_id`.
    /// - In its place: nothing says outright that such a token is an access token. An ID token is
    ///   for the client as audience and not for the API, has no `azp`, and may have `nonce`: each
    ///   refuses it. Set the API to RFC 9068 where you can.
    /// - A client's own token has `gty` `client-credentials` (Auth0 profile only), or `sub` is the
    ///   client followed by `@clients`, or the client itself. Under the RFC 9068 setting, a client
    ///   linked to an agent gets the agent's id as `sub`: such a token counts as a person's.
    ///
    /// `aud` often names `https://<domain>/userinfo` too: [`crate::OtherAudiences::Refuse`] refuses
    /// those tokens. An API set to HS256 cannot be used, and a token that was asked for without an
    /// audience is none for an API. `permissions` is not the scope: look at it in a check.
    ///
    /// Lifetime: 24 hours by default, at most 30 days. Set it lower at the API, and the class to
    /// the same.
    ///
    /// Sources: "Access Token Profiles"
    /// (<https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles>), "Update Access
    /// Token Lifetime"
    /// (<https://auth0.com/docs/secure/tokens/access-tokens/update-access-token-lifetime>), "ID Token
    /// Structure" (<https://auth0.com/docs/secure/tokens/id-tokens/id-token-structure>). Not
    /// confirmed: that no ID token has `azp`; the sample has none.
    pub fn auth0() -> Self {
        Self::named("auth0")
            .accept_type("JWT")
            .may_lack(OptionalClaim::JwtId)
            .client_id_from(["azp", "client_id"])
            .subject_kind(SubjectKind::Client, ClaimTest::equals("gty", "client-credentials"))
            .subject_kind(
                SubjectKind::Client,
                ClaimTest::same_with_suffix("sub", "azp", "@clients"),
            )
            .subject_kind(
                SubjectKind::Client,
                ClaimTest::same_with_suffix("sub", "client_id", "@clients"),
            )
    }

    /// Microsoft Entra ID, both token versions. Issuers: [`Issuer::entra_id`] and
    /// [`Issuer::entra_id_v1`], which also want `tid` to be their tenant.
    ///
    /// Its tokens: `typ` is `JWT`; the client is in `azp` (v2) or `appid` (v1); the scope is a
    /// string in `scp`; `uti` stands for `jti`. `requestedAccessTokenVersion` in the API's manifest
    /// decides on the version, whichever endpoint the client asked.
    ///
    /// - Let go: `typ` may be `JWT`, `jti` may lack (an event or a revocation by token id has
    ///   nothing to go by), client and scope have other names.
    /// - In its place: `azp` or `appid` has to be there, which ID tokens do not have, and `aud` has
    ///   to be the API: for v2 its client id, for v1 that or its App ID URI, in the very spelling
    ///   of the token ([`crate::ServerBuilder::accept_audience`]).
    ///   `ver` is not asked for: the issuer says which version it is, and ID tokens have `ver` too.
    /// - A client's own token ("app-only") has `idtyp` `app` if the API asks for that optional
    ///   claim, and no `scp` in any case. Then `roles` says what it may do: check that one is
    ///   there, since any app of a tenant can get a token without any, unless assignment is
    ///   required. `roles` is in people's tokens too.
    ///
    /// `sub` is another one for each application; across APIs a person is `tid` and `oid`.
    ///
    /// Give the API an app registration of its own, apart from any client's: with a shared one, ID
    /// tokens have the very `iss` and `aud` of access tokens, and only the lack of `azp` and `scp`
    /// tells them.
    ///
    /// Lifetime: between 60 and 90 minutes, at random; 20 to 28 hours for clients that can do
    /// continuous access evaluation. Class: at most 90 minutes, and a class of its own for such
    /// clients if you have to take theirs.
    ///
    /// Sources: "Access tokens in the Microsoft identity platform"
    /// (<https://learn.microsoft.com/entra/identity-platform/access-tokens>), "Access token claims
    /// reference" (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>),
    /// "ID token claims reference"
    /// (<https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>), "Optional
    /// claims reference"
    /// (<https://learn.microsoft.com/entra/identity-platform/optional-claims-reference>). Not
    /// confirmed by a sample of the vendor's: the whole set of members of an app-only token.
    pub fn entra_id() -> Self {
        Self::named("entra_id")
            .accept_type("JWT")
            .may_lack(OptionalClaim::JwtId)
            .client_id_from(["azp", "appid"])
            .scope_from(["scp"])
            .subject_kind(SubjectKind::Client, ClaimTest::equals("idtyp", "app"))
            .subject_kind(SubjectKind::Client, ClaimTest::absent("scp"))
    }

    /// An Okta custom authorization server. Issuer: [`Issuer::okta`].
    ///
    /// Its tokens: no `typ`; the client is in `cid`; the scope is an array in `scp`; `jti` begins
    /// with `AT.`.
    ///
    /// - Let go: `typ` may lack, client and scope have other names, the scope may be an array.
    /// - In its place: `cid` has to be there, which ID tokens do not have, and `aud` has to be this
    ///   resource, which is the client in an ID token. `auth_time` is no mark of one: Okta's access
    ///   tokens have it.
    /// - A client's own token has no `uid`.
    ///
    /// Tokens of the org authorization server (`iss` without `/oauth2/`) are Okta's own business:
    /// Okta says that nobody else can validate them.
    ///
    /// Lifetime: 5 minutes to 24 hours, by the access policy's rule. Class: what the rule says.
    ///
    /// Sources: "OpenID Connect & OAuth 2.0 API"
    /// (<https://developer.okta.com/docs/reference/api/oidc/>), "Validate access tokens"
    /// (<https://developer.okta.com/docs/guides/validate-access-tokens/>). Not confirmed: an hour as
    /// the default lifetime; that the tokens of Okta's newer agent flows look like this (a sample
    /// has `scope` and no `cid`, and is refused here).
    pub fn okta() -> Self {
        Self::named("okta")
            .accept_no_type()
            .client_id_from(["cid"])
            .scope_from(["scp"])
            .accept_scope_array()
            .subject_kind(SubjectKind::Client, ClaimTest::absent("uid"))
    }

    /// An Amazon Cognito user pool, for clients that ask for a resource. Issuer:
    /// [`Issuer::cognito`].
    ///
    /// Its tokens: no `typ`; `aud` is there only if the client asked for a resource (RFC 8707),
    /// which people's tokens of the managed login can have, and client-credentials grants cannot.
    ///
    /// - Let go: `typ` may lack.
    /// - In its place: `token_use` has to be `access`; that of an ID token is `id`.
    /// - A client's own token has `sub` equal to `client_id`.
    ///
    /// The client chooses the resource: `aud` says what a token was meant for, and not that the
    /// pool allowed it. The scope and the client do.
    ///
    /// A token without `aud` is refused. If yours have none, the client's id can stand for it,
    /// which is a hazard: every service that accepts a client's tokens so accepts all of them, and
    /// nothing says that one was meant for this resource. Both lines are needed, and the second
    /// names each client:
    ///
    /// ```
    /// use std::time::Duration;
    /// use portcullis::issuer::TokenProfile;
    /// use portcullis::{Binding, Issuer, ResourceServer, TokenClass};
    ///
    /// let profile =
    ///     TokenProfile::cognito().dangerous().insecure_audience_from(["aud", "client_id"]);
    /// let api = ResourceServer::builder("https://orders.example.com")
    ///     .issuer(Issuer::cognito("eu-west-1", "eu-west-1_AbCdEfGhI").profile(profile))
    ///     .accept_audience("7cg4g8vorirlhelebcriqnj95a")
    ///     .binding(Binding::WhereBound)
    ///     .class(TokenClass::default_at_most(Duration::from_hours(1)))
    ///     .build()?;
    /// # let _ = api;
    /// # Ok::<(), portcullis::BuildError>(())
    /// ```
    ///
    /// Lifetime: 5 minutes to a day, for each app client. Class: what the app client has.
    ///
    /// Sources: "Understanding the access token"
    /// (<https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html>),
    /// "Scopes, M2M, and resource servers"
    /// (<https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-define-resource-servers.html>).
    /// Not confirmed: a whole client-credentials token, `sub` equal to `client_id` in it, and an
    /// hour as the default lifetime.
    pub fn cognito() -> Self {
        Self::named("cognito").accept_no_type().require_claim("token_use", "access")
    }

    /// Google's ID tokens as bearer tokens, of these service accounts. Issuer:
    /// [`Issuer::google_id_token`].
    ///
    /// Google's access tokens are opaque. What a service account can get for a service of yours is
    /// an ID token with your URL as `aud`, as Cloud Run uses them between services.
    ///
    /// - Let go: ID tokens are taken, `typ` may be `JWT`, `jti` may lack, the client is in `azp`.
    /// - In its place: `sub` has to be one of `subjects`, the numeric unique ids of the service
    ///   accounts that may call. **Whoever asks chooses the audience**, and anybody can have a
    ///   service account: without the list, every Google account in the world could come in. An
    ///   empty list does not build. An id is not used again when an account of the same e-mail
    ///   address is made anew; an e-mail address is.
    /// - `azp` equals `sub`: all are clients' own tokens ([`SubjectKind::Client`]).
    ///
    /// There is no scope: a policy that wants one refuses. Use the subject in a check.
    ///
    /// Lifetime: an hour. Class: at most an hour.
    ///
    /// Sources: "Token types" (<https://cloud.google.com/docs/authentication/token-types>),
    /// "Method: projects.serviceAccounts.generateIdToken"
    /// (<https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken>).
    /// Not confirmed: that `azp` equals `sub` in tokens of every source; the vendor's sample has it
    /// so.
    pub fn google_id_token<S: Into<String>>(subjects: impl IntoIterator<Item = S>) -> Self {
        Self::named("google_id_token")
            .accept_type("JWT")
            .accept_id_tokens()
            .may_lack(OptionalClaim::JwtId)
            .client_id_from(["azp"])
            .require_claim_in("sub", subjects.into_iter().map(Into::<String>::into))
    }

    /// Projected service account tokens of a Kubernetes cluster.
    ///
    /// Its tokens: no `typ` (`JWT` from an external signer); neither client nor scope; `jti` since
    /// 1.30; the namespace, the pod and the account in the claim `kubernetes.io`.
    ///
    /// - Let go: `typ` may lack or be `JWT`; `client_id` and `jti` may lack.
    /// - In its place: nothing but the audience. Whoever may make pods in a namespace can have
    ///   tokens of its accounts for any audience. Name the accounts that may call, here or in a
    ///   check: `require_claim_in("sub", ["system:serviceaccount:shop:web"])`.
    /// - All are [`SubjectKind::Workload`], by the start of `sub`, `system:serviceaccount:`.
    ///
    /// The cluster's keys are behind its own CA, and want a token that may read them: by default
    /// any service account's (the role `system:service-account-issuer-discovery`). So name the JWKS
    /// URL, which is of the API server and not of the issuer's host:
    ///
    /// ```no_run
    /// use portcullis::Issuer;
    /// use portcullis::issuer::TokenProfile;
    /// use portcullis::secret::SecretSource;
    /// use portcullis::transport::ReqwestTransport;
    ///
    /// const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    /// let ca = std::fs::read(format!("{ACCOUNT}/ca.crt"))?;
    /// let issuer = Issuer::jwks(
    ///     "https://kubernetes.default.svc.cluster.local",
    ///     "https://kubernetes.default.svc/openid/v1/jwks",
    /// )
    /// .profile(
    ///     TokenProfile::kubernetes()
    ///         .require_claim_in("sub", ["system:serviceaccount:shop:web"]),
    /// )
    /// .fetch_token(SecretSource::file(format!("{ACCOUNT}/token")))
    /// .transport(ReqwestTransport::with_root_certificates(&ca)?);
    /// # let _ = issuer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The issuer is the API server's `--service-account-issuer`, as it is written there. The
    /// issuers of managed clusters (EKS, GKE) are public: [`Issuer::discover`] does for them.
    ///
    /// That a pod or an account was deleted does not show in a token; only a `TokenReview` at the API
    /// server knows.
    ///
    /// Lifetime: an hour unless the pod says otherwise, ten minutes at least. The token that every
    /// pod has anyway, for the API server as audience, is written for a year: a class of at most an
    /// hour or two keeps those out, should this resource ever accept that audience.
    ///
    /// Sources: "Managing Service Accounts"
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>),
    /// "Configure Service Accounts for Pods"
    /// (<https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/>), and
    /// `pkg/serviceaccount` of kubernetes/kubernetes for the header. Not confirmed: that a token for
    /// an audience of one's own is never extended to a year.
    pub fn kubernetes() -> Self {
        Self::named("kubernetes")
            .accept_no_type()
            .accept_type("JWT")
            .may_lack(OptionalClaim::ClientId)
            .may_lack(OptionalClaim::JwtId)
            .subject_kind(
                SubjectKind::Workload,
                ClaimTest::starts_with("sub", "system:serviceaccount:"),
            )
    }

    /// node oidc-provider. Issuer: [`Issuer::discover`], with the identifier as the provider was
    /// constructed with.
    ///
    /// Its JWT access tokens are those of RFC 9068, so that nothing is let go: it differs from
    /// [`TokenProfile::rfc9068`] by name only, in reports and logs. A client's own token has `sub`
    /// equal to `client_id`.
    ///
    /// The provider writes JWTs only for a resource whose `getResourceServerInfo` says
    /// `accessTokenFormat: 'jwt'`; its other tokens are opaque. Its ID tokens have no `typ`.
    ///
    /// Asked about an opaque token that a client got for itself, it answers without `sub`:
    /// [`AnswerGap::Subject`](crate::introspection::AnswerGap::Subject) of its
    /// [`Introspection`](crate::introspection::Introspection::may_lack).
    ///
    /// Lifetime: an hour, ten minutes for client credentials, both meant to be changed. Class: what
    /// `accessTokenTTL` says.
    ///
    /// Source: `lib/helpers/defaults.js` and `lib/models/formats/jwt.js` of panva/node-oidc-provider
    /// (<https://github.com/panva/node-oidc-provider>), version 9.
    pub fn oidc_provider() -> Self {
        Self::named("oidc_provider")
    }

    /// Ory Hydra (written for 2), with the access token strategy `jwt`. Issuer:
    /// [`Issuer::discover`], with `urls.self.issuer` as it is written there.
    ///
    /// Its tokens: `typ` is `JWT`; the scope is an array in `scp`, or a string in `scope`, or both,
    /// as `strategies.jwt.scope_claim` says.
    ///
    /// - Let go: `typ` may be `JWT`, the scope is in `scp` or `scope` and may be an array. `scp` is
    ///   read first: Hydra does not let it be set by a custom claim, and does not reserve `scope`.
    /// - In its place: `client_id` and `jti` have to be there, as RFC 9068 has them, and an ID token
    ///   has no `client_id`. Both are signed by keys of the same set.
    /// - A client's own token has `sub` equal to `client_id`.
    ///
    /// `aud` is `[]` unless the client asked for an audience that it is allowed: such a token is
    /// refused.
    ///
    /// With the strategy `opaque`, Hydra's default, its tokens are asked about:
    /// `Issuer::opaque(id).profile(TokenProfile::hydra())`, and an
    /// [`Introspection`](crate::introspection::Introspection) of the same `id`.
    ///
    /// Lifetime: an hour by default (`ttl.access_token`). Class: the same.
    ///
    /// Sources: "JWT access tokens" (<https://www.ory.com/docs/oauth2-oidc/jwt-access-token>),
    /// `fosite/token/jwt` and `.schema/config.schema.json` of ory/hydra. Where Ory's client library
    /// names the two forms of the scope the other way round, the source was followed.
    pub fn hydra() -> Self {
        Self::named("hydra").accept_type("JWT").scope_from(["scp", "scope"]).accept_scope_array()
    }
}

impl Issuer {
    /// A Keycloak realm, by discovery, with [`TokenProfile::keycloak`], which says what the realm
    /// needs: without an audience mapper its tokens are refused. Its identifier is
    /// `<base>/realms/<realm>`, without a slash at the end. `base` is the public address, with
    /// `/auth` where the installation has it.
    ///
    /// ```
    /// use portcullis::Issuer;
    ///
    /// let issuer = Issuer::keycloak("https://kc.example.com", "shop");
    /// assert_eq!(issuer.id(), "https://kc.example.com/realms/shop");
    /// ```
    pub fn keycloak(base: &str, realm: &str) -> Self {
        let base = base.trim_end_matches('/');
        let profile = with_part(TokenProfile::keycloak(), "realm", realm);
        let path = base.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let profile = match path {
            Some((_, path)) if path.split('/').any(|part| part == "realms") => {
                let fault =
                    "the base has `/realms` in it: end it before that, the realm is an argument";
                profile.with_fault(fault.to_owned())
            }
            _ => profile,
        };
        Self::discover(format!("{base}/realms/{realm}")).profile(profile)
    }

    /// An Auth0 tenant or custom domain, by discovery, with [`TokenProfile::auth0`]: its identifier
    /// is `https://<domain>/`, with the slash. `domain` is the one at which clients ask for tokens.
    ///
    /// ```
    /// use portcullis::Issuer;
    ///
    /// assert_eq!(Issuer::auth0("acme.eu.auth0.com").id(), "https://acme.eu.auth0.com/");
    /// ```
    pub fn auth0(domain: &str) -> Self {
        let profile = with_part(TokenProfile::auth0(), "domain", domain);
        Self::discover(format!("https://{domain}/")).profile(profile)
    }

    /// A Microsoft Entra tenant that writes v2 tokens, by discovery, with
    /// [`TokenProfile::entra_id`] and `tid` wanted to be this tenant. Its identifier is
    /// `https://login.microsoftonline.com/<tenant>/v2.0`, without a slash at the end.
    ///
    /// `tenant_id` is the tenant's GUID, in any case: its name will not do, and `common`,
    /// `organizations` and `consumers` are no tenants. `build()` says so. For several tenants, list
    /// each, or put them into a [`crate::issuer::TenantList`]:
    ///
    /// ```
    /// use portcullis::Issuer;
    /// use portcullis::issuer::TenantList;
    ///
    /// let tenants = TenantList::new();
    /// tenants.add(Issuer::entra_id("72f988bf-86f1-41af-91ab-2d7cd011db47"))?;
    /// tenants.add(Issuer::entra_id("fa15d692-e9c7-4460-a743-29f2956fd429"))?;
    /// # let _ = |builder: portcullis::ServerBuilder| builder.tenants(tenants, 100);
    /// # Ok::<(), portcullis::BuildError>(())
    /// ```
    pub fn entra_id(tenant_id: &str) -> Self {
        let tenant = tenant_id.to_ascii_lowercase();
        Self::discover(format!("https://login.microsoftonline.com/{tenant}/v2.0"))
            .profile(of_tenant(tenant))
    }

    /// A Microsoft Entra tenant that writes v1 tokens, as it does for an API whose manifest does not
    /// ask for v2; with [`TokenProfile::entra_id`] and `tid` wanted to be this tenant. Its
    /// identifier is `https://sts.windows.net/<tenant>/`, with the slash, and its keys are at
    /// another host: `https://login.microsoftonline.com/<tenant>/discovery/keys`.
    ///
    /// The tenant is as [`Issuer::entra_id`] has it.
    pub fn entra_id_v1(tenant_id: &str) -> Self {
        let tenant = tenant_id.to_ascii_lowercase();
        let keys = format!("https://login.microsoftonline.com/{tenant}/discovery/keys");
        Self::jwks(format!("https://sts.windows.net/{tenant}/"), keys).profile(of_tenant(tenant))
    }

    /// An Okta custom authorization server, by discovery, with [`TokenProfile::okta`]: its
    /// identifier is `https://<domain>/oauth2/<id>`, without a slash at the end. The server that
    /// Okta makes for you has the id `default`.
    ///
    /// ```
    /// use portcullis::Issuer;
    ///
    /// let issuer = Issuer::okta("acme.okta.com", "default");
    /// assert_eq!(issuer.id(), "https://acme.okta.com/oauth2/default");
    /// ```
    pub fn okta(domain: &str, authorization_server_id: &str) -> Self {
        let profile = with_part(TokenProfile::okta(), "domain", domain);
        let profile = with_part(profile, "authorization server id", authorization_server_id);
        Self::discover(format!("https://{domain}/oauth2/{authorization_server_id}"))
            .profile(profile)
    }

    /// An Amazon Cognito user pool, by discovery, with [`TokenProfile::cognito`]: its identifier is
    /// `https://cognito-idp.<region>.amazonaws.com/<pool>`, whatever domain its login has. For
    /// regions with another suffix (China) use [`Issuer::discover`] and the profile.
    ///
    /// ```
    /// use portcullis::Issuer;
    ///
    /// let issuer = Issuer::cognito("eu-west-1", "eu-west-1_AbCdEfGhI");
    /// assert_eq!(issuer.id(), "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI");
    /// ```
    pub fn cognito(region: &str, user_pool_id: &str) -> Self {
        let profile = with_part(TokenProfile::cognito(), "region", region);
        let profile = with_part(profile, "user pool id", user_pool_id);
        Self::discover(format!("https://cognito-idp.{region}.amazonaws.com/{user_pool_id}"))
            .profile(profile)
    }

    /// Google's ID tokens of these service accounts, by discovery, with
    /// [`TokenProfile::google_id_token`], which says what that means.
    pub fn google_id_token<S: Into<String>>(subjects: impl IntoIterator<Item = S>) -> Self {
        Self::discover("https://accounts.google.com")
            .profile(TokenProfile::google_id_token(subjects))
    }
}

/// Notes a part of an identifier that would make another one of it.
fn with_part(profile: TokenProfile, what: &str, part: &str) -> TokenProfile {
    let breaks_out = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@' | ':');
    if part.is_empty() || part.contains(breaks_out) {
        let fault = format!("the {what} is {part:?}, wanted one without scheme, slash or space");
        return profile.with_fault(fault);
    }
    profile
}

/// The profile for one tenant, which is a GUID.
fn of_tenant(tenant: String) -> TokenProfile {
    let groups = tenant.split('-').map(str::len);
    let hexadecimal = |c: char| c == '-' || c.is_ascii_hexdigit();
    // Everybody's personal account is in it: it is `consumers` by another name.
    const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let profile = TokenProfile::entra_id();
    let profile = if tenant == CONSUMERS {
        profile.with_fault(
            "the tenant is that of all personal accounts, `consumers`: name your own".to_owned(),
        )
    } else if groups.eq([8, 4, 4, 4, 12]) && tenant.chars().all(hexadecimal) {
        profile
    } else {
        profile.with_fault(format!("the tenant id is {tenant:?}, wanted a GUID"))
    };
    profile.require_claim("tid", tenant)
}
