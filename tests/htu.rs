//! The URI that `htu` of a DPoP proof names: its normal form, and what is none.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and shares a file with the fuzzers"
)]

use std::collections::HashSet;

use portcullis::sender::{TargetUri, TargetUriError};
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;

/// The second reading of RFC 3986, which the fuzzer uses too.
#[path = "../fuzz/targets/htu.rs"]
mod second;

use second::reference;

fn parse(text: &str) -> TargetUri {
    TargetUri::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    source: String,
    equal: Vec<(String, String)>,
    not_equal: Vec<(String, String)>,
}

fn vectors() -> Vectors {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/htu.json")).unwrap();
    assert!(vectors.source.contains("RFC 3986"));
    assert_eq!((vectors.equal.len(), vectors.not_equal.len()), (7, 6));
    vectors
}

/// DPOP-C09, DPOP-13: vector derived-htu-normalisation.
#[test]
fn every_pair_of_the_vector_is_equal_or_is_not() {
    let vectors = vectors();
    for (one, other) in &vectors.equal {
        assert_eq!(parse(one), parse(other), "{one} {other}");
        assert_eq!(reference(one), reference(other), "{one} {other}");
    }
    for (one, other) in &vectors.not_equal {
        assert_ne!(parse(one), parse(other), "{one} {other}");
        assert_ne!(reference(one), reference(other), "{one} {other}");
    }
}

/// DPOP-C09, DPOP-13, attack 33: the path is compared with its case.
#[test]
fn a_uri_has_one_normal_form() {
    for (text, normal) in [
        // What is normal already stays as it is.
        ("https://rs.example/", "https://rs.example/"),
        ("https://rs.example/a/b.c/..d/.e/...", "https://rs.example/a/b.c/..d/.e/..."),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        ("https://my_host.example/", "https://my_host.example/"),
        ("https://rs.example./", "https://rs.example./"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://rs.example/a:b@c;d=e,f!$&'()*+", "https://rs.example/a:b@c;d=e,f!$&'()*+"),
        // Scheme and host (§6.2.2.1); the path keeps its case.
        ("HtTpS://Rs.ExAmPlE/Path", "https://rs.example/Path"),
        ("https://[::FFFF:192.0.2.1]/", "https://[::ffff:192.0.2.1]/"),
        ("https://[0:0::1]:8443/", "https://[0:0::1]:8443/"),
        // Ports (§6.2.3).
        ("https://rs.example:443", "https://rs.example/"),
        ("http://rs.example:80", "http://rs.example/"),
        ("https://rs.example:80", "https://rs.example:80/"),
        ("http://rs.example:443", "http://rs.example:443/"),
        ("https://rs.example:?q", "https://rs.example/"),
        ("https://rs.example:65535/", "https://rs.example:65535/"),
        ("https://[::1]:443/", "https://[::1]/"),
        // Percent-encodings (§6.2.2.1, §6.2.2.2).
        ("https://rs.example/%c3%a9", "https://rs.example/%C3%A9"),
        ("https://rs.example/%41%7a%30%2D%2e%5F%7e", "https://rs.example/Az0-._~"),
        ("https://rs.example/%2f%25%3A%7B", "https://rs.example/%2F%25%3A%7B"),
        ("https://rs.example/%252e%252E", "https://rs.example/%252e%252E"),
        ("https://rs.example/%00%0a", "https://rs.example/%00%0A"),
        // Dot segments (§6.2.2.3), decoded ones too.
        ("https://rs.example/a/./b/../c", "https://rs.example/a/c"),
        ("https://rs.example/a/..", "https://rs.example/"),
        ("https://rs.example/a/.", "https://rs.example/a/"),
        ("https://rs.example/..", "https://rs.example/"),
        ("https://rs.example/../../a", "https://rs.example/a"),
        ("https://rs.example/a/%2E%2e/b", "https://rs.example/b"),
        ("https://rs.example/a/.%2e?q", "https://rs.example/"),
        ("https://rs.example/a//../b", "https://rs.example/a/b"),
        ("https://rs.example//../b", "https://rs.example/b"),
        ("https://rs.example//a//", "https://rs.example//a//"),
        ("https://rs.example/a/..%2f..", "https://rs.example/a/..%2F.."),
        // Query and fragment.
        ("https://rs.example?a=1&b=/../?#f", "https://rs.example/"),
        ("https://rs.example/a#f?g", "https://rs.example/a"),
        ("https://rs.example/a?b=%2f%C3%A4#%41", "https://rs.example/a"),
        ("https://rs.example/a/.?x", "https://rs.example/a/"),
        ("https://rs.example/a/..#x", "https://rs.example/"),
        // What serialisers of URLs leave as it is, and RFC 3986 has not.
        ("https://rs.example/a[0]{b}|c^\"", "https://rs.example/a[0]{b}|c^\""),
    ] {
        let uri = parse(text);
        assert_eq!(uri.as_str(), normal, "{text}");
        assert_eq!(uri.to_string(), normal, "{text}");
        assert_eq!(AsRef::<str>::as_ref(&uri), normal, "{text}");
        assert_eq!(format!("{}{}", uri.origin(), uri.path()), normal, "{text}");
        assert_eq!(reference(text).as_deref(), Some(normal), "{text}");
        assert_eq!(parse(normal), uri, "{text}");
        let set = HashSet::from([uri]);
        assert!(set.contains(&parse(normal)), "{text}");
    }
}

/// DPOP-C09, DPOP-13: what RFC 3986 does not call the same is different.
#[test]
fn what_no_normalisation_makes_the_same_is_different() {
    for (one, other) in [
        ("https://rs.example/a", "https://rs.example/a/"),
        ("https://rs.example/a", "https://rs.example/A"),
        ("https://rs.example/a", "https://rs.example//a"),
        ("https://rs.example/a//b", "https://rs.example/a/b"),
        ("https://rs.example/a/b", "https://rs.example/a%2Fb"),
        ("https://rs.example/a;b", "https://rs.example/a%3Bb"),
        ("https://rs.example/{", "https://rs.example/%7B"),
        ("https://rs.example/|", "https://rs.example/%7C"),
        ("https://rs.example/%2e", "https://rs.example/%252e"),
        ("https://rs.example/+", "https://rs.example/%20"),
        ("https://rs.example/%C3%A9", "https://rs.example/e%CC%81"),
        ("https://rs.example/", "http://rs.example/"),
        ("https://rs.example/", "https://rs.example:80/"),
        ("https://rs.example/", "https://rs.example./"),
        ("https://rs.example/", "https://www.rs.example/"),
        ("https://[::1]/", "https://[0::1]/"),
        ("https://127.0.0.1/", "https://2130706433/"),
    ] {
        assert_ne!(parse(one), parse(other));
        assert_ne!(reference(one), reference(other));
    }
}

/// DPOP-C09, DPOP-13: nothing is repaired.
#[test]
fn what_is_no_absolute_http_uri_is_refused() {
    use TargetUriError::{
        Character, Host, NotAbsolute, PercentEncoding, Port, TooLong, UserInformation,
    };
    let long = |length: usize| format!("https://rs.example/{}", "a".repeat(length - 19));
    let (most, more) = (long(TargetUri::MAX_LENGTH), long(TargetUri::MAX_LENGTH + 1));
    assert_eq!(parse(&most).as_str(), most);
    let long_query = format!("https://rs.example/?{}", "a".repeat(TargetUri::MAX_LENGTH));
    for (text, fault) in [
        ("", NotAbsolute),
        ("/a", NotAbsolute),
        ("//rs.example/a", NotAbsolute),
        ("rs.example/a", NotAbsolute),
        ("https:", NotAbsolute),
        ("https:/rs.example/a", NotAbsolute),
        ("https:rs.example", NotAbsolute),
        (" https://rs.example/", NotAbsolute),
        ("ftp://rs.example/", NotAbsolute),
        ("wss://rs.example/", NotAbsolute),
        ("httpss://rs.example/", NotAbsolute),
        ("http\u{17f}://rs.example/", NotAbsolute),
        ("https://user@rs.example/", UserInformation),
        ("https://user:pw@rs.example/", UserInformation),
        ("https://user:1@rs.example/", UserInformation),
        ("https://@rs.example/", UserInformation),
        ("https://rs.example\\@evil.example/", UserInformation),
        ("https://", Host),
        ("https:///a", Host),
        ("https://?q", Host),
        ("https://:443/", Host),
        ("https://rs example/", Host),
        ("https://rs\\example/", Host),
        ("https://rs%2eexample/", Host),
        ("https://b\u{fc}cher.example/", Host),
        ("https://\u{212a}elvin.example/", Host),
        ("https://rs..example/", Host),
        ("https://.rs.example/", Host),
        ("https://rs.example,evil.example/", Host),
        ("https://*.example/", Host),
        ("https://[::1/", Host),
        ("https://[]/", Host),
        ("https://[::1]evil.example/", Host),
        ("https://[::1%25eth0]/", Host),
        ("https://[v1.a]/", Host),
        ("https://[127.0.0.1]/", Host),
        ("https://::1/", Host),
        ("https://rs.example:a/", Port),
        ("https://rs.example:-1/", Port),
        ("https://rs.example:0/", Port),
        ("https://rs.example:0443/", Port),
        ("https://rs.example:65536/", Port),
        ("https://rs.example:443443443443/", Port),
        ("https://rs.example:443:443/", Port),
        ("https://rs.example/a b", Character),
        ("https://rs.example/a\tb", Character),
        ("https://rs.example/a\nb", Character),
        ("https://rs.example/a\0", Character),
        ("https://rs.example/a\u{7f}", Character),
        ("https://rs.example/a\\b", Character),
        ("https://rs.example/a<b>", Character),
        ("https://rs.example/a`b", Character),
        ("https://rs.example/\u{e9}", Character),
        ("https://rs.example/a ", Character),
        ("https://rs.example/?a b", Character),
        ("https://rs.example/?a\\b", Character),
        ("https://rs.example/?\u{e9}", Character),
        ("https://rs.example/#a#b", Character),
        ("https://rs.example/%", PercentEncoding),
        ("https://rs.example/%2", PercentEncoding),
        ("https://rs.example/%2/", PercentEncoding),
        ("https://rs.example/%zz", PercentEncoding),
        ("https://rs.example/%+1", PercentEncoding),
        ("https://rs.example/%u0041", PercentEncoding),
        ("https://rs.example/?100%", PercentEncoding),
        ("https://rs.example/#%zz", PercentEncoding),
        (&more, TooLong),
        (&long_query, TooLong),
    ] {
        assert_eq!(TargetUri::parse(text), Err(fault), "{text:?}");
        assert_eq!(reference(text), None, "{text:?}");
    }
}

/// URIs with a few hosts and paths of short segments, in many spellings, so that some are the same.
fn uri() -> impl Strategy<Value = String> {
    let scheme = select(&["https", "HTTPS", "http", "hTTp"][..]);
    let host = select(
        &["rs.example", "RS.example", "a.RS.Example", "[::1]", "[::A]", "[::a]", "127.0.0.1"][..],
    );
    let port = select(&["", "", ":", ":443", ":80", ":8443", ":1", ":00", ":65536"][..]);
    let segment = select(
        &[
            "", ".", "..", "...", "%2e", "%2E%2e", ".%2E", "a", "A", "b", "%61", "%41", "%2f",
            "%2F", "~", "%7e", "%7E", "%25", "%252e", "é", "{", "%7B", "%7b", "a.b", "..a", ";x",
        ][..],
    );
    let path = proptest::collection::vec(segment, 0..7)
        .prop_map(|segments| segments.iter().map(|segment| format!("/{segment}")).collect());
    let tail = select(&["", "", "", "?", "?a=/../b", "#f", "?a#b?c", "?%", "#a#"][..]);
    (scheme, host, port, path, tail).prop_map(
        |(scheme, host, port, path, tail): (_, _, _, String, _)| {
            format!("{scheme}://{host}{port}{path}{tail}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// DPOP-13: two readings of RFC 3986 agree on what is a URI and on its normal form, and the normal
    /// form of a normal form is itself.
    #[test]
    fn two_readings_agree(text in prop_oneof![4 => uri(), 1 => "[hH]ttps?://[a-z\\[\\]:.@%]{0,8}(:[0-9]{0,6})?[/?#.%0-9a-zA-Z~é\\\\ ]{0,24}"]) {
        let parsed = TargetUri::parse(&text).ok();
        let normal = parsed.as_ref().map(ToString::to_string);
        prop_assert_eq!(&normal, &reference(&text));
        if let (Some(uri), Some(normal)) = (parsed, normal) {
            prop_assert_eq!(parse(&normal), uri);
        }
    }

    /// DPOP-C09, DPOP-13: they agree on which of two are the same. (The fuzz target says so.)
    #[test]
    fn two_readings_agree_on_equality(one in uri(), other in uri()) {
        second::htu(format!("{one}\n{other}").as_bytes());
    }

    /// DPOP-C09, DPOP-13: another spelling of every octet, and dot segments that lead nowhere, change
    /// nothing; one more segment does.
    #[test]
    fn another_spelling_is_the_same_uri(
        segments in proptest::collection::vec("[a-zA-Z0-9~_-]{1,4}", 1..6),
        spelled in proptest::collection::vec(any::<(bool, bool, bool)>(), 6),
    ) {
        let plain: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        let mut odd = String::new();
        for (segment, (encoded, lower, detour)) in segments.iter().zip(spelled) {
            odd.push_str(if detour { "/./x%2F/%2e." } else { "" });
            odd.push('/');
            for byte in segment.bytes() {
                match (encoded, lower) {
                    (false, _) => odd.push(char::from(byte)),
                    (true, true) => odd.push_str(&format!("%{byte:02x}")),
                    (true, false) => odd.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        let plain = parse(&format!("https://rs.example{plain}"));
        prop_assert_eq!(&parse(&format!("hTTps://rs.EXAMPLE:443{odd}?q")), &plain);
        prop_assert_ne!(&parse(&format!("https://rs.example{odd}/x")), &plain);
    }
}
