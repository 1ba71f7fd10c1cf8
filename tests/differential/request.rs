//! Requests: a good token of a world, and what is done to it on its way to the server.

use portcullis::jose::{Algorithm, base64url};

use super::dice::Dice;
use super::edits::{self, Edit, Stage};
use super::keys::Pool;
use super::members::{Members, quoted};
use super::times::seconds;
use super::world::{Scene, Signer};

/// A request that is being made.
pub(crate) struct Draft {
    pub(crate) header: Members,
    pub(crate) payload: Members,
    pub(crate) header_octets: Vec<u8>,
    pub(crate) payload_octets: Vec<u8>,
    /// The place of the signing key in the pool.
    pub(crate) key: usize,
    pub(crate) signature: Vec<u8>,
    pub(crate) token: String,
    /// The lines of the `Authorization` field.
    pub(crate) lines: Vec<Vec<u8>>,
}

/// What an edit may know.
pub(crate) struct Surroundings<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) scene: &'a Scene,
    pub(crate) signer: &'a Signer,
}

/// A request, and the names of the edits that were applied to it.
pub(crate) fn request(
    pool: &Pool,
    scene: &Scene,
    dice: &mut Dice,
) -> (Vec<Vec<u8>>, Vec<&'static str>) {
    let healthy: Vec<&Signer> = scene.signers.iter().filter(|signer| signer.healthy).collect();
    let signer = match dice.percent(85) {
        true => dice.pick(&healthy),
        false => &scene.signers[dice.below(scene.signers.len())],
    };
    let around = Surroundings { pool, scene, signer };
    let edits: Vec<&Edit> =
        (0..dice.pick(&[0, 0, 1, 1, 1, 1, 1, 2, 2, 3])).map(|_| edits::choose(dice)).collect();
    let mut draft = good(&around, dice);
    let apply = |draft: &mut Draft, stage: Stage, dice: &mut Dice| {
        for edit in edits.iter().filter(|edit| edit.stage == stage) {
            (edit.apply)(draft, &around, dice);
        }
    };

    apply(&mut draft, Stage::Members, dice);
    let spaced = dice.percent(5);
    let text = |members: &Members, dice: &mut Dice| match spaced {
        true => members.to_spaced_json(dice).into_bytes(),
        false => members.to_json().into_bytes(),
    };
    draft.header_octets = text(&draft.header, dice);
    draft.payload_octets = text(&draft.payload, dice);
    apply(&mut draft, Stage::Octets, dice);
    let input = format!(
        "{}.{}",
        base64url::encode(&draft.header_octets),
        base64url::encode(&draft.payload_octets)
    );
    draft.signature = pool.key(draft.key).sign(input.as_bytes());
    apply(&mut draft, Stage::Signature, dice);
    draft.token = format!("{input}.{}", base64url::encode(&draft.signature));
    apply(&mut draft, Stage::Token, dice);
    draft.lines = vec![format!("Bearer {}", draft.token).into_bytes()];
    apply(&mut draft, Stage::Lines, dice);
    (draft.lines, edits.iter().map(|edit| edit.name).collect())
}

/// A token that this signer's issuer would give out for this resource.
fn good(around: &Surroundings<'_>, dice: &mut Dice) -> Draft {
    let world = &around.scene.world;
    let issuer = &world.issuers[around.signer.issuer];
    let mut header = Members::new();
    let alg = match around.pool.algorithm(around.signer.key) {
        Algorithm::EdDsa => {
            let mut names = issuer.algorithms.iter().filter(|name| name.starts_with("Ed"));
            let first = names.next().map_or("EdDSA", String::as_str);
            if dice.percent(50) { names.next().map_or(first, String::as_str) } else { first }
        }
        other => other.as_str(),
    };
    header.set("alg", quoted(alg));
    header.set(
        "typ",
        dice.pick(&["\"at+jwt\"", "\"at+jwt\"", "\"at+JWT\"", "\"application/at+jwt\""]),
    );
    if let Some(kid) = &around.signer.kid {
        header.set("kid", quoted(kid));
    }

    let mut payload = Members::new();
    payload.set("iss", quoted(&issuer.id));
    payload.set("sub", quoted(dice.pick(&["alice", "alice", "42", "bob@example", "\u{1f600}"])));
    payload.set("client_id", "\"client-7\"");
    payload.set("jti", quoted(&format!("{:016x}", dice.roll())));
    match dice.percent(20) {
        true => payload.set("aud", format!("[\"x\",{}]", quoted(&world.resource))),
        false => payload.set("aud", quoted(&world.resource)),
    }
    // Good for now, and no longer than the class allows, where the time of day permits it.
    let now = world.now_nanos;
    let lifetime = u128::from(world.max_lifetime_secs);
    let age =
        u128::try_from(dice.below(1 + usize::try_from(lifetime.min(1_000) - 1).unwrap())).unwrap();
    let iat = (now / 1_000_000_000).saturating_sub(age);
    payload.set("iat", seconds(iat));
    payload.set("exp", seconds(iat + lifetime));
    if dice.percent(20) {
        payload.set("nbf", seconds(iat));
    }
    let scope = world.needed_scopes.join(" ");
    if !scope.is_empty() || dice.percent(20) {
        payload.set("scope", quoted(&format!("{scope}{}", dice.pick(&["", " other", " "]))));
    }
    if dice.percent(15) {
        let (name, value) = dice.pick(&[
            ("act", "{\"sub\":\"gateway\"}"),
            ("authorization_details", "[{\"type\":\"x\",\"actions\":[\"read\"]}]"),
            ("auth_time", "1"),
            ("roles", "[\"admin\"]"),
            ("Exp", "1"),
            ("cnf ", "{}"),
            ("big", "123456789012345678901234567890.5e-300"),
        ]);
        payload.set(name, value);
    }
    if dice.percent(10) {
        dice.shuffle(&mut header.0);
        dice.shuffle(&mut payload.0);
    }
    Draft {
        header,
        payload,
        header_octets: Vec::new(),
        payload_octets: Vec::new(),
        key: around.signer.key,
        signature: Vec::new(),
        token: String::new(),
        lines: Vec::new(),
    }
}
