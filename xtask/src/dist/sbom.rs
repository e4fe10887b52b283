//! The bill of materials: CycloneDX 1.6 as JSON, of exactly what is linked.
//!
//! By the specification of CycloneDX 1.6 and its JSON schema, and package URLs by the type `cargo` of the purl
//! specification, both read 2026-11-21.

use anyhow::Result;
use serde_json::{Value, json};

use super::checksums::sha256;
use super::linked::{Crate, Id, Linked};

/// What a bill is about.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) linked: &'a Linked,
    /// What it was built for.
    pub(super) target: &'a str,
    /// The compiler, whose standard library is linked as well.
    pub(super) compiler: &'a str,
    pub(super) binary: &'a [u8],
    /// RFC 3339.
    pub(super) time: &'a str,
}

/// The bill as text; the same for the same subject.
pub(super) fn bill(subject: &Subject<'_>) -> Result<String> {
    let Subject { linked, target, compiler, binary, time } = subject;
    let (_, version) = &linked.root;
    let library = format!("pkg:generic/rust-std@{compiler}");
    let mut components: Vec<Value> = linked
        .crates
        .iter()
        .filter(|(id, _)| **id != linked.root)
        .map(|(id, linked)| component(id, linked, "library"))
        .collect();
    components.push(json!({
        "type": "library", "bom-ref": library, "name": "rust-std", "version": compiler, "scope": "required",
        "description": "The standard library of Rust.", "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": library,
    }));
    let mut dependencies: Vec<Value> = linked
        .crates
        .iter()
        .map(|(id, linked)| {
            let mut uses: Vec<String> = linked.uses.iter().map(purl).collect();
            // Every crate uses it; said once, of the whole.
            uses.extend((*id == subject.linked.root).then(|| library.clone()));
            json!({ "ref": purl(id), "dependsOn": uses })
        })
        .collect();
    dependencies.push(json!({ "ref": library, "dependsOn": [] }));

    let mut whole = linked
        .crates
        .get(&linked.root)
        .map_or(Value::Null, |root| component(&linked.root, root, "application"));
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("name".into(), json!("infer"));
        whole.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": sha256(binary) }]));
        whole.remove("scope");
    }
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "cargo xtask dist", "version": version }] },
            "component": whole,
            "properties": [
                { "name": "infer:target", "value": target },
                { "name": "infer:rustc", "value": compiler },
            ],
        },
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial(&serde_json::to_vec(&bill)?);
    if let Some(bill) = bill.as_object_mut() {
        bill.insert("serialNumber".into(), json!(serial));
    }
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn component(id: &Id, linked: &Crate, kind: &str) -> Value {
    let (name, version) = id;
    let licence = match &linked.licence {
        Some(expression) => json!({ "expression": expression }),
        None => json!({ "license": { "name": "as its own licence file says" } }),
    };
    let mut component = json!({
        "type": kind, "bom-ref": purl(id), "name": name, "version": version, "scope": "required",
        "licenses": [licence], "purl": purl(id),
    });
    if let Some(fields) = component.as_object_mut() {
        if let Some(description) = &linked.description {
            fields.insert(
                "description".into(),
                json!(description.split_whitespace().collect::<Vec<_>>().join(" ")),
            );
        }
        if let Some(checksum) = &linked.checksum {
            fields.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": checksum }]));
        }
        if let Some(repository) = &linked.repository {
            fields.insert("externalReferences".into(), json!([{ "type": "vcs", "url": repository }]));
        }
    }
    component
}

fn purl((name, version): &Id) -> String {
    // The `+` of a build number stands for a space in what a URL asks for.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// A number that follows from the contents: a UUID of version 8, which is free to be made from a hash (RFC 9562).
fn serial(contents: &[u8]) -> String {
    let mut digits: Vec<char> = sha256(contents).chars().take(32).collect();
    for (place, digit) in [(12, '8'), (16, 'a')] {
        if let Some(slot) = digits.get_mut(place) {
            *slot = digit;
        }
    }
    for place in [20, 16, 12, 8] {
        digits.insert(place, '-');
    }
    format!("urn:uuid:{}", digits.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0+2".to_owned())
    }

    fn linked() -> Linked {
        let of = |uses: &[&str], checksum: Option<&str>| Crate {
            licence: Some("MIT OR Apache-2.0".to_owned()),
            description: Some("Two\n lines.".to_owned()),
            repository: Some("https://example.com/x".to_owned()),
            checksum: checksum.map(|digit| digit.repeat(64)),
            uses: uses.iter().map(|name| id(name)).collect(),
            ..Crate::default()
        };
        let crates =
            [("infer-cmd", of(&["a", "b"], None)), ("a", of(&["b"], Some("0"))), ("b", of(&[], Some("f")))];
        Linked { root: id("infer-cmd"), crates: crates.map(|(name, of)| (id(name), of)).into() }
    }

    fn text(linked: &Linked, binary: &[u8]) -> String {
        let (target, compiler, time) = ("x86_64-unknown-linux-gnu", "1.95.0", "2026-11-21T00:00:00Z");
        bill(&Subject { linked, target, compiler, binary, time }).unwrap()
    }

    /// What the schema requires, and what it says of the members used here.
    fn faults(bill: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                faults.push(what);
            }
        };
        must(bill["bomFormat"] == "CycloneDX", "bomFormat".into());
        must(bill["specVersion"] == "1.6", "specVersion".into());
        must(bill["version"].as_u64() == Some(1), "version".into());
        let serial =
            bill["serialNumber"].as_str().unwrap_or_default().strip_prefix("urn:uuid:").unwrap_or_default();
        let parts: Vec<usize> = serial.split('-').map(str::len).collect();
        let is_hex = serial.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f'));
        must(parts == [8, 4, 4, 4, 12] && is_hex, format!("serialNumber {serial:?}"));
        let time = bill["metadata"]["timestamp"].as_str().unwrap_or_default();
        must(humantime::parse_rfc3339(time).is_ok(), format!("timestamp {time:?}"));
        let none = Vec::new();
        let listed = bill["components"].as_array().unwrap_or(&none);
        must(!listed.is_empty(), "no component".into());
        let mut refs = BTreeSet::new();
        for component in listed.iter().chain([&bill["metadata"]["component"]]) {
            let name = component["name"].as_str().unwrap_or_default();
            must(!name.is_empty(), "a component without a name".into());
            must(
                matches!(component["type"].as_str(), Some("library" | "application")),
                format!("{name}: type"),
            );
            let own = component["bom-ref"].as_str().unwrap_or_default();
            must(!own.is_empty() && refs.insert(own), format!("{name}: bom-ref is missing or not its own"));
            must(
                component["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:")),
                format!("{name}: purl"),
            );
            let licences = component["licenses"].as_array().unwrap_or(&none);
            must(licences.len() == 1, format!("{name}: an expression stands alone"));
            for hash in component["hashes"].as_array().unwrap_or(&none) {
                let content = hash["content"].as_str().unwrap_or_default();
                let fits = content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit());
                must(hash["alg"] == "SHA-256" && fits, format!("{name}: hash"));
            }
        }
        let mut described = BTreeSet::new();
        for dependency in bill["dependencies"].as_array().unwrap_or(&none) {
            let own = dependency["ref"].as_str().unwrap_or_default();
            must(described.insert(own), format!("{own}: two lists of dependencies"));
            let uses = dependency["dependsOn"].as_array().unwrap_or(&none);
            let unique: BTreeSet<&str> = uses.iter().filter_map(Value::as_str).collect();
            must(unique.len() == uses.len(), format!("{own}: one dependency twice"));
            must(unique.is_subset(&refs), format!("{own}: depends on what is not listed"));
        }
        must(described == refs, "some component has no list of dependencies".into());
        faults
    }

    #[test]
    fn a_bill_has_everything_the_schema_requires() {
        let bill: Value = serde_json::from_str(&text(&linked(), b"binary")).unwrap();
        assert!(faults(&bill).is_empty(), "{:?}", faults(&bill));
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], sha256(b"binary"));
        let names: Vec<_> =
            bill["components"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["a", "b", "rust-std"]);
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/a@1.0.0%2B2");
        assert_eq!(bill["components"][0]["description"], "Two lines.");
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "0".repeat(64));
    }

    #[test]
    fn the_bill_of_the_real_binary_has_no_fault_either() {
        let workspace = crate::workspace::Workspace::load().unwrap();
        let linked = Linked::of(&workspace, "x86_64-unknown-linux-gnu", super::super::FEATURES).unwrap();
        let bill: Value = serde_json::from_str(&text(&linked, b"")).unwrap();
        assert!(faults(&bill).is_empty(), "{:?}", faults(&bill));
        assert_eq!(bill["components"].as_array().unwrap().len(), linked.crates.len());
    }

    #[test]
    fn the_faults_of_a_bill_are_found() {
        let good: Value = serde_json::from_str(&text(&linked(), b"")).unwrap();
        for (place, value) in [
            ("/specVersion", json!("9")),
            ("/serialNumber", json!("urn:uuid:1")),
            ("/metadata/timestamp", json!("yesterday")),
            ("/components/0/name", json!("")),
            ("/components/0/bom-ref", json!("pkg:cargo/b@1.0.0%2B2")),
            ("/components/0/hashes/0/content", json!("00")),
            ("/dependencies/0/dependsOn", json!(["pkg:cargo/z@1"])),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value;
            assert!(!faults(&bad).is_empty(), "{place}");
        }
    }

    #[test]
    fn the_same_contents_have_the_same_serial_and_others_another() {
        let (one, same, other) = (text(&linked(), b"1"), text(&linked(), b"1"), text(&linked(), b"2"));
        assert_eq!(one, same);
        let serial = |text: &str| serde_json::from_str::<Value>(text).unwrap()["serialNumber"].clone();
        assert_ne!(serial(&one), serial(&other));
        let mut fewer = linked();
        fewer.crates.retain(|id, _| id.0 != "b");
        assert_ne!(serial(&one), serial(&text(&fewer, b"1")));
    }
}
