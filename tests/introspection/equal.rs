//! A JWT and an introspected token of equal content are the same to everybody behind the layer.

use std::time::Duration;

use http::{HeaderValue, Request};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::{
    CheckContext, CheckError, Denial, acr, actors, all_scopes, allow_all, authenticated_within,
    authorization_detail, scope,
};
use portcullis::jose::Algorithm;
use portcullis::testing::{ClientKey, TestCertificate, TokenBuilder};
use portcullis::{
    Access, Dpop, Exception, Mtls, Policy, RejectionKind as Kind, ServerBuilder, TokenClass,
};
use serde_json::{Value, json};

use crate::support::{RESOURCE, Sent, bearer, send, with_field};
use crate::world::{Parts, SECOND, World};

/// A server that reads the issuer's JWTs, and asks about its opaque tokens.
fn both(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> World {
    let parts = Parts::new();
    let builder = parts.builder_with(parts.issuer.fixed_keys());
    let builder = builder.introspection(parts.introspection());
    let builder = settings(builder.dpop(Dpop::new()).mtls(Mtls::direct()));
    parts.build(builder)
}

/// The two forms of these claims.
fn forms(world: &World, claims: &TokenBuilder) -> [String; 2] {
    [claims.sign(), world.kit.active(claims)]
}

/// Everything that an [`Access`] says, but for the claims.
fn told(access: &Access) -> Value {
    let has = ["notes:read", "notes", "notes:*", "admin"].map(|scope| access.has_scope(scope));
    json!({
        "issuer": access.issuer().as_str(),
        "subject": access.subject().as_str(),
        "principal": format!("{:?}", access.principal()),
        "subject_kind": access.subject_kind().as_str(),
        "client_id": access.client_id().map(|id| id.as_str()),
        "jwt_id": access.jwt_id().map(|id| id.as_str()),
        "token_hash": access.token_hash().map(|hash| hash.to_string()),
        "audiences": access.audiences().map(|audience| audience.as_str()).collect::<Vec<_>>(),
        "scopes": access.scopes().collect::<Vec<_>>(),
        "has": has,
        "issued_at": access.issued_at().map(|at| at.to_string()),
        "expires_at": access.expires_at().to_string(),
        "auth_time": access.auth_time().map(|at| at.to_string()),
        "acr": access.acr(),
        "actor": access.actor().map(|actor| [actor.issuer(), actor.subject().as_str()].map(str::to_owned)),
        "binding": format!("{:?}", access.binding()),
        "key": access.key_thumbprint().map(|key| key.to_string()),
        "certificate": access.certificate().map(|certificate| certificate.thumbprint().to_string()),
        "decided_at": access.decided_at().to_string(),
        "printed": format!("{access:?}"),
    })
}

/// INT-13, STEP-06, RAR-06: every member that RFC 8693, 8705, 9068, 9396, 9449 and 9470 have at the top
/// of an answer means what it means in a JWT.
#[tokio::test]
async fn both_forms_of_a_token_make_the_same_access() {
    let world = both(|builder| builder.scope_implies("notes:*", ["notes:read"]));
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let certificate = TestCertificate::named("client").self_signed();
    let full = world
        .claims()
        .scope("notes:* a  b")
        .claim("aud", [RESOURCE, "https://other.example"])
        .claim("acr", "phr")
        .claim("amr", ["hwk"])
        .claim("auth_time", world.now().minus(40 * SECOND).as_secs())
        .claim("nbf", world.now().as_secs())
        .claim("act", json!({"sub": "bob", "act": {"sub": "carol"}}))
        .claim("may_act", json!({"sub": "dora"}))
        .claim("authorization_details", json!([{"type": "payment", "actions": ["start"]}]))
        .claim("sid", "s1")
        .claim("roles", ["admin", "\u{e9}"])
        .claim("nested", json!({"a": {"b": [1, 2.5, null, "x"]}}));
    let mut key = client.confirmation();
    let thumbprint = certificate.confirmation();
    key["x5t#S256"] = thumbprint["x5t#S256"].clone();
    let rows = [
        ("plain", world.claims()),
        ("full", full.clone()),
        ("of a client", world.claims().subject("test-client")),
        ("key", full.clone().claim("cnf", client.confirmation())),
        ("certificate", full.clone().claim("cnf", certificate.confirmation())),
        ("both", full.claim("cnf", key)),
    ];
    for (name, claims) in rows {
        let mut seen = Vec::new();
        for token in forms(&world, &claims) {
            let by_key = matches!(name, "key" | "both");
            let request = presented(&client, &certificate, &token, by_key);
            let sent = send(&world.api.layer(), request).await;
            assert_eq!(sent.kind(), None, "{name}");
            seen.push(sent.access().unwrap().clone());
        }
        let [jwt, opaque] = [&seen[0], &seen[1]];
        assert_eq!(told(jwt), told(opaque), "{name}");
        let claims = |access: &Access| access.claims::<Value>().unwrap();
        let mut answered = claims(opaque);
        let members = answered.as_object_mut().unwrap();
        assert_eq!(members.remove("active"), Some(json!(true)), "{name}");
        let token_type = if matches!(name, "key" | "both") { "DPoP" } else { "Bearer" };
        assert_eq!(members.remove("token_type"), Some(json!(token_type)), "{name}");
        assert_eq!(claims(jwt), answered, "{name}");
    }
    assert_eq!(world.calls(), 6);
}

/// A request with this token, a certificate, and a proof if it wants one.
fn presented(
    client: &ClientKey,
    certificate: &TestCertificate,
    token: &str,
    by_key: bool,
) -> Request<String> {
    let mut request = match by_key {
        false => bearer(token),
        true => {
            let mut request = with_field("authorization", format!("DPoP {token}"));
            let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(token).sign();
            request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
            request
        }
    };
    let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
    request.extensions_mut().insert(peer);
    request
}

/// INT-05, INT-13, STEP-06, RAR-06: what is wrong with a token is the same in both forms: the kind, the
/// status, and every field of the response.
#[tokio::test]
async fn both_forms_of_a_token_are_refused_alike() {
    let strict = TokenClass::named("agents").scopes(["agent"]).max_age(Duration::from_mins(2));
    let world = both(|builder| builder.class(strict));
    let now = world.now();
    let minutes = Duration::from_mins;
    let other = ClientKey::generate(Algorithm::Es256, &world.clock);
    let other_certificate = TestCertificate::named("other").self_signed();
    let claims = || world.claims().scope("notes:read");
    let long_ago = |passed: u64| now.minus(minutes(passed)).as_secs();
    let detail = json!([{"type": "payment", "actions": ["read"]}]);
    let open = || Policy::new(allow_all());
    let recent = || Policy::new(acr(["phr"]).within(minutes(5)));
    let pays = || Policy::new(authorization_detail("payment").action("start"));
    let rows: Vec<(&str, TokenBuilder, Policy, Option<Kind>)> = vec![
        ("good", claims(), open(), None),
        (
            "expired",
            claims().issued_at(now.minus(minutes(9))).expires_at(now.minus(minutes(4))),
            open(),
            Some(Kind::Expired),
        ),
        (
            "not yet valid",
            claims().claim("nbf", now.plus(minutes(1)).as_secs()),
            open(),
            Some(Kind::NotYetValid),
        ),
        (
            "issued ahead",
            claims().issued_at(now.plus(minutes(1))),
            open(),
            Some(Kind::IssuedInFuture),
        ),
        (
            "other audience",
            claims().claim("aud", "https://other.example"),
            open(),
            Some(Kind::WrongAudience),
        ),
        (
            "lives too long",
            claims().expires_at(now.plus(minutes(61))),
            open(),
            Some(Kind::LifetimeTooLong),
        ),
        (
            "too old",
            claims().scope("agent").issued_at(now.minus(minutes(3))),
            open(),
            Some(Kind::TooOld),
        ),
        ("no sub", claims().without("sub"), open(), Some(Kind::MissingClaim)),
        ("no exp", claims().without("exp"), open(), Some(Kind::MissingClaim)),
        ("no iat", claims().without("iat"), open(), Some(Kind::MissingClaim)),
        ("no aud", claims().without("aud"), open(), Some(Kind::MissingClaim)),
        ("no client", claims().without("client_id"), open(), Some(Kind::MissingClaim)),
        (
            "another kind",
            claims().claim("events", json!({"x": {}})),
            open(),
            Some(Kind::OtherTokenKind),
        ),
        ("key", claims().claim("cnf", other.confirmation()), open(), Some(Kind::BearerDowngrade)),
        (
            "certificate",
            claims().claim("cnf", other_certificate.confirmation()),
            open(),
            Some(Kind::CertificateMissing),
        ),
        (
            "unknown confirmation",
            claims().claim("cnf", json!({"kid": "k"})),
            open(),
            Some(Kind::SenderNotProven),
        ),
        (
            "no scope",
            claims().without("scope"),
            scope("notes:read").into(),
            Some(Kind::InsufficientScope),
        ),
        (
            "another scope",
            claims(),
            all_scopes(["notes:read", "notes:write"]).into(),
            Some(Kind::InsufficientScope),
        ),
        ("acr", claims().claim("acr", "phr").claim("auth_time", long_ago(4)), recent(), None),
        (
            "no acr",
            claims().claim("auth_time", long_ago(4)),
            recent(),
            Some(Kind::InsufficientAuthentication),
        ),
        (
            "another acr",
            claims().claim("acr", "pwd").claim("auth_time", long_ago(4)),
            recent(),
            Some(Kind::InsufficientAuthentication),
        ),
        (
            "too long ago",
            claims().claim("acr", "phr").claim("auth_time", long_ago(6)),
            recent(),
            Some(Kind::InsufficientAuthentication),
        ),
        (
            "never",
            claims(),
            authenticated_within(minutes(5)).into(),
            Some(Kind::InsufficientAuthentication),
        ),
        (
            "detail",
            claims()
                .claim("authorization_details", json!([{"type": "payment", "actions": ["start"]}])),
            pays(),
            None,
        ),
        (
            "other detail",
            claims().claim("authorization_details", detail),
            pays(),
            Some(Kind::InsufficientScope),
        ),
        ("no detail", claims(), pays(), Some(Kind::InsufficientScope)),
        ("actor", claims().claim("act", json!({"sub": "bob"})), actors(["bob"]).into(), None),
        (
            "other actor",
            claims().claim("act", json!({"sub": "bob", "act": {"sub": "eve"}})),
            actors(["eve"]).into(),
            Some(Kind::InsufficientScope),
        ),
        ("check", claims(), Policy::new(nobody), Some(Kind::NotAccepted)),
    ];
    for (name, claims, policy, wants) in rows {
        let layer = world.api.protect(policy);
        let [jwt, opaque] = forms(&world, &claims);
        let [jwt, opaque] = [send(&layer, bearer(&jwt)).await, send(&layer, bearer(&opaque)).await];
        assert_eq!((jwt.kind(), opaque.kind()), (wants, wants), "{name}");
        let seen = |sent: &Sent| {
            (sent.response.status(), sent.response.headers().clone(), sent.response.body().clone())
        };
        assert_eq!(seen(&jwt), seen(&opaque), "{name}");
    }
}

fn nobody(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Denial::invalid_token("no such account").into())
}

/// Exceptions and token classes are for tokens of either form.
#[tokio::test]
async fn exceptions_and_classes_are_for_both_forms() {
    use portcullis::Binding;
    let exception = || {
        Exception::for_clients(["partner-x"])
            .until("2027-03-31")
            .because("ticket 1")
            .at_most(Duration::from_mins(10))
    };
    let world = both(|builder| {
        builder
            .binding(Binding::Either)
            .exception(exception())
            .class(TokenClass::named("short").clients(["brief"]).at_most(Duration::from_mins(1)))
    });
    for (name, claims, wants) in [
        ("partner", world.claims().client_id("partner-x"), None),
        ("another", world.claims(), Some(Kind::NotBound)),
        (
            "partner, for long",
            world
                .claims()
                .client_id("partner-x")
                .expires_at(world.now().plus(Duration::from_mins(11))),
            Some(Kind::NotBound),
        ),
        ("short", world.claims().client_id("brief"), Some(Kind::LifetimeTooLong)),
    ] {
        for token in forms(&world, &claims) {
            assert_eq!(world.kind(&token).await, wants, "{name}");
        }
    }
}
