//! What is sent to Acme. What the format cannot say is refused by name, never left out in silence.

use bytes::Bytes;
use infer_core::{Content, EmbedBatch, EmbedInput, ExecuteBatch, InferenceError, Message, Part, Role};
use serde::Serialize;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    turns: Vec<Turn>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

#[derive(Serialize)]
struct Turn {
    role: &'static str,
    text: String,
}

#[derive(Serialize)]
struct EmbedRequest<'a> {
    model: &'a str,
    texts: Vec<&'a str>,
}

pub(crate) fn write(batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
    let sampling = &batch.sampling;
    // Replace this table by what Acme cannot do.
    for (member, is_asked) in [
        ("n", batch.choices() > 1),
        ("tools", !batch.tools.is_empty()),
        ("response_format", batch.response_format.is_some()),
        ("modalities", !batch.modalities.is_empty()),
        ("reasoning_effort", batch.reasoning_effort.is_some()),
        ("logprobs", sampling.logprobs == Some(true)),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("top_p", sampling.top_p.is_some()),
        ("seed", sampling.seed.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("extra", !batch.extra.is_empty()),
    ] {
        if is_asked {
            return Err(refused(member, "Acme cannot do this: leave it out or ask another provider"));
        }
    }
    // JSON has no such numbers, and they would be written as null.
    if sampling.temperature.is_some_and(|temperature| !temperature.is_finite()) {
        return Err(refused("temperature", "must be a finite number"));
    }
    let turns = batch.messages.typed()?.iter().map(turn).collect::<Result<Vec<_>, _>>()?;
    if turns.iter().all(|turn| turn.text.is_empty()) {
        return Err(refused("messages", "nothing to answer: write at least one message with text"));
    }
    to_json(&Request {
        model: &batch.model,
        turns,
        stream: batch.is_streaming(),
        max_tokens: batch.max_output_tokens,
        temperature: sampling.temperature,
        stop: &sampling.stop,
    })
}

fn turn(message: &Message) -> Result<Turn, InferenceError> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        _ => return Err(refused("messages", "Acme knows no such role: use system, user or assistant")),
    };
    let is_text = match &message.content {
        Content::Parts(parts) => parts.iter().all(|part| matches!(part, Part::Text(_))),
        _ => true,
    };
    if !is_text || !message.tool_calls.is_empty() {
        return Err(refused("messages", "Acme reads text only: leave out pictures, files and tool calls"));
    }
    Ok(Turn { role, text: message.content.text() })
}

pub(crate) fn write_embed(batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
    if batch.dimensions.is_some() || !batch.extra.is_empty() {
        return Err(refused("dimensions", "Acme takes a model and texts only: leave out everything else"));
    }
    let texts = batch.input.iter().map(|input| match input {
        EmbedInput::Text(text) => Ok(text.as_str()),
        _ => Err(refused("input", "Acme reads text only: leave out token ids")),
    });
    to_json(&EmbedRequest { model: &batch.model, texts: texts.collect::<Result<_, _>>()? })
}

fn to_json(request: &impl Serialize) -> Result<Bytes, InferenceError> {
    let json = serde_json::to_vec(request);
    json.map(Bytes::from).map_err(|error| InferenceError::invalid_request(format!("request: {error}")))
}

fn refused(member: &str, why: &str) -> InferenceError {
    let mut error = InferenceError::invalid_request(format!("{member}: {why}"));
    if let Some(at) = error.origin_mut() {
        at.param = Some(member.to_owned());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(batch: &ExecuteBatch) -> String {
        String::from_utf8(write(batch).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn what_is_set_is_written_and_nothing_else() {
        let all = ExecuteBatch::new("m", [Message::system("Be brief."), Message::user("Hi \"you\"")])
            .with_temperature(0.5)
            .with_max_output_tokens(9)
            .streaming();
        let turns = r#""turns":[{"role":"system","text":"Be brief."},{"role":"user","text":"Hi \"you\""}]"#;
        let expect = format!(r#"{{"model":"m",{turns},"stream":true,"max_tokens":9,"temperature":0.5}}"#);
        assert_eq!(text(&all), expect);
        let least = ExecuteBatch::new("m", "Hi");
        assert_eq!(text(&least), r#"{"model":"m","turns":[{"role":"user","text":"Hi"}]}"#);
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_name() {
        let ask = || ExecuteBatch::new("m", "Hi");
        let picture = Message::user([Part::image_url("https://example.com/cat.png")]);
        for (batch, member) in [
            (ask().with_n(2), "n"),
            (ask().with_top_p(0.5), "top_p"),
            (ask().with_temperature(f64::NAN), "temperature"),
            (ask().with_extra("top_k", infer_core::RawJson::parse("4").unwrap()), "extra"),
            (ExecuteBatch::new("m", [picture]), "messages"),
            (ExecuteBatch::new("m", [Message::tool("call-1", "4")]), "messages"),
            (ExecuteBatch::new("m", vec![]), "messages"),
        ] {
            let error = write(&batch).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(member), "{error}");
        }
    }

    #[test]
    fn vectors_are_asked_for_by_text() {
        let body = write_embed(&EmbedBatch::new("m", ["a", "b"])).unwrap();
        assert_eq!(body, r#"{"model":"m","texts":["a","b"]}"#);
        assert!(write_embed(&EmbedBatch::new("m", ["a"]).with_dimensions(2)).is_err());
    }
}
