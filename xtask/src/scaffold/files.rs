//! The files of a new provider: templates, which are crates of a vendor called Acme, and what becomes of them.

use clap::ValueEnum;

use super::names::Name;

/// What the upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speaks {
    /// Chat Completions, read by `wire-chat`
    Chat,
    /// A wire format of its own, which gets a crate of its own
    Own,
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewFile {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Where a template goes inside its crate, and its text.
type Template = (&'static str, &'static str);

macro_rules! templates {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $folder, "/", $path)))),*]
    };
}

const BOTH: &[Template] = templates!("both": "README.md", "prices.tsv", "src/lib.rs", "src/config.rs");
const CHAT: &[Template] =
    templates!("chat": "manifest.toml", "src/provider.rs", "tests/conformance.rs", "tests/http.rs");
const OWN: &[Template] = templates!(
    "own": "manifest.toml", "src/provider.rs", "tests/conformance/main.rs", "tests/conformance/wire.rs", "tests/http.rs"
);
const WIRE: &[Template] = templates!(
    "wire": "manifest.toml", "README.md", "src/lib.rs", "src/answer.rs", "src/codec.rs", "src/decoder.rs",
    "src/fault.rs", "src/request.rs", "tests/data/answer.json", "tests/data/events.jsonl", "tests/fixtures.rs",
    "tests/laws.rs"
);

/// Every package carries them.
const LICENCES: [Template; 2] = [
    ("LICENSE-MIT", include_str!("../../../LICENSE-MIT")),
    ("LICENSE-APACHE", include_str!("../../../LICENSE-APACHE")),
];

impl Speaks {
    /// The crates to make, those that are used first.
    pub(super) fn crates(self, name: &Name) -> Vec<String> {
        match self {
            Self::Chat => vec![format!("runtime-{name}")],
            Self::Own => vec![format!("wire-{name}"), format!("runtime-{name}")],
        }
    }

    fn templates(self) -> Vec<(&'static str, Template)> {
        let of = |family, list: &[Template]| list.iter().map(move |&file| (family, file)).collect::<Vec<_>>();
        match self {
            Self::Chat => [of("runtime", BOTH), of("runtime", CHAT)].concat(),
            Self::Own => [of("wire", WIRE), of("runtime", BOTH), of("runtime", OWN)].concat(),
        }
    }

    /// Every file of the new crates, in the order of their paths.
    pub(super) fn files(self, name: &Name, today: &str) -> Vec<NewFile> {
        let write = |(family, (path, text)): (&str, Template)| {
            // A manifest by its own name would make a package of the template.
            let path = if path == "manifest.toml" { "Cargo.toml" } else { path };
            NewFile { path: format!("crates/{family}-{name}/{path}"), text: name.write_into(text, today) }
        };
        let mut files: Vec<NewFile> = self.templates().into_iter().map(write).collect();
        let licences = self.crates(name).into_iter().flat_map(|krate| {
            LICENCES
                .map(|(path, text)| NewFile { path: format!("crates/{krate}/{path}"), text: text.to_owned() })
        });
        files.extend(licences);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// The type this name would give, if the code of the new crates uses the same word for something else.
    pub(super) fn taken_word(self, name: &Name) -> Option<String> {
        let pascal = name.pascal();
        let own = ["", "Config", "Runner", "Codec", "Decoder", "Wire"].map(|end| format!("{pascal}{end}"));
        let rust = |path: &str| path.rsplit_once('.').is_some_and(|(_, end)| end == "rs");
        let sources = self.templates().into_iter().filter(|(_, (path, _))| rust(path));
        let lines = sources.flat_map(|(_, (_, text))| text.lines());
        let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.flat_map(|line| line.split('"').step_by(2)); // what stands in quotes is no code
        let mut words = code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        words.find(|word| own.iter().any(|own| own == word) && !word.starts_with("Acme")).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn files_below(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path, found, root);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn every_template_is_written_by_somebody() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found = BTreeSet::new();
        files_below(&root, &mut found, &root);
        let listed = [("both", BOTH), ("chat", CHAT), ("own", OWN), ("wire", WIRE)];
        let listed = listed
            .iter()
            .flat_map(|(folder, list)| list.iter().map(move |(path, _)| format!("{folder}/{path}")));
        assert_eq!(found, listed.collect());
    }

    #[test]
    fn no_placeholder_is_left_over_in_text_or_path() {
        for speaks in [Speaks::Chat, Speaks::Own] {
            for file in speaks.files(&name("my-cloud"), "2026-11-21") {
                let all = format!("{}\n{}", file.path, file.text).to_lowercase();
                assert!(!all.contains("acme") && !all.contains("2000-01-01"), "{}", file.path);
                assert!(!all.contains("my-cloud_") && !all.contains("_my-cloud"), "{}", file.path);
                assert!(file.text.ends_with('\n') && !file.text.ends_with("\n\n"), "{}", file.path);
            }
        }
    }

    #[test]
    fn every_new_crate_has_what_a_package_must_carry() {
        for speaks in [Speaks::Chat, Speaks::Own] {
            let name = name("my-cloud");
            let files = speaks.files(&name, "2026-11-21");
            for krate in speaks.crates(&name) {
                let text = |file: &str| {
                    let path = format!("crates/{krate}/{file}");
                    files.iter().find(|file| file.path == path).map(|file| file.text.as_str()).unwrap()
                };
                assert!(text("LICENSE-MIT").contains("MIT") && text("LICENSE-APACHE").contains("Apache"));
                assert!(text("README.md").starts_with(&format!("# {krate}\n")));
                for key in ["description", "keywords", "categories", "license", "repository"] {
                    assert!(text("Cargo.toml").contains(&format!("\n{key}")), "{krate} has no {key}");
                }
            }
        }
    }

    #[test]
    fn a_wire_format_of_its_own_is_a_second_crate() {
        let roots = |speaks: Speaks| -> BTreeSet<String> {
            let files = speaks.files(&name("x"), "2026-11-21").into_iter();
            files.filter_map(|file| file.path.strip_suffix("/Cargo.toml").map(str::to_owned)).collect()
        };
        assert_eq!(roots(Speaks::Chat), ["crates/runtime-x".to_owned()].into());
        assert_eq!(roots(Speaks::Own), ["crates/runtime-x", "crates/wire-x"].map(str::to_owned).into());
    }

    #[test]
    fn a_name_that_would_hide_a_type_the_code_uses_is_found() {
        for (bad, word) in
            [("site", "Site"), ("self", "Self"), ("error-kind", "ErrorKind"), ("provider", "ProviderConfig")]
        {
            assert_eq!(Speaks::Chat.taken_word(&name(bad)).as_deref(), Some(word), "{bad}");
        }
        for good in ["acme", "mistral", "my-cloud", "x"] {
            assert_eq!(Speaks::Own.taken_word(&name(good)), None, "{good}");
        }
    }
}
