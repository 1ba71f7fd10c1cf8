//! Each line of the effective policy on revocation is enforced.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::ResourceServer;
use portcullis::jose::Algorithm;
use portcullis::revocation::{
    AssuranceAction, Claim, Claims, OnStale, Record, RiskAction, StatusAction, WhenFull,
};
use portcullis::testing::Failure;
use portcullis::time::Clock as _;
use serde_json::json;

use super::leaves;
use super::world::{
    FED, Known, LISTED, MINUTE, OTHER, POLLED, PUSHED, SECOND, World, kind, until, user,
};
use crate::support::{bearer, send, settle};

type Probe =
    for<'a> fn(&'a World, &'a ResourceServer) -> Pin<Box<dyn Future<Output = String> + 'a>>;

/// A setting: its lines, a change of it, and requests that show the difference.
struct Line {
    pointers: &'static [&'static str],
    change: fn(&mut Known),
    probe: Probe,
}

macro_rules! line {
    ([$($pointer:literal),+], $change:expr, |$world:ident, $api:ident| $probe:expr) => {
        Line {
            pointers: &[$($pointer),+],
            change: $change,
            probe: |$world, $api| Box::pin(async move { $probe }),
        }
    };
}

/// What counts for all sources.
fn common_lines() -> Vec<Line> {
    async fn revoke_two(w: &World, api: &ResourceServer) -> String {
        let (at, mut told) = (w.clock.now(), String::new());
        for jti in ["a", "b"] {
            let done = api.revocations().revoke(Record::token(OTHER, jti, at)).await;
            told += &format!("{} ", done.is_ok());
            told += &kind(api, &w.token(OTHER).claim("jti", jti)).await;
        }
        told
    }
    vec![
        line!(
            ["/revocation/on_stale/allow_for", "/revocation/sources/1/on_stale/allow_for"],
            |s| s.on_stale = OnStale::AllowFor(20 * MINUTE),
            |w, api| {
                w.listen(api).await;
                w.two.fail(Failure::Connection);
                w.clock.advance(15 * MINUTE);
                kind(api, &w.token(POLLED)).await
            }
        ),
        line!(["/revocation/claims/0"], |s| s.claim = "team", |w, api| {
            let claims = Claims::one(Claim::Named("department".into()), "sales");
            let record = Record::matching(OTHER, claims, w.clock.now());
            let done = api.revocations().revoke(record).await.is_ok();
            format!("{done} {}", kind(api, &w.token(OTHER).claim("department", "sales")).await)
        }),
        line!(["/revocation/max_records"], |s| s.max_records = 1, |w, api| revoke_two(w, api)
            .await),
        line!(["/revocation/when_full"], |s| s.when_full = WhenFull::FoldCutOffs, |w, api| {
            let mut taken = 0;
            for number in 0..30 {
                let claims = Claims::subject(format!("user-{number}"));
                let record = Record::matching(OTHER, claims, w.clock.now());
                taken += usize::from(api.revocations().revoke(record).await.is_ok());
            }
            format!("{taken} {}", kind(api, &w.token(OTHER)).await)
        }),
    ]
}

/// A stream that is pushed and verified.
fn pushed_lines() -> Vec<Line> {
    /// What becomes of a token a quarter of an hour after the transmitter spoke last.
    async fn later(w: &World, api: &ResourceServer) -> String {
        w.listen(api).await;
        w.one.fail(Failure::Connection);
        w.clock.advance(15 * MINUTE);
        kind(api, &w.token(PUSHED)).await
    }
    vec![
        line!(["/revocation/sources/0/name"], |s| s.pushed.name = "renamed", |w, api| {
            let told = w.revoked(api).await;
            format!("{told} {}", api.event_receiver("pushed").is_some())
        }),
        line!(["/revocation/sources/0/speaks_for/0"], |s| s.pushed.speaks_for = OTHER, |w, api| w
            .revoked(api)
            .await),
        line!(["/revocation/sources/0/max_age"], |s| s.pushed.max_age = 20 * MINUTE, |w, api| {
            later(w, api).await
        }),
        line!(
            ["/revocation/sources/0/on_stale/allow_for"],
            |s| s.pushed.on_stale = OnStale::AllowFor(20 * MINUTE),
            |w, api| later(w, api).await
        ),
        line!(
            ["/revocation/sources/0/events/id"],
            |s| s.pushed.id = "https://x.example",
            |w, api| w.revoked(api).await
        ),
        line!(
            ["/revocation/sources/0/events/jwks_uri"],
            |s| s.pushed.jwks_uri = "https://x.example/jwks.json",
            |w, api| w.revoked(api).await
        ),
        line!(
            ["/revocation/sources/0/events/algorithms/0"],
            |s| s.pushed.algorithm = Algorithm::Es384,
            |w, api| w.revoked(api).await
        ),
        line!(
            ["/revocation/sources/0/events/audience/0"],
            |s| s.pushed.audience = "https://x.example",
            |w, api| w.revoked(api).await
        ),
        line!(
            ["/revocation/sources/0/events/stream_id"],
            |s| s.pushed.stream_id = "x",
            |w, api| {
                w.listen(api).await;
                kind(api, &w.token(PUSHED)).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/critical_subject_members/0"],
            |s| s.pushed.critical = "shop",
            |w, api| {
                let device = json!({ "format": "opaque", "id": "d" });
                let subject = json!({ "format": "complex", "user": user(), "device": device });
                let (token, event) = (w.token(PUSHED), "caep/session-revoked");
                w.happens(api, token, event, subject, json!({})).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/subjects/email"],
            |s| s.pushed.email = "mail",
            |w, api| {
                let subject = json!({ "format": "email", "email": "a@b" });
                let token = w.token(PUSHED).claim("email", "a@b");
                w.happens(api, token, "risc/sessions-revoked", subject, json!({})).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/subjects/session"],
            |s| s.pushed.session = "session_state",
            |w, api| {
                let subject = json!({ "format": "opaque", "id": "s-1" });
                let token = w.token(PUSHED).claim("sid", "s-1");
                w.happens(api, token, "caep/session-revoked", subject, json!({})).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/on_high_risk"],
            |s| s.pushed.risk = RiskAction::Ignore,
            |w, api| {
                let members = json!({ "principal": "USER", "current_level": "HIGH" });
                let (token, event) = (w.token(PUSHED), "caep/risk-level-change");
                w.happens(api, token, event, user(), members).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/on_assurance_decrease"],
            |s| s.pushed.assurance = AssuranceAction::Refuse,
            |w, api| {
                let members = json!({
                    "namespace": "NIST-AAL", "current_level": "nist-aal1",
                    "change_direction": "decrease",
                });
                let (token, event) = (w.token(PUSHED), "caep/assurance-level-change");
                w.happens(api, token, event, user(), members).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/push/authorization/0/env"],
            |s| s.pushed.secret = Some("CARGO_PKG_VERSION"),
            |w, api| w.revoked(api).await
        ),
        line!(
            ["/revocation/sources/0/events/push/signature_only"],
            |s| s.pushed.secret = None,
            |w, api| {
                w.listen(api).await;
                let token = w.token(PUSHED);
                w.push(api, &w.one.session_revoked(PUSHED, "alice"), None).await;
                kind(api, &token).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/push/verification/url"],
            |s| s.pushed.verification[0] = "https://x.example/verify",
            |w, api| {
                w.listen(api).await;
                kind(api, &w.token(PUSHED)).await
            }
        ),
        line!(
            ["/revocation/sources/0/events/push/verification/bearer/env"],
            |s| s.pushed.verification[1] = "CARGO_PKG_VERSION",
            |w, api| {
                w.listen(api).await;
                kind(api, &w.token(PUSHED)).await
            }
        ),
    ]
}

/// A stream that is polled.
fn polled_lines() -> Vec<Line> {
    async fn heard(w: &World, api: &ResourceServer) -> String {
        let token = w.token(POLLED);
        w.two.offer(&w.two.session_revoked(POLLED, "alice"));
        w.listen(api).await;
        kind(api, &token).await
    }
    vec![
        line!(
            ["/revocation/sources/1/events/keys"],
            |s| s.polled.jwks_uri = Some("https://x.example/jwks.json"),
            |w, api| heard(w, api).await
        ),
        line!(
            ["/revocation/sources/1/events/poll/url"],
            |s| s.polled.url = "https://two.example/elsewhere",
            |w, api| heard(w, api).await
        ),
        line!(
            ["/revocation/sources/1/events/poll/authorization/env"],
            |s| s.polled.secret = "CARGO_PKG_VERSION",
            |w, api| heard(w, api).await
        ),
        line!(
            ["/revocation/sources/1/events/poll/every"],
            |s| s.polled.every = MINUTE,
            |w, api| {
                w.listen(api).await;
                let token = w.token(POLLED);
                w.two.offer(&w.two.session_revoked(POLLED, "alice"));
                w.clock.advance(11 * SECOND);
                until(|| api.revocations().health()[2].applied > 0).await;
                kind(api, &token).await
            }
        ),
        // One that gives more than it was asked for is asked again.
        line!(
            ["/revocation/sources/1/events/poll/max_events"],
            |s| s.polled.max_events = 1,
            |w, api| {
                w.listen(api).await;
                format!("{}", w.two.polls()[0].0["maxEvents"])
            }
        ),
    ]
}

fn feed_lines() -> Vec<Line> {
    /// What becomes of a token of the whole document, and of one that it does not name.
    async fn fed(w: &World, api: &ResourceServer) -> String {
        w.listen(api).await;
        let named = kind(api, &w.token(FED).claim("jti", "f-1")).await;
        named + &kind(api, &w.token(FED)).await
    }
    /// And of one that the next document names.
    async fn changed(w: &World, api: &ResourceServer) -> String {
        w.listen(api).await;
        w.clock.advance(11 * SECOND);
        until(|| api.revocations().health()[3].applied > 2).await;
        kind(api, &w.token(FED).claim("jti", "f-2")).await
    }
    vec![
        line!(
            ["/revocation/sources/2/on_stale"],
            |s| s.feed.on_stale = OnStale::InsecureUnbounded,
            |w, api| {
                w.listen(api).await;
                w.gate.feed_is_down.store(true, Ordering::Relaxed);
                w.clock.advance(3 * MINUTE);
                kind(api, &w.token(FED)).await
            }
        ),
        line!(
            ["/revocation/sources/2/feed/url"],
            |s| s.feed.url = "https://feed.example/nothing",
            |w, api| fed(w, api).await
        ),
        line!(["/revocation/sources/2/feed/id"], |s| s.feed.id = "urn:x", |w, api| {
            fed(w, api).await
        }),
        line!(
            ["/revocation/sources/2/feed/delta"],
            |s| s.feed.delta = "https://feed.example/nothing/{sequence}",
            |w, api| changed(w, api).await
        ),
        line!(["/revocation/sources/2/feed/every"], |s| s.feed.every = MINUTE, |w, api| {
            changed(w, api).await
        }),
        line!(
            ["/revocation/sources/2/feed/authorization/env"],
            |s| s.feed.secret = "CARGO_PKG_VERSION",
            |w, api| fed(w, api).await
        ),
        line!(["/revocation/sources/2/feed/max_bytes"], |s| s.feed.max_bytes = 100, |w, api| {
            fed(w, api).await
        }),
        line!(["/revocation/sources/2/feed/max_records"], |s| s.feed.max_records = 1, |w, api| {
            fed(w, api).await
        }),
    ]
}

fn list_lines() -> Vec<Line> {
    /// What becomes of a token with this status.
    async fn status(w: &World, api: &ResourceServer, status: u8) -> String {
        w.lists[0].set(1, status);
        kind(api, &w.listed(0, 1)).await
    }
    /// And of a token that is revoked after its list, which says that it is good for so long, was
    /// fetched.
    async fn after(w: &World, api: &ResourceServer, ttl: Duration, time: Duration) -> String {
        w.lists[0].ttl(ttl);
        let before = kind(api, &w.listed(0, 1)).await;
        w.lists[0].set(1, 1);
        w.clock.advance(time);
        settle().await;
        before + &kind(api, &w.listed(0, 1)).await
    }
    /// And of one whose list cannot be had any more, since another one was used.
    async fn two(w: &World, api: &ResourceServer) -> String {
        let mut told = String::new();
        for list in [0, 1, 0] {
            w.clock.advance(SECOND);
            w.lists[list].resize(8, 1_800);
            told += &kind(api, &w.listed(list, 1)).await;
            w.lists[list].fail(Failure::Connection);
        }
        told
    }
    vec![
        line!(
            ["/revocation/status_lists/issuers/0"],
            |s| {
                s.lists.issuers[0] = FED;
                s.lists.prefetch[0] = OTHER;
            },
            |w, api| status(w, api, 1).await
        ),
        line!(["/revocation/status_lists/issuers/1"], |s| s.lists.issuers[1] = FED, |w, api| {
            w.lists[3].set(1, 1);
            kind(api, &w.token(OTHER).claim("status", w.lists[3].reference(1))).await
        }),
        line!(["/revocation/status_lists/require"], |s| s.lists.require = true, |w, api| {
            kind(api, &w.token(LISTED)).await
        }),
        line!(
            ["/revocation/status_lists/allow_uris_at/0"],
            |s| s.lists.origin = "https://x.example",
            |w, api| status(w, api, 0).await
        ),
        line!(
            ["/revocation/status_lists/algorithms/0"],
            |s| s.lists.algorithm = Algorithm::Es384,
            |w, api| status(w, api, 0).await
        ),
        line!(["/revocation/status_lists/min_ttl"], |s| s.lists.ttl[0] = SECOND, |w, api| {
            after(w, api, SECOND, 20 * SECOND).await
        }),
        line!(["/revocation/status_lists/max_ttl"], |s| s.lists.ttl[1] = MINUTE, |w, api| {
            after(w, api, 60 * MINUTE, 5 * MINUTE).await
        }),
        line!(
            ["/revocation/status_lists/max_age"],
            |s| s.lists.max_age = 120 * MINUTE,
            |w, api| {
                w.lists[0].issued_at(w.clock.now().minus(90 * MINUTE));
                status(w, api, 0).await
            }
        ),
        line!(
            ["/revocation/status_lists/on_stale/allow_for"],
            |s| s.lists.on_stale = OnStale::AllowFor(20 * MINUTE),
            |w, api| {
                let before = status(w, api, 0).await;
                w.lists[0].fail(Failure::Connection);
                w.clock.advance(30 * MINUTE);
                before + &status(w, api, 0).await
            }
        ),
        line!(
            ["/revocation/status_lists/suspended"],
            |s| s.lists.suspended = StatusAction::StepUp,
            |w, api| status(w, api, 2).await
        ),
        line!(
            ["/revocation/status_lists/application_specific/3"],
            |s| s.lists.specific = StatusAction::Refuse,
            |w, api| status(w, api, 3).await
        ),
        line!(["/revocation/status_lists/max_lists"], |s| s.lists.most.0 = 2, |w, api| {
            two(w, api).await
        }),
        line!(["/revocation/status_lists/max_bytes"], |s| s.lists.most.1 = 3_000, |w, api| {
            two(w, api).await
        }),
        line!(["/revocation/status_lists/max_entries"], |s| s.lists.most.2 = 1_000, |w, api| {
            status(w, api, 0).await
        }),
        line!(
            ["/revocation/status_lists/wait_at_most"],
            |s| s.lists.wait = 2 * SECOND,
            |w, api| {
                w.lists[0].hold();
                let (layer, request) = (api.layer(), bearer(&w.listed(0, 1).sign()));
                let task = tokio::spawn(async move { send(&layer, request).await.kind() });
                settle().await;
                w.clock.advance(3 * SECOND / 2);
                settle().await;
                let answered = task.is_finished();
                task.abort();
                format!("answered after one and a half seconds: {answered}")
            }
        ),
        line!(
            ["/revocation/status_lists/prefetch/0/uri"],
            |s| s.lists.prefetch[1] = "https://lists.example/nothing",
            |w, api| prefetched(w, api).await
        ),
        line!(
            ["/revocation/status_lists/prefetch/0/issuer"],
            |s| s.lists.prefetch[0] = OTHER,
            |w, api| prefetched(w, api).await
        ),
    ]
}

/// What becomes of a token whose list cannot be had any more when it is first used.
async fn prefetched(w: &World, api: &ResourceServer) -> String {
    let _ = kind(api, &w.token(OTHER)).await;
    settle().await;
    w.lists[2].fail(Failure::Connection);
    kind(api, &w.listed(2, 1)).await
}

/// Lines that say what others say.
fn explained(pointer: &str) -> bool {
    // What every source has, and every stream, the first of them shows.
    let twin = |source: &str| {
        let rest = pointer.strip_prefix("/revocation/sources/").unwrap_or_default();
        rest.strip_prefix(source).is_some_and(|rest| {
            let common = ["/name", "/speaks_for/0", "/max_age"];
            let event = ["/id", "/algorithms", "/audience", "/subjects", "/on_"];
            common.contains(&rest)
                || rest
                    .strip_prefix("/events")
                    .is_some_and(|rest| event.iter().any(|member| rest.starts_with(member)))
        })
    };
    twin("1") || twin("2")
}

#[tokio::test]
async fn each_line_on_revocation_is_enforced() {
    let base = Known::base();
    let policy = base.build(&World::new()).effective_policy();
    assert_eq!(policy.get("not_enforced"), None, "all of it is");

    let mut shown = BTreeSet::new();
    let lines = common_lines().into_iter().chain(pushed_lines()).chain(polled_lines());
    for line in lines.chain(feed_lines()).chain(list_lines()) {
        let mut changed = base.clone();
        (line.change)(&mut changed);
        let run = async |settings: &Known| {
            let world = World::new();
            let server = settings.build(&world);
            let outcome = (line.probe)(&world, &server).await;
            (server.effective_policy(), outcome)
        };
        let (before, was) = run(&base).await;
        let (after, is) = run(&changed).await;
        assert_eq!(before, policy, "the base is always the same");
        assert_ne!(was, is, "{:?} is not enforced", line.pointers);
        for pointer in line.pointers {
            let value = before.pointer(pointer);
            assert!(value.is_some(), "no line {pointer}\n{before:#}");
            assert_ne!(value, after.pointer(pointer), "{pointer} does not show the change");
            shown.insert((*pointer).to_owned());
        }
    }
    let mut all = BTreeSet::new();
    leaves(&policy["revocation"], "/revocation", &mut all);
    let unproven: Vec<_> = all.difference(&shown).filter(|pointer| !explained(pointer)).collect();
    assert!(unproven.is_empty(), "lines that nothing proves: {unproven:#?}\n{policy:#}");
}
