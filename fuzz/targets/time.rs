//! NumericDate.

use portcullis::time::Timestamp;

/// A number is read exactly, down to the nanosecond.
pub fn numeric_date(data: &[u8]) {
    // the longest token has some 12 000 octets of payload
    let Ok(text) = std::str::from_utf8(data.get(..12_000).unwrap_or(data)) else {
        return;
    };
    let read = Timestamp::from_json_number(text);
    let nanos = read.map(|at| at.as_duration().as_nanos());
    assert_eq!(nanos, exact_nanos(text), "{text}");
    if let Some(at) = read {
        assert_eq!(Timestamp::from_json_number(&at.to_string()), Some(at));
        assert_eq!(Timestamp::from_duration(at.as_duration()), at);
        assert!(at.as_secs() <= Timestamp::MAX_SECONDS);
    }
}

/// The value of a JSON number in nanoseconds, cut toward zero, by moving its decimal point.
pub(super) fn exact_nanos(text: &str) -> Option<u128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, Some(0)),
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if !all_digits(digits) {
                return None;
            }
            let beyond = || {
                if exponent.starts_with('-') { i64::MIN } else { i64::MAX }
            };
            let exponent: Option<i64> = exponent.parse().ok();
            (mantissa, Some(exponent.unwrap_or_else(beyond)))
        }
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        None => (mantissa, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let is_number = all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits);
    if !is_number {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let (length, places) = (digits.len().try_into().ok()?, fraction.len().try_into().ok()?);
    let length: i64 = length;
    // how many digits stand before the decimal point, if nanoseconds are counted
    let kept = exponent?.saturating_sub(places).saturating_add(9).saturating_add(length);
    if kept > 21 {
        return None;
    }
    let kept = usize::try_from(kept.max(0)).ok()?;
    let nanos: String = digits.chars().chain(std::iter::repeat('0')).take(kept).collect();
    let nanos: u128 = if nanos.is_empty() { 0 } else { nanos.parse().ok()? };
    (nanos <= u128::from(Timestamp::MAX_SECONDS) * 1_000_000_000).then_some(nanos)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
