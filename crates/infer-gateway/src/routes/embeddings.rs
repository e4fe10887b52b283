//! `POST /v1/embeddings`.

use axum::body::Body;
use http::{Request, Response};
use tokio::time::Instant;
use wire_chat::server::{read_embed_request, read_embed_request_for, write_embeddings};

use super::generate::refuse;
use crate::ask::wishes;
use crate::caller::caller;
use crate::denial::{Failure, Shape};
use crate::observe::Ending;
use crate::state::State;
use crate::watch::Watch;
use crate::{intake, reply};

/// Its name in logs and metrics.
pub(crate) const ENDPOINT: &str = "embeddings";

/// Answers with vectors; the model is what the path says, where it says one.
pub(crate) async fn embed(
    state: &State,
    deployment: Option<&str>,
    request: Request<Body>,
    mut watch: Watch,
) -> Response<Body> {
    let mut response = match answer(state, deployment, request, &mut watch).await {
        Ok(response) => {
            watch.end(200, Ending::Answered);
            response
        }
        Err(failure) => refuse(&mut watch, &failure, Shape::OpenAi),
    };
    reply::name(response.headers_mut(), watch.id());
    response
}

async fn answer(
    state: &State,
    deployment: Option<&str>,
    request: Request<Body>,
    watch: &mut Watch,
) -> Result<Response<Body>, Failure> {
    use infer_core::ModelRunner as _;

    let config = state.config();
    let (head, body) = request.into_parts();
    let caller = caller(state, &head.headers)?;
    watch.seen().key = caller.name().cloned();
    let wishes = wishes(&head.headers, watch.id().clone(), &caller, &config)?;
    let body = intake::read(&head.headers, body, config.max_body_bytes, config.body_timeout).await?;
    let mut batch = match deployment {
        Some(deployment) => read_embed_request_for(&body, deployment)?,
        None => read_embed_request(&body)?,
    };
    let model = batch.model.clone();
    watch.seen().model = Some(model.clone());
    caller.may_use(&model)?;

    let deadline = Instant::now() + wishes.deadline;
    let waiting = Instant::now();
    let tokens = body.len() as u64 / 4;
    let admitted = state.admission().admit(caller.key.as_deref(), tokens, wishes.priority, deadline).await?;
    watch.admitted(admitted, waiting.elapsed());
    let base64 = batch.base64;
    batch.request_id = wishes.id;
    batch.routing = wishes.routing;
    batch.deadline = Some(deadline.saturating_duration_since(Instant::now()));
    watch.asked();
    let vectors = state.inference.embed(batch).await?;

    let seen = watch.seen();
    seen.provider.clone_from(&vectors.provider);
    seen.served_model.clone_from(&vectors.model);
    seen.tried.clone_from(&vectors.tried);
    watch.used(vectors.usage, vectors.cost);
    let mut response = reply::json(write_embeddings(&vectors, &model, base64));
    let headers = response.headers_mut();
    if let Some(provider) = &vectors.provider {
        reply::served_by(headers, provider);
    }
    reply::failed(headers, &vectors.tried);
    reply::cost(headers, vectors.cost);
    Ok(response)
}
