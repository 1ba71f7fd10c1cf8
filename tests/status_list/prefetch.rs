//! Documents that name lists (TSL-27).

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{SourceState, StatusLists};
use portcullis::testing::{Failure, TestIssuer, TestStatusList};
use serde_json::json;

use crate::support::{ISSUER, present, settle};
use crate::world::{HOUR, LIST, MINUTE, Parts, SECOND, World};

const DOCUMENT: &str = "https://as.example/lists";

/// An issuer with this document, which names the lists `1`, `2` and `3`.
async fn world(document: impl Into<Bytes>, media_type: &str) -> (World, [TestStatusList; 2]) {
    let mut parts = Parts::new();
    let others = ["https://as.example/lists/2", "https://as.example/lists/3"];
    let others = others.map(|uri| parts.list_at(uri));
    parts.network = parts.network.with_document(DOCUMENT, media_type, document);
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    (parts.build().await, others)
}

fn naming(uris: &[&str]) -> String {
    json!({ "status_lists": uris }).to_string()
}

const ALL: [&str; 3] =
    ["https://as.example/lists/1", "https://as.example/lists/2", "https://as.example/lists/3"];

/// TSL-27, TSL-28: lists are there before the first token that names one, and stay fresh although nobody
/// uses them.
#[tokio::test]
async fn tsl_27_lists_are_fetched_before_they_are_used() {
    let (world, others) = world(naming(&ALL), "application/json").await;
    world.list.set(1, 1);
    let health = world.api.revocations().status_lists();
    assert_eq!(health.iter().map(|list| &*list.uri).collect::<Vec<_>>(), ALL);
    assert!(health.iter().all(|list| list.state == SourceState::Fresh));
    for list in [&world.list, &others[0], &others[1]] {
        assert_eq!(list.fetches(), 1);
    }
    for _ in 0..6 {
        world.advance(MINUTE * 275 / 60).await;
    }
    assert_eq!(world.list.fetches(), 7, "nobody used it");
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.kind(1).await, Some(Kind::Revoked));
    assert_eq!(world.list.fetches(), 7, "and nobody waited");
}

/// TSL-27: one bad list does not stop the others, nor does a name of a place where no list may be.
#[tokio::test]
async fn tsl_27_one_bad_list_stops_no_other() {
    let mut parts = Parts::new();
    let third = parts.list_at(ALL[2]);
    let second = parts.list_at(ALL[1]);
    second.fail(Failure::Status(http::StatusCode::INTERNAL_SERVER_ERROR));
    let evil = "https://evil.example/1";
    let named = naming(&[evil, ALL[1], "x", ALL[0], ALL[2], ALL[0]]);
    parts.network = parts.network.with_document(DOCUMENT, "application/json", named);
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    let world = parts.build().await;
    assert_eq!((world.list.fetches(), third.fetches()), (1, 1));
    assert_eq!(second.fetches(), 1);
    let states: Vec<_> =
        world.api.revocations().status_lists().iter().map(|list| list.state).collect();
    let (fresh, never) = (SourceState::Fresh, SourceState::NeverSynchronised);
    assert_eq!(states, [fresh, never, fresh]);
    second.recover();
    world.advance(SECOND).await;
    assert_eq!(second.fetches(), 2, "it is tried again");
    assert_eq!(world.kind_of(&world.token_at(&second, 0)).await, None);
}

/// TSL-27: a document that cannot be had or read is tried again; lists are then fetched when they are
/// used.
#[tokio::test]
async fn tsl_27_a_bad_document_stops_nothing() {
    for (name, document, media_type) in [
        ("no JSON", "<html>".to_owned(), "application/json"),
        ("an array", json!(ALL).to_string(), "application/json"),
        ("another member", json!({ "lists": ALL }).to_string(), "application/json"),
        ("no array", json!({ "status_lists": LIST }).to_string(), "application/json"),
        ("no texts", json!({ "status_lists": [LIST, 7] }).to_string(), "application/json"),
        ("another type", naming(&ALL), "text/plain"),
        ("too long", naming(&[&"x".repeat(1 << 20)]), "application/json"),
    ] {
        let (world, _) = world(document, media_type).await;
        assert!(world.api.revocations().status_lists().is_empty(), "{name}");
        let before = world.network.fetches();
        for _ in 0..60 {
            world.advance(SECOND).await;
        }
        let tried = world.network.fetches() - before;
        assert!((4..=8).contains(&tried), "{name}: {tried}");
        assert_eq!(world.kind(0).await, None, "{name}");
    }
}

/// What the document no longer names is no longer kept.
#[tokio::test]
async fn what_is_no_longer_named_is_no_longer_kept() {
    let mut parts = Parts::new();
    let document = TestStatusList::new(DOCUMENT, &parts.issuer, &parts.clock);
    document.field(CONTENT_TYPE, "application/json").body(naming(&ALL[..1]));
    let second = parts.list_at(ALL[1]);
    parts.network = parts.network.with_list(&document);
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    let world = parts.build().await;
    assert_eq!((world.list.fetches(), second.fetches()), (1, 0));
    document.body(naming(&ALL[1..2]));
    world.advance(HOUR).await;
    assert_eq!(second.fetches(), 1);
    let before = world.list.fetches();
    for _ in 0..30 {
        world.advance(MINUTE).await;
    }
    assert!(world.list.fetches() <= before + 1);
    assert!(second.fetches() >= 6);
}

/// A document of one issuer, as it was said or by where it is, names no list of another.
#[tokio::test]
async fn a_document_speaks_for_its_issuer() {
    let new = StatusLists::new;
    for lists in [new().prefetch_of(ISSUER, DOCUMENT), new().prefetch(DOCUMENT)] {
        let mut parts = Parts::new();
        let theirs = list_of_another(&mut parts);
        let named = naming(&[theirs.uri(), LIST]);
        parts.network = parts.network.with_document(DOCUMENT, "application/json", named);
        parts.lists = lists;
        let world = parts.build().await;
        assert_eq!((world.list.fetches(), theirs.fetches()), (1, 0));
    }
}

/// A list of another issuer of the same server.
fn list_of_another(parts: &mut Parts) -> TestStatusList {
    let other = TestIssuer::new("https://other.example", &parts.clock);
    let list = TestStatusList::new("https://other.example/1", &other, &parts.clock);
    parts.others.push(other);
    parts.network = std::mem::take(&mut parts.network).with_list(&list);
    list
}

/// What one document does not name another may name, of the same issuer or of another one: each keeps its
/// lists fresh, and none ends what another keeps.
#[tokio::test]
async fn documents_do_not_speak_against_each_other() {
    const OTHER_DOCUMENT: &str = "https://as.example/documents/2";
    for other_issuer in [ISSUER, "https://other.example"] {
        let mut parts = Parts::new();
        let other = match other_issuer {
            ISSUER => parts.list_at(ALL[1]),
            _ => list_of_another(&mut parts),
        };
        for (document, list) in [(DOCUMENT, ALL[0]), (OTHER_DOCUMENT, other.uri())] {
            let named = naming(&[list]);
            parts.network = parts.network.with_document(document, "application/json", named);
        }
        let lists = StatusLists::new().prefetch_of(ISSUER, DOCUMENT);
        parts.lists = lists.prefetch_of(other_issuer, OTHER_DOCUMENT);
        let world = parts.build().await;
        for _ in 0..30 {
            world.advance(MINUTE).await;
        }
        for list in [&world.list, &other] {
            assert!(list.fetches() >= 6, "{}: {}", list.uri(), list.fetches());
        }
    }
}

/// TSL-06, TSL-27: a document may move within its origin, and to no other, wherever its lists may be.
#[tokio::test]
async fn tsl_27_a_document_moves_within_its_origin() {
    for (to, followed) in
        [("https://as.example/moved", true), ("https://lists.example/moved", false)]
    {
        let mut parts = Parts::new();
        parts.list_at(DOCUMENT).fail(Failure::Redirect(to.to_owned()));
        let moved = parts.list_at(to);
        moved.field(CONTENT_TYPE, "application/json").body(naming(&ALL[..1]));
        parts.lists = StatusLists::new().prefetch(DOCUMENT).allow_uris_at("https://lists.example");
        let world = parts.build().await;
        let wanted = usize::from(followed);
        assert_eq!((moved.fetches(), world.list.fetches()), (wanted, wanted), "{to}");
    }
}

/// When the tokio runtime has ended in which documents were fetched, they are fetched in the next one, once.
#[test]
fn documents_are_fetched_in_the_runtime_that_lives() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut parts = Parts::new();
    let document = parts.list_at(DOCUMENT);
    document.field(CONTENT_TYPE, "application/json").body(naming(&ALL[..1]));
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    let world = runtime().block_on(parts.build());
    assert_eq!(document.fetches(), 1);
    runtime().block_on(async {
        for _ in 0..2 {
            assert_eq!(world.kind(0).await, None);
            settle().await;
            assert_eq!(document.fetches(), 2);
        }
    });
}

/// A hundred lists that are prefetched, and do not come, hold up no request: neither for another list of
/// the issuer, nor for one of them.
#[tokio::test]
async fn requests_come_before_prefetches() {
    let mut parts = Parts::new();
    let uris: Vec<_> = (0..100).map(|n| format!("https://as.example/many/{n}")).collect();
    let lists: Vec<_> = uris.iter().map(|uri| parts.list_at(uri)).collect();
    lists[..99].iter().for_each(TestStatusList::hold);
    let named = json!({ "status_lists": uris }).to_string();
    parts.network = parts.network.with_document(DOCUMENT, "application/json", named);
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    let world = parts.build().await;
    let fetched = || lists.iter().map(TestStatusList::fetches).sum::<usize>();
    assert_eq!(fetched(), 4, "a few at a time");
    for (list, name) in [(&world.list, "another"), (&lists[99], "one of them")] {
        assert_eq!(at_once(&world, list).await, None, "{name}");
    }
    assert_eq!(fetched(), 5);
    lists.iter().for_each(TestStatusList::release);
    for _ in 0..20 {
        settle().await;
    }
    assert_eq!(fetched(), 100, "and nobody failed while it waited");
    assert!(world.api.revocations().status_lists().iter().all(|list| list.failed == 0));
}

/// Lists that are all due at once hold up no request either: the one that it needs comes first.
#[tokio::test]
async fn requests_come_before_refreshes() {
    let mut parts = Parts::new();
    let uris: Vec<_> = (0..40).map(|n| format!("https://as.example/many/{n}")).collect();
    let lists: Vec<_> = uris.iter().map(|uri| parts.list_at(uri)).collect();
    let named = json!({ "status_lists": uris }).to_string();
    parts.network = parts.network.with_document(DOCUMENT, "application/json", named);
    parts.lists = StatusLists::new().prefetch(DOCUMENT);
    let world = parts.build().await;
    for _ in 0..20 {
        settle().await;
    }
    let fetched = || lists.iter().map(TestStatusList::fetches).sum::<usize>();
    assert_eq!(fetched(), 40);
    lists.iter().for_each(TestStatusList::hold);
    world.advance(SECOND * 301).await;
    assert_eq!(fetched(), 44);
    let waiting = lists.iter().find(|list| list.fetches() == 1).unwrap();
    waiting.release();
    settle().await;
    assert_eq!(waiting.fetches(), 1, "it waits for its turn");
    assert_eq!(at_once(&world, waiting).await, None);
    assert_eq!(at_once(&world, &world.list).await, None, "as one that is not known");
    assert_eq!(fetched(), 45);
}

/// What a token at the first place of this list gets, without any time going by.
async fn at_once(world: &World, list: &TestStatusList) -> Option<Kind> {
    let (api, token) = (world.api.clone(), world.token_at(list, 0).sign());
    let request =
        tokio::spawn(async move { present(&api, &token).await.err().map(|error| error.kind()) });
    settle().await;
    assert!(request.is_finished(), "it waits");
    request.await.unwrap()
}
