//! Places that several processes share: so many calls at once, whoever runs them.
//!
//! A place is held under a lease that its process renews while the call runs, so those of a process that dies come back by
//! themselves. Together the processes hold no more places than there are, with two exceptions, both bounded: while Redis is
//! away each process counts alone, and one that cannot reach Redis for a whole lease goes on with calls whose places are
//! given to others. Either is over once Redis knows the places of all again, which the next renewal tells it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infer_core::RequestId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{OnOutage, Redis, Repeat, Script};
use crate::StoreError;

/// The first and the longest pause between two looks for a place that others hold.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Renewals within a lease, so that one may be lost.
const RENEWALS: u32 = 3;

/// So many places that several processes share.
pub struct RedisPlaces {
    redis: Redis,
    key: String,
    places: u32,
    lease: Duration,
    enter: Script,
    held: Arc<Held>,
    leaving: mpsc::UnboundedSender<String>,
    waiting: AtomicUsize,
    /// Held by the first of those who wait, so that a crowd asks as one and in the order in which it came.
    first: tokio::sync::Mutex<()>,
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The places of this process.
#[derive(Debug, Default)]
struct Held(Mutex<BTreeSet<String>>);

impl Held {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is held. Dropping it gives it back, which others notice a moment later.
#[must_use = "a place is given back when this is dropped"]
pub struct Place {
    id: String,
    held: Arc<Held>,
    /// None once nothing in Redis needs to be given back.
    leaving: Option<mpsc::UnboundedSender<String>>,
}

impl RedisPlaces {
    /// The places called `name`, of which there are `places`; all processes must say the same number. `lease` is how long
    /// places stay taken after their process died, at least 1 ms.
    ///
    /// Needs a running Tokio runtime, which renews what is held as long as it runs.
    pub fn new(redis: Redis, name: &str, places: u32, lease: Duration) -> Self {
        let key = redis.key(&format!("places:{name}"));
        let lease = lease.max(Duration::from_millis(1));
        let held = Arc::new(Held::default());
        let (leaving, left) = mpsc::unbounded_channel();
        let keeper = Keeper { redis: redis.clone(), key: key.clone(), lease, held: Arc::clone(&held), left };
        tokio::spawn(keeper.run());
        let enter = Script::new(include_str!("enter.lua"));
        let (waiting, first) = (AtomicUsize::new(0), tokio::sync::Mutex::default());
        Self { redis, key, places, lease, enter, held, leaving, waiting, first }
    }

    /// Takes a place, and waits for one for `max_wait`; `None` when none came free. Within a process those who wait are
    /// served in the order in which they came, and a place that another process gave back is noticed within 250 ms.
    ///
    /// While Redis is away a place is given that is not counted, or none, as configured.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when Redis is away and calls are to be refused then.
    pub async fn enter(&self, max_wait: Duration) -> Result<Option<Place>, StoreError> {
        let until = Instant::now() + max_wait.min(Duration::from_secs(86_400));
        // Those who wait come first.
        if self.waiting.load(Ordering::Relaxed) == 0
            && let Some(place) = self.try_enter().await?
        {
            return Ok(Some(place));
        }
        if max_wait.is_zero() {
            return Ok(None);
        }
        let _waiting = Waiting::begin(&self.waiting);
        let Ok(_first) = tokio::time::timeout_at(until, self.first.lock()).await else { return Ok(None) };
        let mut pause = FIRST_PAUSE;
        while Instant::now() < until {
            if let Some(place) = self.try_enter().await? {
                return Ok(Some(place));
            }
            tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(None)
    }

    async fn try_enter(&self) -> Result<Option<Place>, StoreError> {
        let id = RequestId::generate().to_string();
        let mut call = self.enter.call(1);
        call.arg(&self.key).arg(&id).arg(self.places).arg(millis(self.lease));
        // From here on it is given back, also when nobody waits for the answer any more.
        let mut place = Place { id, held: Arc::clone(&self.held), leaving: Some(self.leaving.clone()) };
        match self.redis.run::<bool>(&self.enter, &call, Repeat::Once).await {
            Ok(false) => {
                place.leaving = None;
                return Ok(None);
            }
            Err(error) if self.redis.config().on_outage == OnOutage::Closed => return Err(error.into()),
            // What runs without being counted is counted with the next renewal.
            Ok(true) | Err(_) => {}
        }
        self.held.ids().insert(place.id.clone());
        Ok(Some(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.ids().remove(&self.id);
        if let Some(leaving) = self.leaving.take() {
            // Nobody listens once the runtime has ended: then the lease ends by itself.
            let _ = leaving.send(std::mem::take(&mut self.id));
        }
    }
}

/// Renews and gives back, one after the other, so that no renewal overtakes the end of its call.
struct Keeper {
    redis: Redis,
    key: String,
    lease: Duration,
    held: Arc<Held>,
    left: mpsc::UnboundedReceiver<String>,
}

impl Keeper {
    async fn run(mut self) {
        let renew = Script::new(include_str!("renew.lua"));
        let every = (self.lease / RENEWALS).max(Duration::from_millis(1));
        let mut due = Instant::now() + every;
        loop {
            // First of all: a crowd that leaves must not put it off.
            if Instant::now() >= due {
                self.renew(&renew).await;
                due = Instant::now() + every;
            }
            match tokio::time::timeout_at(due, self.left.recv()).await {
                Ok(Some(id)) => self.give_back(id).await,
                // Nobody holds a place, and nobody can take one.
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    async fn renew(&self, script: &Script) {
        let held: Vec<String> = self.held.ids().iter().cloned().collect();
        if held.is_empty() {
            return;
        }
        let mut call = script.call(1);
        call.arg(&self.key).arg(millis(self.lease)).arg(held);
        // The reason is logged where it happens, and there is another one within the lease.
        let _ = self.redis.run::<i64>(script, &call, Repeat::Once).await;
    }

    async fn give_back(&mut self, id: String) {
        let mut call = redis::cmd("ZREM");
        call.arg(&self.key).arg(id);
        while let Ok(id) = self.left.try_recv() {
            call.arg(id);
        }
        // What cannot be told now comes back when the lease is over.
        let _ = self.redis.command::<i64>(&call).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}

impl fmt::Debug for RedisPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPlaces")
            .field("key", &self.key)
            .field("places", &self.places)
            .field("held", &self.held.ids().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}
