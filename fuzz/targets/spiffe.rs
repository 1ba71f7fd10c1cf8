//! SPIFFE IDs, patterns of paths, and bundles: a line each, and the rest of the input.

use portcullis::certificate::Certificate;
use portcullis::jose::base64url;
use portcullis::sender::{SpiffeId, SpiffePattern, SvidError, TrustBundle};
use portcullis::time::Timestamp;

use super::tree::{self, Reading, Tree, member};

/// An ID and a pattern are read, and matched, as a second reading of the rules does; a bundle has the
/// roots that its document names, and proves workloads of its own trust domain alone.
pub fn spiffe(data: &[u8]) {
    let mut parts = data.splitn(3, |octet| *octet == b'\n');
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default());
    let (Ok(id), Ok(pattern)) = (text(), text()) else {
        return;
    };
    let read = SpiffeId::parse(id);
    assert_eq!(read.is_ok(), is_id(id), "{id:?}");
    let read_pattern = SpiffePattern::parse(pattern);
    assert_eq!(read_pattern.is_ok(), is_pattern(pattern), "{pattern:?}");
    if let Ok(pattern) = &read_pattern {
        assert_eq!(SpiffePattern::parse(pattern.as_str()).as_ref(), Ok(pattern));
    }
    if let Ok(read) = &read {
        assert_eq!((read.as_str(), SpiffeId::parse(read.as_str()).as_ref()), (id, Ok(read)));
        assert_eq!(format!("spiffe://{}{}", read.trust_domain(), read.path()), id);
        if let Ok(read_pattern) = &read_pattern {
            let segments = |path: &str| path.split('/').skip(1).map(str::to_owned).collect();
            let (wanted, found): (Vec<_>, Vec<_>) = (segments(pattern), segments(read.path()));
            assert_eq!(read_pattern.matches(read), means(&wanted, &found), "{pattern:?} {id:?}");
        }
        if let Ok(own) = SpiffePattern::parse(read.path()) {
            assert!(own.matches(read), "{id:?}");
        }
    }

    // The trust domain of the ID, or whatever stands there.
    let domain = read.as_ref().map_or(id, SpiffeId::trust_domain);
    bundle(domain, parts.next().unwrap_or_default());
}

/// A bundle is one exactly if what the document names is; and its roots are no workloads.
fn bundle(domain: &str, document: &[u8]) {
    let _ = TrustBundle::from_pem(domain, document);
    let read = TrustBundle::from_jwks(domain, document);
    let keys = match tree::read(document) {
        Reading::Object(members) => keys(&members),
        Reading::Refused => None,
        Reading::Unknown => return,
    };
    let keys = keys.filter(|_| document.len() <= 1_048_576);
    let firsts = keys.as_ref().and_then(|keys| {
        keys.iter().map(|key| key.first()?.clone()).collect::<Option<Vec<Vec<u8>>>>()
    });
    let expected = firsts.and_then(|roots| {
        let fits = is_domain(domain) && (1..=64).contains(&roots.len());
        Some((TrustBundle::from_der(domain, &roots).ok().filter(|_| fits)?, roots))
    });
    assert_eq!(read.is_ok(), expected.is_some(), "{domain:?}");
    let (Ok(bundle), Some((twin, roots))) = (read, expected) else {
        return;
    };
    assert_eq!(bundle.trust_domain(), domain);

    // What stands behind a root is a leaf and its chain here, and nothing to a bundle.
    for key in keys.unwrap_or_default() {
        let mut ders = key.into_iter().skip(1).flatten();
        let Some(leaf) = ders.next() else {
            continue;
        };
        let chain = ders.map(Vec::into_boxed_slice).collect();
        let certificate = Certificate::with_chain(leaf, chain);
        for second in [0, 1_800_000_000, Timestamp::MAX_SECONDS] {
            let now = Timestamp::from_secs(second);
            let verified = bundle.verify(&certificate, now);
            assert_eq!(verified, bundle.verify(&certificate, now), "by what is remembered");
            assert_eq!(verified, twin.verify(&certificate, now), "by the same roots");
            if let Ok(id) = verified {
                assert_eq!(id.trust_domain(), domain);
                assert!(is_id(id.as_str()) && !id.path().is_empty());
            }
        }
    }
    for root in roots {
        let root = Certificate::from_der(root);
        assert!(bundle.verify(&root, Timestamp::from_secs(1_800_000_000)).is_err(), "a root");
        let digest = Certificate::from_sha256(*root.sha256());
        assert_eq!(bundle.verify(&digest, Timestamp::EPOCH), Err(SvidError::DigestOnly));
    }
}

/// What is in `x5c` of every key for X.509-SVIDs (X509-SVID §6.2), decoded where it is base64.
fn keys(members: &[(String, Tree)]) -> Option<Vec<Vec<Option<Vec<u8>>>>> {
    let Some(Tree::Array(keys)) = member(members, "keys") else {
        return None;
    };
    let mut found = Vec::new();
    for key in keys {
        let Tree::Object(key) = key else {
            continue;
        };
        let text = |name| member(key, name).and_then(Tree::as_text);
        let usable =
            text("use") == Some("x509-svid") && matches!(text("kty"), Some("EC" | "RSA" | "OKP"));
        if let Some(Tree::Array(certificates)) = member(key, "x5c").filter(|_| usable)
            && !certificates.is_empty()
        {
            found.push(certificates.iter().map(|text| base64(text.as_text()?)).collect());
        }
    }
    Some(found)
}

/// Base64 with its padding (RFC 4648 §4), in its one spelling.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 || text.contains(['-', '_']) {
        return None;
    }
    base64url::decode(digits.replace('+', "-").replace('/', "_")).ok()
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// SPIFFE ID §2.1, §2.3.
fn is_domain(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(|letter| LOWER.contains(letter))
}

/// SPIFFE ID §2.2.
fn is_segment(segment: &str) -> bool {
    let legal = |letter| LOWER.contains(letter) || UPPER.contains(letter);
    !["", ".", ".."].contains(&segment) && segment.chars().all(legal)
}

fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let ["spiffe:", "", domain, segments @ ..] = parts.as_slice() else {
        return false;
    };
    text.len() <= 2_048 && is_domain(domain) && segments.iter().all(|segment| is_segment(segment))
}

fn is_pattern(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let ["", front @ .., last] = parts.as_slice() else {
        return false;
    };
    let good = |segment: &str| segment == "*" || is_segment(segment);
    text.len() <= 2_048 && front.iter().all(|one| good(one)) && (*last == "**" || good(last))
}

/// Whether the segments of a pattern mean those of a path.
fn means(pattern: &[String], path: &[String]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([rest], [_, ..]) if rest == "**" => true,
        ([wanted, pattern @ ..], [found, path @ ..]) => {
            (wanted == "*" || wanted == found) && means(pattern, path)
        }
        _ => false,
    }
}
