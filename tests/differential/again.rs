//! Requests that come again, as they were or a little otherwise: replays, and honest retries.

use super::asked;
use super::dice::Dice;
use super::members::quoted;
use super::request::{Made, Surroundings, sign_proof};
use super::senders::{self, CERTIFICATES, spelled_otherwise};

/// One of the requests before, once more.
pub(crate) fn again(before: &[Made], around: &Surroundings<'_>, dice: &mut Dice) -> Made {
    let accepted: Vec<&Made> = before.iter().filter(|made| made.accepted).collect();
    let with_proof: Vec<&Made> = before.iter().filter(|made| made.draft.proof.is_some()).collect();
    let one = if !accepted.is_empty() && dice.percent(60) {
        dice.pick(&accepted)
    } else if with_proof.is_empty() || dice.percent(20) {
        &before[dice.below(before.len())]
    } else {
        dice.pick(&with_proof)
    };
    let mut draft = one.draft.clone();
    let mut traits = vec!["again"];
    let name = match dice.below(17) {
        16 if !draft.token.is_empty() => {
            let place = dice.below(draft.token.len());
            let scheme = draft.scheme;
            let mut token = draft.token.into_bytes();
            token[place] = dice.pick(&[b'A', b'B', b'z', b'_', b'.', b'=', token[place] ^ 1]);
            draft.token = String::from_utf8(token).unwrap();
            draft.lines = vec![format!("{scheme} {}", draft.token).into_bytes()];
            "again with another character in its token"
        }
        0 => {
            draft.method = dice.pick(&["GET", "POST", "HEAD"]).to_owned();
            "again with another method"
        }
        1 => {
            let target = "/other".to_owned();
            draft.target = target;
            "again at another target"
        }
        2 => {
            let certificate = dice.pick(&CERTIFICATES).to_vec();
            draft.certificate = dice.percent(60).then_some(certificate);
            "again with another certificate"
        }
        3 => {
            let scheme = dice.pick(&["Bearer", "DPoP", "dpop"]);
            draft.lines = vec![format!("{scheme} {}", draft.token).into_bytes()];
            "again under another scheme"
        }
        4 => {
            draft.fields.clear();
            "again without a proof"
        }
        5 => {
            let other = &before[dice.below(before.len())];
            draft.fields.clone_from(&other.draft.fields);
            "again with a proof that came before"
        }
        6..=9 if draft.proof.is_some() => {
            traits.push("again with another proof");
            let mut proof = senders::proof(&draft, around, &mut traits, dice);
            let old = draft.proof.take().filter(|_| !around.scene.jumps);
            let jti = old.as_ref().and_then(|proof| proof.payload.value("jti")).map(str::to_owned);
            let name = match (dice.below(4), jti) {
                (0, _) | (_, None) => "again with a new proof",
                (1, Some(jti)) => {
                    proof.payload.set("jti", jti);
                    proof.payload.set("htu", quoted(&spelled_otherwise(&draft.uri, dice)));
                    "again with the name of a proof, and its URI spelled otherwise"
                }
                (2, Some(jti)) => {
                    proof.payload.set("jti", jti);
                    draft.target = "/other".to_owned();
                    draft.original = None;
                    let htu = "https://rs.example/other";
                    proof.payload.set("htu", quoted(htu));
                    "again with the name of a proof, for another URI"
                }
                (_, Some(jti)) => {
                    proof.payload.set("jti", jti);
                    "again with the name of a proof"
                }
            };
            sign_proof(&mut proof, around);
            draft.fields = vec![proof.text.clone().into_bytes()];
            draft.proof = Some(proof);
            name
        }
        _ => {
            traits.push("again as it was");
            "again"
        }
    };
    asked::again(&mut draft, around, dice);
    let request = draft.request(one.request.peer);
    Made { request, draft, edits: vec![name], traits, accepted: false }
}
