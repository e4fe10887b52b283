//! The client's side: requests out, whole answers in.

use bytes::Bytes;
use infer_core::raw::{trim, utf8};
use infer_core::{
    Choice, Codec, Completion, DecodeKind, EmbedBatch, Embeddings, ErrorBody, ExecuteBatch, InferenceError,
    ListedModel, Wire, WireFault, WireFormat,
};

use crate::choice::ChoiceState;
use crate::decoder::too_many;
use crate::dto::{Answer, MAX_CHOICES, RawChoice, as_error};
use crate::filter::{self, KnownFindings};
use crate::json::{Few, is_truthy};
use crate::request::write_request;
use crate::{ChatDecoder, ChatDialect, embed, fault, models, usage};

/// Chat Completions and embeddings, seen from a client.
///
/// ```
/// use infer_core::{Codec, ExecuteBatch};
/// use wire_chat::ChatCodec;
///
/// let body = ChatCodec::default().encode(&ExecuteBatch::new("llama3", "Hi").with_max_output_tokens(9)).unwrap();
/// assert_eq!(body, r#"{"model":"llama3","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChatCodec {
    /// What the upstream accepts.
    pub dialect: ChatDialect,
    model: Option<String>,
}

impl ChatCodec {
    /// A codec for an upstream that accepts `dialect`.
    pub fn new(dialect: ChatDialect) -> Self {
        Self { dialect, model: None }
    }

    /// Writes `model` into every request, whatever model it asks for: where the operator gave it another name.
    ///
    /// A request that asks for another model is copied for it.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// The name to write in place of `asked`.
    fn renamed(&self, asked: &str) -> Option<&String> {
        self.model.as_ref().filter(|model| *model != asked)
    }
}

impl Codec for ChatCodec {
    type Decoder = ChatDecoder;

    /// Members of `extra` come last. One that the batch itself has a value for is left out, whatever it says; members
    /// of `stream_options` are merged with ours. Messages received in this wire format are copied unread.
    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        let Some(model) = self.renamed(&batch.model) else { return write_request(batch, &self.dialect) };
        let mut batch = batch.clone();
        batch.model.clone_from(model);
        write_request(&batch, &self.dialect)
    }

    /// Also for a whole answer to a request that asked for a stream.
    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault> {
        let text = body_text(body)?;
        let mut answer = Answer::read(text, "body")?;
        if answer.is_error() {
            return Err(reported(text));
        }
        let mut whole = Completion::default();
        match std::mem::take(&mut answer.choices) {
            Few::None => return Err(WireFault::malformed(DecodeKind::Empty, "no choices")),
            Few::One(choice) => {
                // A vector would take room for four, which is two kilobytes.
                whole.choices = Vec::with_capacity(1);
                push(&mut whole, &choice)?;
            }
            Few::Many(choices) => choices.iter().try_for_each(|choice| push(&mut whole, choice))?,
            Few::Excess => return Err(too_many()),
        }
        whole.choices.sort_by_key(|choice| choice.index);
        if let (Some(raw), Some(first)) = (answer.prompt_filter_results, whole.choices.first_mut()) {
            first.filters.prompt = KnownFindings::default().news(filter::prompt_findings(raw));
        }
        whole.served = answer.news(&whole.served).map(|news| *news).unwrap_or_default();
        whole.usage = answer.usage().and_then(usage::read);
        whole.wire = Some(Wire::new(WireFormat::CHAT_COMPLETIONS, body.clone()));
        Ok(whole)
    }

    fn decoder(&self) -> ChatDecoder {
        ChatDecoder::default()
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        fault::read(body)
    }

    fn encode_embed(&self, batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
        let Some(model) = self.renamed(&batch.model) else {
            return embed::write_request(batch, &self.dialect);
        };
        let mut batch = batch.clone();
        batch.model.clone_from(model);
        embed::write_request(&batch, &self.dialect)
    }

    fn decode_embed(&self, body: &Bytes) -> Result<Embeddings, WireFault> {
        embed::read_answer(body)
    }

    fn decode_models(&self, body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
        models::read(body)
    }

    fn decode_health(&self, body: &Bytes) -> Result<(), WireFault> {
        models::read_health(body)
    }
}

fn push(whole: &mut Completion, raw: &RawChoice<'_>) -> Result<(), WireFault> {
    if let Some(error) = raw.error.filter(|error| is_truthy(error)) {
        return Err(reported(&as_error(error)));
    }
    let is_taken = |index: u32| whole.choices.iter().any(|choice| choice.index == index);
    let given = raw.index.0.and_then(|index| u32::try_from(index).ok());
    // A server that leaves the numbers out, or gives all the same, still means different answers.
    let free = given.into_iter().chain((0..).take(MAX_CHOICES)).find(|index| !is_taken(*index));
    let Some(index) = free.filter(|index| (*index as usize) < MAX_CHOICES) else { return Err(too_many()) };
    let mut state = ChoiceState::default();
    let said = RawChoice::said(raw.message.or(raw.delta))?;
    let chunk = state.read(index, raw, said.as_ref())?;
    let finish = state.silent_finish();
    whole.choices.push(Choice::new(index));
    whole.choices.sort_by_key(|choice| choice.index);
    whole.push(chunk);
    if let (Some(finish), Some(choice)) =
        (finish, whole.choices.iter_mut().find(|known| known.index == index))
    {
        choice.finish = Some(finish);
    }
    Ok(())
}

/// The text of a whole body, which can be JSON.
pub(crate) fn body_text(body: &[u8]) -> Result<&str, WireFault> {
    let text = trim(utf8(body, "body")?);
    match text.as_bytes().first() {
        None => Err(WireFault::malformed(DecodeKind::Empty, "no body")),
        Some(b'<') => Err(WireFault::malformed(DecodeKind::ContentType, "a web page")),
        Some(_) => Ok(text),
    }
}

pub(crate) fn reported(body: &str) -> WireFault {
    WireFault::Reported(Box::new(fault::read_in_success(body.as_bytes())))
}

#[cfg(test)]
mod tests {
    use infer_core::{Message, Messages, RawJson, WireFormat};

    use super::*;
    use crate::{DeveloperRole, TokenLimit};

    fn encoded(batch: &ExecuteBatch) -> String {
        let body = ChatCodec::default().encode(batch).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn raw(json: &'static str) -> Messages {
        Messages::raw(WireFormat::CHAT_COMPLETIONS, Bytes::from_static(json.as_bytes()), |json| {
            crate::message::read_messages(json)
        })
    }

    fn json(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    #[test]
    fn what_the_batch_says_wins_over_an_extra_member_of_the_same_name() {
        let batch = ExecuteBatch::new("m", "hi")
            .with_temperature(0.5)
            .with_max_output_tokens(5)
            .with_extra("temperature", json("2"))
            .with_extra("max_completion_tokens", json("9"))
            .with_extra("stream", json("true"))
            .with_extra("top_k", json("4.0"));
        let expect = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"temperature":0.5,"top_k":4.0}"#;
        assert_eq!(encoded(&batch), expect);
    }

    #[test]
    fn another_name_for_the_model_is_written_in_place_of_the_one_asked_for() {
        let codec = ChatCodec::default().with_model("ours");
        let head = br#"{"model":"ours","#;
        for asked in ["ours", "gpt-4o"] {
            assert!(codec.encode(&ExecuteBatch::new(asked, "hi")).unwrap().starts_with(head));
            assert!(codec.encode_embed(&EmbedBatch::new(asked, ["hi"])).unwrap().starts_with(head));
        }
    }

    #[test]
    fn the_counts_of_a_stream_are_asked_for_beside_what_the_caller_asks() {
        let batch = ExecuteBatch::new("m", "hi").streaming();
        assert!(encoded(&batch).ends_with(r#""stream":true,"stream_options":{"include_usage":true}}"#));
        let more = batch.clone().with_extra("stream_options", json(r#"{"include_obfuscation": false}"#));
        let merged = r#""stream_options":{"include_usage":true,"include_obfuscation":false}}"#;
        assert!(encoded(&more).ends_with(merged), "{}", encoded(&more));
        let off = batch.clone().with_extra("stream_options", json(r#"{"include_usage":false}"#));
        assert!(encoded(&off).ends_with(r#""stream_options":{"include_usage":false}}"#));
        let never = ChatCodec::new(ChatDialect::compatible().with_stream_usage(false));
        assert!(never.encode(&batch).unwrap().ends_with(br#""stream":true}"#));
    }

    #[test]
    fn raw_messages_are_copied_byte_for_byte_unless_a_role_must_change() {
        let messages = "[ {\"role\":\"developer\", \"content\":\"x\", \"odd\": 1.0} ]";
        let mut batch = ExecuteBatch::new("m", "");
        batch.messages = raw(messages);
        assert!(encoded(&batch).contains(messages));
        let old = ChatCodec::new(ChatDialect::compatible().with_developer_role(DeveloperRole::AsSystem));
        let body = old.encode(&batch).unwrap();
        let expect = r#"{"model":"m","messages":[{"role":"system","content":"x","odd":1.0}]}"#;
        assert_eq!(body, expect);
    }

    #[test]
    fn a_request_without_anything_to_answer_is_refused_by_name() {
        let mut raw_empty = ExecuteBatch::new("m", "");
        raw_empty.messages = raw("[ ]");
        let silent = [Message::user(""), Message::assistant(infer_core::Content::Empty)];
        for batch in [ExecuteBatch::new("m", vec![]), ExecuteBatch::new("m", silent), raw_empty] {
            let error = ChatCodec::default().encode(&batch).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some("messages"));
        }
        let error =
            ChatCodec::default().encode(&ExecuteBatch::new("m", "x").with_top_p(f64::NAN)).unwrap_err();
        assert_eq!(error.origin().unwrap().param.as_deref(), Some("top_p"));
    }

    #[test]
    fn a_large_prompt_is_written_once() {
        let text = "a \"quoted\" line\n".repeat(1 << 16);
        let batch = ExecuteBatch::new("m", text.clone());
        let body =
            ChatCodec::new(ChatDialect::openai().with_token_limit(TokenLimit::Auto)).encode(&batch).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read["messages"][0]["content"], text);
    }

    #[test]
    fn answers_without_numbers_are_kept_apart() {
        let codec = ChatCodec::default();
        for index in ["", r#""index":0,"#, r#""index":null,"#] {
            let body = format!(
                r#"{{"choices":[{{{index}"message":{{"content":"a"}}}},{{{index}"message":{{"content":"b"}}}}]}}"#
            );
            let whole = codec.decode_full(&Bytes::from(body)).unwrap();
            let texts: Vec<_> =
                whole.choices.iter().map(|choice| (choice.index, choice.text.as_str())).collect();
            assert_eq!(texts, [(0, "a"), (1, "b")]);
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_still_an_answer() {
        let body = Bytes::from_static(br#"{"choices":[{"message":{"content":null},"finish_reason":null}]}"#);
        let whole = ChatCodec::default().decode_full(&body).unwrap();
        assert_eq!(whole.choices, [Choice::new(0)]);
        assert_eq!(whole.wire.as_ref().map(Wire::bytes), Some(&body));
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let kinds = [
            ("", DecodeKind::Empty),
            (" \n", DecodeKind::Empty),
            ("<html>", DecodeKind::ContentType),
            ("null", DecodeKind::Json),
            ("[1]", DecodeKind::Json),
            (r#"{"choices":[{"message""#, DecodeKind::Json),
            (r#"{"choices":[]}"#, DecodeKind::Empty),
            ("{}", DecodeKind::Empty),
        ];
        for (body, expect) in kinds {
            match ChatCodec::default().decode_full(&Bytes::from_static(body.as_bytes())).unwrap_err() {
                WireFault::Malformed { kind, .. } => assert_eq!(kind, expect, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
