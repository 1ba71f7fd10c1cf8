//! What can be wrong with a request, or odd and right.

use super::dice::Dice;
use super::request::{Draft, Surroundings};
use super::{claim_edits, header_edits, octet_edits, policy_edits, wire_edits};

/// When an edit is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To the members of header and payload.
    Members,
    /// To the octets of header and payload, before they are signed.
    Octets,
    /// To the octets of the signature.
    Signature,
    /// To the token.
    Token,
    /// To the lines of the field.
    Lines,
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

const TABLES: [&[Edit]; 5] = [
    header_edits::EDITS,
    claim_edits::EDITS,
    policy_edits::EDITS,
    octet_edits::EDITS,
    wire_edits::EDITS,
];

pub(crate) fn choose(dice: &mut Dice) -> &'static Edit {
    // of a token with a bad form nobody asks more
    let tables = if dice.percent(30) { &[policy_edits::EDITS][..] } else { &TABLES[..] };
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
