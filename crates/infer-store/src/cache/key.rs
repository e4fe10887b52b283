//! Which requests are the same: a keyed hash over all that changes the answer.
//!
//! Not in it is what only moves the answer (request id, deadline, priority, whether it streams), what only labels the
//! call (user, metadata), what only changes its speed and price (service tier, prediction), and how it is routed, except
//! for the provider it is pinned to. The order of members in
//! JSON does not count; that of messages, parts and tools does.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher as _};

use super::form::Form;
use blake3::{Hash, Hasher};
use infer_core::{
    Content, ExecuteBatch, FileSource, MediaSource, Message, Part, ResponseFormat, Role, ToolCall,
    ToolChoice, ToolKind, ToolSpec,
};

/// Members that a wire format may leave in [`ExecuteBatch::extra`] and that only say how the answer travels.
const TRANSPORT_ONLY: [&str; 2] = ["stream", "stream_options"];

/// The name of a request in the cache. Says nothing about the request to whoever lacks the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub(crate) [u8; 32]);

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

/// What the hash is keyed with, so that a shared store does not tell who asked what.
#[derive(Clone)]
pub struct CacheSecret([u8; 32]);

impl CacheSecret {
    /// A secret from bytes of the caller's own; every process that shares a store needs the same.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A secret that no other process has.
    pub fn generate() -> Self {
        // The standard library seeds its hash maps from the system's randomness.
        let mut hasher = Hasher::new_derive_key("infer-store 2026-11-21 secret of the response cache");
        for _ in 0..4 {
            hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of `batch` where answers of `scope` (a provider or route) and of `tenant` are kept apart from others.
    ///
    /// `None` for a request that cannot be read here, which is never cached.
    pub fn key(&self, scope: &str, tenant: Option<&str>, batch: &ExecuteBatch) -> Option<CacheKey> {
        let mut form = Form::keyed(&self.0);
        form.text(scope);
        form.optional(tenant, Form::text);
        form.batch(batch)?;
        Some(CacheKey(*form.finish().as_bytes()))
    }
}

impl fmt::Debug for CacheSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheSecret(..)")
    }
}

impl Form {
    fn batch(&mut self, batch: &ExecuteBatch) -> Option<()> {
        self.text(&batch.model);
        let messages = batch.messages.typed().ok()?;
        self.number(messages.len() as u64);
        for message in messages {
            self.message(message)?;
        }
        self.sampling(batch);
        self.optional(batch.max_output_tokens, |form, most| form.number(most.into()));
        self.optional(batch.reasoning_effort.as_ref(), |form, effort| form.text(effort.as_str()));
        self.number(batch.tools.len() as u64);
        for tool in &batch.tools {
            self.tool(tool)?;
        }
        self.tag(u8::from(batch.tool_choice.is_some()));
        match &batch.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => self.tag(0),
            Some(ToolChoice::None) => self.tag(1),
            Some(ToolChoice::Required) => self.tag(2),
            Some(ToolChoice::Function(name)) => {
                self.tag(3);
                self.text(name);
            }
            Some(ToolChoice::Other(json)) => {
                self.tag(4);
                self.json(json);
            }
            Some(_) => return None,
        }
        self.optional(batch.parallel_tool_calls, |form, parallel| form.tag(parallel.into()));
        self.response_format(batch.response_format.as_ref())?;
        self.number(batch.modalities.len() as u64);
        for kind in &batch.modalities {
            self.text(kind);
        }
        self.string(batch.routing.pin.as_ref());
        self.extra(&batch.extra, &TRANSPORT_ONLY);
        // An upstream that speaks another format is not told them.
        if let Some(wire) = batch.extra.wire().filter(|_| !batch.extra.is_empty()) {
            self.text(wire.0);
        }
        Some(())
    }

    fn sampling(&mut self, batch: &ExecuteBatch) {
        let sampling = &batch.sampling;
        self.optional(sampling.temperature, Self::float);
        self.optional(sampling.top_p, Self::float);
        self.number(batch.choices().into());
        self.number(sampling.stop.len() as u64);
        for stop in &sampling.stop {
            self.text(stop);
        }
        self.optional(sampling.seed, |form, seed| form.number(seed.cast_unsigned()));
        self.optional(sampling.presence_penalty, Self::float);
        self.optional(sampling.frequency_penalty, Self::float);
        self.number(sampling.logit_bias.len() as u64);
        for (token, bias) in &sampling.logit_bias {
            self.text(token);
            self.number(u64::from(bias.cast_unsigned()));
        }
        self.optional(sampling.logprobs, |form, wanted| form.tag(wanted.into()));
        self.optional(sampling.top_logprobs, |form, top| form.number(top.into()));
    }

    fn message(&mut self, message: &Message) -> Option<()> {
        self.tag(match message.role {
            Role::System => 0,
            Role::Developer => 1,
            Role::User => 2,
            Role::Assistant => 3,
            Role::Tool => 4,
            _ => return None,
        });
        match &message.content {
            Content::Empty => self.tag(0),
            Content::Text(text) => {
                self.tag(1);
                self.text(text);
            }
            Content::Parts(parts) => {
                self.tag(2);
                self.number(parts.len() as u64);
                for part in parts {
                    self.part(part)?;
                }
            }
            _ => return None,
        }
        self.string(message.name.as_ref());
        self.number(message.tool_calls.len() as u64);
        for call in &message.tool_calls {
            self.call(call);
        }
        self.string(message.tool_call_id.as_ref());
        self.string(message.refusal.as_ref());
        self.string(message.reasoning.as_ref());
        self.number(message.reasoning_blocks.len() as u64);
        for block in &message.reasoning_blocks {
            self.json(block);
        }
        self.extra(&message.extra, &[]);
        Some(())
    }

    fn call(&mut self, call: &ToolCall) {
        self.string(call.id.as_ref());
        self.text(&call.name);
        self.text(&call.arguments);
        self.tag(u8::from(call.kind == ToolKind::Custom));
    }

    fn part(&mut self, part: &Part) -> Option<()> {
        match part {
            Part::Text(text) => {
                self.tag(0);
                self.text(text);
            }
            Part::Image { source, detail } => {
                self.tag(1);
                match source {
                    MediaSource::Url(url) => {
                        self.tag(0);
                        self.text(url);
                    }
                    MediaSource::Base64 { media_type, data } => {
                        self.tag(1);
                        self.text(media_type);
                        self.text(data);
                    }
                    _ => return None,
                }
                self.string(detail.as_ref());
            }
            Part::Audio { data, format } => {
                self.tag(2);
                self.text(data);
                self.text(format);
            }
            Part::File(FileSource::Id(id)) => {
                self.tag(3);
                self.text(id);
            }
            Part::File(FileSource::Data { filename, data }) => {
                self.tag(4);
                self.string(filename.as_ref());
                self.text(data);
            }
            Part::Refusal(text) => {
                self.tag(5);
                self.text(text);
            }
            Part::Other(json) => {
                self.tag(6);
                self.json(json);
            }
            _ => return None,
        }
        Some(())
    }

    fn tool(&mut self, tool: &ToolSpec) -> Option<()> {
        match tool {
            ToolSpec::Function(function) => {
                self.tag(0);
                self.text(&function.name);
                self.string(function.description.as_ref());
                self.optional(function.parameters.as_ref(), Self::json);
                self.optional(function.strict, |form, strict| form.tag(strict.into()));
                if !function.extra.is_empty() {
                    self.extra(&function.extra, &[]);
                }
            }
            ToolSpec::Other(json) => {
                self.tag(1);
                self.json(json);
            }
            _ => return None,
        }
        Some(())
    }

    fn response_format(&mut self, format: Option<&ResponseFormat>) -> Option<()> {
        match format {
            None => self.tag(0),
            Some(ResponseFormat::Text) => self.tag(1),
            Some(ResponseFormat::JsonObject) => self.tag(2),
            Some(ResponseFormat::JsonSchema(schema)) => {
                self.tag(3);
                self.text(&schema.name);
                self.string(schema.description.as_ref());
                self.optional(schema.schema.as_ref(), Self::json);
                self.optional(schema.strict, |form, strict| form.tag(strict.into()));
            }
            Some(ResponseFormat::Other(json)) => {
                self.tag(4);
                self.json(json);
            }
            Some(_) => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use infer_core::{
        JsonSchema, Messages, Priority, RawJson, ReasoningEffort, RequestId, Routing, WireFormat,
    };

    use super::*;

    fn key(batch: &ExecuteBatch) -> CacheKey {
        CacheSecret::new([7; 32]).key("openai", None, batch).unwrap()
    }

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    fn plain() -> ExecuteBatch {
        ExecuteBatch::new("m", [Message::system("be brief"), Message::user("hello")]).with_temperature(0.0)
    }

    #[test]
    fn what_only_moves_or_labels_the_call_does_not_count() {
        let base = key(&plain());
        let mut tier = plain();
        tier.service_tier = Some("flex".to_owned());
        for same in [
            plain().streaming(),
            plain().with_request_id(RequestId::generate()),
            plain().with_deadline(Duration::from_secs(1)),
            plain().with_priority(Priority::High),
            plain().with_user("u"),
            plain().with_metadata("k", "v"),
            plain().with_prediction("hello"),
            plain().with_routing(Routing::default().without_failover().with_sticky_key("k")),
            plain().with_extra("stream", raw("true")),
            plain().with_extra("stream_options", raw("{\"include_usage\":true}")),
            plain().with_temperature(-0.0),
            tier,
        ] {
            assert_eq!(key(&same), base);
        }
    }

    #[test]
    fn all_that_changes_the_answer_counts() {
        let tool = |schema: &str| plain().with_tools([ToolSpec::function("f", "d", raw(schema))]);
        let mut strict = tool("{}");
        strict.tools = vec![ToolSpec::function("f", "d", raw("{}")).strict()];
        let say = |message: Message| {
            ExecuteBatch::new("m", [Message::system("be brief"), message]).with_temperature(0.0)
        };
        let different = vec![
            plain(),
            ExecuteBatch::new("m2", plain().messages).with_temperature(0.0),
            plain().with_temperature(0.1),
            plain().with_top_p(0.0),
            plain().with_n(2),
            plain().with_stop(["ab", "c"]),
            plain().with_stop(["a", "bc"]),
            plain().with_seed(1),
            plain().with_penalties(0.0, 1.0),
            plain().with_penalties(1.0, 0.0),
            plain().with_logit_bias("5", 1),
            plain().with_logprobs(0),
            plain().with_logprobs(2),
            plain().with_max_output_tokens(5),
            plain().with_reasoning_effort(ReasoningEffort::Low),
            tool("{}"),
            tool("{\"type\":\"object\"}"),
            strict,
            plain().with_tool_choice(ToolChoice::Auto),
            plain().with_tool_choice(ToolChoice::None),
            plain().with_tool_choice(ToolChoice::Function("f".to_owned())),
            plain().with_parallel_tool_calls(true),
            plain().with_parallel_tool_calls(false),
            plain().with_response_format(ResponseFormat::Text),
            plain().with_response_format(ResponseFormat::JsonObject),
            plain().with_response_format(JsonSchema::new("s", raw("{}"))),
            plain().with_response_format(JsonSchema::new("s", raw("{}")).strict()),
            plain().with_modalities(["audio"]),
            plain().with_routing(Routing::default().pinned_to("azure")),
            plain().with_extra("top_k", raw("1")),
            plain().with_extra("top_k", raw("2")),
            plain().with_extra("n", raw("18446744073709551617")),
            plain().with_extra("n", raw("18446744073709551618")),
            say(Message::developer("hello")),
            say(Message::user("hello").with_name("ann")),
            say(Message::user([Part::text("hello")])),
            say(Message::user([Part::text("hel"), Part::text("lo")])),
            say(Message::user([Part::image_url("hello")])),
            say(Message::user([Part::file_id("hello")])),
            say(Message::user([Part::audio("wav", "hello")])),
            say(Message::assistant("hello").with_tool_calls([ToolCall::function("1", "f", "{}")])),
            say(Message::assistant("hello").with_tool_calls([ToolCall::custom("1", "f", "{}")])),
            say(Message::tool("1", "hello")),
        ];
        let keys: std::collections::BTreeSet<_> = different.iter().map(key).collect();
        assert_eq!(keys.len(), different.len());
        let secret = CacheSecret::new([7; 32]);
        let scoped = [
            secret.key("openai", None, &plain()),
            secret.key("azure", None, &plain()),
            secret.key("openai", Some("a"), &plain()),
            secret.key("openai", Some("b"), &plain()),
            CacheSecret::generate().key("openai", None, &plain()),
        ];
        let apart: std::collections::BTreeSet<_> = scoped.into_iter().map(Option::unwrap).collect();
        assert_eq!(apart.len(), 5);
    }

    /// A member added to requests must be put on one of the two lists of this module.
    #[test]
    fn every_member_of_a_request_is_known_here() {
        let debug = format!("{:#?}", plain());
        let members: Vec<&str> = debug
            .lines()
            .filter_map(|line| {
                line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '}', ']', ')']))
            })
            .filter_map(|line| line.split(':').next())
            .collect();
        let known = [
            "request_id",
            "model",
            "messages",
            "mode",
            "sampling",
            "max_output_tokens",
            "reasoning_effort",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "response_format",
            "modalities",
            "prediction",
            "service_tier",
            "user",
            "metadata",
            "deadline",
            "priority",
            "routing",
            "extra",
        ];
        assert_eq!(members, known);
        let sampling = format!("{:?}", infer_core::Sampling::default());
        assert_eq!(sampling.matches(": ").count(), 10, "{sampling}");
    }

    #[test]
    fn raw_messages_are_the_same_as_typed_ones_and_unreadable_ones_have_no_key() {
        #[expect(clippy::unnecessary_wraps, reason = "the signature of a reader")]
        fn read(_: &bytes::Bytes) -> Result<Vec<Message>, infer_core::InferenceError> {
            Ok(vec![Message::system("be brief"), Message::user("hello")])
        }
        fn fail(_: &bytes::Bytes) -> Result<Vec<Message>, infer_core::InferenceError> {
            Err(infer_core::InferenceError::invalid_request("no"))
        }
        let with = |read| {
            let messages = Messages::raw(WireFormat::CHAT_COMPLETIONS, bytes::Bytes::new(), read);
            ExecuteBatch::new("m", messages).with_temperature(0.0)
        };
        assert_eq!(key(&with(read)), key(&plain()));
        assert_eq!(CacheSecret::generate().key("openai", None, &with(fail)), None);
    }
}
