//! Time: leeway, dates and lifetimes.

use std::time::Duration;

use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{ConfigFault, RejectionKind as Kind};

use crate::support::Wants::Pass;
use crate::support::{ISSUER, World, builder, present, row};

/// AT-08, JWS-44, JWS-45, JWS-46, FAPI-10, ASVS-04, API-01: to the nanosecond, on both sides.
#[tokio::test]
async fn leeway_has_exact_borders() {
    const SECOND: Duration = Duration::from_secs(1);
    const NANO: Duration = Duration::from_nanos(1);
    for leeway in
        [Duration::ZERO, Duration::from_secs(10), Duration::from_secs(60), Duration::from_mins(5)]
    {
        let world = World::with(Algorithm::Es256, |b| b.leeway(leeway)).await;
        let now = world.clock.now();
        let exp = |exp: Timestamp| {
            world.token().issued_at(now.minus(Duration::from_mins(30))).expires_at(exp).sign()
        };
        let nbf = |nbf: Timestamp| world.token().raw_claim("nbf", &nbf.to_string()).sign();
        let iat = |iat: Timestamp| {
            world.token().issued_at(iat).expires_at(now.plus(Duration::from_mins(30))).sign()
        };
        let latest = now.plus(leeway);
        #[rustfmt::skip]
        let rows = [
            row("AT-08 JWS-44", "exp in a second", exp(now.plus(SECOND)), Pass),
            row("AT-08 JWS-44", "exp just inside", exp(now.minus(leeway).plus(NANO)), Pass),
            row("AT-08 JWS-44", "exp one second inside", exp(now.minus(leeway).plus(SECOND)), Pass),
            row("AT-08 JWS-44", "exp at the border", exp(now.minus(leeway)), Kind::Expired),
            row("AT-08 JWS-44", "exp just outside", exp(now.minus(leeway).minus(NANO)), Kind::Expired),
            row("JWS-45", "nbf now", nbf(now), Pass),
            row("JWS-45", "nbf long ago", nbf(Timestamp::EPOCH), Pass),
            row("JWS-45", "nbf at the border", nbf(latest), Pass),
            row("JWS-45", "nbf just outside", nbf(latest.plus(NANO)), Kind::NotYetValid),
            row("JWS-45", "nbf a second outside", nbf(latest.plus(SECOND)), Kind::NotYetValid),
            row("JWS-46", "iat now", iat(now), Pass),
            row("JWS-46", "iat at the border", iat(latest), Pass),
            row("JWS-46", "iat just outside", iat(latest.plus(NANO)), Kind::IssuedInFuture),
            row("JWS-46", "iat a second outside", iat(latest.plus(SECOND)), Kind::IssuedInFuture),
        ];
        world.check(rows).await;
    }
    // AT-08: now == exp where there is no leeway; FAPI-10: ten seconds ahead, and sixty-one.
    let world = World::with(Algorithm::Es256, |b| b.leeway(Duration::ZERO)).await;
    let now = world.clock.now();
    #[rustfmt::skip]
    let rows = [
        row(
            "AT-08",
            "the last nanosecond",
            world
                .token()
                .issued_at(now.minus(SECOND))
                .expires_at(now.plus(NANO))
                .sign(),
            Pass,
        ),
        row("AT-08", "now", world.token().issued_at(now.minus(SECOND)).expires_at(now).sign(), Kind::Expired),
    ];
    world.check(rows).await;
    let world = World::new().await;
    let ahead = |seconds| {
        world.token().issued_at(world.clock.now().plus(Duration::from_secs(seconds))).sign()
    };
    #[rustfmt::skip]
    let rows = [
        row("FAPI-10", "ten seconds ahead", ahead(10), Pass),
        row("FAPI-10", "sixty-one seconds ahead", ahead(61), Kind::IssuedInFuture),
    ];
    world.check(rows).await;
}

/// AT-08: a few minutes, and not more.
#[test]
fn the_leeway_is_bounded() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let build = |leeway| builder(&clock).issuer(issuer.fixed_keys()).leeway(leeway).build();
    assert!(build(Duration::from_mins(5)).is_ok());
    let longer = Duration::from_millis(300_001);
    let error = build(longer).map(|_| ()).unwrap_err();
    assert_eq!(error.faults(), [ConfigFault::Leeway(longer)]);
}

/// JWS-43, AT-10.
#[tokio::test]
async fn a_numeric_date_is_a_number_that_can_be_a_date() {
    let world = World::new().await;
    let mut rows = Vec::new();
    for (claim, forms) in [
        (
            "exp",
            [
                "1800000300.5",
                "18000003e2",
                "1.8000003E9",
                "18000003000e-1",
                "1800000300.0000000000001",
            ],
        ),
        (
            "iat",
            ["1799999999.5", "17999999e2", "1.8e9", "18000000000e-1", "1799999999.999999999999"],
        ),
        ("nbf", ["1799999999.5", "17999999e2", "1.8e+9", "0", "0e0"]),
    ] {
        for form in forms {
            let token = world.token().raw_claim(claim, form).sign();
            rows.push(row("JWS-43", format!("{claim}: {form}"), token, Pass));
        }
        #[rustfmt::skip]
        let forms = [
            "\"1800000000\"", "\"2027-01-15T08:00:00Z\"", "null", "true", "[]", "[1800000000]",
            "{}", "\"\"", "-1", "-1800000000", "-0.5", "-1e400", "1e400", "1e309",
            "1e99999999999999999999", "9007199254740993", "9223372036854775807",
            "9223372036854775808", "18446744073709551615", "18446744073709551616",
            "18446744075509551916", "340282366920938463463374607431768211456", "253402300800",
            "1800000000000", "99999999999999999999999999999999999999999999999999",
        ];
        for form in forms {
            let token = world.token().raw_claim(claim, form).sign();
            rows.push(row("JWS-43 AT-10", format!("{claim}: {form}"), token, Kind::MalformedClaim));
        }
        // Not JSON at all.
        #[rustfmt::skip]
        let forms = [
            "NaN", "Infinity", "-Infinity", "0x6b49d200", "01800000300", "+1800000300",
            "1800000300.", "1_800_000_300",
        ];
        for form in forms {
            let token = world.token().raw_claim(claim, form).sign();
            rows.push(row("JWS-43", format!("{claim}: {form}"), token, Kind::MalformedToken));
        }
    }
    world.check(rows).await;
}

/// NHI-07, NIST-04: how long a token may live is this server's to say.
#[tokio::test]
async fn a_lifetime_is_bounded() {
    let world = World::new().await;
    let now = world.clock.now();
    let lives = |time: Duration| world.token().expires_at(now.plus(time)).sign();
    let hour = Duration::from_hours(1);
    let started = |ago: Duration, ahead: Duration| {
        world.token().issued_at(now.minus(ago)).expires_at(now.plus(ahead)).sign()
    };
    let too_long = Kind::LifetimeTooLong;
    #[rustfmt::skip]
    let rows = [
        row("NHI-07", "one hour", lives(hour), Pass),
        row("NHI-07", "a nanosecond more", lives(hour + Duration::from_nanos(1)), too_long),
        row("NHI-07", "a second more: the leeway does not add", lives(hour + Duration::from_secs(1)), too_long),
        row("NHI-07", "a year", lives(Duration::from_hours(24 * 365)), too_long),
        row("NHI-07", "until the year 9999", world.token().raw_claim("exp", "253402300799").sign(), too_long),
        row("NHI-07", "an hour, half of it over", started(hour / 2, hour / 2), Pass),
        row("NHI-07", "two hours, almost over", started(hour * 2 - hour / 60, hour / 60), too_long),
        row("NHI-07", "a backdated iat does not help", started(Duration::from_hours(24), hour / 2), too_long),
        row("NHI-07", "no life at all", world.token().expires_at(now).sign(), too_long),
        row(
            "NHI-07",
            "less than none",
            world
                .token()
                .issued_at(now.plus(Duration::from_secs(5)))
                .expires_at(now)
                .sign(),
            too_long,
        ),
    ];
    world.check(rows).await;
}

/// AUTH-28, JWS-44, JWS-46: the clock is asked for every request, also when it was set back.
#[tokio::test]
async fn the_same_token_is_decided_by_the_time_of_each_request() {
    let world = World::new().await;
    let token = world.token().sign();
    let start = world.clock.now();
    for (seconds, wants) in [
        (0, None),
        (309, None),
        (310, Some(Kind::Expired)),
        (309, None),
        (100_000, Some(Kind::Expired)),
        (0, None),
    ] {
        world.clock.set(start.plus(Duration::from_secs(seconds)));
        let found = present(&world.api, &token).await.map_err(|refused| refused.kind()).err();
        assert_eq!(found, wants, "{seconds}");
    }
    world.clock.set(start.minus(Duration::from_secs(11)));
    let found = present(&world.api, &token).await.unwrap_err();
    assert_eq!(found.kind(), Kind::IssuedInFuture);
}
