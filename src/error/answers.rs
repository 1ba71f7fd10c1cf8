/// What every challenge of one server has in common. Data only: [`crate::challenge`] makes it from
/// the configuration and is the one place that reads it.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The auth-params that come first in every challenge, ready to send: never empty.
    pub(crate) common: String,
    /// The auth-params that come with an `error`, ready to send.
    pub(crate) with_error: String,
}
