//! What a breaker tells `tracing`. Alone in its binary: which places in the code are listened to is kept for a whole process.

#![expect(clippy::unwrap_used, dead_code, reason = "a test, which uses a part of what the others share")]

#[path = "common/rig.rs"]
mod rig;
#[path = "common/script.rs"]
mod script;
#[path = "common/toy.rs"]
mod toy;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use infer_core::ModelRunner as _;
use remote_core::session::SessionSnapshot;
use remote_core::{Operation, RemoteConfig};
use tokio::time::advance;
use tracing::field::Field;
use tracing::{Event, Metadata, Subscriber, span};

use crate::rig::Rig;
use crate::script::{Act, Script, event};
use crate::toy::streaming;

/// Notes the states in events of a breaker.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<Vec<String>>>);

impl Subscriber for Changes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().ends_with("breakers")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            if field.name() == "to" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        });
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn every_change_of_state_is_an_event_also_the_one_to_half_open() {
    let changes = Changes::default();
    let _listening = tracing::subscriber::set_default(changes.clone());
    let mut config = RemoteConfig::default();
    config.retry.attempts = 1;
    config.circuit_breaker.consecutive_failures = 3;
    config.circuit_breaker.successes_to_close = 1;
    let session = SessionSnapshot::new(None).unwrap().into_handle();
    let rig = Rig::new(config, session, 7, |nth, _| match nth {
        0..4 => Script::status(500, [Act::Bytes(b"no")]),
        _ => Script::stream([event("fine"), event("!end")]),
    });
    let ask = || async { rig.runner.execute(streaming()).await?.collect().await };
    for _ in 0..3 {
        ask().await.unwrap_err();
    }
    advance(Duration::from_secs(10)).await;
    ask().await.unwrap_err();
    advance(Duration::from_secs(20)).await;
    ask().await.unwrap();
    rig.runner.force_closed(Operation::Generate);
    let found = changes.0.lock().unwrap();
    assert_eq!(*found, ["Open", "HalfOpen", "Open", "HalfOpen", "Closed", "ForcedClosed"]);
    assert_eq!((rig.upstream.seen().len(), rig.upstream.open()), (5, 0));
    assert_eq!((rig.log.calls().len(), rig.log.attempts().len()), (5, 5));
}
