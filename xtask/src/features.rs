//! Which feature sets are worth building, and which this machine can build.
//!
//! `native-tls` compiles against OpenSSL's headers on Linux. Where they are missing the checks run
//! without that one feature and say so, since a fresh machine with only Rust must be able to check.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use cargo_metadata::Package;

use crate::workspace::Workspace;

/// Features that need a library from the system to compile.
const NEEDS_OPENSSL: &str = "native-tls";

/// The features of all members, less those this machine cannot build.
#[derive(Debug)]
pub(crate) struct Features {
    by_crate: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    left_out: Option<&'static str>,
}

impl Features {
    /// Reads the declared features and asks whether OpenSSL's headers are here.
    pub(crate) fn of(workspace: &Workspace) -> Self {
        let by_crate = workspace.members().into_iter().map(|p| (p.name.to_string(), declared(p))).collect();
        Self { by_crate, left_out: (!openssl_is_here()).then_some(NEEDS_OPENSSL) }
    }

    /// What is not built here and why, as a line to print.
    pub(crate) fn left_out(&self) -> Option<String> {
        let feature = self.left_out?;
        let concerned = self.by_crate.values().any(|f| f.contains_key(feature));
        concerned.then(|| {
            format!("feature `{feature}` is not checked: no OpenSSL headers here (libssl-dev, pkg-config)")
        })
    }

    /// Arguments that turn on everything in a call for the whole workspace.
    pub(crate) fn all(&self) -> Vec<String> {
        if self.left_out.is_none() {
            return vec!["--all-features".to_owned()];
        }
        let crates = self.by_crate.iter();
        let named = crates.flat_map(|(name, features)| {
            features.keys().filter(|f| self.is_buildable(f)).map(move |f| format!("{name}/{f}"))
        });
        features_argument(&named.collect::<Vec<_>>())
    }

    /// The feature sets of one crate that differ from each other: default, none, all.
    pub(crate) fn sets(&self, name: &str) -> Vec<Vec<String>> {
        let mut sets = vec![Vec::new()];
        let Some(features) = self.by_crate.get(name) else { return sets };
        let default = closure(features, "default");
        if !default.is_empty() {
            sets.push(vec!["--no-default-features".to_owned()]);
        }
        let every: BTreeSet<&str> = features.keys().map(String::as_str).filter(|f| *f != "default").collect();
        let buildable: BTreeSet<&str> = every.iter().copied().filter(|f| self.is_buildable(f)).collect();
        if buildable.is_subset(&default) {
            return sets;
        }
        if buildable == every {
            sets.push(vec!["--all-features".to_owned()]);
        } else {
            sets.push(features_argument(&buildable.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        }
        sets
    }

    fn is_buildable(&self, feature: &str) -> bool {
        self.left_out != Some(feature)
    }
}

fn declared(package: &Package) -> BTreeMap<String, Vec<String>> {
    package.features.iter().map(|(name, turns_on)| (name.clone(), turns_on.clone())).collect()
}

fn features_argument(names: &[String]) -> Vec<String> {
    if names.is_empty() { Vec::new() } else { vec!["--features".to_owned(), names.join(",")] }
}

/// The features of the same crate that `start` turns on, directly or through others.
fn closure<'a>(features: &'a BTreeMap<String, Vec<String>>, start: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = features.get(start).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if let Some((name, turns_on)) = features.get_key_value(next)
            && found.insert(name.as_str())
        {
            open.extend(turns_on);
        }
    }
    found
}

fn openssl_is_here() -> bool {
    if !cfg!(target_os = "linux") {
        return true; // elsewhere the feature uses the platform's own TLS
    }
    let mut asked = Command::new("pkg-config");
    asked.args(["--exists", "openssl"]).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(left_out: Option<&'static str>, declared: &[(&str, &[&str])]) -> Features {
        let declared = declared
            .iter()
            .map(|(name, on)| ((*name).to_owned(), on.iter().map(|s| (*s).to_owned()).collect()));
        Features { by_crate: BTreeMap::from([("it".to_owned(), declared.collect())]), left_out }
    }

    fn sets(features: &Features) -> Vec<String> {
        features.sets("it").iter().map(|set| set.join(" ")).collect()
    }

    #[test]
    fn a_crate_without_features_is_built_once() {
        assert_eq!(sets(&features(None, &[])), [""]);
    }

    #[test]
    fn a_crate_whose_default_is_everything_is_built_twice() {
        let it = features(None, &[("default", &["tls"]), ("tls", &["dep:rustls"])]);
        assert_eq!(sets(&it), ["", "--no-default-features"]);
    }

    #[test]
    fn a_feature_outside_the_default_adds_the_third_build() {
        let it = features(None, &[("default", &["a"]), ("a", &[]), ("native-tls", &[])]);
        assert_eq!(sets(&it), ["", "--no-default-features", "--all-features"]);
        let it = features(None, &[("redis", &[])]);
        assert_eq!(sets(&it), ["", "--all-features"]);
    }

    #[test]
    fn without_openssl_everything_else_is_still_built() {
        let it =
            features(Some("native-tls"), &[("default", &["a"]), ("a", &[]), ("b", &[]), ("native-tls", &[])]);
        assert_eq!(sets(&it), ["", "--no-default-features", "--features a,b"]);
        assert_eq!(it.all(), ["--features", "it/a,it/b,it/default"]);
        assert!(it.left_out().is_some_and(|line| line.contains("native-tls")));
    }

    #[test]
    fn a_feature_nobody_declares_is_not_reported_as_left_out() {
        assert_eq!(features(Some("native-tls"), &[("a", &[])]).left_out(), None);
    }

    #[test]
    fn features_that_turn_each_other_on_end() {
        let it = features(None, &[("default", &["a"]), ("a", &["b"]), ("b", &["a"])]);
        assert_eq!(sets(&it), ["", "--no-default-features"]);
    }
}
