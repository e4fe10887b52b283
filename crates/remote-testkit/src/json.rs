//! Writing JSON as text, without a codec.

use bytes::Bytes;

/// `text` as JSON has it.
pub(crate) fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            control if control < ' ' => drop(write!(json, "\\u{:04x}", u32::from(control))),
            letter => json.push(letter),
        }
    }
    json.push('"');
    json
}

/// `bytes` with a member that nobody knows in every object.
pub(crate) fn with_unknown(bytes: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(bytes);
    let unknown = "\"x_future\":{\"a\":[1,null,\"b\"],\"c\":-1.5e3}";
    // An empty object takes no comma.
    let text = text.replace('{', &format!("{{{unknown},")).replace(",}", "}");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_json_has_it() {
        assert_eq!(quoted("a\"\\\n\u{e9}"), "\"a\\\"\\\\\\u000a\u{e9}\"");
    }
}
