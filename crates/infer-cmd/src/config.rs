//! `infer config`.

use std::path::PathBuf;

use inference::Config;
use inference::config::{Process, Reader};
use serde_json::json;

use crate::args::{ConfigArgs, ConfigCommand};
use crate::failure::Failure;
use crate::output::Printer;
use crate::signals::Signals;
use crate::upstream::variable;

const DEFAULT_FILE: &str = "llm.yaml";

/// Reads what `infer serve` reads, so that one file serves both.
pub(crate) fn reader() -> Reader {
    infer_gateway::sections().into_iter().fold(Reader::default(), Reader::with_section)
}

/// Checks or shows.
pub(crate) async fn run(command: ConfigCommand, signals: &mut Signals) -> Result<(), Failure> {
    let text = match command {
        ConfigCommand::Schema => format!("{:#}", reader().schema()),
        ConfigCommand::Check(args) => {
            let (file, config) = read(&args, signals).await?;
            let (providers, routes) = names(&config);
            if args.json {
                json!({ "ok": true, "file": file, "providers": providers, "routes": routes }).to_string()
            } else {
                let providers = counted("provider", &providers);
                format!("{}: ok: {providers}, {}", file.display(), counted("route", &routes))
            }
        }
        ConfigCommand::Show(args) => {
            let (_, config) = read(&args, signals).await?;
            if args.json { config.show_json().to_string() } else { config.show() }
        }
    };
    Ok(Printer::new().document(&text).await?)
}

/// The configuration that is meant: the one named, else the environment's, else that of this directory.
pub(crate) fn file(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(file) => Ok(file.clone()),
        None => Ok(variable("INFER_CONFIG")?.map_or_else(|| DEFAULT_FILE.into(), PathBuf::from)),
    }
}

/// What says where something is kept.
pub(crate) enum Said {
    /// A directory that was named.
    Directory(PathBuf),
    /// A configuration, from this file.
    Config(PathBuf, Box<Config>),
}

impl Said {
    /// What was named, else the environment's directory, else a configuration. `way_out` is what to do where there is none.
    pub(crate) fn of(
        named: Option<&PathBuf>,
        named_config: Option<&PathBuf>,
        way_out: &str,
    ) -> Result<Self, Failure> {
        if let Some(directory) = named {
            return Ok(Self::Directory(directory.clone()));
        }
        if named_config.is_none()
            && let Some(directory) = variable("INFER_DATA_DIR")?
        {
            return Ok(Self::Directory(directory.into()));
        }
        let file = file(named_config)?;
        if named_config.is_none() && variable("INFER_CONFIG")?.is_none() && !file.exists() {
            return Err(Failure::usage(format!("there is no {}: {way_out}", file.display())));
        }
        let config = reader().file(&file, &Process).map_err(Failure::Faults)?;
        Ok(Self::Config(file, Box::new(config)))
    }

    /// The directory, of the configuration too.
    pub(crate) fn directory(self, way_out: &str) -> Result<PathBuf, Failure> {
        match self {
            Self::Directory(directory) => Ok(directory),
            Self::Config(file, config) => config
                .data
                .ok_or_else(|| Failure::usage(format!("{}: has no data: {way_out}", file.display()))),
        }
    }
}

/// Where data are kept: what was named, else the environment's, else what the configuration says. `way_out` is what to do
/// where nothing says it.
pub(crate) fn data_directory(
    named: Option<&PathBuf>,
    named_config: Option<&PathBuf>,
    way_out: &str,
) -> Result<PathBuf, Failure> {
    Said::of(named, named_config, way_out)?.directory(way_out)
}

async fn read(args: &ConfigArgs, signals: &mut Signals) -> Result<(PathBuf, Config), Failure> {
    let file = file(args.file.as_ref())?;
    signals
        .blocking(move || {
            let config = reader().file(&file, &Process).map_err(Failure::Faults)?;
            Ok((file, config))
        })
        .await
}

/// Of the providers, and of the routes that follow from the file.
fn names(config: &Config) -> (Vec<String>, Vec<String>) {
    (config.providers.keys().cloned().collect(), config.routing().routes.into_keys().collect())
}

/// `2 routes (fast, slow)`.
fn counted(what: &str, names: &[String]) -> String {
    match names {
        [] => format!("no {what}s"),
        [one] => format!("1 {what} ({one})"),
        _ => format!("{} {what}s ({})", names.len(), names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_words() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(counted("route", &[]), "no routes");
        assert_eq!(counted("route", &names[..1]), "1 route (a)");
        assert_eq!(counted("route", &names), "2 routes (a, b)");
    }
}
