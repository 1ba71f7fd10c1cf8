use ::reqwest::{Certificate, Client, ClientBuilder, redirect};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use crate::name::{LoopbackHttp, is_loopback};

/// HTTP with `reqwest` and rustls. Certificates are verified by the platform's verifier.
///
/// What other crates in the build enable of `reqwest` changes nothing here: TLS is rustls, bodies
/// are not decompressed, redirects are not followed.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: Client,
    /// For `http` to loopback hosts: a proxy would make another machine of them.
    loopback: Client,
}

impl ReqwestTransport {
    /// A client with the platform's trust anchors, and the proxies of the environment.
    ///
    /// # Errors
    /// If the platform's trust anchors cannot be loaded.
    pub fn new() -> Result<Self, FetchError> {
        Self::with_builder(Client::builder())
    }

    /// A client that trusts these CAs and no other, in PEM: for an issuer behind a private CA, such
    /// as the API server of a Kubernetes cluster. The platform's trust anchors are left out: a
    /// public CA that is tricked or coerced into a certificate for the issuer's name could
    /// otherwise choose its keys, and would be handed the [`fetch_token`].
    ///
    /// Give it to the one issuer ([`crate::Issuer::transport`]); the others keep the server's
    /// transport. The certificates are read once: after a change of the CA, build anew.
    ///
    /// # Errors
    /// If there is no certificate in `pem`, or one that cannot be read.
    ///
    /// [`fetch_token`]: crate::Issuer::fetch_token
    pub fn with_root_certificates(pem: &[u8]) -> Result<Self, FetchError> {
        let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            FetchError::new(FetchErrorKind::Connection).caused_by(cause)
        };
        let certificates =
            Certificate::from_pem_bundle(pem).map_err(|error| unusable(error.into()))?;
        if certificates.is_empty() {
            return Err(unusable("no CA certificate in the PEM text".into()));
        }
        let only = |builder: ClientBuilder| builder.tls_certs_only(certificates.iter().cloned());
        Self::of(only(Client::builder()), only(Client::builder()))
    }

    /// A client of your own making: with a private CA, a proxy, a client certificate. Redirects
    /// and decompression are switched off, whatever it says.
    ///
    /// `reqwest` is before 1.0: this method follows its versions, outside this crate's own promise
    /// of stability.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub fn with_builder(builder: ClientBuilder) -> Result<Self, FetchError> {
        Self::of(builder, Client::builder())
    }

    fn of(client: ClientBuilder, loopback: ClientBuilder) -> Result<Self, FetchError> {
        let build = |builder: ClientBuilder| {
            builder
                .tls_backend_rustls()
                .redirect(redirect::Policy::none())
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
                .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| FetchError::new(FetchErrorKind::Connection).caused_by(error))
        };
        Ok(Self { client: build(client)?, loopback: build(loopback.no_proxy())? })
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        let host = request.uri().host().unwrap_or_default();
        let client = match request.uri().scheme_str() {
            Some("https") => &self.client,
            Some("http") if limits.loopback_http == LoopbackHttp::Allowed && is_loopback(host) => {
                &self.loopback
            }
            _ => return Err(FetchError::new(FetchErrorKind::Forbidden)),
        };
        let request = ::reqwest::Request::try_from(request)
            .map_err(|error| FetchError::new(FetchErrorKind::Forbidden).caused_by(error))?;
        let request =
            ::reqwest::RequestBuilder::from_parts(client.clone(), request).timeout(limits.timeout);
        let mut response = request.send().await.map_err(|error| failed(&error))?;

        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len().saturating_add(chunk.len()) > limits.max_body {
                return Err(FetchError::new(FetchErrorKind::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

impl Transport for ReqwestTransport {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        Box::pin(self.send(request, limits))
    }
}

/// The error without its URL: a query could hold something private.
fn failed(error: &::reqwest::Error) -> FetchError {
    let kind =
        if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Connection };
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let failure = FetchError::new(kind);
    if text.is_empty() { failure } else { failure.caused_by(text) }
}
