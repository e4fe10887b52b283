//! How messages are written for one upstream.

use std::borrow::Cow;

use infer_core::Message;

use crate::dialect::{ImageForm, OnUnsupported, ReasoningReturn, ToolCallIds};
use crate::json::string;
use crate::{ChatDialect, DeveloperRole};

/// The length of an id that every upstream takes.
const ID_LENGTH: usize = 9;
const ID_LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The members that say reasoning in plain words.
const SPELLINGS: [&str; 2] = ["reasoning_content", "reasoning"];

/// What of the dialect messages show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub(crate) developer: DeveloperRole,
    pub(crate) reasoning: ReasoningReturn,
    pub(crate) call_ids: ToolCallIds,
    pub(crate) leaves_out_names: bool,
    pub(crate) images: ImageForm,
}

impl Style {
    pub(crate) fn of(dialect: &ChatDialect) -> Self {
        Self {
            developer: dialect.developer_role,
            reasoning: dialect.reasoning,
            call_ids: dialect.tool_call_ids,
            leaves_out_names: dialect.on_unsupported != OnUnsupported::Send
                && dialect.unsupported.iter().any(|member| member == "messages.name"),
            images: dialect.images,
        }
    }

    /// Whether messages that came as `json` may not be copied as they are.
    pub(crate) fn changes(self, json: &[u8]) -> bool {
        let marks = [
            (self.developer == DeveloperRole::AsSystem, "\"developer\""),
            (self.reasoning != ReasoningReturn::AsGiven, "\"reasoning"),
            (self.call_ids != ToolCallIds::Any, "\"tool_call"),
            (self.leaves_out_names, "\"name\""),
            (self.images == ImageForm::Inline, "\"image_url\""),
        ];
        let mut marks =
            marks.into_iter().filter_map(|(is_sought, mark)| is_sought.then_some(mark)).peekable();
        marks.peek().is_some()
            && std::str::from_utf8(json).is_ok_and(|json| marks.any(|mark| json.contains(mark)))
    }

    /// The reasoning to send back, and the member that says it.
    pub(crate) fn reasoning(self, message: &Message) -> Option<(&'static str, Cow<'_, str>)> {
        let name = match self.reasoning {
            ReasoningReturn::Omit => return None,
            ReasoningReturn::Reasoning => "reasoning",
            ReasoningReturn::AsGiven | ReasoningReturn::ReasoningContent => "reasoning_content",
        };
        if let Some(said) = &message.reasoning {
            return Some((name, Cow::Borrowed(said)));
        }
        let mut unread = SPELLINGS.iter().filter(|spelling| self.leaves_out(spelling));
        let said = unread.find_map(|spelling| string(message.extra.get(spelling)?.as_raw()))?;
        Some((name, Cow::Owned(said)))
    }

    /// Whether an extra member of a message is not written as it came: reasoning, which goes by one name or not at all.
    pub(crate) fn leaves_out(self, name: &str) -> bool {
        match self.reasoning {
            ReasoningReturn::AsGiven => false,
            ReasoningReturn::Omit => SPELLINGS.contains(&name) || name == "reasoning_details",
            _ => SPELLINGS.contains(&name),
        }
    }

    /// The id of a tool call, as the upstream takes it.
    pub(crate) fn call_id(self, id: &str) -> Cow<'_, str> {
        match self.call_ids {
            ToolCallIds::NineAlphanumerics => nine(id),
            ToolCallIds::Any => Cow::Borrowed(id),
        }
    }
}

/// `id` itself if it is nine letters and digits, else nine that depend on nothing but `id`.
fn nine(id: &str) -> Cow<'_, str> {
    if id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    // FNV-1a over 128 bits, which is spread evenly over the 2^53 ids there are.
    let hash = id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let mut rest = hash ^ (hash >> 61);
    let mut letter = || {
        let place = usize::try_from(rest % 62).unwrap_or_default();
        rest /= 62;
        char::from(ID_LETTERS.get(place).copied().unwrap_or(b'0'))
    };
    Cow::Owned((0..ID_LENGTH).map(|_| letter()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_of_nine_letters_and_digits_stays_and_others_become_one() {
        assert_eq!(nine("a1B2c3D4e"), "a1B2c3D4e");
        for id in ["", "call_1", "call_fxA1", "a-long-id-as-openai-has-them", "日本"] {
            let mapped = nine(id);
            assert_eq!(mapped.len(), 9, "{id}");
            assert!(mapped.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}: {mapped}");
            assert_eq!(mapped, nine(id));
        }
    }

    #[test]
    fn ids_that_differ_stay_different() {
        let ids: HashSet<_> =
            (0..100_000).map(|number| nine(&format!("call_{number}")).into_owned()).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
