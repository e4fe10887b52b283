//! A route as it is walked: stages of targets in the order in which they are asked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::ask::{Ask, Wants};
use crate::config::{PolicyConfig, ShadowConfig};
use crate::policy::Rolls;
use crate::policy::cheapest::{UnitPrice, cheapest};
use crate::policy::latency::two_choices;
use crate::policy::least::least_in_flight;
use crate::policy::smooth::Smooth;
use crate::policy::sticky::rendezvous;
use crate::registry::Provider;
use crate::target::{Model, Passed, Refusal, Target};

/// Where the calls for a name go.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// Its own priorities, then those of the routes it falls back to.
    pub(crate) stages: Vec<Arc<Stage>>,
    pub(crate) hold_back: Option<Duration>,
    pub(crate) shadow: Option<Shadow>,
    /// What the targets depend on whose model the route names.
    pub(crate) wants: Wants,
    /// Whether the model of some targets is named by the call.
    pub(crate) is_wild: bool,
}

/// Who gets copies.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) provider: Arc<Provider>,
    pub(crate) model: Model,
    pub(crate) config: ShadowConfig,
}

/// Targets of one priority.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) priority: u32,
    pub(crate) policy: PolicyConfig,
    pub(crate) targets: Vec<Target>,
    smooth: Mutex<Smooth>,
}

/// Who was chosen.
#[derive(Debug)]
pub(crate) enum Pick<'a> {
    /// It lets a call through now.
    Ready(&'a Target),
    /// None does now, and one does after this.
    Cooling(Duration),
    /// None is left.
    Nobody,
}

impl Route {
    /// What the choice for a call depends on.
    pub(crate) fn wants_for(&self, rest: &str) -> Wants {
        if !self.is_wild {
            return self.wants;
        }
        self.stages.iter().fold(self.wants, |wants, stage| wants.and(stage.wants(Some(rest))))
    }

    /// Chooses whom to ask next.
    pub(crate) fn pick(
        &self,
        ask: &Ask,
        passed: &Passed,
        now: Instant,
        rolls: &dyn Fn() -> Rolls,
    ) -> Pick<'_> {
        let hinted = Cell::new(false);
        match self.walk(ask, passed, now, rolls, Some(&hinted)) {
            Pick::Ready(target) => Pick::Ready(target),
            // Better one that others had no luck with than none.
            _ if hinted.get() => self.walk(ask, passed, now, rolls, None),
            other => other,
        }
    }

    /// Goes through the stages. Hints count where it is noted that there are some.
    fn walk(
        &self,
        ask: &Ask,
        passed: &Passed,
        now: Instant,
        rolls: &dyn Fn() -> Rolls,
        hinted: Option<&Cell<bool>>,
    ) -> Pick<'_> {
        let mut least: Option<Duration> = None;
        for stage in &self.stages {
            match stage.pick(ask, passed, now, rolls, hinted) {
                Pick::Cooling(wait) => least = Some(least.map_or(wait, |least| least.min(wait))),
                Pick::Ready(target) => return Pick::Ready(target),
                Pick::Nobody => {}
            }
        }
        least.map_or(Pick::Nobody, Pick::Cooling)
    }

    /// All targets, in the order of their stages.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.stages.iter().flat_map(|stage| &stage.targets)
    }

    /// Every target with why it cannot take the call, each reason once.
    pub(crate) fn reasons(&self, ask: &Ask, passed: &Passed) -> String {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for target in self.targets() {
            if let Some(refusal) = target.refusal(ask, passed) {
                let name = format!("{}/{}", target.provider.name(), target.model);
                reasons.entry(refusal.to_string()).or_default().push(name);
            }
        }
        let each = reasons.into_iter().map(|(reason, mut names)| {
            let more = names.len().saturating_sub(3);
            names.truncate(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}: {reason}", names.join(", "))
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Whether some target refuses for such a reason.
    pub(crate) fn refuses(&self, ask: &Ask, passed: &Passed, which: impl Fn(Refusal) -> bool) -> bool {
        self.targets().any(|target| target.refusal(ask, passed).is_some_and(&which))
    }
}

impl Stage {
    /// A stage; credits of the same targets are taken over from `before`.
    pub(crate) fn new(
        priority: u32,
        policy: PolicyConfig,
        targets: Vec<Target>,
        before: Option<&Self>,
    ) -> Self {
        let weights: Vec<f64> = targets.iter().map(|target| target.weight).collect();
        let mut smooth = Smooth::new(&weights);
        if let Some(before) = before {
            let known = before.smooth();
            for (place, target) in targets.iter().enumerate() {
                let is_same =
                    |old: &Target| old.provider.name() == target.provider.name() && old.model == target.model;
                let credit = before.targets.iter().position(is_same).and_then(|old| known.credit(old));
                smooth.set_credit(place, credit.unwrap_or(0));
            }
        }
        Self { priority, policy, targets, smooth: Mutex::new(smooth) }
    }

    /// What those of its targets depend on whose model is named by the route (`rest` is `None`), or by the call.
    pub(crate) fn wants(&self, rest: Option<&str>) -> Wants {
        let by_policy = Wants {
            cost: self.policy == PolicyConfig::LowestCost,
            key: self.policy == PolicyConfig::Sticky,
            ..Wants::default()
        };
        let named = |target: &&Target| matches!(target.model, Model::Fixed(_)) == rest.is_none();
        self.targets.iter().filter(named).fold(by_policy, |wants, target| {
            let facts = target.facts(rest.unwrap_or_default());
            wants.and(Wants { needs: facts.lacks, least_window: facts.context_window, ..by_policy })
        })
    }

    fn smooth(&self) -> MutexGuard<'_, Smooth> {
        self.smooth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pick(
        &self,
        ask: &Ask,
        passed: &Passed,
        now: Instant,
        rolls: &dyn Fn() -> Rolls,
        hinted: Option<&Cell<bool>>,
    ) -> Pick<'_> {
        let ready_in = |target: &Target| {
            let wait = target.ready_in(&ask.rest);
            let hint = hinted.map_or(Duration::ZERO, |_| target.hint(&ask.rest));
            if let Some(hinted) = hinted.filter(|_| wait.is_zero() && !hint.is_zero()) {
                hinted.set(true);
            }
            wait.max(hint)
        };
        let mut eligible = Vec::with_capacity(self.targets.len());
        for (place, target) in (0_u32..).zip(&self.targets) {
            if target.refusal(ask, passed).is_none() {
                eligible.push(place);
            }
        }
        let Some(place) = self.choose(&eligible, ask, now, rolls()) else { return Pick::Nobody };
        // Only the one chosen is asked whether it is ready: asking all takes longer than choosing.
        let Some(target) = self.targets.get(place as usize) else { return Pick::Nobody };
        let mut least = ready_in(target);
        if least.is_zero() {
            return Pick::Ready(target);
        }
        self.undo(&eligible, place);
        eligible.retain(|place| {
            let Some(target) = self.targets.get(*place as usize) else { return false };
            let wait = ready_in(target);
            if !wait.is_zero() {
                debug!(provider = %target.provider.name(), model = %target.model, ?wait, "cools down: passed over");
            }
            least = least.min(wait);
            wait.is_zero()
        });
        let place = self.choose(&eligible, ask, now, rolls());
        match place.and_then(|place| self.targets.get(place as usize)) {
            Some(target) => Pick::Ready(target),
            None => Pick::Cooling(least),
        }
    }

    /// Who would be chosen, with nothing changed by it.
    pub(crate) fn peek(&self, ask: &Ask, now: Instant, rolls: Rolls) -> Option<&Target> {
        let passed = Passed::default();
        let fits = |(place, target): (u32, &Target)| target.refusal(ask, &passed).is_none().then_some(place);
        let eligible: Vec<u32> = (0_u32..).zip(&self.targets).filter_map(fits).collect();
        let place = self.choose(&eligible, ask, now, rolls)?;
        self.undo(&eligible, place);
        self.targets.get(place as usize)
    }

    /// Takes one of the places in `eligible`.
    fn choose(&self, eligible: &[u32], ask: &Ask, now: Instant, rolls: Rolls) -> Option<u32> {
        let targets = || eligible.iter().filter_map(|place| self.targets.get(*place as usize));
        let nth = match self.policy {
            PolicyConfig::Weighted => return self.smooth().pick(eligible),
            PolicyConfig::LeastInFlight => {
                let load: Vec<_> =
                    targets().map(|target| (target.stats.in_flight(), target.weight)).collect();
                least_in_flight(load.iter().copied(), rolls.0)
            }
            PolicyConfig::LowestLatency => two_choices(eligible.len(), rolls, |nth| {
                let target = eligible.get(nth).and_then(|place| self.targets.get(*place as usize));
                target.map_or(f64::INFINITY, |target| {
                    target.stats.latency(ask.streaming).cost(now, target.stats.in_flight(), target.weight)
                })
            }),
            PolicyConfig::LowestCost => {
                let costs = targets().map(|target| {
                    let price = match &target.model {
                        Model::Fixed(_) => target.price,
                        Model::Around(..) => {
                            UnitPrice::of(target.provider.runner(), &target.model.name(&ask.rest))
                        }
                    };
                    Some(price?.cost(ask.input_tokens, ask.output_tokens))
                });
                let calls = |nth: usize| {
                    let target = eligible.get(nth).and_then(|place| self.targets.get(*place as usize));
                    target.map_or(u32::MAX, |target| target.stats.in_flight())
                };
                cheapest(costs, calls)
            }
            PolicyConfig::Sticky => rendezvous(targets().map(|target| (target.seed, target.weight)), ask.key),
        };
        eligible.get(nth?).copied()
    }

    fn undo(&self, eligible: &[u32], place: u32) {
        if self.policy == PolicyConfig::Weighted {
            self.smooth().undo(eligible, place);
        }
    }
}
