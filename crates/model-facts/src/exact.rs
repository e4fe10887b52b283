//! Exact counts with OpenAI's public vocabularies, through `tiktoken-rs`: nothing is fetched.
//!
//! That crate panics on about a million white-space characters in a row (0.12.1, seen 2026-11-21: its regular expression
//! runs out of steps), so it is handed blocks of bounded length, cut where it would have cut as well.

use infer_core::{ExecuteBatch, Message};
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};
use tiktoken_rs::{CoreBPE, bpe_for_tokenizer};

use crate::request::{Count, conversation, frame};

/// A block is cut at the first place from here on where a cut changes nothing.
const BLOCK_BYTES: usize = 32 * 1024;
/// And here where there is none.
const MAX_BLOCK_BYTES: usize = 64 * 1024;

/// How many tokens `text` has for `model`, or `None` when the model has no public encoding.
///
/// Names are read as OpenAI's own tables read them, with what stands before the last `/` taken off and `ft:` names as
/// their base. Markers such as `<|endoftext|>` count as the ordinary text that they are in a message. A run of 64 KiB
/// without a single space may count a token or two too many, nothing else is inexact.
///
/// The first call for a vocabulary takes about 0.2 s of CPU and 50 MB for good, and every call about 0.1 s a megabyte:
/// call it where blocking is allowed, not on an async runtime's threads.
///
/// ```
/// assert_eq!(model_facts::count_tokens("gpt-4o", "hello world"), Some(2));
/// assert_eq!(model_facts::count_tokens("claude-sonnet-4.6", "hello world"), None);
/// ```
pub fn count_tokens(model: &str, text: &str) -> Option<u64> {
    let vocabulary = vocabulary(model)?;
    Some(count(vocabulary, text))
}

/// How many tokens `messages` have for `model`, the start of the answer included.
///
/// Exact for texts with roles and names. Tool calls, pictures, sound and files count as in
/// [`estimate_request`](crate::estimate_request), since no vendor publishes how they are written for the model. `None`
/// when the model has no public encoding. As slow as [`count_tokens`].
pub fn count_messages(model: &str, messages: &[Message]) -> Option<u64> {
    let vocabulary = vocabulary(model)?;
    Some(conversation(messages, &|text| count(vocabulary, text)))
}

/// How many input tokens `batch` has for its model; as exact as [`count_messages`], with tools and schemas as the text
/// they are, which is more than vendors make of them.
///
/// `None` when the model has no public encoding or raw messages cannot be read. As slow as [`count_tokens`].
pub fn count_request(batch: &ExecuteBatch) -> Option<u64> {
    let messages = batch.messages.typed().ok()?;
    let vocabulary = vocabulary(&batch.model)?;
    let count: Count<'_> = &|text| count(vocabulary, text);
    Some(conversation(messages, count).saturating_add(frame(batch, count)))
}

/// Whether `model` has a public encoding, without loading it.
pub fn has_encoding(model: &str) -> bool {
    tokenizer(model).is_some()
}

fn tokenizer(model: &str) -> Option<Tokenizer> {
    get_tokenizer(model).or_else(|| get_tokenizer(model.rsplit_once('/')?.1))
}

fn vocabulary(model: &str) -> Option<&'static CoreBPE> {
    let tokenizer = match tokenizer(model)? {
        // They differ in markers only, which are not read here: no need to load both.
        Tokenizer::O200kHarmony => Tokenizer::O200kBase,
        other => other,
    };
    bpe_for_tokenizer(tokenizer).ok()
}

fn count(vocabulary: &CoreBPE, text: &str) -> u64 {
    Blocks { rest: text }.map(|block| vocabulary.count_ordinary(block) as u64).sum()
}

/// A text in blocks of at most [`MAX_BLOCK_BYTES`].
struct Blocks<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let at = if self.rest.len() <= MAX_BLOCK_BYTES {
            self.rest.len()
        } else {
            harmless_cut(self.rest).unwrap_or_else(|| self.rest.floor_char_boundary(MAX_BLOCK_BYTES))
        };
        let (block, rest) = self.rest.split_at_checked(at)?;
        self.rest = rest;
        Some(block)
    }
}

/// Where a space follows something that is none: no encoding has a piece with white space before and a space after a word.
fn harmless_cut(text: &str) -> Option<usize> {
    let window = text.as_bytes().get(BLOCK_BYTES..MAX_BLOCK_BYTES)?;
    let spaces = window.iter().enumerate().filter(|(_, byte)| **byte == b' ');
    spaces.map(|(at, _)| BLOCK_BYTES + at).find(|at| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        before.is_some_and(|character| !character.is_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cl100k() -> &'static CoreBPE {
        vocabulary("gpt-4").unwrap()
    }

    fn o200k() -> &'static CoreBPE {
        vocabulary("gpt-4o").unwrap()
    }

    #[test]
    fn a_long_text_counts_in_blocks_what_it_counts_as_a_whole() {
        let corpus = include_str!("../tests/data/corpus.txt");
        let long = corpus.repeat(40);
        assert!(Blocks { rest: &long }.count() > 5);
        for vocabulary in [cl100k(), o200k()] {
            assert_eq!(count(vocabulary, &long), vocabulary.count_ordinary(&long) as u64);
        }
    }

    #[test]
    fn a_million_characters_of_white_space_are_counted() {
        for unit in [" ", "\t"] {
            assert!(count(o200k(), &unit.repeat(1_000_000)) >= 7_000, "{unit:?}");
        }
    }

    #[test]
    fn a_long_run_of_anything_is_counted() {
        for unit in ["\n", "a", "A", "1", ".", "字", "\u{a0}", " \u{a0}", "\u{301}", "<|endoftext|>"] {
            let text = unit.repeat(3 * MAX_BLOCK_BYTES / 2 / unit.len());
            for vocabulary in [cl100k(), o200k()] {
                assert!(count(vocabulary, &text) >= 1_000, "{unit:?}");
            }
        }
    }

    proptest::proptest! {
        /// Law: blocks are short, not empty, and the text they were cut from.
        #[test]
        fn blocks_are_the_text(unit in ".{1,40}", times in 1_usize..20_000) {
            let text = unit.repeat(times.min(300_000 / unit.len()));
            let blocks: Vec<&str> = Blocks { rest: &text }.collect();
            proptest::prop_assert!(blocks.iter().all(|block| !block.is_empty() && block.len() <= MAX_BLOCK_BYTES));
            proptest::prop_assert_eq!(blocks.concat(), text);
        }

        /// Law: a cut where a space follows something else changes no count, whatever stands around it.
        #[test]
        fn a_harmless_cut_is_harmless(a in ".{0,20}[^\\s]", b in "(?s) .{0,20}") {
            let whole = format!("{a}{b}");
            for vocabulary in [cl100k(), o200k()] {
                let apart = vocabulary.count_ordinary(&a) + vocabulary.count_ordinary(&b);
                proptest::prop_assert_eq!(vocabulary.count_ordinary(&whole), apart, "{:?} {:?}", a, b);
            }
        }
    }
}
