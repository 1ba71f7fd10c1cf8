use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{counter, gauge, histogram};

use super::{Decision, ExceptionStatus, Observer, SenderBinding, SourceEvent, SourceEventKind};
use crate::error::RejectionKind;

/// Feeds the `metrics` facade (feature `metrics`): whatever recorder the service has installed.
///
/// | metric | labels |
/// |---|---|
/// | `portcullis_decisions_total`, counter | `outcome`, `kind`, `decided_by`, `route`, `issuer`, `class`, `binding` |
/// | `portcullis_decision_seconds`, histogram | `outcome`, `route` |
/// | `portcullis_exception_uses_total`, counter | `exception` |
/// | `portcullis_exception_days_left`, gauge | `exception` |
/// | `portcullis_revocation_events_total`, counter | `source`, `event` |
/// | `portcullis_revocation_synchronised_seconds`, gauge: the time of day | `source` |
/// | `portcullis_revocation_lag_seconds`, histogram | `source` |
/// | `portcullis_revocation_records`, gauge | |
///
/// The `source` of all status lists is `status_lists`: the time is that of the list that was fetched
/// last. A label that does not apply is `none`. At most 100 issuers are named, those that signed a token
/// first; the tokens of others are counted under `other`.
///
/// ```
/// use portcullis::ServerBuilder;
/// use portcullis::observe::MetricsObserver;
///
/// fn watched(builder: ServerBuilder) -> ServerBuilder {
///     builder.observer(MetricsObserver::new())
/// }
/// # let _ = watched;
/// ```
/// Clients and tokens are no labels: their number has no bound.
#[derive(Clone, Debug, Default)]
pub struct MetricsObserver {
    issuers: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl MetricsObserver {
    /// How many issuers are named in labels.
    const MAX_ISSUERS: usize = 100;

    /// An observer for the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn issuer_label(&self, issuer: &str, proven: bool) -> Arc<str> {
        let mut known = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = known.get(issuer) {
            return Arc::clone(label);
        }
        // A name in a token that nobody signed takes no place.
        if !proven || known.len() >= Self::MAX_ISSUERS {
            return "other".into();
        }
        let label: Arc<str> = issuer.into();
        known.insert(Arc::clone(&label));
        label
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, decision: &Decision<'_>) {
        const NONE: &str = "none";
        let issuer = match decision.issuer {
            Some(issuer) => self.issuer_label(issuer.as_str(), decision.issuer_proven),
            None => NONE.into(),
        };
        let outcome = decision.outcome.as_str();
        counter!(
            "portcullis_decisions_total",
            "outcome" => outcome,
            "kind" => decision.kind.map_or(NONE, RejectionKind::as_str),
            "decided_by" => decision.decided_by.as_str(),
            "route" => decision.route.to_owned(),
            "issuer" => issuer,
            "class" => decision.class.unwrap_or(NONE).to_owned(),
            "binding" => decision.binding.map_or(NONE, SenderBinding::as_str),
        )
        .increment(1);
        histogram!(
            "portcullis_decision_seconds",
            "outcome" => outcome,
            "route" => decision.route.to_owned(),
        )
        .record(decision.duration().as_secs_f64());
        if let Some(exception) = decision.exception {
            counter!("portcullis_exception_uses_total", "exception" => exception.to_owned())
                .increment(1);
        }
    }

    fn revocation(&self, event: &SourceEvent<'_>) {
        let source = || event.source.to_owned();
        counter!(
            "portcullis_revocation_events_total",
            "source" => source(),
            "event" => event.kind.as_str(),
        )
        .increment(1);
        if let Some(records) = event.records {
            let records = u32::try_from(records).unwrap_or(u32::MAX);
            gauge!("portcullis_revocation_records").set(f64::from(records));
        }
        match event.kind {
            SourceEventKind::Synchronised => {
                // A time, and no age: an age would stand still exactly when nothing comes any more.
                let age = event.age.unwrap_or_default();
                gauge!("portcullis_revocation_synchronised_seconds", "source" => source())
                    .set(event.at.minus(age).as_duration().as_secs_f64());
            }
            SourceEventKind::Applied { lag: Some(lag), .. } => {
                histogram!("portcullis_revocation_lag_seconds", "source" => source())
                    .record(lag.as_secs_f64());
            }
            _ => {}
        }
    }

    fn exception(&self, exception: &ExceptionStatus<'_>) {
        let days = u32::try_from(exception.days_left).unwrap_or(u32::MAX);
        gauge!("portcullis_exception_days_left", "exception" => exception.reason.to_owned())
            .set(f64::from(days));
    }
}
