//! Calls whose answer comes in one piece: vectors, lists of models, signs of life, and answers not asked to stream.

use bytes::Bytes;
use http::Response;
use infer_core::{
    Codec, CostEstimate, DecodeKind, EmbedBatch, Embeddings, FinishReason, Health, InferenceError,
    ListedModel, RequestId, Served, Usage, WireFault,
};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::body;
use crate::context::Attempt;
use crate::course::give_up;
use crate::pipeline::{Opened, Pipeline, Plan};
use crate::provider::{Call, RemoteProvider};
use crate::retry::RetryState;
use crate::run::Run;
use crate::transport::TransportBody;

/// What is known once a call was answered in one piece.
pub(crate) struct Settled {
    pub(crate) served: Served,
    pub(crate) cost: Option<CostEstimate>,
    pub(crate) now: Instant,
}

impl<P: RemoteProvider> Pipeline<P> {
    /// Runs a request for vectors.
    pub(crate) async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let call = Call::Embed(&batch);
        let body = self.provider.codec().encode_embed(&batch);
        let body = body.map_err(|error| self.before_sending(error, call, &batch.request_id))?;
        let plan = self.plan(call, &batch.request_id, body, self.config.timeouts.head_unary, batch.deadline);
        let expected = batch.input.len();
        let decode = |codec: &P::Codec, body: &Bytes| {
            let vectors = codec.decode_embed(body)?;
            let got = vectors.vectors.len();
            if got == expected {
                return Ok(vectors);
            }
            // One too few would move all that follow it to the wrong inputs.
            Err(WireFault::malformed(DecodeKind::Json, format!("{got} vectors for {expected} inputs")))
        };
        let said = |vectors: &Embeddings| {
            let mut served = Served::default();
            served.model.clone_from(&vectors.model);
            (vectors.usage, served)
        };
        let (mut vectors, cost) = self.in_one_piece(plan, decode, said).await?;
        vectors.cost = cost;
        Ok(vectors)
    }

    /// Asks for the list of models.
    pub(crate) async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        let id = RequestId::generate();
        let head_limit = self.config.timeouts.head_streamed;
        let plan = self.plan(Call::Models, &id, Bytes::new(), head_limit, None);
        let (models, _) =
            self.in_one_piece(plan, P::Codec::decode_models, |_| (None, Served::default())).await?;
        Ok(models)
    }

    /// Asks once whether the upstream answers.
    pub(crate) async fn health(&self) -> Result<Health, InferenceError> {
        let id = RequestId::generate();
        let limit = self.config.timeouts.health;
        let plan = self.plan(Call::Health, &id, Bytes::new(), limit, Some(limit));
        let (mut run, span) = self.begin(&plan);
        let work = async {
            let mut retry = self.retries(&plan);
            match self.piece(&plan, &mut run, &mut retry, P::Codec::decode_health).await {
                Ok(()) => {
                    let settled = self.completed(&mut run, &retry, None, Served::default(), None);
                    Ok(Health::new(settled.now - plan.started))
                }
                Err(error) => Err(give_up(error, None, &mut run)),
            }
        };
        work.instrument(span).await
    }

    /// Runs a call whose answer comes in one piece, and says what it cost. `said` finds what the record wants to know.
    async fn in_one_piece<T>(
        &self,
        plan: Plan<'_>,
        decode: impl Fn(&P::Codec, &Bytes) -> Result<T, WireFault>,
        said: impl Fn(&T) -> (Option<Usage>, Served),
    ) -> Result<(T, Option<CostEstimate>), InferenceError> {
        let (mut run, span) = self.begin(&plan);
        let work = async {
            let mut retry = self.retries(&plan);
            loop {
                match self.piece(&plan, &mut run, &mut retry, &decode).await {
                    Ok(answer) => {
                        let (usage, served) = said(&answer);
                        let settled = self.completed(&mut run, &retry, usage, served, None);
                        break Ok((answer, settled.cost));
                    }
                    Err(error) => self.after(&plan, &mut run, &mut retry, error).await?,
                }
            }
        };
        work.instrument(span).await
    }

    /// One attempt at an answer that comes in one piece.
    async fn piece<T>(
        &self,
        plan: &Plan<'_>,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
        decode: impl Fn(&P::Codec, &Bytes) -> Result<T, WireFault>,
    ) -> Result<T, InferenceError> {
        let Opened { attempt, response, .. } = self.attempt(plan, run, retry).await?;
        self.read(&attempt, response, run, decode).await
    }

    /// Reads an answer that comes in one piece.
    pub(crate) async fn read<T>(
        &self,
        attempt: &Attempt<P>,
        response: Response<TransportBody>,
        run: &mut Run<P>,
        decode: impl Fn(&P::Codec, &Bytes) -> Result<T, WireFault>,
    ) -> Result<T, InferenceError> {
        let bytes = body::read_whole(attempt, response.into_body(), &self.config).await?;
        run.note(|timer| timer.received(bytes.len()));
        decode(self.provider.codec(), &bytes).map_err(|fault| attempt.fault(fault, 0, false))
    }

    /// Settles a call that was answered in one piece.
    pub(crate) fn completed(
        &self,
        run: &mut Run<P>,
        retry: &RetryState<'_>,
        usage: Option<Usage>,
        served: Served,
        finish: Option<FinishReason>,
    ) -> Settled {
        let now = Instant::now();
        run.note(|timer| timer.whole(now, usage, served, finish));
        // What costs an upstream next to nothing says nothing about how much it can bear.
        if run.subject().is_billed || retry.paid() > 0 {
            self.gates.with_budget(|budget| budget.deposit(retry.paid()));
        }
        let (served, cost) = run.complete(now);
        Settled { served, cost, now }
    }
}
