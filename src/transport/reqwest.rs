use ::reqwest::{Certificate, Client, ClientBuilder, Identity, redirect};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use crate::name::{LoopbackHttp, is_loopback};
use crate::secret::Secret;

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
        Self::builder().root_certificates(pem).build()
    }

    /// A client whose TLS is made to measure: a private CA, a certificate of our own, or both.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder { roots: None, own: None }
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
                .map_err(|error| failed(&error))
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

/// TLS made to measure, from [`ReqwestTransport::builder`].
///
/// PEM texts are read once, by [`Self::build`]: after a change of them, build anew.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReqwestTransportBuilder {
    roots: Option<Vec<u8>>,
    own: Option<(Vec<u8>, Secret)>,
}

impl ReqwestTransportBuilder {
    /// Trusts these CAs and no other, as [`ReqwestTransport::with_root_certificates`] does.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots = Some(pem.as_ref().into());
        self
    }

    /// Shows this certificate to a server that asks for one: client authentication by mutual TLS
    /// (RFC 8705 §2). The texts are PEM: the client's certificate followed by those between it and the
    /// root, and its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    ///
    /// Every https server that the transport reaches may ask, and learns from the certificate who we
    /// are: give the transport to what needs it, and no other.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use portcullis::secret::SecretSource;
    /// use portcullis::transport::ReqwestTransport;
    ///
    /// let certificate = std::fs::read("/etc/api/client.pem")?;
    /// let key = SecretSource::file("/run/secrets/client-key.pem").read()?;
    /// let transport = ReqwestTransport::builder()
    ///     .root_certificates(std::fs::read("/etc/api/private-ca.pem")?)
    ///     .client_certificate(certificate, key)
    ///     .build()?;
    /// # let _ = transport;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: Secret) -> Self {
        self.own = Some((chain.as_ref().into(), key));
        self
    }

    /// Makes the transport.
    ///
    /// # Errors
    /// If a text has no certificate or no key, or one that cannot be read; if the key is not the
    /// certificate's; if there are no roots and the platform's trust anchors cannot be loaded.
    pub fn build(self) -> Result<ReqwestTransport, FetchError> {
        let Self { roots, own } = self;
        let roots = roots.map(|pem| certificates(&pem)).transpose()?;
        let only = |builder: ClientBuilder| match &roots {
            Some(roots) => builder.tls_certs_only(roots.iter().cloned()),
            None => builder,
        };
        let client = match own {
            Some((chain, key)) => only(Client::builder()).identity(identity(&chain, &key)?),
            None => only(Client::builder()),
        };
        ReqwestTransport::of(client, only(Client::builder()))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, FetchError> {
    let certificates =
        Certificate::from_pem_bundle(pem).map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("no CA certificate in the PEM text"));
    }
    Ok(certificates)
}

/// Both texts are looked at before `reqwest` sees them as one: it would take the key of either.
fn identity(chain: &[u8], key: &Secret) -> Result<Identity, FetchError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
        return Err(unusable("no client certificate in the PEM text, or one that cannot be read"));
    }
    // What is wrong with the text of a key is nothing to show.
    if PrivateKeyDer::from_pem_slice(key.expose()).is_err() {
        return Err(unusable(
            "no private key in the PEM text; PKCS #8, PKCS #1 or SEC 1 is wanted, not encrypted",
        ));
    }
    Identity::from_pem(&[chain, b"\n", key.expose()].concat()).map_err(|error| failed(&error))
}

fn unusable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FetchError {
    FetchError::new(FetchErrorKind::Connection).caused_by(cause)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCertificate;

    fn refusal(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> String {
        let built = ReqwestTransport::builder().client_certificate(chain, Secret::new(key)).build();
        built.expect_err("a refusal").to_string()
    }

    /// MTLS: a certificate and its key are accepted, alone and with a private CA; every other pair of
    /// texts is refused, and nothing of a key is shown.
    #[test]
    fn a_client_certificate_has_its_key() {
        let authority = TestCertificate::named("authority").authority().self_signed();
        let own = TestCertificate::named("api").issued_by(&authority);
        let other = TestCertificate::named("other").self_signed();
        let key = || Secret::new(own.key_pem());

        let alone = ReqwestTransport::builder()
            .root_certificates(authority.pem())
            .client_certificate(own.chain_pem(), key());
        let line = own.key_pem().lines().nth(1).unwrap().to_owned();
        assert!(!format!("{alone:?} {alone:#?}").contains(&line));
        alone.build().unwrap();
        ReqwestTransport::builder().client_certificate(own.pem(), key()).build().unwrap();

        let none = "no client certificate";
        for (name, chain, key, wanted) in [
            ("another's key", own.pem(), other.key_pem(), ""),
            ("no certificate", String::new(), own.key_pem(), none),
            ("a key as certificate", own.key_pem(), own.key_pem(), none),
            ("a certificate as key", own.pem(), own.pem(), "no private key"),
            (
                "the key in the wrong text",
                own.pem() + &own.key_pem(),
                String::new(),
                "no private key",
            ),
            ("a torn key", own.pem(), own.key_pem().replace("-----END", "-----"), "no private key"),
        ] {
            let refusal = refusal(chain, key);
            assert!(refusal.contains(wanted), "{name}: {refusal}");
            assert!(!refusal.contains(&line), "{name}: {refusal}");
        }
        assert!(ReqwestTransport::builder().root_certificates("").build().is_err());
        assert!(ReqwestTransport::with_root_certificates(b"no PEM").is_err());
    }

    /// Why there is no client is said, and not only that there is none: a container without the
    /// platform's certificates is mended by who reads it.
    #[test]
    fn a_client_that_cannot_be_made_says_why() {
        let built = ReqwestTransport::with_builder(Client::builder().user_agent("two\nlines"));
        let refusal = built.expect_err("no header value").to_string();
        assert!(refusal.contains("header value"), "{refusal}");
        assert!(!refusal.contains("builder error"), "{refusal}");
    }
}
