//! Keeps a session's credential fresh.
//!
//! There is at most one fetch in flight, whoever wanted it, and it runs in a task of its own: no caller can stop it or be
//! stuck with it. A second task, for sources that expire or change, waits for the next time to fetch. Both hold the
//! session weakly and end when the [`Keeper`] is dropped, which the session's snapshots own.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::select;
use infer_core::InferenceError;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::flight::{Arrival, Fetched, Flight, Outcome, ask};
use super::schedule::{LEAST, refresh_after, retry_after};
use super::{Credential, CredentialSource, SessionHandle, SessionSnapshot};

/// The longest a fetch may take. 60 s.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// How long a fetch that brought nothing new answers for the next one, lest every refused call runs a program. 1 s.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// How often the waiting task looks whether the session is still there. 60 s.
const NAP: Duration = Duration::from_secs(60);

/// Owned by the snapshots of one session; what they started ends with it.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    _alive: watch::Sender<()>,
}

/// What the keeper and its tasks share.
struct Shared {
    source: Arc<dyn CredentialSource>,
    session: Weak<ArcSwap<SessionSnapshot>>,
    runtime: Handle,
    /// Closed when the keeper is gone.
    alive: watch::Receiver<()>,
    /// The next time to fetch has changed.
    changed: Notify,
    /// Never held across an await, nor while a task is spawned: a runtime that shuts down drops the task in place.
    state: Mutex<State>,
}

struct State {
    /// What the source gave last, also when a rotation has replaced it since.
    given: Credential,
    version: Option<u64>,
    due: Option<Instant>,
    /// In a row.
    failures: u32,
    dice: fastrand::Rng,
    /// Whether the waiting task was started.
    tended: bool,
    flight: Option<Flight>,
    last: Option<Report>,
}

/// How the last fetch ended.
struct Report {
    base: u64,
    ended: Instant,
    outcome: Outcome,
}

/// What somebody finds who wants another credential.
enum Boarding {
    /// There is one already.
    MovedOn,
    /// There was none a moment ago.
    Known(Outcome),
    /// It is being fetched.
    Wait(Flight),
}

impl Keeper {
    pub(super) fn new(
        source: Arc<dyn CredentialSource>,
        session: Weak<ArcSwap<SessionSnapshot>>,
        version: Option<u64>,
        first: &Arrival,
        seed: u64,
    ) -> Self {
        let (tell, alive) = watch::channel(());
        let mut dice = fastrand::Rng::with_seed(seed);
        let state = State {
            given: first.snapshot.credential().clone(),
            version,
            due: due(Instant::now(), first.life, &mut dice),
            failures: 0,
            dice,
            tended: false,
            flight: None,
            last: None,
        };
        let (changed, state) = (Notify::new(), Mutex::new(state));
        let shared = Shared { source, session, runtime: Handle::current(), alive, changed, state };
        Self { shared: Arc::new(shared), _alive: tell }
    }

    /// Starts the waiting task if there is anything to wait for.
    pub(super) fn start(&self) {
        self.shared.tend();
    }

    /// Waits until `session` has a credential after that of generation `used`.
    pub(super) async fn replace(&self, session: &SessionHandle, used: u64) -> Result<(), InferenceError> {
        let used = used.min(session.load_full().generation());
        loop {
            let flight = match self.shared.board(session, Some(used)) {
                Boarding::MovedOn => return Ok(()),
                Boarding::Known(outcome) => return Err(outcome.into_error()),
                Boarding::Wait(flight) => flight,
            };
            let base = flight.base;
            let outcome = flight.landed().await;
            if session.load_full().generation() > used {
                return Ok(());
            }
            // A fetch for an older generation says nothing about this one.
            if base >= used {
                return Err(outcome.into_error());
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut alive = self.alive.clone();
        self.runtime.spawn(async move {
            let gone = async move { while alive.changed().await.is_ok() {} };
            select(pin!(work), pin!(gone)).await;
        });
    }

    /// Joins the fetch in flight or starts one, unless there is an answer to `used` already.
    fn board(self: &Arc<Self>, session: &SessionHandle, used: Option<u64>) -> Boarding {
        let (flight, landing) = {
            let mut state = self.state();
            let base = session.load().generation();
            if used.is_some_and(|used| base > used) {
                return Boarding::MovedOn;
            }
            if let Some(flight) = &state.flight {
                return Boarding::Wait(flight.clone());
            }
            if let (Some(used), Some(last)) = (used, &state.last)
                && last.base == used
                && last.ended.elapsed() < COOL_DOWN
            {
                return Boarding::Known(last.outcome.clone());
            }
            let (flight, tell) = Flight::new(base);
            state.flight = Some(flight.clone());
            (flight, Landing { shared: Arc::clone(self), base, tell, landed: false })
        };
        self.spawn(landing.fly());
        Boarding::Wait(flight)
    }

    /// Books how a fetch for generation `base` ended.
    fn settle(self: &Arc<Self>, base: u64, fetched: Fetched) -> Outcome {
        let now = Instant::now();
        let outcome = {
            let state = &mut *self.state();
            state.flight = None;
            state.version = fetched.version.or(state.version);
            let outcome = match fetched.result {
                Ok(arrival) => {
                    state.failures = 0;
                    state.due = due(now, arrival.life, &mut state.dice);
                    self.install(state, base, &arrival.snapshot)
                }
                Err(_) if self.session.strong_count() == 0 => Outcome::Overtaken,
                Err(error) => {
                    state.failures = state.failures.saturating_add(1);
                    if state.tended {
                        let again = now + retry_after(state.failures);
                        state.due =
                            Some(state.due.filter(|due| *due > now).map_or(again, |due| due.min(again)));
                    }
                    Outcome::Failed(self.printable(state, &error))
                }
            };
            state.last = Some(Report { base, ended: now, outcome: outcome.clone() });
            outcome
        };
        match &outcome {
            Outcome::Replaced => tracing::info!(generation = base + 1, "credential replaced"),
            Outcome::Failed(error) => {
                tracing::warn!(generation = base, %error, "no fresh credential, the old one stays");
            }
            Outcome::Unchanged | Outcome::Overtaken => {
                tracing::debug!(generation = base, ?outcome, "credential kept");
            }
        }
        self.tend();
        self.changed.notify_one();
        outcome
    }

    /// Puts `fresh` in the place of generation `base`, unless that is gone or `fresh` is nothing new.
    fn install(&self, state: &mut State, base: u64, fresh: &SessionSnapshot) -> Outcome {
        let Some(session) = self.session.upgrade() else { return Outcome::Overtaken };
        let credential = fresh.credential();
        if credential.is_same(&state.given) || credential.is_same(session.load_full().credential()) {
            state.given = credential.clone();
            return Outcome::Unchanged;
        }
        let before = session
            .rcu(|old| if old.generation() == base { Arc::new(fresh.after(old)) } else { Arc::clone(old) });
        if before.generation() != base {
            return Outcome::Overtaken;
        }
        state.given = credential.clone();
        Outcome::Replaced
    }

    /// The error's text without any key that is known here.
    fn printable(&self, state: &State, error: &InferenceError) -> Arc<str> {
        let mut text = error.to_string();
        let current = self.session.upgrade().map(|session| session.load_full());
        let known = [state.given.secret(), current.as_ref().and_then(|current| current.secret())];
        for secret in known.into_iter().flatten() {
            secret.scrub(&mut text);
        }
        text.into()
    }

    /// Starts the waiting task if there is none and something to wait for.
    fn tend(self: &Arc<Self>) {
        {
            let mut state = self.state();
            if state.tended || state.due.is_none() && self.source.poll_every().is_none() {
                return;
            }
            state.tended = true;
        }
        self.spawn(Arc::clone(self).wait_and_fetch());
    }

    async fn wait_and_fetch(self: Arc<Self>) {
        let mut looked = Instant::now();
        loop {
            let nap = Instant::now() + NAP;
            let every = self.source.poll_every().map(|every| every.max(LEAST));
            let look = every.and_then(|every| looked.checked_add(every));
            let until = [self.state().due, look].into_iter().flatten().fold(nap, Instant::min);
            select(pin!(sleep_until(until)), pin!(self.changed.notified())).await;

            let now = Instant::now();
            let mut ripe = self.state().due.is_some_and(|due| due <= now);
            if !ripe && look.is_some_and(|look| look <= now) {
                looked = now;
                ripe = self.source_differs().await;
            }
            let Some(session) = self.session.upgrade() else { return };
            if ripe && let Boarding::Wait(flight) = self.board(&session, None) {
                drop(session);
                flight.landed().await;
            }
        }
    }

    async fn source_differs(&self) -> bool {
        let version = timeout(FETCH_LIMIT, self.source.version()).await.ok();
        version.is_some() && version != self.state().version
    }
}

/// When a credential that lives for `life` from `now` is to be replaced.
fn due(now: Instant, life: Option<Duration>, dice: &mut fastrand::Rng) -> Option<Instant> {
    now.checked_add(refresh_after(life?, dice.f64()))
}

/// Sees to it that a fetch ends for those who wait, even if its task does not.
struct Landing {
    shared: Arc<Shared>,
    base: u64,
    tell: watch::Sender<Option<Outcome>>,
    landed: bool,
}

impl Landing {
    async fn fly(mut self) {
        let fetched = ask(&*self.shared.source).await;
        self.land(fetched);
    }

    fn land(&mut self, fetched: Fetched) {
        self.landed = true;
        let outcome = self.shared.settle(self.base, fetched);
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.land(Fetched::failed(InferenceError::config("the fetch was interrupted")));
        }
    }
}
