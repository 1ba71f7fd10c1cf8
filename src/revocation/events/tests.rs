//! What events say of tokens, by tables.

use super::config::EventStream;
use super::effects::{AssuranceAction, Effects, RiskAction, Said};
use super::kind::EventKind;
use super::subject::SubjectId;
use super::subjects::Subjects;
use super::token::SecurityEvent;
use crate::jose::json::Object;
use crate::revocation::record::{Claim, Claims, Effect, Hold, Record, Target};
use crate::time::Timestamp;

const AS: &str = "https://as.example";
const OTHER: &str = "https://other.example";
const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

fn effects(subjects: Subjects) -> Effects {
    Effects {
        subjects,
        risk: RiskAction::Refuse,
        assurance: AssuranceAction::StepUp,
        issuers: [AS.into(), OTHER.into()].into(),
        critical: Vec::new(),
    }
}

fn event(event: &str, members: &str, subject: &str) -> SecurityEvent {
    let (profile, name) = event.split_once('/').unwrap();
    let event_type = format!("https://schemas.openid.net/secevent/{profile}/event-type/{name}");
    let members = Object::parse(members.as_bytes()).unwrap();
    let subject = Object::parse(subject.as_bytes()).unwrap();
    SecurityEvent {
        jti: "jti".into(),
        issued_at: AT,
        at: AT,
        subject: SubjectId::parse(&subject).unwrap(),
        kind: EventKind::parse(&event_type, &members).unwrap(),
    }
}

fn said(effects: &Effects, event: &SecurityEvent) -> Said {
    effects.of(event, &[]).unwrap()
}

/// The effects on `sub` `ann` of the first issuer.
fn on_ann(said: Said) -> Vec<Effect> {
    let Said::Records(records) = said else { return Vec::new() };
    let target = Target::Claims(Claims::subject("ann"));
    let expected = |record: &Record| {
        assert_eq!((record.issuer_id(), record.target(), record.at()), (AS, &target, AT));
        record.effect()
    };
    records.iter().map(expected).collect()
}

const ANN: &str = r#"{"format":"iss_sub","iss":"https://as.example","sub":"ann"}"#;

/// CAEP-02, CAEP-04 to CAEP-06, CAEP-08, CAEP-09, RISC-01 to RISC-03, RISC-05.
#[test]
fn events_about_a_user_have_their_effect() {
    let hold = |hold| Effect::Hold(hold);
    let rows: &[(&str, &str, &[Effect])] = &[
        ("caep/session-revoked", "{}", &[Effect::Refuse]),
        ("caep/token-claims-change", r#"{"claims":{"role":"x"}}"#, &[Effect::Refuse]),
        ("caep/credential-change", r#"{"credential_type":"pin","change_type":"create"}"#, &[]),
        (
            "caep/credential-change",
            r#"{"credential_type":"pin","change_type":"revoke"}"#,
            &[Effect::Refuse],
        ),
        (
            "caep/credential-change",
            r#"{"credential_type":"fido2-roaming","change_type":"update"}"#,
            &[Effect::Refuse],
        ),
        (
            "caep/credential-change",
            r#"{"credential_type":"x509","change_type":"delete"}"#,
            &[Effect::Refuse],
        ),
        (
            "caep/assurance-level-change",
            r#"{"namespace":"NIST-AAL","current_level":"aal1","previous_level":"aal2",
                "change_direction":"decrease"}"#,
            &[Effect::StepUp],
        ),
        (
            "caep/assurance-level-change",
            r#"{"namespace":"NIST-AAL","current_level":"aal1"}"#,
            &[Effect::StepUp],
        ),
        (
            "caep/assurance-level-change",
            r#"{"namespace":"NIST-AAL","current_level":"aal2","previous_level":"aal1",
                "change_direction":"increase"}"#,
            &[],
        ),
        ("caep/session-established", "{}", &[]),
        ("caep/session-presented", "{}", &[]),
        (
            "caep/risk-level-change",
            r#"{"principal":"USER","current_level":"HIGH"}"#,
            &[hold(Hold::Risk)],
        ),
        (
            "caep/risk-level-change",
            r#"{"principal":"USER","current_level":"MEDIUM"}"#,
            &[Effect::Release(Hold::Risk)],
        ),
        (
            "caep/risk-level-change",
            r#"{"principal":"USER","current_level":"LOW"}"#,
            &[Effect::Release(Hold::Risk)],
        ),
        ("risc/account-credential-change-required", "{}", &[Effect::Refuse]),
        ("risc/account-purged", "{}", &[Effect::Purge]),
        ("risc/account-disabled", "{}", &[hold(Hold::Account), Effect::Refuse]),
        ("risc/account-enabled", "{}", &[Effect::Release(Hold::Account)]),
        ("risc/credential-compromise", r#"{"credential_type":"password"}"#, &[Effect::Refuse]),
        ("risc/sessions-revoked", "{}", &[Effect::Refuse]),
        ("risc/opt-in", "{}", &[]),
        ("risc/opt-out-initiated", "{}", &[]),
        ("risc/opt-out-cancelled", "{}", &[]),
        ("risc/opt-out-effective", "{}", &[]),
        ("risc/recovery-activated", "{}", &[]),
        ("risc/recovery-information-changed", "{}", &[]),
    ];
    let effects = effects(Subjects::new());
    for (name, members, expected) in rows {
        let said = said(&effects, &event(name, members, ANN));
        if expected.is_empty() {
            assert_eq!(said, Said::Nothing, "{name}");
        }
        assert_eq!(on_ann(said), *expected, "{name} {members}");
    }
}

/// CAEP-06, CAEP-09: what a configuration says instead.
#[test]
fn a_configuration_chooses_what_risk_and_assurance_do() {
    let level = |level: &str| {
        let members = format!(r#"{{"principal":"USER","current_level":"{level}"}}"#);
        event("caep/risk-level-change", &members, ANN)
    };
    let mut effects = effects(Subjects::new());
    for (action, high, low) in [
        (RiskAction::Refuse, Some(Effect::Hold(Hold::Risk)), Some(Effect::Release(Hold::Risk))),
        (
            RiskAction::StepUp,
            Some(Effect::HoldForStepUp(Hold::Risk)),
            Some(Effect::Release(Hold::Risk)),
        ),
        (RiskAction::Ignore, None, None),
    ] {
        effects.risk = action;
        let found = |name| on_ann(said(&effects, &level(name))).first().copied();
        assert_eq!((found("HIGH"), found("LOW")), (high, low), "{action:?}");
    }
    let members = r#"{"namespace":"x","current_level":"1","change_direction":"decrease"}"#;
    let event = event("caep/assurance-level-change", members, ANN);
    effects.assurance = AssuranceAction::Refuse;
    assert_eq!(on_ann(said(&effects, &event)), [Effect::Refuse]);
}

/// The targets of `session-revoked`, each with its issuer.
fn targets(subjects: &Subjects, subject: &str) -> Vec<(String, Target)> {
    let event = event("caep/session-revoked", "{}", subject);
    match said(&effects(subjects.clone()), &event) {
        Said::Records(records) => {
            let pair = |record: &Record| (record.issuer_id().to_owned(), record.target().clone());
            records.iter().map(pair).collect()
        }
        Said::Unusable(_) => Vec::new(),
        Said::Nothing => panic!("an event that says nothing"),
    }
}

fn at_both(claims: &Claims) -> Vec<(String, Target)> {
    let at = |issuer: &str| (issuer.to_owned(), Target::Claims(claims.clone()));
    vec![at(AS), at(OTHER)]
}

/// SUB-01, SUB-03, CAEP-02: every format, with and without a claim for it.
#[test]
fn formats_are_compared_with_claims() {
    let named = |name: &str, value: &str| Claims::one(Claim::Named(name.into()), value);
    let all = Subjects::new()
        .email("email")
        .phone_number("phone")
        .opaque("oid")
        .account("acct")
        .uri("profile")
        .did("did");
    let none = Subjects::new();
    let only = |issuer: &str, target| vec![(issuer.to_owned(), target)];
    let ann = || Target::Claims(Claims::subject("ann"));
    let session = |id: &str| Claims::one(Claim::Session, id);
    for (subject, with, without) in [
        (ANN.to_owned(), only(AS, ann()), only(AS, ann())),
        // SUB-03: the issuer is the one of the tokens, whoever sends the SET.
        (ANN.replace(AS, OTHER), only(OTHER, ann()), only(OTHER, ann())),
        (
            ANN.replace(AS, "https://foreign.example"),
            only("https://foreign.example", ann()),
            only("https://foreign.example", ann()),
        ),
        (
            r#"{"format":"jwt_id","iss":"https://as.example","jti":"t"}"#.to_owned(),
            only(AS, Target::Token("t".into())),
            only(AS, Target::Token("t".into())),
        ),
        (r#"{"format":"email","email":"a@b"}"#.to_owned(), at_both(&named("email", "a@b")), vec![]),
        (
            r#"{"format":"phone_number","phone_number":"+1"}"#.to_owned(),
            at_both(&named("phone", "+1")),
            vec![],
        ),
        (
            r#"{"format":"account","uri":"acct:a@b"}"#.to_owned(),
            at_both(&named("acct", "acct:a@b")),
            vec![],
        ),
        (
            r#"{"format":"uri","uri":"urn:a"}"#.to_owned(),
            at_both(&named("profile", "urn:a")),
            vec![],
        ),
        (r#"{"format":"did","url":"did:a"}"#.to_owned(), at_both(&named("did", "did:a")), vec![]),
        // CAEP §3.1.2: it is the session; and a user, where that was said.
        (
            r#"{"format":"opaque","id":"x"}"#.to_owned(),
            [at_both(&session("x")), at_both(&named("oid", "x"))].concat(),
            at_both(&session("x")),
        ),
        (
            r#"{"format":"saml_assertion_id","issuer":"i","assertion_id":"a"}"#.to_owned(),
            vec![],
            vec![],
        ),
        (r#"{"format":"ip-addresses","ip-addresses":["::1"]}"#.to_owned(), vec![], vec![]),
        (r#"{"format":"catalog_item","id":"c"}"#.to_owned(), vec![], vec![]),
    ] {
        assert_eq!(targets(&all, &subject), with, "{subject}");
        assert_eq!(targets(&none, &subject), without, "{subject}");
    }
}

/// SUB-01, SUB-02: each alias that a claim is known for counts.
#[test]
fn aliases_name_the_same_subject() {
    let email = r#"{"format":"email","email":"a@b"}"#;
    let aliases = format!(r#"{{"format":"aliases","identifiers":[{ANN},{email}]}}"#);
    let ann = (AS.to_owned(), Target::Claims(Claims::subject("ann")));
    assert_eq!(targets(&Subjects::new(), &aliases), std::slice::from_ref(&ann));
    let by_email = at_both(&Claims::one(Claim::Named("email".into()), "a@b"));
    let expected = [vec![ann], by_email].concat();
    assert_eq!(targets(&Subjects::new().email("email"), &aliases), expected);

    let device = r#"{"format":"opaque","id":"d"}"#;
    let complex = format!(r#"{{"format":"complex","user":{aliases},"device":{device}}}"#);
    let with_device = |claims: Claims| claims.and(Claim::Named("dev".into()), "d");
    let expected = [
        vec![(AS.to_owned(), Target::Claims(with_device(Claims::subject("ann"))))],
        at_both(&with_device(Claims::one(Claim::Named("email".into()), "a@b"))),
    ];
    let subjects = Subjects::new().email("email").device("dev");
    assert_eq!(targets(&subjects, &complex), expected.concat());
}

fn complex(members: &[(&str, &str)]) -> String {
    let members = members.iter().map(|(name, id)| format!(",\"{name}\":{id}"));
    format!(r#"{{"format":"complex"{}}}"#, members.collect::<String>())
}

/// CAEP-03, SSF-05: members for which no claim is known make an event broader only where a user or a
/// session is left.
#[test]
fn members_that_cannot_be_compared() {
    let opaque = |id: &str| format!(r#"{{"format":"opaque","id":"{id}"}}"#);
    let (session, device, tenant) = (&opaque("s"), &opaque("d"), &opaque("t"));
    let email = r#"{"format":"email","email":"a@b"}"#;
    let foreign = ANN.replace(AS, "https://mdm.example");
    let none = Subjects::new();
    let device_only = Subjects::new().device("dev");
    let tenant_only = Subjects::new().tenant("tid");
    let both = Subjects::new().device("dev").tenant("tid");
    let at_as = |claims: Claims| vec![(AS.to_owned(), Target::Claims(claims))];
    let ann = || Claims::subject("ann");
    let dev = |claims: Claims| claims.and(Claim::Named("dev".into()), "d");
    let tid = || Claims::one(Claim::Named("tid".into()), "t");
    for (name, subjects, members, expected) in [
        ("user", &none, vec![("user", ANN)], at_as(ann())),
        (
            "user and session",
            &none,
            vec![("session", session), ("user", ANN)],
            at_as(ann().and(Claim::Session, "s")),
        ),
        ("session", &none, vec![("session", session)], at_both(&Claims::one(Claim::Session, "s"))),
        ("the user is left", &none, vec![("user", ANN), ("device", device)], at_as(ann())),
        (
            "the session is left",
            &none,
            vec![("session", session), ("device", device)],
            at_both(&Claims::one(Claim::Session, "s")),
        ),
        (
            "the session is left of a user",
            &none,
            vec![("user", email), ("session", session)],
            at_both(&Claims::one(Claim::Session, "s")),
        ),
        (
            "user and device",
            &device_only,
            vec![("user", ANN), ("device", device)],
            at_as(dev(ann())),
        ),
        ("device alone, unknown", &none, vec![("device", device)], vec![]),
        ("the tenant is left", &tenant_only, vec![("tenant", tenant), ("device", device)], vec![]),
        ("tenant alone", &tenant_only, vec![("tenant", tenant)], at_both(&tid())),
        (
            "tenant and device",
            &both,
            vec![("tenant", tenant), ("device", device)],
            at_both(&dev(tid())),
        ),
        ("a member of another name", &none, vec![("user", ANN), ("fleet", device)], at_as(ann())),
        ("no one at all", &none, vec![("user", email)], vec![]),
        // The issuer of a user is that of the tokens; a device of another is not in tokens.
        (
            "a device of another issuer",
            &device_only,
            vec![("device", &*foreign), ("user", ANN)],
            at_as(ann()),
        ),
        ("a device of no issuer here", &device_only, vec![("device", &*foreign)], vec![]),
        (
            "a device of the issuer",
            &device_only,
            vec![("device", ANN)],
            at_as(Claims::one(Claim::Named("dev".into()), "ann")),
        ),
        // Of two that say different issuers, who is meant comes before what he uses.
        (
            "a session of one issuer, a device of another",
            &device_only,
            vec![
                ("device", r#"{"format":"iss_sub","iss":"https://other.example","sub":"d"}"#),
                ("session", r#"{"format":"iss_sub","iss":"https://as.example","sub":"s"}"#),
            ],
            at_as(Claims::one(Claim::Session, "s")),
        ),
        (
            "a user of nobody here",
            &none,
            vec![("user", &*foreign)],
            vec![("https://mdm.example".to_owned(), Target::Claims(ann()))],
        ),
        (
            "a token among others",
            &none,
            vec![
                ("user", ANN),
                ("session", r#"{"format":"jwt_id","iss":"https://as.example","jti":"t"}"#),
            ],
            at_as(ann()),
        ),
    ] {
        assert_eq!(targets(subjects, &complex(&members)), expected, "{name}");
    }
}

/// SUB-01: aliases of several members multiply, within a bound.
#[test]
fn targets_are_bounded() {
    let alias = |count: usize| {
        let one = |index| format!(r#"{{"format":"opaque","id":"{index}"}}"#);
        let all: Vec<_> = (0..count).map(one).collect();
        format!(r#"{{"format":"aliases","identifiers":[{}]}}"#, all.join(","))
    };
    let effects = effects(Subjects::new().opaque("oid"));
    let of = |count| {
        let (user, session) = (&*alias(count), &*alias(count));
        let subject = complex(&[("user", user), ("session", session)]);
        effects.of(&event("caep/session-revoked", "{}", &subject), &[])
    };
    assert!(matches!(of(8), Ok(Said::Records(records)) if records.len() == 128));
    assert_eq!(of(9).unwrap_err().code().as_str(), "invalid_request");
}

/// SET-09: a critical member without a claim makes an event one to throw away.
#[test]
fn a_critical_member_has_to_be_understood() {
    let device = r#"{"format":"opaque","id":"d"}"#;
    let subject = complex(&[("user", ANN), ("device", device)]);
    let event = event("caep/session-revoked", "{}", &subject);
    for (subjects, configured, metadata, used) in [
        (Subjects::new(), vec![], vec![], true),
        (Subjects::new(), vec![], vec!["device".into()], false),
        (Subjects::new(), vec!["device".into()], vec![], false),
        (Subjects::new(), vec![], vec!["tenant".into(), "user".into()], true),
        (Subjects::new().device("dev"), vec![], vec!["device".into()], true),
    ] {
        let effects = Effects { critical: configured, ..effects(subjects) };
        let said = effects.of(&event, &metadata).unwrap();
        assert_eq!(matches!(said, Said::Records(_)), used, "{said:?}");
        assert_eq!(matches!(said, Said::Unusable(_)), !used, "{said:?}");
    }
}

/// CAEP-07: a simple subject of an event about a device is the device, and never the user of that
/// name.
#[test]
fn a_device_is_held_until_it_complies() {
    let opaque = r#"{"format":"opaque","id":"d"}"#;
    let effects_of = |subjects: &Subjects, now: &str, subject: &str| {
        let members = format!(r#"{{"previous_status":"compliant","current_status":"{now}"}}"#);
        let event = event("caep/device-compliance-change", &members, subject);
        match said(&effects(subjects.clone()), &event) {
            Said::Records(records) => {
                let pair = |record: &Record| (record.effect(), record.target().clone());
                records.iter().map(pair).collect()
            }
            _ => Vec::new(),
        }
    };
    let known = Subjects::new().device("dev").opaque("oid");
    let device = |value: &str| Target::Claims(Claims::one(Claim::Named("dev".into()), value));
    let (hold, release) = (Effect::Hold(Hold::Device), Effect::Release(Hold::Device));
    for (subject, target, issuers) in [(opaque, device("d"), 2), (ANN, device("ann"), 1)] {
        let held = effects_of(&known, "not-compliant", subject);
        assert_eq!(held, vec![(hold, target.clone()); issuers]);
        assert_eq!(effects_of(&known, "compliant", subject), vec![(release, target); issuers]);
        assert_eq!(effects_of(&Subjects::new().opaque("oid"), "not-compliant", subject), []);
    }
    // Beside a user, and no claim has the device: what was issued before is refused, and no other
    // device of the user ends it.
    let user = complex(&[("user", ANN), ("device", opaque)]);
    let ann = Target::Claims(Claims::subject("ann"));
    let nobody = Subjects::new();
    assert_eq!(effects_of(&nobody, "not-compliant", &user), [(Effect::Refuse, ann)]);
    assert_eq!(effects_of(&nobody, "compliant", &user), []);
}

/// CAEP-09: the principal says which member a simple subject is.
#[test]
fn a_risk_is_that_of_its_principal() {
    let subjects = Subjects::new().device("dev").tenant("tid");
    let opaque = r#"{"format":"opaque","id":"x"}"#;
    let named = |name: &str| Target::Claims(Claims::one(Claim::Named(name.into()), "x"));
    for (principal, target) in [
        ("DEVICE", Some(named("dev"))),
        ("TENANT", Some(named("tid"))),
        ("SESSION", Some(Target::Claims(Claims::one(Claim::Session, "x")))),
        ("USER", None),
        ("GROUP", None),
        ("OTHER", None),
    ] {
        let members = format!(r#"{{"principal":"{principal}","current_level":"HIGH"}}"#);
        let event = event("caep/risk-level-change", &members, opaque);
        let found = match said(&effects(subjects.clone()), &event) {
            Said::Records(records) => Some(records[0].target().clone()),
            _ => None,
        };
        assert_eq!(found, target, "{principal}");
    }
}

/// RISC-04: identifier events are about an address or a number, and nothing else.
#[test]
fn identifiers_are_addresses_and_numbers() {
    let email = r#"{"format":"email","email":"a@b"}"#;
    let phone = r#"{"format":"phone_number","phone_number":"+1"}"#;
    let aliases = format!(r#"{{"format":"aliases","identifiers":[{email},{phone}]}}"#);
    let mixed = format!(r#"{{"format":"aliases","identifiers":[{email},{ANN}]}}"#);
    let effects = effects(Subjects::new().email("email"));
    for name in ["risc/identifier-changed", "risc/identifier-recycled"] {
        let of = |subject: &str| effects.of(&event(name, "{}", subject), &[]);
        for subject in [email, &*aliases] {
            let Ok(Said::Records(records)) = of(subject) else { panic!("{subject}") };
            assert_eq!(records.len(), 2);
            assert!(records.iter().all(|record| record.effect() == Effect::Refuse));
        }
        assert!(matches!(of(phone), Ok(Said::Unusable(_))), "no claim has the number");
        for subject in [ANN, &*mixed, &*complex(&[("user", email)])] {
            assert_eq!(of(subject).unwrap_err().code().as_str(), "invalid_request", "{subject}");
        }
    }
}

/// CAEP-04: a token is ended by whatever is said against it, and nothing brings it back.
#[test]
fn a_token_has_no_state() {
    let token = r#"{"format":"jwt_id","iss":"https://as.example","jti":"t"}"#;
    let effects = effects(Subjects::new());
    for (name, members, expected) in [
        ("caep/token-claims-change", r#"{"claims":{}}"#, Some(1)),
        ("caep/session-revoked", "{}", Some(1)),
        ("risc/account-disabled", "{}", Some(2)),
        ("caep/risk-level-change", r#"{"principal":"SESSION","current_level":"HIGH"}"#, Some(1)),
        ("caep/risk-level-change", r#"{"principal":"SESSION","current_level":"LOW"}"#, None),
        ("risc/account-enabled", "{}", None),
    ] {
        let said = said(&effects, &event(name, members, token));
        match (said, expected) {
            (Said::Records(records), Some(count)) => {
                assert_eq!(records.len(), count, "{name}");
                for record in records {
                    assert_eq!(record.target(), &Target::Token("t".into()));
                    assert_eq!(record.effect(), Effect::Refuse);
                }
            }
            (Said::Unusable(_), None) => {}
            (said, _) => panic!("{name}: {said:?}"),
        }
    }
}

/// SET-10, SUB-01: what is unknown is told to operators without a word of the transmitter's choice.
#[test]
fn what_is_unknown_is_counted_and_not_quoted() {
    let effects = effects(Subjects::new());
    let unknown = event("caep/something-new", "{}", ANN);
    assert!(matches!(said(&effects, &unknown), Said::Unusable(_)));
    let odd = event("caep/session-revoked", "{}", r#"{"format":"ann@example.com"}"#);
    let Said::Unusable(why) = said(&effects, &odd) else { panic!("it has a claim") };
    assert!(!why.contains("ann") && why.contains("`other`"), "{why}");
    let email = event("caep/session-revoked", "{}", r#"{"format":"email","email":"a@b"}"#);
    let Said::Unusable(why) = said(&effects, &email) else { panic!("it has a claim") };
    assert!(why.contains("`email`") && !why.contains("a@b"), "{why}");
}

/// CAEP-06, CAEP-09: `effective_policy` tells what was chosen, by a word for each action.
#[test]
fn what_was_chosen_is_reported() {
    use AssuranceAction as Assurance;
    use RiskAction as Risk;
    for (risk, assurance, words) in [
        (Risk::Refuse, Assurance::StepUp, ["refuse", "step_up"]),
        (Risk::StepUp, Assurance::Refuse, ["step_up", "refuse"]),
        (Risk::Ignore, Assurance::StepUp, ["ignore", "step_up"]),
    ] {
        let stream = EventStream::fixed_keys("https://tx.example", "{}");
        let report = stream.on_high_risk(risk).on_assurance_decrease(assurance).report();
        let found = ["on_high_risk", "on_assurance_decrease"].map(|name| &report[name]);
        assert_eq!(found, words);
    }
}
