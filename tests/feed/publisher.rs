//! A publisher of feeds without sockets, that answers what it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use serde_json::Value;

/// A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Publisher(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<Asked>,
    silent: bool,
}

#[derive(Clone)]
pub(crate) struct Answer {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    failure: Option<FetchErrorKind>,
}

/// A question that came.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) fields: HeaderMap,
    pub(crate) limits: FetchLimits,
}

impl Answer {
    pub(crate) fn of(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, fields: Vec::new(), body: body.into(), failure: None }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), ..Self::of("") }
    }

    pub(crate) fn failure(kind: FetchErrorKind) -> Self {
        Self { failure: Some(kind), ..Self::of("") }
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.parse().unwrap(), value.parse().unwrap()));
        self
    }
}

impl Publisher {
    pub(crate) fn document(&self, url: &str, document: &Value) {
        self.answer(url, Answer::of(document.to_string()));
    }

    pub(crate) fn answer(&self, url: &str, answer: Answer) {
        self.state().answers.insert(url.to_owned(), answer);
    }

    /// From now on it takes questions and says nothing.
    pub(crate) fn silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.state().silent
    }

    /// What was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// The URLs of these.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.url).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Transport for Publisher {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        let (head, _) = request.into_parts();
        let url = head.uri.to_string();
        let mut state = self.state();
        let asked = Asked { url: url.clone(), fields: head.headers, limits };
        state.asked.push(asked);
        if state.silent {
            return Box::pin(std::future::pending());
        }
        let answer = state.answers.get(&url).cloned().unwrap_or_else(|| Answer::status(404));
        Box::pin(async move {
            if let Some(kind) = answer.failure {
                return Err(FetchError::new(kind));
            }
            let mut response = Response::new(answer.body);
            *response.status_mut() = answer.status;
            for (name, value) in answer.fields {
                response.headers_mut().append(name, value);
            }
            Ok(response)
        })
    }
}
