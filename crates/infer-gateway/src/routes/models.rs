//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use infer_core::{ListedModel, ModelRunner as _};
use serde::Serialize;

use crate::caller::{Caller, caller};
use crate::denial::{Denial, Failure, Shape};
use crate::reply;
use crate::state::State;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
}

impl<'a> Model<'a> {
    fn of(model: &'a ListedModel) -> Self {
        Self {
            id: &model.id,
            object: "model",
            created: model.created.unwrap_or(0),
            owned_by: model.owned_by.as_deref().unwrap_or("infer"),
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
        }
    }
}

/// Lists what the caller may ask for.
pub(crate) async fn list(state: &State, headers: &HeaderMap) -> Response<Body> {
    let listed = async {
        let (caller, models) = allowed(state, headers).await?;
        let data = models.iter().filter(|model| caller.may_use(&model.id).is_ok()).map(Model::of).collect();
        Ok::<_, Failure>(to_json(&List { object: "list", data }))
    };
    listed.await.unwrap_or_else(|failure| failure.respond(Shape::OpenAi))
}

/// One of them; names have slashes.
pub(crate) async fn one(state: &State, headers: &HeaderMap, id: &str) -> Response<Body> {
    let found = async {
        let (caller, models) = allowed(state, headers).await?;
        let model = models.iter().find(|model| model.id == id && caller.may_use(id).is_ok());
        let model = model.ok_or_else(|| {
            let shown: String = id.chars().take(80).collect();
            Denial::new(
                StatusCode::NOT_FOUND,
                "model_not_found",
                format!("there is no model {shown:?} here: GET /v1/models lists those there are"),
            )
        })?;
        Ok::<_, Failure>(to_json(&Model::of(model)))
    };
    found.await.unwrap_or_else(|failure| failure.respond(Shape::OpenAi))
}

async fn allowed(state: &State, headers: &HeaderMap) -> Result<(Caller, Vec<ListedModel>), Failure> {
    let caller = caller(state, headers)?;
    Ok((caller, state.inference.models().await?))
}

/// JSON under a 200.
pub(crate) fn to_json(value: &impl Serialize) -> Response<Body> {
    reply::json(serde_json::to_vec(value).unwrap_or_default().into())
}
