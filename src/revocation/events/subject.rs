//! Subject Identifiers (RFC 9493 §3, SSF §3.4, §3.5), read.

use std::fmt;

use super::error::SetError;
use crate::jose::json::{Object, Value};

/// Who an event is about (RFC 9493 §3, SSF §3.2 to §3.5). Its `Debug` shows formats only.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectId {
    /// `account`: an `acct` URI.
    Account(Box<str>),
    /// `email`: an address.
    Email(Box<str>),
    /// `iss_sub`: a subject of an issuer, as tokens have them.
    IssuerSubject {
        /// `iss`.
        issuer: Box<str>,
        /// `sub`.
        subject: Box<str>,
    },
    /// `opaque`: a name that means something to both sides.
    Opaque(Box<str>),
    /// `phone_number`.
    PhoneNumber(Box<str>),
    /// `did`: a DID URL.
    Did(Box<str>),
    /// `uri`.
    Uri(Box<str>),
    /// `aliases`: several names of one subject. None of them is `aliases` or `complex`.
    Aliases(Vec<SubjectId>),
    /// `jwt_id`: one token.
    JwtId {
        /// Its `iss`.
        issuer: Box<str>,
        /// Its `jti`.
        jti: Box<str>,
    },
    /// `saml_assertion_id`: one SAML assertion.
    SamlAssertionId {
        /// Its `Issuer`.
        issuer: Box<str>,
        /// Its `ID`.
        assertion_id: Box<str>,
    },
    /// `ip-addresses`: as the transmitter saw them.
    IpAddresses(Vec<Box<str>>),
    /// `complex`: several things at once that all apply, each under its name. None of them is
    /// `complex`.
    Complex(Vec<(Box<str>, SubjectId)>),
    /// Another format, which has no meaning here.
    Other(Box<str>),
}

/// The members of a complex subject that SSF §3.2.2 names.
const MEMBERS: [&str; 7] =
    ["user", "device", "session", "application", "tenant", "org_unit", "group"];

impl SubjectId {
    /// The most members of a complex subject, aliases and addresses that are read. SSF names seven
    /// members.
    pub const MAX_PARTS: usize = 32;

    /// Reads a subject identifier, such as the claim `sub_id`. Members that its format does not have
    /// are ignored (SSF §4.2.3).
    ///
    /// # Errors
    /// If a member is absent that its format wants, or is of another type; if there are more parts
    /// than [`Self::MAX_PARTS`]; if aliases are nested.
    pub fn parse(object: &Object<'_>) -> Result<Self, SetError> {
        let format = format_of(object)?;
        if &*format != "complex" {
            return Self::simple(&format, object);
        }
        let mut members = Vec::new();
        for (name, value) in object.members().filter(|(name, _)| *name != "format") {
            let Some(member) = value.as_object().filter(|member| member.has("format")) else {
                if MEMBERS.contains(&name) {
                    return Err(SetError::request(
                        "a member of a complex subject is not a subject identifier",
                    ));
                }
                continue;
            };
            if members.len() >= Self::MAX_PARTS {
                return Err(too_many());
            }
            let format = format_of(&member)?;
            if &*format == "complex" {
                return Err(SetError::request("a complex subject inside a complex subject"));
            }
            members.push((name.into(), Self::simple(&format, &member)?));
        }
        if members.is_empty() {
            return Err(SetError::request("a complex subject has no member"));
        }
        Ok(Self::Complex(members))
    }

    fn simple(format: &str, object: &Object<'_>) -> Result<Self, SetError> {
        let text = |name: &'static str| -> Result<Box<str>, SetError> {
            let text = object.member(name).and_then(Value::as_str);
            match text {
                Some(text) if !text.is_empty() => Ok(text.into()),
                _ => Err(SetError::request(format!(
                    "a subject identifier has no `{name}` that is a string"
                ))),
            }
        };
        Ok(match format {
            "account" => Self::Account(text("uri")?),
            "email" => Self::Email(text("email")?),
            "iss_sub" => Self::IssuerSubject { issuer: text("iss")?, subject: text("sub")? },
            "opaque" => Self::Opaque(text("id")?),
            "phone_number" => Self::PhoneNumber(text("phone_number")?),
            "did" => Self::Did(text("url")?),
            "uri" => Self::Uri(text("uri")?),
            "jwt_id" => Self::JwtId { issuer: text("iss")?, jti: text("jti")? },
            "saml_assertion_id" => {
                let (issuer, assertion_id) = (text("issuer")?, text("assertion_id")?);
                Self::SamlAssertionId { issuer, assertion_id }
            }
            "ip-addresses" => {
                let addresses = elements(object, "ip-addresses")?.into_iter();
                let texts = addresses.map(|address| address.as_str().map(Into::into));
                let texts: Option<Vec<Box<str>>> = texts.collect();
                Self::IpAddresses(texts.ok_or_else(|| {
                    SetError::request("`ip-addresses` is not an array of strings")
                })?)
            }
            "aliases" => {
                let identifiers = elements(object, "identifiers")?.into_iter();
                Self::Aliases(identifiers.map(Self::alias).collect::<Result<_, _>>()?)
            }
            other => Self::Other(other.into()),
        })
    }

    fn alias(value: Value<'_>) -> Result<Self, SetError> {
        let object = value
            .as_object()
            .ok_or_else(|| SetError::request("an alias is not a subject identifier"))?;
        match &*format_of(&object)? {
            "aliases" | "complex" => {
                Err(SetError::request("an alias is itself `aliases` or `complex`"))
            }
            format => Self::simple(format, &object),
        }
    }

    /// The name of its format.
    #[must_use]
    pub fn format(&self) -> &str {
        match self {
            Self::Account(_) => "account",
            Self::Email(_) => "email",
            Self::IssuerSubject { .. } => "iss_sub",
            Self::Opaque(_) => "opaque",
            Self::PhoneNumber(_) => "phone_number",
            Self::Did(_) => "did",
            Self::Uri(_) => "uri",
            Self::Aliases(_) => "aliases",
            Self::JwtId { .. } => "jwt_id",
            Self::SamlAssertionId { .. } => "saml_assertion_id",
            Self::IpAddresses(_) => "ip-addresses",
            Self::Complex(_) => "complex",
            Self::Other(format) => format,
        }
    }
}

fn format_of(object: &Object<'_>) -> Result<Box<str>, SetError> {
    match object.member("format").and_then(Value::as_str) {
        Some(format) if !format.is_empty() => Ok(format.into()),
        _ => Err(SetError::request("a subject identifier has no `format` that is a string")),
    }
}

fn elements<'a>(object: &Object<'a>, name: &'static str) -> Result<Vec<Value<'a>>, SetError> {
    let elements = object.member(name).and_then(Value::as_array).unwrap_or_default();
    if elements.is_empty() {
        let what = format!("a subject identifier has no `{name}` that is an array with an element");
        return Err(SetError::request(what));
    }
    if elements.len() > SubjectId::MAX_PARTS { Err(too_many()) } else { Ok(elements) }
}

fn too_many() -> SetError {
    SetError::request(format!("a subject has more than {} parts", SubjectId::MAX_PARTS))
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who is meant is the business of whoever asks for it.
        match self {
            Self::Complex(members) => {
                f.debug_map().entries(members.iter().map(|(name, id)| (name, id))).finish()
            }
            Self::Aliases(aliases) => f.debug_list().entries(aliases).finish(),
            Self::Other(_) => f.write_str("other"),
            known => f.write_str(known.format()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<SubjectId, SetError> {
        SubjectId::parse(&Object::parse(json.as_bytes()).unwrap())
    }

    /// SUB-01.
    #[test]
    fn every_format_is_read_and_needs_its_members() {
        let opaque = || SubjectId::Opaque("x".into());
        for (json, expected) in [
            (r#"{"format":"account","uri":"acct:a@b"}"#, SubjectId::Account("acct:a@b".into())),
            (r#"{"format":"email","email":"a@b"}"#, SubjectId::Email("a@b".into())),
            (
                r#"{"format":"iss_sub","iss":"https://as","sub":"ann"}"#,
                SubjectId::IssuerSubject { issuer: "https://as".into(), subject: "ann".into() },
            ),
            (r#"{"format":"opaque","id":"x"}"#, opaque()),
            (
                r#"{"format":"phone_number","phone_number":"+1"}"#,
                SubjectId::PhoneNumber("+1".into()),
            ),
            (r#"{"format":"did","url":"did:a:b"}"#, SubjectId::Did("did:a:b".into())),
            (r#"{"format":"uri","uri":"urn:a"}"#, SubjectId::Uri("urn:a".into())),
            (
                r#"{"format":"jwt_id","iss":"https://as","jti":"t"}"#,
                SubjectId::JwtId { issuer: "https://as".into(), jti: "t".into() },
            ),
            (
                r#"{"format":"saml_assertion_id","issuer":"i","assertion_id":"a"}"#,
                SubjectId::SamlAssertionId { issuer: "i".into(), assertion_id: "a".into() },
            ),
            (
                r#"{"format":"ip-addresses","ip-addresses":["10.0.0.1","::1"]}"#,
                SubjectId::IpAddresses(vec!["10.0.0.1".into(), "::1".into()]),
            ),
            (
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"x"}]}"#,
                SubjectId::Aliases(vec![opaque()]),
            ),
            (
                r#"{"format":"complex","tenant":{"format":"opaque","id":"x"},"note":"free"}"#,
                SubjectId::Complex(vec![("tenant".into(), opaque())]),
            ),
            (
                r#"{"format":"catalog_item","catalog_id":"c"}"#,
                SubjectId::Other("catalog_item".into()),
            ),
        ] {
            assert_eq!(read(json), Ok(expected.clone()), "{json}");
            assert!(json.contains(&format!("\"format\":\"{}\"", expected.format())));
            // Its twins: each of the members that it needs is renamed, or of another type.
            let members: &[&str] = match expected {
                SubjectId::Other(_) | SubjectId::Complex(_) => &[],
                _ => &[
                    "uri",
                    "email",
                    "iss",
                    "sub",
                    "id",
                    "phone_number",
                    "url",
                    "jti",
                    "issuer",
                    "assertion_id",
                    "ip-addresses",
                    "identifiers",
                ],
            };
            for member in members {
                let named = format!("\"{member}\":");
                if !json.contains(&named) {
                    continue;
                }
                for other in [
                    json.replacen(&named, "\"absent\":", 1),
                    json.replacen(&named, &format!("\"{member}\":7,\"absent\":"), 1),
                    json.replacen(&named, &format!("\"{member}\":\"\",\"absent\":"), 1),
                ] {
                    let error = read(&other).unwrap_err();
                    assert_eq!(error.code().as_str(), "invalid_request", "{other}");
                }
            }
        }
    }

    /// SUB-01.
    #[test]
    fn what_is_no_subject_identifier_is_refused() {
        for json in [
            r#"{"email":"a@b"}"#,
            r#"{"subject_type":"email","email":"a@b"}"#,
            r#"{"format":7,"email":"a@b"}"#,
            r#"{"format":"","email":"a@b"}"#,
            r#"{"format":"complex"}"#,
            r#"{"format":"complex","note":"free"}"#,
            r#"{"format":"complex","user":"ann"}"#,
            r#"{"format":"complex","user":{"iss":"https://as","sub":"ann"}}"#,
            r#"{"format":"complex","user":{"format":"email"}}"#,
            r#"{"format":"complex","user":{"format":"complex","user":{"format":"opaque","id":"x"}}}"#,
            r#"{"format":"ip-addresses","ip-addresses":[7]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    /// SUB-02: aliases are not nested, wherever they are, and there is one at least.
    #[test]
    fn aliases_are_not_nested() {
        let opaque = r#"{"format":"opaque","id":"x"}"#;
        let aliases = |inner: &str| format!(r#"{{"format":"aliases","identifiers":[{inner}]}}"#);
        assert!(read(&aliases(opaque)).is_ok());
        let member = |inner: &str| format!(r#"{{"format":"complex","user":{inner}}}"#);
        assert!(read(&member(&aliases(opaque))).is_ok());
        for json in [
            aliases(&aliases(opaque)),
            aliases(&member(opaque)),
            member(&aliases(&aliases(opaque))),
            aliases(""),
            aliases("\"x\""),
            aliases(&vec![opaque; 33].join(",")),
        ] {
            assert_eq!(read(&json).unwrap_err().code().as_str(), "invalid_request", "{json}");
        }
    }

    /// SUB-01: a subject has so many parts, and no more.
    #[test]
    fn parts_are_bounded() {
        let opaque = r#"{"format":"opaque","id":"x"}"#;
        let list = |part: &str, count| vec![part; count].join(",");
        for (count, good) in [(SubjectId::MAX_PARTS, true), (SubjectId::MAX_PARTS + 1, false)] {
            let aliases = list(opaque, count);
            let addresses = list("\"::1\"", count);
            let members = (0..count).map(|name| format!(",\"{name}\":{opaque}"));
            let members = members.collect::<String>();
            for json in [
                format!(r#"{{"format":"aliases","identifiers":[{aliases}]}}"#),
                format!(r#"{{"format":"ip-addresses","ip-addresses":[{addresses}]}}"#),
                format!(r#"{{"format":"complex"{members}}}"#),
            ] {
                assert_eq!(read(&json).is_ok(), good, "{json}");
            }
        }
    }

    /// What is printed shows nobody.
    #[test]
    fn a_subject_is_not_printed() {
        let json = r#"{"format":"complex","user":{"format":"email","email":"ann@example.com"},
            "x":{"format":"ann","a":1}}"#;
        let shown = format!("{:?}", read(json).unwrap());
        assert!(shown.contains("email") && !shown.contains("ann"), "{shown}");
    }
}
