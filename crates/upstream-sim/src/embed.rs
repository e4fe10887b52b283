//! Embeddings: unit vectors made from the seed and the text.

use bytes::Bytes;
use fastrand::Rng;
use http::StatusCode;
use http::request::Parts;
use infer_core::{EmbedInput, Embeddings, Usage};
use wire_chat::server;

use crate::answer::hash;
use crate::reply::Reply;
use crate::routes;
use crate::sim::State;

/// Native sizes (OpenAI's model pages, read 2026-11-21); any other model has the smaller one.
const LARGE: (&str, usize) = ("text-embedding-3-large", 3072);
const USUAL: usize = 1536;
const MAX_DIMENSIONS: usize = 8192;

pub(crate) fn reply(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let batch = match server::read_embed_request(body) {
        Ok(batch) => batch,
        Err(error) => return routes::refused(&error),
    };
    let Some(behaviour) = state.behaviour(&batch.model) else { return Reply::no_model(&batch.model) };
    if let Some(fault) = routes::fault(state, head, &behaviour) {
        return fault;
    }
    let native = if batch.model == LARGE.0 { LARGE.1 } else { USUAL };
    let wanted = batch.dimensions.map_or(native, |wanted| wanted as usize).clamp(1, MAX_DIMENSIONS);
    let mut embeddings = Embeddings::default();
    let mut tokens = 0;
    for input in &batch.input {
        let bytes = match input {
            EmbedInput::Text(text) => text.as_bytes().to_vec(),
            EmbedInput::Tokens(ids) => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
            _ => Vec::new(),
        };
        tokens += (bytes.len() as u64).div_ceil(4);
        embeddings.vectors.push(unit_vector(hash(state.script.seed, &bytes), wanted));
    }
    embeddings.model = Some(batch.model.clone());
    embeddings.usage = Some(Usage::new(tokens, 0));
    Reply::json(StatusCode::OK, server::write_embeddings(&embeddings, &batch.model, batch.base64))
}

fn unit_vector(seed: u64, length: usize) -> Vec<f32> {
    let mut rng = Rng::with_seed(seed);
    let mut vector: Vec<f32> = (0..length).map(|_| rng.f32().mul_add(2.0, -1.0)).collect();
    let norm = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
    if norm > 0.0 {
        for part in &mut vector {
            *part /= norm;
        }
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one_and_depend_on_the_seed_alone() {
        let vector = unit_vector(7, 256);
        assert!((vector.iter().map(|part| part * part).sum::<f32>() - 1.0).abs() < 1e-4);
        assert_eq!(vector, unit_vector(7, 256));
        assert_ne!(vector, unit_vector(8, 256));
    }
}
