//! Edits of what an issuer answers about a token.

use super::asked::INACTIVE;
use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::members::{odd_value, quoted, quoted_oddly};
use super::request::{Draft, Surroundings};
use super::times;
use crate::naive::NaiveReply;

const A: Stage = Stage::Answer;
const R: Stage = Stage::Reply;
const M: Stage = Stage::Members;
const NANOS_PER_SECOND: u128 = 1_000_000_000;
const LONGEST: usize = 65_536;
const MEMBERS: [&str; 13] = [
    "active",
    "token_type",
    "iss",
    "sub",
    "aud",
    "client_id",
    "jti",
    "iat",
    "exp",
    "nbf",
    "scope",
    "cnf",
    "act",
];

pub(crate) const EDITS: &[Edit] = &[
    edit(6, A, "active otherwise", |draft, _, dice| {
        let values = ["false", "\"true\"", "1", "null", "[true]", "{}", "\"\"", "0", "true"];
        draft.answer.set("active", dice.pick(&values));
    }),
    edit(3, A, "no active", |draft, _, dice| match dice.percent(50) {
        true => draft.answer.remove("active"),
        false => {
            draft.answer.remove("active");
            draft.answer.set(dice.pick(&["Active", "active ", "actıve"]), "true");
        }
    }),
    edit(8, A, "a token type otherwise", |draft, _, dice| {
        let value = match dice.below(4) {
            0 => odd_value(dice).to_owned(),
            1 => quoted_oddly(dice.pick(&["Bearer", "DPoP"]), dice),
            _ => quoted(dice.pick(&[
                "Bearer",
                "DPoP",
                "dPoP",
                "refresh_token",
                "access_token",
                "mac",
                "N_A",
                " Bearer",
                "Bearer ",
                "Basic",
            ])),
        };
        draft.answer.set("token_type", value);
    }),
    edit(10, A, "an answer lacks something", |draft, _, dice| {
        draft.answer.remove(dice.pick(&MEMBERS));
    }),
    edit(10, A, "an answer with another type", |draft, _, dice| {
        draft.answer.set(dice.pick(&MEMBERS), odd_value(dice));
    }),
    edit(5, A, "an answer with something twice", |draft, _, dice| {
        let at = dice.below(draft.answer.0.len().max(1));
        let Some((name, value)) = draft.answer.0.get(at).cloned() else { return };
        let value = if dice.percent(50) { value } else { odd_value(dice).to_owned() };
        match dice.percent(50) {
            true => draft.answer.repeat(name, value),
            false => draft.answer.0.insert(0, (name, value)),
        }
    }),
    edit(5, A, "an answer of another issuer", |draft, around, dice| {
        let issuers = &around.scene.world.issuers;
        let own = &issuers[around.signer.issuer].id;
        let value = match dice.below(5) {
            0 => issuers[dice.below(issuers.len())].id.clone(),
            1 => format!("{own}/"),
            2 => own.to_ascii_uppercase(),
            3 => String::new(),
            _ => "https://evil.example".to_owned(),
        };
        draft.answer.set("iss", quoted(&value));
    }),
    edit(6, A, "an answer that is over", |draft, around, dice| {
        let world = &around.scene.world;
        let leeway = u128::from(world.leeway_secs) * NANOS_PER_SECOND;
        let at = match dice.below(6) {
            0 => world.now_nanos,
            1 => world.now_nanos.saturating_sub(1),
            2 => world.now_nanos.saturating_sub(leeway),
            3 => world.now_nanos.saturating_sub(leeway) + 1,
            4 => world.now_nanos + 1,
            _ => world.now_nanos + 9 * NANOS_PER_SECOND,
        };
        draft.answer.set("exp", times::spelled(at, dice));
        draft.answer.set("iat", times::spelled(at.saturating_sub(NANOS_PER_SECOND), dice));
    }),
    edit(3, A, "an answer with an odd date", |draft, _, dice| {
        draft.answer.set(dice.pick(&["exp", "iat", "nbf"]), times::odd(dice));
    }),
    edit(10, A, "a confirmation otherwise", confirmation),
    edit(5, A, "an answer for others", |draft, _, dice| {
        let values = ["\"x\"", "[]", "[\"x\",\"y\"]", "null", "\"\""];
        draft.answer.set("aud", dice.pick(&values));
    }),
    edit(4, A, "a mark of another kind of token", |draft, _, dice| {
        let (name, value) = dice.pick(&[
            ("typ", "\"Refresh\""),
            ("typ", "\"Offline\""),
            ("typ", "\"Bearer\""),
            ("token_use", "\"refresh\""),
            ("token_use", "\"access\""),
            ("nonce", "\"n\""),
            ("at_hash", "null"),
            ("events", "{}"),
            ("token_introspection", "{}"),
            ("vct", "\"x\""),
            ("refresh_token", "\"x\""),
        ]);
        draft.answer.set(name, value);
    }),
    // where the token says something itself
    edit(4, M, "a confirmation of the token otherwise", |draft, around, dice| {
        let Some(cnf) = other_confirmation(around, dice) else {
            return draft.payload.remove("cnf");
        };
        draft.payload.set("cnf", cnf);
    }),
    edit(3, M, "a token that says itself that it is over", |draft, around, dice| {
        let world = &around.scene.world;
        let leeway = u128::from(world.leeway_secs) * NANOS_PER_SECOND;
        let at = world.now_nanos.saturating_sub(leeway) + dice.pick(&[0, 1, NANOS_PER_SECOND]);
        draft.payload.set("exp", times::spelled(at, dice));
    }),
    edit(6, R, "another status", |draft, _, dice| {
        if let Some(reply) = &mut draft.reply {
            reply.status =
                dice.pick(&[201, 202, 204, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503]);
        }
    }),
    edit(6, R, "another content type", |draft, _, dice| {
        let types = [
            None,
            Some(""),
            Some("text/html"),
            Some("text/json"),
            Some("application/token-introspection+jwt"),
            Some("application/jsonx"),
            Some("application/json; charset=utf-8"),
            Some(" application/json ;x"),
            Some("APPLICATION/JSON"),
            Some("text/html, application/json"),
        ];
        if let Some(reply) = &mut draft.reply {
            reply.content_type = dice.pick(&types).map(str::to_owned);
        }
    }),
    edit(8, R, "an answer that is no JSON object", |draft, _, dice| {
        let Some(reply) = &mut draft.reply else { return };
        body(reply, dice);
    }),
    edit(3, R, "no answer", |draft, _, _| draft.reply = None),
    edit(3, R, "an answer about nothing", |draft, _, _| {
        if let Some(reply) = &mut draft.reply {
            reply.body = INACTIVE.to_vec();
        }
    }),
];

fn body(reply: &mut NaiveReply, dice: &mut Dice) {
    let body = &mut reply.body;
    match dice.below(9) {
        0 => {
            let bodies: &[&[u8]] = &[
                b"",
                b"[]",
                b"null",
                b"true",
                b"\"active\"",
                b"active=true",
                b"{}",
                b"<html>",
                b"{",
                b"\xff",
                b"eyJhbGciOiJub25lIn0.e30.",
            ];
            *body = dice.pick(bodies).to_vec();
        }
        1 => body.extend(dice.pick(&[&b"x"[..], b"{}", b"\0", b","])),
        2 => body.extend(dice.pick(&[&b" \n"[..], b"\r\n\r\n", b"\t"])),
        3 => body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        4 => body.truncate(dice.below(body.len().max(1))),
        5 => {
            // as long as it may be, and longer
            let wanted: usize = LONGEST + dice.below(3);
            let missing = (wanted - 1).saturating_sub(body.len());
            body.extend(std::iter::repeat_n(b' ', missing));
        }
        6 => *body = [b"[", &body[..], b"]"].concat(),
        7 => *body = [b"{\"active\":true,", &body[1.min(body.len())..]].concat(),
        _ if body.is_empty() => {}
        _ => {
            let at = dice.below(body.len());
            body[at] = dice.pick(b"{}[]\":,\\0e-.+ tn\x00\xff");
        }
    }
}

fn confirmation(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    match other_confirmation(around, dice) {
        Some(cnf) => draft.answer.set("cnf", cnf),
        None => draft.answer.remove("cnf"),
    }
}

fn other_confirmation(around: &Surroundings<'_>, dice: &mut Dice) -> Option<String> {
    let key = around.clients.thumbprint(around.clients.any(dice));
    Some(match dice.below(9) {
        0 => return None,
        1 => odd_value(dice).to_owned(),
        2 | 3 => format!("{{\"jkt\":{}}}", quoted(key)),
        4 => format!("{{\"x5t#S256\":{}}}", quoted(key)),
        5 => format!("{{\"jkt\":{0},\"x5t#S256\":{0}}}", quoted(key)),
        6 => format!("{{\"jkt\":{}}}", quoted(&format!("{key}="))),
        7 => "{\"kid\":\"k1\"}".to_owned(),
        _ => format!("{{\"jkt\":{},\"x5t#S256\":null}}", quoted(key)),
    })
}
