//! Security Event Tokens, and a second reading of RFC 8417, RFC 9493, SSF, CAEP and RISC to compare the
//! verdict with.

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis::jose::{Algorithm, ClaimsSet, JwkSet, MAX_HEADER, base64url};
use portcullis::name::{Audience, IssuerId};
use portcullis::revocation::{
    SecurityEvent, SecurityEventToken, SetError, SetErrorCode as Code, SetRules, SubjectId,
};
use portcullis::time::Timestamp;

use super::time::exact_nanos;
use super::tree::{self, Reading, Tree, member};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://tx.example";
const AUDIENCES: [&str; 2] = ["https://rs.example/events", "rs"];
/// The key of RFC 8037, Appendix A, both halves.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const D: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

type Members = Vec<(String, Tree)>;

/// A header, a line feed, a payload: both are signed, whatever they are. And the same octets as a SET,
/// which nobody signed.
pub fn security_event(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verify(text).is_err(), "accepted what nobody signed");
    }
    let at = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    let (header, payload) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = SigningKey::from_bytes(&D).sign(input.as_bytes()).to_bytes();
    let set = format!("{input}.{}", base64url::encode(signature));

    let read = verify(&set);
    let Some(expected) = judge(header, payload, set.len()) else {
        return;
    };
    match (read, expected) {
        (Ok(event), Ok(expected)) => {
            assert_eq!(event.jti(), expected.jti);
            assert_eq!(event.kind().as_str(), expected.kind);
            assert_eq!(event.at().as_duration().as_nanos(), expected.at);
            assert_eq!(event.subject().format(), expected.format);
            assert!(!format!("{event:?}").contains("ann@"), "somebody is printed");
        }
        (Err(error), Err(code)) => {
            assert_eq!(error.code(), code, "{error}");
            assert!(error.description().len() < 200);
        }
        (read, expected) => panic!("{read:?}, and by the second reading {expected:?}"),
    }
}

fn verify(set: &str) -> Result<SecurityEvent, SetError> {
    let audiences = AUDIENCES.map(|audience| Audience::parse(audience).unwrap());
    let rules = SetRules::new(IssuerId::parse(ISSUER).unwrap(), audiences);
    let jwk = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}]}}"#);
    let keys = JwkSet::parse(jwk.as_bytes(), &rules.algorithms).unwrap();
    let set = SecurityEventToken::read(set, &rules)?;
    set.verify(keys.find(None, Algorithm::Ed25519).unwrap(), Timestamp::from_secs(NOW))
}

#[derive(Debug)]
struct Event {
    jti: String,
    kind: &'static str,
    at: u128,
    format: String,
}

/// `None` where `serde_json` cannot tell.
fn judge(header: &[u8], payload: &[u8], length: usize) -> Option<Result<Event, Code>> {
    let encoded = base64url::encode(header).len();
    if length > 64 * 1024 || encoded > MAX_HEADER || header.is_empty() || payload.is_empty() {
        return Some(Err(Code::InvalidRequest));
    }
    let header = match tree::read(header) {
        Reading::Object(members) => members,
        Reading::Refused => return Some(Err(Code::InvalidRequest)),
        Reading::Unknown => return None,
    };
    let algorithm = match judge_header(&header) {
        Ok(algorithm) => algorithm,
        Err(code) => return Some(Err(code)),
    };
    let claims = match tree::read(payload) {
        Reading::Object(members) => members,
        Reading::Refused => return Some(Err(Code::InvalidRequest)),
        Reading::Unknown => return None,
    };
    if let Err(code) = judge_parties(&claims) {
        return Some(Err(code));
    }
    if !matches!(algorithm, Algorithm::EdDsa | Algorithm::Ed25519) {
        // Another key would have to have signed.
        return Some(Err(Code::InvalidKey));
    }
    Some(judge_claims(payload, &claims).ok_or(Code::InvalidRequest))
}

fn judge_header(header: &Members) -> Result<Algorithm, Code> {
    let has = |name| member(header, name).is_some();
    let text = |name| member(header, name).and_then(Tree::as_text);
    if ["crit", "b64", "zip", "enc", "cty"].into_iter().any(has) {
        return Err(Code::InvalidRequest);
    }
    let algorithm = text("alg").and_then(Algorithm::parse).ok_or(Code::InvalidKey)?;
    let typ = text("typ").map(str::to_ascii_lowercase);
    let is_set = matches!(typ.as_deref(), Some("secevent+jwt" | "application/secevent+jwt"));
    if !is_set || (has("kid") && text("kid").is_none()) {
        return Err(Code::InvalidRequest);
    }
    match algorithm.as_str() {
        "ES256" | "EdDSA" | "Ed25519" | "RS256" | "PS256" => Ok(algorithm),
        _ => Err(Code::InvalidKey),
    }
}

fn judge_parties(claims: &Members) -> Result<(), Code> {
    match member(claims, "iss") {
        Some(Tree::Text(issuer)) if issuer == ISSUER => {}
        Some(Tree::Text(issuer)) if !issuer.is_empty() => return Err(Code::InvalidIssuer),
        _ => return Err(Code::InvalidRequest),
    }
    let audiences: Vec<&str> = match member(claims, "aud") {
        None => Vec::new(),
        Some(Tree::Text(audience)) => vec![audience],
        Some(Tree::Array(audiences)) if !audiences.is_empty() => audiences
            .iter()
            .map(Tree::as_text)
            .collect::<Option<_>>()
            .ok_or(Code::InvalidRequest)?,
        Some(_) => return Err(Code::InvalidRequest),
    };
    let ours = audiences.iter().any(|audience| AUDIENCES.contains(audience));
    if ours { Ok(()) } else { Err(Code::InvalidAudience) }
}

/// Whatever is wrong from here on is one code.
fn judge_claims(payload: &[u8], claims: &Members) -> Option<Event> {
    let has = |name| member(claims, name).is_some();
    if has("exp") || has("sub") {
        return None;
    }
    let jti = text(claims, "jti")?;
    if jti.len() > 512 {
        return None;
    }
    // The digits are the crate's own reading: the target `json` compares them.
    let numbers = ClaimsSet::parse(payload).unwrap();
    let time = |name| match numbers.value(name) {
        None => Some(None),
        Some(value) => past(value.as_number()?).map(Some),
    };
    let issued_at = time("iat")??;
    let of_event = time("toe")?;
    let Some(Tree::Object(subject)) = member(claims, "sub_id") else {
        return None;
    };
    let format = subject_format(subject)?;
    let Some(Tree::Object(events)) = member(claims, "events") else {
        return None;
    };
    if events.is_empty() || events.len() > 8 {
        return None;
    }
    let texts = numbers.value("events")?.as_object()?;
    let mut known: Option<(String, Known, Option<u128>)> = None;
    for (name, event) in events {
        let Tree::Object(event) = event else {
            return None;
        };
        let Some(read) = kind(name, event)? else {
            continue;
        };
        let stamp = texts.member(name)?.as_object()?.member("event_timestamp");
        let stamp = match stamp {
            None => None,
            Some(value) => Some(past(value.as_number()?)?),
        };
        let read = (name.replace("/secevent/sse/", "/secevent/ssf/"), read, stamp);
        if known.as_ref().is_some_and(|other| *other != read) {
            return None;
        }
        known = Some(read);
    }
    let (kind, stamp) = known.map_or(("other", None), |(_, known, stamp)| (known.kind, stamp));
    let at = stamp.or(of_event).unwrap_or(issued_at);
    Some(Event { jti: jti.to_owned(), kind, at, format })
}

fn past(number: &str) -> Option<u128> {
    let latest = u128::from(NOW + 300) * 1_000_000_000;
    exact_nanos(number).filter(|at| *at <= latest)
}

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    member(members, name).and_then(Tree::as_text).filter(|text| !text.is_empty())
}

/// What an event is, with what tells it from another of its type.
#[derive(Debug, PartialEq)]
struct Known {
    kind: &'static str,
    detail: Option<String>,
}

/// Event types: name, short name, members that are wanted, each with the values that it can have.
type Wanted = &'static [(&'static str, &'static [&'static str])];
const COMPLIANCE: &[&str] = &["compliant", "not-compliant"];
const TYPES: &[(&str, &str, Wanted)] = &[
    ("caep/session-revoked", "session_revoked", &[]),
    ("caep/token-claims-change", "token_claims_change", &[]),
    (
        "caep/credential-change",
        "credential_change",
        &[("credential_type", &[]), ("change_type", &["create", "revoke", "update", "delete"])],
    ),
    (
        "caep/assurance-level-change",
        "assurance_level_change",
        &[("namespace", &[]), ("current_level", &[])],
    ),
    (
        "caep/device-compliance-change",
        "device_compliance_change",
        &[("previous_status", COMPLIANCE), ("current_status", COMPLIANCE)],
    ),
    ("caep/session-established", "session_established", &[]),
    ("caep/session-presented", "session_presented", &[]),
    (
        "caep/risk-level-change",
        "risk_level_change",
        &[("principal", &[]), ("current_level", &["LOW", "MEDIUM", "HIGH"])],
    ),
    ("risc/account-credential-change-required", "account_credential_change_required", &[]),
    ("risc/account-purged", "account_purged", &[]),
    ("risc/account-disabled", "account_disabled", &[]),
    ("risc/account-enabled", "account_enabled", &[]),
    ("risc/identifier-changed", "identifier_changed", &[]),
    ("risc/identifier-recycled", "identifier_recycled", &[]),
    ("risc/credential-compromise", "credential_compromise", &[("credential_type", &[])]),
    ("risc/sessions-revoked", "sessions_revoked", &[]),
    ("risc/opt-in", "opt_in_or_out", &[]),
    ("risc/opt-out-initiated", "opt_in_or_out", &[]),
    ("risc/opt-out-cancelled", "opt_in_or_out", &[]),
    ("risc/opt-out-effective", "opt_in_or_out", &[]),
    ("risc/recovery-activated", "recovery", &[]),
    ("risc/recovery-information-changed", "recovery", &[]),
    ("ssf/verification", "verification", &[]),
    ("sse/verification", "verification", &[]),
    ("ssf/stream-updated", "stream_updated", &[("status", &["enabled", "paused", "disabled"])]),
    ("sse/stream-updated", "stream_updated", &[("status", &["enabled", "paused", "disabled"])]),
];

/// `None`: not as its definition wants it; `Some(None)`: unknown.
fn kind(name: &str, event: &Members) -> Option<Option<Known>> {
    let short = name.strip_prefix("https://schemas.openid.net/secevent/");
    let short = short.map(|short| short.replacen("/event-type/", "/", 1));
    let whole = |short: &str| {
        let (profile, event) = short.split_once('/').unwrap();
        format!("https://schemas.openid.net/secevent/{profile}/event-type/{event}")
    };
    let known =
        TYPES.iter().find(|(known, ..)| short.as_deref() == Some(*known) && name == whole(known));
    let Some((short, kind, wanted)) = known else {
        return Some(None);
    };
    for (member, values) in *wanted {
        let value = text(event, member)?;
        if !values.is_empty() && !values.contains(&value) {
            return None;
        }
    }
    let optional = |name: &str| match member(event, name) {
        None => Some(None),
        Some(Tree::Text(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    let detail = match *short {
        "caep/token-claims-change" => match member(event, "claims") {
            Some(Tree::Object(_)) => None,
            _ => return None,
        },
        "caep/assurance-level-change" => {
            optional("previous_level")?;
            match optional("change_direction")?.as_deref() {
                None | Some("increase" | "decrease") => None,
                Some(_) => return None,
            }
        }
        "ssf/verification" | "sse/verification" => optional("state")?,
        "ssf/stream-updated" | "sse/stream-updated" => optional("status")?,
        _ => None,
    };
    Some(Some(Known { kind, detail }))
}

/// Formats of RFC 9493 and SSF with the texts that each wants.
const FORMATS: &[(&str, &[&str])] = &[
    ("account", &["uri"]),
    ("email", &["email"]),
    ("iss_sub", &["iss", "sub"]),
    ("opaque", &["id"]),
    ("phone_number", &["phone_number"]),
    ("did", &["url"]),
    ("uri", &["uri"]),
    ("jwt_id", &["iss", "jti"]),
    ("saml_assertion_id", &["issuer", "assertion_id"]),
];
const PRINCIPALS: &[&str] =
    &["user", "device", "session", "application", "tenant", "org_unit", "group"];

fn subject_format(subject: &Members) -> Option<String> {
    let format = text(subject, "format")?;
    if format != "complex" {
        return simple(subject, true);
    }
    let mut count = 0;
    for (name, value) in subject.iter().filter(|(name, _)| name != "format") {
        match value {
            Tree::Object(inner) if member(inner, "format").is_some() => {
                count += 1;
                if text(inner, "format")? == "complex" || count > SubjectId::MAX_PARTS {
                    return None;
                }
                simple(inner, true)?;
            }
            _ if PRINCIPALS.contains(&name.as_str()) => return None,
            _ => {}
        }
    }
    (count > 0).then(|| format.to_owned())
}

fn simple(subject: &Members, aliases: bool) -> Option<String> {
    let format = text(subject, "format")?;
    if let Some((_, wanted)) = FORMATS.iter().find(|(known, _)| *known == format) {
        return wanted.iter().all(|name| text(subject, name).is_some()).then(|| format.to_owned());
    }
    let elements = |name| match member(subject, name) {
        Some(Tree::Array(elements)) if (1..=SubjectId::MAX_PARTS).contains(&elements.len()) => {
            Some(elements)
        }
        _ => None,
    };
    let good = match format {
        "ip-addresses" => {
            elements("ip-addresses")?.iter().all(|address| address.as_text().is_some())
        }
        "aliases" => {
            aliases
                && elements("identifiers")?.iter().all(|alias| match alias {
                    Tree::Object(alias) => {
                        text(alias, "format") != Some("complex") && simple(alias, false).is_some()
                    }
                    _ => false,
                })
        }
        _ => true,
    };
    good.then(|| format.to_owned())
}
