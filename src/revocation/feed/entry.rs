//! One element of `records` or `removed`.

use crate::jose::json::{Object, Value};
use crate::revocation::record::{Claim, Claims, Effect, Hold, Record, Target};
use crate::time::Timestamp;

/// Which list an element is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Records,
    Removed,
}

impl List {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Removed => "removed",
        }
    }
}

/// Names of claims that a record has members for. By their own names they would be looked for in vain.
const MEMBERS_OF_THEIR_OWN: [&str; 5] = ["iss", "sub", "sid", "jti", "client_id"];

/// What an element says, before it is known whether that goes together.
#[derive(Default)]
struct Members<'a> {
    issuer: Option<Box<str>>,
    jti: Option<Box<str>>,
    kid: Option<Box<str>>,
    all: bool,
    claims: Vec<(Claim, Box<str>)>,
    at: Option<Timestamp>,
    exp: Option<Timestamp>,
    effect: Option<Value<'a>>,
    reason: Option<Value<'a>>,
}

/// Reads one element. A member that is not known is an error: what cannot be understood could be a
/// revocation.
pub(super) fn read(text: &str, list: List, issuer: Option<&str>) -> Result<Record, String> {
    let object = Object::parse_checked(text.as_bytes()).map_err(|_| "not an object".to_owned())?;
    let members = Members::read(&object, list)?;
    let at = members.at.ok_or("no `at`")?;
    let target = members.target()?;
    let effect = match list {
        List::Records => members.effect(&target)?,
        List::Removed => Effect::Lift,
    };
    let issuer = match (members.issuer, issuer) {
        (Some(issuer), _) => issuer,
        (None, Some(issuer)) => issuer.into(),
        (None, None) => return Err("no `issuer`, and the source speaks for more than one".into()),
    };
    let mut record = Record::new(issuer, target, effect, at);
    if let Some(exp) = members.exp {
        if !matches!(record.target(), Target::Token(_)) {
            return Err("`exp` without `jti`".into());
        }
        record = record.until(exp);
    }
    if record.is_sane() {
        Ok(record)
    } else {
        let longest = Record::MAX_LENGTH;
        Err(format!("a name that is empty, or longer than {longest} bytes, or too many claims"))
    }
}

impl<'a> Members<'a> {
    fn read(object: &Object<'a>, list: List) -> Result<Self, String> {
        let mut read = Self::default();
        for (name, value) in object.members() {
            let text = || Some(Box::<str>::from(value.as_str()?));
            let time = || value.as_number().and_then(Timestamp::from_json_number);
            let known = match (name, list) {
                ("issuer", _) => text().map(|issuer| read.issuer = Some(issuer)),
                ("jti", _) => text().map(|jti| read.jti = Some(jti)),
                ("kid", _) => text().map(|kid| read.kid = Some(kid)),
                ("all", _) => (value.text() == "true").then(|| read.all = true),
                ("subject", _) => text().map(|value| read.claims.push((Claim::Subject, value))),
                ("session", _) => text().map(|value| read.claims.push((Claim::Session, value))),
                ("client", _) => text().map(|value| read.claims.push((Claim::Client, value))),
                ("claims", _) => read.named(value),
                ("at", _) => time().map(|at| read.at = Some(at)),
                ("exp", List::Records) => time().map(|exp| read.exp = Some(exp)),
                ("effect", List::Records) => Some(value).map(|word| read.effect = Some(word)),
                ("reason", List::Records) => Some(value).map(|word| read.reason = Some(word)),
                _ => return Err(format!("a member that is not known: {:?}", shown(name))),
            };
            known.ok_or_else(|| format!("`{name}` is not what it has to be"))?;
        }
        Ok(read)
    }

    /// Claims by their names in the token; each has one string.
    fn named(&mut self, value: Value<'a>) -> Option<()> {
        let object = value.as_object()?;
        let before = self.claims.len();
        for (name, value) in object.members() {
            if MEMBERS_OF_THEIR_OWN.contains(&name) || self.claims.len() > Claims::MAX {
                return None;
            }
            self.claims.push((Claim::Named(name.into()), value.as_str()?.into()));
        }
        (self.claims.len() > before).then_some(())
    }

    fn target(&self) -> Result<Target, String> {
        let mut claims = self.claims.iter().cloned();
        let of_claims = claims.next().map(|(claim, value)| {
            let first = Claims::one(claim, value);
            Target::Claims(claims.fold(first, |all, (claim, value)| all.and(claim, value)))
        });
        let of_token = self.jti.clone().map(Target::Token);
        let of_key = self.kid.clone().map(Target::Key);
        let of_all = self.all.then_some(Target::Issuer);
        let mut targets = [of_token, of_key, of_all, of_claims].into_iter().flatten();
        match (targets.next(), targets.next()) {
            (Some(target), None) => Ok(target),
            (None, _) => Err("about nothing: no `jti`, `kid`, `all` and no claim".into()),
            (Some(_), Some(_)) => Err("`jti`, `kid`, `all` and claims exclude each other".into()),
        }
    }

    fn effect(&self, target: &Target) -> Result<Effect, String> {
        let word = |value: Option<Value<'a>>| match value {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or("`effect` or `reason` is no string"),
        };
        let (effect, reason) = (word(self.effect)?, word(self.reason)?);
        let hold = match reason.as_deref() {
            None => None,
            Some(reason) => {
                let known = Hold::ALL.iter().find(|hold| hold.as_str() == reason);
                Some(*known.ok_or("`reason` is none of account, device, risk")?)
            }
        };
        let effect = match (effect.as_deref(), hold) {
            (None, None) => match target {
                // Who has the key chooses `iat`.
                Target::Key(_) => Effect::Purge,
                _ => Effect::Refuse,
            },
            (Some("refuse"), None) => Effect::Refuse,
            (Some("step_up"), None) => Effect::StepUp,
            (Some("purge"), None) => Effect::Purge,
            (Some("hold"), Some(hold)) => Effect::Hold(hold),
            (Some("hold_for_step_up"), Some(hold)) => Effect::HoldForStepUp(hold),
            (Some("release"), Some(hold)) => Effect::Release(hold),
            (Some("hold" | "hold_for_step_up" | "release"), None) => {
                return Err("this `effect` needs a `reason`".into());
            }
            (None | Some("refuse" | "step_up" | "purge"), Some(_)) => {
                return Err("this `effect` has no `reason`".into());
            }
            (Some(_), _) => return Err("an `effect` that is not known".into()),
        };
        match (target, effect) {
            (Target::Token(_), Effect::Refuse) => Ok(effect),
            (Target::Token(_), _) => Err("one token is refused, or it is not: no `effect`".into()),
            _ => Ok(effect),
        }
    }
}

/// Enough of a name to find it.
fn shown(name: &str) -> &str {
    const LONGEST: usize = 40;
    name.get(..LONGEST).unwrap_or(if name.len() > LONGEST { "a very long one" } else { name })
}
