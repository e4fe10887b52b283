//! Routes that follow from the providers.

use infer_router::{RouteConfig, RouterConfig, TargetConfig};

use super::Config;

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
