//! Observers are told how fetches end.

use std::sync::{Arc, Mutex};

use portcullis::observe::{Decision, MetricsObserver, Observer, SourceEvent, SourceEventKind};
use portcullis::revocation::StatusLists;
use portcullis::testing::Failure;

use crate::world::{MINUTE, Parts, SECOND};

/// What was told.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Ear {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Ear {
    fn observe(&self, _: &Decision<'_>) {}

    fn revocation(&self, event: &SourceEvent<'_>) {
        let (source, kind) = (event.source, event.kind.as_str());
        let told = match event.kind {
            SourceEventKind::Failed { error, .. } => format!(": {error}"),
            _ => String::new(),
        };
        let (age, records) = (event.age.map(|age| age.as_secs()), event.records);
        self.0.lock().unwrap().push(format!("{source} {kind} {age:?} {records:?}{told}"));
    }
}

/// TSL-19: each fetch of a list is one event, good or bad, under the name of the lists.
#[tokio::test]
async fn tsl_19_each_fetch_is_told_once() {
    let ear = Arc::new(Ear::default());
    let mut parts = Parts::new();
    parts.observers.push(Arc::<Ear>::clone(&ear));
    let world = parts.build().await;
    assert_eq!(ear.take(), Vec::<String>::new());
    assert_eq!((world.kind(0).await, world.kind(1).await), (None, None));
    assert_eq!(ear.take(), ["status_lists synchronised Some(0) None"]);
    world.list.fail(Failure::Status(http::StatusCode::NOT_FOUND));
    world.advance(SECOND * 280).await;
    let told = ear.take();
    let [failed] = &told[..] else { panic!("{told:?}") };
    let start = "status_lists failed Some(280) None: \"https://as.example/lists/1\": ";
    assert!(failed.starts_with(start) && failed.contains("404"), "{failed}");
    world.list.recover();
    world.advance(MINUTE).await;
    assert_eq!(ear.take(), ["status_lists synchronised Some(0) None"]);
    drop(world);
    assert_eq!(ear.take(), Vec::<String>::new(), "its end is no news of a list");
}

/// So is a document that names lists and cannot be had.
#[tokio::test]
async fn a_document_that_cannot_be_had_is_told() {
    let ear = Arc::new(Ear::default());
    let mut parts = Parts::new();
    parts.observers.push(Arc::<Ear>::clone(&ear));
    let document = "https://as.example/lists";
    parts.network = parts.network.with_document(document, "text/plain", "{}");
    parts.lists = StatusLists::new().prefetch(document);
    let _world = parts.build().await;
    let told = ear.take();
    let [failed] = &told[..] else { panic!("{told:?}") };
    assert!(failed.starts_with("status_lists failed None None: \"https://as.example/lists\""));
}

/// Metrics count the fetches of lists, and do not take them for records.
#[tokio::test]
async fn lists_are_counted_and_are_no_records() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut parts = Parts::new();
    parts.observers.push(Arc::new(MetricsObserver::new()));
    let world = parts.build().await;
    assert_eq!(world.kind(0).await, None);
    let mut seen = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (name, mut labels) = (key.key().name().to_owned(), key.key().labels());
        let is_ours =
            labels.any(|label| (label.key(), label.value()) == ("source", "status_lists"));
        match value {
            DebugValue::Counter(1) if is_ours => seen.push((name, 1.0)),
            DebugValue::Gauge(value) => seen.push((name, value.into_inner())),
            _ => {}
        }
    }
    seen.sort_by(|left, right| left.0.cmp(&right.0));
    let then = world.now().as_duration().as_secs_f64();
    let wanted = [
        ("portcullis_revocation_events_total".to_owned(), 1.0),
        ("portcullis_revocation_synchronised_seconds".to_owned(), then),
    ];
    assert_eq!(seen, wanted);
}
