//! Routes that follow from the providers.

use infer_router::{RouteConfig, RouterConfig, TargetConfig};
use infer_store::budget::OnExceed;

use super::Config;
use super::fault::Fault;
use super::known::nearest;
use super::report::report_one;
use super::tree::Node;

impl Config {
    /// The routes, together with those that follow from the providers and that nobody wrote:
    ///
    /// - Providers with a `model` make a route of that name, each with its priority and weight, so that a model served
    ///   by two providers is shared between them.
    /// - A single provider without a `model` gets every name that no route takes.
    pub fn routing(&self) -> RouterConfig {
        let mut routing = self.router.clone();
        let mut implied = RouterConfig::default();
        for (name, provider) in &self.providers {
            let Some(model) = &provider.model else { continue };
            if model.contains('*')
                || routing.routes.contains_key(model)
                || routing.aliases.contains_key(model)
            {
                continue;
            }
            let target = TargetConfig {
                weight: provider.weight,
                priority: provider.priority,
                ..TargetConfig::new(name, model)
            };
            implied.routes.entry(model.clone()).or_default().targets.push(target);
        }
        routing.routes.extend(implied.routes);
        if let (1, Some((name, provider))) = (self.providers.len(), self.providers.first_key_value())
            && provider.model.is_none()
            && routing.default_route.is_none()
            && !routing.routes.contains_key("*")
        {
            let target = TargetConfig { provider: name.clone(), ..TargetConfig::default() };
            routing
                .routes
                .insert("*".to_owned(), RouteConfig { targets: vec![target], ..RouteConfig::default() });
        }
        routing
    }

    /// The model of calls that name none: `model`, else that of the provider that is asked first if it has one.
    pub fn default_model(&self) -> Option<String> {
        self.model.as_ref().map(super::ModelChoice::address).or_else(|| {
            let first = self.providers.values().filter(|provider| provider.model.is_some());
            first.min_by_key(|provider| provider.priority).and_then(|provider| provider.model.clone())
        })
    }
}

/// Reports budgets that downgrade to a route that is not there.
pub(crate) fn check_downgrades(config: &Config, tree: &Node, faults: &mut Vec<Fault>) {
    // Routes that could not be read are not there either, and have been reported.
    let decides = |path: &str| ["providers", "routes", "aliases"].iter().any(|root| path.starts_with(root));
    if faults.iter().any(|fault| decides(&fault.path)) {
        return;
    }
    let routing = config.routing();
    for (place, limit) in config.budgets.limits.iter().enumerate() {
        let OnExceed::Downgrade(route) = &limit.on_exceed else { continue };
        if routing.routes.contains_key(route) || routing.aliases.contains_key(route) {
            continue;
        }
        let shown: String = route.chars().take(40).collect();
        let known = routing.routes.keys().chain(routing.aliases.keys()).map(String::as_str);
        let way_out = nearest(route, known.filter(|name| *name != "*"));
        let way_out =
            way_out.map_or("add it, or name another".to_owned(), |near| format!("did you mean {near}?"));
        let path = format!("budgets.limits[{place}].on_exceed.downgrade");
        report_one(&format!("{path}: there is no route {shown:?}: {way_out}"), tree, "", faults);
    }
}
