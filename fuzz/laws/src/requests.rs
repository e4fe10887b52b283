//! Requests as a gateway receives them.

use bytes::Bytes;
use infer_core::{Codec, EmbedBatch, ErrorKind, ExecuteBatch, InferenceError, Messages, WireFormat};
use wire_chat::server::{
    read_completion_request, read_completion_request_for, read_embed_request, read_embed_request_for,
    read_request, read_request_for,
};
use wire_chat::{ChatCodec, ChatDialect, TokenLimit};
use wire_messages::MessagesCodec;

/// A body is a request or is refused as the caller's fault, in each of the forms that a gateway takes; what is accepted can be
/// written for an upstream of the same form and is then read as the same request.
///
/// # Panics
/// When that does not hold.
pub fn gateway_bodies(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    chat(&body);
    messages(&body);
    completions(&body);
    embeddings(&body);
}

fn chat(body: &Bytes) {
    let Some(request) = accepted(read_request(body)) else { return };
    // Its member for the model is there, but not read.
    let elsewhere = accepted(read_request_for(body, "elsewhere")).map(|request| request.batch);
    let mut renamed = request.batch.clone();
    "elsewhere".clone_into(&mut renamed.model);
    is_same(elsewhere.as_ref(), &renamed, "the path names the model");

    let codec = ChatCodec::new(ChatDialect::compatible().with_token_limit(TokenLimit::MaxTokens));
    crosses(&request.batch);
    let Some(written) = accepted(codec.encode(&request.batch)) else { return };
    let again = accepted(read_request(&written)).map(|again| again.batch);
    assert!(again.is_some(), "{written:?} is refused");
    let Some(again) = again else { return };
    // A member that a field has a value for is not written twice, and the white space in stream options is not kept.
    let is_known = |name: &str| request.batch.extra.get(name).is_some();
    assert!(again.extra.iter().all(|(name, _)| is_known(name)), "{:?} came from nowhere", again.extra);
    let (mut known, mut expected) = (again.clone(), request.batch);
    (known.extra, expected.extra) = Default::default();
    is_same(Some(&known), &expected, "written, it is another");
    assert_eq!(codec.encode(&again).ok(), Some(written), "written twice, it is another");
}

fn messages(body: &Bytes) {
    let Some(request) = accepted(wire_messages::server::read_request(body)) else { return };
    let codec = MessagesCodec::default();
    crosses(&request.batch);
    let Some(written) = accepted(codec.encode(&request.batch)) else { return };
    let again = wire_messages::server::read_request(&written).and_then(|again| codec.encode(&again.batch));
    let value = |bytes: &Bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    assert_eq!(again.ok().map(|again| value(&again)), Some(value(&written)), "{written:?}");
}

fn completions(body: &Bytes) {
    let Some(request) = accepted(read_completion_request(body)) else { return };
    let elsewhere = accepted(read_completion_request_for(body, "elsewhere")).map(|request| request.batch);
    let mut renamed = request.batch.clone();
    "elsewhere".clone_into(&mut renamed.model);
    is_same(elsewhere.as_ref(), &renamed, "the path names the model");
    crosses(&request.batch);
}

fn embeddings(body: &Bytes) {
    let Some(batch) = accepted(read_embed_request(body)) else { return };
    let elsewhere = accepted(read_embed_request_for(body, "elsewhere"));
    assert_eq!(elsewhere.map(|batch| batch.model).as_deref(), Some("elsewhere"));
    let codec = ChatCodec::default();
    let Some(written) = accepted(codec.encode_embed(&batch)) else { return };
    let again = accepted(read_embed_request(&written));
    assert!(again.is_some(), "{written:?} is refused");
    let Some(again) = again else { return };
    let said = |batch: &EmbedBatch| {
        (batch.model.clone(), batch.input.clone(), batch.user.clone(), batch.base64, batch.dimensions)
    };
    assert_eq!(said(&again), said(&batch), "{written:?}");
    assert_eq!(codec.encode_embed(&again).ok(), Some(written), "written twice, it is another");
}

/// Writes a request for upstreams of both forms, its messages read as well as unread.
fn crosses(batch: &ExecuteBatch) {
    let mut typed = batch.clone();
    if let Some(messages) = accepted(batch.messages.typed()) {
        typed.messages = Messages::from(messages.to_vec());
    }
    for batch in [batch, &typed] {
        for body in [
            accepted(ChatCodec::new(ChatDialect::openai()).encode(batch)),
            accepted(MessagesCodec::default().encode(batch)),
        ] {
            let is_object = |body: &Bytes| serde_json::from_slice::<serde_json::Map<_, _>>(body).is_ok();
            assert!(body.as_ref().is_none_or(is_object), "{body:?}");
        }
    }
}

/// What was made of a body. A refusal has to be one that a caller can act on.
fn accepted<T>(read: Result<T, InferenceError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
            let line = error.to_string();
            assert!(line.lines().count() == 1 && line.len() <= 1024, "{line:?}");
            None
        }
    }
}

/// Holds `batch` to be `other`, but for the name that the gateway gave to it.
///
/// Messages are passed on unread, so they may be such that cannot be read; those are compared as they are written.
fn is_same(batch: Option<&ExecuteBatch>, other: &ExecuteBatch, why: &str) {
    let (mut batch, mut other) = (batch.cloned(), other.clone());
    if let Some(batch) = &mut batch {
        batch.request_id.clone_from(&other.request_id);
        let json = |batch: &ExecuteBatch| batch.messages.raw_in(WireFormat::CHAT_COMPLETIONS).cloned();
        if json(batch).is_some() && json(batch) == json(&other) {
            batch.messages = Vec::new().into();
            other.messages = Vec::new().into();
        }
    }
    assert_eq!(batch.as_ref(), Some(&other), "{why}");
}
