//! A second attempt beside a slow first one. Off unless configured: it can cost twice.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use infer_core::duration;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::context::Attempt;
use crate::course::limit_key;
use crate::pipeline::{Pipeline, Plan};
use crate::provider::{Operation, RemoteProvider};
use crate::retry::RetryState;
use crate::run::{Admission, Leave, Run};
use crate::transport::{Sending, TransportBody, TransportError};

/// When to send a request a second time because no answer has begun.
///
/// The first response head wins and the other attempt is dropped; an upstream may bill what it read of it, so the record
/// counts it, marked as estimated. A hedge is one of the call's attempts, is paid from the retry budget, and is left out
/// when breaker or limits would make it wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HedgeConfig {
    /// How long to wait for a head before the second attempt. None: never.
    #[serde(with = "duration::optional")]
    pub after: Option<Duration>,
}

impl<P: RemoteProvider> Pipeline<P> {
    /// Sends `request`, and once more if it is slow and that is wanted. `attempt` is the one that answers afterwards.
    pub(crate) async fn send(
        &self,
        plan: &Plan<'_>,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
        attempt: &mut Attempt<P>,
        request: Request<Bytes>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let mut first = self.transport.send(request);
        // What is passed on may make something, and sent twice it would make two.
        let is_safe = plan.call.operation() != Operation::Relay;
        let Some(after) = self.config.hedge.after.filter(|_| is_safe) else { return first.await };
        if let Ok(answer) = timeout(after, first.as_mut()).await {
            return answer;
        }
        let Some((hedge, request)) = self.hedge(plan, run, retry) else { return first.await };
        let second = self.transport.send(request);
        // Rare, and large.
        Box::pin(self.race(run, attempt, first, hedge, second)).await
    }

    /// The first of two attempts to be answered.
    async fn race(
        &self,
        run: &mut Run<P>,
        attempt: &mut Attempt<P>,
        mut first: Sending<'_>,
        hedge: Attempt<P>,
        mut second: Sending<'_>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let (is_first, answer) = poll_fn(|cx| {
            if let Poll::Ready(answer) = first.as_mut().poll(cx) {
                return Poll::Ready((true, answer));
            }
            second.as_mut().poll(cx).map(|answer| (false, answer))
        })
        .await;
        let now = Instant::now();
        match answer {
            Ok(response) => {
                run.end_race(is_first, None, now);
                if !is_first {
                    *attempt = hedge;
                }
                Ok(response)
            }
            // One could not be sent; the other one may still be answered.
            Err(error) => {
                let failed = if is_first { &*attempt } else { &hedge };
                let error = failed.transport(error, self.config.timeouts.connect);
                run.end_race(!is_first, Some(&error), now);
                if is_first {
                    *attempt = hedge;
                    second.await
                } else {
                    first.await
                }
            }
        }
    }

    /// A second attempt, if everything allows it at once.
    fn hedge(
        &self,
        plan: &Plan<'_>,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
    ) -> Option<(Attempt<P>, Request<Bytes>)> {
        let now = Instant::now();
        if !retry.has_attempts() || self.gates.breakers.peek(plan.call, now).is_err() {
            return None;
        }
        let limits = self.gates.limits.limits(&limit_key(plan.call)?);
        let permit = limits.acquire(plan.tokens, plan.priority, None).now_or_never()?.ok()?;
        let breaker = self.gates.breakers.admit(plan.call, now).ok()?;
        self.gates.with_budget(|budget| budget.pay(false))?;
        let attempt = self.begin_attempt(plan, run, retry.begin()).ok()?;
        let request = self.request(&attempt, plan.call, plan.body.clone()).ok()?;
        debug!(request_id = %plan.request_id, attempt = attempt.number, "no head yet: sending a second request");
        run.begin_hedge(
            Admission { breaker: Some(breaker), leave: Some(Leave { limits, permit, tokens: plan.tokens }) },
            plan.body.len(),
            now,
        );
        Some((attempt, request))
    }
}
