use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode, Uri};

use super::discovery::{MetadataError, jwks_uri, max_age};
use crate::jose::{Algorithm, JwkSet, JwkSetError};
use crate::name::{IssuerId, LoopbackHttp};
use crate::secret::{Credential, CredentialScheme, SecretError, SecretSource};
use crate::time::Clock;
use crate::transport::{
    ExchangeError, FetchError, FetchErrorKind, FetchLimits, Transport, exchange,
};

/// A metadata document has some 5 KiB.
const MAX_METADATA: usize = 128 * 1024;
/// A key with a certificate chain has some 6 KiB; a set of a hundred of them fits.
const MAX_JWKS: usize = 1024 * 1024;
/// From the first byte sent to the last byte read.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a flight can take: three places of the metadata, the keys, and some slack.
pub(super) const LONGEST: Duration = Duration::from_secs(25);

/// Why keys could not be fetched. For operators; it holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFetchError {
    /// No answer.
    #[error("{url}: {error}")]
    Fetch {
        /// What was fetched.
        url: String,
        /// What went wrong.
        error: FetchError,
    },
    /// An answer with another status than 200.
    #[error("{url}: status {status}, wanted 200")]
    Status {
        /// What was fetched.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// A metadata document that cannot be used.
    #[error("{url}: {error}")]
    Metadata {
        /// What was fetched.
        url: String,
        /// What is wrong with it.
        error: MetadataError,
    },
    /// A key set that cannot be used.
    #[error("{url}: {error}")]
    Keys {
        /// What was fetched.
        url: String,
        /// What is wrong with it.
        error: JwkSetError,
    },
    /// No metadata document was found; one error for each place where it may be.
    #[error("no metadata: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Discovery(Vec<KeyFetchError>),
    /// Our own token for the fetch cannot be read.
    #[error("{url}: {error}")]
    Token {
        /// What was to be fetched.
        url: String,
        /// What went wrong. It names the place of the secret, never the secret.
        error: SecretError,
    },
    /// There is no tokio runtime to fetch in.
    #[error("no tokio runtime to fetch keys in: call from within one")]
    NoRuntime,
    /// The fetch was dropped, with its runtime.
    #[error("the fetch ended with its runtime")]
    Dropped,
}

/// What a fetch brought.
pub(super) struct Fetched {
    pub(super) keys: FetchedKeys,
    pub(super) max_age: Option<Duration>,
    pub(super) etag: Option<HeaderValue>,
}

pub(super) enum FetchedKeys {
    New(JwkSet),
    Unchanged,
}

/// What a fetch needs to know.
pub(super) struct Fetcher<'a> {
    pub(super) issuer: &'a IssuerId,
    pub(super) algorithms: &'a [Algorithm],
    pub(super) loopback_http: LoopbackHttp,
    pub(super) transport: &'a dyn Transport,
    pub(super) clock: &'a dyn Clock,
    pub(super) token: Option<&'a Arc<FetchToken>>,
}

/// A bearer token of ours for the issuer's documents.
pub(super) struct FetchToken {
    credential: Arc<Credential>,
    /// It goes to the host of this URL, by https, and nowhere else.
    url: String,
}

impl FetchToken {
    pub(super) fn new(source: SecretSource, url: String) -> Self {
        Self { credential: Arc::new(Credential::new(source, CredentialScheme::Bearer)), url }
    }

    pub(super) fn source(&self) -> &SecretSource {
        self.credential.source()
    }

    fn goes_to(&self, url: &str) -> bool {
        let (Ok(own), Ok(other)) = (self.url.parse::<Uri>(), url.parse::<Uri>()) else {
            return false;
        };
        // The port too: another service may listen on another one.
        own.scheme() == other.scheme() && own.authority() == other.authority()
    }
}

impl Fetcher<'_> {
    /// Looks for the metadata in each place, and takes the first document that is this issuer's.
    pub(super) async fn discover(&self, urls: &[String]) -> Result<String, KeyFetchError> {
        let mut errors = Vec::new();
        for url in urls {
            match self.metadata(url).await {
                Ok(jwks_uri) => return Ok(jwks_uri),
                Err(error) => errors.push(error),
            }
        }
        Err(KeyFetchError::Discovery(errors))
    }

    async fn metadata(&self, url: &str) -> Result<String, KeyFetchError> {
        let answer = self.get(url, None, MAX_METADATA).await?;
        if answer.status() != StatusCode::OK {
            return Err(KeyFetchError::Status { url: url.to_owned(), status: answer.status() });
        }
        jwks_uri(self.issuer, answer.headers(), answer.body(), self.loopback_http)
            .map_err(|error| KeyFetchError::Metadata { url: url.to_owned(), error })
    }

    /// Fetches a key set, or learns that it has not changed since `etag`.
    pub(super) async fn keys(
        &self,
        url: &str,
        etag: Option<HeaderValue>,
    ) -> Result<Fetched, KeyFetchError> {
        let conditional = etag.is_some();
        let answer = self.get(url, etag.clone(), MAX_JWKS).await?;
        let max_age = max_age(answer.headers());
        match answer.status() {
            StatusCode::OK => {
                let keys = JwkSet::parse(answer.body(), self.algorithms)
                    .map_err(|error| KeyFetchError::Keys { url: url.to_owned(), error })?;
                let etag = answer.headers().get(ETAG).cloned();
                Ok(Fetched { keys: FetchedKeys::New(keys), max_age, etag })
            }
            StatusCode::NOT_MODIFIED if conditional => {
                Ok(Fetched { keys: FetchedKeys::Unchanged, max_age, etag })
            }
            status => Err(KeyFetchError::Status { url: url.to_owned(), status }),
        }
    }

    async fn get(
        &self,
        url: &str,
        etag: Option<HeaderValue>,
        max_body: usize,
    ) -> Result<Response<Bytes>, KeyFetchError> {
        let failed = |error| KeyFetchError::Fetch { url: url.to_owned(), error };
        let mut request = Request::get(url)
            .header(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"))
            .body(Bytes::new())
            .map_err(|error| failed(FetchError::new(FetchErrorKind::Forbidden).caused_by(error)))?;
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let token = self.token.filter(|token| token.goes_to(url));
        let limits = FetchLimits { max_body, timeout: TIMEOUT, loopback_http: self.loopback_http };
        let credential = token.map(|token| &*token.credential);
        let answer = exchange(self.transport, self.clock, credential, request, limits).await;
        let answer = answer.map_err(|error| match error {
            ExchangeError::Fetch(error) => failed(error),
            ExchangeError::Credential(error) => KeyFetchError::Token { url: url.to_owned(), error },
        })?;
        let redirect = answer.status().is_redirection();
        if redirect && answer.status() != StatusCode::NOT_MODIFIED {
            return Err(failed(FetchError::new(FetchErrorKind::Redirect)));
        }
        Ok(answer)
    }
}
