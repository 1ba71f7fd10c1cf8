use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Uri};

use super::CheckError;
use crate::access::Access;
use crate::credentials::RequestHead;
use crate::sender::PeerAddr;
use crate::time::Timestamp;

/// The future of [`AsyncCheck::check`].
pub type CheckFuture = Pin<Box<dyn Future<Output = Result<(), CheckError>> + Send>>;

/// A condition that somebody else has to be asked about: a database, another service.
///
/// It is mounted with [`crate::Policy::and_async`], runs after every other check said yes, and has
/// as long as [`crate::Policy::async_timeout`] says; after that the answer is 503. A false yes lets
/// a request through that the policy forbids; where the answer cannot be known, say
/// [`super::Unavailable`].
///
/// Dropping the future must lose nothing: a client that goes away drops it.
///
/// ```
/// use portcullis::Policy;
/// use portcullis::check::{CheckError, CheckRequest, Denial, scope};
///
/// async fn in_good_standing(request: CheckRequest) -> Result<(), CheckError> {
///     let subject = request.access().subject().as_str().to_owned();
///     // ... ask the database ...
///     if subject == "mallory" {
///         return Err(Denial::forbidden("the account is suspended").into());
///     }
///     Ok(())
/// }
///
/// let policy = Policy::new(scope("notes:read")).and_async(in_good_standing);
/// # let _ = policy;
/// ```
///
/// One that has something of its own, such as a pool of connections, implements the trait:
///
/// ```
/// use std::sync::Arc;
/// use portcullis::check::{AsyncCheck, CheckFuture, CheckRequest, Denial, Unavailable};
/// # struct Pool;
/// # impl Pool { async fn is_member(&self, _: &str) -> Result<bool, std::io::Error> { Ok(true) } }
///
/// struct Members {
///     pool: Arc<Pool>,
/// }
///
/// impl AsyncCheck for Members {
///     fn check(&self, request: CheckRequest) -> CheckFuture {
///         let pool = Arc::clone(&self.pool);
///         Box::pin(async move {
///             match pool.is_member(request.access().subject().as_str()).await {
///                 Ok(true) => Ok(()),
///                 Ok(false) => Err(Denial::forbidden("not a member").into()),
///                 Err(error) => Err(Unavailable::new(format!("the directory: {error}")).into()),
///             }
///         })
///     }
///
///     fn name(&self) -> &'static str {
///         "members"
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async check",
    note = "use an `async fn(CheckRequest) -> Result<(), CheckError>`"
)]
pub trait AsyncCheck: Send + Sync + 'static {
    /// Decides, by asking.
    fn check(&self, request: CheckRequest) -> CheckFuture;

    /// How it stands in the effective policy.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl<F, A> AsyncCheck for F
where
    F: Fn(CheckRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<(), CheckError>> + Send + 'static,
{
    fn check(&self, request: CheckRequest) -> CheckFuture {
        Box::pin(self(request))
    }
}

/// What an [`AsyncCheck`] may look at: the same as any check, owned, and without the fields that are
/// known to hold credentials: `Authorization`, `Proxy-Authorization`, `Cookie`, `DPoP`, the tokens of
/// workloads and transactions, and what common proxies call an access token or an API key. A clone is
/// cheap.
#[derive(Clone)]
pub struct CheckRequest {
    inner: Arc<Inner>,
}

struct Inner {
    access: Access,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<PeerAddr>,
    now: Timestamp,
}

impl CheckRequest {
    /// For a test: `testing::check_async` makes one of an access and a request.
    pub(crate) fn new(access: &Access, head: RequestHead<'_>, now: Timestamp) -> Self {
        const SECRET: [HeaderName; 10] = [
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
            HeaderName::from_static("dpop"),
            HeaderName::from_static("txn-token"),
            HeaderName::from_static("workload-identity-token"),
            HeaderName::from_static("workload-proof-token"),
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("x-forwarded-access-token"),
            HeaderName::from_static("x-amzn-oidc-accesstoken"),
        ];
        let mut headers = head.headers.clone();
        for name in SECRET {
            headers.remove(name);
        }
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let (access, peer) = (access.clone(), head.extensions.get().copied());
        Self { inner: Arc::new(Inner { access, method, uri, headers, peer, now }) }
    }

    /// The accepted token.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.inner.method
    }

    /// The request's URI, as the layer saw it.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.inner.uri
    }

    /// The request's header fields, without those that hold credentials.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// Where the request came from, if that is known.
    #[must_use]
    pub fn peer(&self) -> Option<PeerAddr> {
        self.inner.peer
    }

    /// The time of the decision.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.now
    }
}

impl fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckRequest")
            .field("access", &self.inner.access)
            .field("method", &self.inner.method)
            .field("path", &self.inner.uri.path())
            .finish_non_exhaustive()
    }
}
