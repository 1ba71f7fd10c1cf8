//! What can be wrong with a request, or odd and right.

use super::dice::Dice;
use super::request::{Draft, Surroundings};
use super::world::Scene;
use super::{
    asked_edits, claim_edits, header_edits, octet_edits, policy_edits, proof_edits,
    revocation_edits, sender_edits, wire_edits,
};

/// When an edit is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To the members of header and payload.
    Members,
    /// To the members of what is answered about the token.
    Answer,
    /// To that answer.
    Reply,
    /// To the octets of header and payload, before they are signed.
    Octets,
    /// To the octets of the signature.
    Signature,
    /// To the token.
    Token,
    /// To the members of header and payload of the proof.
    Proof,
    /// To the octets of its signature.
    ProofSignature,
    /// To its text.
    ProofText,
    /// To the lines of its field.
    Fields,
    /// To the lines of the `Authorization` field.
    Lines,
    /// To everything else of the request.
    Head,
}

pub(crate) struct Edit {
    pub(crate) name: &'static str,
    pub(crate) stage: Stage,
    /// How often it is chosen, compared to the others.
    weight: usize,
    pub(crate) apply: fn(&mut Draft, &Surroundings<'_>, &mut Dice),
}

pub(crate) const fn edit(
    weight: usize,
    stage: Stage,
    name: &'static str,
    apply: fn(&mut Draft, &Surroundings<'_>, &mut Dice),
) -> Edit {
    Edit { name, stage, weight, apply }
}

const TABLES: [&[Edit]; 8] = [
    header_edits::EDITS,
    claim_edits::EDITS,
    policy_edits::EDITS,
    revocation_edits::EDITS,
    octet_edits::EDITS,
    sender_edits::EDITS,
    proof_edits::EDITS,
    wire_edits::EDITS,
];

/// An edit; where nothing but the sender is of interest it is mostly one of that.
pub(crate) fn choose(scene: &Scene, dice: &mut Dice) -> &'static Edit {
    // of a token with a bad form nobody asks more
    let tables = match dice.below(100) {
        0..40 if !scene.world.asked.is_empty() => &[asked_edits::EDITS][..],
        0..15 if scene.revocation.is_some() => &[revocation_edits::EDITS][..],
        0..90 if scene.plain => &[sender_edits::EDITS, proof_edits::EDITS][..],
        0..25 => &[policy_edits::EDITS][..],
        25..45 => &[sender_edits::EDITS, proof_edits::EDITS][..],
        _ => &TABLES[..],
    };
    let all = || tables.iter().copied().flatten();
    let mut left = dice.below(all().map(|edit| edit.weight).sum());
    for edit in all() {
        if left < edit.weight {
            return edit;
        }
        left -= edit.weight;
    }
    unreachable!("the weights are summed above")
}
