//! Settings of Acme.

use crate::Acme;

remote_core::provider_settings! {
    /// Settings of Acme; its own come first, the rest is what every provider has.
    pub struct AcmeConfig {
        /// The base URL, with or without a trailing slash. Acme's own when empty.
        pub endpoint: String,
    }
    impl "acme" for Acme
}
