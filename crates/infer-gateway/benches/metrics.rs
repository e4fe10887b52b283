//! What the metrics of one request cost: a streamed answer of a known model, with the records of its attempt and its call.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use infer_core::{FinishKind, Price, Rates, RequestId, Served, TokenChunk, Usage};
use infer_gateway::{Metrics, Observer as _, Seen};
use inference::remote::Operation;
use inference::remote::meter::{CallTimer, MetricsSink as _, Outcome, RunRecord, Subject};
use tokio::time::Instant;

/// The records of one streamed answer.
fn records() -> [RunRecord; 2] {
    let began = Instant::now();
    let mut subject =
        Subject::new("openai", "openai-eu", Operation::Generate, "gpt-4o", RequestId::generate());
    subject.account.key = Some("team".into());
    let mut call = CallTimer::begin(subject, SystemTime::UNIX_EPOCH, began);
    let mut attempt = call.attempt(began);
    attempt.head(began + Duration::from_millis(200), 200);
    let mut served = Served::default();
    served.model = Some("gpt-4o-2024-08-06".to_owned());
    let mut first = TokenChunk::text(0, "Hello");
    first.served = Some(Box::new(served));
    attempt.chunk(began + Duration::from_millis(250), &first);
    let mut last = TokenChunk::finish(0, FinishKind::Stop);
    last.usage = Some(Usage::new(100, 30));
    let end = began + Duration::from_millis(900);
    attempt.chunk(end, &last);
    let attempt =
        call.settle(attempt, end, Outcome::Completed, Some(&Price::flat(Rates::new(2.5, 10.0)))).clone();
    [attempt, call.finish(end, Outcome::Completed)]
}

fn of_one_request(bench: &mut Criterion) {
    let metrics: Arc<Metrics> = Metrics::new();
    let records = records();
    let mut seen = Seen::new("chat", RequestId::generate(), SystemTime::UNIX_EPOCH);
    seen.streamed = true;
    seen.status = 200;
    seen.ending = infer_gateway::Ending::Answered;
    seen.first_content = Some(Duration::from_millis(251));
    seen.total = Duration::from_millis(901);
    for nth in 0..100 {
        seen.silences.add(Duration::from_millis(nth % 40));
    }
    bench.bench_function("metrics of one request", |bencher| {
        bencher.iter(|| {
            metrics.began("chat");
            for record in &records {
                metrics.record(black_box(record));
            }
            metrics.ended(black_box(&seen));
        });
    });
}

criterion_group!(benches, of_one_request);
criterion_main!(benches);
