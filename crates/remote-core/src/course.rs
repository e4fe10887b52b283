//! What stands around one attempt: leave to make it, and what follows when it failed.

use std::borrow::Cow;
use std::sync::Arc;

use infer_core::{ErrorKind, InferenceError, Origin};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use crate::limit::Refused;
use crate::pipeline::{Pipeline, Plan};
use crate::provider::{Call, Operation, RemoteProvider};
use crate::retry::{Decision, RetryState};
use crate::run::{Admission, Leave, Run};
use crate::session;

impl<P: RemoteProvider> Pipeline<P> {
    /// Leave from breaker and limits. The breaker is asked twice, so that a probe does not wait in the queue.
    pub(crate) async fn admit(&self, plan: &Plan<'_>, run: &mut Run<P>) -> Result<Admission, InferenceError> {
        if plan.call.operation() == Operation::Health {
            return Ok(Admission { breaker: None, leave: None });
        }
        let attempts = run.attempts();
        let breakers = &self.gates.breakers;
        let open = |wait| breakers.refusal(plan.call, self.origin(plan, attempts), wait);
        let begun = Instant::now();
        breakers.peek(plan.call, begun).map_err(open)?;
        let (leave, now) = match limit_key(plan.call) {
            Some(key) => self.wait_for_leave(plan, &key, run, begun).await?,
            None => (None, begun),
        };
        let breaker = breakers.admit(plan.call, now).map_err(open)?;
        Ok(Admission { breaker: Some(breaker), leave })
    }

    async fn wait_for_leave(
        &self,
        plan: &Plan<'_>,
        key: &str,
        run: &mut Run<P>,
        begun: Instant,
    ) -> Result<(Option<Leave>, Instant), InferenceError> {
        let limits = self.gates.limits.limits(key);
        let permit = limits.acquire(plan.tokens, plan.priority, plan.deadline.map(|(due, _)| due)).await;
        let now = Instant::now();
        run.queued(now.saturating_duration_since(begun));
        let permit = permit.map_err(|refused| {
            let at = self.origin(plan, run.attempts());
            match refused {
                Refused::QueueFull { wait } => InferenceError::QueueFull { at, retry_after: wait },
                Refused::Deadline => {
                    let limit = plan.deadline.map(|(_, limit)| limit).unwrap_or_default();
                    InferenceError::DeadlineExceeded { at, limit }
                }
            }
        })?;
        Ok((Some(Leave { limits, permit, tokens: plan.tokens }), now))
    }

    /// What follows a failed attempt: returns when another one is due, or with the error of the call.
    pub(crate) async fn after(
        &self,
        plan: &Plan<'_>,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
        mut error: InferenceError,
    ) -> Result<(), InferenceError> {
        // Leave was refused for a further attempt: what the last one said is the better answer.
        if matches!(error.kind(), ErrorKind::CircuitOpen | ErrorKind::QueueFull)
            && let Some(last) = run.last_error.take()
        {
            if let Some(at) = error.origin_mut() {
                // The same words stand in what the last one said.
                (at.status, at.code, at.message) = (None, None, None);
            }
            return Err(give_up(last, Some(error.to_string()), run));
        }
        let roll = self.gates.roll();
        let decision = self.gates.with_budget(|budget| retry.decide(&error, budget, roll, Instant::now()));
        let reason = match decision {
            Decision::RetryAfter(wait) => {
                debug!(request_id = %plan.request_id, kind = error.kind().name(), ?wait, "trying again");
                run.retried(error, Instant::now());
                sleep(wait).await;
                return Ok(());
            }
            Decision::RefreshThenRetry => {
                let refresh = session::invalidate(&self.session, run.generation);
                match timeout_at(retry.until(), refresh).await {
                    Ok(Ok(())) => {
                        run.retried(error, Instant::now());
                        return Ok(());
                    }
                    Ok(Err(refused)) => Some(refused.to_string()),
                    Err(_) => Some("no fresh credential in time (retry.total)".to_owned()),
                }
            }
            Decision::Stop(reason) => reason.note(),
        };
        Err(give_up(error, reason, run))
    }

    /// Where an error of ours happened, made before or between attempts.
    fn origin(&self, plan: &Plan<'_>, attempts: u32) -> Box<Origin> {
        let mut at = Box::<Origin>::default();
        at.provider = Some(Arc::clone(&self.provider.site().info().name));
        at.model = Some(plan.call.model().to_owned());
        at.request_id = Some(plan.request_id.clone());
        at.attempts = attempts;
        at.elapsed = plan.started.elapsed();
        at
    }
}

/// Ends the call with `error`, which says why no further attempt was made.
pub(crate) fn give_up<P: RemoteProvider>(
    mut error: InferenceError,
    reason: Option<String>,
    run: &mut Run<P>,
) -> InferenceError {
    if let (Some(at), Some(reason)) = (error.origin_mut(), &reason) {
        at.gave_up = Some(reason.clone());
    }
    run.fail(&error, reason, Instant::now());
    error
}

/// What an upstream counts apart: every model, and embeddings by themselves. `None` for what it does not count.
pub(crate) fn limit_key(call: Call<'_>) -> Option<Cow<'_, str>> {
    match call {
        Call::Generate(batch) => Some(batch.model.as_str().into()),
        Call::Embed(batch) => Some(format!("embeddings {}", batch.model).into()),
        // What sets a model to work counts as any other call for it.
        Call::Relay(request) if request.method.is_billed() => {
            Some(request.model.as_deref().unwrap_or_default().into())
        }
        Call::Models | Call::Health | Call::Relay(_) => None,
    }
}
