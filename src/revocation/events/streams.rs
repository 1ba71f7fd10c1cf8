//! The streams that a transmitter has for us, as its configuration endpoint lists them (SSF §8.1.1).
//! Pure.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::token::SetRules;
use super::transmitter::endpoint;
use crate::jose::json::{Object, Value};
use crate::name::LoopbackHttp;

/// How a stream brings its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// RFC 8935.
    Push,
    /// RFC 8936.
    Poll,
}

impl Delivery {
    const fn method(self) -> &'static str {
        match self {
            Self::Push => "urn:ietf:rfc:8935",
            Self::Poll => "urn:ietf:rfc:8936",
        }
    }
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamEntry {
    pub(super) stream_id: Box<str>,
    /// Where it is polled; of a pushed one, where we are.
    pub(super) endpoint: String,
    /// How long it wants between two questions for a verification event.
    pub(super) verified_every: Option<Duration>,
}

/// Where to ask for the streams.
pub(super) fn streams_url(configuration_endpoint: &str, stream_id: Option<&str>) -> String {
    let Some(stream_id) = stream_id else { return configuration_endpoint.to_owned() };
    let separator = if configuration_endpoint.contains('?') { '&' } else { '?' };
    let stream_id = utf8_percent_encode(stream_id, NON_ALPHANUMERIC);
    format!("{configuration_endpoint}{separator}stream_id={stream_id}")
}

/// The one stream of the transmitter that is for us and is delivered in this way.
pub(super) fn choose(
    document: &[u8],
    rules: &SetRules,
    stream_id: Option<&str>,
    delivery: Delivery,
    loopback: LoopbackHttp,
) -> Result<StreamEntry, String> {
    // One stream, or a list of them: either is a member of an object.
    let document = [b"{\"streams\":", document, b"}"].concat();
    let document = Object::parse(&document).map_err(|error| format!("the streams are {error}"))?;
    let streams = document.member("streams");
    let streams = match streams.and_then(Value::as_array) {
        Some(streams) => streams,
        None => streams.into_iter().collect(),
    };
    let fits = |stream: &Object<'_>| {
        let text = |name| stream.member(name).and_then(Value::as_str);
        let ours = |audience: Value<'_>| {
            let audience = audience.as_str();
            audience.is_some_and(|found| rules.audiences.iter().any(|ours| ours.as_str() == found))
        };
        let audiences = stream.member("aud").map(|aud| aud.as_array().unwrap_or_else(|| vec![aud]));
        let method = stream.member("delivery").and_then(Value::as_object);
        let method = method.as_ref().and_then(|delivery| delivery.member("method"));
        text("iss").is_some_and(|issuer| issuer == rules.issuer.as_str())
            && audiences.unwrap_or_default().into_iter().any(ours)
            && method.and_then(Value::as_str).is_some_and(|found| found == delivery.method())
            && stream_id.is_none_or(|wanted| text("stream_id").is_some_and(|found| found == wanted))
    };
    let mut fitting = streams.into_iter().filter_map(Value::as_object).filter(fits);
    let stream = match (fitting.next(), fitting.next()) {
        (Some(stream), None) => stream,
        (None, _) => return Err(format!("no stream is for us and by {}", delivery.method())),
        (Some(_), Some(_)) => {
            return Err(format!(
                "several streams are for us and by {}: say which with `stream_id`",
                delivery.method()
            ));
        }
    };
    let id = stream.member("stream_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.ok_or("the stream has no `stream_id`")?;
    let place = stream.member("delivery").and_then(Value::as_object);
    let place = place.as_ref().and_then(|delivery| delivery.member("endpoint_url"));
    let place = place.and_then(Value::as_str).unwrap_or_default();
    if delivery == Delivery::Poll {
        endpoint("`endpoint_url`", &place, &rules.issuer, loopback)?;
    }
    let seconds = stream.member("min_verification_interval").and_then(Value::as_number);
    let verified_every = seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    Ok(StreamEntry { stream_id: (*id).into(), endpoint: place.into_owned(), verified_every })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Audience, IssuerId};

    fn find(document: &str, id: Option<&str>, delivery: Delivery) -> Result<StreamEntry, String> {
        let issuer = IssuerId::parse("https://tx.example").unwrap();
        let rules = SetRules::new(issuer, [Audience::parse("rs").unwrap()]);
        choose(document.as_bytes(), &rules, id, delivery, LoopbackHttp::Refused)
    }

    fn stream(id: &str, iss: &str, aud: &str, method: u32, url: &str) -> String {
        format!(
            r#"{{"stream_id":"{id}","iss":"{iss}","aud":{aud},"min_verification_interval":60,
                "delivery":{{"method":"urn:ietf:rfc:{method}","endpoint_url":"{url}"}}}}"#
        )
    }

    /// SSF-01, SET-04: a stream of another issuer, for somebody else, or delivered otherwise is not
    /// ours; of two that are ours one has to be named.
    #[test]
    fn the_one_stream_that_is_ours_is_found() {
        let tx = "https://tx.example";
        let polled = "https://tx.example/poll";
        let push = stream("a", tx, "\"rs\"", 8935, "https://rs.example/events");
        let poll = stream("b", tx, "[\"x\",\"rs\"]", 8936, polled);
        let both = format!("[{push},{poll}]");
        let found = find(&both, None, Delivery::Poll).unwrap();
        assert_eq!((&*found.stream_id, &*found.endpoint), ("b", polled));
        assert_eq!(found.verified_every, Some(Duration::from_mins(1)));
        assert_eq!(&*find(&both, None, Delivery::Push).unwrap().stream_id, "a");
        assert_eq!(&*find(&push, None, Delivery::Push).unwrap().stream_id, "a");
        assert!(find(&both, Some("a"), Delivery::Poll).is_err());

        let twice = format!("[{poll},{}]", stream("c", tx, "\"rs\"", 8936, polled));
        assert!(find(&twice, None, Delivery::Poll).unwrap_err().contains("several"));
        assert_eq!(&*find(&twice, Some("c"), Delivery::Poll).unwrap().stream_id, "c");

        for other in [
            "[]".to_owned(),
            "7".to_owned(),
            "[7]".to_owned(),
            String::new(),
            format!("{poll},\"streams2\":{poll}").replace("\"rs\"", "\"z\""),
            stream("b", "https://other.example", "\"rs\"", 8936, polled),
            stream("b", tx, "\"other\"", 8936, polled),
            stream("b", tx, "7", 8936, polled),
            stream("", tx, "\"rs\"", 8936, polled),
            stream("b", tx, "\"rs\"", 8936, "http://tx.example/poll"),
            stream("b", tx, "\"rs\"", 8936, "https://10.0.0.1/poll"),
        ] {
            assert!(find(&other, None, Delivery::Poll).is_err(), "{other}");
        }
    }

    #[test]
    fn a_stream_is_asked_for_by_its_name() {
        assert_eq!(streams_url("https://tx.example/s", None), "https://tx.example/s");
        assert_eq!(
            streams_url("https://tx.example/s", Some("a&b")),
            "https://tx.example/s?stream_id=a%26b"
        );
        assert_eq!(
            streams_url("https://tx.example/s?v=1", Some("a")),
            "https://tx.example/s?v=1&stream_id=a"
        );
    }
}
