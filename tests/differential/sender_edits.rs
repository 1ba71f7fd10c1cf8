//! Edits of what a token is bound to, and of how the request comes.

use portcullis::jose::base64url;

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::members::{odd_value, quoted, quoted_oddly};
use super::request::{Draft, Surroundings};
use super::senders::CERTIFICATES;

const M: Stage = Stage::Members;
const L: Stage = Stage::Lines;
const H: Stage = Stage::Head;
/// Thumbprints of nobody: canonical ones, and those that are none.
const THUMBPRINTS: [&str; 16] = [
    "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"",
    "\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"",
    "\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0\"",
    "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I=\"",
    "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4\"",
    "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4IA\"",
    "\"0ZcOCORZNYy+DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"",
    "\"d1970e08e459358cbe0d6a6aab7d2367224 61d3374776 1e0\"",
    "\"\"",
    "null",
    "5",
    "true",
    "[]",
    "{}",
    "[\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"]",
    "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4\\u0049\"",
];

pub(crate) const EDITS: &[Edit] = &[
    edit(6, M, "a confirmation", confirmation),
    edit(6, M, "a member of the confirmation otherwise", member_of_confirmation),
    edit(3, M, "no confirmation", |draft, _, _| draft.payload.remove("cnf")),
    edit(5, L, "the other scheme", |draft, _, dice| {
        let schemes = match draft.scheme {
            "DPoP" => ["Bearer", "bearer"],
            _ => ["DPoP", "dpop"],
        };
        draft.lines = vec![format!("{} {}", dice.pick(&schemes), draft.token).into_bytes()];
    }),
    edit(4, L, "another spelling of the scheme DPoP", |draft, _, dice| {
        let scheme =
            dice.pick(&["dpop", "DPOP", "dPoP", "DPoP ", "DPoP\t", "DPoP=", "DPoPx", "DPo"]);
        draft.lines = vec![format!("{scheme} {}", draft.token).into_bytes()];
    }),
    edit(3, L, "two lines of two schemes", |draft, _, dice| {
        draft.lines = ["Bearer", "DPoP"]
            .map(|scheme| format!("{scheme} {}", draft.token).into_bytes())
            .to_vec();
        if dice.percent(50) {
            draft.lines.reverse();
        }
    }),
    edit(6, H, "another method than the proof's", |draft, _, dice| {
        let methods = ["GET", "POST", "get", "Get", "HEAD", "OPTIONS", "PATCH"];
        draft.method = dice.pick(&methods).to_owned();
    }),
    edit(6, H, "another target than the proof's", target),
    edit(5, H, "another certificate", |draft, _, dice| {
        let others: Vec<_> = CERTIFICATES
            .into_iter()
            .filter(|known| draft.certificate.as_deref() != Some(known))
            .collect();
        draft.certificate = Some(dice.pick(&others).to_vec());
    }),
    edit(4, H, "no certificate", |draft, _, _| draft.certificate = None),
];

fn confirmation(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let other = around.clients.any(dice);
    let value = match dice.below(4) {
        0 => format!("{{\"jkt\":{}}}", quoted(around.clients.thumbprint(other))),
        1 => format!(
            "{{\"jkt\":{},\"x5t#S256\":{}}}",
            dice.pick(&THUMBPRINTS),
            dice.pick(&THUMBPRINTS)
        ),
        2 => dice
            .pick(&["{}", "null", "[]", "\"x\"", "false", "0", "{\"foo\":1}", "{\"jwk\":{}}"])
            .to_owned(),
        _ => dice
            .pick(&[
                "{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}",
                "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0\"}",
                // as RFC 8705, 3.1, prints it
                "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}",
                "{\"JKT\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}",
                "{\"jkt#S512\":\"x\"}",
                "[{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}]",
            ])
            .to_owned(),
    };
    draft.payload.set("cnf", value);
}

/// One member is another one, spelled otherwise, repeated, or gone.
fn member_of_confirmation(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let Some(cnf) = draft.payload.value("cnf") else {
        return;
    };
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(cnf) else {
        return;
    };
    let mut members: Vec<(String, String)> =
        members.iter().map(|(name, value)| (quoted(name), value.to_string())).collect();
    if members.is_empty() {
        return;
    }
    let at = dice.below(members.len());
    let text = serde_json::from_str::<String>(&members[at].1).unwrap_or_default();
    match dice.below(10) {
        0 => drop(members.remove(at)),
        1 => members[at].1 = odd_value(dice).to_owned(),
        2 => members[at].1 = quoted_oddly(&text, dice),
        3 => {
            let name = members[at].0.trim_matches('"').to_owned();
            members[at].0 = quoted_oddly(&name, dice);
        }
        4 => members.push(members[at].clone()),
        5 => members[at].1 = quoted(&format!("{text}=")),
        6 => members[at].1 = quoted(&format!(" {text}")),
        7 => {
            // another last character, for the same octets
            let mut text = text;
            let last = text.pop().unwrap_or('A');
            text.push(if last == 'Z' { 'a' } else { char::from(last as u8 + 1) });
            members[at].1 = quoted(&text);
        }
        8 => {
            let octets = base64url::decode(&text).unwrap_or_default();
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            members[at].1 = quoted(&hex);
        }
        _ => members[at].1 = dice.pick(&THUMBPRINTS).to_owned(),
    }
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    draft.payload.set("cnf", format!("{{{}}}", members.join(",")));
}

fn target(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let path = draft.target.clone();
    draft.target = match dice.below(12) {
        0 => "*".to_owned(),
        1 => "rs.example:443".to_owned(),
        2 => format!("{}?x=1", path.split('?').next().unwrap_or_default()),
        3 => format!("{path}/"),
        4 => format!("{path}/%zz"),
        5 => format!("{path}/%2"),
        6 => path.to_ascii_uppercase(),
        7 => path.replace("%2F", "/").replace("%7E", "~"),
        8 => format!("{path}/."),
        9 => format!("{path}/../x"),
        10 => "/other".to_owned(),
        _ => format!("/.{path}"),
    };
    if draft.target.parse::<http::Uri>().is_err() {
        // an HTTP server refuses it
        draft.target = path;
    }
    if dice.percent(30) {
        // where the process had taken nothing away, or something else
        let originals = [None, Some("/other"), Some("*"), Some("/notes")];
        draft.original = dice.pick(&originals).map(str::to_owned);
    }
}
