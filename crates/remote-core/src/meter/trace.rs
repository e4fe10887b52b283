//! Records as `tracing` events and spans, by the names in [`genai`].

use std::time::Duration;

use tracing::field::{Empty, debug, display};
use tracing::{Level, Span};

use super::genai;
use super::record::{Cost, RunRecord, Scope, Subject};
use crate::provider::Operation;

/// Writes `record` as one event: of a call at `INFO`, of an attempt at `DEBUG`. What is not known has no field.
///
/// Costs next to nothing where nobody listens.
pub fn emit(record: &RunRecord) {
    // The level is part of what `tracing` keeps for each place in the code, so there are two places.
    macro_rules! emit_at {
        ($level:expr, $message:literal) => {
            tracing::event!(
                $level,
                { genai::OPERATION_NAME } = record.subject.operation.name(),
                { genai::PROVIDER_NAME } = record.subject.kind,
                { genai::PROVIDER } = &*record.subject.provider,
                { genai::SERVER_ADDRESS } = record.subject.server.as_deref(),
                { genai::REQUEST_MODEL } = record.subject.asked_model(),
                { genai::REQUEST_ID } = record.subject.request_id.as_str(),
                { genai::RESPONSE_MODEL } = record.served.model.as_deref(),
                { genai::RESPONSE_ID } = record.served.id.as_deref(),
                { genai::SERVICE_TIER } = record.served.service_tier.as_deref(),
                { genai::RESPONSE_FINISH_REASONS } = record.finish.as_ref().map(|end| debug([end.as_str()])),
                { genai::USAGE_INPUT_TOKENS } = record.usage.map(|usage| usage.input_tokens),
                { genai::USAGE_OUTPUT_TOKENS } = record.usage.map(|usage| usage.output_tokens),
                { genai::ESTIMATED } = record.estimated,
                { genai::COST } = record.cost.known().map(|cost| cost.total().as_usd()),
                { genai::UNPRICED } = unpriced(record),
                { genai::OUTCOME } = record.outcome.name(),
                { genai::ERROR_TYPE } = record.outcome.error().map(|kind| kind.name()),
                { genai::STOP } = record.stop.as_deref(),
                { genai::HTTP_STATUS } = record.status,
                { genai::UPSTREAM_REQUEST_ID } = record.upstream_request_id.as_deref(),
                { genai::ATTEMPTS } = record.attempts,
                { genai::QUEUED } = record.timing.queued.as_secs_f64(),
                { genai::HEAD } = seconds(record.timing.head),
                { genai::FIRST_CONTENT } = seconds(record.timing.first_content),
                { genai::TOTAL } = record.timing.total.as_secs_f64(),
                { genai::MAX_GAP } = record.gaps.max.as_secs_f64(),
                { genai::BYTES_OUT } = record.bytes_out,
                { genai::BYTES_IN } = record.bytes_in,
                { genai::CHUNKS } = record.chunks,
                $message
            )
        };
    }
    match record.scope {
        Scope::Call => emit_at!(Level::INFO, "call"),
        Scope::Attempt { .. } => emit_at!(Level::DEBUG, "attempt"),
    }
}

/// A span for one call, to run it in; [`complete_span`] fills in how it ended.
///
/// Exporters call it `chat gpt-4o` by its field `otel.name`; `tracing` itself wants names that never change.
pub fn call_span(subject: &Subject) -> Span {
    macro_rules! span_of {
        ($name:literal) => {
            tracing::info_span!(
                $name,
                otel.name = format!("{} {}", subject.operation.name(), subject.model).trim_end(),
                otel.kind = "client",
                otel.status_code = Empty,
                { genai::OPERATION_NAME } = subject.operation.name(),
                { genai::PROVIDER_NAME } = subject.kind,
                { genai::PROVIDER } = &*subject.provider,
                { genai::SERVER_ADDRESS } = subject.server.as_deref(),
                { genai::REQUEST_MODEL } = subject.asked_model(),
                { genai::REQUEST_ID } = subject.request_id.as_str(),
                { genai::RESPONSE_MODEL } = Empty,
                { genai::RESPONSE_ID } = Empty,
                { genai::RESPONSE_FINISH_REASONS } = Empty,
                { genai::USAGE_INPUT_TOKENS } = Empty,
                { genai::USAGE_OUTPUT_TOKENS } = Empty,
                { genai::ESTIMATED } = Empty,
                { genai::COST } = Empty,
                { genai::UNPRICED } = Empty,
                { genai::OUTCOME } = Empty,
                { genai::ERROR_TYPE } = Empty,
                { genai::HTTP_STATUS } = Empty,
                { genai::ATTEMPTS } = Empty,
            )
        };
    }
    match subject.operation {
        Operation::Generate => span_of!("chat"),
        Operation::Embed => span_of!("embeddings"),
        Operation::Models => span_of!("models"),
        Operation::Health => span_of!("health"),
        Operation::Relay => span_of!("relay"),
    }
}

/// Fills in how the call of `span` ended.
pub fn complete_span(span: &Span, record: &RunRecord) {
    if span.is_disabled() {
        return;
    }
    span.record(genai::RESPONSE_MODEL, record.served.model.as_deref());
    span.record(genai::RESPONSE_ID, record.served.id.as_deref());
    if let Some(finish) = &record.finish {
        span.record(genai::RESPONSE_FINISH_REASONS, debug([finish.as_str()]));
    }
    span.record(genai::USAGE_INPUT_TOKENS, record.usage.map(|usage| usage.input_tokens));
    span.record(genai::USAGE_OUTPUT_TOKENS, record.usage.map(|usage| usage.output_tokens));
    span.record(genai::ESTIMATED, record.estimated);
    span.record(genai::COST, record.cost.known().map(|cost| cost.total().as_usd()));
    span.record(genai::UNPRICED, unpriced(record));
    span.record(genai::OUTCOME, record.outcome.name());
    span.record(genai::HTTP_STATUS, record.status);
    span.record(genai::ATTEMPTS, record.attempts);
    if let Some(kind) = record.outcome.error() {
        span.record(genai::ERROR_TYPE, kind.name());
        span.record("otel.status_code", display("ERROR"));
    }
}

fn unpriced(record: &RunRecord) -> Option<&'static str> {
    match record.cost {
        Cost::Known(_) => None,
        Cost::Unpriced(reason) => Some(reason.name()),
    }
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use infer_core::{ErrorKind, FinishKind, Price, Rates, RequestId, Served, TokenChunk, Usage};
    use tokio::time::Instant;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::super::{CallTimer, Outcome};
    use super::*;

    type Fields = BTreeMap<&'static str, String>;

    /// Keeps what is told: the events, and the fields of the one span.
    #[derive(Clone, Default)]
    struct Listener {
        events: Arc<Mutex<Vec<(Level, Fields)>>>,
        span: Arc<Mutex<(&'static str, Fields)>>,
    }

    struct Reader<'a>(&'a mut Fields);

    impl Visit for Reader<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name(), value.to_owned());
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut kept = self.span.lock().unwrap();
            kept.0 = span.metadata().name();
            span.record(&mut Reader(&mut kept.1));
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, values: &Record<'_>) {
            values.record(&mut Reader(&mut self.span.lock().unwrap().1));
        }

        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields::new();
            event.record(&mut Reader(&mut fields));
            self.events.lock().unwrap().push((*event.metadata().level(), fields));
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn records(outcome: Outcome) -> [RunRecord; 2] {
        let now = Instant::now();
        let id: RequestId = "req-1".parse().unwrap();
        let mut subject = Subject::new("openai", "openai-eu", Operation::Generate, "gpt-4o", id);
        subject.server = Some("api.openai.com".into());
        let mut call = CallTimer::begin(subject, SystemTime::UNIX_EPOCH, now);
        let mut attempt = call.attempt(now);
        attempt.head(now + Duration::from_millis(250), 200);
        let mut served = Served::default();
        served.model = Some("gpt-4o-2024-08-06".to_owned());
        served.id = Some("chatcmpl-1".to_owned());
        let mut chunk = TokenChunk::text(0, "a secret answer");
        chunk.served = Some(Box::new(served));
        attempt.chunk(now, &chunk);
        let mut end = TokenChunk::finish(0, FinishKind::Stop);
        end.usage = Some(Usage::new(100, 3));
        attempt.chunk(now, &end);
        let price = Price::flat(Rates::new(2.5, 10.0));
        let attempt = call.settle(attempt, now, outcome, Some(&price)).clone();
        [attempt, call.finish(now, outcome)]
    }

    /// The fields that both a span and an event have.
    fn assert_told(fields: &Fields) {
        let expect = [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("gen_ai.response.model", "gpt-4o-2024-08-06"),
            ("gen_ai.response.id", "chatcmpl-1"),
            ("gen_ai.response.finish_reasons", "[\"stop\"]"),
            ("gen_ai.usage.input_tokens", "100"),
            ("gen_ai.usage.output_tokens", "3"),
            ("server.address", "api.openai.com"),
            ("http.response.status_code", "200"),
            ("infer.provider", "openai-eu"),
            ("infer.request_id", "req-1"),
            ("infer.cost_usd", "0.00028"),
        ];
        for (name, value) in expect {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!format!("{fields:?}").contains("secret"));
    }

    #[test]
    fn a_call_is_told_at_info_and_an_attempt_at_debug_by_the_conventions_names() {
        let listener = Listener::default();
        tracing::subscriber::with_default(listener.clone(), || {
            records(Outcome::Completed).iter().for_each(emit);
            records(Outcome::Failed(ErrorKind::StreamInterrupted)).iter().for_each(emit);
        });
        let events = listener.events.lock().unwrap();
        let levels: Vec<_> = events.iter().map(|(level, _)| *level).collect();
        assert_eq!(levels, [Level::DEBUG, Level::INFO, Level::DEBUG, Level::INFO]);
        for (_, fields) in events.iter() {
            assert_told(fields);
            assert_eq!(fields["infer.head_s"], "0.25");
        }
        let errors: Vec<_> = events.iter().map(|(_, fields)| fields.get("error.type").cloned()).collect();
        let cut = Some("stream_interrupted".to_owned());
        assert_eq!(errors, [None, None, cut.clone(), cut]);
        assert!(!events[0].1.contains_key("infer.unpriced"), "what is not known has no field");
    }

    #[test]
    fn a_span_is_named_for_exporters_and_told_how_its_call_ended() {
        let listener = Listener::default();
        let [_, record] = records(Outcome::Failed(ErrorKind::Timeout));
        tracing::subscriber::with_default(listener.clone(), || {
            let span = call_span(&record.subject);
            complete_span(&span, &record);
        });
        let (name, fields) = &*listener.span.lock().unwrap();
        assert_eq!(*name, "chat");
        assert_told(fields);
        assert_eq!((fields["otel.name"].as_str(), fields["otel.kind"].as_str()), ("chat gpt-4o", "client"));
        assert_eq!(
            (fields["error.type"].as_str(), fields["otel.status_code"].as_str()),
            ("timeout", "ERROR")
        );
    }
}
