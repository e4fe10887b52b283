//! What asking for a key costs: `cargo bench -p infer-store --bench keys`.

#![expect(clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use infer_store::keys::{KeyBook, KeySecret};
use infer_store::{Clock, KeysConfig};

const KEYS: usize = 10_000;

fn authenticate(criterion: &mut Criterion) {
    let secrets: Vec<_> = (0..KEYS).map(|_| KeySecret::generate().unwrap()).collect();
    let keys: Vec<_> = secrets
        .iter()
        .enumerate()
        .map(|(place, secret)| serde_json::json!({"name": format!("key-{place}"), "secret": secret.reveal()}))
        .collect();
    let config: KeysConfig = serde_json::from_value(keys.into()).unwrap();
    let book = KeyBook::fixed(&config, Clock::system()).unwrap();
    let unknown = KeySecret::generate().unwrap();
    let now = SystemTime::UNIX_EPOCH;
    let mut group = criterion.benchmark_group("authenticate among 10000 keys");
    // As a header would be: read a moment ago.
    let texts: Vec<_> = secrets.iter().map(|secret| secret.reveal().to_owned()).collect();
    let mut turn = texts.iter().cycle();
    group.bench_function("known", |bencher| {
        bencher.iter(|| book.authenticate(black_box(turn.next().unwrap()), now).unwrap());
    });
    group.bench_function("unknown", |bencher| {
        bencher.iter(|| book.authenticate(black_box(unknown.reveal()), now).unwrap_err());
    });
    group.finish();
}

criterion_group!(benches, authenticate);
criterion_main!(benches);
