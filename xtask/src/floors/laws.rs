//! The table of floors: who may use whom, and what must never be compiled with it.
//!
//! ```text
//! 5  infer-cmd                                            what is installed
//! 4  infer-gateway
//! 3  infer-kit                                            what most people depend on
//! 2  runtime-*, remote-testkit, remote-entra
//! 1  remote-core, wire-*, model-facts, infer-typed, infer-router, infer-store, upstream-sim
//! 0  infer-core
//! ```
//!
//! Rows of crates that do not exist yet bind them from their first day. A name ending in `*` stands
//! for every name with that beginning. Packages outside `crates/` may depend on anything.

/// What binds one crate, or a family of them.
#[derive(Debug)]
pub(super) struct Law {
    /// Whom it binds.
    pub(super) krate: &'static str,
    /// Where it stands, 0 at the bottom; nobody uses a crate above.
    pub(super) floor: u8,
    /// Which crates of this workspace it may use directly.
    pub(super) ours: &'static [&'static str],
    /// Those among them that must be optional.
    pub(super) optional: &'static [&'static str],
    /// What must not be anywhere below it.
    pub(super) never: &'static [Never],
}

/// Packages that must be absent from a crate's normal dependencies.
#[derive(Debug)]
pub(super) struct Never {
    pub(super) names: &'static [&'static str],
    pub(super) with: With,
    /// Why, as it stands in the message.
    pub(super) reason: &'static str,
}

/// The features under which a [`Never`] is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    EveryFeature,
    NoFeature,
}

const fn never(names: &'static [&'static str], reason: &'static str) -> Never {
    Never { names, with: With::EveryFeature, reason }
}

/// The row of the crate called `name`; the first that fits.
pub(super) fn law_of(name: &str) -> Option<&'static Law> {
    LAWS.iter().find(|law| matches(law.krate, name))
}

/// Whether `name` is `pattern`, or begins with it up to a closing `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

const TLS: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "hyper-rustls",
    "hyper-tls",
    "native-tls",
    "openssl",
    "openssl-sys",
    "ring",
    "rustls",
    "schannel",
    "security-framework",
    "tokio-native-tls",
    "tokio-rustls",
];

static LAWS: &[Law] = &[
    Law {
        krate: "infer-core",
        floor: 0,
        ours: &[],
        optional: &[],
        never: &[never(
            &["http", "hyper", "reqwest", "tokio", "url"],
            "the trait layer does no I/O and knows no HTTP",
        )],
    },
    Law {
        krate: "wire-*",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[never(
            &["http", "hyper", "reqwest", "tokio", "remote-core"],
            "a wire format is pure, so that it can be fuzzed and served without a client",
        )],
    },
    Law {
        krate: "remote-core",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[
            never(&["wire-*", "runtime-*"], "the shared machinery knows no vendor and no wire format"),
            Never {
                names: TLS,
                with: With::NoFeature,
                reason: "without features only plain HTTP is compiled",
            },
        ],
    },
    Law {
        krate: "model-facts",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[
            never(&["http", "hyper", "reqwest", "tokio"], "facts are data, read without a network"),
            Never {
                names: &["tiktoken-rs"],
                with: With::NoFeature,
                reason: "vocabularies are behind the feature `exact-tokens`",
            },
        ],
    },
    Law {
        krate: "infer-typed",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[never(
            &["hyper", "reqwest", "remote-core", "runtime-*"],
            "typed answers work over any runner, seen only through its trait",
        )],
    },
    Law {
        krate: "remote-entra",
        floor: 2,
        ours: &["infer-core", "remote-core"],
        optional: &[],
        never: &[never(&["wire-*", "runtime-*"], "a token service knows neither wire formats nor providers")],
    },
    Law {
        krate: "remote-testkit",
        floor: 2,
        ours: &["infer-core", "remote-core"],
        optional: &[],
        never: &[never(&["wire-*", "runtime-*"], "providers are tested with it, whatever their wire format")],
    },
    Law {
        krate: "runtime-azure",
        floor: 2,
        ours: &["infer-core", "remote-core", "remote-entra", "wire-chat"],
        optional: &["remote-entra"],
        never: &[never(
            &["runtime-openai", "infer-router", "infer-store", "infer-kit"],
            "providers do not know each other: shared code moves down a floor",
        )],
    },
    // The row of the family names `runtime-*` nowhere, and a provider's own name is never its culprit.
    Law {
        krate: "runtime-*",
        floor: 2,
        ours: &["infer-core", "remote-core", "wire-*"],
        optional: &[],
        never: &[never(
            &["runtime-*", "infer-router", "infer-store", "infer-kit"],
            "providers do not know each other: shared code moves down a floor",
        )],
    },
    Law {
        krate: "infer-router",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[never(
            &["reqwest", "remote-core", "runtime-*"],
            "routing sees runners only through their trait",
        )],
    },
    Law {
        krate: "infer-store",
        floor: 1,
        ours: &["infer-core"],
        optional: &[],
        never: &[
            never(&["remote-core", "runtime-*"], "what is stored does not depend on how it was fetched"),
            Never { names: &["redis"], with: With::NoFeature, reason: "Redis is behind the feature `redis`" },
        ],
    },
    Law {
        krate: "upstream-sim",
        floor: 1,
        ours: &["infer-core", "wire-chat"],
        optional: &[],
        never: &[never(&["remote-core", "runtime-*", "reqwest"], "it plays the other side of the client")],
    },
    Law {
        krate: "infer-kit",
        floor: 3,
        ours: &[
            "infer-core",
            "infer-router",
            "infer-store",
            "infer-typed",
            "model-facts",
            "remote-core",
            "remote-entra",
            "wire-*",
            "runtime-*",
        ],
        optional: &["runtime-*"],
        never: &[never(&["infer-gateway", "axum"], "the library does not carry the server")],
    },
    Law {
        krate: "infer-gateway",
        floor: 4,
        ours: &["infer-core", "wire-*", "infer-store", "infer-kit"],
        optional: &[],
        never: &[],
    },
    // The top floor: whatever the command shows, it may use. Nobody's row names it.
    Law {
        krate: "infer-cmd",
        floor: 5,
        ours: &["infer-*", "model-facts", "remote-core", "runtime-*", "wire-*", "upstream-sim"],
        optional: &[],
        never: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_ending() {
        assert!(matches("runtime-*", "runtime-openai"));
        assert!(!matches("runtime-*", "remote-core"));
        assert!(matches("http", "http"));
        assert!(!matches("http", "http-body"));
    }

    #[test]
    fn a_provider_that_does_not_exist_yet_is_already_bound() {
        let law = law_of("runtime-mistral").unwrap();
        assert!(!law.ours.contains(&"infer-kit"));
    }

    #[test]
    fn nobody_may_build_on_the_command() {
        for law in LAWS.iter().filter(|law| law.krate != "infer-cmd") {
            assert!(!law.ours.iter().any(|pattern| matches(pattern, "infer-cmd")), "{}", law.krate);
        }
    }

    #[test]
    fn nobody_may_use_a_crate_of_a_higher_floor() {
        for one in LAWS {
            let used =
                LAWS.iter().filter(|other| one.ours.iter().any(|pattern| matches(pattern, other.krate)));
            for other in used {
                assert!(
                    other.floor <= one.floor,
                    "{} may use {}, which stands above it",
                    one.krate,
                    other.krate
                );
            }
        }
    }

    #[test]
    fn no_two_crates_may_use_each_other() {
        for one in LAWS {
            for other in LAWS.iter().filter(|other| other.krate != one.krate) {
                let up = one.ours.iter().any(|pattern| matches(pattern, other.krate));
                let down = other.ours.iter().any(|pattern| matches(pattern, one.krate));
                assert!(!(up && down), "{} and {} may use each other", one.krate, other.krate);
            }
        }
    }
}
