//! A document of a revocation feed.

use portcullis::revocation::{Claim, Claims, Effect, FeedDocument, Target};

use super::tree::{self, Reading, Tree, member};

const ISSUER: &str = "https://as.example";
const TARGETS: [&str; 7] = ["jti", "kid", "all", "subject", "session", "client", "claims"];

/// What is read says what stands in the document, all of it and nothing else; and a document that was
/// cut short is none.
pub fn revocation_feed(data: &[u8]) {
    let read = FeedDocument::parse(data, Some(ISSUER));
    assert_eq!(read.is_ok(), FeedDocument::parse(data, Some(ISSUER)).is_ok());
    let Ok(read) = read else {
        return;
    };
    let whole = data.trim_ascii_end();
    assert!(FeedDocument::parse(&whole[..whole.len() - 1], Some(ISSUER)).is_err(), "cut short");

    let members = match tree::read(data) {
        Reading::Unknown => return,
        Reading::Refused => panic!("it is not one object"),
        Reading::Object(members) => members,
    };
    let number = |name| match member(&members, name) {
        Some(Tree::Number(number)) => Some(*number),
        Some(other) => panic!("{name}: {other:?}"),
        None => None,
    };
    let elements = |name| match member(&members, name) {
        Some(Tree::Array(elements)) => elements.as_slice(),
        Some(other) => panic!("{name}: {other:?}"),
        None => &[],
    };
    assert_eq!(member(&members, "feed").and_then(Tree::as_text), Some(read.feed()));
    assert_eq!(number("sequence"), Some(as_number(read.sequence())));
    assert_eq!(number("since"), read.since().map(as_number));
    assert!(read.since() <= Some(read.sequence()));
    assert_eq!(number("count"), Some(as_number(elements("records").len().try_into().unwrap())));
    assert!(number("issued_at").is_some() && member(&members, "records").is_some());

    let mut expected: Vec<(String, Target, bool)> = Vec::new();
    for (list, removed) in [("records", false), ("removed", true)] {
        for element in elements(list) {
            let Tree::Object(element) = element else { panic!("{element:?}") };
            expected.push(meant(element, removed));
        }
    }
    let found = read.records().iter().map(|record| {
        let removed = record.effect() == Effect::Lift;
        (record.issuer_id().to_owned(), record.target().clone(), removed)
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    expected.sort();
    // Of a token that is listed and removed, what happened last is there.
    let both: Vec<_> = expected
        .iter()
        .filter(|(_, target, removed)| *removed && matches!(target, Target::Token(_)))
        .map(|(issuer, target, _)| (issuer.clone(), target.clone()))
        .filter(|(issuer, target)| expected.contains(&(issuer.clone(), target.clone(), false)))
        .collect();
    let is_one = |said: &(String, Target, bool)| {
        both.iter().any(|(issuer, target)| (issuer, target) == (&said.0, &said.1))
    };
    for (issuer, target) in &both {
        let of_it: Vec<_> =
            found.iter().filter(|said| (&said.0, &said.1) == (issuer, target)).collect();
        assert!(!of_it.is_empty() && of_it.windows(2).all(|pair| pair[0].2 == pair[1].2));
    }
    found.retain(|said| !is_one(said));
    expected.retain(|said| !is_one(said));
    assert_eq!(found, expected);
    let named = both.is_empty() && expected.iter().all(|(issuer, ..)| issuer != ISSUER);
    assert!(!named || FeedDocument::parse(data, None).is_ok());
}

/// Whose tokens an element is about, and which.
fn meant(element: &[(String, Tree)], removed: bool) -> (String, Target, bool) {
    let more: &[&str] = if removed { &[] } else { &["exp", "effect", "reason"] };
    for (name, _) in element {
        let known = ["issuer", "at"].contains(&name.as_str())
            || TARGETS.contains(&name.as_str())
            || more.contains(&name.as_str());
        assert!(known, "{name}");
    }
    assert!(matches!(member(element, "at"), Some(Tree::Number(_))));
    let text = |name| member(element, name).map(|value| value.as_text().unwrap());
    let mut claims: Vec<(Claim, String)> = Vec::new();
    for (name, claim) in
        [("subject", Claim::Subject), ("session", Claim::Session), ("client", Claim::Client)]
    {
        claims.extend(text(name).map(|value| (claim, value.to_owned())));
    }
    if let Some(others) = member(element, "claims") {
        let Tree::Object(others) = others else { panic!("{others:?}") };
        for (name, value) in others {
            let value = value.as_text().unwrap().to_owned();
            claims.push((Claim::Named(name.as_str().into()), value));
        }
    }
    let mut targets = Vec::new();
    targets.extend(text("jti").map(|jti| Target::Token(jti.into())));
    targets.extend(text("kid").map(|kid| Target::Key(kid.into())));
    targets.extend(member(element, "all").map(|_| Target::Issuer));
    let mut claims = claims.into_iter();
    if let Some((claim, value)) = claims.next() {
        let first = Claims::one(claim, value);
        targets
            .push(Target::Claims(claims.fold(first, |all, (claim, value)| all.and(claim, value))));
    }
    assert_eq!(targets.len(), 1);
    let issuer = text("issuer").unwrap_or(ISSUER).to_owned();
    (issuer, targets.remove(0), removed)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "at most 2^53")]
fn as_number(number: u64) -> f64 {
    number as f64
}
