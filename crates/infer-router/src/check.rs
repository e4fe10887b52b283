//! Finds everything that is wrong with routes, at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{RouteConfig, RouterConfig, TargetConfig};
use crate::names;
use crate::registry::Registry;

impl RouterConfig {
    /// Adds what is wrong to `faults`, each by its path, such as `routes.fast.targets[1].weight`.
    ///
    /// Looks at the providers too: at two of one name, and at targets whose provider does not exist.
    pub fn validate(&self, registry: &Registry, faults: &mut Vec<String>) {
        registry.validate(faults);
        for (name, route) in &self.routes {
            let path = format!("routes.{name}");
            check_name(name, &path, faults);
            self.check_route(name, route, &path, registry, faults);
        }
        self.check_aliases(registry, faults);
        if let Some(name) = &self.default_route
            && !self.routes.contains_key(name)
        {
            faults.push(format!("default_route: {}", missing("route", name, self.routes.keys())));
        }
        let fallbacks =
            self.routes.iter().map(|(name, route)| (name.as_str(), route.fallback.iter().collect()));
        circles(&fallbacks.collect(), |circle| {
            let name = circle.first().copied().unwrap_or_default();
            faults.push(format!("routes.{name}.fallback: goes in a circle: {}", circle.join(" -> ")));
        });
    }

    fn check_route(
        &self,
        name: &str,
        route: &RouteConfig,
        path: &str,
        registry: &Registry,
        faults: &mut Vec<String>,
    ) {
        if route.targets.is_empty() {
            faults.push(format!("{path}.targets: must have at least one target"));
        }
        let mut seen = BTreeSet::new();
        for (nth, target) in route.targets.iter().enumerate() {
            let path = format!("{path}.targets[{nth}]");
            check_provider(&target.provider, &path, registry, faults);
            check_model(name, target.model.as_deref(), &path, faults);
            check_numbers(target, &path, faults);
            if !seen.insert((&target.provider, target.model.as_deref().unwrap_or(name))) {
                faults.push(format!("{path}: the same provider and model stand in this route twice"));
            }
        }
        for fallback in &route.fallback {
            if fallback.contains('*') {
                faults.push(format!("{path}.fallback: {fallback:?} has a '*': name a route without one"));
            } else if !self.routes.contains_key(fallback) {
                faults.push(format!("{path}.fallback: {}", missing("route", fallback, self.routes.keys())));
            }
        }
        if route.hold_back.is_some_and(|time| time.is_zero()) {
            faults.push(format!("{path}.hold_back: must be above 0s; leave it out for never"));
        }
        if let Some(shadow) = &route.shadow {
            let path = format!("{path}.shadow");
            check_provider(&shadow.provider, &path, registry, faults);
            check_model(name, shadow.model.as_deref(), &path, faults);
            if !(shadow.rate > 0.0 && shadow.rate <= 1.0) {
                faults.push(format!("{path}.rate: must be above 0 and at most 1, got {}", shadow.rate));
            }
            if shadow.max_in_flight == 0 {
                faults.push(format!("{path}.max_in_flight: must be at least 1, got 0"));
            }
        }
    }

    fn check_aliases(&self, registry: &Registry, faults: &mut Vec<String>) {
        for (alias, meant) in &self.aliases {
            let path = format!("aliases.{alias}");
            check_name(alias, &path, faults);
            if alias.contains('*') {
                faults.push(format!("{path}: an alias stands for one name and has no '*'"));
            }
            if self.routes.contains_key(alias) {
                faults.push(format!("{path}: there is a route of this name: remove one of the two"));
            }
            if !self.leads_somewhere(meant, registry) {
                let known = self.routes.keys().chain(self.aliases.keys());
                faults.push(format!("{path}: {}", missing("route", meant, known)));
            }
        }
        let steps = self.aliases.iter().map(|(alias, meant)| (alias.as_str(), vec![meant]));
        circles(&steps.collect(), |circle| {
            let name = circle.first().copied().unwrap_or_default();
            faults.push(format!("aliases.{name}: goes in a circle: {}", circle.join(" -> ")));
        });
    }

    fn leads_somewhere(&self, name: &str, registry: &Registry) -> bool {
        let is_direct = || {
            self.direct
                && name.split_once('/').is_some_and(|(provider, _)| registry.provider(provider).is_some())
        };
        let is_wild = || {
            let begins =
                |pattern: &String| pattern.strip_suffix('*').is_some_and(|head| name.starts_with(head));
            self.routes.keys().any(begins)
        };
        self.routes.contains_key(name) || self.aliases.contains_key(name) || is_direct() || is_wild()
    }
}

fn check_name(name: &str, path: &str, faults: &mut Vec<String>) {
    if name.is_empty() || name.contains(char::is_control) {
        faults
            .push(format!("{}: a name must not be empty or contain control characters", path.escape_debug()));
    }
    if name.strip_suffix('*').unwrap_or(name).contains('*') {
        faults.push(format!("{path}: a '*' can only stand once and at the end"));
    }
}

fn check_provider(name: &str, path: &str, registry: &Registry, faults: &mut Vec<String>) {
    if name.is_empty() {
        faults.push(format!("{path}.provider: is missing: name one of the providers"));
    } else if registry.provider(name).is_none() {
        faults.push(format!("{path}.provider: {}", missing("provider", name, registry.names())));
    }
}

fn check_model(route: &str, model: Option<&str>, path: &str, faults: &mut Vec<String>) {
    let Some(model) = model else { return };
    let stars = model.matches('*').count();
    if model.is_empty() {
        faults.push(format!("{path}.model: must not be empty; leave it out for the name of the route"));
    } else if stars > 1 || (stars == 1 && !route.ends_with('*')) {
        faults.push(format!("{path}.model: {model:?}: a '*' can stand once, where the route's name has one"));
    }
}

fn check_numbers(target: &TargetConfig, path: &str, faults: &mut Vec<String>) {
    if !(target.weight > 0.0 && target.weight.is_finite()) {
        faults.push(format!("{path}.weight: must be above 0 and finite, got {}", target.weight));
    }
    if target.max_output_tokens == Some(0) {
        faults.push(format!("{path}.max_output_tokens: must be at least 1, got 0"));
    }
    if target.max_context_tokens == Some(0) {
        faults.push(format!("{path}.max_context_tokens: must be at least 1, got 0"));
    }
    if let Some(temperature) = target.temperature
        && !(0.0..=2.0).contains(&temperature)
    {
        faults.push(format!("{path}.temperature: must be from 0 to 2, got {temperature}"));
    }
}

fn missing<S: AsRef<str>>(what: &str, name: &str, known: impl IntoIterator<Item = S>) -> String {
    format!("there is no {what} {name:?}{}", names::near(name, known))
}

/// Tells of every circle that a walk along `steps` meets, each as the names from one to itself.
fn circles(steps: &BTreeMap<&str, Vec<&String>>, mut tell: impl FnMut(&[&str])) {
    let mut done = BTreeSet::new();
    for &begin in steps.keys() {
        // The way from `begin`, with how many steps of each name were taken. No recursion: a chain may be long.
        let mut way: Vec<(&str, usize)> = vec![(begin, 0)];
        let mut on_way = BTreeSet::from([begin]);
        while let Some((name, taken)) = way.last_mut() {
            let name = *name;
            let next = steps.get(name).and_then(|next| next.get(*taken)).filter(|_| !done.contains(name));
            *taken += 1;
            match next {
                None => {
                    done.insert(name);
                    on_way.remove(name);
                    way.pop();
                }
                Some(next) if on_way.contains(next.as_str()) => {
                    let from = way.iter().position(|(name, _)| name == next).unwrap_or_default();
                    let mut circle: Vec<&str> = way.iter().skip(from).map(|(name, _)| *name).collect();
                    circle.push(next);
                    tell(&circle);
                }
                Some(next) => {
                    on_way.insert(next);
                    way.push((next, 0));
                }
            }
        }
    }
}
