//! What is written for upstreams that do not take everything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use infer_core::{
    Codec, EmbedBatch, ErrorKind, ExecuteBatch, JsonSchema, Message, Messages, Part, RawJson, ResponseFormat,
    ToolCall, ToolChoice, ToolSpec, WireFormat,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use wire_chat::{ChatCodec, ChatDialect, ReasoningReturn, server};

fn dialect(settings: Value) -> ChatDialect {
    serde_json::from_value(settings).unwrap()
}

/// What is sent.
fn sent(dialect: &ChatDialect, batch: &ExecuteBatch) -> Value {
    let body = ChatCodec::new(dialect.clone()).encode(batch).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The member that a refusal names.
fn refused(dialect: &ChatDialect, batch: &ExecuteBatch) -> String {
    let error = ChatCodec::new(dialect.clone()).encode(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let param = error.origin().unwrap().param.clone().unwrap();
    assert!(error.to_string().contains(&param), "{error}");
    param
}

fn batch() -> ExecuteBatch {
    ExecuteBatch::new("m", "hi")
}

fn json_text(text: &str) -> RawJson {
    RawJson::parse(text).unwrap()
}

/// A request as a gateway received it, its messages unread.
fn raw(messages: &Value) -> ExecuteBatch {
    let body = json!({"model": "m", "messages": messages}).to_string();
    let batch = server::read_request(&Bytes::from(body)).unwrap().batch;
    assert!(batch.messages.raw_in(WireFormat::CHAT_COMPLETIONS).is_some());
    batch
}

fn tool() -> ToolSpec {
    ToolSpec::function("f", "does", json!({"type": "object"}))
}

/// A request that asks for `member`, in a way that matters.
fn asking(member: &str) -> ExecuteBatch {
    match member {
        "n" => batch().with_n(2),
        "logprobs" | "top_logprobs" => batch().with_logprobs(3),
        "logit_bias" => batch().with_logit_bias("50256", -100),
        "seed" => batch().with_seed(7),
        "stop" => batch().with_stop(["."]),
        "presence_penalty" => batch().with_penalties(0.5, 0.0),
        "frequency_penalty" => batch().with_penalties(0.0, 0.5),
        "tool_choice" => batch().with_tools([tool()]).with_tool_choice(ToolChoice::Required),
        "parallel_tool_calls" => batch().with_tools([tool()]).with_parallel_tool_calls(false),
        "response_format" => batch().with_response_format(ResponseFormat::JsonObject),
        "modalities" => batch().with_modalities(["text", "audio"]),
        "service_tier" => batch().with_service_tier("flex"),
        "stream" => batch().streaming(),
        "tools" => batch().with_tools([tool()]),
        other => batch().with_extra(other, json_text("1")),
    }
}

const ANSWER_CHANGING: [&str; 15] = [
    "n",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "modalities",
    "service_tier",
    "stream",
    "top_k",
];

#[test]
fn what_changes_the_answer_is_refused_by_name_dropped_or_sent_as_the_operator_says() {
    for member in ANSWER_CHANGING {
        let batch = asking(member);
        let refusing = dialect(json!({"unsupported": [member]}));
        assert_eq!(refused(&refusing, &batch), member);
        let dropping = dialect(json!({"unsupported": [member], "on_unsupported": "drop"}));
        assert_eq!(sent(&dropping, &batch).get(member), None, "{member}");
        let sending = dialect(json!({"unsupported": [member], "on_unsupported": "send"}));
        assert_eq!(sent(&sending, &batch), sent(&ChatDialect::default(), &batch), "{member}");
        assert!(sent(&sending, &batch).get(member).is_some(), "{member}");
    }
}

#[test]
fn what_does_not_change_the_answer_is_left_out_without_a_word() {
    let said = |batch: ExecuteBatch, member: &str| {
        assert!(sent(&ChatDialect::default(), &batch).get(member).is_some(), "{member} is not asked for");
        assert_eq!(sent(&dialect(json!({"unsupported": [member]})), &batch).get(member), None, "{member}");
    };
    said(batch().with_user("u-1"), "user");
    said(batch().with_metadata("k", "v"), "metadata");
    said(batch().with_prediction("x"), "prediction");
    said(batch().streaming(), "stream_options");
    for member in ["store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"] {
        said(batch().with_extra(member, json_text("true")), member);
    }
    // What holds anyway.
    said(batch().with_n(1), "n");
    said(batch().with_penalties(0.0, 0.0), "presence_penalty");
    said(batch().with_tools([tool()]).with_tool_choice(ToolChoice::Auto), "tool_choice");
    said(batch().with_tools([tool()]).with_parallel_tool_calls(true), "parallel_tool_calls");
    said(batch().with_parallel_tool_calls(false), "parallel_tool_calls");
    said(batch().with_response_format(ResponseFormat::Text), "response_format");
    said(batch().with_modalities(["text"]), "modalities");
    said(batch().with_service_tier("auto"), "service_tier");
}

#[test]
fn the_strictness_of_a_tool_is_left_out_and_that_of_an_answer_stays() {
    let dialect = dialect(json!({"unsupported": ["tools.strict"]}));
    let batch = batch()
        .with_tools([tool().strict()])
        .with_response_format(JsonSchema::new("s", json!({"type": "object"})).strict());
    let body = sent(&dialect, &batch);
    assert_eq!(body["tools"][0]["function"].get("strict"), None);
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
}

#[test]
fn some_models_of_an_upstream_may_take_less_than_others() {
    let rule = json!({"models": ["grok-4", "grok-code"], "except": ["non-reasoning"], "members": ["stop"]});
    let dialect = dialect(json!({"unsupported_by_model": [rule]}));
    for (model, is_refused) in [
        ("grok-4.3", true),
        ("grok-code-fast-1", true),
        ("grok-4-fast-non-reasoning", false),
        ("grok-3", false),
    ] {
        let mut batch = asking("stop");
        batch.model = model.into();
        let encoded = ChatCodec::new(dialect.clone()).encode(&batch);
        assert_eq!(encoded.is_err(), is_refused, "{model}");
    }
}

#[test]
fn a_renamed_member_is_said_once_and_by_the_upstreams_name() {
    let dialect = dialect(json!({"renamed": {"seed": "random_seed"}}));
    let body = |batch: &ExecuteBatch| {
        String::from_utf8(ChatCodec::new(dialect.clone()).encode(batch).unwrap().to_vec()).unwrap()
    };
    let head = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"#;
    assert_eq!(body(&batch().with_seed(7)), format!(r#"{head}"random_seed":7}}"#));
    let twice = batch().with_seed(7).with_extra("random_seed", json_text("8"));
    assert_eq!(body(&twice), format!(r#"{head}"random_seed":7}}"#));
    let unread = batch().with_extra("seed", json_text("7")).with_extra("random_seed", json_text("8"));
    assert_eq!(body(&unread), format!(r#"{head}"random_seed":8}}"#));
}

#[test]
fn a_temperature_outside_the_range_is_refused_with_the_range() {
    let minimax =
        |then: &str| dialect(json!({"temperature": {"above": 0, "max": 1}, "on_unsupported": then}));
    for inside in [0.01, 1.0] {
        assert_eq!(sent(&minimax("refuse"), &batch().with_temperature(inside))["temperature"], inside);
    }
    for outside in [0.0, 1.5] {
        let batch = batch().with_temperature(outside);
        assert_eq!(refused(&minimax("refuse"), &batch), "temperature");
        let error = ChatCodec::new(minimax("refuse")).encode(&batch).unwrap_err().to_string();
        assert!(error.contains("above 0 and at most 1"), "{error}");
        assert_eq!(sent(&minimax("drop"), &batch).get("temperature"), None);
        assert_eq!(sent(&minimax("send"), &batch)["temperature"], outside);
    }
}

#[test]
fn probabilities_are_asked_for_by_number_where_a_flag_is_none() {
    let count = dialect(json!({"logprobs": "count"}));
    let body = sent(&count, &batch().with_logprobs(3));
    assert_eq!((&body["logprobs"], body.get("top_logprobs")), (&json!(3), None));
    assert_eq!(sent(&count, &batch().with_logprobs(0))["logprobs"], 1);
    assert_eq!(sent(&count, &batch()).get("logprobs"), None);
}

#[test]
fn having_to_call_a_tool_goes_by_the_upstreams_word() {
    let any = dialect(json!({"required_word": "any"}));
    let batch = batch().with_tools([tool()]);
    assert_eq!(sent(&any, &batch.clone().with_tool_choice(ToolChoice::Required))["tool_choice"], "any");
    assert_eq!(sent(&any, &batch.with_tool_choice(ToolChoice::Auto))["tool_choice"], "auto");
}

#[test]
fn a_call_and_its_result_keep_one_id_whatever_ids_an_upstream_takes() {
    let nine = dialect(json!({"tool_call_ids": "nine_alphanumerics"}));
    let history = [
        Message::user("hi"),
        Message::assistant("").with_tool_calls([
            ToolCall::function("call_fxA1", "f", "{}"),
            ToolCall::function("abcDEF123", "g", "{}"),
        ]),
        Message::tool("call_fxA1", "1"),
        Message::tool("abcDEF123", "2"),
    ];
    let typed = ExecuteBatch::new("m", history);
    let unread = raw(&sent(&ChatDialect::default(), &typed)["messages"]);
    for batch in [typed, unread] {
        let body = sent(&nine, &batch);
        let calls = &body["messages"][1]["tool_calls"];
        let id = calls[0]["id"].as_str().unwrap();
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(body["messages"][2]["tool_call_id"], id);
        assert_eq!(calls[1]["id"], "abcDEF123");
        assert_eq!(body["messages"][3]["tool_call_id"], "abcDEF123");
    }
}

#[test]
fn reasoning_goes_back_under_the_name_the_upstream_reads_or_not_at_all() {
    let mut thought = Message::assistant("4");
    thought.reasoning = Some("2+2".into());
    let typed = ExecuteBatch::new("m", [Message::user("?"), thought, Message::user("and?")]);
    let unread = |name: &str| {
        raw(&json!([{"role": "user", "content": "?"}, {"role": "assistant", "content": "4", name: "2+2"}]))
    };
    let batches = [typed, unread("reasoning_content"), unread("reasoning")];
    for (word, member) in
        [("omit", None), ("reasoning_content", Some("reasoning_content")), ("reasoning", Some("reasoning"))]
    {
        let dialect = dialect(json!({"reasoning": word}));
        for batch in &batches {
            let body = sent(&dialect, batch);
            for name in ["reasoning", "reasoning_content"] {
                let expect = (member == Some(name)).then_some("2+2");
                assert_eq!(body["messages"][1].get(name).and_then(Value::as_str), expect, "{word}: {body}");
            }
            assert_eq!(body["messages"][1]["content"], "4");
        }
    }
    for (batch, member) in batches.iter().zip(["reasoning_content", "reasoning_content", "reasoning"]) {
        assert_eq!(sent(&ChatDialect::default(), batch)["messages"][1][member], "2+2");
    }
}

#[test]
fn details_of_reasoning_go_back_untouched_unless_none_is_wanted() {
    let details = json!([{"type": "reasoning.encrypted", "data": "x"}]);
    let batch = raw(&json!([{"role": "assistant", "content": "4", "reasoning_details": details}]));
    let returns = |reasoning| sent(&ChatDialect::default().with_reasoning(reasoning), &batch);
    assert_eq!(returns(ReasoningReturn::Reasoning)["messages"][0]["reasoning_details"], details);
    assert_eq!(returns(ReasoningReturn::Omit)["messages"][0].get("reasoning_details"), None);
}

#[test]
fn thinking_marks_in_the_text_go_back_as_they_came() {
    let text = "<think>\nwhy\n</think>\n\nBecause.";
    for word in ["omit", "reasoning_content", "as_given"] {
        let batch = ExecuteBatch::new("m", [Message::assistant(text), Message::user("?")]);
        assert_eq!(sent(&dialect(json!({"reasoning": word})), &batch)["messages"][0]["content"], text);
    }
}

#[test]
fn names_of_speakers_are_left_out_where_they_are_refused() {
    let nameless = dialect(json!({"unsupported": ["messages.name"]}));
    let typed = ExecuteBatch::new("m", [Message::user("hi").with_name("ada")]);
    let unread = raw(&json!([{"role": "user", "content": "hi", "name": "ada"}]));
    for batch in [typed, unread] {
        assert_eq!(sent(&nameless, &batch)["messages"], json!([{"role": "user", "content": "hi"}]));
        assert_eq!(sent(&ChatDialect::default(), &batch)["messages"][0]["name"], "ada");
    }
    let calls = [ToolCall::function("c", "f", "{}")];
    let batch = ExecuteBatch::new("m", [Message::assistant("").with_tool_calls(calls)]);
    assert_eq!(sent(&nameless, &batch)["messages"][0]["tool_calls"][0]["function"]["name"], "f");
}

#[test]
fn a_picture_that_nobody_would_fetch_is_refused_with_the_way_out() {
    let inline = dialect(json!({"images": "inline"}));
    let with =
        |part: Part| ExecuteBatch::new("m", [Message::system("s"), Message::user([Part::text("?"), part])]);
    let odd = |json: &str| Part::Other(json_text(json));
    let links = [
        with(Part::image_url("https://example.com/a.png")),
        with(odd(r#"{"type":"image_url","image_url":"http://x/a.png"}"#)),
        with(odd(r#"{"type":"image_url","image_url":{"url":"https://x","extra":1}}"#)),
        raw(&json!([{"role": "system", "content": "s"}, {"role": "user", "content":
            [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}])),
    ];
    for batch in links {
        assert_eq!(refused(&inline, &batch), "messages[1].content[1].image_url");
        let error = ChatCodec::new(inline.clone()).encode(&batch).unwrap_err().to_string();
        assert!(error.contains("base64") && !error.contains("a.png"), "{error}");
        assert!(ChatCodec::default().encode(&batch).is_ok());
    }
    for batch in [
        with(Part::image_base64("image/png", "AAAA")),
        with(odd(r#"{"type":"image_url","image_url":"data:;base64,AAAA"}"#)),
        with(odd(r#"{"type":"video_url","video_url":{"url":"https://x"}}"#)),
    ] {
        assert!(ChatCodec::new(inline.clone()).encode(&batch).is_ok(), "{batch:?}");
    }
}

#[test]
fn default_members_are_added_where_the_caller_says_nothing() {
    let dialect =
        dialect(json!({"extra": {"provider": {"require_parameters": true}, "user": "house", "off": null}}));
    let body = sent(&dialect, &batch());
    assert_eq!(body["provider"], json!({"require_parameters": true}));
    assert_eq!((&body["user"], body.get("off")), (&json!("house"), None));
    let own = batch().with_user("me").with_extra("provider", json_text("{}"));
    let body = sent(&dialect, &own);
    assert_eq!((&body["provider"], &body["user"]), (&json!({}), &json!("me")));
}

#[test]
fn a_request_for_vectors_follows_its_own_rules() {
    let mistral =
        json!({"embeddings": {"unsupported": ["user"], "renamed": {"dimensions": "output_dimension"}}});
    let encode = |dialect: ChatDialect, batch: &EmbedBatch| ChatCodec::new(dialect).encode_embed(batch);
    let mut batch = EmbedBatch::new("e", ["a"]).with_dimensions(256).with_base64();
    batch.user = Some("u".into());
    let body: Value = serde_json::from_slice(&encode(dialect(mistral.clone()), &batch).unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"model": "e", "input": ["a"], "encoding_format": "base64", "output_dimension": 256})
    );
    let twice = batch.clone().with_extra("output_dimension", json_text("1"));
    let body = encode(dialect(mistral), &twice).unwrap();
    assert_eq!(String::from_utf8_lossy(&body).matches("output_dimension").count(), 1);
    let narrow =
        |then: &str| dialect(json!({"on_unsupported": then, "embeddings": {"unsupported": ["dimensions"]}}));
    let error = encode(narrow("refuse"), &batch).unwrap_err();
    assert_eq!(error.origin().unwrap().param.as_deref(), Some("dimensions"));
    assert!(!encode(narrow("drop"), &batch).unwrap().windows(10).any(|part| part == b"dimensions"));
    assert!(encode(narrow("send"), &batch).unwrap().windows(10).any(|part| part == b"dimensions"));
    let error = encode(dialect(json!({"embeddings": {"offered": false}})), &batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn a_misspelt_rule_is_an_error_and_a_dialect_survives_being_written_down() {
    for bad in [
        json!({"unsuported": []}),
        json!({"temperature": {"over": 1}}),
        json!({"unsupported_by_model": [{"model": "x"}]}),
        json!({"embeddings": {"rename": {}}}),
        json!({"on_unsupported": "ignore"}),
    ] {
        assert!(serde_json::from_value::<ChatDialect>(bad.clone()).is_err(), "{bad}");
    }
    let full = dialect(json!({"temperature": {"above": 0.5}, "extra": {"a": [1]}, "renamed": {"seed": "s"}}));
    assert_eq!(dialect(serde_json::to_value(&full).unwrap()), full);
}

proptest! {
    /// Law: what is not asked for is never the reason of a refusal, whatever an upstream does not support.
    #[test]
    fn a_plain_request_is_never_refused(members in proptest::collection::vec("[a-z_.]{1,12}", 0..6)) {
        let known = ANSWER_CHANGING.iter().filter(|member| **member != "stream").map(|member| (*member).to_owned());
        let dialect = ChatDialect::default().with_unsupported(known.chain(members));
        let body = ChatCodec::new(dialect).encode(&batch()).unwrap();
        prop_assert_eq!(body, ChatCodec::default().encode(&batch()).unwrap());
    }

    /// Law: a dialect changes messages alike whether they came typed or unread.
    #[test]
    fn typed_and_unread_messages_are_written_alike(
        ids in proptest::collection::vec("[a-zA-Z0-9_]{1,12}", 1..4),
        name in proptest::option::of("[a-z]{1,4}"),
        reasoning in proptest::option::of(".{0,6}"),
    ) {
        let dialect = dialect(json!({
            "developer_role": "as_system", "tool_call_ids": "nine_alphanumerics", "reasoning": "reasoning_content",
            "unsupported": ["messages.name"],
        }));
        let calls = ids.iter().map(|id| ToolCall::function(id.clone(), "f", "{}"));
        let mut assistant = Message::assistant("x").with_tool_calls(calls);
        assistant.reasoning = reasoning;
        let mut user = Message::user("hi");
        user.name = name;
        let mut messages = vec![Message::developer("d"), user, assistant];
        messages.extend(ids.iter().map(|id| Message::tool(id.clone(), "1")));
        let typed = ExecuteBatch::new("m", Messages::from(messages));
        let unread = raw(&sent(&ChatDialect::default(), &typed)["messages"]);
        prop_assert_eq!(sent(&dialect, &typed), sent(&dialect, &unread));
    }
}
