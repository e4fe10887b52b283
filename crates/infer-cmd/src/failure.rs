//! What can end the command without an answer, and the exit code it ends with.

use std::io;

use infer_core::{Completion, ErrorKind, InferenceError};
use infer_store::StoreError;
use infer_store::keys::KeyError;
use inference::Faults;

use crate::signals::Stop;

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage or configuration, found before any call.
    Usage(String),
    /// The configuration that was to be read has these.
    Faults(Faults),
    /// What is stored cannot be read.
    Store(StoreError),
    /// Keys cannot be read or changed.
    Keys(KeyError),
    /// Who was asked is not there, or says that it is not well.
    Unwell(String),
    /// The call failed; what had arrived is kept.
    Call {
        /// Why.
        error: Box<InferenceError>,
        /// What had arrived.
        partial: Box<Completion>,
    },
    /// The person stopped it; what had arrived is kept.
    Stopped {
        /// How.
        stop: Stop,
        /// What had arrived.
        partial: Box<Completion>,
    },
    /// Nobody reads standard output any more.
    PipeClosed,
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// A call that failed before anything arrived.
    pub(crate) fn call(error: InferenceError) -> Self {
        Self::Call { error: Box::new(error), partial: Box::default() }
    }

    pub(crate) fn stopped(stop: Stop) -> Self {
        Self::Stopped { stop, partial: Box::default() }
    }

    /// The same with what had arrived.
    pub(crate) fn with_partial(self, whole: Completion) -> Self {
        match self {
            Self::Call { error, .. } => Self::Call { error, partial: Box::new(whole) },
            Self::Stopped { stop, .. } => Self::Stopped { stop, partial: Box::new(whole) },
            other => other,
        }
    }

    /// What to tell a person; `None` when there is nothing to say.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Usage(what) | Self::Unwell(what) => Some(what.clone()),
            Self::Call { error, .. } => Some(error.to_string()),
            Self::Output(error) => Some(format!("standard output cannot be written: {error}")),
            Self::Store(StoreError::Locked { path }) => {
                let path = path.display();
                Some(format!(
                    "{path}: the ledger is in use by another process: ask again once that has ended"
                ))
            }
            Self::Store(error) => Some(error.to_string()),
            Self::Keys(error) => Some(error.to_string()),
            Self::Faults(faults) => Some(faults.to_string()),
            Self::Stopped { .. } | Self::PipeClosed => None,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Faults(_) => 2,
            Self::Call { error, .. } if is_usage(error) => 2,
            Self::Keys(KeyError::Store(_) | KeyError::Busy | KeyError::NoRandomness { .. }) => 1,
            Self::Keys(_) => 2,
            Self::Unwell(_) | Self::Call { .. } | Self::Store(_) | Self::Output(_) => 1,
            Self::Stopped { stop: Stop::Interrupt, .. } => 130,
            Self::Stopped { stop: Stop::Terminate, .. } => 143,
            Self::PipeClosed => 0,
        }
    }
}

/// Wrong settings, and requests that were refused before they were sent.
fn is_usage(error: &InferenceError) -> bool {
    match error.kind() {
        ErrorKind::Config => true,
        ErrorKind::InvalidRequest => error.origin().is_some_and(|at| at.status.is_none() && at.attempts == 0),
        _ => false,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Output(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_refused_here_is_wrong_usage_and_one_refused_there_is_not() {
        let mut error = InferenceError::invalid_request("n: must be above 0");
        assert_eq!(Failure::call(InferenceError::invalid_request("n: must be above 0")).exit_code(), 2);
        if let Some(at) = error.origin_mut() {
            (at.attempts, at.status) = (1, Some(400));
        }
        assert_eq!(Failure::call(error).exit_code(), 1);
        assert_eq!(Failure::call(InferenceError::config("x")).exit_code(), 2);
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit_code(), failure.line()), (0, None));
    }
}
