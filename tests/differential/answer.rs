//! What the crate says of a request, and whether the reference says the same.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CACHE_CONTROL;
use portcullis::testing::challenges;
use portcullis::{Access, Rejection, RejectionKind};

use crate::naive::{Granted, NaiveChallenge, Verdict};

/// What the crate says, with the kind of a refusal.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Answer {
    Pass {
        granted: Granted,
        nonce: Option<String>,
    },
    Refuse {
        status: u16,
        challenges: Vec<NaiveChallenge>,
        params: BTreeMap<&'static str, String>,
        nonce: Option<String>,
        kind: RejectionKind,
        /// The issuer that was asked about the token, if one was.
        asked: Option<String>,
    },
    Panic,
}

impl Answer {
    pub(super) fn pass(access: &Access, headers: &HeaderMap, asked: Option<String>) -> Self {
        let nonce = nonce(headers);
        let granted = Granted {
            iss: access.issuer().as_str().to_owned(),
            sub: access.subject().as_str().to_owned(),
            kind: access.subject_kind().as_str().to_owned(),
            client_id: access.client_id().map(|client| client.as_str().to_owned()),
            jti: access.jwt_id().map(|id| id.as_str().to_owned()),
            audiences: access.audiences().map(|audience| audience.as_str().to_owned()).collect(),
            scopes: access.scopes().map(str::to_owned).collect(),
            acr: access.acr().map(str::to_owned),
            actor: access
                .actor()
                .map(|actor| (actor.issuer().to_owned(), actor.subject().as_str().to_owned())),
            binding: access.binding().as_str().to_owned(),
            key: access.key_thumbprint().map(|key| key.as_str().to_owned()),
            certificate: access
                .certificate()
                .map(|certificate| certificate.thumbprint().as_str().to_owned()),
            nonce: nonce.is_some(),
            asked,
        };
        Self::Pass { granted, nonce }
    }

    pub(super) fn refuse(rejection: &Rejection, asked: Option<String>) -> Self {
        let response = rejection.to_response::<()>();
        assert_eq!(response.status(), rejection.status());
        let told = challenges(response.headers());
        let text = |text: Option<&str>| text.map(str::to_owned);
        let param = |name| Some((name, told.first()?.param(name)?.to_owned()));
        Self::Refuse {
            status: response.status().as_u16(),
            params: ["scope", "acr_values", "max_age"].into_iter().filter_map(param).collect(),
            challenges: told
                .iter()
                .map(|one| NaiveChallenge {
                    scheme: one.scheme.clone(),
                    error: text(one.param("error")),
                    algs: text(one.param("algs")),
                })
                .collect(),
            nonce: nonce(response.headers()),
            kind: rejection.kind(),
            asked,
        }
    }

    /// The nonce that the client was given.
    pub(crate) fn nonce(&self) -> Option<&String> {
        match self {
            Self::Pass { nonce, .. } | Self::Refuse { nonce, .. } => nonce.as_ref(),
            Self::Panic => None,
        }
    }

    /// Where the time of day was set back, a memory need not know what was used any more, as long as
    /// it says so.
    pub(crate) fn cannot_tell(&self, verdict: &Verdict) -> bool {
        let is_about_uses = match verdict {
            Verdict::Pass(_) => true,
            Verdict::Refuse { kinds, .. } => {
                kinds.contains(&"proof_replayed") || kinds.contains(&"token_used")
            }
        };
        let says_so = matches!(
            self,
            Self::Refuse { status: 503, kind: RejectionKind::ReplayUnavailable, .. }
        );
        is_about_uses && says_so
    }

    pub(crate) fn agrees_with(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Self::Pass { granted, .. }, Verdict::Pass(naive)) => granted == naive,
            (
                Self::Refuse { status, challenges, params, nonce, kind, asked },
                Verdict::Refuse {
                    status: naive_status,
                    challenges: naive_challenges,
                    params: naive_params,
                    nonce: naive_nonce,
                    kinds,
                    asked: naive_asked,
                    or,
                    ..
                },
            ) => {
                let is_same = status == naive_status
                    && challenges == naive_challenges
                    && params == naive_params
                    && nonce.is_some() == *naive_nonce
                    && kinds.contains(&kind.as_str())
                    && asked == naive_asked;
                is_same || or.iter().any(|other| self.agrees_with(other))
            }
            _ => false,
        }
    }
}

/// The one nonce of a response, which nobody may keep.
fn nonce(headers: &HeaderMap) -> Option<String> {
    let mut fields = headers.get_all("dpop-nonce").iter();
    let nonce = fields.next()?.to_str().unwrap().to_owned();
    assert!(fields.next().is_none(), "more than one nonce");
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    Some(nonce)
}
