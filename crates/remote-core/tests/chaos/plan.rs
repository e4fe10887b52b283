//! What may happen: an upstream's replies, callers, an operator, and settings.

use std::time::Duration;

use infer_core::{Priority, TransportKind, Usage};
use proptest::prelude::*;
use remote_core::{RemoteConfig, TransportFault};

use crate::script::{Act, Script, event};

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everything that happens in one case. Times are milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: RemoteConfig,
    pub(crate) seed: u64,
    pub(crate) callers: Vec<Caller>,
    /// What the upstream does with one request after the other, over and over.
    pub(crate) replies: Vec<Reply>,
    /// Each so long after the one before.
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) fetch_takes: u64,
    pub(crate) fetch_fails_every: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) begins: u64,
    pub(crate) streams: bool,
    pub(crate) deadline: Option<u64>,
    pub(crate) priority: Priority,
    /// How long after it began, whatever it is waiting for.
    pub(crate) leaves: Option<u64>,
    /// How long it takes before each read.
    pub(crate) reads_slowly: u64,
    /// After so many pieces.
    pub(crate) stops_after: Option<usize>,
    pub(crate) tokens: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Rotate,
    ForceOpen(u64),
    ForceClosed,
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    head_after: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Stream { pieces: usize, gap: u64, usage: Option<(u64, u64)>, end: End },
    Whole { gap: u64, breaks: bool },
    Status { code: u16, hint: Option<&'static str>, hangs: bool },
    Page,
    Fault(TransportFault),
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// A finish and the last word.
    Done,
    /// A finish and no last word.
    Finish,
    /// A finish, and the connection stays open.
    FinishThenHang,
    Cut,
    Break,
    Hang,
    KeepAlives,
    Error(&'static str),
}

impl Reply {
    pub(crate) fn fine() -> Self {
        let what = What::Stream { pieces: 2, gap: 0, usage: Some((10, 2)), end: End::Done };
        Self { head_after: 0, what }
    }

    fn piece(nth: usize, piece: usize) -> String {
        format!("n{nth}.{piece};")
    }

    /// The text of the answer to the nth request; no two begin alike.
    pub(crate) fn text(&self, nth: usize) -> String {
        match &self.what {
            What::Stream { pieces, .. } => (0..*pieces).map(|piece| Self::piece(nth, piece)).collect(),
            What::Whole { .. } => Self::piece(nth, 0),
            _ => String::new(),
        }
    }

    /// What it says was used, if it is read to its end.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.what {
            What::Stream { usage, .. } => usage.map(|(read, written)| Usage::new(read, written)),
            What::Whole { .. } => Some(Usage::new(1000, 10)),
            _ => None,
        }
    }

    pub(crate) fn script(&self, nth: usize) -> Script {
        let mut script = match &self.what {
            What::Stream { pieces, gap, usage, end } => {
                let mut acts = vec![event("!role")];
                for piece in 0..*pieces {
                    acts.extend((*gap > 0).then(|| Act::Wait(millis(*gap))));
                    acts.push(event(Self::piece(nth, piece).leak()));
                }
                if matches!(end, End::Done | End::Finish | End::FinishThenHang) {
                    acts.push(event("!end"));
                    acts.extend(usage.map(|(read, written)| event(format!("!use {read} {written}").leak())));
                }
                match end {
                    End::Done => acts.push(event("!done")),
                    End::Finish | End::Cut => {}
                    End::FinishThenHang | End::Hang => acts.push(Act::Hang),
                    End::Break => acts.push(Act::Break),
                    End::KeepAlives => {
                        let beat = [Act::Wait(millis(900)), Act::Bytes(b": still here\n\n")];
                        acts.extend(beat.into_iter().cycle().take(2000));
                    }
                    End::Error(what) => acts.push(event(what)),
                }
                Script::stream(if *gap == 0 { in_few_reads(acts) } else { acts })
            }
            What::Whole { gap, breaks } => {
                let mut script = Script::whole(Self::piece(nth, 0).leak());
                script.body.insert(0, Act::Wait(millis(*gap)));
                if *breaks {
                    script.body.push(Act::Break);
                }
                script
            }
            What::Status { code, hint, hangs } => {
                let end = if *hangs { Act::Hang } else { Act::Bytes(b"no") };
                let mut script = Script::status(*code, [Act::Bytes(b"oh "), end]);
                script.headers.extend(hint.map(|hint| ("retry-after", hint)));
                script
            }
            What::Page => Script::whole("<html>"),
            What::Fault(fault) => Script { fails: Some(*fault), ..Script::whole("") },
        };
        script.head_after = millis(self.head_after);
        script.headers.push(("x-request-id", nth.to_string().leak()));
        script
    }
}

/// The same bytes, with as many in one read as there are between two waits.
fn in_few_reads(acts: Vec<Act>) -> Vec<Act> {
    let mut reads = Vec::<Act>::new();
    for act in acts {
        match (reads.last_mut(), act) {
            (Some(Act::Bytes(before)), Act::Bytes(more)) => *before = [*before, more].concat().leak(),
            (_, act) => reads.push(act),
        }
    }
    reads
}

fn replies() -> impl Strategy<Value = Reply> {
    let end = prop_oneof![
        6 => Just(End::Done),
        2 => Just(End::Finish),
        1 => Just(End::FinishThenHang),
        1 => Just(End::Cut),
        1 => Just(End::Break),
        1 => Just(End::Hang),
        1 => Just(End::KeepAlives),
        1 => prop::sample::select(vec!["!error overloaded", "!error what", "!bad"]).prop_map(End::Error),
    ];
    let usage = prop::option::weighted(0.8, (0_u64..5000, 0_u64..500));
    let codes = vec![400, 401, 401, 403, 404, 408, 413, 429, 429, 500, 500, 503, 529, 204, 302];
    let hints = vec!["0", "1", "3", "20", "86400", "-1", "soon"];
    let kinds = [TransportKind::Dns, TransportKind::Connect, TransportKind::Tls, TransportKind::Closed];
    let faults = kinds.map(TransportFault::Before).into_iter().chain([TransportFault::ConnectTimeout]);
    let what = prop_oneof![
        8 => (0_usize..6, prop_oneof![Just(0), 0_u64..3000], usage, end)
            .prop_map(|(pieces, gap, usage, end)| What::Stream { pieces, gap, usage, end }),
        2 => (0_u64..3000, prop::bool::weighted(0.2)).prop_map(|(gap, breaks)| What::Whole { gap, breaks }),
        5 => (
            prop::sample::select(codes),
            prop::option::of(prop::sample::select(hints)),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(code, hint, hangs)| What::Status { code, hint, hangs }),
        1 => Just(What::Page),
        2 => prop::sample::select(faults.collect::<Vec<_>>()).prop_map(What::Fault),
    ];
    let head_after = prop_oneof![4 => Just(0), 4 => 0_u64..2000, 1 => 0_u64..100_000];
    (head_after, what).prop_map(|(head_after, what)| Reply { head_after, what })
}

fn callers() -> impl Strategy<Value = Caller> {
    let begins = prop_oneof![Just(0), 0_u64..20_000];
    let priority = prop::sample::select(vec![
        Priority::Background,
        Priority::Normal,
        Priority::High,
        Priority::Critical,
    ]);
    let deadline = prop::option::weighted(0.4, 0_u64..60_000);
    let leaves = prop::option::weighted(0.4, 0_u64..30_000);
    let pace = prop_oneof![3 => Just(0), 1 => 0_u64..5000];
    let stops_after = prop::option::weighted(0.2, 1_usize..6);
    let tokens = prop::option::of(0_u32..20_000);
    (begins, any::<bool>(), deadline, priority, leaves, pace, stops_after, tokens).prop_map(
        |(begins, streams, deadline, priority, leaves, reads_slowly, stops_after, tokens)| Caller {
            begins,
            streams,
            deadline,
            priority,
            leaves,
            reads_slowly,
            stops_after,
            tokens,
        },
    )
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        6 => Just(Event::Rotate),
        1 => (0_u64..20_000).prop_map(Event::ForceOpen),
        1 => Just(Event::ForceClosed),
        1 => Just(Event::Reset),
    ];
    prop::collection::vec((0_u64..8000, event), 0..8)
}

fn configs() -> impl Strategy<Value = RemoteConfig> {
    let limits = (
        prop::option::of(1_u32..8),
        prop::option::weighted(0.3, 30_u32..600),
        prop::option::weighted(0.3, 5000_u32..100_000),
        0_u64..60_000,
        0_u32..60,
    );
    let retry = (1_u32..6, 0_u64..90_000, any::<bool>(), any::<bool>(), 0_u32..200);
    let breaker = (prop::bool::weighted(0.9), 1_u32..8, 1_u32..4, 1_u32..4, 1_u64..10_000);
    let times = (500_u64..20_000, 500_u64..20_000, prop::option::weighted(0.3, 1_u64..60_000));
    (limits, retry, breaker, times).prop_map(|(limits, retry, breaker, times)| {
        let mut config = RemoteConfig::default();
        let (in_flight, requests, tokens, max_wait, max_queue) = limits;
        config.rate_limits.max_in_flight = in_flight;
        config.rate_limits.requests_per_minute = requests;
        config.rate_limits.tokens_per_minute = tokens;
        config.rate_limits.max_wait = millis(max_wait);
        config.rate_limits.max_queue = max_queue;
        let (attempts, total, timeouts, idempotent, capacity) = retry;
        config.retry.attempts = attempts;
        config.retry.total = millis(total);
        config.retry.timeouts = timeouts;
        config.retry.idempotent = idempotent;
        config.retry.budget.capacity = capacity;
        let (enabled, failures, probes, successes, open) = breaker;
        config.circuit_breaker.enabled = enabled;
        config.circuit_breaker.consecutive_failures = failures;
        config.circuit_breaker.probes = probes;
        config.circuit_breaker.successes_to_close = successes;
        config.circuit_breaker.open = millis(open);
        let (head, first, total) = times;
        config.timeouts.head_streamed = millis(head);
        config.timeouts.head_unary = millis(head * 2);
        config.timeouts.first_content = millis(first);
        config.timeouts.total = total.map(millis);
        config
    })
}

pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    (
        configs(),
        any::<u64>(),
        prop::collection::vec(callers(), 1..=50),
        prop::collection::vec(replies(), 1..40),
        events(),
        0_u64..20_000,
        2_u32..5,
    )
        .prop_map(|(config, seed, callers, replies, events, fetch_takes, fetch_fails_every)| Plan {
            config,
            seed,
            callers,
            replies,
            events,
            fetch_takes,
            fetch_fails_every,
        })
}
