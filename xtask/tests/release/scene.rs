//! A workspace of four crates in a git repository of its own, and the commands that release it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The crates in the order of publishing, with what each needs: the alphabet alone would put them otherwise.
const CRATES: [(&str, &[&str]); 4] = [
    ("zinc-core", &[]),
    ("tin-wire", &["zinc-core"]),
    ("iron-kit", &["tin-wire", "zinc-core"]),
    ("alloy", &["iron-kit"]),
];

/// The names of [`CRATES`].
pub(crate) const ORDER: [&str; 4] = ["zinc-core", "tin-wire", "iron-kit", "alloy"];

/// Everything a command may touch is below one temporary folder; gone when dropped.
pub(crate) struct Scene {
    folder: TempDir,
    index: String,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) is_well: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scene {
    /// The workspace at version 0.1.0 with one commit, whose packages belong to the registry at `index`.
    pub(crate) fn new(index: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), index: index.to_owned() };
        scene.write("Cargo.toml", &root_manifest());
        for (name, needs) in CRATES {
            scene.write(&format!("crates/{name}/Cargo.toml"), &manifest(name, needs));
            scene.write(
                &format!("crates/{name}/README.md"),
                &format!("# {name}\n\n```toml\n{name} = \"0.1\"\n```\n"),
            );
            scene.write(&format!("crates/{name}/LICENSE-MIT"), LICENCE);
            scene.write(&format!("crates/{name}/src/lib.rs"), &source(needs));
        }
        scene.write(
            "tools/Cargo.toml",
            "[package]\nname = \"tools\"\nversion.workspace = true\npublish = false\n",
        );
        scene.write("tools/src/lib.rs", "//! Not published.\n");
        scene.write("LICENSE-MIT", LICENCE);
        scene.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- added: zinc-core: everything.\n");
        scene.write(".gitignore", "/target\n");
        scene.program("cargo", &["generate-lockfile", "--quiet"]);
        scene.program("git", &["init", "--quiet"]);
        scene.commit("all of it");
        scene
    }

    /// The same, bumped to 0.2.0 and tagged.
    pub(crate) fn released(index: &str) -> Self {
        let scene = Self::new(index);
        let bumped = scene.release(&["bump", "minor", "--execute", "--tag", "--date", "2026-11-21"]);
        assert!(bumped.is_well, "{}", bumped.err);
        scene
    }

    /// Runs `cargo xtask release` with `args` and nothing of the user's settings.
    pub(crate) fn release(&self, args: &[&str]) -> Ended {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_xtask")));
        command.arg("release").args(args).arg("--dir").arg(self.root());
        Ended::of(&command.output().unwrap())
    }

    /// The same with `folder` in front of where programs are looked for.
    pub(crate) fn release_with(&self, folder: &Path, args: &[&str]) -> Ended {
        let path = std::env::join_paths(
            [folder.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_xtask")));
        command.env("PATH", path.unwrap()).arg("release").args(args).arg("--dir").arg(self.root());
        Ended::of(&command.output().unwrap())
    }

    /// What `program` prints; it must succeed.
    pub(crate) fn program(&self, program: &str, args: &[&str]) -> String {
        let ended = Ended::of(&self.command(Path::new(program)).args(args).output().unwrap());
        assert!(ended.is_well, "{program} {args:?}: {}", ended.err);
        ended.out
    }

    /// Commits all there is.
    pub(crate) fn commit(&self, subject: &str) {
        self.program("git", &["add", "."]);
        self.program("git", &["commit", "--quiet", "-m", subject]);
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root().join(file)).unwrap()
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.root().join(file)).unwrap();
    }

    /// Writes `file` anew with `from`, which must be in it, as `to`.
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from:?}: {text}");
        self.write(file, &text.replace(from, to));
    }

    /// What git calls changed.
    pub(crate) fn status(&self) -> String {
        self.program("git", &["status", "--porcelain"])
    }

    /// A folder for what belongs to no workspace.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// A call of `program` at the root that sees none of the user's settings, keys or registries.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let is_theirs =
                |name: &str| name.starts_with("CARGO") || name.starts_with("GIT_") || name == "RUSTFLAGS";
            if name.to_str().is_some_and(is_theirs) {
                command.env_remove(name);
            }
        }
        fs::create_dir_all(self.root()).unwrap();
        command
            .current_dir(self.root())
            .env("CARGO_HOME", self.beside("cargo"))
            .env("CARGO_REGISTRIES_LOCAL_INDEX", &self.index)
            .env("CARGO_REGISTRIES_LOCAL_TOKEN", "a-key")
            .env("CARGO_REGISTRIES_LOCAL_CREDENTIAL_PROVIDER", "cargo:token")
            .env("CARGO_NET_RETRY", "0")
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .env("CARGO_INCREMENTAL", "0")
            .env("GIT_CONFIG_GLOBAL", self.beside("git").join("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.invalid")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.invalid");
        command
    }
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { is_well: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The one error it ended with.
    pub(crate) fn error(&self) -> &str {
        assert!(!self.is_well, "it was to fail: {}", self.out);
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        // Cargo's own errors come before.
        errors.last().unwrap_or_else(|| panic!("no error in {}", self.err))
    }
}

const LICENCE: &str = "Do as you like.\n";

fn root_manifest() -> String {
    let mut text = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\", \"tools\"]\n\n[workspace.package]\nversion = \"0.1.0\"\n\
                    edition = \"2024\"\nlicense = \"MIT\"\nrepository = \"https://example.invalid/alloy\"\n\n\
                    [workspace.dependencies]\n"
        .to_owned();
    for (name, _) in CRATES {
        writeln!(text, "{name} = {{ path = \"crates/{name}\", version = \"0.1.0\", registry = \"local\" }}")
            .unwrap();
    }
    text
}

fn manifest(name: &str, needs: &[&str]) -> String {
    let mut text = format!(
        "[package]\nname = \"{name}\"\ndescription = \"A part of an alloy.\"\nversion.workspace = true\n\
         edition.workspace = true\nlicense.workspace = true\nrepository.workspace = true\nkeywords = [\"metal\"]\n\
         categories = [\"science\"]\n\n[dependencies]\n"
    );
    for need in needs {
        writeln!(text, "{need}.workspace = true").unwrap();
    }
    // Tests go the other way round: cargo leaves them out of packages, and so does the order.
    if name == "zinc-core" {
        text.push_str("\n[dev-dependencies]\nalloy = { path = \"../alloy\" }\n");
    }
    text
}

/// Uses what it needs, so that a package which compiles has found it.
fn source(needs: &[&str]) -> String {
    let mut text =
        "//! A part of an alloy.\n\n/// How many parts there are in it.\npub const PARTS: usize = 1"
            .to_owned();
    for need in needs {
        write!(text, " + {}::PARTS", need.replace('-', "_")).unwrap();
    }
    text.push_str(";\n");
    text
}
