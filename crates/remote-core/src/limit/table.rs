//! One limiter for each model, and a bound on how many.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Limits, RateLimitConfig};

/// Models with limits of their own.
const MOST: usize = 1024;

/// The longest name that has limits of its own, in bytes. No vendor's name comes near.
const LONGEST: usize = 256;

/// The limits of every model of one upstream. Cheap to clone; clones share everything.
///
/// Models are named by callers, so the table is bounded: beyond 1,024 names, the one longest unused makes room if it is
/// idle, which loses nothing, since new limits would behave the same. If none is, and for names of more than 256 bytes, one
/// more set of limits serves all the rest: a stranger who makes up names slows down only such names.
#[derive(Clone)]
pub struct LimitTable(Arc<Shared>);

struct Shared {
    config: RateLimitConfig,
    rest: Limits,
    models: Mutex<Models>,
}

#[derive(Default)]
struct Models {
    by_name: HashMap<Box<str>, Entry>,
    /// Counts uses, to tell which name was used last.
    uses: u64,
}

struct Entry {
    limits: Limits,
    used: u64,
}

impl LimitTable {
    /// An empty table; every model gets limits as `config` has them.
    pub fn new(config: RateLimitConfig) -> Self {
        let rest = Limits::new(&config);
        Self(Arc::new(Shared { config, rest, models: Mutex::default() }))
    }

    /// The limits of `model`. What an upstream counts apart, such as embeddings by a model that also writes, needs a name
    /// of its own.
    pub fn limits(&self, model: &str) -> Limits {
        if model.len() > LONGEST {
            return self.0.rest.clone();
        }
        let mut models = self.0.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.uses += 1;
        let used = models.uses;
        if let Some(entry) = models.by_name.get_mut(model) {
            entry.used = used;
            return entry.limits.clone();
        }
        if models.by_name.len() >= MOST && !models.make_room() {
            return self.0.rest.clone();
        }
        let limits = Limits::new(&self.0.config);
        models.by_name.insert(model.into(), Entry { limits: limits.clone(), used });
        limits
    }

    /// How many models have limits of their own.
    pub fn len(&self) -> usize {
        self.0.models.lock().unwrap_or_else(PoisonError::into_inner).by_name.len()
    }

    /// Whether no model has been asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Models {
    /// Drops the idle model that was not used for longest, if any is idle.
    fn make_room(&mut self) -> bool {
        let idle = self.by_name.iter().filter(|(_, entry)| entry.limits.is_idle());
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.by_name.remove(&name).is_some())
    }
}

impl fmt::Debug for LimitTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitTable").field("config", &self.0.config).field("models", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use infer_core::Priority;

    use super::*;

    fn table() -> LimitTable {
        LimitTable::new(RateLimitConfig { requests_per_minute: Some(60), ..RateLimitConfig::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_has_one_set_of_limits_for_all_clones() {
        let table = table();
        let permit = table.limits("a").acquire(1, Priority::Normal, None).await.unwrap();
        assert_eq!(table.clone().limits("a").state().in_flight, 1);
        assert_eq!(table.limits("b").state().in_flight, 0);
        drop(permit);
        assert_eq!(table.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_names_do_not_grow_the_table_nor_reset_what_is_used() {
        let table = table();
        let running = table.limits("used").acquire(1, Priority::Normal, None).await.unwrap();
        for name in 0..3 * MOST {
            table.limits(&format!("made-up-{name}"));
        }
        assert_eq!(table.len(), MOST);
        assert_eq!(table.limits("used").state().in_flight, 1);
        table.limits(&"x".repeat(LONGEST + 1));
        assert_eq!(table.len(), MOST);
        drop(running);
        assert_eq!(table.limits("used").state().requests_left, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_idle_model_the_rest_share_and_later_there_is_room_again() {
        let table = table();
        for name in 0..MOST {
            drop(table.limits(&name.to_string()).acquire(1, Priority::Normal, None).await.unwrap());
        }
        let stranger = table.limits("stranger").acquire(1, Priority::Normal, None).await.unwrap();
        assert_eq!(table.limits("another").state().in_flight, 1);
        drop(stranger);
        tokio::time::advance(Duration::from_secs(1)).await;
        table.limits("0");
        table.limits("another");
        let models = table.0.models.lock().unwrap();
        assert!(models.by_name.contains_key("another") && models.by_name.contains_key("0"));
        assert!(!models.by_name.contains_key("1"), "the one longest unused makes room");
    }
}
