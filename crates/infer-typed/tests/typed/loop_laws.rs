//! Laws of the tool loop, over scripts of calls good and bad.

use std::collections::VecDeque;

use infer_core::{Choice, Completion, ExecuteBatch, Message, Role, ToolCall, Usage};
use infer_typed::{ToolLoop, ToolLoopCause};
use proptest::prelude::*;

use crate::script::{Script, now};
use crate::tools::toolbox;

fn call() -> impl Strategy<Value = ToolCall> {
    let id = prop::sample::select(vec![None, Some(""), Some("a"), Some("b"), Some("c00100000")]);
    let name = prop::sample::select(vec!["add", "say", "look", "nobody", ""]);
    let arguments =
        prop::sample::select(vec!["", "{}", "{", r#"{"a": 1, "b": 2}"#, r#"{"keys": {}}"#, "null", "7"]);
    (id, name, arguments).prop_map(|(id, name, arguments)| {
        let mut call = ToolCall::function("", name, arguments);
        call.id = id.map(ToOwned::to_owned);
        call
    })
}

fn round() -> impl Strategy<Value = Completion> {
    let usage = prop::option::of((0_u64..100, 0_u64..100));
    (prop::collection::vec(call(), 1..4), usage, ".{0,4}").prop_map(|(calls, usage, text)| {
        let mut choice = Choice::new(0);
        choice.text = text;
        choice.tool_calls = calls;
        let mut completion = Completion::default();
        completion.choices = vec![choice];
        completion.usage = usage.map(|(input, output)| Usage::new(input, output));
        completion
    })
}

/// Says which call is not answered exactly once, in order, right after it was asked.
fn unanswered(messages: &[Message]) -> Option<String> {
    let mut open: VecDeque<String> = VecDeque::new();
    for message in messages {
        if message.role == Role::Tool {
            let expected = open.pop_front();
            if expected != message.tool_call_id {
                return Some(format!("{expected:?} answered by {:?}", message.tool_call_id));
            }
            continue;
        }
        if !open.is_empty() {
            return Some(format!("never answered: {open:?}"));
        }
        open.extend(message.tool_calls.iter().map(|call| call.id.clone().unwrap_or_default()));
    }
    (!open.is_empty()).then(|| format!("never answered: {open:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    // Every request and the result hold a conversation in which each call is answered once, in order and under a name
    // of its own; limits hold; nothing paid for is lost.
    #[test]
    fn every_call_is_answered_once_and_every_token_is_counted(
        script in prop::collection::vec(round(), 0..6),
        max_rounds in 1_u32..8,
        max_calls in 0_u32..16,
        parallel in 1_usize..4,
    ) {
        let mut last = Choice::new(0);
        last.text = "done".to_owned();
        let mut end = Completion::default();
        end.choices = vec![last];
        end.usage = Some(Usage::new(1, 1));
        let replies: Vec<Completion> = script.into_iter().chain([end]).collect();
        let runner = Script::of(replies.clone());
        let tools = toolbox();
        let outcome = now(
            ToolLoop::new(&runner, &tools)
                .with_max_rounds(max_rounds)
                .with_max_calls(max_calls)
                .with_parallel(parallel)
                .run(ExecuteBatch::new("m", "go")),
        );
        let asked = runner.asked();
        let (run, cause) = match outcome {
            Ok(run) => (run, None),
            Err(error) => (*error.so_far, Some(error.cause)),
        };
        let rounds = asked.len();
        prop_assert!(rounds <= max_rounds as usize && run.rounds as usize == rounds);
        prop_assert!(run.calls.len() <= max_calls as usize);
        for messages in asked.iter().map(|batch| batch.messages.typed().unwrap()).chain([run.messages.as_slice()]) {
            prop_assert_eq!(unanswered(messages), None);
        }
        let mut names: Vec<_> = run.messages.iter().flat_map(|m| &m.tool_calls).filter_map(|c| c.id.clone()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!((names.len(), names.iter().any(String::is_empty)), (count, false));

        let heard = &replies[..rounds];
        let sum = heard.iter().filter_map(|reply| reply.usage).fold(Usage::default(), Usage::saturating_add);
        prop_assert_eq!(run.usage, sum);
        prop_assert_eq!(run.uncounted_rounds as usize, heard.iter().filter(|reply| reply.usage.is_none()).count());
        prop_assert_eq!(run.unpriced_rounds as usize, rounds);
        prop_assert_eq!(&run.completion, &replies[rounds - 1]);

        let wanted: usize = heard.iter().map(|reply| reply.choices[0].tool_calls.len()).sum();
        match cause {
            None => {
                prop_assert_eq!(rounds, replies.len());
                prop_assert_eq!(run.calls.len(), wanted);
            }
            Some(ToolLoopCause::TooManyCalls { .. }) => prop_assert!(wanted > max_calls as usize),
            Some(ToolLoopCause::TooManyRounds { .. }) => prop_assert_eq!(rounds, max_rounds as usize),
            Some(other) => prop_assert!(false, "{other}"),
        }
    }
}
