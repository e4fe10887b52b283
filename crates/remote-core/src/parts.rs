//! A request for vectors that is too large for its upstream, as several that are not.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use infer_core::{CostEstimate, EmbedBatch, EmbedInput, Embeddings, InferenceError, Usage};
use tokio::time::Instant;

use crate::pipeline::Pipeline;
use crate::provider::{EmbedLimits, RemoteProvider};

/// Parts of one batch that are under way at a time.
const AT_ONCE: usize = 4;

/// Runs `batch` in as many calls as `limits` ask for, and puts the vectors back in order.
///
/// Each part is a call of its own, with its own record, retries and share of the limits. The first one that fails ends
/// the others.
pub(crate) async fn embed<P: RemoteProvider>(
    pipeline: &Pipeline<P>,
    mut batch: EmbedBatch,
    limits: EmbedLimits,
) -> Result<Embeddings, InferenceError> {
    let mut parts = split(std::mem::take(&mut batch.input), limits);
    if parts.len() <= 1 {
        batch.input = parts.pop().unwrap_or_default();
        return pipeline.embed(batch).await;
    }
    let begun = Instant::now();
    let calls: Vec<_> = (1..)
        .zip(parts)
        .map(|(number, input)| {
            let mut part = batch.clone();
            part.request_id = batch.request_id.part(number);
            part.input = input;
            async move {
                part.deadline = part.deadline.map(|limit| limit.saturating_sub(begun.elapsed()));
                Ok::<_, InferenceError>((number, pipeline.embed(part).await?))
            }
        })
        .collect();
    // As they come, so that an error is seen at once.
    let mut answers: Vec<_> = stream::iter(calls).buffer_unordered(AT_ONCE).try_collect().await?;
    answers.sort_unstable_by_key(|(number, _)| *number);
    Ok(join(answers.into_iter().map(|(_, answer)| answer)))
}

/// Cuts `inputs` into runs that keep to `limits`, in order. An input that is too large by itself stands alone: the
/// upstream says more precisely than we could what is wrong with it.
fn split(inputs: Vec<EmbedInput>, limits: EmbedLimits) -> Vec<Vec<EmbedInput>> {
    let mut parts: Vec<Vec<EmbedInput>> = Vec::new();
    let mut tokens = 0_u64;
    for input in inputs {
        let more = tokens_of(&input);
        match parts.last_mut() {
            Some(part) if part.len() < limits.inputs && tokens.saturating_add(more) <= limits.tokens => {
                tokens += more;
                part.push(input);
            }
            _ => {
                tokens = more;
                parts.push(vec![input]);
            }
        }
    }
    parts
}

fn tokens_of(input: &EmbedInput) -> u64 {
    match input {
        EmbedInput::Text(text) => (text.len() as u64).div_ceil(3),
        EmbedInput::Tokens(ids) => ids.len() as u64,
        _ => 0,
    }
}

/// One answer out of several. Usage and cost are known where every part's is.
fn join(answers: impl Iterator<Item = Embeddings>) -> Embeddings {
    let mut whole = Embeddings::default();
    (whole.usage, whole.cost) = (Some(Usage::new(0, 0)), Some(CostEstimate::default()));
    for part in answers {
        whole.vectors.extend(part.vectors);
        whole.model = whole.model.or(part.model);
        whole.usage = whole.usage.zip(part.usage).map(|(sum, more)| sum.saturating_add(more));
        whole.cost = whole.cost.zip(part.cost).map(|(sum, more)| sum.saturating_add(more));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No part is over the limits unless it is one input, none could take the next input too, and nothing is lost.
        #[test]
        fn parts_keep_to_the_limits_and_lose_nothing(
            sizes in prop::collection::vec(0_usize..40, 0..60),
            inputs in 1_usize..8,
            tokens in 1_u64..60,
        ) {
            let given: Vec<_> = (0..).zip(&sizes).map(|(id, size)| EmbedInput::Tokens(vec![id; *size])).collect();
            let parts = split(given.clone(), EmbedLimits::new(inputs, tokens));
            let sum = |part: &[EmbedInput]| part.iter().map(tokens_of).sum::<u64>();
            for part in &parts {
                prop_assert!(part.len() <= inputs && (sum(part) <= tokens || part.len() == 1));
            }
            for pair in parts.windows(2) {
                let more = tokens_of(&pair[1][0]);
                prop_assert!(pair[0].len() == inputs || sum(&pair[0]) + more > tokens);
            }
            prop_assert_eq!(parts.concat(), given);
        }
    }
}
