//! What is checked, part by part: what it needs, what stands behind the gateway, and who asks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::scene::{self, ADMIN_KEY, Scene};
use super::{Ground, tools};
use crate::real::tail;

/// One part, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    OpenaiPython,
    OpenaiNode,
    AnthropicPython,
    Dashboard,
    Redis,
}

/// The programs a part is run with.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// Python, with the SDKs.
    python: PathBuf,
    /// Where scripts for Node stand beside their packages.
    node: PathBuf,
    chromium: PathBuf,
}

impl Part {
    pub(super) const ALL: [Self; 5] =
        [Self::OpenaiPython, Self::OpenaiNode, Self::AnthropicPython, Self::Dashboard, Self::Redis];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OpenaiPython => "openai-python",
            Self::OpenaiNode => "openai-node",
            Self::AnthropicPython => "anthropic-python",
            Self::Dashboard => "dashboard",
            Self::Redis => "redis",
        }
    }

    /// Finds or fetches what the part needs.
    ///
    /// # Errors
    /// What is missing here, and how to get it.
    pub(super) fn tools(self, ground: &Ground) -> Result<Tools> {
        let mut tools = Tools::default();
        match self {
            Self::OpenaiPython | Self::AnthropicPython => tools.python = tools::python(ground)?,
            Self::OpenaiNode => tools.node = tools::node(ground)?,
            Self::Dashboard => {
                tools.node = tools::node(ground)?;
                tools.chromium = tools::chromium()?;
            }
            Self::Redis => {
                tools.python = tools::python(ground)?;
                tools::redis_server()?;
            }
        }
        Ok(tools)
    }

    /// Starts what it is checked against, and checks it.
    ///
    /// # Errors
    /// When a check fails; the script has said which.
    pub(super) fn run(self, ground: &Ground, tools: &Tools) -> Result<()> {
        let folder = ground.folder(self)?;
        match self {
            Self::OpenaiPython | Self::AnthropicPython => {
                let scene = Scene::start(ground, &folder, scene::sdks)?;
                let file = if self == Self::OpenaiPython { "openai_sdk.py" } else { "anthropic_sdk.py" };
                let mut script = Command::new(&tools.python);
                script.arg(ground.source(file)).arg(scene.facts());
                judge(script, &scene)
            }
            Self::OpenaiNode => {
                let scene = Scene::start(ground, &folder, scene::sdks)?;
                let mut script = Command::new("node");
                script.arg(tools.node.join("openai_sdk.mjs")).arg(scene.facts());
                judge(script, &scene)
            }
            Self::Dashboard => dashboard(ground, tools, &folder),
            Self::Redis => {
                let redis = tools::start_redis(&folder)?;
                let scene = Scene::start(ground, &folder, |sims| scene::shared(sims, &redis.url))?;
                let another = scene.another(ground)?;
                let mut script = Command::new(&tools.python);
                script.arg(ground.source("shared.py")).arg(scene.facts()).arg(&another.url);
                judge(script, &scene)
            }
        }
    }
}

/// The page in a browser; its pictures are kept where they are wanted.
fn dashboard(ground: &Ground, tools: &Tools, folder: &Path) -> Result<()> {
    let scene = Scene::start(ground, folder, scene::showcase)?;
    let mut traffic = Command::new("node");
    let seconds = if ground.pictures.is_some() { "25" } else { "2" };
    traffic.arg(tools.node.join("traffic.mjs")).args([scene.facts().as_str(), seconds]);
    judge(traffic, &scene)?;
    let shots = folder.join("pictures");
    let mut script = Command::new("node");
    script.arg(tools.node.join("dashboard.mjs"));
    script
        .args([scene.gateway.url.as_str(), ADMIN_KEY, &shots.display().to_string()])
        .env("CHROMIUM", &tools.chromium);
    judge(script, &scene)?;
    if let Some(pictures) = &ground.pictures {
        fs::create_dir_all(pictures)?;
        for name in ["light", "dark", "phone"] {
            let (from, to) =
                (shots.join(format!("{name}.png")), pictures.join(format!("dashboard-{name}.png")));
            fs::copy(&from, &to).with_context(|| format!("there is no picture {}", from.display()))?;
        }
        anstream::eprintln!("new pictures are in {}", pictures.display());
    }
    Ok(())
}

/// Runs a script, whose words go to the terminal.
fn judge(mut script: Command, scene: &Scene) -> Result<()> {
    script.stdin(Stdio::null()).env("NO_PROXY", "127.0.0.1,localhost").env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"] {
        script.env_remove(name);
    }
    let program = script.get_program().display().to_string();
    let status = script.status().with_context(|| format!("cannot start {program}"))?;
    let log = &scene.gateway.log;
    ensure!(
        status.success(),
        "the checks ended with {status}; the gateway's log is {}{}",
        log.display(),
        tail(log)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn parts_have_the_names_that_the_command_line_takes() {
        for part in Part::ALL {
            assert_eq!(part.to_possible_value().unwrap().get_name(), part.name());
        }
        assert_eq!(Part::value_variants(), Part::ALL);
    }
}
