//! Edits of the header's members.

use portcullis::jose::Algorithm;

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::keys::KIDS;
use super::members::{odd_value, quoted, quoted_oddly};
use super::request::{Draft, Surroundings};

const M: Stage = Stage::Members;

pub(crate) const EDITS: &[Edit] = &[
    edit(3, M, "another alg", another_alg),
    edit(3, M, "an alg that is none", no_alg),
    edit(2, M, "alg escaped", |draft, _, dice| escape(draft, "alg", dice)),
    edit(2, M, "alg of another type", |draft, _, dice| draft.header.set("alg", odd_value(dice))),
    edit(4, M, "another typ", another_typ),
    edit(2, M, "typ escaped", |draft, _, dice| escape(draft, "typ", dice)),
    edit(2, M, "typ of another type", |draft, _, dice| draft.header.set("typ", odd_value(dice))),
    edit(4, M, "another kid", another_kid),
    edit(2, M, "no kid", |draft, _, _| draft.header.remove("kid")),
    edit(2, M, "kid escaped", |draft, _, dice| escape(draft, "kid", dice)),
    edit(2, M, "kid of another type", |draft, _, dice| draft.header.set("kid", odd_value(dice))),
    edit(4, M, "a refused header member", refused_member),
    edit(4, M, "an ignored header member", ignored_member),
    edit(2, M, "a repeated header member", repeated_member),
    edit(1, M, "no alg or typ", |draft, _, dice| {
        draft.header.remove(dice.pick(&["alg", "typ"]));
    }),
];

fn escape(draft: &mut Draft, name: &str, dice: &mut Dice) {
    let text = draft.header.value(name).and_then(|json| serde_json::from_str::<String>(json).ok());
    let Some(text) = text else { return };
    if dice.percent(30) {
        draft.header.remove(name);
        draft.header.repeat(quoted_oddly(name, dice), quoted(&text));
    } else {
        draft.header.set(name, quoted_oddly(&text, dice));
    }
}

fn another_alg(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let alg = dice.pick(Algorithm::ALL).as_str();
    draft.header.set("alg", quoted(alg));
}

fn no_alg(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let algs = [
        "none",
        "nOnE",
        "NONE",
        "noNE ",
        "",
        "es256",
        "ES256 ",
        " ES256",
        "Es256",
        "ES256K",
        "ESP256",
        "HS256",
        "HS512",
        "RS1",
        "PBES2-HS256+A128KW",
        "dir",
        "RSA-OAEP",
        "eddsa",
        "EDDSA",
        "ed25519",
        "Ed448",
        "ML-DSA-44",
        "RS256\0",
        "ＥＳ256",
    ];
    let alg = quoted(dice.pick(&algs));
    draft.header.set("alg", alg);
}

fn another_typ(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let types = [
        "AT+JWT",
        "At+Jwt",
        "Application/AT+JWT",
        "APPLICATION/at+jwt",
        "application/at+jwt",
        "JWT",
        "jwt",
        "",
        "at+jwt ",
        " at+jwt",
        "at+jwt;v=1",
        "application/",
        "application/application/at+jwt",
        "text/at+jwt",
        "/at+jwt",
        "applicatioN/jwt",
        "secevent+jwt",
        "dpop+jwt",
        "logout+jwt",
        "statuslist+jwt",
        "token-introspection+jwt",
        "txntoken+jwt",
        "wit+jwt",
        "WPT+JWT",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "client-authentication+jwt",
        "application/id+jwt",
        "kb+jwt",
        "dc+sd-jwt",
        "VC+sd-jwt",
        "vc+jwt",
        "application/vp+jwt",
        "oauth-client-attestation+jwt",
        "oauth-client-attestation-pop+jwt",
        "oauth-id-jag+JWT",
        "application/jwt",
        "at+jw\u{ff54}",
        "apppppppppp/at+jwt",
        "ápplicatio/at+jwt",
        "JOSE",
        "at_jwt",
        "at+jwtx",
    ];
    let typ = quoted(dice.pick(&types));
    draft.header.set("typ", typ);
}

fn another_kid(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let long = "k".repeat(1_000);
    let odd =
        ["../../etc/passwd", "' OR 1=1 --", "k1\0", "k\u{200b}1", "null", long.as_str(), "k3"];
    let kid = match dice.below(3) {
        0 => dice.pick(&odd).to_owned(),
        1 => dice.pick(&KIDS).to_owned(),
        _ => around.scene.signers[dice.below(around.scene.signers.len())]
            .kid
            .clone()
            .unwrap_or_default(),
    };
    draft.header.set("kid", quoted(&kid));
}

fn refused_member(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let (name, values): (&str, &[&str]) = match dice.below(5) {
        0 => (
            "crit",
            &[
                "[\"exp\"]",
                "[]",
                "null",
                "[\"b64\"]",
                "\"exp\"",
                "[\"exp\",\"exp\"]",
                "[\"http://x\"]",
                "{}",
            ],
        ),
        1 => ("b64", &["false", "true", "\"false\"", "null"]),
        2 => ("zip", &["\"DEF\"", "\"\"", "null"]),
        3 => ("enc", &["\"A256GCM\"", "null"]),
        _ => ("cty", &["\"JWT\"", "\"jwt\"", "\"\"", "null", "\"json\""]),
    };
    let value = dice.pick(values);
    match dice.percent(20) {
        true => draft.header.repeat(quoted_oddly(name, dice), value),
        false => draft.header.set(name, value),
    }
}

fn ignored_member(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    // a key that the token brings along is never used
    let own = around.pool.choose(dice);
    let jwk = around.pool.material(own).to_json();
    let (name, value) = match dice.below(10) {
        0 | 1 => {
            draft.key = own;
            ("jwk", jwk)
        }
        2 => ("jku", "\"https://127.0.0.1/jwks\"".to_owned()),
        3 => ("x5c", "[\"MIIB\"]".to_owned()),
        4 => ("x5u", "\"file:///etc/passwd\"".to_owned()),
        5 => ("iss", "\"https://evil.example\"".to_owned()),
        6 => ("ALG", "\"none\"".to_owned()),
        7 => ("Crit", "[\"exp\"]".to_owned()),
        8 => ("x", odd_value(dice).to_owned()),
        _ => ("url", "{\"a\":[{\"b\":[[],{}]}]}".to_owned()),
    };
    draft.header.set(name, value);
}

fn repeated_member(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    if dice.percent(25) {
        let nested = dice.pick(&["{\"a\":1,\"a\":1}", "[{\"a\":{\"b\":0,\"\\u0062\":0}}]"]);
        draft.header.set("jwk", nested);
        return;
    }
    let at = dice.below(draft.header.0.len().max(1));
    let Some((name, value)) = draft.header.0.get(at).cloned() else {
        return;
    };
    let name = match serde_json::from_str::<String>(&name) {
        Ok(plain) if dice.percent(50) => quoted_oddly(&plain, dice),
        _ => name,
    };
    let value = if dice.percent(50) { value } else { odd_value(dice).to_owned() };
    draft.header.repeat(name, value);
}
