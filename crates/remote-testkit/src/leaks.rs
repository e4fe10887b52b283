//! Secrets that come out where they can be read: in the log, in errors and in what `Debug` shows.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::iter;

use futures_util::StreamExt as _;
use infer_core::{ExecuteBatch, ModelRunner};

use crate::check::{Verdict, ensure};
use crate::logs::{Listening, Logs};

/// Everything that a program could print, to look for secrets in it.
///
/// ```
/// use remote_testkit::Leaks;
///
/// let mut leaks = Leaks::listen();
/// tracing::debug!("asking");
/// leaks.show(&"the key [redacted] is wrong");
/// leaks.none_of(&["sk-secret"]).unwrap();
/// ```
#[derive(Debug)]
pub struct Leaks {
    logs: Logs,
    printed: String,
    _listening: Listening,
}

impl Leaks {
    /// Listens to what this thread logs from now on.
    pub fn listen() -> Self {
        let logs = Logs::default();
        Self { _listening: logs.listen(), logs, printed: String::new() }
    }

    /// Takes what `Debug` shows of `value`.
    pub fn show(&mut self, value: &dyn Debug) {
        let _ = write!(self.printed, "{value:?} ");
    }

    /// Takes an error with everything it holds, in both forms.
    pub fn error(&mut self, error: &(dyn Error + 'static)) {
        for error in iter::successors(Some(error), |error| (**error).source()) {
            let _ = write!(self.printed, "{error} {error:?} ");
        }
    }

    /// Takes all that a call lets its caller print.
    pub async fn call(&mut self, runner: &dyn ModelRunner, batch: ExecuteBatch) {
        self.show(&batch);
        let run = match runner.execute(batch).await {
            Err(error) => return self.error(&error),
            Ok(run) => run,
        };
        self.show(&run);
        let mut stream = run.into_stream();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => self.show(&chunk),
                Err(error) => self.error(&error),
            }
        }
    }

    /// Holds if none of `secrets` was printed or logged.
    ///
    /// # Errors
    /// Where the first one was found. Also when nothing was logged, and when no key was taken out of what an upstream said:
    /// then there was nothing to find.
    pub fn none_of(self, secrets: &[&str]) -> Verdict {
        let (printed, logged) = (self.printed, self.logs.text());
        ensure(!logged.trim().is_empty(), "the log was not listened to")?;
        ensure(printed.contains("[redacted]"), "an upstream's words without the key must be kept")?;
        for secret in secrets {
            for (place, text) in [("printed", &printed), ("logged", &logged)] {
                let before = text.split_once(secret).map(|(before, _)| before);
                let glimpse = before.map(|text| text.chars().rev().take(150).collect::<Vec<_>>());
                let glimpse = glimpse.unwrap_or_default().into_iter().rev().collect::<String>();
                ensure(before.is_none(), format!("{secret} is {place}, after: {glimpse}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use infer_core::InferenceError;

    use super::*;

    fn heard() -> Leaks {
        let mut leaks = Leaks::listen();
        tracing::trace!("heard");
        leaks.show(&"[redacted]");
        leaks
    }

    #[test]
    fn a_secret_is_found_in_the_log_in_debug_output_and_in_what_caused_an_error() {
        heard().none_of(&["sk-1"]).unwrap();

        let logged = heard();
        tracing::trace!(key = "sk-1");
        assert_eq!(logged.none_of(&["sk-1"]).unwrap_err().to_string().matches("sk-1 is logged").count(), 1);

        let from_log = heard();
        tracing_log::log::trace!("sk-1");
        assert!(from_log.none_of(&["sk-1"]).unwrap_err().to_string().starts_with("sk-1 is logged"));

        let mut shown = heard();
        shown.show(&Some("sk-1"));
        assert!(shown.none_of(&["sk-0", "sk-1"]).unwrap_err().to_string().starts_with("sk-1 is printed"));

        let mut failed = heard();
        failed.error(&InferenceError::config("the key sk-1 is wrong"));
        assert!(failed.none_of(&["sk-1"]).unwrap_err().to_string().starts_with("sk-1 is printed"));
    }

    #[test]
    fn a_scene_in_which_nothing_could_leak_does_not_count() {
        let silent = Leaks::listen().none_of(&["sk-1"]).unwrap_err().to_string();
        assert!(silent.contains("not listened to"), "{silent}");
        let harmless = Leaks::listen();
        tracing::trace!("heard");
        let harmless = harmless.none_of(&["sk-1"]).unwrap_err().to_string();
        assert!(harmless.contains("must be kept"), "{harmless}");
    }
}
