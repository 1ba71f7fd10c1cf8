//! Edits of what records can be about.

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::members::{odd_value, quoted, quoted_oddly};
use super::policies;
use super::request::{Draft, Surroundings};
use super::revocations::{VALUES, around};
use super::times;

const M: Stage = Stage::Members;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

pub(crate) const EDITS: &[Edit] = &[
    edit(3, M, "a session otherwise", |draft, _, dice| {
        let value = match dice.below(6) {
            0 | 1 => odd_value(dice).to_owned(),
            2 => quoted_oddly("s-1", dice),
            3 => quoted("S-1"),
            4 => return draft.payload.remove("sid"),
            _ => quoted("s-1"),
        };
        draft.payload.set("sid", value);
    }),
    edit(3, M, "a claim that records can name otherwise", named),
    edit(6, M, "issued when a record says", issued),
];

fn named(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let revocation = around.scene.revocation.as_ref();
    let mut names = revocation.map(|known| known.claims.clone()).unwrap_or_default();
    names.push("tid".to_owned());
    let name = dice.pick(&names);
    let text = dice.pick(&VALUES);
    let value = match dice.below(8) {
        0 | 1 => odd_value(dice).to_owned(),
        2 => quoted_oddly(text, dice),
        3 => format!("[{}]", quoted_oddly(text, dice)),
        4 => format!("[\"\",{},{}]", quoted(text), quoted(text)),
        5 => format!("[{},5]", quoted(text)),
        6 => quoted(&text.to_ascii_uppercase()),
        _ => format!("[{}]", quoted(text)),
    };
    draft.payload.set(&name, value);
}

/// At the time of something that was said, or next to it.
fn issued(draft: &mut Draft, surroundings: &Surroundings<'_>, dice: &mut Dice) {
    let said = &surroundings.scene.said;
    let world = &surroundings.scene.world;
    let at = if said.is_empty() { world.now_nanos } else { dice.pick(said).at_nanos };
    let iat = around(at, dice);
    draft.payload.set("iat", times::spelled(iat, dice));
    let shortest = policies::lifetimes(world).into_iter().min().unwrap_or(1);
    let exp = iat + u128::from(shortest.max(1)) * NANOS_PER_SECOND;
    draft.payload.set("exp", times::spelled(exp, dice));
}
