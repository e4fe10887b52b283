//! Every configuration that a page shows can be read.
//!
//! A block of YAML names the file that it is, behind the language: ```` ```yaml llm.yaml ````.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inference::config::{Format, Source};

/// A block of YAML.
#[derive(Debug, PartialEq, Eq)]
struct Snippet {
    /// Where it begins: `docs/a.md:7`.
    place: String,
    /// The file that it is.
    file: Option<String>,
    text: String,
}

fn snippets(page: &str, text: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    let mut open: Option<Snippet> = None;
    for (line, words) in text.lines().enumerate() {
        let fence = words.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => {
                let mut words = info.split_whitespace();
                let is_yaml = words.next() == Some("yaml");
                let file = words.next().filter(|_| is_yaml).map(str::to_owned);
                let place = format!("{page}:{}", line + 1);
                let language = if is_yaml { place } else { String::new() };
                open = Some(Snippet { place: language, file, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take().filter(|snippet| !snippet.place.is_empty())),
            (Some(snippet), None) => snippet.text.extend([words, "\n"]),
            (None, None) => {}
        }
    }
    found
}

/// What is wrong with a block; nothing, mostly.
fn fault_of(snippet: &Snippet) -> Option<String> {
    let Snippet { place, file, text } = snippet;
    let Some(file) = file else {
        return Some(format!("{place}: names no file: write ```yaml llm.yaml, or the name of another file"));
    };
    if file != "llm.yaml" {
        let read = serde_saphyr::from_str::<serde_json::Value>(text);
        return read.err().map(|error| format!("{place}: {error}"));
    }
    // A part of a file stands for the whole that it would be part of.
    let is_part = !text.lines().any(|line| line.starts_with("providers:"));
    let whole =
        if is_part { format!("{text}providers: {{ openai: {{ api_key: '' }} }}\n") } else { text.clone() };
    let read = crate::reader().read(&Source::text(whole, Format::Yaml), &variables(text));
    read.err().map(|faults| format!("{place}: {faults}"))
}

/// Something for every variable that is used.
fn variables(text: &str) -> BTreeMap<String, String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    names
        .map(|name| {
            let value =
                if name.ends_with("_URL") { "redis://127.0.0.1:6379" } else { "0123456789abcdef0123" };
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// The pages that show configurations.
fn pages() -> Vec<PathBuf> {
    let root = crate::root();
    let mut pages = vec![root.join("README.md"), root.join("deploy/README.md")];
    for folder in ["docs", "docs/migrating"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        pages.extend([entry.unwrap().path().join("README.md")].into_iter().filter(|path| path.is_file()));
    }
    pages
}

fn shown(path: &Path) -> String {
    path.strip_prefix(crate::root()).unwrap_or(path).display().to_string()
}

#[test]
fn every_configuration_on_a_page_can_be_read() {
    let found: Vec<Snippet> =
        pages().iter().flat_map(|path| snippets(&shown(path), &crate::read(path))).collect();
    let whole = found.iter().filter(|snippet| snippet.file.as_deref() == Some("llm.yaml")).count();
    assert!(whole >= 10, "only {whole} configurations on the pages");
    let faults: Vec<String> = found.iter().filter_map(fault_of).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_configuration_with_a_fault_is_found_with_its_page_and_line() {
    let text = "# A\n\n```yaml llm.yaml\nproviders: { openai: { timuot: 1s } }\n```\n```yaml\na: 1\n```\n```yaml b.yml\n- [\n```\n\
                ```sh\na: [\n```\n```yaml llm.yaml\ndata: /var/lib/infer\n```\n";
    let faults: Vec<Option<String>> = snippets("docs/a.md", text).iter().map(fault_of).collect();
    let [Some(unknown), Some(unnamed), Some(broken), None] = faults.as_slice() else { panic!("{faults:#?}") };
    assert_eq!(unknown, "docs/a.md:3: 1:24: providers.openai.timuot: unknown key; did you mean timeout?");
    assert_eq!(unnamed, "docs/a.md:6: names no file: write ```yaml llm.yaml, or the name of another file");
    assert!(broken.starts_with("docs/a.md:9: "), "{broken}");
}
