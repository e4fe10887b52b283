//! The tool loop: what the model is told, what is counted, and where it stops.

use std::sync::atomic::{AtomicUsize, Ordering};

use infer_core::{
    Completion, Content, ExecuteBatch, FinishKind, InferenceError, Message, Origin, Role, TokenChunk,
    ToolCall, ToolCallDelta, ToolChoice, ToolSpec, Usage,
};
use infer_typed::{CallOutcome, Strictness, ToolLoop, ToolLoopCause, Toolbox};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::script::{Reply, Script, calls, now, says};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Add {
    pub(crate) a: i64,
    pub(crate) b: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Lookup {
    keys: std::collections::HashMap<String, String>,
}

pub(crate) fn toolbox() -> Toolbox<'static> {
    Toolbox::new()
        .with("add", "Adds", async |add: Add| match add.a.checked_add(add.b) {
            Some(sum) => Ok(sum),
            None => Err("too large"),
        })
        .with("say", "Says hello", async |(): ()| Ok::<_, std::convert::Infallible>("hello \"you\""))
        .with("look", "Looks things up", async |lookup: Lookup| {
            Ok::<_, std::convert::Infallible>(lookup.keys.len())
        })
}

type IsTold = fn(&ToolLoopCause) -> bool;

fn question() -> ExecuteBatch {
    ExecuteBatch::new("m", [Message::system("Be brief."), Message::user("How much?")])
}

fn add(id: &str, arguments: &str) -> ToolCall {
    ToolCall::function(id, "add", arguments)
}

fn tool_texts(messages: &[Message]) -> Vec<(Option<&str>, String)> {
    let tools = messages.iter().filter(|message| message.role == Role::Tool);
    tools.map(|message| (message.tool_call_id.as_deref(), message.content.text())).collect()
}

#[test]
fn calls_are_run_and_answered_in_order_until_the_model_answers() {
    let runner = Script::of([
        calls([add("1", r#"{"a": 2, "b": 3}"#), ToolCall::function("2", "say", "")]),
        calls([ToolCall::function("3", "look", r#"{"keys": {"x": "y"}}"#)]),
        says("5"),
    ]);
    let tools = toolbox();
    let run = now(ToolLoop::new(&runner, &tools).run(question())).unwrap();
    assert_eq!((run.text(), run.rounds), ("5", 3));
    assert_eq!((run.usage, run.cost.total().picos()), (Usage::new(30, 15), 21));
    assert_eq!((run.uncounted_rounds, run.unpriced_rounds), (0, 0));

    let asked = runner.asked();
    let first = asked[0].messages.typed().unwrap();
    assert_eq!(first, question().messages.typed().unwrap());
    let second = asked[1].messages.typed().unwrap();
    assert_eq!(second[..2], *first);
    assert_eq!((second[2].role, second[2].tool_calls.len()), (Role::Assistant, 2));
    assert_eq!(tool_texts(second), [(Some("1"), "5".to_owned()), (Some("2"), "hello \"you\"".to_owned())]);
    let third = asked[2].messages.typed().unwrap();
    assert_eq!(third[..second.len()], *second);
    assert_eq!(run.messages[..third.len()], *third);
    assert_eq!(run.messages.last().unwrap(), &Message::assistant("5"));
    assert_eq!(run.messages.len(), third.len() + 1);

    let rounds: Vec<_> = run.calls.iter().map(|record| (record.round, record.outcome)).collect();
    assert_eq!(rounds, [(1, CallOutcome::Done), (1, CallOutcome::Done), (2, CallOutcome::Done)]);
    let mut ids: Vec<_> = asked.iter().map(|batch| batch.request_id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "a request id was used twice");
}

#[test]
fn tools_are_declared_strict_where_they_can_be() {
    let declared = |strictness| {
        let runner = Script::of([says("ok")]);
        let tools = toolbox().with_strictness(strictness);
        now(ToolLoop::new(&runner, &tools).run(question())).unwrap();
        let batch = runner.asked().remove(0);
        let flags = batch.tools.iter().map(|tool| match tool {
            ToolSpec::Function(function) => (function.strict, function.parameters.clone()),
            other => panic!("{other:?}"),
        });
        flags.collect::<Vec<_>>()
    };
    let [add, say, look] = &declared(Strictness::WherePossible)[..] else { panic!("three tools") };
    assert_eq!((add.0, look.0), (Some(true), None));
    assert_eq!(*say, (None, None), "a tool without arguments");
    assert!(add.1.as_ref().unwrap().get().contains(r#""additionalProperties":false"#));
    assert!(look.1.as_ref().unwrap().get().contains(r#""additionalProperties":{"type":"string"}"#));
    assert!(declared(Strictness::Never).iter().all(|(strict, _)| strict.is_none()));
}

#[test]
fn everything_wrong_with_the_tools_is_told_before_anything_is_sent() {
    let tools = toolbox()
        .with("add", "Again", async |_: Add| Ok::<_, String>(0))
        .with("has space", "Bad name", async |(): ()| Ok::<_, String>(0))
        .with("text", "No object", async |text: String| Ok::<_, String>(text))
        .with_strictness(Strictness::Always);
    let runner = Script::of([]);
    let error = now(ToolLoop::new(&runner, &tools).run(question())).unwrap_err();
    let ToolLoopCause::Tools(tools) = &error.cause else { panic!("{error}") };
    let faults = tools.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[0].starts_with("`look` at #/properties/keys: a map"), "{faults:?}");
    assert!(faults[1].contains("declared twice"), "{faults:?}");
    assert!(faults[2].starts_with("`has space`: a name is"), "{faults:?}");
    assert!(faults[3].starts_with("`text` at #: the root must be an object"), "{faults:?}");
    assert!(!error.to_string().contains('\n') && runner.asked().is_empty());
    assert_eq!(error.so_far.messages.len(), 2);
}

#[test]
fn what_goes_wrong_with_a_call_is_told_to_the_model() {
    use CallOutcome::{BadArguments, Failed, UnknownTool};

    let runner = Script::of([
        calls([
            ToolCall::function("1", "rm\n-rf", "{}"),
            add("2", r#"{"a": 1, "b": "two"}"#),
            add("3", "{\"a\": 1"),
            add("4", &format!(r#"{{"a": {}, "b": 1}}"#, i64::MAX)),
            ToolCall::custom("5", "add", "two and two"),
        ]),
        says("sorry"),
    ]);
    let tools = toolbox();
    let run = now(ToolLoop::new(&runner, &tools).run(question())).unwrap();
    let told = tool_texts(&run.messages);
    assert_eq!(told[0].1, "error: there is no tool `rm -rf`; the tools are: add, say, look");
    assert!(told[1].1.starts_with("error: the arguments do not fit `add`, at b: invalid type"), "{told:?}");
    assert!(told[2].1.contains("EOF"), "{told:?}");
    assert_eq!(told[3].1, "error: too large");
    let outcomes: Vec<_> = run.calls.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [UnknownTool, BadArguments, BadArguments, Failed, BadArguments]);
}

#[test]
fn calls_without_a_name_get_one_that_their_answer_carries() {
    let nameless = || {
        let mut call = add("", r#"{"a": 1, "b": 1}"#);
        call.id = None;
        call
    };
    let runner = Script::of([
        calls([nameless(), add("x", r#"{"a": 1, "b": 1}"#), nameless()]),
        calls([add("x", r#"{"a": 1, "b": 1}"#)]),
        says("ok"),
    ]);
    let tools = toolbox();
    let run = now(ToolLoop::new(&runner, &tools).run(question())).unwrap();
    let asked: Vec<_> =
        run.messages.iter().flat_map(|message| &message.tool_calls).map(|call| call.id.clone()).collect();
    let answered: Vec<_> =
        run.messages.iter().filter(|m| m.role == Role::Tool).map(|m| m.tool_call_id.clone()).collect();
    assert_eq!(asked, answered);
    assert_eq!(asked[1].as_deref(), Some("x"));
    let mut names: Vec<_> = asked.into_iter().flatten().collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn a_long_result_is_cut_with_a_note() {
    let tools = Toolbox::new().with("long", "Long", async |(): ()| Ok::<_, String>("x".repeat(1_000)));
    let runner = Script::of([calls([ToolCall::function("1", "long", "{}")]), says("ok")]);
    let run = now(ToolLoop::new(&runner, &tools).with_max_result_bytes(100).run(question())).unwrap();
    let told = &run.calls[0].told;
    assert!(told.len() < 200 && told.ends_with("[cut: 100 of 1000 bytes shown]"), "{told}");
}

#[test]
fn a_loop_that_never_ends_is_stopped_by_its_rounds_with_a_conversation_that_can_go_on() {
    let again = || calls([add("1", r#"{"a": 1, "b": 1}"#), add("2", r#"{"a": 1, "b": 1}"#)]);
    let runner = Script::of([again(), again(), again()]);
    let tools = toolbox();
    let error = now(ToolLoop::new(&runner, &tools).with_max_rounds(3).run(question())).unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::TooManyRounds { limit: 3 }), "{error}");
    assert_eq!(error.so_far.usage, Usage::new(30, 15));
    assert_eq!((error.so_far.rounds, error.so_far.calls.len()), (3, 4));
    let told = tool_texts(&error.so_far.messages);
    assert_eq!(told.len(), 6);
    assert!(told[4..].iter().all(|(_, text)| text.contains("limit on rounds")), "{told:?}");
    assert!(error.to_string().ends_with("(3 answers and 4 tool calls so far)"), "{error}");
}

#[test]
fn a_round_that_would_pass_the_limit_on_calls_is_not_run() {
    let count = AtomicUsize::new(0);
    let tools = Toolbox::new()
        .with("count", "Counts", async |(): ()| Ok::<_, String>(count.fetch_add(1, Ordering::Relaxed)));
    let call = |id: &str| ToolCall::function(id, "count", "{}");
    let runner = Script::of([calls([call("1"), call("2")]), calls([call("3"), call("4")])]);
    let error = now(ToolLoop::new(&runner, &tools).with_max_calls(3).run(question())).unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::TooManyCalls { limit: 3 }), "{error}");
    assert_eq!((error.so_far.calls.len(), count.load(Ordering::Relaxed)), (2, 2));
    let told = tool_texts(&error.so_far.messages);
    assert!(told.len() == 4 && told[3].1.contains("limit on tool calls"), "{told:?}");
}

#[test]
fn calls_that_may_be_cut_are_not_run() {
    let ends: [(FinishKind, IsTold); 3] = [
        (FinishKind::Length, |cause| matches!(cause, ToolLoopCause::Truncated)),
        (FinishKind::ContentFilter, |cause| matches!(cause, ToolLoopCause::Filtered)),
        (FinishKind::Error, |cause| matches!(cause, ToolLoopCause::BrokenOff)),
    ];
    for (finish, is_told) in ends {
        let mut cut = calls([add("1", r#"{"a": 1, "b": 1}"#)]);
        cut.choices[0].finish = Some(finish.into());
        let runner = Script::of([cut.clone()]);
        let tools = toolbox();
        let error = now(ToolLoop::new(&runner, &tools).run(question())).unwrap_err();
        assert!(is_told(&error.cause), "{error}");
        assert_eq!((error.so_far.calls.len(), &error.so_far.completion), (0, &cut));
        assert_eq!(error.so_far.messages, question().messages.typed().unwrap());
        assert_eq!(error.so_far.usage, Usage::new(10, 5));
    }
}

#[test]
fn an_answer_without_calls_is_a_result_however_it_ends() {
    let mut cut = says("hal");
    cut.choices[0].finish = Some(FinishKind::Length.into());
    for answer in [cut, Completion::default()] {
        let runner = Script::of([answer.clone()]);
        let tools = toolbox();
        let run = now(ToolLoop::new(&runner, &tools).run(question())).unwrap();
        assert_eq!(run.completion, answer);
        assert_eq!(run.uncounted_rounds, u32::from(answer.usage.is_none()));
        assert_eq!(run.unpriced_rounds, u32::from(answer.cost.is_none()));
    }
}

#[test]
fn a_forced_tool_is_forced_in_the_first_round_only() {
    for (given, later) in [
        (Some(ToolChoice::Required), Some(ToolChoice::Auto)),
        (Some(ToolChoice::Function("add".into())), Some(ToolChoice::Auto)),
        (None, None),
    ] {
        let runner = Script::of([calls([add("1", r#"{"a": 1, "b": 1}"#)]), says("2")]);
        let mut batch = question();
        batch.tool_choice.clone_from(&given);
        let tools = toolbox();
        now(ToolLoop::new(&runner, &tools).run(batch)).unwrap();
        let sent: Vec<_> = runner.asked().into_iter().map(|batch| batch.tool_choice).collect();
        assert_eq!(sent, [given, later]);
    }
}

#[test]
fn several_choices_and_a_name_used_twice_are_refused_unsent() {
    let twice =
        question().with_tools([ToolSpec::function("add", "Mine", serde_json::json!({"type": "object"}))]);
    for (batch, word) in [(question().with_n(2), "n: "), (twice, "`add` stands in the batch")] {
        let runner = Script::of([]);
        let tools = toolbox();
        let error = now(ToolLoop::new(&runner, &tools).run(batch)).unwrap_err();
        assert!(matches!(error.cause, ToolLoopCause::Inference(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_call_that_fails_in_a_later_round_keeps_the_conversation_and_the_sums() {
    let mut part = TokenChunk::text(0, "almo");
    part.usage = Some(Usage::new(1, 1));
    let fault = || InferenceError::StreamInterrupted { at: Box::new(Origin::default()), source: None };
    let mut delta = ToolCallDelta::new(0);
    delta.id = Some("1".into());
    delta.name = Some("say".into());
    let mut asks = TokenChunk::finish(0, FinishKind::ToolCalls);
    asks.tool_calls = vec![delta];
    let runner = Script::new([Reply::Pieces(vec![Ok(asks)]), Reply::Pieces(vec![Ok(part), Err(fault())])]);
    let tools = toolbox();
    let error = now(ToolLoop::new(&runner, &tools).run(question().streaming())).unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Inference(InferenceError::StreamInterrupted { .. })));
    let so_far = &error.so_far;
    assert_eq!((so_far.text(), so_far.rounds, so_far.usage), ("almo", 2, Usage::new(1, 1)));
    assert_eq!((so_far.uncounted_rounds, so_far.unpriced_rounds, so_far.calls.len()), (1, 2, 1));
    assert_eq!(so_far.messages.last().unwrap().content, Content::Text("hello \"you\"".into()));

    let runner = Script::new([Reply::Error(fault())]);
    let error = now(ToolLoop::new(&runner, &tools).run(question())).unwrap_err();
    assert_eq!((error.so_far.rounds, error.so_far.unpriced_rounds), (0, 0));
}
