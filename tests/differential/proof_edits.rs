//! Edits of proofs: members, signature, text, field lines.

use portcullis::jose::{Algorithm, base64url};

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::keys;
use super::members::{Members, odd_value, quoted, quoted_oddly};
use super::request::{Draft, Surroundings};
use super::senders::{self, ProofDraft, spelled_otherwise, spelled_text};
use super::times;

const P: Stage = Stage::Proof;
const S: Stage = Stage::ProofSignature;
const T: Stage = Stage::ProofText;
const F: Stage = Stage::Fields;
const CLAIMS: [&str; 5] = ["jti", "htm", "htu", "iat", "ath"];
const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Points of small order in any spelling; one that is no point; the generator.
const ODD_POINTS: [&str; 10] = [
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
    "7P_______________________________________38",
    "7f_______________________________________38",
    "7v________________________________________8",
    "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
    "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
    "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY",
];

pub(crate) const EDITS: &[Edit] = &[
    edit(5, P, "a proof of another type", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let types = [
                "JWT",
                "at+jwt",
                "",
                "dpop",
                "dpop+jwt ",
                "application/",
                "text/dpop+jwt",
                "application/application/dpop+jwt",
                "DPOP+JWT",
                "Application/dpop+JWT",
            ];
            match dice.below(5) {
                0 => proof.header.remove("typ"),
                1 => proof.header.set("typ", odd_value(dice)),
                _ => proof.header.set("typ", quoted(dice.pick(&types))),
            }
        });
    }),
    edit(5, P, "a proof with another alg", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let others = ["none", "HS256", "es256", "ES256K", "", "RS256", "ES512", "EDDSA"];
            match dice.below(6) {
                0 => proof.header.remove("alg"),
                1 => proof.header.set("alg", odd_value(dice)),
                2 | 3 => proof.header.set("alg", quoted(dice.pick(&others))),
                _ => proof.header.set("alg", quoted(dice.pick(Algorithm::ALL).as_str())),
            }
        });
    }),
    edit(3, P, "another member in the header of a proof", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let (name, value) = dice.pick(&[
                ("crit", "[\"exp\"]"),
                ("b64", "true"),
                ("zip", "\"DEF\""),
                ("enc", "null"),
                ("cty", "\"JWT\""),
                ("kid", "5"),
                ("kid", "\"\""),
                ("jku", "\"https://evil.example\""),
                ("x5u", "5"),
            ]);
            proof.header.set(name, value);
        });
    }),
    edit(9, P, "another key in a proof", key),
    edit(5, P, "a blemished key in a proof", blemished_key),
    edit(4, P, "signed by another client", |draft, around, dice| {
        let key = around.clients.any(dice);
        on(draft, around, dice, |proof, _, _| proof.key = key);
    }),
    edit(5, P, "a claim of the proof is missing", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| proof.payload.remove(dice.pick(&CLAIMS)));
    }),
    edit(5, P, "a claim of the proof of another type", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let names = [&CLAIMS[..], &["nonce", "exp", "nbf"]].concat();
            proof.payload.set(dice.pick(&names), odd_value(dice));
        });
    }),
    edit(3, P, "a claim of the proof spelled otherwise", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let name = dice.pick(&["jti", "htm", "htu", "ath", "nonce"]);
            let value = proof.payload.value(name).and_then(|json| spelled_text(json, dice));
            if let Some(value) = value {
                proof.payload.set(name, value);
            }
        });
    }),
    edit(4, P, "a repeated member in a proof", repeated),
    edit(6, P, "another htm", |draft, around, dice| {
        on(draft, around, dice, |proof, draft, dice| {
            let method = &draft.method;
            let htm = match dice.below(6) {
                0 => method.to_ascii_lowercase(),
                1 => method.to_ascii_uppercase(),
                2 => format!("{method} "),
                3 => format!("{method}\0"),
                _ => dice.pick(&["GET", "POST", "PUT", "*", "Get"]).to_owned(),
            };
            proof.payload.set("htm", quoted(&htm));
        });
    }),
    edit(12, P, "another htu", |draft, around, dice| {
        let htu = another_htu(&draft.uri, dice);
        on(draft, around, dice, |proof, _, _| proof.payload.set("htu", quoted(&htu)));
    }),
    edit(6, P, "an htu in other letters", |draft, around, dice| {
        let htu = spelled_otherwise(&draft.uri, dice);
        on(draft, around, dice, |proof, _, _| proof.payload.set("htu", quoted(&htu)));
    }),
    edit(12, P, "the time of a proof at its border", time),
    edit(3, P, "an odd date in a proof", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            proof.payload.set(dice.pick(&["iat", "exp", "nbf"]), times::odd(dice));
        });
    }),
    edit(5, P, "another ath", |draft, around, dice| {
        let ath = another_ath(&draft.token, dice);
        on(draft, around, dice, |proof, _, _| proof.payload.set("ath", ath));
    }),
    edit(14, P, "another nonce", nonce),
    edit(2, P, "a deep or a long member in a proof", |draft, around, dice| {
        on(draft, around, dice, |proof, _, dice| {
            let levels = dice.pick(&[14, 15, 16, 17, 400]);
            let value = match dice.percent(70) {
                true => format!("{}{}", "[".repeat(levels), "]".repeat(levels)),
                false => quoted(&"x".repeat(dice.pick(&[1_000, 7_000]))),
            };
            let members = if dice.percent(50) { &mut proof.header } else { &mut proof.payload };
            members.set("more", value);
        });
    }),
    edit(5, S, "another signature of a proof", signature),
    edit(6, T, "another text of a proof", text),
    edit(12, F, "other fields with proofs", fields),
];

/// Edits the proof, if there is one.
fn on(
    draft: &mut Draft,
    _: &Surroundings<'_>,
    dice: &mut Dice,
    apply: impl FnOnce(&mut ProofDraft, &Draft, &mut Dice),
) {
    if let Some(mut proof) = draft.proof.take() {
        apply(&mut proof, draft, dice);
        draft.proof = Some(proof);
    }
}

fn key(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let other = around.clients.any(dice);
    on(draft, around, dice, |proof, _, dice| {
        let other_key = around.clients.key(other);
        let own = keys::material(around.clients.key(proof.key));
        match dice.below(9) {
            0 => proof.header.remove("jwk"),
            1 => proof.header.set("jwk", odd_value(dice)),
            2 => proof.header.set("jwk", format!("[{}]", own.to_json())),
            // a proof of somebody else, good by itself
            3 | 4 => {
                proof.key = other;
                proof.header.set("jwk", keys::material(other_key).to_json());
                proof.header.set("alg", quoted(other_key.algorithm().as_str()));
            }
            5 => proof.header.set("jwk", keys::material(other_key).to_json()),
            6 => {
                let mut jwk = own;
                let name = dice.pick(&["d", "p", "q", "dp", "dq", "qi", "oth", "k"]);
                jwk.set(name, dice.pick(&["\"AA\"", "null", "\"\"", "5"]));
                proof.header.set("jwk", jwk.to_json());
            }
            7 => {
                let mut jwk = Members::new();
                jwk.set("kty", "\"OKP\"");
                jwk.set("crv", "\"Ed25519\"");
                jwk.set("x", quoted(dice.pick(&ODD_POINTS)));
                proof.header.set("jwk", jwk.to_json());
                proof.header.set("alg", dice.pick(&["\"EdDSA\"", "\"Ed25519\""]));
            }
            _ => {
                // an RSA key of so many bits, which nobody has
                let bits: usize = dice.pick(&[1_024, 2_047, 2_048, 4_096, 4_097, 8_192]);
                let mut n = dice.octets(bits.div_ceil(8));
                let unused = n.len() * 8 - bits;
                n[0] = (n[0] | 0x80) >> unused;
                *n.last_mut().unwrap() |= 1;
                let mut jwk = Members::new();
                jwk.set("kty", "\"RSA\"");
                jwk.set("n", quoted(&base64url::encode(n)));
                jwk.set("e", "\"AQAB\"");
                proof.header.set("jwk", jwk.to_json());
                proof.header.set("alg", dice.pick(&["\"RS256\"", "\"PS256\""]));
            }
        }
    });
}

fn blemished_key(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    on(draft, around, dice, |proof, _, dice| {
        let mut jwk = keys::material(around.clients.key(proof.key));
        if dice.percent(50) {
            keys::embellish(&mut jwk, dice);
        }
        keys::blemish(&mut jwk, dice);
        proof.header.set("jwk", jwk.to_json());
    });
}

fn repeated(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    on(draft, around, dice, |proof, _, dice| {
        let members = if dice.percent(40) { &mut proof.header } else { &mut proof.payload };
        let at = dice.below(members.0.len().max(1));
        let Some((name, value)) = members.0.get(at).cloned() else {
            return;
        };
        let name = match serde_json::from_str::<String>(&name) {
            Ok(plain) if dice.percent(50) => quoted_oddly(&plain, dice),
            _ => name,
        };
        let value = if dice.percent(50) { value } else { odd_value(dice).to_owned() };
        match dice.percent(50) {
            true => members.repeat(name, value),
            false => members.0.insert(0, (name, value)),
        }
    });
}

fn another_htu(uri: &str, dice: &mut Dice) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("https", uri));
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let host = authority.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
    match dice.below(34) {
        0 => format!("{uri}/"),
        1 => uri.trim_end_matches('/').to_owned(),
        2 => format!("{scheme}://{authority}{}", path.to_ascii_uppercase()),
        3 => format!("{scheme}://{authority}{}", path.replace("%2F", "/")),
        4 => format!("{scheme}://{authority}/{path}"),
        5 => format!("{scheme}://{authority}{path}x"),
        6 => format!("{scheme}://{authority}/../..{path}"),
        7 => format!("{scheme}://{authority}{path}/.."),
        8 => format!("{scheme}://{authority}{path}/."),
        9 => format!("{scheme}://{authority}{path}/x/../"),
        10 => format!("http://{authority}{path}"),
        11 => format!("https://{host}:80{path}"),
        12 => format!("{scheme}://{host}:8443{path}"),
        13 => format!("{scheme}://{host}:0443{path}"),
        14 => format!("{scheme}://{host}:0{path}"),
        15 => format!("{scheme}://{host}:65536{path}"),
        16 => format!("{scheme}://user@{authority}{path}"),
        17 => format!("{scheme}://x.{authority}{path}"),
        18 => format!("{scheme}://{host}.{path}"),
        19 => format!("{scheme}://{host}..{path}"),
        20 => format!("{scheme}://{}{path}", authority.replacen('s', "%73", 1)),
        21 => format!("{scheme}:/{authority}{path}"),
        22 => format!("//{authority}{path}"),
        23 => path.to_owned(),
        24 => format!(" {uri}"),
        25 => format!("{uri} "),
        26 => format!("{uri}?a b"),
        27 => format!("{uri}#a#b"),
        28 => format!("{uri}\\x"),
        29 => format!("{uri}/é"),
        30 => format!("{uri}%zz"),
        31 => format!("{uri}?%4"),
        32 => format!("{uri}?{}", "x".repeat(dice.pick(&[5_000, 7_000]))),
        _ => dice
            .pick(&[
                "https://[::1]/notes",
                "https://[::1",
                "https://[fe80::1%25x]/",
                "https:///notes",
                "https://rs.example",
                "https://RS.example:443/notes",
                "https://other.example/notes",
                "ftp://rs.example/notes",
                "https://rs.example\n/notes",
                "https://rs.example/notes\u{0}",
            ])
            .to_owned(),
    }
}

/// `iat`, `exp` or `nbf` where a nanosecond decides.
fn time(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let world = &around.scene.world;
    let now = world.now_nanos;
    let leeway = u128::from(world.leeway_secs.min(60)) * NANOS_PER_SECOND;
    let max_age = world.dpop.as_ref().map_or(60, |dpop| dpop.max_age_secs);
    let oldest = now.saturating_sub(u128::from(max_age) * NANOS_PER_SECOND);
    let (name, border) = dice.pick(&[
        ("iat", oldest),
        ("iat", oldest),
        ("iat", now + leeway),
        ("iat", now + leeway),
        // the leeway of tokens may be longer
        ("iat", now + u128::from(world.leeway_secs) * NANOS_PER_SECOND),
        ("exp", now.saturating_sub(leeway)),
        ("nbf", now + leeway),
    ]);
    let at = match dice.below(7) {
        0 | 1 => border.saturating_sub(1),
        2 | 3 => border,
        4 | 5 => border + 1,
        _ => border.saturating_sub(NANOS_PER_SECOND),
    };
    let spelled = times::spelled(at, dice);
    on(draft, around, dice, |proof, _, _| proof.payload.set(name, spelled));
}

fn another_ath(token: &str, dice: &mut Dice) -> String {
    let own = senders::ath(token);
    let octets = base64url::decode(&own).unwrap_or_default();
    match dice.below(7) {
        0 => quoted(&senders::ath("another token")),
        1 => quoted(&format!("{own}=")),
        2 => quoted(&octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>()),
        3 => quoted(&own.to_ascii_lowercase()),
        4 => quoted(&base64url::encode(&octets[..16])),
        5 => {
            let mut own = own;
            let last = own.pop().unwrap_or('A');
            own.push(if last == 'Z' { 'a' } else { char::from(last as u8 + 1) });
            quoted(&own)
        }
        _ => quoted_oddly(&own, dice),
    }
}

fn nonce(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let known: Vec<&String> = around.scene.nonces.keys().collect();
    let one = (!known.is_empty()).then(|| dice.pick(&known).clone());
    let foreign = around.scene.foreign_nonce.clone();
    on(draft, around, dice, |proof, _, dice| match (dice.below(9), one) {
        (0 | 1, _) => proof.payload.remove("nonce"),
        (2, _) => proof.payload.set("nonce", odd_value(dice)),
        (3, _) => proof.payload.set("nonce", quoted(&foreign)),
        (4, Some(one)) => {
            let at = dice.below(one.len());
            let with = dice.pick(&["A", "B", "_", "=", ""]);
            let altered = format!("{}{with}{}", &one[..at], &one[at + 1..]);
            proof.payload.set("nonce", quoted(&altered));
        }
        (5, Some(one)) => proof.payload.set("nonce", quoted_oddly(&one, dice)),
        // one of any age
        (_, Some(one)) => proof.payload.set("nonce", quoted(&one)),
        (_, None) => proof.payload.set("nonce", "\"x\""),
    });
}

fn signature(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    on(draft, around, dice, |proof, _, dice| {
        let signature = &mut proof.signature;
        match dice.below(6) {
            0 => drop(signature.pop()),
            1 => signature.push(0),
            2 => signature.fill(dice.pick(&[0, 0xff])),
            3 => signature.clear(),
            _ => {
                let at = dice.below(signature.len().max(1));
                if let Some(octet) = signature.get_mut(at) {
                    *octet ^= 1 << dice.below(8);
                }
            }
        }
    });
}

fn text(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    on(draft, around, dice, |proof, draft, dice| {
        let text = &mut proof.text;
        match dice.below(10) {
            0 => text.push('='),
            1 => text.push('.'),
            2 => text.push_str(".AAAA.AAAA"),
            3 => *text = text.replacen('.', "~.", 1),
            4 => text.truncate(dice.below(text.len().max(1))),
            5 => *text = draft.token.clone(),
            6 => *text = dice.pick(&["", "x", "..", "a.b.c", "{}"]).to_owned(),
            7 => {
                let length = dice.pick(&[8_191, 8_192, 8_193, 9_000]);
                *text = format!("{text}{}", "A".repeat(length - text.len().min(length)));
            }
            8 => *text = text.replacen(['-', '_'], "+", 1),
            _ => {
                let at = dice.below(text.len().max(1));
                if at < text.len() {
                    text.replace_range(at..=at, dice.pick(&["A", "_", ".", "z", ""]));
                }
            }
        }
    });
}

fn fields(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let Some(proof) = draft.fields.first().cloned() else {
        return;
    };
    let with = |before: &[u8], after: &[u8]| vec![[before, &proof, after].concat()];
    draft.fields = match dice.below(14) {
        0..=2 => Vec::new(),
        3 | 4 => vec![proof.clone(), proof],
        5 => vec![proof, b"x".to_vec()],
        6 => vec![Vec::new(), proof],
        7 => with(&[&proof[..], b", "].concat(), b""),
        8 => with(b"", b","),
        9 => with(b"", b" "),
        10 => with(b" ", b""),
        11 => with(b"DPoP ", b""),
        12 => with(b"", b"\xff"),
        _ => vec![dice.pick(&[&b""[..], b",", b" ", b"\"\"", b"a,b"]).to_vec()],
    };
}
