use serde_json::json;

use super::client_peer::NO_CERTIFICATE;
use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::name::NameError;
use crate::sender::{SpiffePattern, TrustBundle};

/// The sender is a workload of this trust domain whose path matches this pattern: its certificate is
/// an X.509-SVID of the bundle, verified at the time of the decision; else 403.
///
/// The certificate is the one that the sender proved to have the key of ([`crate::Mtls`]), whether the
/// token is bound to it or not. One of which a proxy forwards nothing but the digest proves no SPIFFE
/// ID. For several paths or trust domains say [`Check::or`]. A malformed pattern ([`SpiffePattern`]) is
/// a fault of the policy.
///
/// It says who sends the request, and nothing of whose token it is: see
/// [`client_matches_peer`](super::client_matches_peer).
///
/// ```
/// use portcullis::check::{Check, scope, spiffe_id};
/// use portcullis::sender::TrustBundle;
///
/// fn policy(bundle: &TrustBundle) -> impl Check + use<> {
///     let web = spiffe_id(bundle, "/ns/*/sa/web");
///     scope("notes:read").and(web.or(spiffe_id(bundle, "/ns/prod/sa/batch")))
/// }
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{KeyUsage, TestAccess, TestCertificate, check};
/// let root = TestCertificate::named("root").authority().self_signed();
/// let bundle = TrustBundle::from_der("example.org", [root.der()]).unwrap();
/// let access = |id: &str| {
///     let svid = TestCertificate::named("svid").uri(id).key_usage(KeyUsage::DigitalSignature);
///     let svid = svid.issued_by(&root).certificate();
///     TestAccess::new().scope("notes:read").certificate(svid).build()
/// };
/// let (web, db) = ("spiffe://example.org/ns/prod/sa/web", "spiffe://example.org/ns/prod/sa/db");
/// assert!(check(&policy(&bundle), &access(web), "GET", "/").is_ok());
/// assert!(check(&policy(&bundle), &access(db), "GET", "/").is_err());
/// # }
/// ```
#[must_use]
pub fn spiffe_id(bundle: &TrustBundle, path: &str) -> RequireSpiffeId {
    RequireSpiffeId { bundle: bundle.clone(), path: SpiffePattern::parse(path) }
}

/// The check of [`spiffe_id`].
#[derive(Clone, Debug)]
pub struct RequireSpiffeId {
    bundle: TrustBundle,
    path: Result<SpiffePattern, NameError>,
}

impl Check for RequireSpiffeId {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let Ok(path) = &self.path else {
            return Err(Denial::forbidden("the policy has a SPIFFE path that is none").into());
        };
        let Some(certificate) = request.access().certificate() else {
            return Err(Denial::forbidden(NO_CERTIFICATE).into());
        };
        match self.bundle.verify(certificate, request.now()) {
            Ok(id) if path.matches(&id) => Ok(()),
            Ok(id) => Err(Denial::forbidden(format!("the sender is {id}, wanted `{path}`")).into()),
            Err(fault) => Err(Denial::forbidden(fault.to_string()).into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        match &self.path {
            Ok(path) => {
                let trust_domain = self.bundle.trust_domain();
                let path = path.as_str();
                needs.rule("spiffe_id", json!({ "trust_domain": trust_domain, "path": path }));
            }
            Err(fault) => needs.fault(fault.clone().into()),
        }
    }
}
