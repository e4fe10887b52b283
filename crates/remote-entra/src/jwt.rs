//! Looks into a JSON Web Token without trusting it.
//!
//! Nothing is verified: that is for whoever accepts the token. Only its end is read, to say that it has passed.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
struct Claims {
    exp: Option<Value>,
}

/// When `token` expires, in seconds since 1970, if it says so; `Err` when it is not a token at all.
pub(crate) fn expiry(token: &str) -> Result<Option<u64>, NotAToken> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NotAToken);
    };
    BASE64.decode(header).map_err(|_| NotAToken)?;
    BASE64.decode(signature).map_err(|_| NotAToken)?;
    let claims = BASE64.decode(claims).map(Zeroizing::new).map_err(|_| NotAToken)?;
    let Claims { exp } = serde_json::from_slice(&claims).map_err(|_| NotAToken)?;
    Ok(exp.as_ref().and_then(seconds))
}

/// The text has not the shape of a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAToken;

/// A number of seconds, written as a number or as its digits. What is below 0 counts as 0.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    let whole = |number: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates, as wanted here"
        )]
        let whole = number as u64;
        number.is_finite().then_some(whole)
    };
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(claims: &str) -> String {
        format!("{}.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode("{}"), BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_end_of_a_token_is_read_if_it_has_one() {
        assert_eq!(expiry(&token(r#"{"exp":1795305600,"sub":"x"}"#)), Ok(Some(1_795_305_600)));
        assert_eq!(expiry(&token(r#"{"exp":1795305600.5}"#)), Ok(Some(1_795_305_600)));
        assert_eq!(expiry(&token("{}")), Ok(None));
        assert_eq!(expiry(&token(r#"{"exp":"soon"}"#)), Ok(None));
        let padded = format!("{}.{}.", BASE64_URL_SAFE.encode("{}"), BASE64_URL_SAFE.encode(r#"{"exp":7}"#));
        assert_eq!(expiry(&padded), Ok(Some(7)));
    }

    #[test]
    fn what_is_no_token_is_told_apart() {
        for text in ["", "a.b", "a.b.c.d", "root:x:0:0", "e30.!.e30", "e30.e30e.e30", "e30.bm9uZQ.e30"] {
            assert_eq!(expiry(text), Err(NotAToken), "{text}");
        }
    }

    #[test]
    fn seconds_are_numbers_or_their_digits() {
        assert_eq!(seconds(&json!(3599)), Some(3599));
        assert_eq!(seconds(&json!("86399")), Some(86_399));
        assert_eq!(seconds(&json!(" 1.5 ")), Some(1));
        assert_eq!(seconds(&json!(-4)), Some(0));
        assert_eq!(seconds(&json!("-4")), Some(0));
        for none in [json!(null), json!("soon"), json!(""), json!([1]), json!(true), json!("NaN")] {
            assert_eq!(seconds(&none), None, "{none}");
        }
    }

    proptest! {
        /// No text makes the reader panic.
        #[test]
        fn any_text_is_read_or_refused(text in ".*", claims in ".*") {
            let _ = expiry(&text);
            let _ = expiry(&token(&claims));
        }
    }
}
