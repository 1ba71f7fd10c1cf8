//! How a list is fetched.

use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, COOKIE,
    IF_NONE_MATCH,
};
use portcullis::RejectionKind as Kind;
use portcullis::revocation::StatusLists;
use portcullis::testing::Failure;

use crate::world::{LIST, MINUTE, Parts, SECOND, World};

/// TSL-04, TSL-28: the request has what the standard wants, and neither a credential nor a query.
#[tokio::test]
async fn tsl_04_a_list_is_asked_for_and_nothing_is_told() {
    let world = World::new().await;
    assert_eq!(world.kind(0).await, None);
    let fields = world.list.last_request().unwrap();
    assert_eq!(fields[ACCEPT], "application/statuslist+jwt");
    assert_eq!(fields[ACCEPT_ENCODING], "gzip");
    for absent in [AUTHORIZATION, COOKIE, IF_NONE_MATCH] {
        assert!(!fields.contains_key(&absent), "{absent}");
    }
    assert_eq!(fields.len(), 2);
    // It was found under its URI: a query of ours would have been another one.
    assert_eq!(world.list.fetches(), 1);
}

/// TSL-05, TSL-21: 2xx, and the media type of a JWT. A list in a CWT is refused by its type.
#[tokio::test]
async fn tsl_05_only_a_list_in_a_jwt_is_read() {
    for (media_type, good) in [
        ("application/statuslist+jwt", true),
        ("Application/StatusList+JWT", true),
        ("application/statuslist+jwt; charset=utf-8", true),
        ("application/statuslist+cwt", false),
        ("application/jwt", false),
        ("application/json", false),
        ("text/plain", false),
        ("application/statuslist+jwtx", false),
        ("", false),
    ] {
        let world = World::new().await;
        world.list.field(CONTENT_TYPE, media_type);
        if good {
            assert_eq!(world.kind(0).await, None, "{media_type}");
        } else {
            world.assert_unavailable(0, media_type).await;
            let error = world.health().last_error.unwrap();
            assert!(error.contains("content type"), "{error}");
        }
    }
    for status in [204, 206, 300, 304, 400, 401, 403, 404, 410, 429, 500, 501, 503] {
        let world = World::new().await;
        world.list.fail(Failure::Status(StatusCode::from_u16(status).unwrap()));
        world.assert_unavailable(0, &status.to_string()).await;
        world.list.recover();
        world.advance(SECOND).await;
        assert_eq!(world.kind(0).await, None);
    }
}

/// TSL-06: redirects are followed, a few of them, to where lists may be; and round in no circle.
#[tokio::test]
async fn tsl_06_redirects_are_followed_within_bounds() {
    let step = |number: usize| format!("https://as.example/step/{number}");
    // The list is behind so many redirects.
    for (redirects, good) in [(0, true), (1, true), (3, true), (4, false), (10, false)] {
        let mut parts = Parts::new();
        for number in 0..redirects {
            let here = if number == 0 { LIST.to_owned() } else { step(number) };
            let next = Failure::Redirect(step(number + 1));
            match number {
                0 => parts.list.fail(next),
                _ => parts.list_at(&here).fail(next),
            }
        }
        if redirects > 0 {
            parts.list_at(&step(redirects)).edit(|token| token.claim("sub", LIST)).set(1, 1);
        } else {
            parts.list.set(1, 1);
        }
        let world = parts.build().await;
        if good {
            assert_eq!(world.kind(0).await, None, "{redirects}");
            assert_eq!(world.kind(1).await, Some(Kind::Revoked), "{redirects}");
        } else {
            world.assert_unavailable(0, "too many redirects").await;
            assert!(world.health().last_error.unwrap().contains("redirects"));
        }
    }
    for (name, to, told) in [
        ("to itself", LIST, "back to it"),
        ("to another host", "https://other.example/lists/1", "redirect: "),
        ("to another port", "https://as.example:8443/lists/1", "redirect: "),
        ("to http", "http://as.example/lists/1", "redirect: "),
        ("into the machine", "http://127.0.0.1/lists/1", "redirect: "),
        ("to a file", "file:///etc/passwd", "redirect: "),
    ] {
        let world = World::new().await;
        let before = world.network.fetches();
        world.list.fail(Failure::Redirect(to.to_owned()));
        world.assert_unavailable(0, name).await;
        let error = world.health().last_error.unwrap();
        assert!(error.contains(told), "{name}: {error}");
        assert_eq!(world.network.fetches(), before + 1, "{name}");
    }
    let mut parts = Parts::new();
    parts.list.fail(Failure::Redirect("/b".to_owned()));
    parts.list_at("https://as.example/b").fail(Failure::Redirect("/lists/1".to_owned()));
    let world = parts.build().await;
    world.assert_unavailable(0, "a circle").await;
    assert!(world.health().last_error.unwrap().contains("back to it"));
}

/// TSL-06, TSL-09: a redirect may lead to an origin that is allowed, and the list is still the one that
/// the token names.
#[tokio::test]
async fn a_redirect_makes_no_other_list_of_it() {
    for (sub, good) in [(LIST, true), ("https://lists.example/1", false)] {
        let mut parts = Parts::new();
        parts.lists = StatusLists::new().allow_uris_at("https://lists.example");
        parts.list.fail(Failure::Redirect("https://lists.example/1".to_owned()));
        parts.list_at("https://lists.example/1").edit(move |token| token.claim("sub", sub));
        let world = parts.build().await;
        match good {
            true => assert_eq!(world.kind(0).await, None),
            false => world.assert_unavailable(0, "the other's name").await,
        }
    }
}

/// TSL-07: gzip is decoded, and no other coding is.
#[tokio::test]
async fn tsl_07_gzip_is_decoded() {
    let world = World::new().await;
    world.list.resize(2, 100_000).set(77_777, 1).gzip();
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.kind(77_777).await, Some(Kind::Revoked));
    for coding in ["br", "deflate", "zstd", "gzip, gzip", "x"] {
        let world = World::new().await;
        world.list.field(CONTENT_ENCODING, coding);
        world.assert_unavailable(0, coding).await;
        assert!(world.health().last_error.unwrap().contains("content coding"));
    }
    let world = World::new().await;
    world.list.field(CONTENT_ENCODING, "gzip");
    world.assert_unavailable(0, "it is not").await;
    assert!(world.health().last_error.unwrap().contains("not gzip"));
}

/// A list that did not change is not sent again, and is as young as one that was.
#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let world = World::new().await;
    for round in 1..=5 {
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.list.fetches(), round);
        world.advance(MINUTE * 280 / 60).await;
    }
    let fields = world.list.last_request().unwrap();
    assert_eq!(fields[IF_NONE_MATCH], "\"v0\"");
    world.list.set(0, 1);
    world.advance(MINUTE * 5 + SECOND).await;
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
}

/// What has expired is asked for whole: "unchanged" would be no answer.
#[tokio::test]
async fn what_has_expired_is_asked_for_whole() {
    let world = World::new().await;
    let end = world.now().plus(MINUTE);
    world.list.ttl(None).expires_at(end);
    assert_eq!(world.kind(0).await, None);
    // It is unchanged ahead of its end, and then it ends.
    world.advance(MINUTE * 55 / 60).await;
    assert!(world.list.last_request().unwrap().contains_key(IF_NONE_MATCH));
    world.advance(SECOND * 5).await;
    world.assert_unavailable(0, "it has expired").await;
    assert!(!world.list.last_request().unwrap().contains_key(IF_NONE_MATCH));
    world.list.expires_at(world.now().plus(MINUTE * 10));
    world.advance(MINUTE).await;
    assert_eq!(world.kind(0).await, None);
}

/// TSL-14: HTTP's caching fields have no say where the list says something itself.
#[tokio::test]
async fn tsl_14_ttl_overrides_caching_fields() {
    for (field, ttl, before, after) in
        [("no-store, max-age=0", 3_600, 2_800, 3_300), ("max-age=31536000, immutable", 60, 45, 55)]
    {
        let world = World::new().await;
        world.list.field(CACHE_CONTROL, field).ttl(SECOND * ttl);
        assert_eq!(world.kind(0).await, None);
        world.advance(SECOND * before).await;
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.list.fetches(), 1, "{field}");
        world.advance(SECOND * (after - before)).await;
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.list.fetches(), 2, "{field}");
    }
}

/// TSL-26: nobody looks into the past, so no list of another time is asked for or taken for one.
#[tokio::test]
async fn tsl_26_a_list_is_about_now() {
    let world = World::new().await;
    world.list.expires_at(world.now());
    world.assert_unavailable(0, "a list that ended").await;
    assert_eq!(world.list.fetches(), 1, "under its URI, without `?time=`");
}
