//! Which answers count, and what is decided here of what they say.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::check::scope;
use portcullis::introspection::{AnswerGap, Introspection};
use portcullis::jose::base64url;
use portcullis::testing::{Failure, TokenBuilder};
use portcullis::time::Timestamp;
use serde_json::{Value, json};

use crate::support::RESOURCE;
use crate::world::{SECOND, World};

/// What is answered about this token, as an object.
pub(crate) fn answer_of(claims: &TokenBuilder) -> Value {
    let jwt = claims.clone().sign();
    let payload = base64url::decode(jwt.split('.').nth(1).unwrap()).unwrap();
    let mut answer: Value = serde_json::from_slice(&payload).unwrap();
    answer["active"] = json!(true);
    answer["token_type"] = json!("Bearer");
    answer
}

/// INT-04, INT-11: `active` is the boolean `true`, or nobody passes: `false` is the token's fault, and
/// anything else is the endpoint's.
#[tokio::test]
async fn only_active_true_is_a_yes() {
    let world = World::new();
    let good = answer_of(&world.claims());
    let with = |active: Value| {
        let mut answer = good.clone();
        answer["active"] = active;
        answer.to_string()
    };
    let text = good.to_string();
    let rest = text.strip_prefix('{').unwrap();
    let twice = |first: &str| format!("{{\"active\":{first},{rest}");
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("active");
    let rows: Vec<(&str, String, Option<Kind>)> = vec![
        ("good", good.to_string(), None),
        ("white space", format!(" \r\n\t{text}\n"), None),
        ("false", json!({"active": false}).to_string(), Some(Kind::Inactive)),
        ("false, with all else", with(json!(false)), Some(Kind::Inactive)),
        ("nothing", "{}".to_owned(), Some(Kind::IntrospectionUnavailable)),
        ("without", without.to_string(), Some(Kind::IntrospectionUnavailable)),
        ("text", with(json!("true")), Some(Kind::IntrospectionUnavailable)),
        ("one", with(json!(1)), Some(Kind::IntrospectionUnavailable)),
        ("null", with(Value::Null), Some(Kind::IntrospectionUnavailable)),
        ("array", with(json!([true])), Some(Kind::IntrospectionUnavailable)),
        ("object", with(json!({"active": true})), Some(Kind::IntrospectionUnavailable)),
        ("twice, no first", twice("false"), Some(Kind::IntrospectionUnavailable)),
        ("twice, the same", twice("true"), Some(Kind::IntrospectionUnavailable)),
        (
            "other case",
            text.replace("\"active\"", "\"Active\""),
            Some(Kind::IntrospectionUnavailable),
        ),
        ("an array", format!("[{text}]"), Some(Kind::IntrospectionUnavailable)),
        ("empty array", "[]".to_owned(), Some(Kind::IntrospectionUnavailable)),
        ("true", "true".to_owned(), Some(Kind::IntrospectionUnavailable)),
        ("not JSON", "active=true".to_owned(), Some(Kind::IntrospectionUnavailable)),
        ("cut", text[..text.len() - 1].to_owned(), Some(Kind::IntrospectionUnavailable)),
        ("more after it", format!("{text}{text}"), Some(Kind::IntrospectionUnavailable)),
        ("empty", String::new(), Some(Kind::IntrospectionUnavailable)),
    ];
    for (name, answer, wants) in rows {
        let token = world.token();
        world.kit.set_raw(&token, answer);
        match wants {
            None => world.assert_passes(&token, name).await,
            Some(Kind::IntrospectionUnavailable) => world.assert_unavailable(&token, name).await,
            Some(kind) => world.assert_invalid(&token, kind, name).await,
        }
    }
    world.kit.fail(Failure::Body(b"\xff\xfe{\"active\":true}".to_vec()));
    world.assert_unavailable(&world.token(), "no UTF-8").await;
}

/// INT-05: "active" is not the end of it. Issuer, audience, times, lifetime and scope are decided here.
#[tokio::test]
async fn an_active_token_is_decided_like_any_other() {
    let world = World::new();
    let now = world.now();
    let minutes = Duration::from_mins;
    let old = |seconds: u64| {
        let end = now.minus(Duration::from_secs(seconds));
        world.claims().issued_at(now.minus(minutes(5))).expires_at(end)
    };
    let rows: [(&str, TokenBuilder, Option<Kind>); 16] = [
        ("good", world.claims(), None),
        ("ended within the leeway", old(5), None),
        ("ended", old(60), Some(Kind::Expired)),
        (
            "not yet",
            world.claims().claim("nbf", now.plus(minutes(1)).as_secs()),
            Some(Kind::NotYetValid),
        ),
        ("by now", world.claims().claim("nbf", now.as_secs()), None),
        (
            "issued tomorrow",
            world.claims().issued_at(now.plus(minutes(2))),
            Some(Kind::IssuedInFuture),
        ),
        (
            "other audience",
            world.claims().claim("aud", "https://other.example"),
            Some(Kind::WrongAudience),
        ),
        (
            "prefix of the audience",
            world.claims().claim("aud", "https://rs.exampl"),
            Some(Kind::WrongAudience),
        ),
        ("one of several", world.claims().claim("aud", ["https://other.example", RESOURCE]), None),
        ("no audience", world.claims().without("aud"), Some(Kind::MissingClaim)),
        (
            "other issuer",
            world.claims().claim("iss", "https://other.example"),
            Some(Kind::UnknownIssuer),
        ),
        ("no issuer: it was asked", world.claims().without("iss"), None),
        (
            "lives too long",
            world.claims().expires_at(now.plus(minutes(61))),
            Some(Kind::LifetimeTooLong),
        ),
        (
            "ends before it was issued",
            world.claims().expires_at(now).issued_at(now),
            Some(Kind::LifetimeTooLong),
        ),
        ("no `jti`: who can be asked needs none", world.claims().without("jti"), None),
        ("no `client_id`", world.claims().without("client_id"), Some(Kind::MissingClaim)),
    ];
    for (name, claims, wants) in rows {
        let token = world.kit.active(claims);
        match wants {
            None => world.assert_passes(&token, name).await,
            Some(kind) => world.assert_invalid(&token, kind, name).await,
        }
    }
    let narrow = world.kit.active(world.claims().scope("notes:read"));
    assert_eq!(world.kind_by(scope("notes:read"), &narrow).await, None);
    assert_eq!(world.kind_by(scope("notes:write"), &narrow).await, Some(Kind::InsufficientScope));
}

/// INT-14: RFC 7662 has whole seconds; a fraction is understood, and what is no time is not.
#[tokio::test]
async fn a_fraction_of_a_second_is_a_time() {
    let world = World::new();
    let now = world.now().as_secs();
    let rows = [
        ("whole", "exp", format!("{}", now + 60), true),
        ("fraction", "exp", format!("{}.5", now + 60), true),
        ("exponent", "exp", "1.80000006e9".to_owned(), true),
        ("text", "exp", format!("\"{}\"", now + 60), false),
        ("null", "exp", "null".to_owned(), false),
        ("array", "exp", format!("[{}]", now + 60), false),
        ("huge", "exp", "1e999".to_owned(), false),
        ("fraction", "iat", format!("{now}.25"), true),
        ("text", "iat", format!("\"{now}\""), false),
        ("fraction", "nbf", format!("{now}.75"), true),
        ("text", "nbf", "\"0\"".to_owned(), false),
    ];
    for (name, claim, value, good) in rows {
        let name = format!("{claim}: {name}");
        let token = world.kit.active(world.claims().raw_claim(claim, &value));
        match good {
            true => world.assert_passes(&token, &name).await,
            false => world.assert_unavailable(&token, &name).await,
        }
    }
    let token = world.kit.active(world.claims().raw_claim("exp", &format!("{}.5", now + 60)));
    let access = world.present(&token).await.unwrap();
    let exp: Timestamp = access.expires_at();
    assert_eq!(exp.since(world.now()), Some(60 * SECOND + SECOND / 2));
}

/// INT-04: a member of an answer that is of another type is the issuer's fault: no pass, and no
/// `invalid_token`; and nothing of it is remembered.
#[tokio::test]
async fn a_malformed_member_is_an_outage() {
    let world = World::new();
    for (member, value) in [
        ("aud", json!({})),
        ("aud", json!([1])),
        ("sub", json!(1)),
        ("client_id", json!([])),
        ("jti", json!(7)),
        ("scope", json!(["a"])),
        ("iss", json!(1)),
        ("token_type", json!(true)),
        ("acr", json!(1)),
        ("auth_time", json!("now")),
        ("act", json!("bob")),
        ("authorization_details", json!([{}])),
    ] {
        let name = format!("{member}: {value}");
        let token = world.kit.active(world.claims().claim(member, value));
        world.assert_unavailable(&token, &name).await;
        let calls = world.calls();
        world.kit.set(&token, answer_of(&world.claims()));
        world.assert_passes(&token, &name).await;
        assert_eq!(world.calls(), calls + 1, "{name}");
    }
}

/// INT-05: an answer without `jti` is one about a token without a name; a JWT that is read here has to have
/// one.
#[tokio::test]
async fn an_answer_may_lack_a_name_and_a_jwt_may_not() {
    let world = World::with_keys(|introspection| introspection);
    let claims = || world.claims().without("jti");
    let access = world.present(&world.kit.active(claims())).await.unwrap();
    assert_eq!(access.jwt_id(), None);
    world.assert_invalid(&claims().sign(), Kind::MissingClaim, "read here").await;
    let named = world.kit.active(world.claims().claim("jti", "a name"));
    assert_eq!(world.present(&named).await.unwrap().jwt_id().unwrap(), &"a name");
}

/// INT-04: of a member that is missing operators are told which setting would let it go; that setting does.
#[tokio::test]
async fn a_missing_member_names_its_setting() {
    type Change = fn(Introspection) -> Introspection;
    let rows: [(&str, &str, Change); 4] = [
        ("sub", "`.may_lack(AnswerGap::Subject)`", |one| one.may_lack(AnswerGap::Subject)),
        ("exp", "`.may_lack(AnswerGap::ExpiresAt)`", |one| one.may_lack(AnswerGap::ExpiresAt)),
        ("token_type", "`.may_lack(AnswerGap::TokenType)`", |one| {
            one.may_lack(AnswerGap::TokenType)
        }),
        ("aud", "`.dangerous().insecure_without_audience()`", |one| {
            one.dangerous().insecure_without_audience()
        }),
    ];
    let strict = World::new();
    let without = |world: &World, member: &str| {
        let mut answer = answer_of(&world.claims());
        answer.as_object_mut().unwrap().remove(member);
        let token = world.token();
        world.kit.set(&token, answer);
        token
    };
    for (member, setting, change) in rows {
        let rejection = strict.present(&without(&strict, member)).await.unwrap_err();
        let text = rejection.to_string();
        assert!(text.contains(&format!("no `{member}`")) && text.contains(setting), "{text}");
        let world = World::with(change);
        world.assert_passes(&without(&world, member), member).await;
    }
    for member in ["client_id", "iat"] {
        let rejection = strict.present(&without(&strict, member)).await.unwrap_err();
        assert_eq!(rejection.kind(), Kind::MissingClaim);
        let text = rejection.to_string();
        assert!(
            text.contains(&format!("no `{member}`")) && text.contains("`TokenProfile`"),
            "{text}"
        );
    }
}
