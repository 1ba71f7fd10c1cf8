//! Spellings of a NumericDate.

use super::dice::Dice;
use super::world::Scene;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// How clocks go on between two requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passing {
    /// Time passes, in nanoseconds.
    On(u128),
    /// The time of day is set.
    Back(u128),
    Ahead(u128),
}

/// How much time passes between two requests: mostly none, or as much as something lives.
pub(crate) fn between_requests(scene: &Scene, dice: &mut Dice) -> Passing {
    let world = &scene.world;
    if dice.percent(if scene.jumps { 30 } else { 60 }) {
        return Passing::On(0);
    }
    if let (true, Some(dpop)) = (scene.jumps && dice.percent(70), &world.dpop) {
        // there and back: past the end of a proof, and to where it was good
        let time = u128::from(dpop.max_age_secs + 6) * NANOS_PER_SECOND;
        return if dice.percent(50) { Passing::On(time) } else { Passing::Back(time) };
    }
    let mut lives = vec![1, 10, world.max_lifetime_secs, world.leeway_secs];
    if let Some(dpop) = &world.dpop {
        lives.extend([1, dpop.max_age_secs, dpop.max_age_secs + world.leeway_secs.min(60)]);
        lives.extend(dpop.nonces.iter().flat_map(|nonces| {
            [nonces.lifetime_secs, nonces.lifetime_secs / 2, nonces.lifetime_secs / 2]
        }));
    }
    for asked in &world.asked {
        let negative = asked.negative_ttl_secs.unwrap_or(5);
        lives.extend([asked.ttl_secs, asked.ttl_secs, negative, asked.ttl_secs.min(60)]);
    }
    if !world.asked.is_empty() {
        let of_route = scene.revocation.iter().filter_map(|known| known.route_freshness_secs);
        let of_classes = world.classes.iter().filter_map(|class| class.freshness_secs);
        for wanted in of_route.chain(of_classes).chain(world.route_freshness_secs) {
            lives.extend([wanted, wanted, wanted + wanted / 2]);
        }
    }
    let life = u128::from(dice.pick(&lives)) * NANOS_PER_SECOND;
    let time = match dice.below(8) {
        0 => 1,
        1 => NANOS_PER_SECOND / 2,
        2 => NANOS_PER_SECOND,
        3 => life.saturating_sub(1),
        4 => life + 1,
        5 => life / 2,
        _ => life,
    };
    match dice.below(3) {
        0 if scene.jumps => Passing::Back(time),
        1 if scene.jumps => Passing::Ahead(time),
        _ => Passing::On(time),
    }
}

/// Whole seconds, plainly.
pub(crate) fn seconds(seconds: u128) -> String {
    seconds.to_string()
}

/// This instant, exactly or with something below a nanosecond, as a JSON number.
pub(crate) fn spelled(nanos: u128, dice: &mut Dice) -> String {
    let (whole, fraction) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    let plain = match fraction {
        0 => whole.to_string(),
        _ => format!("{whole}.{fraction:09}").trim_end_matches('0').to_owned(),
    };
    let digits = nanos.to_string();
    let length = i64::try_from(digits.len()).unwrap();
    match dice.below(10) {
        0 => format!("{whole}.{fraction:09}"),
        1 => format!(
            "{whole}.{fraction:09}{}",
            dice.pick(&["0000000001", "4", "5", "9", "999999999999"])
        ),
        2 => format!("{digits}{}", dice.pick(&["e-9", "E-9", "e-09", "E-0000009"])),
        3 => {
            let (first, rest) = digits.split_at(1);
            let rest = if rest.is_empty() { "0" } else { rest };
            format!("{first}.{rest}e{}", length - 10)
        }
        4 => format!("{plain}{}", dice.pick(&["e0", "E+0", "e-0", "e00000000000000000000"])),
        5 => format!("0.{digits}E{}", length - 9),
        6 => {
            let zeros = dice.below(400);
            format!(
                "0.{}{digits}e{}",
                "0".repeat(zeros),
                length - 9 + i64::try_from(zeros).unwrap()
            )
        }
        7 => {
            let zeros = dice.below(400);
            format!("{digits}{}e-{}", "0".repeat(zeros), zeros + 9)
        }
        _ => plain,
    }
}

/// A number that is no date, or a far one, or not even a number.
pub(crate) fn odd(dice: &mut Dice) -> String {
    dice.pick(&[
        "0",
        "-0",
        "-0.0",
        "0.0",
        "0e400",
        "-1",
        "-1800000000",
        "-1e-400",
        "1e400",
        "1e-400",
        "1e308",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e99999999999999999999",
        "253402300799",
        "253402300799.0",
        "253402300799.0000000009",
        "253402300799.000000001",
        "253402300800",
        "2.534023008e11",
        "25340230079900000e-5",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "1e11",
        "1e12",
        "999999999999",
        "\"1800000000\"",
        "01800000000",
        "+1800000000",
        "1800000000.",
        ".5",
        "1800000000e",
        "1800000000e+",
        "0x6b49d200",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_800_000_000",
        "1800000000,0",
        "--1",
        "-",
        "1 8",
        "1.8e9.5",
        "1e1e1",
        "00",
        "\u{661}",
        "1800000000n",
        "[1800000000]",
        "{}",
        "true",
    ])
    .to_owned()
}
