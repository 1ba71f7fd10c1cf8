//! `authorization_detail(...)`: what an object of `authorization_details` grants (RFC 9396).

use portcullis::check::{
    AuthorizationDetail, Check as _, CheckContext, authorization_detail, no_actor, scope,
};
use portcullis::jose::Algorithm;
use portcullis::{RejectionKind as Kind, assert_challenge};
use serde_json::{Value, json};

use crate::support::{RESOURCE, Row, Wants, World, bearer, row, send};
use crate::{ask, case, check_cases, check_faulty, rules};

const ELSEWHERE: &str = "https://elsewhere.example";

/// RAR-01, RAR-03, RAR-04, RAR-07, RAR-08
#[tokio::test]
async fn one_object_has_to_grant_all_of_it() {
    let world = World::new().await;
    let token = |details: Value| world.token().claim("authorization_details", details);
    let one = |detail: Value| token(json!([detail]));
    let account = |more: Value| {
        let mut detail = json!({ "type": "account", "actions": ["read", "list"] });
        detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one(detail)
    };
    let plain = || account(json!({}));
    let located = |locations: Value| account(json!({ "locations": locations }));
    let wants = || authorization_detail("account");
    let read = || wants().action("read");
    let rows = [
        case("RAR-01", "type alone", wants(), plain(), true),
        case("RAR-01", "type without actions", wants(), one(json!({"type": "account"})), true),
        case("RAR-01", "action", read(), plain(), true),
        case("RAR-01", "both actions", read().action("list"), plain(), true),
        case("RAR-01", "another action", wants().action("write"), plain(), false),
        case("RAR-01", "one of two actions", read().action("write"), plain(), false),
        case("RAR-01", "no actions", read(), one(json!({"type": "account"})), false),
        case("RAR-01", "no claim", wants(), world.token(), false),
        case("RAR-01", "an empty claim", wants(), token(json!([])), false),
        case(
            "RAR-01",
            "two objects, half each",
            read().action("write"),
            token(json!([
                {"type": "account", "actions": ["read"]},
                {"type": "account", "actions": ["write"]},
            ])),
            false,
        ),
        case(
            "RAR-01",
            "the second of two",
            read(),
            token(json!([
                {"type": "account", "actions": ["write"]},
                {"type": "account", "actions": ["read"]},
            ])),
            true,
        ),
        case(
            "RAR-01",
            "the action of another type",
            read(),
            token(json!([{"type": "account"}, {"type": "payment", "actions": ["read"]}])),
            false,
        ),
        case(
            "RAR-04",
            "unknown beside known",
            read(),
            token(json!([{"type": "novel", "x": 1}, {"type": "account", "actions": ["read"]}])),
            true,
        ),
        case(
            "RAR-04",
            "unknown alone",
            read(),
            one(json!({"type": "novel", "actions": ["read"]})),
            false,
        ),
        case("RAR-08", "case of the type", authorization_detail("Account"), plain(), false),
        case("RAR-08", "case of the action", wants().action("Read"), plain(), false),
        case("RAR-08", "part of the action", wants().action("rea"), plain(), false),
        case("RAR-08", "type with a slash", authorization_detail("account/"), plain(), false),
        case("RAR-03", "here", read(), located(json!([RESOURCE])), true),
        case("RAR-03", "here among others", read(), located(json!([ELSEWHERE, RESOURCE])), true),
        case("RAR-03", "elsewhere", read(), located(json!([ELSEWHERE])), false),
        case("RAR-03", "nowhere", read(), located(json!([])), false),
        case("RAR-03", "a path of here", read(), located(json!([format!("{RESOURCE}/a")])), false),
        case("RAR-03", "with a slash", read(), located(json!([format!("{RESOURCE}/")])), false),
        case(
            "RAR-03",
            "elsewhere and here",
            read(),
            token(json!([
                {"type": "account", "actions": ["read"], "locations": [ELSEWHERE]},
                {"type": "account", "actions": ["read"], "locations": [RESOURCE]},
            ])),
            true,
        ),
        case("RAR-03", "wanted location", read().location("x:a"), located(json!(["x:a"])), true),
        case(
            "RAR-03",
            "one of two wanted",
            read().location("x:b").location("x:a"),
            located(json!(["x:a"])),
            true,
        ),
        case(
            "RAR-03",
            "other than wanted",
            read().location("x:b"),
            located(json!([RESOURCE])),
            false,
        ),
        case("RAR-03", "wanted, none named", read().location("x:a"), plain(), false),
        case(
            "RAR-01",
            "datatype",
            wants().datatype("a"),
            account(json!({"datatypes": ["a"]})),
            true,
        ),
        case(
            "RAR-01",
            "one of two datatypes",
            wants().datatype("a").datatype("b"),
            account(json!({"datatypes": ["a"]})),
            false,
        ),
        case("RAR-01", "no datatypes", wants().datatype("a"), plain(), false),
        case(
            "RAR-01",
            "privilege",
            wants().privilege("p"),
            account(json!({"privileges": ["p"]})),
            true,
        ),
        case("RAR-01", "no privileges", wants().privilege("p"), plain(), false),
        case(
            "RAR-01",
            "identifier",
            wants().identifier("7"),
            account(json!({"identifier": "7"})),
            true,
        ),
        case(
            "RAR-01",
            "another",
            wants().identifier("7"),
            account(json!({"identifier": "77"})),
            false,
        ),
        case("RAR-01", "no identifier", wants().identifier("7"), plain(), false),
        // A common field of another type: what its issuer meant cannot be known.
        case(
            "RAR-02",
            "actions as text",
            read(),
            one(json!({"type": "account", "actions": "read"})),
            false,
        ),
        case(
            "RAR-02",
            "an action as number",
            wants(),
            account(json!({"actions": ["read", 1]})),
            false,
        ),
        case("RAR-02", "actions null", wants(), account(json!({"actions": null})), false),
        case("RAR-02", "locations as text", wants(), located(json!(RESOURCE)), false),
        case("RAR-02", "locations null", wants(), located(json!(null)), false),
        case("RAR-02", "datatypes as object", wants(), account(json!({"datatypes": {}})), false),
        case("RAR-02", "privileges as number", wants(), account(json!({"privileges": 1})), false),
        case("RAR-02", "identifier as number", wants(), account(json!({"identifier": 7})), false),
    ];
    check_cases(&world, rows).await;
}

/// RAR-03: every audience of this resource is this resource.
#[tokio::test]
async fn a_detail_may_call_the_resource_by_its_other_name() {
    let other = "https://old.example/api";
    let named = World::with(Algorithm::Es256, |b| b.accept_audience(other)).await;
    let unnamed = World::new().await;
    let details = json!([{ "type": "account", "locations": [other] }]);
    for (world, passes) in [(&named, true), (&unnamed, false)] {
        let token = world.token().claim("authorization_details", &details);
        assert_eq!(ask(world, authorization_detail("account"), &token).await.passed(), passes);
    }
}

/// RAR-02: a claim of another shape refuses the token, on every route.
#[tokio::test]
async fn malformed_details_refuse_the_token() {
    let world = World::new().await;
    let sign = |json: &str| world.token().raw_claim("authorization_details", json).sign();
    let rows: Vec<Row> = vec![
        row("RAR-02", "none", world.token().sign(), Wants::Pass),
        row("RAR-02", "empty", sign("[]"), Wants::Pass),
        row("RAR-02", "typed", sign(r#"[{"type":"x"}]"#), Wants::Pass),
        row("RAR-02", "object", sign(r#"{"type":"x"}"#), Kind::MalformedClaim),
        row("RAR-02", "text", sign(r#""x""#), Kind::MalformedClaim),
        row("RAR-02", "text of an array", sign(r#""[{\"type\":\"x\"}]""#), Kind::MalformedClaim),
        row("RAR-02", "null", sign("null"), Kind::MalformedClaim),
        row("RAR-02", "array of texts", sign(r#"["x"]"#), Kind::MalformedClaim),
        row("RAR-02", "no type", sign(r#"[{"actions":["x"]}]"#), Kind::MalformedClaim),
        row("RAR-02", "one of two without", sign(r#"[{"type":"x"},{}]"#), Kind::MalformedClaim),
        row("RAR-02", "type as number", sign(r#"[{"type":1}]"#), Kind::MalformedClaim),
        row("RAR-02", "type as array", sign(r#"[{"type":["x"]}]"#), Kind::MalformedClaim),
        row("RAR-02", "empty type", sign(r#"[{"type":""}]"#), Kind::MalformedClaim),
        row("RAR-02", "two types", sign(r#"[{"type":"x","type":"y"}]"#), Kind::MalformedToken),
    ];
    world.check(rows).await;
}

/// RAR-05: where scope and details are both asked for, both have to suffice.
#[tokio::test]
async fn scope_and_details_are_two_conditions() {
    let world = World::new().await;
    for (name, granted, detail, status, error) in [
        ("both", "a", "account", 200, None),
        ("scope alone", "a", "other", 403, Some(None)),
        ("details alone", "b", "account", 403, Some(Some("a"))),
        ("neither", "b", "other", 403, Some(Some("a"))),
    ] {
        let details = json!([{ "type": detail }]);
        let token = world.token().scope(granted).claim("authorization_details", details);
        let sent = ask(&world, scope("a").and(authorization_detail("account")), &token).await;
        assert_eq!(sent.response.status(), status, "{name}");
        if let Some(scope) = error {
            let challenges = portcullis::testing::challenges(sent.response.headers());
            assert_eq!(challenges[0].param("scope"), scope, "{name}");
            assert_eq!(challenges[0].param("error"), Some("insufficient_scope"), "{name}");
        }
    }
}

#[derive(serde::Deserialize)]
struct Payment {
    amount: Amount,
}

#[derive(serde::Deserialize)]
struct Amount {
    currency: String,
}

/// RAR-01: the request is compared with what was granted.
#[tokio::test]
async fn a_condition_sees_the_request_and_the_object() {
    fn covers(request: &CheckContext<'_>, detail: &AuthorizationDetail<'_>) -> bool {
        let account = request.uri().path().strip_prefix("/accounts/");
        account.is_some() && account == detail.identifier()
    }
    let world = World::new().await;
    let details = json!([
        { "type": "payment", "identifier": "1", "amount": { "currency": "EUR" }, "extra": [1, 2] },
        { "type": "payment", "identifier": "2", "amount": "many" },
    ]);
    let token = world.token().claim("authorization_details", &details).sign();
    let status = async |policy: portcullis::check::RequireDetail, path: &str| {
        let mut request = bearer(&token);
        *request.uri_mut() = path.parse().unwrap();
        send(&world.api.protect(policy), request).await.response.status().as_u16()
    };
    let wants = || authorization_detail("payment").when(covers);
    let euros = |_: &CheckContext<'_>, detail: &AuthorizationDetail<'_>| {
        detail.parse::<Payment>().is_ok_and(|payment| payment.amount.currency == "EUR")
    };
    assert_eq!(status(wants(), "/accounts/1").await, 200);
    assert_eq!(status(wants(), "/accounts/2").await, 200);
    assert_eq!(status(wants(), "/accounts/3").await, 403);
    assert_eq!(status(wants(), "/accounts/").await, 403);
    assert_eq!(status(wants().when(euros), "/accounts/1").await, 200);
    // Each condition is true of some object, and both of none.
    assert_eq!(status(wants().when(euros), "/accounts/2").await, 403);
    assert_eq!(status(wants().when(|_, _| false), "/accounts/1").await, 403);
    assert_eq!(status(wants().action("pay"), "/accounts/1").await, 403);

    let members = authorization_detail("payment").identifier("1").when(|_, detail| {
        assert_eq!(detail.detail_type(), "payment");
        assert_eq!(detail.member("extra"), Some(json!([1, 2])));
        assert_eq!(detail.member("absent"), None);
        assert_eq!((detail.actions().len(), detail.locations().len()), (0, 0));
        assert!(!format!("{detail:?}").contains("EUR"), "what is granted is nobody else's");
        true
    });
    assert_eq!(status(members, "/").await, 200);
}

/// RAR-07: there is no registered error for it.
#[tokio::test]
async fn a_lack_of_details_is_insufficient_scope_without_a_scope() {
    let world = World::new().await;
    let sent = ask(&world, authorization_detail("account"), &world.token()).await;
    assert_challenge!(
        sent.response,
        403,
        "Bearer",
        error = "insufficient_scope",
        !scope,
        !authorization_details,
        !acr_values
    );
}

/// PRM: the document lists the types that are read.
#[tokio::test]
async fn the_metadata_lists_the_types() {
    let world = World::new().await;
    assert!(world.api.metadata().get("authorization_details_types_supported").is_none());
    let _ = world.api.protect(scope("a").and(authorization_detail("payment").action("initiate")));
    let _ = world.api.protect(no_actor().or(authorization_detail("account")));
    let _ = world.api.protect(authorization_detail(""));
    assert_eq!(
        world.api.metadata()["authorization_details_types_supported"],
        json!(["account", "payment"]),
    );
}

#[tokio::test]
async fn an_impossible_detail_is_a_fault() {
    let world = World::new().await;
    let wants = || authorization_detail("account");
    check_faulty(&world, authorization_detail(""), "the type of an authorization detail").await;
    check_faulty(&world, wants().action(""), "a list of actions has an empty text").await;
    check_faulty(
        &world,
        wants().action("read").location(""),
        "a list of locations has an empty text",
    )
    .await;
    check_faulty(&world, wants().identifier(""), "the identifier of an authorization").await;
}

#[tokio::test]
async fn a_detail_stands_in_the_effective_policy() {
    let world = World::new().await;
    let check = authorization_detail("account")
        .action("read")
        .action("list")
        .location("x:a")
        .datatype("d")
        .privilege("p")
        .identifier("7")
        .when(|_, _| true);
    assert_eq!(
        rules(&world, "detail", check),
        json!({ "authorization_details": [{
            "type": "account",
            "actions": ["read", "list"],
            "locations": ["x:a"],
            "datatypes": ["d"],
            "privileges": ["p"],
            "identifier": "7",
            "conditions": 1,
        }] }),
    );
}
