//! Versions: how far a release goes, and what it is called.

use std::str::FromStr;

use semver::{BuildMetadata, Prerelease, Version};

/// How far the next version is from the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Major,
    Minor,
    Patch,
    Exact(Version),
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "major" => Ok(Self::Major),
            "minor" => Ok(Self::Minor),
            "patch" => Ok(Self::Patch),
            _ => match Version::parse(text) {
                Ok(version) if version.build.is_empty() => Ok(Self::Exact(version)),
                Ok(_) => Err(format!(
                    "`{text}` has build metadata, which cargo ignores: leave out what follows `+`"
                )),
                Err(_) => Err(format!("`{text}` is neither major, minor, patch nor a version such as 1.2.3")),
            },
        }
    }
}

impl Level {
    /// The version after `present`. Of a pre-release, `patch` is the release it prepares.
    pub(super) fn after(&self, present: &Version) -> Version {
        let mut next = Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..present.clone() };
        match self {
            Self::Exact(version) => return version.clone(),
            Self::Major => next = Version::new(present.major + 1, 0, 0),
            Self::Minor => next = Version::new(present.major, present.minor + 1, 0),
            Self::Patch if present.pre.is_empty() => next.patch += 1,
            Self::Patch => {}
        }
        next
    }
}

/// The tag of a release.
pub(super) fn tag(version: &Version) -> String {
    format!("v{version}")
}

/// The version that `tag` is for, if it is a release's.
pub(super) fn of_tag(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v')?).ok()
}

/// `requirement` moved from version `old` to `new`: its operator stays, and it stays as exact as it is.
///
/// None when it does not ask for `old`, or for more than one thing.
pub(super) fn moved(requirement: &str, old: &Version, new: &Version) -> Option<String> {
    let asked = requirement.trim_start_matches(['^', '~', '=', ' ']);
    let operator = requirement.strip_suffix(asked)?;
    let parts = asked.split('.').count();
    let short = |version: &Version| match parts {
        1 => version.major.to_string(),
        2 => format!("{}.{}", version.major, version.minor),
        _ => version.to_string(),
    };
    (asked == short(old)).then(|| format!("{operator}{}", short(new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn a_level_raises_its_own_number_and_clears_those_behind_it() {
        for (level, present, next) in [
            ("major", "1.2.3", "2.0.0"),
            ("minor", "1.2.3", "1.3.0"),
            ("patch", "1.2.3", "1.2.4"),
            ("minor", "0.1.0", "0.2.0"),
            ("patch", "1.0.0-rc.2", "1.0.0"),
            ("minor", "1.0.0-rc.2", "1.1.0"),
            ("1.0.0-rc.1", "0.9.0", "1.0.0-rc.1"),
        ] {
            let level: Level = level.parse().unwrap();
            assert_eq!(level.after(&version(present)), version(next), "{level:?} of {present}");
        }
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for bad in ["", "Minor", "1.2", "v1.2.3", "1.2.3+build"] {
            let error = bad.parse::<Level>().unwrap_err();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn a_tag_is_read_as_it_is_written_and_others_are_not_releases() {
        let rc = version("1.0.0-rc.1");
        assert_eq!(of_tag(&tag(&rc)), Some(rc));
        for other in ["1.0.0", "v1.0", "version-1.0.0", "nightly"] {
            assert_eq!(of_tag(other), None, "{other}");
        }
    }

    #[test]
    fn a_requirement_keeps_its_operator_and_its_number_of_parts() {
        let (old, new) = (version("0.1.4"), version("1.0.0-rc.1"));
        for (from, to) in [
            ("0.1.4", Some("1.0.0-rc.1")),
            ("=0.1.4", Some("=1.0.0-rc.1")),
            ("^ 0.1", Some("^ 1.0")),
            ("~0", Some("~1")),
            ("0.1.3", None),
            (">=0.1.4, <1", None),
            ("", None),
        ] {
            assert_eq!(moved(from, &old, &new).as_deref(), to, "{from}");
        }
    }
}
