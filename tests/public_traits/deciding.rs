//! What decides: checks, those that ask somebody, and resolvers of issuers.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis::check::{
    AsyncCheck, Check, CheckContext, CheckError, CheckFuture, CheckRequest, Denial, Needs,
    Unavailable, allow_all,
};
use portcullis::issuer::{IssuerResolver, Trust};
use portcullis::layer::require;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, challenges};
use portcullis::{Issuer, Policy, RejectionKind as Kind};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{ISSUER, RESOURCE, World, anonymous, bearer, builder, send, settle};
use crate::{Says, assert_told};

/// A check with state of its own.
struct Region(Says);

impl Check for Region {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        assert_eq!(request.access().subject(), "alice");
        match self.0 {
            Says::Yes => Ok(()),
            Says::No => Err(Denial::forbidden("another region").into()),
            Says::Nothing | Says::Silence => Err(Unavailable::new("no map is loaded").into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        needs.scope("region");
        needs.rule("region", "blue");
    }
}

#[tokio::test]
async fn a_check_decides() {
    let world = World::new().await;
    let token = world.token().sign();
    for (says, kind) in [
        (Says::Yes, None),
        (Says::No, Some(Kind::InsufficientScope)),
        (Says::Nothing, Some(Kind::CheckUnavailable)),
    ] {
        let shared: Arc<dyn Check> = Arc::new(Region(says));
        for (name, policy) in [
            ("alone", Policy::new(Region(says))),
            ("shared", Policy::new(shared)),
            ("after another", Policy::new(allow_all().and(Region(says)))),
            ("either", Policy::new(Region(says).or(Region(says)))),
        ] {
            let sent = send(&world.api.protect(policy), bearer(&token)).await;
            assert_told(&format!("{says:?}, {name}"), &sent, kind);
        }
        let inner = service_fn(async |request| {
            drop::<http::Request<String>>(request);
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let layers = (world.api.layer(), require(Region(says)));
        let response = layers.0.layer(layers.1.layer(inner)).oneshot(bearer(&token)).await.unwrap();
        let status = [(Says::Yes, 200), (Says::No, 403), (Says::Nothing, 503)]
            .iter()
            .find_map(|(of, status)| (*of == says).then_some(*status));
        assert_eq!(Some(response.status().as_u16()), status, "{says:?}, below the decision");
    }
}

/// What it wants is told before there is a token.
#[tokio::test]
async fn a_check_says_what_it_needs() {
    let world = World::new().await;
    let sent = send(&world.api.protect(Region(Says::Yes)), anonymous()).await;
    assert_eq!(sent.response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(challenges(sent.response.headers())[0].param("scope"), Some("region"));
    let policy = world.api.effective_policy().to_string();
    assert!(policy.contains(r#""region":"blue""#), "{policy}");
}

/// An async check that asks a directory.
struct Directory(Says);

impl AsyncCheck for Directory {
    fn check(&self, request: CheckRequest) -> CheckFuture {
        let says = self.0;
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert_eq!(request.access().subject(), "alice");
            match says {
                Says::Yes => Ok(()),
                Says::No => Err(Denial::forbidden("no member").into()),
                Says::Nothing => Err(Unavailable::new("the directory is down").into()),
                Says::Silence => pending().await,
            }
        })
    }

    fn name(&self) -> &'static str {
        "directory"
    }
}

#[tokio::test]
async fn an_async_check_decides() {
    let world = World::new().await;
    let token = world.token().sign();
    for (says, kind) in [
        (Says::Yes, None),
        (Says::No, Some(Kind::InsufficientScope)),
        (Says::Nothing, Some(Kind::CheckUnavailable)),
        (Says::Silence, Some(Kind::CheckUnavailable)),
    ] {
        let layer = world.api.protect(Policy::new(allow_all()).and_async(Directory(says)));
        let late = async {
            settle().await;
            world.clock.advance(Policy::ASYNC_TIMEOUT);
        };
        let (sent, ()) = tokio::join!(send(&layer, bearer(&token)), late);
        assert_told(&format!("{says:?}"), &sent, kind);
    }
    let policy = world.api.effective_policy().to_string();
    assert!(policy.contains("\"directory\""), "{policy}");
}

/// A register of tenants with one tenant.
struct Register {
    trust: Trust,
    issuer: Option<Issuer>,
}

impl IssuerResolver for Register {
    fn trust(&self, issuer: &str) -> Trust {
        if issuer == ISSUER { self.trust.clone() } else { Trust::Unknown }
    }

    fn issuer(&self, issuer: &str) -> Option<Issuer> {
        assert_eq!(issuer, ISSUER, "nobody else is trusted");
        self.issuer.clone()
    }
}

/// JWS-38: also one that contradicts itself trusts nobody.
#[tokio::test]
async fn a_resolver_decides_who_is_trusted() {
    let clock = ManualClock::new();
    let [known, other] = [ISSUER, "https://other.example"].map(|id| TestIssuer::new(id, &clock));
    let down = Unavailable::new("the register is loading").retry_after(Duration::from_secs(7));
    for (name, trust, described, kind) in [
        ("trusted", Trust::trusted(1), Some(&known), None),
        ("unknown", Trust::Unknown, Some(&known), Some(Kind::UnknownIssuer)),
        ("unavailable", Trust::Unavailable(down), Some(&known), Some(Kind::IssuerUnavailable)),
        ("trusted and not described", Trust::trusted(1), None, Some(Kind::UnknownIssuer)),
        ("described as another", Trust::trusted(1), Some(&other), Some(Kind::IssuerUnavailable)),
    ] {
        let register = Register { trust, issuer: described.map(TestIssuer::jwks) };
        let api = builder(&clock)
            .tenants(Arc::new(register), 10)
            .transport(TestNetwork::of(&[&known, &other]))
            .build()
            .unwrap();
        let sent = send(&api.layer(), bearer(&known.token(RESOURCE).sign())).await;
        assert_told(name, &sent, kind);
        let stranger = send(&api.layer(), bearer(&other.token(RESOURCE).sign())).await;
        assert_told(name, &stranger, Some(Kind::UnknownIssuer));
    }
}
