//! One fetch from a source, and what comes of it for everybody who waits.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{InferenceError, Origin};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::keeper::FETCH_LIMIT;
use super::{CredentialSource, SessionSnapshot};

/// What a source answered.
pub(super) struct Fetched {
    /// Of the source, from before the fetch, so that a change during the fetch is seen later; `None` if not known.
    pub(super) version: Option<u64>,
    pub(super) result: Result<Arrival, InferenceError>,
}

/// A credential that can be used.
pub(super) struct Arrival {
    pub(super) snapshot: SessionSnapshot,
    /// How long it is good for; `None` for ever.
    pub(super) life: Option<Duration>,
}

impl Fetched {
    pub(super) fn failed(error: InferenceError) -> Self {
        Self { version: None, result: Err(error) }
    }
}

/// Asks `source` once.
pub(super) async fn ask(source: &dyn CredentialSource) -> Fetched {
    let asked = Instant::now();
    let work = async {
        let version = if source.poll_every().is_some() { Some(source.version().await) } else { None };
        (version, source.fetch().await)
    };
    let Ok((version, answer)) = timeout(FETCH_LIMIT, work).await else {
        let what = format!("the source of the credential gave no answer within {FETCH_LIMIT:?}");
        return Fetched::failed(InferenceError::config(what));
    };
    let result = answer.and_then(|credential| {
        let life = credential.life(asked.elapsed(), wall_clock());
        if life.is_some_and(|life| life.is_zero()) {
            return Err(InferenceError::config(
                "the credential has expired already: check its source and this machine's clock",
            ));
        }
        Ok(Arrival { snapshot: SessionSnapshot::of(credential)?, life })
    });
    Fetched { version, result }
}

#[expect(clippy::disallowed_methods, reason = "an expiry is turned into a lifetime here and nowhere else")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// How a fetch ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// With a new credential in place.
    Replaced,
    /// Too late: the session has moved on or is gone.
    Overtaken,
    /// With a credential that was given before.
    Unchanged,
    /// With an error, of this text.
    Failed(Arc<str>),
}

impl Outcome {
    /// The outcome for a caller who finds no newer credential.
    pub(super) fn into_error(self) -> InferenceError {
        match self {
            Self::Replaced | Self::Overtaken => refused("the fresh credential went to another session"),
            Self::Unchanged => refused("nothing new: the source still gives the credential that was refused"),
            Self::Failed(text) => refused(&format!("no other credential could be fetched: {text}")),
        }
    }
}

/// A refusal that no fresh credential cures.
pub(super) fn refused(why: &str) -> InferenceError {
    let mut at = Box::<Origin>::default();
    at.message = Some(Origin::excerpt(why));
    InferenceError::Unauthenticated { at }
}

/// A fetch in the air, as those see it who wait for it.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// The generation it set out to replace.
    pub(super) base: u64,
    done: watch::Receiver<Option<Outcome>>,
}

impl Flight {
    pub(super) fn new(base: u64) -> (Self, watch::Sender<Option<Outcome>>) {
        let (tell, done) = watch::channel(None);
        (Self { base, done }, tell)
    }

    /// Waits for the end.
    pub(super) async fn landed(mut self) -> Outcome {
        let outcome = self.done.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Outcome::Failed("it was interrupted".into()))
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::time::sleep;

    use super::*;
    use crate::session::Credential;

    /// Takes two seconds, or for ever, over a credential.
    #[derive(Debug)]
    struct Slow(Option<Credential>);

    #[async_trait]
    impl CredentialSource for Slow {
        async fn fetch(&self) -> Result<Credential, InferenceError> {
            sleep(Duration::from_secs(2)).await;
            match &self.0 {
                Some(credential) => Ok(credential.clone()),
                None => std::future::pending().await,
            }
        }
    }

    async fn life(credential: Credential) -> Result<Option<Duration>, InferenceError> {
        ask(&Slow(Some(credential))).await.result.map(|arrival| arrival.life)
    }

    #[tokio::test(start_paused = true)]
    async fn an_expiry_by_the_wall_clock_becomes_a_lifetime_when_it_arrives() {
        let hour = Duration::from_secs(3600);
        let left = life(Credential::new("t").with_expiry(wall_clock() + hour)).await.unwrap().unwrap();
        assert!(left <= hour && left > hour / 2, "{left:?}");
        let left = life(Credential::new("t").with_lifetime(hour)).await.unwrap();
        assert!(left.is_some_and(|left| (3597..=3598).contains(&left.as_secs())), "{left:?}");
        assert_eq!(life(Credential::new("t")).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_that_expired_on_its_way_is_refused() {
        let seconds = Duration::from_secs(2);
        for late in [
            Credential::new("t").with_lifetime(seconds),
            Credential::new("t").with_expiry(wall_clock().checked_sub(seconds).unwrap()),
        ] {
            let error = life(late).await.unwrap_err().to_string();
            assert!(error.contains("expired already"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_given_up_after_a_minute() {
        let begun = Instant::now();
        let error = ask(&Slow(None)).await.result.map(drop).unwrap_err().to_string();
        assert!(error.contains("no answer within 60s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(61));
    }
}
