//! What is wrong with the text, with each member and with all of it, told together.

use super::tree::{Cuts, Fault, is_within};
use crate::error::{BuildError, ConfigFault, Faults};

/// All that is known to be wrong, once each.
pub(super) struct Merged {
    faults: Faults,
    /// The places so far; where one is a gap, what is wrong around it may follow from it.
    places: Vec<(String, ConfigFault)>,
    /// How many of them, the first ones, are gaps in the text.
    gaps: usize,
}

impl Merged {
    /// What was wrong with the text.
    pub(super) fn new(read: &[Fault]) -> Self {
        let mut merged = Self { faults: Faults::new(), places: Vec::new(), gaps: 0 };
        for fault in read {
            let what = ConfigFault::File(fault.what.clone());
            merged.faults.push_at(&fault.path, what.clone());
            if fault.gap {
                merged.places.push((fault.path.clone(), what));
            }
        }
        merged.gaps = merged.places.len();
        merged
    }

    /// And with what the text says; `place` says what a place is in what is left of the text, and
    /// `cuts` what it was in the text.
    pub(super) fn add(&mut self, error: &BuildError, place: impl Fn(&str) -> String, cuts: &Cuts) {
        // With one issuer the less, others may seem to name one that there is not.
        let issuers_known = !self.places.iter().any(|(gap, _)| is_issuer(gap));
        let mut new = Vec::new();
        for (found, fault) in error.places() {
            let place = cuts.original(&place(found));
            let said_at = issuer_said_at(&place);
            let follows = self.places.iter().any(|(gap, _)| {
                is_within(gap, &place) || said_at.as_deref().is_some_and(|at| is_within(gap, at))
            });
            // That nothing is named at all follows from nothing.
            let is_missing = matches!(fault, ConfigFault::File(_));
            let unknown = !issuers_known && names_issuer(&place) && !is_missing;
            let measures = measured_by(&place, fault);
            let follows =
                follows || self.places.iter().any(|(gap, _)| measures.contains(&gap.as_str()));
            let follows =
                follows || self.places.iter().any(|(gap, _)| is_key_in_place_of(&place, gap));
            let mut gaps = self.places.iter().take(self.gaps);
            let follows = follows
                || gaps.any(|(gap, _)| {
                    revocation_said_at(&place, gap) || introspection_said_at(&place, gap)
                });
            // Which transport there is, code may still say.
            let for_code = matches!(fault, ConfigFault::NoTransport);
            if !follows && !unknown && !for_code {
                self.faults.push_at(&place, fault.clone());
                new.push((place, fault.clone()));
            }
        }
        self.places.extend(new);
    }

    pub(super) fn into_error(self) -> BuildError {
        self.faults.into_error()
    }
}

fn is_issuer(place: &str) -> bool {
    if place.starts_with("revocation.") {
        return false;
    }
    let bare = place.is_empty() || place == "issuers" || place == "tenants";
    bare || place.ends_with(".id") || (place.contains("issuers[") && place.ends_with(']'))
}

/// Where it is said whose clients stand there: what is wrong there may leave them without issuer.
fn issuer_said_at(place: &str) -> Option<String> {
    let class = place.strip_suffix(".clients").filter(|place| place.starts_with("classes["));
    class.map(|class| format!("{class}.issuers"))
}

/// What a fault at this place may follow from, if it is missing: where it is said what is possible.
fn measured_by(place: &str, fault: &ConfigFault) -> &'static [&'static str] {
    match fault {
        ConfigFault::NoMechanism { .. } => &["dpop", "mtls"],
        _ if place.ends_with(".require_nonce") => &["dpop", "dpop.nonces"],
        _ if place.ends_with(".encrypted_only") => &["decryption"],
        _ if place == "replay.client_share" => &["replay.capacity"],
        _ => &[],
    }
}

/// Whether what cannot be read at a place stands there only because the key at this gap is missing.
fn is_key_in_place_of(place: &str, gap: &str) -> bool {
    let key = place.strip_suffix(".pem").filter(|key| key.starts_with("decryption.keys["));
    key.is_some_and(|key| matches!(gap.strip_prefix(key), Some("" | ".jwk")))
}

/// Whether what seems wrong at a place may follow from what is missing at another: who says what is
/// revoked, and how fresh that is.
fn revocation_said_at(place: &str, gap: &str) -> bool {
    let Some(said) = gap.strip_prefix("revocation") else { return false };
    if let Some(push) = place.strip_suffix(".push.authorization") {
        return gap.strip_prefix(push) == Some(".push.signature_only");
    }
    let is_source = said.starts_with(".sources");
    if place.starts_with("revocation.sources[") && place.ends_with(".events.push") {
        // Another source, or how old it may become, may make up for a stream that is only pushed.
        return is_source || said.starts_with(".on_stale");
    }
    let whole = said.is_empty() || said == ".status_lists" || (is_source && !said.contains("]."));
    let wants = [".freshness", ".on_stale"].iter().any(|member| place.ends_with(member));
    whole && wants && !place.starts_with("revocation.")
}

/// Whether what seems wrong at a place may follow from what is missing at another: who is asked about
/// tokens, and for how long an answer counts.
fn introspection_said_at(place: &str, gap: &str) -> bool {
    let Some(said) = gap.strip_prefix("introspection") else { return false };
    if let Some(one) = place.strip_suffix(".negative_ttl") {
        return gap.strip_prefix(one) == Some(".ttl");
    }
    let whole = said.is_empty() || said.ends_with(']') && !said.contains('.');
    match place {
        // Introspection of every token is a way to see that one was revoked.
        "revocation" => true,
        _ if place.ends_with(".introspected_by") => whole || said.ends_with("].issuer"),
        _ => whole && place.ends_with(".freshness"),
    }
}

/// Whether what stands there has to be the name of a configured issuer.
fn names_issuer(place: &str) -> bool {
    (place.starts_with("classes[") && place.ends_with(".issuers"))
        || (place.starts_with("exceptions[") && place.ends_with(".of_issuer"))
        // An issuer without keys that nobody is asked about is told of as a whole.
        || place == "introspection"
        || (place.starts_with("introspection[") && place.ends_with("].issuer"))
        || (place.starts_with("revocation.sources[") && place.contains(".speaks_for["))
        || place.starts_with("revocation.status_lists.issuers[")
        || (place.starts_with("revocation.status_lists.prefetch[") && place.ends_with(']'))
}
