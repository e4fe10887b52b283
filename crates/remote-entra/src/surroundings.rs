//! What the sources use of the process around them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::InferenceError;
use remote_core::config::TimeoutConfig;
use remote_core::{HttpTransport, Transport};

/// How long connecting to a service on or beside this machine may take: where there is none, nothing answers at all. 2 s.
const LOCAL_CONNECT: Duration = Duration::from_secs(2);

/// Looks a variable up by its name.
type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the sources use of the process around them: the network, the environment and the clock.
///
/// Make it once and share it: the connections of its transports are pooled.
#[derive(Clone)]
pub struct Surroundings {
    pub(crate) login: Arc<dyn Transport>,
    pub(crate) local: Arc<dyn Transport>,
    environment: Lookup,
    pub(crate) now: fn() -> SystemTime,
}

impl Surroundings {
    /// The process as it is: HTTP with the system's proxy for login hosts and without one for managed identities, the
    /// environment's variables, the wall clock.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when TLS cannot be set up.
    pub fn of_process() -> Result<Self, InferenceError> {
        let timeouts = TimeoutConfig::default();
        let local = TimeoutConfig { connect: LOCAL_CONNECT, ..TimeoutConfig::default() };
        let login = HttpTransport::new(&timeouts, false)?;
        let local = HttpTransport::new(&local, true)?;
        Ok(Self::new(Arc::new(login), Arc::new(local)).with_environment(|name| std::env::var(name).ok()))
    }

    /// Logs in over `login` and asks for managed identities over `local`, with an empty environment and the wall clock.
    ///
    /// `local` must use no proxy and should give up connecting within two seconds.
    pub fn new(login: Arc<dyn Transport>, local: Arc<dyn Transport>) -> Self {
        Self { login, local, environment: Arc::new(|_| None), now: wall_clock }
    }

    /// Looks variables up by `lookup`, once for each source that is made.
    #[must_use]
    pub fn with_environment(
        mut self,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.environment = Arc::new(lookup);
        self
    }

    /// Tells the time by `now`.
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> SystemTime) -> Self {
        self.now = now;
        self
    }

    /// The variable `name`; one that is empty counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("login", &self.login)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock is read here and nowhere else")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
