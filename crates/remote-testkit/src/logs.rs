//! Listens to everything that is logged.

use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_log::LogTracer;

/// The text of every `tracing` span and event of this thread, at every level, and of what libraries write through the `log`
/// crate, unless the process has a logger of its own already.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    text: Arc<Mutex<String>>,
    spans: Arc<AtomicU64>,
}

impl Logs {
    /// Listens until the guard is dropped.
    pub fn listen(&self) -> Listening {
        let _ = LogTracer::init(); // from the second time on it is there
        // As long as a process has one subscriber, tracing asks the thread that comes first to a place in the code whether
        // anybody listens there, for all threads. A second one makes it ask the subscribers.
        let second = Dispatch::new(self.clone());
        let first = Dispatch::new(self.clone());
        Listening { _second: second, _guard: tracing::dispatcher::set_default(&first) }
    }

    /// What was heard.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, write: impl FnOnce(&mut Fields<'_>)) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut Fields(&mut text));
        text.push('\n');
    }
}

/// As long as it lives, [`Logs`] hear what this thread logs.
#[must_use = "nothing is heard once this is dropped"]
#[derive(Debug)]
pub struct Listening {
    _second: Dispatch,
    _guard: DefaultGuard,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Logs {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(|fields| {
            fields.0.push_str(span.metadata().name());
            span.record(fields);
        });
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.write(|fields| values.record(fields));
    }

    fn event(&self, event: &Event<'_>) {
        self.write(|fields| {
            fields.0.push_str(event.metadata().target());
            event.record(fields);
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_events_of_every_level_are_heard() {
        let logs = Logs::default();
        let guard = logs.listen();
        tracing::info_span!("call", key = "a").record("key", "b");
        tracing::trace!(other = ?Some(1), "said");
        drop(guard);
        tracing::info!("later");
        let text = logs.text();
        for part in ["call key=\"a\"", "other=Some(1)", "message=said"] {
            assert!(text.contains(part), "{part} missing in {text}");
        }
        assert!(!text.contains("later"));
    }
}
