//! Step-up authentication (RFC 9470): how and when the user authenticated.

use std::time::Duration;

use http::Response;
use portcullis::check::{
    Check, CheckContext, CheckError, CheckRequest, Denial, StepUp, acr, authenticated_within,
    scope, step_up,
};
use portcullis::layer::require;
use portcullis::testing::{TokenBuilder, challenges};
use portcullis::time::Clock as _;
use portcullis::{Policy, RejectionKind as Kind, assert_challenge};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{World, anonymous, bearer, send};
use crate::{ask, check_faulty, rules};

const MINUTES: Duration = Duration::from_mins(5);
const CODE: &str = "insufficient_user_authentication";

/// How long ago the user authenticated.
fn ago(world: &World, token: TokenBuilder, age: Duration) -> TokenBuilder {
    token.claim("auth_time", world.clock.now().minus(age).as_secs())
}

/// STEP-01, STEP-02, STEP-03, STEP-06, STEP-09
#[tokio::test]
async fn an_unmet_authentication_is_challenged() {
    let world = World::new().await;
    let token = || world.token();
    let aged = |seconds| ago(&world, token(), Duration::from_secs(seconds));
    let classes = || acr(["phrh", "phr"]);
    let both = || acr(["phrh", "phr"]).within(MINUTES);
    for (id, name, check, token, passes) in [
        ("STEP-02", "the first class", classes(), token().claim("acr", "phrh"), true),
        ("STEP-02", "the second class", classes(), token().claim("acr", "phr"), true),
        ("STEP-01", "another class", classes(), token().claim("acr", "pwd"), false),
        ("STEP-01", "no class", classes(), token(), false),
        ("STEP-01", "other case", classes(), token().claim("acr", "PHR"), false),
        ("STEP-01", "part of a class", classes(), token().claim("acr", "ph"), false),
        ("STEP-02", "both in one text", classes(), token().claim("acr", "phrh phr"), false),
        ("STEP-06", "young enough", authenticated_within(MINUTES), aged(299), true),
        ("STEP-06", "exactly as old", authenticated_within(MINUTES), aged(300), true),
        ("STEP-06", "a second too old", authenticated_within(MINUTES), aged(301), false),
        ("STEP-06", "no time", authenticated_within(MINUTES), token(), false),
        ("STEP-06", "class, no time", both(), token().claim("acr", "phr"), false),
        ("STEP-06", "time, no class", both(), aged(1), false),
        ("STEP-06", "class and time", both(), aged(1).claim("acr", "phr"), true),
        ("STEP-06", "class, too old", both(), aged(301).claim("acr", "phr"), false),
        ("STEP-03", "no age at all, now", authenticated_within(Duration::ZERO), aged(0), true),
        ("STEP-03", "no age at all, then", authenticated_within(Duration::ZERO), aged(1), false),
        (
            "STEP-09",
            "a refreshed token",
            authenticated_within(MINUTES),
            ago(&world, token().issued_at(world.clock.now()), Duration::from_hours(9)),
            false,
        ),
        (
            "STEP-06",
            "an issuer's clock ahead",
            authenticated_within(MINUTES),
            token().claim("auth_time", world.clock.now().plus(MINUTES).as_secs()),
            true,
        ),
        (
            "STEP-06",
            "further ahead than any clock",
            authenticated_within(MINUTES),
            token().claim("auth_time", world.clock.now().plus(MINUTES).as_secs() + 1),
            false,
        ),
    ] {
        let sent = ask(&world, check, &token).await;
        assert_eq!(sent.passed(), passes, "{id} {name}: {:?}", sent.kind());
        if !passes {
            assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication), "{id} {name}");
            assert_challenge!(sent.response, 401, "Bearer", error = CODE);
        }
    }
    // STEP-06: of another type the claims refuse the token, whatever the route asks.
    for (name, value) in [("acr", json!(["phr"])), ("acr", json!("")), ("auth_time", json!("1"))] {
        let sent = ask(&world, classes(), &token().claim(name, value)).await;
        assert_eq!(sent.kind(), Some(Kind::MalformedClaim), "{name}");
    }
}

/// The scope of the leeway is `exp` and its like: an age is what it is.
#[tokio::test]
async fn the_leeway_does_not_add_to_an_age() {
    let world = World::with(portcullis::jose::Algorithm::Es256, |b| b.leeway(MINUTES)).await;
    let token = ago(&world, world.token(), Duration::from_secs(301));
    let sent = ask(&world, authenticated_within(MINUTES), &token).await;
    assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication));
    // Nor does a fraction of a second.
    let token = ago(&world, world.token(), Duration::from_secs(300));
    world.clock.advance(Duration::from_millis(1));
    let sent = ask(&world, authenticated_within(MINUTES), &token).await;
    assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication));
}

/// STEP-02, STEP-03: the challenge says what is wanted, in order of preference.
#[tokio::test]
async fn the_challenge_says_what_is_wanted() {
    let world = World::new().await;
    let sent = ask(&world, acr(["phrh", "phr", "urn:x:1"]), &world.token()).await;
    assert_challenge!(
        sent.response,
        401,
        "Bearer",
        error = CODE,
        acr_values = "phrh phr urn:x:1",
        !max_age,
        !scope
    );
    let sent = ask(&world, authenticated_within(MINUTES), &world.token()).await;
    assert_challenge!(sent.response, 401, "Bearer", error = CODE, max_age = "300", !acr_values);
    let wanted = StepUp::new().acr_values(["b", "a"]).max_age(Duration::ZERO);
    let sent = ask(&world, step_up(wanted), &world.token()).await;
    assert_challenge!(sent.response, 401, "Bearer", acr_values = "b a", max_age = "0");
}

/// STEP-04: one challenge with all three, whichever check comes first.
#[tokio::test]
async fn scope_and_authentication_are_told_at_once() {
    let world = World::new().await;
    let wanted = || acr(["phr"]).within(MINUTES);
    let good = || ago(&world, world.token(), Duration::ZERO).claim("acr", "phr");
    for (name, policy) in [
        ("scope first", Policy::new(scope("a").and(wanted()))),
        ("authentication first", Policy::new(wanted().and(scope("a")))),
        ("a tuple", Policy::new((scope("a"), wanted()))),
        ("a tuple, the other way round", Policy::new((wanted(), scope("a")))),
    ] {
        let sent = ask(&world, policy.clone(), &world.token().scope("b")).await;
        assert_challenge!(
            sent.response,
            401,
            "Bearer",
            error = CODE,
            acr_values = "phr",
            max_age = "300",
            scope = "a"
        );
        assert_eq!(challenges(sent.response.headers()).len(), 1, "{name}");
        // What is there already is not asked for.
        let sent = ask(&world, policy.clone(), &good().scope("b")).await;
        assert_challenge!(
            sent.response,
            403,
            "Bearer",
            error = "insufficient_scope",
            scope = "a",
            !acr_values,
            !max_age
        );
        assert!(ask(&world, policy.clone(), &good().scope("a")).await.passed(), "{name}");
        // A client that authenticates again asks for every scope of the route with it.
        let sent = ask(&world, policy, &world.token().scope("a")).await;
        assert_challenge!(sent.response, 401, "Bearer", error = CODE, acr_values = "phr");
    }
}

/// STEP-04, STEP-08: several checks of authentication are told as one, whichever is unmet.
#[tokio::test]
async fn several_step_ups_are_told_as_one() {
    let world = World::new().await;
    let fresh = || ago(&world, world.token(), Duration::ZERO);
    let hour = Duration::from_hours(1);
    for (name, policy, acr_values, max_age) in [
        ("class, age", Policy::new((acr(["phr"]), authenticated_within(MINUTES))), "phr", "300"),
        ("age, class", Policy::new((authenticated_within(MINUTES), acr(["phr"]))), "phr", "300"),
        (
            "two ages",
            Policy::new((acr(["phr"]).within(hour), authenticated_within(MINUTES))),
            "phr",
            "300",
        ),
        (
            "two lists",
            Policy::new((acr(["a", "phr", "b"]).within(hour), acr(["b", "phr"]).within(MINUTES))),
            "phr b",
            "300",
        ),
    ] {
        for (what, token) in [
            ("neither", world.token()),
            ("another class", fresh().claim("acr", "pwd")),
            ("too old", ago(&world, world.token(), hour * 2).claim("acr", "phr")),
            ("neither, no scope", world.token().scope("b")),
        ] {
            let sent = ask(&world, policy.clone(), &token).await;
            assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication), "{name}, {what}");
            let challenges = challenges(sent.response.headers());
            let param = |param| challenges[0].param(param);
            assert_eq!(param("acr_values"), Some(acr_values), "{name}, {what}");
            assert_eq!(param("max_age"), Some(max_age), "{name}, {what}");
        }
        let sent = ask(&world, policy, &fresh().claim("acr", "phr")).await;
        assert!(sent.passed(), "{name}");
    }
    // A check of one's own that wants more than the policy announced.
    let unusual = |classes: &'static [&'static str]| {
        move |_: &CheckContext<'_>| -> Result<(), CheckError> {
            let wanted = StepUp::new().acr_values(classes.iter().copied());
            Err(Denial::step_up(wanted, "an unusual amount").into())
        }
    };
    let met = || fresh().claim("acr", "phr");
    for (classes, told) in
        [(&["phrh", "x"][..], "phrh"), (&["hard"][..], "hard"), (&[][..], "phr phrh")]
    {
        let policy = acr(["phr", "phrh"]).within(hour).and(unusual(classes));
        let sent = ask(&world, policy, &met()).await;
        assert_challenge!(sent.response, 401, "Bearer", acr_values = told, max_age = "3600");
    }
    let policy = (scope("a"), acr(["phr"]), authenticated_within(MINUTES));
    let sent = ask(&world, policy, &world.token()).await;
    assert_challenge!(
        sent.response,
        401,
        "Bearer",
        error = CODE,
        acr_values = "phr",
        max_age = "300",
        scope = "a"
    );
}

/// STEP-04: a layer below adds to what the layer above wants.
#[tokio::test]
async fn a_layer_below_tells_what_both_want() {
    let world = World::new().await;
    let inner = || {
        service_fn(async |_: http::Request<String>| {
            Ok::<_, std::convert::Infallible>(Response::new(String::new()))
        })
    };
    let service = world.api.protect(scope("a")).layer(require(acr(["phr"])).layer(inner()));
    let response = service.oneshot(bearer(&world.token().scope("a").sign())).await.unwrap();
    assert_challenge!(response, 401, "Bearer", error = CODE, acr_values = "phr", scope = "a");
    let service =
        world.api.protect(scope("a")).layer(require((scope("b"), acr(["phr"]))).layer(inner()));
    let response = service.oneshot(bearer(&world.token().scope("a").sign())).await.unwrap();
    assert_challenge!(response, 401, "Bearer", error = CODE, acr_values = "phr", scope = "a b");
}

/// STEP-04, STEP-08: a check that asks, and a handler, add to what the policy wants, as any check does.
#[tokio::test]
async fn a_check_that_asks_and_a_handler_tell_what_the_policy_wants_as_well() {
    async fn too_weak(_: CheckRequest) -> Result<(), CheckError> {
        tokio::task::yield_now().await;
        Err(Denial::step_up(StepUp::new().acr_values(["phr"]), "an unusual amount").into())
    }
    async fn lacking(_: CheckRequest) -> Result<(), CheckError> {
        Err(Denial::missing_scopes(["more"]).unwrap().into())
    }
    async fn no(_: CheckRequest) -> Result<(), CheckError> {
        Err(Denial::forbidden("not you").into())
    }
    let world = World::new().await;
    let fresh = || ago(&world, world.token(), Duration::ZERO).scope("a");
    let within = || Policy::new((scope("a"), authenticated_within(MINUTES)));
    let sent = ask(&world, within().and_async(too_weak), &fresh()).await;
    assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication));
    assert_challenge!(
        sent.response,
        401,
        "Bearer",
        error = CODE,
        acr_values = "phr",
        max_age = "300",
        scope = "a"
    );
    // Whose user is authenticated as the policy wants is sent away for nothing but what the check wants.
    let sent = ask(&world, within().and_async(lacking), &fresh()).await;
    assert_challenge!(sent.response, 403, "Bearer", scope = "a more", !acr_values, !max_age);
    let sent = ask(&world, within().and_async(no), &fresh()).await;
    assert_challenge!(sent.response, 403, "Bearer", !scope, !acr_values, !max_age);
    let sent = ask(&world, Policy::new(scope("a")).and_async(too_weak), &fresh()).await;
    assert_challenge!(sent.response, 401, "Bearer", acr_values = "phr", !max_age);

    // A handler.
    let refusing = |why: Denial| {
        let handler = service_fn(move |request: http::Request<String>| {
            let access = request.extensions().get::<portcullis::Access>().unwrap();
            let refused = access.refuse(why.clone()).to_response::<String>();
            std::future::ready(Ok::<_, std::convert::Infallible>(refused))
        });
        let service = world.api.protect(within()).layer(handler);
        service.oneshot(bearer(&fresh().sign()))
    };
    let weak = Denial::step_up(StepUp::new().acr_values(["phr"]), "an unusual amount");
    let response = refusing(weak).await.unwrap();
    assert_challenge!(response, 401, "Bearer", error = CODE, acr_values = "phr", max_age = "300");
    let response = refusing(Denial::forbidden("somebody else's")).await.unwrap();
    assert_challenge!(response, 403, "Bearer", !acr_values, !max_age);
}

/// STEP-07: who brings no good token does not learn how users have to authenticate.
#[tokio::test]
async fn a_bad_token_learns_nothing_of_authentication() {
    let world = World::new().await;
    let layer = world.api.protect(scope("a").and(acr(["phr"]).within(MINUTES)));
    let token = || world.token().scope("a");
    let expired = token()
        .issued_at(world.clock.now().minus(Duration::from_mins(20)))
        .expires_at(world.clock.now().minus(Duration::from_mins(10)));
    for (name, request) in [
        ("tampered", bearer(&token().tampered())),
        ("expired", bearer(&expired.sign())),
        ("elsewhere", bearer(&token().claim("aud", "https://elsewhere.example").sign())),
        ("of nobody", bearer(&token().claim("iss", "https://nobody.example").sign())),
        ("bound", bearer(&token().claim("cnf", json!({ "jkt": "x" })).sign())),
    ] {
        let sent = send(&layer, request).await;
        assert!(!sent.passed(), "{name}");
        assert_challenge!(
            sent.response,
            401,
            "Bearer",
            error = "invalid_token",
            !acr_values,
            !max_age
        );
    }
    let sent = send(&layer, anonymous()).await;
    assert_challenge!(sent.response, 401, "Bearer", scope = "a", !error, !acr_values, !max_age);
    // The twin: the same token without a fault.
    let sent = send(&layer, bearer(&token().sign())).await;
    assert_challenge!(sent.response, 401, "Bearer", error = CODE, acr_values = "phr");
}

/// STEP-08: the challenge is the same for every user.
#[tokio::test]
async fn the_challenge_does_not_depend_on_the_user() {
    let world = World::new().await;
    let policy = || acr(["phrh", "phr"]).within(MINUTES);
    let mut told = Vec::new();
    for token in [
        world.token().subject("alice"),
        world.token().subject("root").claim("roles", ["admin"]),
        world.token().subject("app").client_id("app"),
        world.token().claim("acr", "pwd"),
        world.token().claim("acr", "phr"),
        ago(&world, world.token(), Duration::from_hours(1)).claim("acr", "phr"),
        ago(&world, world.token(), Duration::ZERO).claim("acr", "pwd"),
    ] {
        let sent = ask(&world, policy(), &token).await;
        assert_eq!(sent.kind(), Some(Kind::InsufficientAuthentication));
        told.push(sent.response.headers().clone());
    }
    assert!(told.iter().all(|headers| *headers == told[0]), "{told:?}");
}

/// A check of an `or` is not wanted whatever happens: it is announced where it alone refused.
#[tokio::test]
async fn an_alternative_to_authentication_is_no_step_up() {
    let world = World::new().await;
    let either = || scope("a").or(acr(["phr"]));
    assert!(ask(&world, either(), &world.token().scope("a")).await.passed());
    assert!(ask(&world, either(), &world.token().claim("acr", "phr")).await.passed());
    let sent = ask(&world, either(), &world.token()).await;
    assert_challenge!(sent.response, 403, "Bearer", scope = "a", !acr_values);
    let sent = ask(&world, acr(["phr"]).or(scope("a")), &world.token()).await;
    assert_challenge!(sent.response, 401, "Bearer", error = CODE, acr_values = "phr");
}

/// A refusal of another kind stands as it is.
#[tokio::test]
async fn what_no_authentication_helps_is_403() {
    fn never(_: &CheckContext<'_>) -> Result<(), CheckError> {
        Err(Denial::forbidden("never").into())
    }
    let world = World::new().await;
    let sent = ask(&world, never.and(acr(["phr"])), &world.token()).await;
    assert_challenge!(sent.response, 403, "Bearer", error = "insufficient_scope", !acr_values);
}

/// STEP-03: what no challenge can say is refused when the policy is made.
#[tokio::test]
async fn an_impossible_authentication_is_a_fault() {
    let world = World::new().await;
    for value in ["", "a b", "a\"b", "a\\b", "a\nb", "\u{e9}", "a\u{a0}b"] {
        check_faulty(&world, acr([value]), "acr value").await;
        check_faulty(&world, acr(["phr", value]), "acr value").await;
    }
    check_faulty(&world, acr([""; 0]), "acr value \"\" is none at all").await;
    check_faulty(&world, acr([""; 0]).within(MINUTES), "acr value \"\" is none at all").await;
    check_faulty(&world, step_up(StepUp::new()), "names neither").await;
    let fraction = Duration::from_millis(1_500);
    check_faulty(&world, authenticated_within(fraction), "is not in whole seconds").await;
    check_faulty(&world, acr(["phr"]).within(fraction), "is not in whole seconds").await;
    let either = scope("a").or(acr(["a b"]));
    assert!(world.api.guard(either).is_err(), "the right side of an `or` is looked at too");
}

#[tokio::test]
async fn an_authentication_stands_in_the_effective_policy() {
    let world = World::new().await;
    assert_eq!(
        rules(&world, "step-up", scope("a").and(acr(["b", "a"]).within(MINUTES))),
        json!({
            "all_scopes": ["a"],
            "step_up": { "acr_values": ["b", "a"], "max_age": "5m" },
        }),
    );
}
