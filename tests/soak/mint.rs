//! Makes tokens, and tells the record what they are.

use std::sync::atomic::Ordering;

use portcullis::time::{Clock as _, Timestamp};

use crate::dice::Dice;
use crate::record::{About, Bound, Flaw, LIFE, Token, Who};
use crate::support::RESOURCE;
use crate::world::{STATUSES, World};

/// Of how many subjects, sessions and clients tokens speak. A cut-off meets many tokens, and not all.
pub(crate) const SUBJECTS: usize = 24;
pub(crate) const SESSIONS: usize = 48;
pub(crate) const CLIENTS: usize = 12;
/// Of so many tokens that were made lately one may be revoked.
const LATELY: usize = 256;
/// Opaque tokens that nobody made.
const INVENTED: usize = 1_000;

/// A token of anybody, with this flaw.
pub(crate) fn mint(world: &World, dice: &mut Dice, flaw: Flaw) -> Token {
    let who = match flaw {
        Flaw::Unknown => Who::Asked,
        Flaw::None => dice.pick(&Who::ALL),
        _ => dice.pick(&Who::ALL[..6]),
    };
    mint_of(world, dice, who, flaw)
}

/// A token of this issuer, with this flaw.
pub(crate) fn mint_of(world: &World, dice: &mut Dice, who: Who, flaw: Flaw) -> Token {
    let number = world.made.fetch_add(1, Ordering::Relaxed);
    let issuer = world.issuer(who);
    // The key may change meanwhile: this one signs.
    let key = issuer.key();
    let jti = format!("jti-{number}");
    let [subject, session, client] = [SUBJECTS, SESSIONS, CLIENTS].map(|many| dice.below(many));
    // Issuers write whole seconds.
    let issued_at = Timestamp::from_secs(world.clock.now().as_secs());
    let expires_at = issued_at.plus(LIFE);
    let bound = match dice.below(4) {
        0 if who != Who::Asked => Bound::Key,
        1 if who != Who::Asked => Bound::Certificate,
        _ => Bound::No,
    };
    let may_write = dice.percent(70);
    let index = (who == Who::Listed).then(|| dice.below(STATUSES));
    let mut claims = issuer
        .token(RESOURCE)
        .header("alg", key.algorithm().as_str())
        .header("kid", key.kid())
        .claim("jti", &jti)
        .subject(&format!("subject-{subject}"))
        .claim("sid", format!("session-{session}"))
        .client_id(&format!("client-{client}"))
        .scope(if may_write { "read write" } else { "read" })
        .issued_at(issued_at)
        .expires_at(expires_at);
    claims = match bound {
        Bound::No => claims,
        Bound::Key => claims.claim("cnf", world.owners[0].confirmation()),
        Bound::Certificate => claims.claim("cnf", world.certificate.confirmation()),
    };
    if let Some(index) = index {
        let index = u64::try_from(index).unwrap();
        claims = claims.claim("status", world.list.reference(index));
    }
    let mut kid = key.kid().to_owned();
    claims = match flaw {
        Flaw::Issuer => claims.claim("iss", "https://nobody.example"),
        Flaw::Audience => claims.claim("aud", "https://elsewhere.example"),
        Flaw::Kid => {
            kid = format!("junk-{number}");
            claims.header("kid", &kid)
        }
        _ => claims,
    };
    let text = match flaw {
        // Anybody can invent tokens: some of them come again.
        Flaw::Unknown => format!("unknown-{}", dice.below(INVENTED)),
        _ if who == Who::Asked => world.opaque(number),
        Flaw::Malformed => format!("{}.x", claims.signing_input()),
        Flaw::Signature => {
            let signed = claims.sign_with(&key);
            let (rest, signature) = signed.rsplit_once('.').unwrap();
            // The first character of a signature says six whole bits of it.
            let other = if signature.starts_with('A') { 'B' } else { 'A' };
            format!("{rest}.{other}{}", &signature[1..])
        }
        _ => claims.sign_with(&key),
    };
    if who == Who::Asked && flaw == Flaw::None {
        world.wire.activate(&text, &claims.payload());
    }
    if flaw == Flaw::None {
        let mut lately = world.lately.lock().unwrap();
        lately.push_back((who, jti.clone(), text.clone()));
        if lately.len() > LATELY {
            lately.pop_front();
        }
    }
    let about = [About::Subject(subject), About::Session(session), About::Client(client)];
    Token { text, who, flaw, bound, kid, jti, about, may_write, issued_at, expires_at, index }
}
