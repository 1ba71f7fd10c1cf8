//! What is applied, folded and dropped, asked of the index itself.

use super::*;
use crate::access::{Addressed, Confirmation, Origin, SubjectKind};
use crate::name::{IssuerId, JwtId, Subject};
use crate::revocation::record::{Claims, Hold};

const ONE: &str = "https://one.example";
const OTHER: &str = "https://other.example";
const LIFE: Duration = Duration::from_hours(1);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn index() -> Index {
    Index::new(Arc::new(["tid".into(), "groups".into()]), LIFE)
}

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

/// What a token of this user says that was issued so many seconds ago.
fn facts(issuer: &str, subject: &str, issued_ago: u64) -> Facts {
    Facts {
        issuer: Arc::new(IssuerId::parse(issuer).unwrap()),
        subject: Subject::from_token(subject),
        subject_kind: SubjectKind::Person,
        client_id: None,
        jwt_id: None,
        audiences: Vec::new(),
        scope: Box::default(),
        issued_at: Some(ago(issued_ago)),
        not_before: None,
        expires_at: NOW.plus(LIFE),
        auth_time: None,
        acr: None,
        actor: None,
        confirmation: Confirmation::Absent,
        key_id: None,
        session: None,
        named: Box::default(),
        status: None,
        origin: Origin::Token,
        addressed: Addressed::Named,
        claims: Box::default(),
    }
}

fn user(issuer: &str, subject: &str, effect: Effect, seconds_ago: u64) -> Record {
    Record::new(issuer, Target::Claims(Claims::subject(subject)), effect, ago(seconds_ago))
}

fn cut_off(issuer: &str, subject: &str, seconds_ago: u64) -> Record {
    user(issuer, subject, Effect::Refuse, seconds_ago)
}

/// RISC-02: a release is of a reason, and one token is held for none: it neither revokes it nor gives it
/// back.
#[test]
fn a_release_says_nothing_of_one_token() {
    let index = index();
    let token = || Facts { jwt_id: Some(JwtId::from_token("t")), ..facts(ONE, "ann", 10) };
    let said = |effect| Record::new(ONE, Target::Token("t".into()), effect, NOW);
    let release = said(Effect::Release(Hold::Account));
    index.apply(std::slice::from_ref(&release));
    assert_eq!((index.ask(&token(), NOW), index.len()), (Finding::Clear, 0));
    index.apply(&[said(Effect::Refuse), release]);
    assert_eq!(index.ask(&token(), NOW), Finding::Token);
}

/// A claim is told by its name too: the same value of another one is another.
#[test]
fn the_same_value_of_another_claim_is_another() {
    let index = index();
    let claims = Claims::one(Claim::Named("tid".into()), "x");
    index.apply(&[Record::matching(ONE, claims, ago(10))]);
    let token = |claim: u16| Facts { named: [(claim, "x".into())].into(), ..facts(ONE, "ann", 10) };
    assert_eq!(index.ask(&token(0), NOW), Finding::IssuedBefore(About::Named(0), ago(10)));
    assert_eq!(index.ask(&token(1), NOW), Finding::Clear);
}

/// Folding for some issuers gives up cut-offs of theirs and of nobody else, however many others have.
#[test]
fn folding_touches_the_issuer_that_it_is_for_and_no_other() {
    let index = index();
    let others = [("a", 50), ("b", 60), ("c", 70)];
    index.apply(&others.map(|(name, ago)| cut_off(OTHER, name, ago)));
    assert_eq!(index.fold(Some(&[ONE.into()])), None, "it has none");
    index.apply(&[cut_off(ONE, "ann", 50)]);
    assert_eq!(index.fold(Some(&[ONE.into()])), None, "the issuer's would be one as well");
    index.apply(&[cut_off(ONE, "bob", 40), cut_off(ONE, "cyd", 20)]);
    assert_eq!(index.fold(Some(&[ONE.into()])), Some((ONE.to_owned(), ago(40))));
    assert_eq!(index.len(), 5, "two of its three became the issuer's");
    for (subject, seconds, found) in [
        ("ann", 40, Finding::IssuedBefore(About::Issuer, ago(40))),
        ("nobody", 40, Finding::IssuedBefore(About::Issuer, ago(40))),
        ("nobody", 39, Finding::Clear),
        ("cyd", 20, Finding::IssuedBefore(About::Subject, ago(20))),
    ] {
        assert_eq!(index.ask(&facts(ONE, subject, seconds), NOW), found, "{subject}, {seconds}");
    }
    for (subject, seconds) in others {
        let token = facts(OTHER, subject, seconds);
        assert_eq!(index.ask(&token, NOW), Finding::IssuedBefore(About::Subject, ago(seconds)));
    }
    assert_eq!(index.ask(&facts(OTHER, "nobody", 100), NOW), Finding::Clear);
    assert_eq!(index.fold(Some(&[ONE.into()])), Some((ONE.to_owned(), ago(20))));
    assert_eq!(index.len(), 4, "the last one joins the issuer's");
}

/// The issuer with the most cut-offs is folded, its own among them; of several that have as many, the first by
/// name.
#[test]
fn the_issuer_that_is_folded_is_chosen_by_its_number_and_name() {
    let index = index();
    let names = ["h", "g", "f", "e", "d", "c", "b", "a"];
    for name in names {
        let issuer = format!("https://{name}.example");
        index.apply(&[cut_off(&issuer, "ann", 50), cut_off(&issuer, "bob", 40)]);
    }
    index.apply(&[Record::issuer("https://g.example", ago(60))]);
    for name in ["g", "a", "b", "c", "d", "e", "f", "h"] {
        let issuer = format!("https://{name}.example");
        assert_eq!(index.fold(None), Some((issuer, ago(40))));
    }
    assert_eq!(index.fold(None), None);
}

/// The issuer's own cut-off is what others are folded into: it makes no room, and is not given up.
#[test]
fn the_cut_off_of_an_issuer_is_not_folded() {
    let index = index();
    index.apply(&[Record::issuer(ONE, ago(10))]);
    assert_eq!(index.fold(None), None);
    let held = user(ONE, "ann", Effect::Hold(Hold::Account), 10);
    index.apply(&[held, cut_off(ONE, "ann", 10)]);
    assert_eq!(index.fold(None), None, "nor is what says more than a cut-off");
    assert_eq!(
        index.ask(&facts(ONE, "ann", 0), NOW),
        Finding::Held(About::Subject, Some(Hold::Account))
    );
    assert_eq!(
        index.ask(&facts(ONE, "bob", 10), NOW),
        Finding::IssuedBefore(About::Issuer, ago(10))
    );
}

/// EVT-01: of what was said of one user the cut-off that can matter no more is dropped, and the rest stays;
/// who has nothing left goes.
#[test]
fn a_purge_drops_what_is_over_and_keeps_the_rest() {
    let index = index();
    let old = 2 * LIFE.as_secs();
    index.apply(&[
        cut_off(ONE, "ann", old),
        user(ONE, "ann", Effect::HoldForStepUp(Hold::Risk), old),
        cut_off(ONE, "bob", old),
        cut_off(ONE, "eve", LIFE.as_secs()),
    ]);
    let ann = |auth_time| Facts { auth_time, ..facts(ONE, "ann", old) };
    let held = Finding::StepUp(About::Subject, ago(old));
    let since = Some(ago(old - 1));
    assert_eq!(index.ask(&ann(since), NOW), Finding::IssuedBefore(About::Subject, ago(old)));
    assert_eq!(index.ask(&facts(ONE, "ann", 0), NOW), held);
    (0..Index::PURGES).for_each(|_| index.purge(NOW));
    assert_eq!(index.ask(&ann(since), NOW), Finding::Clear, "who has authenticated since");
    assert_eq!(index.ask(&ann(None), NOW), held);
    assert_eq!(index.ask(&facts(ONE, "bob", old), NOW), Finding::Clear);
    let eve = facts(ONE, "eve", LIFE.as_secs());
    assert_eq!(index.ask(&eve, NOW), Finding::IssuedBefore(About::Subject, ago(LIFE.as_secs())));
    assert_eq!(index.len(), 2);
}

/// EVT-01: tokens are looked through in sixteen purges or some more: never all at once, while others wait
/// to write, and never so slowly that what is over piles up.
#[test]
fn a_purge_looks_through_a_part_of_the_tokens() {
    let index = index();
    let (tokens, over) = (17_000_u64, 850);
    let records: Vec<_> = (0..tokens)
        .map(|number| {
            let long_ago = ago(4 * LIFE.as_secs());
            let at = if number.is_multiple_of(20) { long_ago } else { NOW };
            Record::token(ONE, number.to_string(), at)
        })
        .collect();
    index.apply(&records);
    let mut purges = 0;
    let all = index.len();
    while all - index.len() < over {
        index.purge(NOW);
        purges += 1;
        assert!(purges <= 2 * Index::PURGES, "{} are left", index.len());
    }
    assert!(purges >= Index::PURGES, "all in {purges}");
    assert_eq!(index.len(), all - over);
}

/// What is told to an operator says by which claim; a claim of one's own by its name.
#[test]
fn what_a_record_is_about_has_a_name() {
    let index = index();
    for (about, name) in [
        (About::Issuer, "issuer"),
        (About::Token, "token"),
        (About::Key, "signing key"),
        (About::Session, "session"),
        (About::Subject, "subject"),
        (About::Client, "client"),
        (About::Named(0), "tid"),
        (About::Named(1), "groups"),
    ] {
        assert_eq!(index.shown(about), name);
    }
}
