//! The text of JSON values that stay as they were written, and the faults of those that cannot be read.
//!
//! What wire formats share: servers cut text between the halves of a pair, put byte-order marks before a body, and what is
//! said of a fault must not repeat what they sent.

use std::borrow::Cow;
use std::str;

use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::cause::DecodeKind;
use crate::codec::WireFault;

impl WireFault {
    /// `what` is not the JSON that was expected: where and why, without the upstream's text.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let why = match error.classify() {
            Category::Eof => "ends early",
            Category::Data => "has a value of the wrong type",
            _ => "is not JSON",
        };
        let detail = format!("{what} {why} at line {} column {}", error.line(), error.column());
        Self::malformed(DecodeKind::Json, detail)
    }
}

/// `bytes` as text. `what` names them in the fault.
///
/// # Errors
/// [`WireFault::Malformed`] with the first byte that is not UTF-8.
pub fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, WireFault> {
    str::from_utf8(bytes).map_err(|error| {
        WireFault::malformed(DecodeKind::Utf8, format!("{what}, byte {}", error.valid_up_to()))
    })
}

/// `text` without the blank space JSON allows around a value, and without a byte-order mark.
pub fn trim(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The text of a JSON string, borrowed where nothing in it is escaped; `None` for any other value.
///
/// It is unescaped once, into a `String` of the right size: serde_json's own way keeps a growing copy beside it. Half of a
/// surrogate pair becomes U+FFFD instead of an error.
///
/// ```
/// use infer_core::{RawJson, raw};
///
/// let text = RawJson::parse(r#""caf\u00e9 \ud83d!""#)?;
/// assert_eq!(raw::string(text.as_raw()).as_deref(), Some("café \u{fffd}!"));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    Some(if inside.contains('\\') { Cow::Owned(unescape(inside)) } else { Cow::Borrowed(inside) })
}

fn unescape(mut rest: &str) -> String {
    let mut text = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = escape.chars();
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let (unescaped, after) = unicode(chars.as_str());
                text.push(unescaped);
                rest = after;
                continue;
            }
            Some(other) => text.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    if text.capacity() > 4096 && text.len() < text.capacity() / 2 {
        text.shrink_to_fit();
    }
    text
}

/// The character whose four digits `text` begins with, and what follows.
fn unicode(text: &str) -> (char, &str) {
    let four = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = four(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    let rest = text.get(4..).unwrap_or_default();
    if (0xD800..0xDC00).contains(&first) {
        let low = rest.strip_prefix("\\u").and_then(four).filter(|low| (0xDC00..0xE000).contains(low));
        if let Some(low) = low {
            let pair = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            let after = rest.get(6..).unwrap_or_default();
            return (char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER), after);
        }
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    proptest! {
        // Law: what serde_json can read is read the same, escaped or not.
        #[test]
        fn every_string_is_read_as_serde_json_reads_it(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(string(raw(&json)).unwrap(), text.as_str());
            let escape = |json: String, unit: u16| json + &format!("\\u{unit:04x}");
            let json = text.encode_utf16().fold("\"".to_owned(), escape) + "\"";
            prop_assert_eq!(string(raw(&json)).unwrap(), text.as_str());
        }
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them() {
        for json in [r#""a\n\t\r\b\f\/\\\"z""#, r#""\u00e9\ud83d\ude00x""#, r#""""#, r#""plain é""#] {
            assert_eq!(string(raw(json)).unwrap(), serde_json::from_str::<String>(json).unwrap(), "{json}");
        }
        assert_eq!(string(raw("5")), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_the_rest_stays() {
        assert_eq!(string(raw(r#""a\ud83d!""#)).unwrap(), "a\u{fffd}!");
        assert_eq!(string(raw(r#""\ude00\ud83d\ud83d\ude00""#)).unwrap(), "\u{fffd}\u{fffd}😀");
        assert_eq!(string(raw(r#""\ud83d\n""#)).unwrap(), "\u{fffd}\n");
    }

    #[test]
    fn a_fault_says_where_and_never_what_stood_there() {
        let fault = |text: &str| serde_json::from_str::<[u8; 1]>(text).unwrap_err();
        for (text, why) in [
            ("[1", "event ends early at line 1 column 2"),
            ("[\"secret\"]", "event has a value of the wrong type at line 1 column 9"),
            ("secret", "event is not JSON at line 1 column 1"),
        ] {
            let fault = WireFault::unreadable("event", &fault(text));
            assert_eq!(fault, WireFault::malformed(DecodeKind::Json, why), "{text}");
        }
        assert_eq!(utf8(b"ab\xff", "body"), Err(WireFault::malformed(DecodeKind::Utf8, "body, byte 2")));
        assert_eq!(trim("\u{feff} \r\n{} \t"), "{}");
    }
}
