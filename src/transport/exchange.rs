//! One exchange within its limits, whatever a transport keeps of them.
//!
//! 1. Our own credential is read, and the answer awaited, within one time.
//! 2. No answer is longer than it may be.
//!
//! What it does not do: status, redirects and content are for the caller to judge.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};

use super::{FetchError, FetchErrorKind, FetchLimits, Transport};
use crate::secret::{Credential, SecretError};
use crate::time::Clock;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    Fetch(FetchError),
    /// Our own credential cannot be read.
    Credential(SecretError),
}

impl From<FetchError> for ExchangeError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

/// Sends `request` with this credential, within the limits, the time by `clock`.
pub(crate) async fn exchange(
    transport: &dyn Transport,
    clock: &dyn Clock,
    credential: Option<&Credential>,
    mut request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, ExchangeError> {
    let answer = async {
        if let Some(credential) = credential {
            let value = credential.read().await.map_err(ExchangeError::Credential)?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(fetch_at_most(transport, request, limits).await?)
    };
    tokio::select! {
        answer = answer => answer,
        () = clock.sleep(limits.timeout) => Err(FetchError::new(FetchErrorKind::Timeout).into()),
    }
}

/// The same without a credential, for a caller that keeps the time itself.
pub(crate) async fn fetch_at_most(
    transport: &dyn Transport,
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let answer = transport.fetch(request, limits).await?;
    match answer.body().len() > limits.max_body {
        true => Err(FetchError::new(FetchErrorKind::TooLarge)),
        false => Ok(answer),
    }
}
