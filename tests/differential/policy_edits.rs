//! Edits of what profiles, classes and policies look at.

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::members::{odd_value, quoted, quoted_oddly};
use super::policies::{self, KIND_CLAIM};
use super::request::{Draft, Surroundings};
use super::times;
use crate::naive::NaiveProfile;

const M: Stage = Stage::Members;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

pub(crate) const EDITS: &[Edit] = &[
    edit(3, M, "another typ of the profile", another_type),
    edit(4, M, "an ID token's marker", |draft, _, dice| {
        let name = dice.pick(&["nonce", "at_hash", "c_hash", "s_hash"]);
        draft.payload.set(name, dice.pick(&["\"n-0S6_WzA2Mj\"", "\"\"", "null", "1"]));
    }),
    edit(2, M, "a claim of another kind of token", |draft, _, dice| {
        let name =
            dice.pick(&["token_introspection", "status_list", "htu", "wth", "htm", "status"]);
        draft.payload.set(name, dice.pick(&["{}", "null", "\"https://rs.example\""]));
    }),
    edit(3, M, "a claim that only an access token by type may have", |draft, _, dice| {
        let name = dice.pick(&["req_wl", "toe", "_sd_alg", "vct", "_sd", "Vct"]);
        draft.payload.set(name, dice.pick(&["\"sha-256\"", "1800000000", "null", "{}"]));
    }),
    edit(4, M, "what the issuer calls the token", |draft, _, dice| {
        let (name, values): (&str, &[&str]) = match dice.percent(60) {
            true => ("typ", &["ID", "Refresh", "Offline", "Logout", "Bearer", "id", "ID ", "JWT"]),
            false => ("token_use", &["id", "refresh", "access", "ID", "refresh\0"]),
        };
        let value = dice.pick(values);
        let value = match dice.below(8) {
            0 => format!("[{}]", quoted(value)),
            1 => quoted_oddly(value, dice),
            2 => odd_value(dice).to_owned(),
            _ => quoted(value),
        };
        draft.payload.set(name, value);
    }),
    edit(3, M, "what may be absent is absent", absent),
    edit(5, M, "a required claim otherwise", required),
    edit(3, M, "a client in a claim", |draft, around, dice| {
        let value =
            dice.pick(&["\"client-7\"", "\"client-8\"", "\"\"", "null", "7", "[\"client-7\"]"]);
        let mut names = profile(around).client_claims.clone();
        names.extend(["client_id", "azp", "cid"].map(String::from));
        draft.payload.set(&dice.pick(&names), value);
    }),
    edit(5, M, "a scope in a claim", scope),
    edit(3, M, "an audience in a claim", |draft, around, dice| {
        let ours = quoted(&around.scene.world.resource);
        let array = format!("[{ours},\"x\"]");
        let value = dice.pick(&[&*ours, &*array, "\"x\"", "[]", "null", "\"urn:rs\"", "[5]"]);
        let mut names = profile(around).audience_claims.clone();
        names.extend(["aud", "resource"].map(String::from));
        draft.payload.set(&dice.pick(&names), value);
    }),
    edit(4, M, "an actor", |draft, _, dice| {
        let value = dice.pick(&[
            "{\"sub\":\"gateway\"}",
            "{\"sub\":\"gateway\",\"iss\":\"https://other.example\"}",
            "{\"sub\":\"gateway\",\"act\":{\"sub\":\"\"}}",
            "{\"sub\":\"gateway\",\"exp\":0,\"aud\":5}",
            "{\"sub\":\"gate\\u0077ay\",\"act\":null}",
            "{\"sub\":\"gateway\",\"iss\":\"\"}",
            "{\"sub\":\"gateway\",\"iss\":null}",
            "{\"sub\":\"\"}",
            "{\"sub\":null}",
            "{\"iss\":\"https://other.example\"}",
            "{}",
            "\"gateway\"",
            "[{\"sub\":\"gateway\"}]",
            "null",
            "false",
        ]);
        draft.payload.set("act", value);
    }),
    edit(2, M, "other authorization details", |draft, around, dice| {
        draft.payload.set("authorization_details", policies::details(&around.scene.world, dice));
    }),
    edit(4, M, "authorization details", |draft, _, dice| {
        let value = dice.pick(&[
            "[]",
            "[{\"type\":\"x\"}]",
            "[{\"type\":\"x\"},{\"actions\":[],\"type\":\"y\"}]",
            "[ {\"type\":\"x\",\"locations\":\"everywhere\"} ]",
            "[{\"type\":\"x\"},{\"actions\":[]}]",
            "[{\"type\":\"\"}]",
            "[{\"type\":5}]",
            "[{\"type\":null}]",
            "[{\"Type\":\"x\"}]",
            "[\"x\"]",
            "[null]",
            "[[{\"type\":\"x\"}]]",
            "{\"type\":\"x\"}",
            "\"x\"",
            "null",
        ]);
        draft.payload.set("authorization_details", value);
    }),
    edit(5, M, "another authentication", authentication),
    edit(5, M, "an authentication at its border", authentication_border),
    edit(3, M, "another kind of subject", |draft, _, dice| {
        let (name, value) = dice.pick(&[
            (KIND_CLAIM, "\"app\""),
            (KIND_CLAIM, "\"user\""),
            (KIND_CLAIM, "null"),
            (KIND_CLAIM, "\"client-7\""),
            ("sub", "\"client-7\""),
            ("sub", "\"client-7@clients\""),
            ("sub", "\"@clients\""),
            ("sub", "\"system:node\""),
            ("sub", "\"System:node\""),
            ("scp", "\"a\""),
            ("azp", "\"app\""),
            ("azp", "5"),
        ]);
        draft.payload.set(name, value);
    }),
    edit(5, M, "an age at its border", age_border),
];

fn profile<'a>(around: &'a Surroundings<'_>) -> &'a NaiveProfile {
    &around.scene.world.issuers[around.signer.issuer].profile
}

fn another_type(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    if dice.percent(25) {
        draft.header.remove("typ");
        return;
    }
    let mut types = profile(around).more_types.clone();
    types.extend(
        ["JWT", "at+jwt", "vnd.example+jwt", "application/", "application/JWT"].map(String::from),
    );
    let typ = dice.pick(&types);
    let typ = match dice.below(4) {
        0 => typ.to_ascii_uppercase(),
        1 => format!("application/{typ}"),
        2 => typ.trim_start_matches("application/").to_owned(),
        _ => typ,
    };
    draft.header.set("typ", quoted(&typ));
}

fn absent(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    match dice.below(3) {
        0 => draft.payload.remove("jti"),
        1 => draft.payload.remove("iat"),
        _ => profile(around).client_claims.iter().for_each(|name| draft.payload.remove(name)),
    }
}

fn required(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let Some((name, values)) = profile(around).required.first() else {
        return;
    };
    let value = dice.pick(values);
    let plain = serde_json::from_str::<String>(&value).ok();
    let value = match (dice.below(8), plain) {
        (0, _) => return draft.payload.remove(name),
        (1, _) => odd_value(dice).to_owned(),
        (2, Some(plain)) => quoted_oddly(&plain, dice),
        (3, Some(plain)) => quoted(&plain.to_ascii_uppercase()),
        (4, Some(plain)) => quoted(&format!("{plain} ")),
        (2, None) => format!(" {value} "),
        (3, None) => value.replace(',', " ,\n"),
        (4, None) => dice
            .pick(&[
                "{\"b\":[null,true],\"a\":1}",
                "{\"a\":1,\"b\":[true,null]}",
                "{\"a\":1}",
                "[\"b\",\"a\"]",
                "18446744073709551616",
                "1.0",
                "1e0",
                "\"1\"",
                "-1",
            ])
            .to_owned(),
        (5, _) => format!("[{value}]"),
        (6, _) => quoted(&value),
        _ => value,
    };
    draft.payload.set(name, value);
}

fn scope(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let needed = &around.scene.world.needed_scopes;
    let each: Vec<String> = needed.iter().map(|scope| quoted(scope)).collect();
    let each = each.join(",");
    let all = quoted(&needed.join(" "));
    let value = match dice.below(12) {
        0 | 1 => format!("[{each}]"),
        2 => all,
        3 => format!("[{all}]"),
        4 => "[]".to_owned(),
        5 => "[\"\"]".to_owned(),
        6 => "[\"other\",null]".to_owned(),
        7 => "[\"a\\tb\"]".to_owned(),
        8 => "[[\"a\"]]".to_owned(),
        9 => "[\"other\",\"a\",\"b\",\"\\u0061\"]".to_owned(),
        10 => "[\" a\"]".to_owned(),
        _ => "[\"\u{e9}\"]".to_owned(),
    };
    let mut names = profile(around).scope_claims.clone();
    names.extend(["scope", "scp"].map(String::from));
    draft.payload.set(&dice.pick(&names), value);
}

fn authentication(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let wanted = around.scene.world.step_up.as_ref();
    let acr = wanted.and_then(|wanted| wanted.acr_values.last());
    let acr = acr.map_or("phr", String::as_str).to_owned();
    match dice.below(10) {
        0 => draft.payload.remove("acr"),
        1 => draft.payload.remove("auth_time"),
        2 => draft.payload.set("acr", quoted(&acr.to_ascii_uppercase())),
        3 => draft.payload.set("acr", quoted(&format!("{acr} phrh"))),
        4 => draft.payload.set("acr", format!("[{}]", quoted(&acr))),
        5 => draft.payload.set("acr", quoted_oddly(&acr, dice)),
        6 => draft.payload.set("acr", odd_value(dice)),
        7 => draft.payload.set("auth_time", odd_value(dice)),
        8 => draft.payload.set("auth_time", times::odd(dice)),
        _ => draft.payload.set("acr", quoted(&acr)),
    }
}

fn authentication_border(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let world = &around.scene.world;
    let limit = world.step_up.as_ref().and_then(|wanted| wanted.max_age_secs).unwrap_or(60);
    let at = world.now_nanos.saturating_sub(u128::from(limit) * NANOS_PER_SECOND);
    let auth_time = match dice.below(6) {
        0 | 1 => at.saturating_sub(1),
        2 | 3 => at,
        4 => at + 1,
        _ => world.now_nanos + NANOS_PER_SECOND,
    };
    draft.payload.set("auth_time", times::spelled(auth_time, dice));
}

/// As old as a class allows, and living just long enough.
fn age_border(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let world = &around.scene.world;
    let ages = policies::ages(world);
    let age = if ages.is_empty() { 60 } else { dice.pick(&ages) };
    let oldest = u128::from(age + world.leeway_secs) * NANOS_PER_SECOND;
    let at = world.now_nanos.saturating_sub(oldest);
    let iat = match dice.below(5) {
        0 | 1 => at.saturating_sub(1),
        2 | 3 => at,
        _ => at + 1,
    };
    draft.payload.set("iat", times::spelled(iat, dice));
    // good at least by the leeway, where the lifetimes permit that
    let shortest = policies::lifetimes(world).into_iter().min().unwrap_or(1);
    let exp = iat + u128::from(shortest.max(1)) * NANOS_PER_SECOND;
    draft.payload.set("exp", times::spelled(exp, dice));
}
