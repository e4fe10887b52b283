//! What can be written on the command line.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use runtime_openai::OpenAiConfig;

use crate::cost::{By, Format, When};
use crate::failure::Failure;
use crate::keys::KeysCommand;
use crate::upstream::preset;

/// Talk to remote language models from a terminal.
#[derive(Debug, Parser)]
#[command(
    name = "infer",
    version,
    arg_required_else_help = true,
    after_help = "Start here:\n  infer chat \"Why is the sky blue?\"\n\n\
                  Without a key and a base URL a built-in simulator answers: this works at once."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log to standard error what happens; twice for more [env: RUST_LOG]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a model, and print its answer as it is written
    Chat(Box<ChatArgs>),
    /// List the models that can be asked for
    #[command(after_help = "Examples:\n  \
        infer models --preset ollama\n  \
        infer models --json | jq -r '.models[].id'")]
    Models(AskArgs),
    /// Ask whether an upstream answers, and how fast
    #[command(after_help = "Examples:\n  \
        infer health --preset groq\n  \
        infer health --base-url http://localhost:8000/v1 --json\n  \
        infer health --gateway                        # the gateway on this machine\n\n\
        Exit codes:\n  0    it answers\n  1    it does not, or says that it is not well\n  2    wrong usage or configuration")]
    Health(HealthArgs),
    /// Check and show llm.yaml: providers, routes, budgets
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what calls have cost, by the ledger in a data directory
    Cost(CostArgs),
    /// Serve everything at one address, in the shape of OpenAI's interface
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Make, show, replace and end the keys that callers of a gateway have
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Run the simulator: an OpenAI-shaped server without a model
    Sim(SimArgs),
    /// Print a script that completes commands in a shell
    #[command(after_help = "Examples:\n  \
        infer completions bash > ~/.local/share/bash-completion/completions/infer\n  \
        infer completions zsh  > ~/.zfunc/_infer\n  \
        infer completions fish > ~/.config/fish/completions/infer.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages of all commands, as packages carry them
    #[command(after_help = "Example:\n  infer man --out ~/.local/share/man/man1 && man infer-chat")]
    Man {
        /// The directory; made where it is missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl Command {
    /// The configuration by which it works, where one is named.
    pub(crate) fn config(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(match self {
            Self::Chat(args) => args.whom.config.clone(),
            Self::Models(args) => args.whom.config.clone(),
            Self::Health(args) => args.ask.whom.config.clone(),
            Self::Serve(args) => crate::serve::file(args)?,
            Self::Config(_)
            | Self::Cost(_)
            | Self::Keys(_)
            | Self::Sim(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        })
    }
}

/// Whom to ask.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// A known upstream, such as groq or ollama: its address, its key's variable and its manners [env: INFER_PRESET]
    #[arg(short, long, value_name = "NAME", value_parser = PresetName, hide_possible_values = true)]
    pub(crate) preset: Option<String>,

    /// Where the model is served, such as http://localhost:11434/v1 [env: OPENAI_BASE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,

    /// Ask what this llm.yaml describes: its providers and routes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "base_url"])]
    pub(crate) config: Option<PathBuf>,
}

/// `infer health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Ask a gateway whether it can answer, at /readyz unless the address has a path; nothing else is asked then
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = crate::ready::USUAL,
        conflicts_with_all = ["preset", "base_url", "config"]
    )]
    pub(crate) gateway: Option<String>,

    /// Trust the certificate authorities in this file, in PEM, for --gateway
    #[arg(long, value_name = "FILE", requires = "gateway")]
    pub(crate) ca: Option<PathBuf>,

    /// What else there is to ask.
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// `infer models`, and most of `infer health`.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) whom: Whom,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `infer chat`.
#[derive(Debug, Args)]
#[command(
    long_about = "Ask a model, and print its answer as it is written.\n\n\
        The prompt is the arguments, or standard input when that is not a terminal; with both, standard input follows \
        the arguments, unless it stays silent for 3 seconds. With neither, a conversation begins.\n\n\
        Standard output carries the answer and nothing else. Notes, reasoning, errors and the closing line with tokens, \
        cost and speed go to standard error.",
    after_help = CHAT_HELP
)]
pub(crate) struct ChatArgs {
    /// What to ask; several words need no quotes
    pub(crate) prompt: Vec<String>,

    /// The model, gpt-4o-mini if nothing is said [env: INFER_MODEL]
    #[arg(short, long)]
    pub(crate) model: Option<String>,

    /// Instructions that stand before the conversation
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    /// Whom to ask.
    #[command(flatten)]
    pub(crate) whom: Whom,

    /// Show the model a picture: PNG, JPEG, WebP or GIF, up to 20 MiB; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(crate) image: Vec<PathBuf>,

    /// Print one JSON object with the answer, or with the error, when the call is over
    #[arg(long)]
    pub(crate) json: bool,

    /// Ask for the answer in one piece
    #[arg(long)]
    pub(crate) no_stream: bool,

    /// How freely to choose words, 0 to 2
    #[arg(short, long, value_name = "0..2", value_parser = temperature, allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,

    /// The most tokens to write, hidden reasoning included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,

    /// How much to think, for models that do: none, minimal, low, medium, high, xhigh or max
    #[arg(long, value_name = "EFFORT")]
    pub(crate) effort: Option<String>,

    /// The most time the whole call may take, such as 30s or 2m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// For repeatable answers, where the model can
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,

    /// End the answer where this text would come; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// "json", or a file with a JSON Schema the answer must fit
    #[arg(long, value_name = "json|FILE")]
    pub(crate) response_format: Option<String>,

    /// Leave out the closing line
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const CHAT_HELP: &str = "\
Examples:
  infer chat \"Why is the sky blue?\"
  git diff | infer chat \"Write a commit message for this change\"
  infer chat --image receipt.jpg --response-format receipt.schema.json \"Read this receipt\"
  infer chat --preset ollama --model llama3.2 \"Hello\"
  infer chat --config llm.yaml --model fast \"Hello\"
  infer chat --json --timeout 30s \"Name three rivers\" | jq -r .text
  infer chat                       # a conversation; /exit leaves it

Environment:
  INFER_PRESET        as --preset, where neither it nor --base-url is given
  OPENAI_API_KEY      the key; without one, none is sent to --base-url.
                      A preset has a variable of its own, such as GROQ_API_KEY
  OPENAI_BASE_URL     as --base-url
  OPENAI_ORG_ID       the organization to bill
  OPENAI_PROJECT_ID   the project to bill
  INFER_MODEL         as --model
  NO_COLOR            plain text on terminals

Schema files:
  A schema whose outermost object has \"additionalProperties\": false is enforced;
  any other is a hint to the model.

Exit codes:
  0    an answer
  1    the upstream or the network failed
  2    wrong usage or configuration
  130  stopped by Ctrl-C; 143 by SIGTERM";

/// `infer config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong with a configuration, with line and column
    #[command(after_help = "Examples:\n  \
        infer config check\n  \
        infer config check --json deploy/llm.toml | jq -r '.faults[].message'\n\n\
        Exit codes:\n  0    nothing is wrong\n  2    there are faults, one a line on standard error")]
    Check(ConfigArgs),
    /// Print a configuration as it is understood: variables and overrides filled in, secrets as ***
    Show(ConfigArgs),
    /// Print the JSON Schema by which editors complete a configuration
    #[command(after_help = "Example:\n  infer config schema > llm.schema.json")]
    Schema,
}

/// `infer config check` and `infer config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration: YAML, or TOML or JSON by its name; llm.yaml if nothing is said [env: INFER_CONFIG]
    pub(crate) file: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `infer cost`.
#[derive(Debug, Args)]
#[command(
    long_about = "Say what calls have cost, by the ledger in a data directory.\n\n\
        Sums are exact. Calls whose price nobody knows are counted as unpriced and are in no sum; they are not free.",
    after_help = "Examples:\n  \
        infer cost --data-dir data\n  \
        infer cost --data-dir data --from 2026-11-01 --by day --chart\n  \
        infer cost --data-dir data --by month,key --format csv > spend.csv\n\n\
        Exit codes:\n  0    sums, or no calls\n  1    the ledger cannot be read, or another process has it open\n  \
        2    wrong usage"
)]
pub(crate) struct CostArgs {
    /// Where the ledger is; what llm.yaml says if nothing is said [env: INFER_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Where the ledger is, as this configuration says [env: INFER_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub(crate) config: Option<PathBuf>,

    /// From this day on, or from an hour such as 2026-11-01T15:00Z; days are those of UTC
    #[arg(long, value_name = "DATE", value_parser = When::parse)]
    pub(crate) from: Option<When>,

    /// Up to and with this day, or up to an hour
    #[arg(long, value_name = "DATE", value_parser = When::parse)]
    pub(crate) to: Option<When>,

    /// What to add up by; several with commas between, one of them a time
    #[arg(long, value_name = "GROUP", value_delimiter = ',', default_value = "model")]
    pub(crate) by: Vec<By>,

    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,

    /// Draw bars instead of a table
    #[arg(long)]
    pub(crate) chart: bool,
}

/// `infer serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What to serve; llm.yaml if there is one, else OpenAI by OPENAI_API_KEY, else the simulator [env: INFER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen; a port of 0 takes a free one [default: what gateway.listen says, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where the ledger, the keys and a cache on disk are kept
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Listen beyond this machine although there are no keys
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Threads that serve; one for each core if nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

const SERVE_HELP: &str = "\
Examples:
  infer serve                                  # the simulator, or OpenAI by its key
  infer serve --config llm.yaml --data data --listen 127.0.0.1:8080
  infer keys create team-a --data data         # from then on callers need a key

Standard output is the address alone. SIGTERM and Ctrl-C let running calls finish; SIGHUP reads the configuration again.

Exit codes:
  0    stopped in order
  2    wrong usage or configuration";

/// `infer sim`.
#[derive(Debug, Args)]
#[command(
    long_about = "Run the simulator: a server on 127.0.0.1 that speaks OpenAI's HTTP interface without a model.\n\n\
        Most model names get an answer that repeats the question. Names that begin with sim- show what can go wrong: \
        sim-error-429, sim-cut, sim-stall and others, which GET /v1/models lists.",
    after_help = "Examples:\n  \
        infer sim --port 8080\n  \
        infer chat --base-url http://127.0.0.1:8080/v1 --model sim-cut \"Hello\""
)]
pub(crate) struct SimArgs {
    /// The port; 0 takes a free one
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,

    /// Varies what is said; the same seed gives the same answers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Milliseconds between two words of a streamed answer
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pub(crate) delay: u64,
}

/// Reads the name of a preset, and lets shells complete it.
#[derive(Clone, Debug)]
struct PresetName;

impl TypedValueParser for PresetName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let read = |text: &str| preset(text).map_err(|failure| failure.line().unwrap_or_default());
        read.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(OpenAiConfig::presets().names().map(PossibleValue::new)))
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 2".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("must be above 0s".to_owned()),
        Err(_) => Err("must be a duration such as 500ms, 30s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_a_unit_and_must_not_be_zero() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("30").is_err());
        assert!(duration("0s").is_err());
        assert!(temperature("2.1").is_err() && temperature("NaN").is_err());
    }
}
