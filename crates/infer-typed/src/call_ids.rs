//! Names for calls that came without one.

use std::collections::HashSet;

use infer_core::{Message, ToolCall};

/// Gives every call of one round a name that no call of the conversation has, keeping those that have one.
///
/// Some upstreams name no calls, and some give one name twice; an answer could then not be told from another.
pub(crate) fn complete(calls: &mut [ToolCall], conversation: &[Message], round: u32) {
    let earlier = conversation.iter().flat_map(|message| &message.tool_calls);
    let mut taken: HashSet<String> = earlier.filter_map(|call| call.id.clone()).collect();
    let mut nameless: Vec<&mut ToolCall> = Vec::new();
    for call in calls {
        match call.id.as_ref().filter(|id| !id.is_empty() && !taken.contains(*id)) {
            Some(id) => {
                taken.insert(id.clone());
            }
            None => nameless.push(call),
        }
    }
    let mut made = (0..).map(|number: u32| made(round, number)).filter(|id| !taken.contains(id));
    for call in nameless {
        call.id = made.next();
    }
}

/// Nine letters and digits: Mistral takes no other names (its own message, in anomalyco/opencode issue 1680 of
/// 2025-08-07), and nobody else minds.
fn made(round: u32, number: u32) -> String {
    format!("c{:03}{number:05}", round % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(given: &[Option<&str>]) -> Vec<String> {
        let mut calls: Vec<ToolCall> = given
            .iter()
            .map(|id| {
                let mut call = ToolCall::function("", "t", "{}");
                call.id = id.map(ToOwned::to_owned);
                call
            })
            .collect();
        let earlier = [Message::assistant("").with_tool_calls([ToolCall::function("old", "t", "{}")])];
        complete(&mut calls, &earlier, 7);
        calls.into_iter().map(|call| call.id.unwrap()).collect()
    }

    #[test]
    fn every_call_has_a_name_of_its_own_and_given_ones_stay() {
        let ids = ids(&[Some("a"), None, Some(""), Some("a"), Some("c00700000"), Some("old")]);
        assert_eq!((ids[0].as_str(), ids[4].as_str()), ("a", "c00700000"));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 6, "{ids:?}");
        assert!(!ids.contains(&"old".to_owned()), "{ids:?}");
    }

    #[test]
    fn a_made_name_is_nine_letters_and_digits() {
        for id in ids(&[None; 12]) {
            assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
    }
}
