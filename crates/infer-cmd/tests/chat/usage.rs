//! What is said to those who hold it wrong, and what helps them.

use serde_json::json;

use crate::running::{infer, run};

#[test]
fn wrong_usage_is_one_line_that_names_the_flag_and_ends_with_two() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.png");
    std::fs::write(&text, "no picture").unwrap();
    let text = text.to_str().unwrap();
    for (args, part) in [
        (&["chat", ""][..], "the prompt is empty"),
        (&["chat", "--model", "", "Hello"], "--model is empty"),
        (&["chat", "--image", "/nowhere.png", "Hello"], "--image /nowhere.png: cannot be read"),
        (&["chat", "--image", text, "Hello"], "is not a PNG, JPEG, WebP or GIF file"),
        (&["chat", "--response-format", "yaml", "Hello"], "--response-format yaml: is neither"),
        (&["chat", "--response-format", text, "Hello"], "is not JSON"),
    ] {
        let ran = run(infer(args).arg("--json"));
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("infer: ") && ran.stderr.contains(part), "{args:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {ran:?}");
        let object = ran.json();
        assert_eq!(object["error"]["kind"], "config", "{args:?}");
        assert_eq!(object["error"]["attempts"], 0, "{args:?}");
        assert_eq!(object["partial"]["text"], "", "{args:?}");
    }
}

#[test]
fn a_flag_that_does_not_exist_or_fit_ends_with_two_and_keeps_the_json_shape() {
    for (args, part) in [
        (&["chat", "--tempreature", "1", "Hello"][..], "--tempreature"),
        (&["chat", "--temperature", "3", "Hello"], "from 0 to 2"),
        (&["chat", "--timeout", "30", "Hello"], "500ms, 30s or 2m"),
        (&["chat", "--max-tokens", "0", "Hello"], "--max-tokens"),
        (&["sim", "--port", "70000"], "--port"),
        (&["talk"], "talk"),
    ] {
        let ran = run(&mut infer(args));
        assert!(ran.code == 2 && ran.stderr.contains(part) && ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }
    let ran = run(&mut infer(&["chat", "--json", "--temperature", "3", "Hello"]));
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (2, &json!("config")), "{ran:?}");
}

#[test]
fn input_that_is_not_text_is_refused() {
    let ran = run(infer(&["chat"]).write_stdin(b"\xff\xfe\x00".to_vec()));
    assert!(ran.code == 2 && ran.stderr.contains("not UTF-8") && ran.stderr.contains("--image"), "{ran:?}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_named() {
    for filter in ["remote_core=loud", "infer[chat]=debug", "a=b=c"] {
        let ran = run(infer(&["chat", "Hello"]).env("RUST_LOG", filter));
        assert!(ran.code == 2 && ran.stderr.contains("RUST_LOG"), "{ran:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let version = run(&mut infer(&["--version"]));
    assert_eq!((version.code, version.stdout), (0, format!("infer {}\n", env!("CARGO_PKG_VERSION"))));
    let help = run(&mut infer(&["chat", "--help"]));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for part in ["OPENAI_API_KEY", "--base-url", "Exit codes", "Examples"] {
        assert!(help.stdout.contains(part), "{part}");
    }
    assert_eq!(run(&mut infer(&[])).code, 2);
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(&mut infer(&["completions", shell]));
        assert_eq!(ran.code, 0, "{shell}: {}", ran.stderr);
        for part in ["base-url", "config", "schema", "data-dir", "chart"] {
            assert!(ran.stdout.contains(part), "{shell}: {part}");
        }
        if matches!(shell, "bash" | "zsh" | "fish") {
            assert!(ran.stdout.contains("month") && ran.stdout.contains("csv"), "{shell}: values");
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_names_its_flags_and_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("share/man1");
    let ran = run(&mut infer(&["man", "--out", out.to_str().unwrap()]));
    assert!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    let page = |name: &str| std::fs::read_to_string(out.join(format!("{name}.1"))).unwrap();
    for (name, part) in [
        ("infer", "infer\\-chat(1)"),
        ("infer-chat", "\\-\\-base\\-url"),
        ("infer-serve", "\\-\\-listen"),
        ("infer-config-check", "\\-\\-json"),
        ("infer-keys-rotate", "\\-\\-grace"),
    ] {
        let page = page(name);
        assert!(page.contains(part), "{name} does not name {part}: {page}");
        // A field that is empty lets those after it move up one place.
        let title = format!(".TH {name} 1 \" \" \"infer {}\" \"User Commands\"", env!("CARGO_PKG_VERSION"));
        assert!(page.lines().any(|line| line == title), "{name}: {page}");
    }
    assert!(!out.join("infer-help.1").exists());
}

#[test]
fn manual_pages_that_cannot_be_written_name_the_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = file.path().to_str().unwrap();
    let ran = run(&mut infer(&["man", "--out", out]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.starts_with(&format!("infer: --out {out}: cannot be written")), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    for flags in [&["chat", "Hello"][..], &["chat", "--json", "Hello"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_infer"));
        command.env_clear().env("NO_PROXY", "*").args(flags).stdin(std::process::Stdio::null());
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("infer: standard output cannot be written"), "{stderr}");
    }
}
