//! A pool of key pairs, made once, and the JWKs that publish them well and badly.

use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::TestKey;

use super::dice::Dice;
use super::members::{Members, odd_value, quoted, quoted_oddly};

/// Key ids: few, so that issuers and keys share them.
pub(crate) const KIDS: [&str; 9] =
    ["k1", "k1", "k2", "k2", "K1", "k1 ", "", "../k1", "ключ\"\\\u{1f511}"];

/// Every key that signs. RSA and P-521 are slow to verify, so they are chosen rarely.
pub(crate) struct Pool {
    keys: Vec<TestKey>,
    /// Places in `keys`, as often as they are to be chosen.
    weighted: Vec<usize>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let mut pool = Self { keys: Vec::new(), weighted: Vec::new() };
        for (algorithm, keys, weight) in [
            (Algorithm::Es256, 4, 30),
            (Algorithm::EdDsa, 4, 30),
            (Algorithm::Es384, 2, 1),
            (Algorithm::Es512, 1, 1),
            (Algorithm::Rs256, 2, 4),
            (Algorithm::Rs384, 1, 2),
            (Algorithm::Rs512, 1, 2),
            (Algorithm::Ps256, 1, 6),
            (Algorithm::Ps384, 1, 2),
            (Algorithm::Ps512, 1, 2),
        ] {
            for _ in 0..keys {
                pool.weighted.extend(std::iter::repeat_n(pool.keys.len(), weight));
                pool.keys.push(TestKey::generate(algorithm, ""));
            }
        }
        pool
    }

    pub(crate) fn choose(&self, dice: &mut Dice) -> usize {
        dice.pick(&self.weighted)
    }

    pub(crate) fn key(&self, place: usize) -> &TestKey {
        &self.keys[place]
    }

    pub(crate) fn algorithm(&self, place: usize) -> Algorithm {
        self.keys[place].algorithm()
    }

    pub(crate) fn material(&self, place: usize) -> Members {
        material(&self.keys[place])
    }
}

/// The members that are the key itself, without `kid`, `use` and `alg`.
pub(crate) fn material(key: &TestKey) -> Members {
    let mut members = Members::new();
    let jwk = key.public_jwk();
    for (name, value) in jwk.as_object().unwrap() {
        if !["kid", "use", "alg"].contains(&name.as_str()) {
            members.set(name, value.to_string());
        }
    }
    members
}

/// Adds what a JWK may have without becoming unusable.
pub(crate) fn embellish(jwk: &mut Members, dice: &mut Dice) {
    if dice.percent(50) {
        jwk.set("use", "\"sig\"");
    }
    if dice.percent(15) {
        jwk.set(
            "key_ops",
            dice.pick(&["[\"verify\"]", "[\"sign\",\"verify\"]", "[\"verify\",\"x\"]"]),
        );
    }
    if dice.percent(20) {
        let (name, value) = dice.pick(&[
            ("x5t", "\"dGhlIHRodW1icHJpbnQ\""),
            ("x5c", "[\"TUlJQg==\"]"),
            ("ext", "true"),
            ("issuer", "{\"a\":[{\"b\":null}]}"),
            // the set is one level, its array and the key the next two, and sixteen are allowed
            ("deep", "[[[[[[[[[[[[[]]]]]]]]]]]]]"),
            ("exp", "1700000000"),
            ("Kid", "\"k1\""),
            ("D", "\"AA\""),
        ]);
        jwk.set(name, value);
    }
    if dice.percent(10) {
        // the same member, spelled otherwise
        let at = dice.below(jwk.0.len());
        let (name, value) = &mut jwk.0[at];
        match dice.percent(50) {
            true => *name = quoted_oddly(name.clone().trim_matches('"'), dice),
            false => {
                if let Ok(text) = serde_json::from_str::<String>(value) {
                    *value = quoted_oddly(&text, dice);
                }
            }
        }
    }
    if dice.percent(30) {
        dice.shuffle(&mut jwk.0);
    }
}

/// Changes one thing that makes most keys unusable, or usable with something else.
pub(crate) fn blemish(jwk: &mut Members, dice: &mut Dice) {
    match dice.below(20) {
        0 => jwk.set("kid", dice.pick(&["7", "null", "[]", "{}", "true", "[\"k1\"]"])),
        1 => jwk.set(
            "use",
            dice.pick(&["\"enc\"", "\"\"", "\"SIG\"", "null", "1", "[\"sig\"]", "\"sig \""]),
        ),
        2 => jwk.set(
            "key_ops",
            dice.pick(&[
                "[\"sign\"]",
                "[]",
                "[\"verify\",\"verify\"]",
                "\"verify\"",
                "[1,\"verify\"]",
                "[\"verify\",\"x\",\"x\"]",
                "[\"Verify\"]",
                "null",
                "{}",
                "[\"verify\",null]",
                "[\"verify\",\"sign\",\"encrypt\"]",
                // sixteen, and one more
                "[\"verify\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\"]",
                "[\"verify\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\"]",
            ]),
        ),
        3 => {
            let other = dice.pick(Algorithm::ALL).as_str();
            jwk.set("alg", quoted(other));
        }
        4 => jwk.set(
            "alg",
            dice.pick(&[
                "null",
                "1",
                "\"\"",
                "\"none\"",
                "\"HS256\"",
                "\"es256\"",
                "\"ES256K\"",
                "\"eddsa\"",
                "\"RSA-OAEP\"",
                "\"Ed448\"",
                "[\"ES256\"]",
                "{\"ES256\":null}",
            ]),
        ),
        5 => {
            let name = dice.pick(&["d", "p", "q", "dp", "dq", "qi", "oth", "k"]);
            jwk.set(name, dice.pick(&["\"AA\"", "null", "\"\"", "1", "[]"]));
        }
        6 => {
            let values = [
                "\"rsa\"", "\"ec\"", "\"EC\"", "\"RSA\"", "\"OKP\"", "\"AKP\"", "\"oct\"", "\"\"",
                "null", "1", "[\"EC\"]", "\"EC \"",
            ];
            jwk.set("kty", dice.pick(&values));
        }
        7 => {
            let values = [
                "\"P-256\"",
                "\"P-384\"",
                "\"P-521\"",
                "\"Ed25519\"",
                "\"X25519\"",
                "\"Ed448\"",
                "\"secp256k1\"",
                "\"p-256\"",
                "\"\"",
                "null",
                "1",
            ];
            jwk.set("crv", dice.pick(&values));
        }
        8 => {
            // an enumeration may be spelled as an object by some readers
            let name = dice.pick(&["kty", "crv", "use", "alg"]);
            if let Some(value) = jwk.value(name).map(str::to_owned) {
                jwk.set(name, format!("{{{value}:null}}"));
            }
        }
        9 => {
            let name = dice.pick(&["kty", "crv", "x", "y", "n", "e"]);
            jwk.remove(name);
        }
        10 => {
            let at = dice.below(jwk.0.len());
            let (name, value) = jwk.0[at].clone();
            let plain = name.trim_matches('"').to_owned();
            let name = if dice.percent(50) { quoted_oddly(&plain, dice) } else { name };
            jwk.repeat(name, value);
        }
        11 => jwk.set("x", odd_value(dice)),
        // members that have no meaning here
        12 => {
            let name = dice.pick(&["x5c", "x5t", "x5u", "x5t#S256", "ext", "nbf"]);
            jwk.set(name, odd_value(dice));
        }
        _ => blemish_material(jwk, dice),
    }
}

/// Changes the octets of a coordinate, a modulus or an exponent, or how they are spelled.
fn blemish_material(jwk: &mut Members, dice: &mut Dice) {
    let names: Vec<&str> =
        ["x", "y", "n", "e"].into_iter().filter(|name| jwk.value(name).is_some()).collect();
    if names.is_empty() {
        return;
    }
    let name = dice.pick(&names);
    let is_okp = jwk.value("kty") == Some("\"OKP\"");
    let text = jwk.value(name).unwrap().trim_matches('"').to_owned();
    let Ok(mut octets) = base64url::decode(&text) else {
        return;
    };
    if name == "e" {
        // 3, 65535, 65538, 65539, 1, 0, nothing, 2^32 + 1, 2^33 - 1, 2^33 + 1, 2^64 + 1, 0 and 65537
        let exponents = [
            "Aw",
            "__8",
            "AQAC",
            "AQAD",
            "AQ",
            "AA",
            "",
            "AQAAAAE",
            "Af____8",
            "AgAAAAE",
            "AQAAAAAAAAAB",
            "AAEAAQ",
        ];
        jwk.set("e", quoted(dice.pick(&exponents)));
        return;
    }
    if name == "n" && dice.percent(40) {
        // an odd number of exactly so many bits
        let bits: usize = dice.pick(&[512, 1024, 2040, 2047, 2048, 2049, 2056, 3072, 8192, 8193]);
        octets = dice.octets(bits.div_ceil(8));
        let unused = octets.len() * 8 - bits;
        octets[0] = (octets[0] | 0x80) >> unused;
        *octets.last_mut().unwrap() |= 1;
        jwk.set("n", quoted(&base64url::encode(octets)));
        return;
    }
    let spelled = match dice.below(9) {
        0 => format!("{text}="),
        // an octet more, which is odd: an even modulus is no RSA modulus
        1 => format!("{text}E"),
        2 => {
            let mut text = text;
            let last = text.pop().unwrap();
            // the unused bits of the last character
            text.push(if last == 'A' { 'B' } else { char::from(u8::try_from(last).unwrap() ^ 1) });
            if is_okp && base64url::decode(&text).is_ok() {
                return;
            }
            text
        }
        3 => text.replacen(['-', '_'], "+", 1),
        4 => {
            octets.remove(0);
            base64url::encode(octets)
        }
        5 => {
            octets.insert(0, 0);
            base64url::encode(octets)
        }
        6 => {
            octets.push(1);
            base64url::encode(octets)
        }
        7 => String::new(),
        _ if is_okp => format!(" {text}"),
        _ => {
            // never the last bit, for the same reason
            let at = dice.below(octets.len());
            octets[at] ^= 2 << dice.below(7);
            base64url::encode(octets)
        }
    };
    // one that loses its only octet or all of its bits is the business of other cases
    jwk.set(name, quoted(&spelled));
}
