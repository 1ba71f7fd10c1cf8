//! How issuers write their tokens, and what servers want of them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::dice::Dice;
use super::members::quoted;
use crate::naive::{
    NaiveActor, NaiveClass, NaiveDetail, NaiveException, NaiveNames, NaiveProfile, NaiveStepUp,
    NaiveTest, World,
};

pub(crate) const CLIENTS: [&str; 2] = ["client-7", "client-8"];
pub(crate) const KIND_CLAIM: &str = "idtyp";
const KINDS: [&str; 4] = ["client", "person", "workload", "unknown"];
/// Networks, with an address inside each, and one that the last bit of the prefix keeps out.
const NETWORKS: [(&str, &str, &str); 8] = [
    ("10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
    ("10.0.0.0/8", "::ffff:10.9.9.9", "::ffff:11.9.9.9"),
    ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
    ("203.0.113.128/25", "203.0.113.128", "203.0.113.127"),
    ("0.0.0.0/0", "203.0.113.127", "::1"),
    ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
    ("::1", "::1", "::"),
    ("2001:db8:0:8000::/49", "2001:db8:0:8000::1", "2001:db8:0:7fff::1"),
];
const SECONDS_PER_DAY: u64 = 86_400;
/// 9999-12-31.
const LAST_DAY: u64 = 2_932_896;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// As RFC 9068 has it, or with a few differences.
pub(crate) fn profile(dice: &mut Dice) -> NaiveProfile {
    let mut profile = NaiveProfile::default();
    if dice.percent(45) {
        return profile;
    }
    if dice.percent(50) {
        let types: [&[&str]; 5] = [
            &["JWT"],
            &["JWT"],
            &["jwt", "vnd.example+JWT"],
            &["application/vnd.example+jwt"],
            &["Application/JWT"],
        ];
        profile.more_types = texts(dice.pick(&types));
    }
    profile.untyped = dice.percent(30);
    for claim in ["client_id", "iat", "jti"] {
        if dice.percent(35) {
            profile.may_lack.push(claim.to_owned());
        }
    }
    let clients: [&[&str]; 6] = [
        &["client_id"],
        &["client_id"],
        &["azp"],
        &["azp", "appid"],
        &["cid", "client_id"],
        &["sub"],
    ];
    profile.client_claims = texts(dice.pick(&clients));
    let scopes: [&[&str]; 5] =
        [&["scope"], &["scope"], &["scp"], &["scp", "scope"], &["roles", "scp"]];
    profile.scope_claims = texts(dice.pick(&scopes));
    profile.scope_arrays = dice.percent(40);
    if dice.percent(20) {
        let audiences: [&[&str]; 3] = [&["aud", "resource"], &["resource", "aud"], &["client_id"]];
        profile.audience_claims = texts(dice.pick(&audiences));
    }
    profile.id_tokens = dice.percent(15);
    if dice.percent(30) {
        let required: [(&str, &[&str]); 9] = [
            ("token_use", &["\"access\""]),
            ("typ", &["\"Bearer\"", "\"JWT\""]),
            ("typ", &["\"Bearer\"", "\"ID\""]),
            ("ver", &["1", "2"]),
            ("ver", &["18446744073709551615"]),
            ("gty", &["[\"a\",\"b\"]", "\"a\""]),
            ("ctx", &["{\"a\":1,\"b\":[null,true]}"]),
            ("mfa", &["true"]),
            ("nothing", &["[null]"]),
        ];
        let (name, values) = dice.pick(&required);
        profile.required.push((name.to_owned(), texts(values)));
    }
    // anybody may have an ID token: the profile says whose are taken
    if profile.id_tokens && profile.required.is_empty() {
        let whose: [&[&str]; 2] = [&["\"alice\""], &["\"42\"", "\"client-7\"", "\"alice\""]];
        profile.required.push(("sub".to_owned(), texts(dice.pick(&whose))));
    }
    if dice.percent(40) {
        for _ in 0..dice.pick(&[1, 1, 2]) {
            let test = match dice.below(8) {
                7 => NaiveTest::Present(KIND_CLAIM.into()),
                0 => NaiveTest::Absent(KIND_CLAIM.into()),
                1 => NaiveTest::Absent("scp".into()),
                2 => NaiveTest::Equals(KIND_CLAIM.into(), "app".into()),
                3 => NaiveTest::StartsWith("sub".into(), "system:".into()),
                4 => NaiveTest::Same("sub".into(), "client_id".into()),
                5 => NaiveTest::Same(KIND_CLAIM.into(), "azp".into()),
                _ => NaiveTest::SameWithSuffix("sub".into(), "client_id".into(), "@clients".into()),
            };
            profile.kinds.push((dice.pick(&KINDS).to_owned(), test));
        }
    }
    profile
}

/// The bindings that some token can meet there.
fn bindings(world: &World) -> Vec<&'static str> {
    match (world.dpop.is_some(), world.mtls) {
        (false, false) => vec!["where_bound"],
        (true, false) => vec!["where_bound", "either", "dpop"],
        (false, true) => vec!["where_bound", "either", "mtls"],
        (true, true) => vec!["where_bound", "either", "dpop", "mtls", "both"],
    }
}

/// Adds what server and route want of every token.
pub(crate) fn add_bindings(world: &mut World, dice: &mut Dice) {
    if dice.percent(35) {
        world.binding = dice.pick(&bindings(world)).to_owned();
    }
    if dice.percent(12) {
        world.route_binding = Some(dice.pick(&bindings(world)).to_owned());
    }
}

/// Adds to a world whose issuers are known, and how it proves senders.
pub(crate) fn add(world: &mut World, dice: &mut Dice) {
    if dice.percent(15) {
        world.other_names = texts(&["https://old.example", "urn:rs"]);
    }
    world.no_other_audience = dice.percent(10);
    if dice.percent(10) {
        world.max_age_secs = Some(dice.pick(&[1, 60, 3_600]));
    }
    if dice.percent(6) {
        world.default_binding = Some(dice.pick(&bindings(world)).to_owned());
    }
    if dice.percent(45) {
        for _ in 0..dice.pick(&[1, 1, 2, 3]) {
            let class = class(world, dice);
            world.classes.push(class);
        }
    }
    add_bindings(world, dice);
    // where nobody needs one it changes nothing
    if dice.percent(if world.binding == "where_bound" { 3 } else { 85 }) {
        for _ in 0..dice.pick(&[1, 2, 3]) {
            let exception = exception(world, dice);
            world.exceptions.push(exception);
        }
    }
    if dice.percent(25) {
        let classes: [&[&str]; 4] = [&[], &["phr"], &["phrh", "phr"], &["urn:mace:loa2"]];
        let acr_values = texts(dice.pick(&classes));
        let max_age_secs = match acr_values.is_empty() || dice.percent(50) {
            true => Some(dice.pick(&[0, 1, 60, 300])),
            false => None,
        };
        world.step_up = Some(NaiveStepUp { acr_values, max_age_secs });
    }
    add_checks(world, dice);
}

fn add_checks(world: &mut World, dice: &mut Dice) {
    let whose = |world: &World, dice: &mut Dice| {
        (has_more_than_one(world) || dice.percent(50)).then(|| issuer(world, dice))
    };
    if dice.percent(12) {
        let issuer = whose(world, dice);
        let names: [&[&str]; 3] = [&["client-7"], &["client-8"], &["x", "client-7"]];
        world.clients = Some(NaiveNames { names: texts(dice.pick(&names)), issuer });
    }
    if dice.percent(12) {
        let issuer = whose(world, dice);
        let names: [&[&str]; 3] =
            [&["alice", "client-7"], &["42", "alice", "client-7", "bob@example"], &["x", "Alice"]];
        world.subjects = Some(NaiveNames { names: texts(dice.pick(&names)), issuer });
    }
    if dice.percent(12) {
        world.actor = Some(match dice.below(4) {
            0 => NaiveActor::Some,
            1 => NaiveActor::None,
            _ => {
                let names: [&[&str]; 2] = [&["gateway"], &["batch", "gateway"]];
                let issuers = ["https://other.example", &world.issuers[0].id];
                let said = has_more_than_one(world) || dice.percent(40);
                let issuer = said.then(|| dice.pick(&issuers).to_owned());
                NaiveActor::OneOf(NaiveNames { names: texts(dice.pick(&names)), issuer })
            }
        });
    }
    if dice.percent(15) {
        let some = |texts_of: &[&str], dice: &mut Dice| match dice.percent(40) {
            true => texts(texts_of),
            false => Vec::new(),
        };
        world.detail = Some(NaiveDetail {
            detail_type: dice.pick(&["x", "payment"]).to_owned(),
            actions: some(&["read"], dice),
            locations: match dice.below(6) {
                0 => vec![world.resource.clone()],
                1 => texts(&["https://old.example", "https://there.example"]),
                _ => Vec::new(),
            },
            datatypes: some(&["a", "b"], dice),
            privileges: some(&["admin"], dice),
            identifier: dice.percent(20).then(|| "one".to_owned()),
        });
    }
}

/// A claim that grants what the route wants, or not quite.
pub(crate) fn details(world: &World, dice: &mut Dice) -> String {
    let wanted = world.detail.clone().unwrap_or_default();
    let mut objects = Vec::new();
    if dice.percent(30) {
        objects.push(dice.pick(&["{\"type\":\"y\"}", "{\"type\":\"x\"}"]).to_owned());
    }
    let detail_type = if wanted.detail_type.is_empty() { "x" } else { &wanted.detail_type };
    let mut members = vec![format!("\"type\":{}", quoted(detail_type))];
    let lists = [
        ("actions", &wanted.actions),
        ("datatypes", &wanted.datatypes),
        ("privileges", &wanted.privileges),
        ("locations", &wanted.locations),
    ];
    for (name, list) in lists {
        let mut list = list.clone();
        match dice.below(14) {
            0 => {
                list.pop();
            }
            1 => list.push("more".to_owned()),
            2 => list.reverse(),
            3 => list = list.iter().map(|text| text.to_uppercase()).collect(),
            4 => {
                let value = dice.pick(&["null", "\"read\"", "[null]", "{}", "[[\"read\"]]"]);
                members.push(format!("{}:{value}", quoted(name)));
                continue;
            }
            5 if name == "locations" => list = vec![world.resource.clone(), "x".to_owned()],
            6 if name == "locations" => list = texts(&["urn:rs"]),
            7 if name == "locations" => list = texts(&["https://there.example"]),
            _ => {}
        }
        // an empty list of places is none
        if !list.is_empty() || dice.percent(10) {
            let list: Vec<String> = list.iter().map(|text| quoted(text)).collect();
            members.push(format!("{}:[{}]", quoted(name), list.join(",")));
        }
    }
    if wanted.identifier.is_some() && dice.percent(85) {
        let identifier = dice.pick(&["\"one\"", "\"one\"", "\"One\"", "1", "\"\\u006fne\""]);
        members.push(format!("\"identifier\":{identifier}"));
    }
    dice.shuffle(&mut members);
    objects.push(format!("{{{}}}", members.join(",")));
    dice.shuffle(&mut objects);
    format!("[{}]", objects.join(","))
}

fn class(world: &World, dice: &mut Dice) -> NaiveClass {
    let mut class = NaiveClass::default();
    for _ in 0..dice.pick(&[1, 1, 2]) {
        match dice.below(5) {
            0 => class.issuers = vec![issuer(world, dice)],
            1 => class.clients = texts(dice.pick(&[&["client-7"], &["client-8", "x"]])),
            2 => {
                let needed = world.needed_scopes.first().map_or("a", String::as_str);
                class.scopes = texts(dice.pick(&[&["other"], &[needed], &["x", "other"]]));
            }
            3 => {
                class.kinds = texts(&[dice.pick(&KINDS)]);
                if dice.percent(30) {
                    class.kinds.push(dice.pick(&KINDS).to_owned());
                }
            }
            _ => class.audiences = texts(&[dice.pick(&["x", "urn:rs", &world.resource])]),
        }
    }
    if !class.clients.is_empty() && class.issuers.is_empty() && has_more_than_one(world) {
        class.issuers = vec![issuer(world, dice)];
    }
    if dice.percent(60) {
        class.max_lifetime_secs = Some(dice.pick(&[1, 60, 300, 900, 3_600, 86_400]));
    }
    if dice.percent(35) {
        class.max_age_secs = Some(dice.pick(&[1, 60, 300]));
    }
    if world.default_binding.is_some() && dice.percent(60) {
        class.binding = Some("where_bound".to_owned());
        return class;
    }
    let wants_nothing = class.max_lifetime_secs.is_none() && class.max_age_secs.is_none();
    if wants_nothing || dice.percent(10) {
        class.binding = Some(dice.pick(&bindings(world)).to_owned());
    }
    class
}

/// Names that an issuer gives need that issuer beside them there.
fn has_more_than_one(world: &World) -> bool {
    world.issuers.len() > 1
}

fn issuer(world: &World, dice: &mut Dice) -> String {
    world.issuers[dice.below(world.issuers.len())].id.clone()
}

fn exception(world: &World, dice: &mut Dice) -> NaiveException {
    let today = u64::try_from(world.now_nanos / 1_000_000_000).unwrap() / SECONDS_PER_DAY;
    let at_midnight = world.now_nanos.is_multiple_of(u128::from(SECONDS_PER_DAY) * 1_000_000_000);
    let last = match dice.below(10) {
        _ if at_midnight && dice.percent(60) => today.saturating_sub(1),
        0 => today.saturating_sub(400),
        1 => today.saturating_sub(1),
        2..=5 => today,
        6 => today + 1,
        7 => today + 365,
        _ => today + 30,
    };
    let midnight = Duration::from_secs(last.min(LAST_DAY) * SECONDS_PER_DAY);
    let until = humantime::format_rfc3339(SystemTime::UNIX_EPOCH + midnight).to_string();
    let (one, other) = (dice.pick(&NETWORKS).0, dice.pick(&NETWORKS).0);
    let networks: [&[&str]; 4] = [&[], &[], &[one], &[one, other]];
    let clients: [&[&str]; 5] =
        [&["client-7"], &CLIENTS, &["x", "client-7"], &["client-8"], &["nobody"]];
    NaiveException {
        clients: texts(dice.pick(&clients)),
        issuer: (has_more_than_one(world) || dice.percent(30)).then(|| issuer(world, dice)),
        until: until[..10].to_owned(),
        max_lifetime_secs: dice.percent(35).then(|| dice.pick(&[1, 60, 300, 900])),
        networks: texts(dice.pick(&networks)),
    }
}

/// Where a request comes from: mostly, if anybody asks, from inside of a network or next to it.
pub(crate) fn peer(world: &World, dice: &mut Dice) -> Option<IpAddr> {
    let mut asked = Vec::<(&str, &str, &str)>::new();
    for network in world.exceptions.iter().flat_map(|exception| &exception.networks) {
        asked.extend(NETWORKS.iter().filter(|(name, ..)| name == network).copied());
    }
    let (_, inside, outside) = match asked.is_empty() {
        true => dice.pick(&NETWORKS),
        false => dice.pick(&asked),
    };
    let peer = match dice.below(10) {
        0 => return None,
        1..=3 => outside,
        _ => inside,
    };
    Some(peer.parse().unwrap())
}

/// Every bound of a token's life in this world.
pub(crate) fn lifetimes(world: &World) -> Vec<u64> {
    let of_classes = world.classes.iter().filter_map(|class| class.max_lifetime_secs);
    let of_exceptions = world.exceptions.iter().filter_map(|one| one.max_lifetime_secs);
    std::iter::once(world.max_lifetime_secs).chain(of_classes).chain(of_exceptions).collect()
}

/// Every bound of a token's age in this world.
pub(crate) fn ages(world: &World) -> Vec<u64> {
    let of_classes = world.classes.iter().filter_map(|class| class.max_age_secs);
    world.max_age_secs.into_iter().chain(of_classes).collect()
}
