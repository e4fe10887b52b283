//! Judging: what a scenario finds is a value, and only the suite turns it into a failed test.

use std::fmt::Debug;

use futures_util::StreamExt as _;
use infer_core::{Completion, ErrorKind, InferenceError, TokenStream};

/// What a scenario found out: nothing wrong, or what is.
pub type Verdict<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Holds if `condition` does.
///
/// # Errors
/// `what`, which says what should be.
pub fn ensure(condition: bool, what: impl Into<String>) -> Verdict {
    if condition { Ok(()) } else { Err(what.into().into()) }
}

/// Holds if `found` is `expected`.
///
/// # Errors
/// `what` was compared, with both values.
#[expect(clippy::needless_pass_by_value, reason = "two values side by side read best")]
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Verdict {
    let holds = found == expected;
    ensure(holds, format!("{what}: expected {expected:?}, found {found:?}"))
}

/// The error in `result`, which is of `kind`.
///
/// # Errors
/// When it is another one, or none.
pub fn fails<T>(what: &str, result: Result<T, InferenceError>, kind: ErrorKind) -> Verdict<InferenceError> {
    match result {
        Ok(_) => Err(format!("{what}: expected the error {}, and it succeeded", kind.name()).into()),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            Err(format!("{what}: expected the error {}, found {}: {error}", kind.name(), error.kind().name())
                .into())
        }
    }
}

/// Everything that a stream gives, and how it ends. Nothing may come after that, and the stream is left as it is.
///
/// # Errors
/// When something does.
pub async fn drain(stream: &mut TokenStream) -> Verdict<(Completion, Result<(), InferenceError>)> {
    let mut whole = Completion::default();
    let end = loop {
        match stream.next().await {
            Some(Ok(chunk)) => whole.push(chunk),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    ensure(stream.next().await.is_none(), "a stream must give nothing after its end")?;
    Ok((whole, end))
}
