//! Everything has a bound.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::CONTENT_ENCODING;
use portcullis::RejectionKind as Kind;
use portcullis::jose::base64url;
use portcullis::revocation::StatusLists;
use portcullis::testing::{Failure, TestIssuer, TestStatusList, TokenBuilder};

use crate::support::{RESOURCE, present, settle};
use crate::world::{Parts, SECOND, World};

fn zlib(octets: usize) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; octets]).unwrap();
    base64url::encode(encoder.finish().unwrap())
}

fn gzip(octets: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b'a'; octets]).unwrap();
    encoder.finish().unwrap()
}

/// TSL-29: ten megabytes of zeros in ten kilobytes are not inflated to their end; what is allowed is.
#[tokio::test]
async fn tsl_29_a_list_is_no_bomb() {
    let world = World::new().await;
    let lst = zlib(10 << 20);
    assert!(lst.len() < 20_000, "{}", lst.len());
    world.list.lst(lst);
    world.assert_unavailable(0, "a bomb").await;
    let health = world.health();
    assert!(health.last_error.unwrap().contains("more than 16777216 entries"));
    assert_eq!(health.entries, None);

    world.list.lst(zlib(2 << 20));
    world.advance(SECOND).await;
    assert_eq!(world.kind((1 << 24) - 1).await, None, "2^24 entries are allowed");
    assert_eq!(world.health().entries, Some(1 << 24));

    let world = World::with(StatusLists::new().max_entries(1_000)).await;
    world.list.resize(2, 1_004);
    world.assert_unavailable(0, "a few too many").await;
    world.list.resize(2, 1_000);
    world.advance(SECOND).await;
    assert_eq!(world.kind(999).await, None);
}

/// TSL-07, TSL-29: neither is a body, as it is sent and as it is decoded.
#[tokio::test]
async fn tsl_29_a_body_is_no_bomb() {
    let few = || StatusLists::new().max_entries(1_024);
    for (name, body, coding, told) in [
        ("a long body", vec![b'a'; 100_000], None, "too large"),
        ("a bomb", gzip(50 << 20), Some("gzip"), "longer than"),
        ("a long text", gzip(100_000), Some("gzip"), "longer than"),
        ("a long body of gzip", vec![0x1f; 100_000], Some("gzip"), "too large"),
    ] {
        let world = World::with(few()).await;
        world.list.fail(Failure::Body(body));
        if let Some(coding) = coding {
            world.list.field(CONTENT_ENCODING, coding);
        }
        world.assert_unavailable(0, name).await;
        let error = world.health().last_error.unwrap();
        assert!(error.contains(told), "{name}: {error}");
    }
    let world = World::with(few()).await;
    world.list.resize(8, 1_024).gzip();
    assert_eq!(world.kind(0).await, None, "the largest list that is allowed");
}

/// Where there are too many lists that goes which was not used for the longest time, and comes back when
/// it is needed.
#[tokio::test]
async fn so_many_lists_are_known_and_no_more() {
    let mut parts = Parts::new();
    let uris = ["https://as.example/b", "https://as.example/c"];
    let [b, c] = uris.map(|uri| parts.list_at(uri));
    parts.lists = StatusLists::new().max_lists(2);
    let world = parts.build().await;
    let a = &world.list;
    let known = || -> Vec<String> {
        let health = world.api.revocations().status_lists();
        health.iter().map(|list| list.uri.to_string()).collect()
    };
    for list in [a, &b, a] {
        world.advance(SECOND).await;
        assert_eq!(world.kind_of(&world.token_at(list, 0)).await, None);
    }
    assert_eq!(known(), [b.uri(), a.uri()]);
    world.advance(SECOND).await;
    assert_eq!(world.kind_of(&world.token_at(&c, 0)).await, None);
    assert_eq!(known(), [c.uri(), a.uri()], "b was used before a");
    world.advance(SECOND).await;
    assert_eq!(world.kind_of(&world.token_at(&b, 0)).await, None);
    assert_eq!((known().len(), b.fetches(), a.fetches(), c.fetches()), (2, 2, 1, 1));
}

/// A tenant whose tokens name ever more lists pushes out its own, and not those of others.
#[tokio::test]
async fn a_flood_of_lists_is_its_issuers_own_trouble() {
    let mut parts = Parts::new();
    let flood = TestIssuer::new("https://flood.example", &parts.clock);
    parts.others.push(flood.clone());
    let uris = |number: usize| format!("https://flood.example/{number}");
    let theirs: Vec<_> = (0..30)
        .map(|number| {
            let list = TestStatusList::new(uris(number), &flood, &parts.clock);
            parts.network = std::mem::take(&mut parts.network).with_list(&list);
            list
        })
        .collect();
    parts.lists = StatusLists::new().max_lists(10);
    let world = parts.build().await;
    assert_eq!(world.kind(0).await, None);
    for list in &theirs {
        world.advance(SECOND).await;
        let token = flood.token(RESOURCE).claim("status", list.reference(0));
        assert_eq!(world.kind_of(&token).await, None);
    }
    assert_eq!(world.api.revocations().status_lists().len(), 10);
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.list.fetches(), 1, "it was never let go");
}

/// All lists together have so many bytes; likewise.
#[tokio::test]
async fn so_many_bytes_are_held_and_no_more() {
    let mut parts = Parts::new();
    let lists: Vec<_> = (0..6).map(|n| parts.list_at(&format!("https://as.example/{n}"))).collect();
    for list in &lists {
        list.resize(8, 1_000);
    }
    parts.list.resize(1, 64);
    parts.lists = StatusLists::new().max_entries(1_000).max_bytes(3_100);
    let world = parts.build().await;
    assert_eq!(world.kind(0).await, None);
    for list in &lists {
        world.advance(SECOND).await;
        assert_eq!(world.kind_of(&world.token_at(list, 0)).await, None);
        let held: u64 = world
            .api
            .revocations()
            .status_lists()
            .iter()
            .map(|list| list.entries.unwrap_or(0) * u64::from(list.bits.unwrap_or(0)) / 8)
            .sum();
        assert!(held <= 3_100, "{held}");
    }
    assert_eq!(world.api.revocations().status_lists().len(), 3);
    world.advance(SECOND).await;
    assert_eq!(world.kind_of(&world.token_at(&lists[5], 0)).await, None);
    assert_eq!(lists[5].fetches(), 1);
    assert_eq!(world.kind_of(&world.token_at(&lists[0], 0)).await, None);
    assert_eq!(lists[0].fetches(), 2);
}

/// The lists that are known, in the order of their URIs.
fn known(world: &World) -> Vec<String> {
    let health = world.api.revocations().status_lists();
    health.iter().map(|list| list.uri.to_string()).collect()
}

/// A list that grows makes others go, and not itself, although nobody used it for the longest time.
#[tokio::test]
async fn a_list_that_grows_does_not_push_itself_out() {
    let mut parts = Parts::new();
    let other = parts.list_at("https://as.example/other");
    parts.lists = StatusLists::new().max_entries(2_500).max_bytes(3_000);
    let world = parts.build().await;
    for list in [&world.list, &other] {
        list.resize(8, 1_000);
        assert_eq!(world.kind_of(&world.token_at(list, 0)).await, None);
        world.advance(SECOND).await;
    }
    assert_eq!(known(&world), [world.list.uri(), other.uri()]);
    world.list.resize(8, 2_500).set(2_499, 1);
    world.advance(SECOND * 290).await;
    assert_eq!(known(&world), [world.list.uri()], "3 500 bytes are too many");
    let fetches = world.list.fetches();
    assert_eq!(world.kind(2_499).await, Some(Kind::Revoked));
    assert_eq!(world.list.fetches(), fetches, "it was held");
}

/// A list of which nothing is held makes no room for bytes, and stays known.
#[tokio::test]
async fn a_list_that_never_came_is_not_let_go_for_its_bytes() {
    let mut parts = Parts::new();
    let lists: Vec<_> = (0..3).map(|n| parts.list_at(&format!("https://as.example/{n}"))).collect();
    parts.lists = StatusLists::new().max_entries(1_000).max_bytes(2_000);
    let world = parts.build().await;
    world.list.fail(Failure::Connection);
    world.assert_unavailable(0, "it cannot be had").await;
    for list in &lists {
        world.advance(SECOND).await;
        list.resize(8, 1_000);
        assert_eq!(world.kind_of(&world.token_at(list, 0)).await, None);
    }
    assert_eq!(known(&world), [lists[1].uri(), lists[2].uri(), world.list.uri()]);
}

/// An issuer that would have as many lists as another makes room among its own.
#[tokio::test]
async fn an_issuer_makes_room_among_its_own_first() {
    let mut parts = Parts::new();
    let second = parts.list_at("https://as.example/lists/2");
    let tenants = tenants(&mut parts, 1, 2);
    parts.lists = StatusLists::new().max_lists(3);
    let world = parts.build().await;
    for list in [&world.list, &second] {
        assert_eq!(world.kind_of(&world.token_at(list, 0)).await, None);
        world.advance(SECOND).await;
    }
    for (issuer, list) in &tenants {
        assert_eq!(ask(&world, issuer, list).await.unwrap(), None);
        world.advance(SECOND).await;
    }
    let (_, last) = &tenants[1];
    assert_eq!(known(&world), [world.list.uri(), second.uri(), last.uri()]);
}

/// Of one issuer eight lists are fetched at once; another's do not wait for them.
#[tokio::test]
async fn so_many_lists_are_fetched_at_once() {
    let mut parts = Parts::new();
    let other = TestIssuer::new("https://other.example", &parts.clock);
    parts.others.push(other.clone());
    let theirs = TestStatusList::new("https://other.example/1", &other, &parts.clock);
    parts.network = parts.network.with_list(&theirs);
    let lists: Vec<_> =
        (0..20).map(|n| parts.list_at(&format!("https://as.example/{n}"))).collect();
    let world = parts.build().await;
    lists.iter().for_each(TestStatusList::hold);
    let spawn = |token: TokenBuilder| {
        let (api, token) = (world.api.clone(), token.sign());
        tokio::spawn(async move { present(&api, &token).await.map_err(|error| error.kind()) })
    };
    let requests: Vec<_> = lists.iter().map(|list| spawn(world.token_at(list, 0))).collect();
    settle().await;
    let fetched = || lists.iter().map(TestStatusList::fetches).sum::<usize>();
    assert_eq!(fetched(), 8);
    let token = other.token(RESOURCE).claim("status", theirs.reference(0));
    assert_eq!(world.kind_of(&token).await, None);
    lists.iter().for_each(TestStatusList::release);
    for request in requests {
        assert_eq!(request.await.unwrap().err(), None::<Kind>);
    }
    assert_eq!(fetched(), 20);
}

/// Of all issuers together sixteen lists are fetched at once.
#[tokio::test]
async fn so_many_lists_of_all_issuers_are_fetched_at_once() {
    let mut parts = Parts::new();
    let lists = tenants(&mut parts, 20, 1);
    let world = parts.build().await;
    lists.iter().for_each(|(_, list)| list.hold());
    let requests: Vec<_> = lists.iter().map(|(issuer, list)| ask(&world, issuer, list)).collect();
    settle().await;
    let fetched = || lists.iter().map(|(_, list)| list.fetches()).sum::<usize>();
    assert_eq!(fetched(), 16);
    lists.iter().for_each(|(_, list)| list.release());
    for request in requests {
        assert_eq!(request.await.unwrap(), None);
    }
    assert_eq!(fetched(), 20);
}

/// Tenants whose servers do not answer hold up no other.
#[tokio::test]
async fn the_last_turns_are_for_others() {
    let mut parts = Parts::new();
    let lists = tenants(&mut parts, 3, 20);
    let world = parts.build().await;
    lists.iter().for_each(|(_, list)| list.hold());
    let requests: Vec<_> = lists.iter().map(|(issuer, list)| ask(&world, issuer, list)).collect();
    settle().await;
    assert_eq!(lists.iter().map(|(_, list)| list.fetches()).sum::<usize>(), 13);
    let other = ask(&world, &world.issuer, &world.list);
    settle().await;
    assert!(other.is_finished());
    assert_eq!(other.await.unwrap(), None);
    assert!(requests.iter().all(|request| !request.is_finished()));
}

/// So many issuers with so many lists each.
fn tenants(parts: &mut Parts, issuers: usize, each: usize) -> Vec<(TestIssuer, TestStatusList)> {
    let mut lists = Vec::new();
    for tenant in 0..issuers {
        let issuer = TestIssuer::new(format!("https://t{tenant}.example"), &parts.clock);
        parts.others.push(issuer.clone());
        for number in 0..each {
            let uri = format!("https://t{tenant}.example/{number}");
            let list = TestStatusList::new(uri, &issuer, &parts.clock);
            parts.network = std::mem::take(&mut parts.network).with_list(&list);
            lists.push((issuer.clone(), list));
        }
    }
    lists
}

/// A request in a task of its own, with a token at the first place of this list.
fn ask(
    world: &World,
    issuer: &TestIssuer,
    list: &TestStatusList,
) -> tokio::task::JoinHandle<Option<Kind>> {
    let token = issuer.token(RESOURCE).claim("status", list.reference(0)).sign();
    let api = world.api.clone();
    tokio::spawn(async move { present(&api, &token).await.err().map(|error| error.kind()) })
}
