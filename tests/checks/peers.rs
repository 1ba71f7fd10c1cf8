//! `peer_in(...)`: where a request came from, by what its acceptor saw.

use std::net::IpAddr;

use portcullis::check::{Check as _, peer_in, scope};
use portcullis::{PeerAddr, assert_challenge};
use serde_json::json;

use crate::support::{World, bearer, send};
use crate::{check_faulty, rules};

#[tokio::test]
async fn only_peers_of_the_networks_pass() {
    let world = World::new().await;
    let layer = world.api.protect(peer_in(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]));
    for (name, peer, passes) in [
        ("inside", Some("10.1.2.3"), true),
        ("first", Some("10.0.0.0"), true),
        ("last", Some("10.255.255.255"), true),
        ("one after", Some("11.0.0.0"), false),
        ("one before", Some("9.255.255.255"), false),
        ("inside, version 6", Some("2001:db8::1"), true),
        ("outside, version 6", Some("2001:db9::1"), false),
        ("mapped", Some("::ffff:10.1.2.3"), true),
        ("mapped, outside", Some("::ffff:11.0.0.0"), false),
        ("compatible is not mapped", Some("::10.1.2.3"), false),
        ("one address", Some("192.0.2.7"), true),
        ("its neighbour", Some("192.0.2.8"), false),
        ("loopback", Some("127.0.0.1"), false),
        ("unknown", None, false),
    ] {
        let mut request = bearer(&world.token().sign());
        // What anybody can write decides nothing.
        for field in ["x-forwarded-for", "x-real-ip", "forwarded"] {
            request.headers_mut().insert(field, "10.1.2.3".parse().unwrap());
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr::new(peer.parse::<IpAddr>().unwrap()));
        }
        let sent = send(&layer, request).await;
        assert_eq!(sent.passed(), passes, "{name}: {:?}", sent.kind());
        if !passes {
            assert_challenge!(sent.response, 403, "Bearer", error = "insufficient_scope", !scope);
        }
    }
    // An address is no credential.
    let mut request = crate::support::anonymous();
    request.extensions_mut().insert(PeerAddr::new("10.1.2.3".parse().unwrap()));
    assert_eq!(send(&layer, request).await.response.status(), 401);
}

#[tokio::test]
async fn networks_of_ipv6_clothes_are_what_they_say() {
    let world = World::new().await;
    let layer = world.api.protect(peer_in(["::/0"]));
    for (peer, passes) in [("2001:db8::1", true), ("::ffff:10.1.2.3", false), ("10.1.2.3", false)] {
        let mut request = bearer(&world.token().sign());
        request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        assert_eq!(send(&layer, request).await.passed(), passes, "{peer}");
    }
}

#[tokio::test]
async fn an_impossible_network_is_a_fault() {
    let world = World::new().await;
    for (network, words) in [
        ("10.0.0.0/33", "is not a network"),
        ("10.0.0.1/8", "has bits set beyond its prefix length"),
        ("::ffff:10.0.0.0/104", "is IPv4 in IPv6 form"),
        ("::ffff:10.0.0.1", "is IPv4 in IPv6 form"),
        ("example.com", "is not a network"),
        ("", "is not a network"),
        ("10.0.0.0/8,10.0.0.0/8", "is not a network"),
    ] {
        check_faulty(&world, peer_in([network]), words).await;
    }
    check_faulty(&world, peer_in([""; 0]), "network").await;
}

#[tokio::test]
async fn networks_stand_in_the_effective_policy() {
    let world = World::new().await;
    assert_eq!(
        rules(&world, "peers", scope("a").and(peer_in(["10.0.0.0/8", "::1"]))),
        json!({ "all_scopes": ["a"], "peer_in": ["10.0.0.0/8", "::1/128"] }),
    );
}
