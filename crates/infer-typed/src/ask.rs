//! One question, one value.

use infer_core::{Completion, ExecuteBatch, FinishKind, InferenceError, ModelRunner};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::answer::{Misfit, parse};
use crate::{Schema, SchemaError};

/// An answer as a value, with the completion it came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Typed<T> {
    /// The first answer.
    pub value: T,
    /// All of it: usage, cost, further answers, who answered.
    pub completion: Completion,
}

/// Why there is no value. Whatever came back from the upstream, and was paid for, is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The type does not fit strict mode; nothing was sent. [`Schema::loose`] takes any type.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The model refuses.
    #[error("the model refused: {}", crate::answer::one_line(&infer_core::Origin::excerpt(text)))]
    Refused {
        /// Its words.
        text: String,
        /// What came back.
        completion: Box<Completion>,
    },
    /// The answer ended at a limit on tokens.
    #[error("answer cut at a token limit; raise max_output_tokens or ask for less")]
    Truncated {
        /// What came back.
        completion: Box<Completion>,
    },
    /// A filter cut the answer.
    #[error("answer cut by a content filter")]
    Filtered {
        /// What came back.
        completion: Box<Completion>,
    },
    /// The upstream could not go on.
    #[error("the upstream broke off the answer")]
    BrokenOff {
        /// What came back.
        completion: Box<Completion>,
    },
    /// The model wants tools called first; [`ToolLoop`](crate::ToolLoop) does that.
    #[error("the model asks for tools instead of answering; run the batch with a tool loop")]
    WantsTools {
        /// What came back.
        completion: Box<Completion>,
    },
    /// There is no text in the answer.
    #[error("the answer has no text")]
    NoAnswer {
        /// What came back.
        completion: Box<Completion>,
    },
    /// The answer is not what the type says.
    #[error("answer is no {name}, at {path}: {excerpt}")]
    Mismatch {
        /// The schema's name.
        name: String,
        /// Where in the value: `items[2].price`, or `.` for the whole.
        path: String,
        /// The text around that place, at most 512 bytes.
        excerpt: String,
        /// What is wrong with it.
        source: serde_json::Error,
        /// What came back.
        completion: Box<Completion>,
    },
    /// The stream broke after part of the answer.
    #[error("the answer broke off")]
    Interrupted {
        /// How; its policy says what may be done.
        source: InferenceError,
        /// What had arrived.
        completion: Box<Completion>,
    },
    /// The call failed, and nothing came back.
    #[error(transparent)]
    Inference(#[from] InferenceError),
}

impl TypedError {
    /// What came back, where something did.
    pub fn completion(&self) -> Option<&Completion> {
        match self {
            Self::Schema(_) | Self::Inference(_) => None,
            Self::Refused { completion, .. }
            | Self::Truncated { completion }
            | Self::Filtered { completion }
            | Self::BrokenOff { completion }
            | Self::WantsTools { completion }
            | Self::NoAnswer { completion }
            | Self::Interrupted { completion, .. }
            | Self::Mismatch { completion, .. } => Some(completion),
        }
    }
}

/// Asks `runner` for a `T`, in strict mode; replaces the batch's response format. Streams are collected.
///
/// Of several answers the first is read. Dropping the future cancels the call.
///
/// # Errors
/// [`TypedError::Schema`] before anything is sent when strict mode cannot say `T`; otherwise why there is no value,
/// with what came back.
pub async fn ask<T>(runner: &dyn ModelRunner, batch: ExecuteBatch) -> Result<Typed<T>, TypedError>
where
    T: DeserializeOwned + JsonSchema,
{
    Schema::of::<T>()?.ask(runner, batch).await
}

/// Reads the first answer of `completion`; `name` is said when it does not fit.
pub(crate) fn read<T: DeserializeOwned>(name: &str, completion: Completion) -> Result<Typed<T>, TypedError> {
    let boxed = |completion| Box::new(completion);
    let Some(choice) = completion.choices.first() else {
        return Err(TypedError::NoAnswer { completion: boxed(completion) });
    };
    if !choice.refusal.is_empty() {
        return Err(TypedError::Refused { text: choice.refusal.clone(), completion: boxed(completion) });
    }
    match choice.finish.as_ref().map(infer_core::FinishReason::kind) {
        Some(FinishKind::Length) => return Err(TypedError::Truncated { completion: boxed(completion) }),
        Some(FinishKind::ContentFilter) => {
            return Err(TypedError::Filtered { completion: boxed(completion) });
        }
        Some(FinishKind::Error) => return Err(TypedError::BrokenOff { completion: boxed(completion) }),
        _ => {}
    }
    match (choice.text.trim().is_empty(), choice.tool_calls.is_empty()) {
        (true, false) => Err(TypedError::WantsTools { completion: boxed(completion) }),
        (true, true) => Err(TypedError::NoAnswer { completion: boxed(completion) }),
        (false, _) => match parse(&choice.text) {
            Ok(value) => Ok(Typed { value, completion }),
            Err(Misfit { path, excerpt, error }) => Err(TypedError::Mismatch {
                name: name.to_owned(),
                path,
                excerpt,
                source: error,
                completion: boxed(completion),
            }),
        },
    }
}
