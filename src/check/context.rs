use http::{Method, Uri};

use crate::access::Access;
use crate::credentials::RequestHead;
use crate::time::Timestamp;

/// What a check may look at.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    access: &'a Access,
    head: RequestHead<'a>,
    now: Timestamp,
}

impl<'a> CheckContext<'a> {
    pub(crate) fn new(access: &'a Access, head: RequestHead<'a>, now: Timestamp) -> Self {
        Self { access, head, now }
    }

    /// The accepted token.
    #[must_use]
    pub fn access(&self) -> &'a Access {
        self.access
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.head.method
    }

    /// The request's URI, as the layer saw it.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.head.uri
    }

    /// The request's head, whole.
    #[must_use]
    pub fn head(&self) -> RequestHead<'a> {
        self.head
    }

    /// The time of the decision.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
