//! Edits of the payload's members.

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::members::{odd_value, quoted, quoted_oddly};
use super::policies;
use super::request::{Draft, Surroundings};
use super::times;

const M: Stage = Stage::Members;
// Twice what the fewest tokens need, or what is asked for in few ways.
const CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "aud", "client_id", "jti", "jti", "iat", "exp", "nbf", "scope"];
const TEXTS: [&str; 4] = ["iss", "sub", "client_id", "jti"];
const DATES: [&str; 3] = ["iat", "exp", "nbf"];
const NANOS_PER_SECOND: u128 = 1_000_000_000;

pub(crate) const EDITS: &[Edit] = &[
    edit(11, M, "a claim is missing", |draft, _, dice| draft.payload.remove(dice.pick(&CLAIMS))),
    edit(10, M, "a claim of another type", |draft, _, dice| {
        draft.payload.set(dice.pick(&CLAIMS), odd_value(dice));
    }),
    edit(3, M, "a repeated claim", repeated),
    edit(3, M, "a text claim spelled otherwise", text_spelled),
    edit(3, M, "an odd text claim", odd_text),
    edit(4, M, "a date spelled otherwise", date_spelled),
    edit(6, M, "an odd date", |draft, _, dice| {
        draft.payload.set(dice.pick(&DATES), times::odd(dice));
    }),
    edit(14, M, "a time at its border", border),
    edit(4, M, "a lifetime at its border", lifetime),
    edit(5, M, "another issuer", issuer),
    edit(7, M, "another audience", audience),
    edit(2, M, "events", |draft, _, dice| {
        let values =
            ["{}", "null", "false", "[]", "{\"https://schemas.openid.net/secevent/caep\":{}}"];
        draft.payload.set("events", dice.pick(&values));
    }),
    edit(8, M, "another scope", scope),
    edit(3, M, "a deep claim", deep),
    edit(3, M, "many claims", many),
    edit(3, M, "an odd claim that nobody reads", unread),
];

fn repeated(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    if dice.percent(25) {
        let nested =
            ["{\"jkt\":1,\"jkt\":1}", "[{\"a\":{\"b\":0,\"\\u0062\":0}}]", "{\"\":0,\"\":0}"];
        draft.payload.set("act", dice.pick(&nested));
        return;
    }
    let at = dice.below(draft.payload.0.len().max(1));
    let Some((name, value)) = draft.payload.0.get(at).cloned() else {
        return;
    };
    let name = match serde_json::from_str::<String>(&name) {
        Ok(plain) if dice.percent(50) => quoted_oddly(&plain, dice),
        _ => name,
    };
    let value = if dice.percent(50) { value } else { odd_value(dice).to_owned() };
    match dice.percent(50) {
        true => draft.payload.repeat(name, value),
        false => draft.payload.0.insert(0, (name, value)),
    }
}

fn text_spelled(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let name = dice.pick(&["iss", "sub", "aud", "client_id", "jti", "scope"]);
    let text = draft.payload.value(name).and_then(|json| serde_json::from_str::<String>(json).ok());
    let Some(text) = text else { return };
    match dice.percent(30) {
        true => {
            draft.payload.remove(name);
            draft.payload.repeat(quoted_oddly(name, dice), quoted(&text));
        }
        false => draft.payload.set(name, quoted_oddly(&text, dice)),
    }
}

fn odd_text(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let long = quoted(&"x".repeat(3_000));
    let texts = [
        "\"\"",
        "\" \"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ude00\\ud83d\"",
        "\"\\ud83d\\u0041\"",
        "\"\\uD83Dx\"",
        "\"\\u00zz\"",
        "\"\\u12\"",
        "\"\\x41\"",
        "\"\\'\"",
        "\"\\\"",
        "\"a\tb\"",
        "\"a\nb\"",
        "\"\u{7f}\"",
        "\"\u{feff}x\"",
        "\"\\u+041\"",
        "'x'",
        &long,
    ];
    draft.payload.set(dice.pick(&TEXTS), dice.pick(&texts));
}

fn date_spelled(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let name = dice.pick(&DATES);
    let Some(whole) = draft.payload.value(name).and_then(|json| json.parse::<u128>().ok()) else {
        return;
    };
    draft.payload.set(name, times::spelled(whole * NANOS_PER_SECOND, dice));
}

/// One of the times where a nanosecond decides, the others where they do not.
fn border(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let world = &around.scene.world;
    let (now, leeway) = (world.now_nanos, u128::from(world.leeway_secs) * NANOS_PER_SECOND);
    let shifted = |at: u128, dice: &mut Dice| match dice.below(7) {
        0 | 1 => at.saturating_sub(1),
        2 | 3 => at,
        4 | 5 => at + 1,
        _ => at.saturating_sub(NANOS_PER_SECOND),
    };
    match dice.below(3) {
        0 => {
            let exp = shifted(now.saturating_sub(leeway), dice);
            draft.payload.set("exp", times::spelled(exp, dice));
            draft.payload.set("iat", times::spelled(exp.saturating_sub(NANOS_PER_SECOND), dice));
        }
        1 => {
            let nbf = shifted(now + leeway, dice);
            draft.payload.set("nbf", times::spelled(nbf, dice));
        }
        _ => {
            let iat = shifted(now + leeway, dice);
            draft.payload.set("iat", times::spelled(iat, dice));
            draft.payload.set("exp", times::spelled(iat + NANOS_PER_SECOND, dice));
        }
    }
}

/// `exp - iat` next to nothing, or next to the most that a class or an exception allows.
fn lifetime(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let world = &around.scene.world;
    let most = u128::from(dice.pick(&policies::lifetimes(world))) * NANOS_PER_SECOND;
    let iat = world.now_nanos.saturating_sub(dice.pick(&[0, 1, 500_000_000]));
    let exp = match dice.below(8) {
        0 => iat,
        1 => iat + 1,
        2 => iat.saturating_sub(1),
        3 => iat + most - 1,
        4 => iat + most,
        5 => iat + most + 1,
        6 => iat + most + NANOS_PER_SECOND,
        _ => iat + 100 * most,
    };
    draft.payload.set("iat", times::spelled(iat, dice));
    draft.payload.set("exp", times::spelled(exp, dice));
}

fn issuer(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let issuers = &around.scene.world.issuers;
    let own = issuers[around.signer.issuer].id.clone();
    let iss = match dice.below(9) {
        0..=2 => issuers[dice.below(issuers.len())].id.clone(),
        3 => format!("{own}/"),
        4 => own.trim_end_matches('/').to_owned(),
        5 => own.to_ascii_uppercase(),
        6 => format!("{own}\0"),
        7 => format!(" {own}"),
        _ => dice
            .pick(&[
                "https://evil.example",
                "http://as.example",
                "https://as.example:443",
                "as.example",
                "https://",
            ])
            .to_owned(),
    };
    draft.payload.set("iss", quoted(&iss));
}

fn audience(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let ours = quoted(&around.scene.world.resource);
    let text = &around.scene.world.resource;
    let aud = match dice.below(22) {
        0 => format!("[{ours}]"),
        1 => format!("[\"https://other.example\",{ours}]"),
        2 => format!("[{ours},{ours}]"),
        3 => format!("[{}]", quoted_oddly(text, dice)),
        4 => "[]".to_owned(),
        5 => format!("[{ours},5]"),
        6 => format!("[null,{ours}]"),
        7 => format!("{{\"a\":{ours}}}"),
        8 => format!("[[{ours}]]"),
        9 => format!("[\"\",{ours}]"),
        10 => "[\"\"]".to_owned(),
        11 => quoted(&format!("{text}/")),
        12 => quoted(text.trim_end_matches('/')),
        13 => quoted(&text.to_ascii_uppercase()),
        14 => quoted(&format!("{text} ")),
        15 => quoted(&format!("{text} https://other.example")),
        16 => "\"client-7\"".to_owned(),
        17 => format!("[{}]", vec!["\"x\""; 200].join(",")),
        18 => format!("[{},{ours}]", vec!["\"x\""; 200].join(",")),
        19 => format!("[ {ours} ,\n\"x\"\t]"),
        20 => format!("[{ours},]"),
        _ => quoted(&text.replace("https", "http")),
    };
    draft.payload.set("aud", aud);
}

fn scope(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let needed = around.scene.world.needed_scopes.clone();
    let all = needed.join(" ");
    let scope = match dice.below(18) {
        0 => quoted(""),
        1 => quoted(" "),
        2 => quoted(&format!(" {all}  x ")),
        3 => quoted(&needed.iter().rev().cloned().collect::<Vec<_>>().join(" ")),
        4 => quoted(needed.first().map_or("a", String::as_str)),
        5 => quoted(&all.to_ascii_uppercase()),
        6 => quoted(&all.replace(' ', ",")),
        7 => quoted(&format!("{all}x")),
        8 => quoted(&format!("{all} a\tb")),
        9 => quoted(&format!("{all}\n")),
        10 => quoted(&format!("{all} \"")),
        11 => quoted(&format!("{all} \\")),
        12 => quoted(&format!("{all} é")),
        13 => quoted(&format!("{all}\u{a0}x")),
        14 => quoted(&format!("{all} \u{7f}")),
        15 => quoted(&format!("{all} ~!#[]^_`{{|}}")),
        16 => format!("[{}]", quoted(&all)),
        _ => quoted_oddly(&all, dice),
    };
    draft.payload.set("scope", scope);
}

/// The payload itself is one level, and sixteen are allowed.
fn deep(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let levels = dice.pick(&[1, 8, 14, 15, 16, 17, 100, 2_000]);
    let value = match dice.percent(50) {
        true => format!("{}{}", "[".repeat(levels), "]".repeat(levels)),
        false => format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)),
    };
    draft.payload.set("deep", value);
}

fn many(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let count = dice.pick(&[5, 16, 17, 60, 300]);
    for index in 0..count {
        draft.payload.repeat(format!("\"m{index}\""), "0");
    }
    if dice.percent(40) {
        let again = dice.below(count);
        draft.payload.repeat(format!("\"m{again}\""), "0");
    }
}

fn unread(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let (name, value) = dice.pick(&[
        ("\"x\"", "\"\\ud83d\""),
        ("\"x\"", "\"\\ud83d\\ude00\""),
        ("\"\\ud83d\"", "1"),
        ("\"\"", "0"),
        ("\"x\"", "1e999999"),
        ("\"x\"", "-0.0e-0"),
        ("\"x\"", "01"),
        ("\"x\"", "1.e1"),
        ("\"x\"", "-"),
        ("\"x\"", "tru"),
        ("\"x\"", "nulll"),
        ("\"x\"", "True"),
        ("\"x\"", "[1,]"),
        ("\"x\"", "[,1]"),
        ("\"x\"", "[1 2]"),
        ("\"x\"", "{\"a\" 1}"),
        ("\"x\"", "{\"a\":1,}"),
        ("\"x\"", "{1:1}"),
        ("\"x\"", ""),
        ("x", "1"),
        ("'x'", "1"),
        ("\"x\"", "/* c */ 1"),
        ("\"x\"", "\"\u{2028}\""),
        ("\"a\\/b\"", "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\""),
        ("\"x\"", "\"\\u0000\""),
        ("\"x\"", "\"\\U0041\""),
    ]);
    draft.payload.repeat(name.to_owned(), value);
}
