//! `POST /v1/embeddings`.

use axum::body::Body;
use http::{Request, Response};
use wire_chat::server::{read_embed_request, read_embed_request_for, write_embeddings};

use crate::denial::{Failure, Shape};
use crate::door::{Arrived, Wanted, close, in_time};
use crate::observe::Ending;
use crate::reply;
use crate::state::State;
use crate::watch::Watch;

/// Its name in logs and metrics.
pub(crate) const ENDPOINT: &str = "embeddings";

/// Answers with vectors; the model is what the path says, where it says one.
pub(crate) async fn embed(
    state: &State,
    deployment: Option<&str>,
    request: Request<Body>,
    mut watch: Box<Watch>,
) -> Response<Body> {
    let span = watch.span();
    let answered = in_time(state, span, Box::pin(answer(state, deployment, request, &mut watch))).await;
    close(answered, watch, Shape::OpenAi, |response, mut watch| {
        watch.end(200, Ending::Answered);
        response
    })
}

async fn answer(
    state: &State,
    deployment: Option<&str>,
    request: Request<Body>,
    watch: &mut Watch,
) -> Result<Response<Body>, Failure> {
    use infer_core::ModelRunner as _;

    let arrived = Arrived::read(state, request, watch).await?;
    let mut batch = match deployment {
        Some(deployment) => read_embed_request_for(&arrived.body, deployment)?,
        None => read_embed_request(&arrived.body)?,
    };
    let (model, base64) = (batch.model.clone(), batch.base64);
    let tokens = arrived.body.len() as u64 / 4;
    let wanted = Wanted { model: Some(&model), is_streaming: false, tokens };
    let leave = arrived.admit(state, wanted, watch).await?;
    batch.request_id = leave.id;
    batch.routing = leave.routing;
    batch.deadline = Some(leave.time);
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
