//! The settings that every provider has beside its own.

/// Declares the settings of a provider: its own members, and those that every provider has.
///
/// What is written inside comes first. After it come `name`, `api_key`, `headers`, `query`, `price_overrides`,
/// `rate_limits`, `retry`, `circuit_breaker`, `hedge`, `timeouts` and `limits`, so that they are spelled alike
/// everywhere. The struct derives `Clone`, `Debug`, `Default`, `PartialEq` and `Deserialize`; unknown keys are errors.
/// It gets a method `remote`, which collects what the pipeline needs. The calling crate must depend on `serde`.
///
/// ```
/// remote_core::provider_settings! {
///     /// Settings of a toy.
///     pub struct ToyConfig {
///         /// Where it is.
///         pub endpoint: String,
///     }
/// }
///
/// let config: ToyConfig = serde_json::from_str(r#"{"endpoint": "http://toy", "retry": {"attempts": 2}}"#)?;
/// assert_eq!(config.remote().retry.attempts, 2);
/// assert!(serde_json::from_str::<ToyConfig>(r#"{"endpiont": "http://toy"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! provider_settings {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$member_meta:meta])* pub $member:ident: $kind:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $name {
            $($(#[$member_meta])* pub $member: $kind,)*
            /// The name in logs and errors; the kind of provider when absent.
            pub name: Option<String>,
            /// Where the key comes from; none for upstreams that want none.
            pub api_key: $crate::session::SecretRef,
            /// Further headers. Their values are treated as secrets.
            pub headers: std::collections::BTreeMap<String, $crate::session::Secret>,
            /// Further query parameters. Their values are treated as secrets.
            pub query: std::collections::BTreeMap<String, $crate::session::Secret>,
            /// Own prices by model, before the list.
            pub price_overrides: std::collections::BTreeMap<String, $crate::Rates>,
            /// How much may be asked of the upstream.
            pub rate_limits: $crate::config::RateLimitConfig,
            /// Whether and how calls are repeated.
            pub retry: $crate::config::RetryConfig,
            /// When to stop asking a failing upstream.
            pub circuit_breaker: $crate::config::BreakerConfig,
            /// When to send a request a second time because no answer has begun.
            pub hedge: $crate::config::HedgeConfig,
            /// How long to wait for what.
            pub timeouts: $crate::config::TimeoutConfig,
            /// How much the upstream may send.
            pub limits: $crate::config::SizeLimits,
        }

        impl $name {
            /// The settings that the pipeline needs.
            pub fn remote(&self) -> $crate::RemoteConfig {
                $crate::RemoteConfig {
                    timeouts: self.timeouts.clone(),
                    limits: self.limits.clone(),
                    retry: self.retry.clone(),
                    rate_limits: self.rate_limits.clone(),
                    circuit_breaker: self.circuit_breaker.clone(),
                    hedge: self.hedge.clone(),
                }
            }
        }
    };
}
