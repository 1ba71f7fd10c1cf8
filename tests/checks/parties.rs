//! Clients, subjects, issuers, kinds of subject, actors: whose token it is.

use std::sync::Arc;

use portcullis::SubjectKind;
use portcullis::check::{
    Check, actor, actors, allow_all, clients, issuers, no_actor, subject_kind, subject_kinds,
    subjects,
};
use portcullis::issuer::{OptionalClaim, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestAccess, TestIssuer, TestNetwork, check};
use portcullis::{Issuer, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::{ISSUER, RESOURCE, Row, World, builder, row};
use crate::{ask, case, check_cases, check_faulty, rules};

const OTHER: &str = "https://other.example";

/// Two issuers, one of which may leave out the client.
async fn two_issuers() -> (World, TestIssuer) {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let other = TestIssuer::new(OTHER, &clock);
    let lax = TokenProfile::relaxed().may_lack(OptionalClaim::ClientId);
    let network = TestNetwork::of(&[&issuer, &other]);
    let as_jwks: Issuer = other.jwks().profile(lax);
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .issuer(as_jwks)
        .transport(network.clone())
        .build()
        .unwrap();
    api.warm_up().await.unwrap();
    (World { clock, issuer, network, api }, other)
}

#[tokio::test]
async fn only_listed_clients_subjects_and_issuers_pass() {
    let (world, other) = two_issuers().await;
    let ours = || world.token().subject("alice").client_id("app");
    let theirs = || other.token(RESOURCE).subject("alice").client_id("app");
    let nobodys = || other.token(RESOURCE).subject("alice").without("client_id");
    let our_clients = |names: &[&str]| clients(names.iter().copied()).of_issuer(ISSUER);
    let our_subjects = |names: &[&str]| subjects(names.iter().copied()).of_issuer(ISSUER);
    let rows = [
        case("clients", "client", our_clients(&["web", "app"]), ours(), true),
        case("clients", "other client", our_clients(&["web"]), ours(), false),
        case("clients", "other case", our_clients(&["App"]), ours(), false),
        case("clients", "part of a client", our_clients(&["ap", "appp"]), ours(), false),
        case("clients", "the subject is no client", our_clients(&["alice"]), ours(), false),
        case("clients", "client of its issuer", clients(["app"]).of_issuer(OTHER), theirs(), true),
        case("clients", "no client", clients(["app"]).of_issuer(OTHER), nobodys(), false),
        case("clients", "not of its issuer", our_clients(&["app"]), theirs(), false),
        case("subjects", "subject", our_subjects(&["bob", "alice"]), ours(), true),
        case("subjects", "other subject", our_subjects(&["bob"]), ours(), false),
        case("subjects", "other case", our_subjects(&["Alice"]), ours(), false),
        case("subjects", "the client is no subject", our_subjects(&["app"]), ours(), false),
        case("subjects", "of its issuer", subjects(["alice"]).of_issuer(OTHER), theirs(), true),
        case("subjects", "not of its issuer", our_subjects(&["alice"]), theirs(), false),
        case("issuers", "issuer", issuers([ISSUER, OTHER]), theirs(), true),
        case("issuers", "other issuer", issuers([ISSUER]), theirs(), false),
        case("issuers", "a slash makes another", issuers([format!("{ISSUER}/")]), ours(), false),
    ];
    check_cases(&world, rows).await;
}

/// JWS-47 for clients and subjects: where there is one issuer a name says who is meant, and else it
/// does not.
#[tokio::test]
async fn a_name_alone_says_who_is_meant_only_where_there_is_one_issuer() {
    let (world, other) = two_issuers().await;
    let one = World::new().await;
    let tenants =
        World::with(Algorithm::Es256, |builder| builder.tenants(TenantList::new(), 10)).await;
    type Named = fn(Option<&str>) -> Arc<dyn Check>;
    let rows: [(&str, Named); 5] = [
        ("clients", |issuer| {
            let check = clients(["app"]);
            match issuer {
                Some(issuer) => Arc::new(check.of_issuer(issuer)),
                None => Arc::new(check),
            }
        }),
        ("subjects", |issuer| {
            let check = subjects(["alice"]);
            match issuer {
                Some(issuer) => Arc::new(check.of_issuer(issuer)),
                None => Arc::new(check),
            }
        }),
        ("actor", |issuer| {
            let check = actors(["gateway"]);
            match issuer {
                Some(issuer) => Arc::new(check.of_issuer(issuer)),
                None => Arc::new(check),
            }
        }),
        // However deep it stands.
        ("clients", |issuer| {
            let check = clients(["app"]);
            match issuer {
                Some(issuer) => Arc::new(allow_all().and(no_actor().or(check.of_issuer(issuer)))),
                None => Arc::new(allow_all().and(no_actor().or(check))),
            }
        }),
        ("subjects", |issuer| {
            let check = subjects(["alice"]);
            match issuer {
                Some(issuer) => Arc::new(check.of_issuer(issuer).or(no_actor()).and(allow_all())),
                None => Arc::new(check.or(no_actor()).and(allow_all())),
            }
        }),
    ];
    for (what, named) in rows {
        let words = format!("`{what}` names no issuer, and the server has more than one");
        for several in [&world.api, &tenants.api] {
            let fault = several.guard(named(None)).unwrap_err().to_string();
            assert!(fault.contains(&words), "{fault}");
            assert!(several.guard(named(Some(ISSUER))).is_ok(), "{what}");
        }
        for issuer in [None, Some(ISSUER)] {
            assert!(one.api.guard(named(issuer)).is_ok(), "{what}");
        }
        // A layer of it lets nobody through.
        for token in [world.token(), other.token(RESOURCE)] {
            let token = token.subject("alice").client_id("app");
            let sent = ask(&world, named(None), &token).await;
            assert_eq!(sent.kind(), Some(Kind::Misconfigured), "{what}");
        }
    }

    let token = || one.token().subject("alice").client_id("app");
    let rows = [
        case("clients", "client", clients(["web", "app"]), token(), true),
        case("clients", "other client", clients(["web"]), token(), false),
        case("subjects", "subject", subjects(["bob", "alice"]), token(), true),
        case("subjects", "other subject", subjects(["bob"]), token(), false),
    ];
    check_cases(&one, rows).await;
}

/// AT-17, NHI-10, BCP-07
#[tokio::test]
async fn a_client_that_acts_for_itself_is_not_a_user() {
    use SubjectKind::{Client, Person, Unknown, Workload};
    let (world, other) = two_issuers().await;
    let person = || world.token().subject("alice").client_id("app");
    let client = || world.token().subject("app").client_id("app");
    let unknown = || other.token(RESOURCE).without("client_id");
    let rows = [
        case("AT-17", "person", subject_kinds([Person]), person(), true),
        case("AT-17", "client for a person", subject_kinds([Person]), client(), false),
        case("AT-17", "unknown for a person", subject_kinds([Person]), unknown(), false),
        case("NHI-10", "client", subject_kind(Client), client(), true),
        case("NHI-10", "person for a client", subject_kind(Client), person(), false),
        case("NHI-10", "unknown for a client", subject_kind(Client), unknown(), false),
        case("NHI-10", "either, person", subject_kinds([Client, Person]), person(), true),
        case("NHI-10", "either, client", subject_kinds([Client, Person]), client(), true),
        case("NHI-10", "either, unknown", subject_kinds([Client, Person]), unknown(), false),
        case("NHI-10", "unknown, where it may", subject_kind(Unknown), unknown(), true),
        case("NHI-10", "person for a workload", subject_kind(Workload), person(), false),
    ];
    check_cases(&world, rows).await;
}

/// DEL-01 to DEL-04: the outermost `act` decides, by `sub` and `iss`, and nothing else does.
#[tokio::test]
async fn the_current_actor_decides() {
    let (world, other) = two_issuers().await;
    let with = |act: Value| world.token().claim("act", act);
    let gateway = || with(json!({ "sub": "gateway" }));
    let foreign = || with(json!({ "sub": "gateway", "iss": OTHER }));
    let before = || with(json!({ "sub": "batch", "act": { "sub": "gateway" } }));
    let plain = || world.token();
    let may_act = || world.token().claim("may_act", json!({ "sub": "gateway" }));
    let theirs = || other.token(RESOURCE).claim("act", json!({ "sub": "gateway" }));
    let of = || actors(["gateway"]).of_issuer(ISSUER);
    let rows = [
        case("DEL-04", "wanted, there", actor(), gateway(), true),
        case("DEL-04", "wanted, absent", actor(), plain(), false),
        case("DEL-04", "forbidden, absent", no_actor(), plain(), true),
        case("DEL-04", "forbidden, there", no_actor(), gateway(), false),
        case("DEL-03", "may_act is no actor", actor(), may_act(), false),
        case("DEL-03", "may_act is not one", no_actor(), may_act(), true),
        case("DEL-03", "may_act names nobody", of(), may_act(), false),
        case("DEL-04", "listed", actors(["batch", "gateway"]).of_issuer(ISSUER), gateway(), true),
        case("DEL-04", "not listed", actors(["batch"]).of_issuer(ISSUER), gateway(), false),
        case("DEL-04", "other case", actors(["Gateway"]).of_issuer(ISSUER), gateway(), false),
        case("DEL-04", "absent", of(), plain(), false),
        case(
            "DEL-04",
            "the subject is no actor",
            actors(["alice"]).of_issuer(ISSUER),
            gateway(),
            false,
        ),
        case("DEL-01", "an actor before is none", of(), before(), false),
        case("DEL-01", "the current one is", actors(["batch"]).of_issuer(ISSUER), before(), true),
        case(
            "DEL-01",
            "claims of an inner act give nothing",
            no_actor(),
            with(json!({ "sub": "x", "scope": "admin" })),
            false,
        ),
        case(
            "DEL-02",
            "times inside mean nothing",
            of(),
            with(json!({ "sub": "gateway", "exp": 1, "nbf": 9_999_999_999_u64, "aud": "x" })),
            true,
        ),
        case("DEL-04", "issuer said", of(), with(json!({ "sub": "gateway", "iss": ISSUER })), true),
        case("DEL-04", "another's of that name", of(), foreign(), false),
        case("DEL-04", "another's, wanted", of().of_issuer(OTHER), foreign(), true),
        case("DEL-04", "ours, another's wanted", of().of_issuer(OTHER), gateway(), false),
        case("DEL-04", "of the token's issuer", of().of_issuer(OTHER), theirs(), true),
        case("DEL-04", "of the token's issuer alone", of(), theirs(), false),
    ];
    check_cases(&world, rows).await;

    // DEL-07: an impersonation has no `act`; what the API says of it is that nobody else acts.
    assert!(TestAccess::new().build().actor().is_none());
    assert!(check(&no_actor(), &TestAccess::new().build(), "GET", "/").is_ok());
}

/// DEL-01, DEL-06: a malformed actor refuses the token, however little the route asks.
#[tokio::test]
async fn a_malformed_or_endless_actor_refuses_the_token() {
    fn nested(levels: usize) -> String {
        let (open, close) = (r#"{"sub":"x","act":"#.repeat(levels), "}".repeat(levels));
        format!(r#"{open}{{"sub":"last"}}{close}"#)
    }
    let world = World::new().await;
    let sign = |json: &str| world.token().raw_claim("act", json).sign();
    let rows: Vec<Row> = vec![
        row("DEL-01", "an actor", sign(r#"{"sub":"x"}"#), crate::support::Wants::Pass),
        row(
            "DEL-01",
            "with an issuer",
            sign(r#"{"sub":"x","iss":"y"}"#),
            crate::support::Wants::Pass,
        ),
        row("DEL-01", "text", sign(r#""x""#), Kind::MalformedClaim),
        row("DEL-01", "null", sign("null"), Kind::MalformedClaim),
        row("DEL-01", "array", sign(r#"[{"sub":"x"}]"#), Kind::MalformedClaim),
        row("DEL-01", "no subject", sign(r#"{"iss":"x"}"#), Kind::MalformedClaim),
        row("DEL-01", "no text as subject", sign(r#"{"sub":1}"#), Kind::MalformedClaim),
        row("DEL-01", "empty subject", sign(r#"{"sub":""}"#), Kind::MalformedClaim),
        row("DEL-01", "no text as issuer", sign(r#"{"sub":"x","iss":null}"#), Kind::MalformedClaim),
        row("DEL-01", "two subjects", sign(r#"{"sub":"x","sub":"y"}"#), Kind::MalformedToken),
        row("DEL-06", "5 levels", sign(&nested(4)), crate::support::Wants::Pass),
        row("DEL-06", "15 levels", sign(&nested(14)), crate::support::Wants::Pass),
        row("DEL-06", "16 levels", sign(&nested(15)), Kind::MalformedToken),
        row("DEL-06", "400 levels", sign(&nested(400)), Kind::MalformedToken),
        row("DEL-06", "10 000 levels", sign(&nested(10_000)), Kind::TokenTooLong),
    ];
    world.check(rows).await;
    // Whatever the longest token, the reader ends at its depth.
    let deep = format!(r#"{{"act":{}}}"#, nested(10_000));
    assert!(portcullis::jose::ClaimsSet::parse(deep.as_bytes()).is_err());
}

#[tokio::test]
async fn a_list_of_nobody_is_a_fault() {
    let world = World::new().await;
    let none = [""; 0];
    check_faulty(&world, clients(none), "no client is named").await;
    check_faulty(&world, clients(["a", ""]), "a list of clients has an empty text").await;
    check_faulty(&world, clients(["test-client"]).of_issuer("as.example"), "as.example").await;
    check_faulty(&world, subjects(none), "no subject is named").await;
    check_faulty(&world, subjects([""]), "a list of subjects has an empty text").await;
    check_faulty(&world, subjects(["alice"]).of_issuer(""), "issuer").await;
    check_faulty(&world, issuers(none), "no issuer is named").await;
    check_faulty(&world, issuers([ISSUER, "as.example"]), "as.example").await;
    check_faulty(&world, subject_kinds([]), "no kind of subject is named").await;
    check_faulty(&world, actors(none), "no actor is named").await;
    check_faulty(&world, actors(["x"]).of_issuer(""), "the issuer of the actors").await;
}

#[tokio::test]
async fn each_stands_in_the_effective_policy() {
    let world = World::new().await;
    let check = (
        clients(["app"]).of_issuer(ISSUER),
        subjects(["alice"]),
        issuers([ISSUER]),
        subject_kinds([SubjectKind::Person, SubjectKind::Workload]),
        actors(["gateway"]),
        actor().or(no_actor()),
    );
    assert_eq!(
        rules(&world, "parties", check),
        json!({
            "clients": { "one_of": ["app"], "of_issuer": ISSUER },
            "subjects": ["alice"],
            "issuers": [ISSUER],
            "subject_kinds": ["person", "workload"],
            "actor": ["gateway"],
            "all_of": [{ "any_of": [
                { "all_of": [{ "actor": "required" }] },
                { "all_of": [{ "actor": "forbidden" }] },
            ] }],
        }),
    );
}
