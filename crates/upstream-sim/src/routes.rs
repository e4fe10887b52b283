//! Which request gets which reply.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header};
use infer_core::InferenceError;
use serde_json::json;

use crate::behaviour::MODELS;
use crate::record::Log;
use crate::reply::Reply;
use crate::sim::State;
use crate::{Behaviour, chat, embed, relay};

/// 2026-11-21, so that answers do not depend on the day they are made.
pub(crate) const CREATED: u64 = 1_795_219_200;

/// Where to ask what was counted, for those who run the simulator as a process of its own.
pub(crate) const COUNTS: &str = "/counts";

/// What [`Sim::calls`](crate::Sim::calls) and [`Sim::cancelled`](crate::Sim::cancelled) say.
pub(crate) fn counts(log: &Log) -> Bytes {
    json!({ "calls": log.calls(), "cancelled": log.cancelled() }).to_string().into()
}

pub(crate) fn reply(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::POST, "/v1/chat/completions") => chat::reply(state, head, body),
        (&Method::POST, "/v1/embeddings") => embed::reply(state, head, body),
        (&Method::POST, "/v1/responses") => relay::responses(state, head, body),
        (&Method::POST, "/v1/moderations") => relay::moderations(state, head, body),
        (&Method::POST, "/v1/audio/speech") => relay::speech(state, head, body),
        (&Method::GET, "/v1/models") => models(),
        (
            method,
            "/v1/chat/completions"
            | "/v1/embeddings"
            | "/v1/responses"
            | "/v1/moderations"
            | "/v1/audio/speech"
            | "/v1/models",
        ) => Reply::method_not_allowed(method, path),
        (method, _) => Reply::not_found(method, path),
    }
}

/// A behaviour that looks the same on every route; `None` for one that depends on what is asked.
pub(crate) fn fault(state: &State, head: &Parts, behaviour: &Behaviour) -> Option<Reply> {
    Some(match behaviour {
        Behaviour::Status { status, retry_after } => Reply::of_status(*status, *retry_after),
        Behaviour::Quota => Reply::quota(),
        Behaviour::Context => Reply::context(),
        Behaviour::Filter => Reply::filter(),
        Behaviour::Html => Reply::html(),
        Behaviour::ErrorIn200 => crate::fault::server_error().reply(StatusCode::OK),
        Behaviour::Silent => Reply::silent(),
        Behaviour::Redirect => {
            // The same listener under another name, so that a client that follows is seen to.
            let elsewhere = format!("http://localhost:{}/elsewhere{}", state.address.port(), head.uri.path());
            Reply::whole(StatusCode::TEMPORARY_REDIRECT, "text/plain", "").header("location", &elsewhere)
        }
        Behaviour::EchoKey => {
            let key = head.headers.get(header::AUTHORIZATION);
            let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()));
            Reply::echo_key(key.as_deref())
        }
        Behaviour::Raw { status, content_type, body } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Reply::whole(status, content_type, body.clone())
        }
        _ => return None,
    })
}

fn models() -> Reply {
    let data: Vec<_> = MODELS
        .iter()
        .map(|(id, description)| {
            json!({
                "id": id,
                "object": "model",
                "created": CREATED,
                "owned_by": "upstream-sim",
                "description": description,
            })
        })
        .collect();
    Reply::json(StatusCode::OK, json!({ "object": "list", "data": data }).to_string())
}

/// A request that cannot be read.
pub(crate) fn refused(error: &InferenceError) -> Reply {
    let (status, body) = wire_chat::server::write_error(error);
    Reply::json(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body)
}
