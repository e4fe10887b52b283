//! Answers in one piece.

use bytes::Bytes;
use infer_core::{Codec, Completion, Embeddings, Wire};
use wire_chat::ChatCodec;
use wire_chat::server::{write_completion, write_embeddings, write_text_completion};
use wire_messages::MessagesCodec;
use wire_messages::server::write_message;

/// A body is an answer of a format or a fault that says why not; an answer is passed on byte for byte, and what a server
/// writes of it in words of its own reads as the same answer.
///
/// # Panics
/// When that does not hold.
pub fn unary_bodies(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let codec = ChatCodec::default();
    if let Ok(whole) = codec.decode_full(&body) {
        assert!(!whole.choices.is_empty(), "an answer without choices");
        let indexes: Vec<_> = whole.choices.iter().map(|choice| choice.index).collect();
        assert!(indexes.is_sorted_by(|one, next| one < next), "choices {indexes:?}");
        assert_eq!(whole.wire.as_ref().map(Wire::bytes), Some(&body));
        assert_eq!(write_completion(&whole, "m"), body, "not passed on as it came");
        is_json(&write_text_completion(&whole, "m", Some("echo")));
        says_the_same(&codec, &whole, &write_completion(&unwired(&whole), "m"));
        is_json(&write_message(&whole, "m"));
    }
    let codec = MessagesCodec::default();
    if let Ok(whole) = codec.decode_full(&body) {
        assert_eq!(whole.choices.len(), 1, "an answer is one choice");
        assert_eq!(whole.wire.as_ref().map(Wire::bytes), Some(&body));
        assert_eq!(write_message(&whole, "m"), body, "not passed on as it came");
        says_the_same(&codec, &whole, &write_message(&unwired(&whole), "m"));
        is_json(&write_completion(&whole, "m"));
    }
    vectors(&body);
    for models in
        [ChatCodec::default().decode_models(&body), codec.decode_models(&body)].into_iter().flatten()
    {
        assert!(models.iter().all(|model| !model.id.is_empty()), "a model without a name");
    }
    _ = ChatCodec::default().decode_health(&body);
    _ = codec.decode_health(&body);
}

fn unwired(whole: &Completion) -> Completion {
    let mut whole = whole.clone();
    whole.wire = None;
    whole
}

/// What `body`, written of `whole`, is read as.
fn says_the_same<C: Codec>(codec: &C, whole: &Completion, body: &Bytes) {
    is_json(body);
    let again = codec.decode_full(body);
    let again = again.as_ref().map(|again| &again.choices);
    assert!(again.is_ok(), "{again:?} of {body:?}");
    for (said, again) in whole.choices.iter().zip(again.into_iter().flatten()) {
        assert_eq!((&said.text, &said.refusal, &said.finish), (&again.text, &again.refusal, &again.finish));
        assert_eq!(said.tool_calls.len(), again.tool_calls.len());
        for (said, again) in said.tool_calls.iter().zip(&again.tool_calls) {
            // A call that has no name of its own gets one where the format needs it.
            assert!(said.id.is_none() || said.id == again.id, "{:?} became {:?}", said.id, again.id);
            assert_eq!(said.name, again.name);
        }
    }
}

/// Numbers and their order survive base64 bit by bit.
fn vectors(body: &Bytes) {
    let Ok(embeddings) = ChatCodec::default().decode_embed(body) else { return };
    assert!(!embeddings.vectors.is_empty(), "no vectors");
    let bits = |embeddings: &Embeddings| {
        let bits = |vector: &Vec<f32>| vector.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        embeddings.vectors.iter().map(bits).collect::<Vec<_>>()
    };
    let again = ChatCodec::default().decode_embed(&write_embeddings(&embeddings, "m", true));
    assert_eq!(again.as_ref().map(bits), Ok(bits(&embeddings)));
    is_json(&write_embeddings(&embeddings, "m", false));
}

fn is_json(body: &Bytes) {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    assert!(read.is_ok(), "{read:?}: {body:?}");
}
