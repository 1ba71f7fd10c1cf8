//! All issuers that are asked about their tokens, and whose token is whose.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::checked::{Answers, Checked, Choice, Jwts};
use super::config::fault;
use super::{Introspection, IntrospectionHealth, Introspector};
use crate::error::{ConfigFault, Faults};
use crate::issuer::{Registry, Resolved};
use crate::name::LoopbackHttp;
use crate::time::{Clock, shown_duration};
use crate::transport::Transport;

/// Introspections without faults, on the way to [`Introspectors`].
#[derive(Default)]
pub(crate) struct Prepared(Vec<Checked>);

/// Every issuer that is asked.
#[derive(Default)]
pub(crate) struct Introspectors {
    by_issuer: HashMap<Box<str>, Arc<Introspector>>,
    /// The longest first.
    by_prefix: Vec<(Box<str>, Arc<Introspector>)>,
    /// Whose tokens are all that are of no other.
    rest: Option<Arc<Introspector>>,
    /// In the order of the configuration.
    all: Vec<Arc<Introspector>>,
}

/// What a server has, for introspections to fit.
pub(crate) struct Setting<'a> {
    pub(crate) issuers: &'a [KnownIssuer<'a>],
}

impl<'a> Setting<'a> {
    fn known(&self, issuer: &str) -> Option<&KnownIssuer<'a>> {
        self.issuers.iter().find(|known| known.id == issuer)
    }
}

/// Whether two issuers differ at most by a slash at the end and by case, as no two should.
fn is_alike(one: &str, other: &str) -> bool {
    let bare = |issuer: &'_ str| issuer.trim_end_matches('/').len();
    let (one, other) = (one.get(..bare(one)), other.get(..bare(other)));
    one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// One of the configured issuers.
pub(crate) struct KnownIssuer<'a> {
    pub(crate) id: &'a str,
    pub(crate) keys: Keys,
    pub(crate) dates: Dates,
}

/// What an issuer is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedAbout {
    Nothing,
    Opaque,
    JwtsToo,
}

/// Whether no token of these issuers passes without an answer about it.
pub(crate) fn are_always_asked(issuers: impl IntoIterator<Item = (Keys, AskedAbout)>) -> bool {
    issuers.into_iter().all(|(keys, asked)| match asked {
        AskedAbout::JwtsToo => true,
        AskedAbout::Opaque => keys == Keys::None,
        AskedAbout::Nothing => false,
    })
}

/// Whether the tokens of an issuer say when they were issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dates {
    Known,
    MayLack,
}

/// Whether a server has keys of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    Known,
}

impl Prepared {
    /// Whether the server's transport is needed for one of these.
    pub(crate) fn needs_transport(introspections: &[Introspection]) -> bool {
        introspections.iter().any(Introspection::needs_transport)
    }

    /// Every fault of these, of each by itself and of all together.
    pub(crate) fn check(
        introspections: &[Introspection],
        setting: &Setting<'_>,
        faults: &mut Faults,
    ) -> Self {
        // Each with its place among the others.
        let mut checked: Vec<(usize, Checked)> = Vec::new();
        for (index, introspection) in introspections.iter().enumerate() {
            faults.at_element("introspection", index, |faults| {
                let issuer = introspection.issuer();
                let known = setting.known(issuer);
                match known {
                    None => {
                        let alike = setting.issuers.iter().find(|known| is_alike(known.id, issuer));
                        let what = match alike {
                            Some(known) => format!(
                                "{issuer:?} is none of the server's issuers; `{}` is one: write it \
                                 alike",
                                known.id
                            ),
                            None => format!(
                                "{issuer:?} is none of the server's issuers: add `Issuer::opaque` or \
                                 another with that name"
                            ),
                        };
                        faults.push_at("issuer", fault(what));
                    }
                    Some(known) if known.dates == Dates::MayLack && introspection.has_no_end() => {
                        let what = "answers may lack `exp`, and by the issuer's profile `iat` as well: \
                                    nothing would say how long a token lives; let one of them not lack";
                        faults.push_at("may_lack", fault(what));
                    }
                    Some(known) if known.keys == Keys::None && introspection.wants_keys() => {
                        let what = "signed answers are verified with the issuer's keys: say where \
                                    they are, with `Issuer::discover` or `Issuer::jwks`";
                        faults.push_at("signed_answers", fault(what));
                    }
                    Some(_) => {}
                }
                let earlier = introspections.iter().take(index);
                if earlier.clone().any(|other| other.issuer() == issuer) {
                    faults.push_at("issuer", ConfigFault::DuplicateIssuer(issuer.to_owned()));
                }
                let before = faults.len();
                match introspection.check(faults) {
                    Some(one) => checked.push((index, one)),
                    // What cannot be used is a fault, and never an introspection less.
                    None if faults.len() == before => {
                        let what = "it cannot be used, for a reason that was not found: report this";
                        faults.push(fault(what));
                    }
                    None => {}
                }
            });
        }
        let mut rest =
            checked.iter().map(|(_, one)| one).filter(|one| matches!(one.choice, Choice::Rest));
        // Two of one issuer are a fault already, and no prefix would help.
        if let Some(first) = rest.next()
            && let Some(second) = rest.find(|one| one.issuer != first.issuer)
        {
            let what = format!(
                "opaque tokens do not say whose they are: of {:?} and {:?} one needs a `prefix`, or \
                 `only_where_named`",
                first.issuer, second.issuer
            );
            faults.push_at("introspection", fault(what));
        }
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (at, one) in &checked {
            let Choice::Prefixes(prefixes) = &one.choice else { continue };
            for (index, prefix) in prefixes.iter().enumerate() {
                if let Some(other) = seen.insert(prefix, &one.issuer) {
                    let what = format!(
                        "prefix {prefix:?} is said twice, of {other:?} and {:?}: give each its own",
                        one.issuer
                    );
                    let place = format!("introspection[{at}].prefixes[{index}]");
                    faults.push_at(&place, fault(what));
                }
            }
        }
        for KnownIssuer { id, keys, .. } in setting.issuers {
            // One that is meant for it, and written otherwise, is a fault already.
            let is_meant = |one: &Introspection| {
                let issuer = one.issuer();
                issuer == *id || (is_alike(issuer, id) && setting.known(issuer).is_none())
            };
            if *keys == Keys::None && !introspections.iter().any(is_meant) {
                let what = format!(
                    "{id:?} has no keys and no introspection: none of its tokens could be used; add \
                     `.introspection(...)`, or say where its keys are"
                );
                faults.push_at("introspection", fault(what));
            }
        }
        Self(checked.into_iter().map(|(_, one)| one).collect())
    }

    /// Ready to ask. `transport` is there if one of them needs it.
    pub(crate) fn with(
        self,
        issuers: &Registry,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Introspectors {
        let mut introspectors = Introspectors::default();
        for checked in self.0 {
            let keys = match issuers.get(&checked.issuer, clock.moment()) {
                Resolved::Known(keys) => keys,
                // INVARIANT: it was among the configured issuers.
                Resolved::Unknown | Resolved::Unavailable(_) => continue,
            };
            let own = checked.transport.clone();
            // INVARIANT: a server that needs its transport and has none is not built.
            let Some(transport) = own.or_else(|| transport.cloned()) else { continue };
            let introspector = Arc::new(Introspector::new(checked, keys, transport, clock));
            let rules = introspector.rules();
            introspectors.by_issuer.insert(rules.issuer.clone(), Arc::clone(&introspector));
            match &rules.choice {
                Choice::Rest => introspectors.rest = Some(Arc::clone(&introspector)),
                Choice::WhereNamed => {}
                Choice::Prefixes(prefixes) => {
                    let mine = prefixes
                        .iter()
                        .map(|prefix| (prefix.as_str().into(), Arc::clone(&introspector)));
                    introspectors.by_prefix.extend(mine);
                }
            }
            introspectors.all.push(introspector);
        }
        introspectors.by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        introspectors
    }
}

impl Introspectors {
    /// Whose this opaque token is: of the issuer that the route names, by its prefix, or of the one that
    /// has the rest.
    pub(crate) fn of_opaque(&self, token: &str, route: Option<&str>) -> Option<&Arc<Introspector>> {
        match route {
            Some(issuer) => self.by_issuer.get(issuer).filter(|named| named.has_prefix_of(token)),
            None => {
                let fits = self.by_prefix.iter().find(|(prefix, _)| token.starts_with(&**prefix));
                fits.map(|(_, introspector)| introspector).or(self.rest.as_ref())
            }
        }
    }

    /// Why nobody is asked about an opaque token on such a route, for operators, after what else there is
    /// to say: what [`Self::of_opaque`] looked for.
    pub(crate) fn why_nobody(&self, route: Option<&str>) -> Cow<'static, str> {
        if self.is_empty() {
            return ", and no introspection is for it: none is configured".into();
        }
        let named = route.and_then(|issuer| self.by_issuer.get(issuer));
        let prefixes: Vec<&str> = match named.map(|named| &named.rules().choice) {
            Some(Choice::Prefixes(prefixes)) => prefixes.iter().map(String::as_str).collect(),
            Some(_) => Vec::new(),
            None => self.by_prefix.iter().map(|(prefix, _)| &**prefix).collect(),
        };
        let route = match route {
            Some(issuer) => format!("this route names {issuer}"),
            None => "this route names no issuer".to_owned(),
        };
        let is_named_somewhere =
            self.all.iter().any(|one| matches!(one.rules().choice, Choice::WhereNamed));
        let why = match shown_prefixes(&prefixes) {
            None => route,
            Some(prefixes) if named.is_some() || is_named_somewhere => {
                format!("{route}, and the prefixes are {prefixes}")
            }
            Some(prefixes) => format!("the prefixes are {prefixes}"),
        };
        format!(", and no introspection is for it: {why}").into()
    }

    /// Who is asked about JWTs of this issuer; `None`: they are read here.
    pub(crate) fn of_jwt(&self, issuer: &str) -> Option<&Arc<Introspector>> {
        self.by_issuer.get(issuer).filter(|introspector| introspector.takes_jwts())
    }

    /// What this issuer is asked about.
    pub(crate) fn asked_about(&self, issuer: &str) -> AskedAbout {
        match self.by_issuer.get(issuer) {
            None => AskedAbout::Nothing,
            Some(introspector) if introspector.takes_jwts() => AskedAbout::JwtsToo,
            Some(_) => AskedAbout::Opaque,
        }
    }

    pub(crate) fn knows(&self, issuer: &str) -> bool {
        self.by_issuer.contains_key(issuer)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn health(&self) -> Vec<IntrospectionHealth> {
        self.all.iter().map(|introspector| introspector.health()).collect()
    }

    /// What is enforced, for a report.
    pub(crate) fn report(&self) -> Value {
        self.all.iter().map(|introspector| introspector.report()).collect()
    }
}

/// The first few.
fn shown_prefixes(prefixes: &[&str]) -> Option<String> {
    const SHOWN: usize = 5;
    let shown: Vec<_> = prefixes.iter().take(SHOWN).map(|prefix| format!("`{prefix}`")).collect();
    let more = if prefixes.len() > SHOWN { ", .." } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

impl Introspector {
    fn has_prefix_of(&self, token: &str) -> bool {
        match &self.rules().choice {
            Choice::Rest | Choice::WhereNamed => true,
            Choice::Prefixes(prefixes) => {
                prefixes.iter().any(|prefix| token.starts_with(prefix.as_str()))
            }
        }
    }

    /// What is enforced, in the words of a file, without secrets.
    fn report(&self) -> Value {
        let rules = self.rules();
        let mut report = json!({
            "issuer": &*rules.issuer,
            "endpoint": &*rules.endpoint,
            "client": rules.client.report(),
            "only_where_named": matches!(rules.choice, Choice::WhereNamed),
            "jwts": rules.jwts == Jwts::AskedAbout,
            "signed_answers": matches!(rules.answers, Answers::Signed(_)),
            "ttl": shown_duration(rules.ttl),
            "negative_ttl": shown_duration(rules.negative_ttl),
            "cache_bytes": rules.cache_bytes,
            "timeout": shown_duration(rules.timeout),
            "max_at_once": rules.max_at_once,
        });
        let Some(members) = report.as_object_mut() else { return report };
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        if let Choice::Prefixes(prefixes) = &rules.choice {
            member("prefixes", json!(prefixes));
        }
        if let Answers::Signed(audience) = &rules.answers {
            member("signed_for", json!(audience));
        }
        if !rules.gaps.is_empty() {
            member("may_lack", rules.gaps.iter().map(|gap| gap.as_str()).collect());
        }
        if rules.transport.is_some() {
            member("transport", "own".into());
        }
        let mut dangerous = Map::new();
        for (name, is_said) in [
            ("insecure_without_audience", rules.without_audience),
            ("insecure_loopback_http", rules.loopback_http == LoopbackHttp::Allowed),
        ] {
            if is_said {
                dangerous.insert(name.to_owned(), true.into());
            }
        }
        if !dangerous.is_empty() {
            member("dangerous", dangerous.into());
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::check::allow_all;
    use crate::introspection::{ClientAuth, Introspection};
    use crate::testing::{ManualClock, TestNetwork};
    use crate::{Binding, Issuer, Policy, ResourceServer, ServerBuilder, TokenClass};

    const A: &str = "https://a.example";
    const B: &str = "https://b.example";

    fn asked(issuer: &str) -> Introspection {
        Introspection::at(issuer, "https://as.example/introspect")
            .client(ClientAuth::insecure_unauthenticated())
    }

    fn builder(issuers: &[&str]) -> ServerBuilder {
        let builder = ResourceServer::builder("https://rs.example")
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_hours(1)))
            .transport(TestNetwork::of(&[]))
            .clock(ManualClock::new());
        issuers.iter().fold(builder, |builder, issuer| builder.issuer(Issuer::opaque(*issuer)))
    }

    /// An issuer that is written otherwise is one fault, which says how it is written; one that is meant
    /// for nobody is another beside that of whom nobody asks.
    #[test]
    fn an_issuer_that_is_written_otherwise_is_one_fault() {
        for written in ["https://a.example/", "https://A.example"] {
            let error = builder(&[A]).introspection(asked(written)).build().unwrap_err();
            assert_eq!(error.faults().len(), 1, "{error}");
            let text = error.to_string();
            assert!(text.contains("`https://a.example` is one: write it alike"), "{text}");
        }
        let error = builder(&[A]).introspection(asked(B)).build().unwrap_err();
        assert_eq!(error.faults().len(), 2, "{error}");
        assert!(!error.to_string().contains("alike"), "{error}");
        // Of two that differ by a slash only, the one that nobody asks is still a fault.
        let both = builder(&[A, "https://a.example/"]);
        let error = both.introspection(asked(A)).build().unwrap_err();
        assert_eq!(error.faults().len(), 1, "{error}");
        assert!(error.to_string().contains("has no keys and no introspection"), "{error}");
        assert!(builder(&[A]).introspection(asked(A)).build().is_ok());
    }

    /// Two introspections of one issuer are one fault; of two issuers they need a prefix.
    #[test]
    fn two_of_one_issuer_are_one_fault() {
        let of = |first: &str, second: &str| {
            let builder = builder(&[A, B]).introspection(asked(first)).introspection(asked(second));
            builder.introspection(asked(B).only_where_named()).build().unwrap_err()
        };
        let error = of(A, A).to_string();
        assert!(error.contains("twice") && !error.contains("needs a `prefix`"), "{error}");
        let error = of(A, B).to_string();
        assert!(error.contains("needs a `prefix`"), "{error}");
    }

    /// INT-03: `http` is refused, and where it may be allowed the fault says how.
    #[test]
    fn an_endpoint_without_tls_is_told_what_to_do() {
        let at =
            |url: &str| Introspection::at(A, url).client(ClientAuth::insecure_unauthenticated());
        let fault = |introspection: Introspection| {
            builder(&[A]).introspection(introspection).build().unwrap_err().to_string()
        };
        let hint = ".dangerous().insecure_loopback_http()";
        let (local, other) = ("http://127.0.0.1:4444/introspect", "http://as.example/introspect");
        assert!(fault(at(local)).contains(hint));
        assert!(!fault(at(other)).contains(hint));
        let lax = |url| at(url).dangerous().insecure_loopback_http();
        assert!(fault(lax(other)).contains("use https: TLS in front of it"));
        assert!(builder(&[A]).introspection(lax(local)).build().is_ok());
    }

    /// AUTH-31, AT-12: who gets a token that nothing here reads is told why nobody was asked about it.
    #[tokio::test]
    async fn a_token_that_nobody_is_asked_about_says_why() {
        let detail = async |api: ResourceServer, route: Option<&str>, token: &str| {
            let policy = Policy::new(allow_all());
            let policy = match route {
                Some(issuer) => policy.introspected_by(issuer),
                None => policy,
            };
            let request = http::Request::get("/")
                .header("authorization", format!("Bearer {token}"))
                .body(())
                .unwrap();
            let guard = api.guard(policy).unwrap();
            guard.verify(&request).await.unwrap_err().to_string()
        };
        let signed = Issuer::fixed_keys(
            "https://c.example",
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1",
                "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        );
        let none = || builder(&[]).issuer(signed.clone()).build().unwrap();
        let some = |introspection: Introspection| {
            builder(&[A]).issuer(signed.clone()).introspection(introspection).build().unwrap()
        };
        let json = "eyJhbGciOiJub25lIn0";
        for (name, api, route, token, expected) in [
            (
                "none",
                none(),
                None,
                "opaque",
                "not a JWT: it has no dot, and no introspection is \
                for it: none is configured",
            ),
            (
                "dots",
                none(),
                None,
                "v4.local",
                "not three parts separated by dots, and no \
                introspection is for it: none is configured",
            ),
            (
                "prefix",
                some(asked(A).prefix("ory_at_").prefix("x_")),
                None,
                "opaque",
                "not a JWT: it has no dot, and no introspection is for it: the prefixes are \
                 `ory_at_`, `x_`",
            ),
            (
                "named",
                some(asked(A).prefix("ory_at_")),
                Some(A),
                "opaque",
                "not a JWT: it has no dot, and no introspection is for it: this route names \
                 https://a.example, and the prefixes are `ory_at_`",
            ),
            (
                "route",
                some(asked(A).only_where_named()),
                None,
                "opaque",
                "not a JWT: it has no dot, and no introspection is for it: this route names no \
                 issuer",
            ),
            (
                "half a JWT",
                some(asked(A)),
                None,
                &format!("{json}.e30"),
                "not three parts separated by dots",
            ),
            (
                "a JWE",
                some(asked(A)),
                None,
                &format!("{json}.AA.AA.AA.AA"),
                "five parts: an encrypted token, and this server has no keys to decrypt it: \
                 `.decryption(...)`, feature `jwe`",
            ),
        ] {
            assert_eq!(detail(api, route, token).await, expected, "{name}");
        }
    }
}
