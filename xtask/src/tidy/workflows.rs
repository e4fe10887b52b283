//! Rules for `.github/workflows`: what runs there is pinned, and is what a contributor can run.
//!
//! Textual, as the rules for sources are: a step is a line with `uses:` or `run:`, or the block below a `run: |`.

use super::Finding;

/// What a line may begin with: our own commands, what they need installed, and the files of a release.
const COMMANDS: [&str; 6] = [
    "cargo xtask ",
    "cargo install --locked ",
    "rustup target add ",
    "sudo apt-get install ",
    "sudo apt-get update",
    "gh release ",
];
/// What makes more than one command of a line, or lets a name that somebody else chose become one.
const CLEVER: [&str; 8] = ["&&", "||", "|", ";", "`", "$(", "${{", ">"];

/// Whether the rules hold for a file.
pub(super) fn is_workflow(file: &str) -> bool {
    let ending = |ending: &str| file.ends_with(ending);
    file.starts_with(".github/") && (ending(".yml") || ending(".yaml"))
}

/// Applies them to one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // How far the key of a block of commands is indented, while inside of one.
    let mut block = None;
    for (index, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if bare.is_empty() {
            continue;
        }
        if block.is_some_and(|key| indent > key) {
            findings.extend(command_fault(bare).map(|fault| Finding::line(file, index, fault)));
            continue;
        }
        block = None;
        let key = bare.strip_prefix("- ").unwrap_or(bare);
        if let Some(action) = key.strip_prefix("uses:") {
            findings.extend(pin_fault(action.trim()).map(|fault| Finding::line(file, index, fault)));
        } else if let Some(command) = key.strip_prefix("run:").map(str::trim) {
            if command.is_empty() || command.starts_with(['|', '>']) {
                block = Some(indent);
            } else {
                findings.extend(command_fault(command).map(|fault| Finding::line(file, index, fault)));
            }
        } else if key.starts_with(['{', '[']) && (key.contains("uses:") || key.contains("run:")) {
            findings.push(Finding::line(
                file,
                index,
                "write a step as lines of its own, so that it can be checked",
            ));
        }
    }
    findings
}

/// A tag can be moved to other code; a commit cannot, and says nothing to a reader without its version.
fn pin_fault(action: &str) -> Option<String> {
    let (reference, comment) = action.split_once('#').unwrap_or((action, ""));
    let commit = reference.trim().rsplit_once('@').map_or("", |(_, commit)| commit);
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let version = comment.trim().strip_prefix('v').unwrap_or_default();
    let is_version = version.starts_with(|digit: char| digit.is_ascii_digit());
    (!is_commit || !is_version).then(|| {
        format!(
            "`{}` is not pinned: write `@` and the 40 digits of a commit, then `# v` and its version",
            reference.trim()
        )
    })
}

fn command_fault(command: &str) -> Option<String> {
    if let Some(clever) = CLEVER.iter().find(|clever| command.contains(*clever)) {
        return Some(format!(
            "`{clever}` in a command: let `cargo xtask` do it, where it can be run by hand and tested"
        ));
    }
    let is_known = COMMANDS.iter().any(|start| command.starts_with(start));
    (!is_known).then(|| {
        format!("`{command}`: workflows call `cargo xtask`, install what it needs, or `gh release`, and nothing else")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINNED: &str = "actions/checkout@fbc6f3992d24b796d5a048ff273f7fcc4a7b6c09 # v5.1.0";

    fn found(steps: &str) -> Vec<String> {
        let text = format!("jobs:\n  a:\n    steps:\n{steps}");
        check(".github/workflows/a.yml", &text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_action_without_a_commit_and_its_version_is_found() {
        assert!(found(&format!("      - uses: {PINNED}\n")).is_empty());
        for bad in [
            "actions/checkout@v5",
            "actions/checkout@main # v5",
            "actions/checkout",
            "./.github/actions/mine",
            "actions/checkout@fbc6f3992d24b796d5a048ff273f7fcc4a7b6c09",
            "actions/checkout@fbc6f3992d24b796d5a048ff273f7fcc4a7b6c09 # latest",
            "actions/checkout@fbc6f3992d24b796d5a048ff273f7fcc4a7b6c # v5.1.0",
            "actions/checkout@gbc6f3992d24b796d5a048ff273f7fcc4a7b6c09 # v5.1.0",
        ] {
            for step in [format!("      - uses: {bad}\n"), format!("      - name: x\n        uses: {bad}\n")]
            {
                assert_eq!(found(&step).len(), 1, "{step}");
            }
        }
        let line = found("      - uses: actions/checkout@v5\n");
        assert!(
            line[0].starts_with(".github/workflows/a.yml:4: `actions/checkout@v5` is not pinned"),
            "{line:?}"
        );
    }

    #[test]
    fn a_command_of_its_own_is_found_in_a_line_and_in_a_block() {
        for good in [
            "cargo xtask ci",
            "sudo apt-get install -y redis-server",
            "gh release create \"$TAG\" target/dist/*",
        ] {
            assert!(found(&format!("      - run: {good}\n")).is_empty(), "{good}");
            assert!(
                found(&format!("      - run: |\n          {good}\n\n          {good}\n")).is_empty(),
                "{good}"
            );
        }
        for bad in [
            "cargo test",
            "./build.sh",
            "cargo xtask ci && rm -rf /",
            "cargo xtask ci | tee log",
            "cargo xtask dist; ls",
            "cargo xtask ${{ github.head_ref }}",
            "gh release create $(cat tag)",
            "gh pr merge",
            "cargo xtaskish",
        ] {
            assert_eq!(found(&format!("      - run: {bad}\n")).len(), 1, "{bad}");
            let block = format!(
                "      - name: x\n        run: |\n          cargo xtask ci\n          {bad}\n        env: {{}}\n"
            );
            assert_eq!(found(&block).len(), 1, "{block}");
        }
    }

    #[test]
    fn a_block_ends_where_its_lines_are_no_longer_further_in() {
        let steps =
            format!("      - run: |\n          cargo xtask ci\n      - uses: {PINNED}\n      - run: make\n");
        assert_eq!(found(&steps).len(), 1);
        assert_eq!(found("      - { run: make }\n").len(), 1);
    }

    #[test]
    fn only_workflows_and_actions_are_looked_at() {
        assert!(is_workflow(".github/workflows/ci.yml") && is_workflow(".github/actions/a/action.yaml"));
        assert!(!is_workflow("deploy/kubernetes/service.yaml") && !is_workflow(".github/CODEOWNERS"));
    }
}
