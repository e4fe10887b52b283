//! The settings that every provider has beside its own.

/// What settings are for: the name of each, and the lines of its documentation. A line that is empty says nothing.
pub type MemberDocs = &'static [(&'static str, &'static [&'static str])];

/// Declares the settings of a provider: its own members, and those that every provider has.
///
/// What is written inside comes first. After it come `name`, `api_key`, `headers`, `query`, `price_overrides`,
/// `rate_limits`, `retry`, `circuit_breaker`, `hedge`, `network`, `timeouts` and `limits`, so that they are spelled alike
/// everywhere. The struct derives `Clone`, `Debug`, `Default`, `PartialEq` and `Deserialize`; unknown keys are errors.
/// It gets a method `remote`, which collects what the pipeline needs, and a constant `DOCS`, which holds what is written
/// above the members ([`MemberDocs`](crate::MemberDocs)). The calling crate must depend on `serde`.
///
/// With `impl KIND for PROVIDER` after it, the struct is a [`ProviderConfig`](crate::ProviderConfig) too: the provider is
/// made by `PROVIDER::new(&settings, name)` and its credential comes from `api_key`. It then has a method `site` as well,
/// which checks what all providers have in common ([`Site`](crate::Site)), and `site_after` for those that find faults of
/// their own first. `presets JSON` at the end gives it known
/// upstreams ([`Presets`](crate::Presets)), `, credentials METHOD` takes the credential from a method of the settings, for
/// those that can name more than a key.
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
/// assert_eq!(ToyConfig::DOCS[0], ("endpoint", &[" Where it is."][..]));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// The whole of a provider's settings:
///
/// ```
/// # use infer_core::InferenceError;
/// # use remote_core::{Operation, ProviderConfig, Site};
/// remote_core::provider_settings! {
///     /// Settings of a toy.
///     pub struct ToyConfig {
///         /// Where it is; the vendor's own when empty.
///         pub endpoint: String,
///     }
///     impl "toy" for Toy
/// }
/// # #[derive(Debug)]
/// # pub struct Toy { site: Site }
/// # impl remote_core::RemoteProvider for Toy {
/// #     type Codec = Wire;
/// #     fn codec(&self) -> &Wire { &Wire }
/// #     fn site(&self) -> &Site { &self.site }
/// # }
/// # #[derive(Debug)]
/// # pub struct Wire;
/// # impl infer_core::Codec for Wire {
/// #     type Decoder = Wire;
/// #     fn encode(&self, _: &infer_core::ExecuteBatch) -> Result<bytes::Bytes, InferenceError> { Ok(bytes::Bytes::new()) }
/// #     fn decode_full(&self, _: &bytes::Bytes) -> Result<infer_core::Completion, infer_core::WireFault> { Err(infer_core::WireFault::Truncated) }
/// #     fn decoder(&self) -> Wire { Wire }
/// #     fn error_body(&self, _: &[u8]) -> infer_core::ErrorBody { infer_core::ErrorBody::default() }
/// # }
/// # impl infer_core::EventDecoder for Wire {
/// #     fn event(&mut self, _: &str, _: &bytes::Bytes, _: &mut Vec<infer_core::TokenChunk>) -> Result<infer_core::Step, infer_core::WireFault> { Ok(infer_core::Step::Done) }
/// #     fn finish(&mut self) -> Result<(), infer_core::WireFault> { Ok(()) }
/// # }
///
/// impl Toy {
///     fn new(config: &ToyConfig, name: &str) -> Result<Self, InferenceError> {
///         let site = config.site(name, &config.endpoint, "https://api.toy.example/v1")?;
///         Ok(Self { site: site.with_route(Operation::Generate, "/chat")? })
///     }
/// }
///
/// let config = ToyConfig { name: Some("mine".into()), ..ToyConfig::default() };
/// assert_eq!(ToyConfig::KIND, "toy");
/// assert_eq!(&*config.into_provider("toy")?.site.info().name, "mine");
/// # Ok::<(), InferenceError>(())
/// ```
#[macro_export]
macro_rules! provider_settings {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$($member_meta:tt)*])* pub $member:ident: $kind:ty),* $(,)?
        }
        impl $word:literal for $provider:ident $(presets $presets:expr)? $(, credentials $source:ident)?
    ) => {
        $crate::provider_settings! {
            $(#[$meta])*
            $visibility struct $name {
                $($(#[$($member_meta)*])* pub $member: $kind,)*
            }
        }

        impl $name {
            /// Checks what all providers have in common. `name` is the runner's where the settings give none, `endpoint`
            /// the base URL that was set, and `home` the vendor's own, which stands in for an empty one.
            ///
            /// # Errors
            /// A configuration error that names every fault at once.
            $visibility fn site(
                &self,
                name: &str,
                endpoint: &str,
                home: &str,
            ) -> Result<$crate::Site, $crate::InferenceError> {
                self.site_after(Vec::new(), name, endpoint, home)
            }

            /// The same, with the `faults` that the provider found by itself before all others.
            ///
            /// # Errors
            /// A configuration error that names every fault at once.
            $visibility fn site_after(
                &self,
                faults: Vec<String>,
                name: &str,
                endpoint: &str,
                home: &str,
            ) -> Result<$crate::Site, $crate::InferenceError> {
                let settings = $crate::SiteSettings {
                    kind: $word,
                    name: self.name.as_deref().unwrap_or(name),
                    endpoint,
                    home,
                    headers: &self.headers,
                    query: &self.query,
                    price_overrides: &self.price_overrides,
                };
                $crate::Site::check(settings, faults)
            }
        }

        impl $crate::ProviderConfig for $name {
            const KIND: &'static str = $word;
            $(const PRESETS: &'static str = $presets;)?
            const DOCS: $crate::MemberDocs = $name::DOCS;
            type Provider = $provider;

            fn remote(&self) -> $crate::RemoteConfig {
                self.remote()
            }

            fn credentials(
                &self,
            ) -> Result<std::sync::Arc<dyn $crate::session::CredentialSource>, $crate::InferenceError> {
                $crate::provider_settings!(@credentials self $($source)?)
            }

            fn into_provider(self, name: &str) -> Result<$provider, $crate::InferenceError> {
                $provider::new(&self, name)
            }

            fn into_runner(
                self,
                name: &str,
                session: $crate::session::SessionHandle,
                sink: std::sync::Arc<dyn $crate::meter::MetricsSink>,
            ) -> Result<std::sync::Arc<dyn $crate::ModelRunner>, $crate::InferenceError> {
                $crate::RemoteRunner::shared(self, name, session, sink)
            }
        }
    };
    (@credentials $settings:ident) => { Ok($settings.api_key.clone().into()) };
    (@credentials $settings:ident $source:ident) => { $settings.$source() };
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$($member_meta:tt)*])* pub $member:ident: $kind:ty),* $(,)?
        }
    ) => {
        $crate::provider_settings! {
            @whole
            $(#[$meta])*
            $visibility struct $name {
                $($(#[$($member_meta)*])* pub $member: $kind,)*
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
                /// How the upstream is reached: proxy, authorities, private addresses.
                pub network: $crate::config::NetworkConfig,
                /// How long to wait for what.
                pub timeouts: $crate::config::TimeoutConfig,
                /// How much the upstream may send.
                pub limits: $crate::config::SizeLimits,
            }
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
                    network: self.network.clone(),
                }
            }
        }
    };
    (
        @whole
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$($member_meta:tt)*])* pub $member:ident: $kind:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $name {
            $($(#[$($member_meta)*])* pub $member: $kind,)*
        }

        impl $name {
            /// What each of the settings is for, by name, for schemas and help.
            $visibility const DOCS: $crate::MemberDocs = &[
                $((stringify!($member), &[$($crate::provider_settings!(@doc $($member_meta)*)),*]),)*
            ];
        }
    };
    (@doc doc = $text:expr) => { $text };
    (@doc $($other:tt)*) => { "" };
}
