//! What each kind of record does to tokens.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::ResourceServer;
use portcullis::check::acr;
use portcullis::issuer::{OptionalClaim, TokenProfile};
use portcullis::revocation::{
    ApplyError, Batch, Claim, Claims, Effect, Hold, Record, Revocation, Source, Target,
};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder, challenges};
use portcullis::time::{Clock as _, Timestamp};
use serde_json::json;

use crate::interleavings::opened;
use crate::source::{Directory, Hand, MINUTE, World, ago, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, compact, parts, respelled, send};

/// Attack 38: a record is about issuer and `jti`, so that no other spelling of the token passes; nor
/// does one that the issuer signs again.
#[tokio::test]
async fn attack_38_a_token_is_known_by_its_jti_however_it_is_written() {
    let world = World::new().await;
    let (token, other) = (world.token().claim("jti", "t-1"), world.token().claim("jti", "t-2"));
    let written = token.sign();
    world.hand.says([Record::token(ISSUER, "t-1", world.now())]).await;

    assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "signed again: another signature");
    assert_eq!(world.kind(&other).await, None, "another token of the same client and subject");
    // Padding bits: another spelling of the same octets is not even a token.
    let [header, payload, signature] = parts(&written);
    let spelled = format!("{header}.{payload}.{}", respelled(signature));
    assert_ne!(spelled, written);
    let sent = send(&world.api.layer(), bearer(&spelled)).await;
    assert_eq!(sent.kind(), Some(Kind::MalformedToken));
    // (r, n - s) is as good a signature of the same octets, and is the same token.
    let signature = portcullis::jose::base64url::decode(signature).unwrap();
    let mirrored = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    let (r, s) = (mirrored.r(), mirrored.s());
    let other_s = -*s;
    let mirrored = p256::ecdsa::Signature::from_scalars(r.to_bytes(), other_s.to_bytes()).unwrap();
    assert_ne!(mirrored.to_vec(), signature);
    let spelled = compact(&format!("{header}.{payload}"), mirrored.to_bytes());
    let sent = send(&world.api.layer(), bearer(&spelled)).await;
    assert_eq!(sent.kind(), Some(Kind::Revoked));
    assert_eq!(sent.response.status(), 401);
    assert_eq!(sent.error().as_deref(), Some("invalid_token"));
}

/// Decision 15: the same `jti` of another issuer is another token, and a source has no say about an
/// issuer that it does not speak for.
#[tokio::test]
async fn issuers_have_nothing_to_do_with_each_other() {
    const OTHER: &str = "https://other.example";
    let (clock, hand) = (ManualClock::new(), Hand::default());
    let issuers = [TestIssuer::new(ISSUER, &clock), TestIssuer::new(OTHER, &clock)];
    let mut server = builder(&clock).revocation(Revocation::new().source(source(&hand)));
    for issuer in &issuers {
        server = server.issuer(issuer.fixed_keys());
    }
    let api = server.build().unwrap();
    let kind = async |issuer: &TestIssuer| {
        let token = issuer.token(RESOURCE).claim("jti", "same").sign();
        send(&api.layer(), bearer(&token)).await.kind()
    };
    kind(&issuers[0]).await;
    hand.synchronised().await;
    let now = clock.now();
    let records = [
        Record::token(OTHER, "same", now),
        Record::issuer(OTHER, now),
        Record::key(OTHER, issuers[1].key().kid(), now),
    ];
    let applied = hand.handle().await.apply(Batch::of(records)).await.unwrap();
    assert_eq!((applied.applied, applied.foreign), (0, 3));
    assert_eq!(kind(&issuers[1]).await, None, "the source does not speak for it");
    assert_eq!(api.revocations().health()[1].foreign, 3, "and it is counted");

    hand.says([Record::token(ISSUER, "same", now)]).await;
    assert_eq!(kind(&issuers[0]).await, Some(Kind::Revoked));
    assert_eq!(kind(&issuers[1]).await, None);
}

/// CAEP-02, decision 11, EVT-02: a cut-off refuses what was issued at its time or before; times are
/// compared to the nanosecond.
#[tokio::test]
async fn a_cut_off_is_compared_exactly() {
    let world = World::new().await;
    let at = ago(&world, 100);
    world.hand.says([Record::matching(ISSUER, Claims::subject("user-1"), at)]).await;
    let second = at.as_secs();
    for (iat, expected) in [
        (format!("{}", second - 1), Some(Kind::Revoked)),
        (format!("{second}"), Some(Kind::Revoked)),
        (format!("{second}.000"), Some(Kind::Revoked)),
        (format!("{second}.000000001"), None),
        (format!("{}", second + 1), None),
    ] {
        let token = world.token().subject("user-1").raw_claim("iat", &iat);
        assert_eq!(world.kind(&token).await, expected, "iat {iat}");
    }
    let other = world.token().subject("user-2").issued_at(at);
    assert_eq!(world.kind(&other).await, None, "somebody else");
}

/// Each row: what a record is about, a token that it is about, and one that it is not about.
#[tokio::test]
async fn every_target_has_its_tokens_and_no_others() {
    type Edit = fn(TokenBuilder) -> TokenBuilder;
    let rows: [(&str, Claims, Edit, Edit); 8] = [
        (
            "subject",
            Claims::subject("ann"),
            |token| token.subject("ann"),
            |token| token.subject("Ann"),
        ),
        (
            "client",
            Claims::client("app"),
            |token| token.client_id("app"),
            |token| token.client_id("app2").subject("app"),
        ),
        (
            "session",
            Claims::one(Claim::Session, "s-1"),
            |token| token.claim("sid", "s-1"),
            |token| token.subject("s-1"),
        ),
        (
            "subject in a session",
            Claims::subject("ann").and_session("s-1"),
            |token| token.subject("ann").claim("sid", "s-1"),
            |token| token.subject("ann").claim("sid", "s-2"),
        ),
        (
            "subject in a session, of a client",
            Claims::client("app").and_session("s-1").and(Claim::Subject, "ann"),
            |token| token.subject("ann").claim("sid", "s-1").client_id("app"),
            |token| token.subject("bob").claim("sid", "s-1").client_id("app"),
        ),
        (
            "a claim of one's own",
            Claims::one(Claim::Named("tid".into()), "tenant-1"),
            |token| token.claim("tid", "tenant-1"),
            |token| token.claim("tid", "tenant-2"),
        ),
        (
            "one of several values",
            Claims::one(Claim::Named("groups".into()), "staff"),
            |token| token.claim("groups", json!(["all", "staff"])),
            |token| token.claim("groups", json!(["all", "staff2"])),
        ),
        (
            "two values of one claim",
            Claims::one(Claim::Named("groups".into()), "a").and(Claim::Named("groups".into()), "b"),
            |token| token.claim("groups", json!(["b", "a"])),
            |token| token.claim("groups", json!(["a", "c"])),
        ),
    ];
    for (name, claims, about, not) in rows {
        let world =
            World::with(|revocation| revocation.claim("tid").claim("groups"), |server| server)
                .await;
        let (about, not) = (about(world.token()), not(world.token()));
        assert_eq!(world.kind(&about).await, None, "{name}: before");
        world.hand.says([Record::matching(ISSUER, claims, world.now())]).await;
        assert_eq!(world.kind(&about).await, Some(Kind::Revoked), "{name}");
        assert_eq!(world.kind(&not).await, None, "{name}: another token");
        world.clock.advance(Duration::from_secs(1));
        world.hand.synchronised().await;
        let later = about.issued_at(world.now());
        assert_eq!(world.kind(&later).await, None, "{name}: issued after it");
    }
}

/// Attack 40: of all cut-offs that apply the latest counts, in whatever order they were said.
#[tokio::test]
async fn attack_40_the_latest_of_all_cut_offs_counts() {
    let targets = [
        Target::Issuer,
        Target::Claims(Claims::client("app")),
        Target::Claims(Claims::subject("ann")),
        Target::Claims(Claims::one(Claim::Session, "s-1")),
        Target::Claims(Claims::subject("ann").and_session("s-1")),
    ];
    for latest in 0..targets.len() {
        for backwards in [false, true] {
            let world = World::new().await;
            let early = ago(&world, 1_000);
            let late = ago(&world, 500);
            let mut records: Vec<_> = targets
                .iter()
                .enumerate()
                .map(|(place, target)| {
                    let at = if place == latest { late } else { early };
                    Record::new(ISSUER, target.clone(), Effect::Refuse, at)
                })
                .collect();
            if backwards {
                records.reverse();
            }
            for record in records {
                world.hand.says([record.clone()]).await;
                // A repeat, and what is older than what is known, change nothing.
                let older = Record::new(
                    ISSUER,
                    record.target().clone(),
                    Effect::Refuse,
                    ago(&world, 2_000),
                );
                world.hand.says([record, older]).await;
            }
            let token = || world.token().subject("ann").client_id("app").claim("sid", "s-1");
            assert_eq!(world.kind(&token().issued_at(late)).await, Some(Kind::Revoked));
            let after = late.plus(Duration::from_secs(1));
            assert_eq!(world.kind(&token().issued_at(after)).await, None, "{latest}");
        }
    }
}

/// A compromised key signs what it likes: no `iat` helps, and another key of the issuer is as good as
/// before.
#[tokio::test]
async fn a_compromised_key_signs_nothing_any_more() {
    let world = World::new().await;
    let kid = world.issuer.key().kid().to_owned();
    world.hand.says([Record::key(ISSUER, kid.as_str(), ago(&world, 1_000))]).await;
    let young = world.token().issued_at(world.now());
    assert_eq!(world.kind(&young).await, Some(Kind::Revoked));
    let elsewhere = World::new().await;
    elsewhere.hand.says([Record::key(ISSUER, "another", elsewhere.now())]).await;
    assert_eq!(elsewhere.kind(&elsewhere.token()).await, None);
}

/// RISC-02, CAEP-07, CAEP-09: holds are states. They never age out, the latest word about each reason
/// counts, and each reason goes by itself.
#[tokio::test]
async fn a_hold_lasts_until_it_is_released() {
    for hold in Hold::ALL {
        let world = World::new().await;
        let record = |effect, seconds| {
            let target = Target::Claims(Claims::subject("user-1"));
            Record::new(ISSUER, target, effect, ago(&world, seconds))
        };
        let token = || world.token().subject("user-1").issued_at(world.now());
        world.hand.says([record(Effect::Hold(*hold), 100)]).await;
        assert_eq!(world.kind(&token()).await, Some(Kind::Suspended), "{hold:?}: a young token");
        world.hand.says([record(Effect::Release(*hold), 200)]).await;
        assert_eq!(
            world.kind(&token()).await,
            Some(Kind::Suspended),
            "released before it was held"
        );
        for other in Hold::ALL.iter().filter(|other| *other != hold) {
            world.hand.says([record(Effect::Release(*other), 50)]).await;
        }
        assert_eq!(world.kind(&token()).await, Some(Kind::Suspended), "other reasons are gone");
        // Far longer than any token lives.
        for _ in 0..50 {
            world.clock.advance(Duration::from_hours(1));
            world.hand.synchronised().await;
            tokio::task::yield_now().await;
        }
        let late = world.token().subject("user-1").issued_at(world.now());
        assert_eq!(world.kind(&late).await, Some(Kind::Suspended), "two days later");
        let now = world.now();
        let target = Target::Claims(Claims::subject("user-1"));
        world.hand.says([Record::new(ISSUER, target, Effect::Release(*hold), now)]).await;
        let late = world.token().subject("user-1").issued_at(now);
        assert_eq!(world.kind(&late).await, None, "{hold:?}: released");
    }
}

/// At one time the stricter word counts, in either order.
#[tokio::test]
async fn of_two_words_for_one_time_the_stricter_counts() {
    use Effect::{Hold as Holds, HoldForStepUp, Release};
    let risk = Hold::Risk;
    for (one, other, expected) in [
        (Release(risk), Holds(risk), Kind::Suspended),
        (Release(risk), HoldForStepUp(risk), Kind::StepUpDemanded),
        (HoldForStepUp(risk), Holds(risk), Kind::Suspended),
    ] {
        for effects in [[one, other], [other, one]] {
            let world = World::new().await;
            for effect in effects {
                let target = Target::Claims(Claims::subject("user-1"));
                world.hand.says([Record::new(ISSUER, target, effect, ago(&world, 10))]).await;
            }
            let token = world.token().subject("user-1");
            assert_eq!(world.kind(&token).await, Some(expected), "{effects:?}");
        }
    }
}

/// RISC-02: a purged account stays so, and no release brings it back.
#[tokio::test]
async fn a_purge_is_for_ever() {
    let world = World::new().await;
    let target = || Target::Claims(Claims::subject("user-1"));
    world.hand.says([Record::new(ISSUER, target(), Effect::Purge, ago(&world, 10))]).await;
    world
        .hand
        .says([Record::new(ISSUER, target(), Effect::Release(Hold::Account), world.now())])
        .await;
    let token = world.token().subject("user-1").issued_at(world.now());
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
}

/// CAEP-06: older tokens are asked to step up, with an age that the old authentication cannot have; the
/// challenge is RFC 9470's. A refusal is stricter.
#[tokio::test]
async fn a_step_up_is_asked_for_in_its_own_words() {
    let world = World::new().await;
    let target = || Target::Claims(Claims::subject("user-1"));
    let at = ago(&world, 90);
    world.hand.says([Record::new(ISSUER, target(), Effect::StepUp, at)]).await;
    let old = world.token().subject("user-1").issued_at(at);
    let sent = send(&world.api.layer(), bearer(&old.sign())).await;
    assert_eq!(sent.kind(), Some(Kind::StepUpDemanded));
    assert_eq!(sent.response.status(), 401);
    assert_eq!(sent.error().as_deref(), Some("insufficient_user_authentication"));
    let challenge = challenges(sent.response.headers());
    assert_eq!(challenge[0].param("max_age"), Some("90"));
    let young = world.token().subject("user-1").issued_at(at.plus(Duration::from_secs(1)));
    assert_eq!(world.kind(&young).await, None);

    world.hand.says([Record::new(ISSUER, target(), Effect::Refuse, at)]).await;
    assert_eq!(world.kind(&old).await, Some(Kind::Revoked));
}

/// CAEP-09: a hold for a step-up is over for whoever has authenticated since, and for nobody else.
#[tokio::test]
async fn a_hold_for_a_step_up_ends_with_a_new_authentication() {
    let world = World::new().await;
    let at = ago(&world, 90);
    let target = Target::Claims(Claims::subject("user-1"));
    let effect = Effect::HoldForStepUp(Hold::Risk);
    world.hand.says([Record::new(ISSUER, target, effect, at)]).await;
    let token = || world.token().subject("user-1").issued_at(world.now());
    let demanded = Some(Kind::StepUpDemanded);
    assert_eq!(world.kind(&token()).await, demanded, "nobody knows when");
    assert_eq!(world.kind(&token().claim("auth_time", at.as_secs())).await, demanded);
    assert_eq!(world.kind(&token().claim("auth_time", at.as_secs() + 1)).await, None);
}

/// STEP-03: one authentication is enough: what a record wants and what the route wants are asked for
/// together.
#[tokio::test]
async fn a_step_up_names_what_the_route_wants_too() {
    let world = World::new().await;
    let target = Target::Claims(Claims::subject("user-1"));
    world.hand.says([Record::new(ISSUER, target, Effect::StepUp, ago(&world, 90))]).await;
    let old = world.token().subject("user-1").issued_at(ago(&world, 100));
    for (within, told) in [(30, "30"), (300, "90")] {
        let layer = world.api.protect(acr(["phr"]).within(Duration::from_secs(within)));
        let sent = send(&layer, bearer(&old.sign())).await;
        assert_eq!(sent.kind(), Some(Kind::StepUpDemanded));
        let challenge = challenges(sent.response.headers());
        assert_eq!(challenge[0].param("acr_values"), Some("phr"));
        assert_eq!(challenge[0].param("max_age"), Some(told));
    }
}

/// A user in no group is a user: an empty array names nothing. Another type is no claim that could be
/// compared, and the token is refused.
#[tokio::test]
async fn a_named_claim_is_a_text_or_an_array_of_texts() {
    let world = World::with(|revocation| revocation.claim("groups"), |server| server).await;
    for (groups, expected) in [
        (json!([]), None),
        (json!("staff"), None),
        (json!(["staff"]), None),
        (json!(7), Some(Kind::MalformedClaim)),
        (json!(["staff", 7]), Some(Kind::MalformedClaim)),
        (json!(null), Some(Kind::MalformedClaim)),
    ] {
        let token = world.token().claim("groups", &groups);
        assert_eq!(world.kind(&token).await, expected, "{groups}");
    }
}

/// A token that was revoked long after its issue, or as of long ago, stays revoked as long as it lives.
#[tokio::test]
async fn a_record_of_long_ago_counts_from_when_it_was_heard() {
    let world = World::new().await;
    for at in [Timestamp::EPOCH, ago(&world, 100_000), world.now()] {
        let jti = format!("t-{at}");
        world.hand.says([Record::token(ISSUER, jti.as_str(), at)]).await;
        let token = world.token().claim("jti", &jti).issued_at(world.now());
        let token = token.expires_at(world.now().plus(Duration::from_mins(59)));
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{at}");
        world.clock.advance(Duration::from_mins(58));
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{at}: to its end");
    }
}

/// What was lifted counts no more; what was said after that does.
#[tokio::test]
async fn a_lift_takes_back_what_was_said_up_to_its_time() {
    let world = World::new().await;
    let user = |effect, seconds| {
        let target = Target::Claims(Claims::subject("user-1"));
        Record::new(ISSUER, target, effect, ago(&world, seconds))
    };
    let token = || world.token().subject("user-1").claim("jti", "t-1").issued_at(ago(&world, 60));
    world.hand.says([user(Effect::Refuse, 50), user(Effect::Hold(Hold::Device), 50)]).await;
    assert_eq!(world.kind(&token()).await, Some(Kind::Suspended));
    world.hand.says([user(Effect::Lift, 51)]).await;
    assert_eq!(world.kind(&token()).await, Some(Kind::Suspended), "it was said later");
    world.hand.says([user(Effect::Lift, 50)]).await;
    assert_eq!(world.kind(&token()).await, None);

    let record = Record::token(ISSUER, "t-1", world.now());
    world.hand.says([record.clone()]).await;
    assert_eq!(world.kind(&token()).await, Some(Kind::Revoked));
    world.hand.says([record.lifted(world.now())]).await;
    assert_eq!(world.kind(&token()).await, None);
}

/// EVT-02, decision 11: a token that does not say when it was issued is refused as soon as any record is
/// about it.
#[tokio::test]
async fn a_token_without_iat_was_issued_before() {
    let (clock, hand) = (ManualClock::new(), Hand::default());
    let issuer = TestIssuer::new(ISSUER, &clock);
    let profile = TokenProfile::relaxed().may_lack(OptionalClaim::IssuedAt);
    let lax = issuer.fixed_keys().profile(profile);
    // A source of times wants `iat`: the build says so.
    let source = || Source::own("hand", hand.clone()).speaks_for([ISSUER]);
    let server = builder(&clock).issuer(lax.clone());
    let fault = server.revocation(Revocation::new().source(source())).build().unwrap_err();
    assert!(fault.to_string().contains("`iat`"), "{fault}");
    let places: Vec<_> = fault.places().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(places, ["revocation.sources[0].speaks_for[0]"]);

    // This process speaks for whom it likes.
    let api = builder(&clock).issuer(lax).revocation(Revocation::new()).build().unwrap();
    let kind = async |subject: &str| {
        let token = issuer.token(RESOURCE).subject(subject).without("iat").sign();
        send(&api.layer(), bearer(&token)).await.kind()
    };
    assert_eq!(kind("ann").await, None);
    let long_ago = clock.now().minus(Duration::from_hours(10));
    let record = Record::matching(ISSUER, Claims::subject("ann"), long_ago);
    api.revocations().revoke(record).await.unwrap();
    assert_eq!(kind("ann").await, Some(Kind::Revoked));
    assert_eq!(kind("bob").await, None);
}

/// EVT-01: a record is kept for as long as a token can live that it is about, and no longer.
#[tokio::test]
async fn records_are_kept_while_they_can_matter() {
    let world = World::new().await;
    let now = world.now();
    let record = Record::token(ISSUER, "t-1", now).until(now.plus(10 * MINUTE));
    world.hand.says([record, Record::matching(ISSUER, Claims::subject("ann"), now)]).await;
    assert_eq!(world.api.revocations().records(), 2);
    // What is dropped is dropped on another thread: time passes until that was seen.
    let mut passed = Duration::ZERO;
    for (left, least, what) in [
        (1, 60 * MINUTE, "the subject's, after an hour: that is what a token may live"),
        (0, 120 * MINUTE, "the token's, after twice as long"),
    ] {
        while world.api.revocations().records() > left {
            world.clock.advance(Duration::from_secs(30));
            passed += Duration::from_secs(30);
            crate::support::settle().await;
            std::thread::yield_now();
            assert!(passed < Duration::from_hours(24 * 365), "{what}");
        }
        assert!(passed > least, "{what}: it went after {passed:?}");
    }
}

/// Attack 39: a clock that jumps ahead and comes back brings no revoked token back.
#[tokio::test]
async fn attack_39_a_wrong_clock_brings_nothing_back() {
    let world = World::new().await;
    let now = world.now();
    let claims = Claims::subject("user-1");
    world
        .hand
        .says([Record::token(ISSUER, "t-1", now), Record::matching(ISSUER, claims, now)])
        .await;
    let living = || world.token().issued_at(now).expires_at(now.plus(50 * MINUTE));
    let by_jti = living().subject("user-2").claim("jti", "t-1");
    let by_subject = living().subject("user-1");
    world.clock.set(now.plus(Duration::from_hours(48)));
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(30));
        crate::support::settle().await;
    }
    world.clock.set(now.plus(Duration::from_secs(1_200)));
    world.hand.synchronised().await;
    assert_eq!(world.kind(&by_jti).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&by_subject).await, Some(Kind::Revoked));
    let other = living().subject("user-2");
    assert_eq!(world.kind(&other).await, None, "the twin");
    // `iat` is compared with the time of the record, never with the clock.
    world.clock.set(now.minus(Duration::from_secs(5)));
    assert_eq!(world.kind(&by_subject).await, Some(Kind::Revoked), "a clock that is late");
}

/// Attack 39, EVT-01: nor does a clock that is ahead when the process starts, as on a machine that has not asked
/// for the time yet; neither in memory nor in the journal.
#[tokio::test]
async fn attack_39_a_clock_that_is_wrong_at_the_start_drops_nothing() {
    let directory = Directory::new();
    let file = directory.path().join("revocations.redb");
    let journal = opened(&file);
    let world = World::with(|revocation| revocation.journal(journal), |builder| builder).await;
    let right = world.now().minus(Duration::from_hours(9));
    let by_jti = Record::token(ISSUER, "t-1", right).until(right.plus(50 * MINUTE));
    let by_subject = Record::matching(ISSUER, Claims::subject("user-1"), right);
    world.hand.says([by_jti, by_subject]).await;
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(30));
        crate::support::settle().await;
    }
    // Now somebody asks for the time.
    world.clock.set(right.plus(20 * MINUTE));

    let World { clock, issuer, hand, api } = world;
    let living = || issuer.token(RESOURCE).issued_at(right).expires_at(right.plus(50 * MINUTE));
    let is_as_it_was = async |api: &ResourceServer, hand: &Hand, when: &str| {
        hand.synchronised().await;
        let kind =
            async |token: TokenBuilder| send(&api.layer(), bearer(&token.sign())).await.kind();
        let by_jti = living().subject("user-2").claim("jti", "t-1");
        assert_eq!(kind(by_jti).await, Some(Kind::Revoked), "{when}");
        assert_eq!(kind(living().subject("user-1")).await, Some(Kind::Revoked), "{when}");
        assert_eq!(kind(living().subject("user-2")).await, None, "{when}: the twin");
    };
    is_as_it_was(&api, &hand, "the clock is right again").await;

    drop((api, hand));
    crate::support::settle().await;
    let hand = Hand::default();
    let known = Revocation::new().source(source(&hand)).journal(opened(&file));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    send(&api.layer(), bearer(&living().sign())).await; // the first request starts the sources
    assert_eq!(api.revocations().records(), 2);
    is_as_it_was(&api, &hand, "after a restart").await;
}

/// EVT-01: where room is scarce, what is over by the clock of the start makes room at once; else after an hour.
#[tokio::test]
async fn where_room_is_scarce_nobody_waits_an_hour_for_it() {
    for (count, scarce) in [(6_u64, false), (7, true)] {
        let world = World::with(|revocation| revocation.max_records(8), |builder| builder).await;
        let old = ago(&world, 86_400);
        world
            .hand
            .says((0..count).map(|n| Record::token(ISSUER, n.to_string(), old).until(old)))
            .await;
        let records = || world.api.revocations().records();
        // Half a minute each, until there is none: it is done on another thread.
        let pass = async |steps: u32| {
            for _ in 0..steps {
                world.clock.advance(Duration::from_secs(30));
                for _ in 0..20 {
                    crate::support::settle().await;
                    std::thread::yield_now();
                }
                if records() == 0 {
                    break;
                }
            }
            records()
        };
        match scarce {
            true => assert_eq!(pass(100).await, 0, "within 50 minutes"),
            false => assert_eq!(pass(20).await, 6),
        }
        assert_eq!(pass(1_000).await, 0, "{count}");
    }
}

/// A lift says of its own when it was, and not how long what it takes back was to be remembered.
#[test]
fn a_lift_has_no_end_of_what_it_lifts() {
    let at = |second: u64| Timestamp::from_secs(1_800_000_000 + second);
    let record = Record::token(ISSUER, "a", at(0)).until(at(60));
    assert_eq!((record.at(), record.expires_at()), (at(0), Some(at(60))));
    let lift = record.lifted(at(30));
    assert_eq!((lift.at(), lift.expires_at(), lift.effect()), (at(30), None, Effect::Lift));
    assert_eq!((lift.issuer_id(), lift.target()), (record.issuer_id(), record.target()));
}

/// What took a token back that can live no more says nothing, and takes no room.
#[tokio::test]
async fn a_lift_of_what_has_ended_takes_no_room() {
    let world = World::new().await;
    let now = world.now();
    let lifted = |jti: &str, at| Record::token(ISSUER, jti, at).lifted(at);
    // A token lives an hour here.
    let (hour, moment) = (Duration::from_hours(1), Duration::from_nanos(1));
    world.hand.says([lifted("old", now.minus(Duration::from_hours(24)))]).await;
    world.hand.says([lifted("just too old", now.minus(hour + moment))]).await;
    assert_eq!(world.api.revocations().records(), 0);
    world.hand.says([lifted("just young enough", now.minus(hour))]).await;
    assert_eq!(world.api.revocations().records(), 1);
    world.hand.says([lifted("young", now)]).await;
    assert_eq!(world.api.revocations().records(), 2);
}

/// Attack: an old removal that is told again takes back nothing that was said after it.
#[tokio::test]
async fn an_old_lift_takes_back_nothing_newer() {
    let world = World::new().await;
    let token = || world.token().claim("jti", "t-1");
    let lift = Record::token(ISSUER, "t-1", ago(&world, 50)).lifted(ago(&world, 50));
    world.hand.says([Record::token(ISSUER, "t-1", ago(&world, 60)), lift.clone()]).await;
    assert_eq!(world.kind(&token()).await, None);
    world.api.revocations().revoke(Record::token(ISSUER, "t-1", world.now())).await.unwrap();
    assert_eq!(world.kind(&token()).await, Some(Kind::Revoked));
    world.hand.says([lift.clone()]).await;
    assert_eq!(world.kind(&token()).await, Some(Kind::Revoked), "said again");
    let other = Record::token(ISSUER, "t-2", world.now());
    world.hand.says([other.clone(), other.lifted(ago(&world, 50))]).await;
    let kind = world.kind(&world.token().claim("jti", "t-2")).await;
    assert_eq!(kind, Some(Kind::Revoked), "said for the first time, and late");
    world.hand.says([other.lifted(world.now())]).await;
    assert_eq!(world.kind(&world.token().claim("jti", "t-2")).await, None);
}

/// A record that could never match is no silent success.
#[tokio::test]
async fn what_can_have_no_effect_is_an_error_or_counted() {
    let world = World::new().await;
    let now = world.now();
    let long = "x".repeat(Record::MAX_LENGTH + 1);
    let many = (0..=Claims::MAX).fold(Claims::subject("ann"), |claims, number| {
        claims.and(Claim::Session, number.to_string())
    });
    for record in [
        Record::token(ISSUER, "", now),
        Record::token(ISSUER, long.as_str(), now),
        Record::matching(ISSUER, Claims::one(Claim::Named("tid".into()), "x"), now),
        Record::matching(ISSUER, many, now),
        Record::key("", "k", now),
        Record::issuer(ISSUER, now.plus(Duration::from_secs(301))),
    ] {
        let error = world.api.revocations().revoke(record.clone()).await.unwrap_err();
        assert!(error.to_string().contains("record"), "{error}");
    }
    let unknown = Record::matching(ISSUER, Claims::one(Claim::Named("tid".into()), "x"), now);
    world.hand.says([unknown]).await;
    assert_eq!(world.api.revocations().health()[1].unusable, 1);
    assert_eq!(world.api.revocations().records(), 0);
}

/// Attack 42, EVT-01: a batch of which a record is early is not taken, not even the moment up to which it says
/// that all is known; who tells it is told so, and the same batch is taken later. What has no effect at any time
/// is counted, and keeps nothing from being taken.
#[tokio::test]
async fn attack_42_a_batch_with_an_early_record_is_not_taken_yet() {
    let world = World::new().await;
    let handle = world.hand.handle().await;
    let ahead = |seconds: u64| world.now().plus(Duration::from_secs(seconds));
    let ann = Record::matching(ISSUER, Claims::subject("ann"), world.now());
    let bob = Record::matching(ISSUER, Claims::subject("bob"), ahead(330));
    let never = [
        Record::issuer("https://b.example", ahead(330)),
        Record::matching(ISSUER, Claims::one(Claim::Named("tid".into()), "x"), ahead(330)),
    ];
    let batch = || {
        let records = [ann.clone(), bob.clone()].into_iter().chain(never.clone());
        Batch::of(records).state(*b"2").synchronised(handle.clock().moment())
    };
    let own = || world.api.revocations().health().remove(1);
    world.clock.advance(Duration::from_secs(29));
    let error = handle.apply(batch()).await.unwrap_err();
    let told = bob.at();
    assert!(matches!(&error, ApplyError::Early { at, .. } if *at == told), "{error:?}");
    assert_eq!(own().last_error, Some(error.to_string()));
    assert_eq!((own().failures, own().unusable, own().applied), (1, 0, 0));
    assert_eq!(own().age, Some(Duration::from_secs(29)), "as old as before");
    assert_eq!((handle.state(), world.api.revocations().records()), (None, 0));
    world.clock.advance(Duration::from_secs(1));
    let applied = handle.apply(batch()).await.unwrap();
    assert_eq!((applied.applied, applied.foreign, applied.unusable), (2, 1, 1));
    assert_eq!((own().age, own().last_error), (Some(Duration::ZERO), None));
    assert_eq!(handle.state().as_deref(), Some(&b"2"[..]));
    assert_eq!(world.kind(&world.token().subject("bob")).await, Some(Kind::Revoked));
}
