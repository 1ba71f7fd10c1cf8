//! Time as a resource server needs it: NumericDate values, and a clock that is injected.
//!
//! 1. A [`Timestamp`] is a NumericDate (RFC 7519 §2): seconds since the Unix epoch, with a
//!    fraction, never negative, never past the year 9999. Nothing overflows.
//! 2. No decision reads a clock: `now` is an argument. Only the server asks its [`Clock`].
//! 3. Ages of cached things are measured by a [`Moment`], which knows the wall clock and a steady
//!    clock and believes the one that shows the greater age: neither a wall clock set back nor a
//!    suspended machine makes old keys look young.

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// The longest leeway that a server can have: as far as the clocks of two machines may differ. What is
/// revoked is remembered for twice as long past the life of a token, so that none comes back.
pub(crate) const LEEWAY_MOST: Duration = Duration::from_mins(5);

/// How long a token may live by its class, and how old what is known of one may become: a second, and
/// a year that is a leap year. What is revoked is remembered as long as the longest of these.
pub(crate) const AGES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24 * 366);

/// A NumericDate (RFC 7519 §2): the time since 1970-01-01T00:00:00Z, to the nanosecond.
///
/// ```
/// use portcullis::time::Timestamp;
///
/// let exp = Timestamp::from_json_number("1700000000.5").unwrap();
/// assert_eq!(exp.as_secs(), 1_700_000_000);
/// assert_eq!(Timestamp::from_json_number("1.7e9"), Some(Timestamp::from_secs(1_700_000_000)));
/// assert_eq!(Timestamp::from_json_number("-1"), None);
/// assert_eq!(Timestamp::from_json_number("1e400"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The last second of the year 9999, the largest NumericDate that is accepted.
    pub const MAX_SECONDS: u64 = 253_402_300_799;

    /// The Unix epoch.
    pub const EPOCH: Self = Self(Duration::ZERO);

    /// Whole seconds since the Unix epoch; more than [`Self::MAX_SECONDS`] is that maximum.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(if seconds > Self::MAX_SECONDS {
            Self::MAX_SECONDS
        } else {
            seconds
        }))
    }

    /// The time since the Unix epoch; more than [`Self::MAX_SECONDS`] is that maximum.
    #[must_use]
    pub const fn from_duration(since_epoch: Duration) -> Self {
        if since_epoch.as_secs() >= Self::MAX_SECONDS {
            Self::from_secs(Self::MAX_SECONDS)
        } else {
            Self(since_epoch)
        }
    }

    /// Reads the text of a JSON number, exactly: no floating point is involved. Digits past the
    /// nanosecond are dropped. `None` for a negative number (`-0` too), a number past
    /// [`Self::MAX_SECONDS`], or text that is not a JSON number.
    #[must_use]
    pub fn from_json_number(text: &str) -> Option<Self> {
        numeric_date(text.as_bytes()).map(Self)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// The time since the Unix epoch.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// 24:00 UTC of a day written `YYYY-MM-DD`; `None` if there is no such day.
    pub(crate) fn end_of_day(day: &str) -> Option<Self> {
        let is_day = day.len() == 10
            && day.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_day {
            return None;
        }
        let midnight = humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).ok()?;
        let since_epoch = midnight.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self::from_duration(since_epoch).plus(Duration::from_hours(24)))
    }

    /// This much later, at most the end of the year 9999.
    #[must_use]
    pub const fn plus(self, time: Duration) -> Self {
        Self::from_duration(self.0.saturating_add(time))
    }

    /// This much earlier, at least the Unix epoch.
    #[must_use]
    pub const fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// The time that passed since `earlier`; `None` if `earlier` is later than this.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_nanos() {
            0 => write!(f, "{}", self.0.as_secs()),
            nanos => {
                let fraction = format!("{nanos:09}");
                write!(f, "{}.{}", self.0.as_secs(), fraction.trim_end_matches('0'))
            }
        }
    }
}

/// A duration as configuration files have it: `15m`, `1h 30m`.
pub(crate) fn shown_duration(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Both times of a [`Clock`], read together. A decision reads its clock once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    wall: Timestamp,
    steady: Duration,
}

impl Moment {
    /// A moment with this time of day and this steady time.
    #[must_use]
    pub const fn new(wall: Timestamp, steady: Duration) -> Self {
        Self { wall, steady }
    }

    /// The time of day, to which `exp`, `nbf` and `iat` are compared.
    #[must_use]
    pub const fn wall(self) -> Timestamp {
        self.wall
    }

    /// The steady time, to which waits are compared.
    #[must_use]
    pub const fn steady(self) -> Duration {
        self.steady
    }

    /// The time since `earlier` by the time of day or by the steady time, whichever is longer.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.since(earlier.wall).unwrap_or_default();
        wall.max(self.steady.saturating_sub(earlier.steady))
    }
}

/// Where "now" comes from. One clock serves a whole server.
///
/// [`SystemClock`] is the default; the test kit has one that is set by hand.
pub trait Clock: Send + Sync + 'static {
    /// The current time of day, to which `exp`, `nbf` and `iat` are compared.
    fn now(&self) -> Timestamp;

    /// The time since an origin of the clock's own choice. It never goes back, whatever is done
    /// to the time of day.
    fn steady(&self) -> Duration;

    /// Completes once [`Clock::steady`] has advanced by `time`.
    fn sleep(&self, time: Duration) -> Sleep;

    /// Both times together.
    fn moment(&self) -> Moment {
        Moment::new(self.now(), self.steady())
    }
}

/// The future of [`Clock::sleep`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The machine's clock; [`Clock::sleep`] needs a running tokio timer.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A machine set to before 1970 gets the epoch: every token is then "not yet valid".
        Timestamp::from_duration(
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        )
    }

    fn steady(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, time: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The digits of `number`, its decimal point and its exponent, as whole seconds and nanoseconds.
fn numeric_date(text: &[u8]) -> Option<Duration> {
    /// No number has more digits than the longest token has characters; past that an exponent
    /// says no more than "far too large" or "nothing".
    const MAX_EXPONENT: i32 = 40_000;

    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let (mantissa, exponent) = text.split_at(at);
            (mantissa, parse_exponent(exponent.get(1..)?, MAX_EXPONENT)?)
        }
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => {
            let (whole, fraction) = mantissa.split_at(at);
            let fraction = fraction.get(1..)?;
            (
                whole,
                if fraction.is_empty() {
                    return None;
                } else {
                    fraction
                },
            )
        }
        None => (mantissa, &[][..]),
    };
    let leading_zero = whole.len() > 1 && whole.first() == Some(&b'0');
    let digits_only = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if whole.is_empty() || leading_zero || !digits_only {
        return None;
    }

    // The value is 0.d1d2d3... times ten to the `point`.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let (mut seconds, mut nanos) = (0_u64, 0_u32);
    let mut written = 0_i32;
    for (index, byte) in (0_i32..).zip(whole.iter().chain(fraction)) {
        let digit = u32::from(byte.checked_sub(b'0')?);
        let power = point.checked_sub(index)?.checked_sub(1)?;
        if power >= 0 {
            if digit != 0 && power > 11 {
                return None;
            }
            seconds = seconds.checked_mul(10)?.checked_add(u64::from(digit))?;
            written = index.checked_add(1)?;
        } else if (-9..0).contains(&power) {
            let place = u32::try_from(power.checked_add(9)?).ok()?;
            nanos = nanos.checked_add(digit.checked_mul(10_u32.checked_pow(place)?)?)?;
        }
    }
    // Zeros that only the exponent writes: `17e8`.
    if seconds != 0 {
        for _ in written..point {
            seconds = seconds.checked_mul(10)?;
        }
    }
    let past_the_end =
        seconds > Timestamp::MAX_SECONDS || (seconds == Timestamp::MAX_SECONDS && nanos > 0);
    if past_the_end { None } else { Some(Duration::new(seconds, nanos)) }
}

/// `[+-]digits`, clamped to `±limit`.
fn parse_exponent(text: &[u8], limit: i32) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(i32::from(byte.checked_sub(b'0')?));
    }
    let value = value.min(limit);
    Some(if negative { value.saturating_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest age is that of the longest life of a token, 366 days; the shortest is a second.
    #[test]
    fn an_age_is_between_a_second_and_366_days() {
        for (age, good) in [
            (Duration::from_millis(999), false),
            (Duration::from_secs(1), true),
            (Duration::from_hours(24 * 366), true),
            (Duration::from_hours(24 * 366) + Duration::from_nanos(1), false),
        ] {
            assert_eq!(AGES.contains(&age), good, "{age:?}");
        }
    }

    #[test]
    fn numeric_dates_are_read_exactly() {
        let nanos =
            |text: &str| Timestamp::from_json_number(text).map(|at| at.as_duration().as_nanos());
        for (text, expected) in [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000_000_000_000)),
            ("1700000000.5", Some(1_700_000_000_500_000_000)),
            ("1.7e9", Some(1_700_000_000_000_000_000)),
            ("17E8", Some(1_700_000_000_000_000_000)),
            ("17000000005e-1", Some(1_700_000_000_500_000_000)),
            ("0.0000000019", Some(1)),
            ("1e-30", Some(0)),
            ("0e999999999999", Some(0)),
            ("253402300799", Some(253_402_300_799_000_000_000)),
            ("253402300799.0", Some(253_402_300_799_000_000_000)),
            ("253402300799.000000001", None),
            ("253402300800", None),
            ("9007199254740993", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("-1", None),
            ("-0", None),
            ("01", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("", None),
            ("NaN", None),
            ("1_0", None),
            (" 1", None),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn an_age_is_the_longer_of_wall_and_steady_time() {
        let at =
            |wall, steady| Moment::new(Timestamp::from_secs(wall), Duration::from_secs(steady));
        let start = at(1_000, 0);
        assert_eq!(at(400, 60).since(start), Duration::from_secs(60), "wall clock set back");
        assert_eq!(at(4_600, 60).since(start), Duration::from_secs(3_600), "machine suspended");
    }
}
