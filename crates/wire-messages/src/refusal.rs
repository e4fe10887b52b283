//! What this format cannot say, refused by name instead of left out.
//!
//! Compared with Anthropic's API reference for creating a message and its Python client's types, read 2026-11-21.

use infer_core::{ExecuteBatch, InferenceError};

/// A refusal that names the member.
pub(crate) fn refused(param: &str, why: &str) -> InferenceError {
    let mut error = InferenceError::invalid_request(format!("{param}: {why}"));
    if let Some(at) = error.origin_mut() {
        at.param = Some(param.to_owned());
    }
    error
}

/// Refuses a batch that asks for something this format has no member for. Values that ask for nothing, such as one
/// answer or a penalty of 0, are no reason.
pub(crate) fn check(batch: &ExecuteBatch) -> Result<(), InferenceError> {
    let sampling = &batch.sampling;
    let penalty = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let unsayable = [
        ("n", batch.choices() > 1, "this upstream gives one answer a call; ask several times"),
        ("seed", sampling.seed.is_some(), "this upstream has no repeatable answers"),
        ("presence_penalty", penalty(sampling.presence_penalty), "this upstream has no penalties"),
        ("frequency_penalty", penalty(sampling.frequency_penalty), "this upstream has no penalties"),
        ("logit_bias", !sampling.logit_bias.is_empty(), "this upstream cannot favour single tokens"),
        ("logprobs", sampling.logprobs == Some(true), "this upstream reports no probabilities"),
        ("top_logprobs", sampling.top_logprobs.unwrap_or(0) > 0, "this upstream reports no probabilities"),
        ("prediction", batch.prediction.is_some(), "this upstream takes no predicted text"),
    ];
    if let Some((param, _, why)) = unsayable.into_iter().find(|(_, is_asked, _)| *is_asked) {
        return Err(refused(param, why));
    }
    if let Some(kind) = batch.modalities.iter().find(|kind| *kind != "text") {
        return Err(refused("modalities", &format!("this upstream writes text only, got `{kind}`")));
    }
    if let Some(label) = batch.metadata.keys().find(|label| *label != "user_id") {
        return Err(refused("metadata", &format!("takes only `user_id` at this upstream, got `{label}`")));
    }
    fraction("temperature", sampling.temperature)?;
    fraction("top_p", sampling.top_p)
}

fn fraction(param: &str, number: Option<f64>) -> Result<(), InferenceError> {
    match number {
        Some(number) if !(0.0..=1.0).contains(&number) => {
            Err(refused(param, &format!("must be from 0 to 1 at this upstream, got {number}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> ExecuteBatch {
        ExecuteBatch::new("m", "hi")
    }

    #[test]
    fn what_the_format_cannot_say_is_refused_by_name() {
        let asked = [
            ("n", batch().with_n(2)),
            ("seed", batch().with_seed(0)),
            ("presence_penalty", batch().with_penalties(0.1, 0.0)),
            ("frequency_penalty", batch().with_penalties(0.0, -0.1)),
            ("logit_bias", batch().with_logit_bias("5", 1)),
            ("logprobs", batch().with_logprobs(0)),
            ("prediction", batch().with_prediction("x")),
            ("modalities", batch().with_modalities(["text", "audio"])),
            ("metadata", batch().with_metadata("team", "a")),
            ("temperature", batch().with_temperature(1.5)),
            ("temperature", batch().with_temperature(f64::NAN)),
            ("top_p", batch().with_top_p(-0.1)),
        ];
        for (param, batch) in asked {
            let error = check(&batch).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param));
            assert!(error.to_string().contains(param), "{error}");
        }
    }

    #[test]
    fn a_value_that_asks_for_nothing_is_no_reason_to_refuse() {
        let mut idle = batch().with_n(1).with_penalties(0.0, 0.0).with_modalities(["text"]);
        idle.sampling.logprobs = Some(false);
        idle.sampling.top_logprobs = Some(0);
        let idle = idle.with_metadata("user_id", "u").with_temperature(1.0).with_top_p(0.0);
        assert!(check(&idle).is_ok());
    }
}
