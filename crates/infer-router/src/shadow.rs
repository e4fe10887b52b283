//! Copies of calls to a second target. They never slow or fail a call, and their answers are dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::{ExecuteBatch, Priority};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use crate::route::Route;

/// How long a copy without a deadline may take.
const LONGEST: Duration = Duration::from_secs(300);

/// The copies that run, by route. Dropping it ends them all.
#[derive(Debug, Default)]
pub(crate) struct Shadows(Mutex<HashMap<Arc<str>, JoinSet<()>>>);

impl Shadows {
    /// Sends a copy of `batch` to the second target of `route`, if it has one, the `roll` from 0 to 1 says so, and not too
    /// many run already.
    pub(crate) fn copy(&self, route: &Route, rest: &str, batch: &ExecuteBatch, roll: f64) {
        let Some(shadow) = &route.shadow else { return };
        // A copy is not copied again, and outside a runtime nothing can run in the background.
        if roll >= shadow.config.rate || batch.request_id.is_shadow() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = routes.entry(Arc::clone(&route.name)).or_default();
        while running.try_join_next().is_some() {}
        let (provider, model) = (shadow.provider.name(), shadow.model.name(rest));
        if running.len() >= shadow.config.max_in_flight as usize {
            debug!(request_id = %batch.request_id, %provider, model = &*model, "no copy: too many run");
            return;
        }
        debug!(request_id = %batch.request_id, %provider, model = &*model, "sending a copy");
        let mut copy = batch.clone();
        copy.request_id = batch.request_id.shadow();
        copy.model = model.into_owned();
        copy.priority = Priority::Background;
        copy.routing.route = Some(Arc::clone(&route.name));
        let most = copy.deadline.unwrap_or(LONGEST);
        copy.deadline = Some(most);
        let runner = Arc::clone(shadow.provider.runner());
        let work = async move {
            let read = async {
                let mut answer = runner.execute(copy).await?.into_stream();
                while answer.next().await.transpose()?.is_some() {}
                Ok::<_, infer_core::InferenceError>(())
            };
            match timeout(most, read).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a copy failed"),
                Err(_) => debug!("a copy took too long"),
            }
        };
        running.spawn_on(work, &runtime);
    }

    /// Copies that run now.
    pub(crate) fn running(&self) -> usize {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for running in routes.values_mut() {
            while running.try_join_next().is_some() {}
        }
        routes.retain(|_, running| !running.is_empty());
        routes.values().map(JoinSet::len).sum()
    }
}
