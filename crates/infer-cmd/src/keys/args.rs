//! What can be written after `infer keys`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use infer_store::Clock;
use infer_store::keys::{KeyBudget, KeyLimits, KeySpec};

use crate::cost::When;

/// `infer keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, and print its secret this one time
    #[command(
        long_about = "Make a key, and print its secret this one time.\n\n\
            Standard output carries the secret alone, so that it can go straight to where it is kept; what is stored is a \
            hash of it. A gateway that runs on the same directory takes the key within a moment, those that share a Redis within a second or so.",
        after_help = "Examples:\n  \
            infer keys create team-a --expires 90d --budget 5usd/day\n  \
            infer keys create ci --route 'gpt-4o*' --rpm 60 --tag ci > ci.key\n  \
            infer keys create ops --admin --json | jq -r .secret"
    )]
    Create(Box<CreateArgs>),
    /// List all keys
    #[command(
        after_help = "Example:\n  infer keys list --json | jq -r '.keys[] | select(.state == \"active\").name'"
    )]
    List(PlaceArgs),
    /// Show one key
    Show(NameArgs),
    /// End a key for ever
    Revoke(NameArgs),
    /// Give a key another secret, and print it this one time
    #[command(after_help = "Example:\n  infer keys rotate team-a --grace 1h")]
    Rotate(RotateArgs),
}

impl KeysCommand {
    /// Whether one JSON object is wanted.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Create(args) => args.place.json,
            Self::List(place) => place.json,
            Self::Show(args) | Self::Revoke(args) => args.place.json,
            Self::Rotate(args) => args.place.json,
        }
    }
}

/// Where the keys are, and how to print them.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The directory of the keys; what llm.yaml says if nothing is said: its Redis, else its data [env: INFER_DATA_DIR]
    #[arg(long, visible_alias = "data", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Where the keys are kept, as this configuration says: its Redis, else its data [env: INFER_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub(crate) config: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `infer keys show` and `infer keys revoke`.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The key's name
    pub(crate) name: String,

    /// Where the keys are.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// `infer keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The key's name
    pub(crate) name: String,

    /// How long the present secret still works, such as 1h; it ends at once if nothing is said
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) grace: Duration,

    /// Where the keys are.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// `infer keys create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What its calls are counted under
    pub(crate) name: String,

    /// When it ends: after a time such as 30d, or on a day such as 2027-01-01 (UTC)
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    pub(crate) expires: Option<SystemTime>,

    /// A model or route it may use, * for any text; may be repeated, all if nothing is said
    #[arg(long, value_name = "PATTERN")]
    pub(crate) route: Vec<String>,

    /// The most calls in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rpm: Option<u64>,

    /// The most tokens read and written in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tpm: Option<u64>,

    /// The most calls at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: Option<u32>,

    /// The most it may spend: 5usd/day, 200000tokens/month, also per hour or in total; may be repeated
    #[arg(long, value_name = "BUDGET")]
    pub(crate) budget: Vec<KeyBudget>,

    /// What its calls are marked with; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Something to remember of it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) meta: Vec<(String, String)>,

    /// Let it administer the gateway
    #[arg(long)]
    pub(crate) admin: bool,

    /// Where the keys are.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

impl CreateArgs {
    /// Where it is to be made, and the key that is asked for.
    pub(super) fn split(self) -> (PlaceArgs, KeySpec) {
        let spec = KeySpec {
            name: self.name,
            expires: self.expires,
            routes: self.route,
            limits: KeyLimits {
                requests_per_minute: self.rpm,
                tokens_per_minute: self.tpm,
                concurrency: self.concurrency,
            },
            budget: self.budget,
            tags: self.tag,
            metadata: self.meta.into_iter().collect(),
            admin: self.admin,
        };
        (self.place, spec)
    }
}

fn expiry(text: &str) -> Result<SystemTime, String> {
    const SHAPE: &str = "must be a time such as 30d, or a day such as 2027-01-01";
    let now = Clock::system().now();
    let end = match humantime::parse_duration(text) {
        Ok(time) => now.checked_add(time),
        Err(_) => When::parse(text).ok().map(|when| when.start),
    };
    let end = end.ok_or_else(|| SHAPE.to_owned())?;
    if end > now { Ok(end) } else { Err("must lie ahead".to_owned()) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_after_a_time_or_on_a_day_that_lies_ahead() {
        let now = Clock::system().now();
        let month = expiry("30d").unwrap().duration_since(now).unwrap();
        assert!(month.as_secs() - 30 * 86_400 < 60, "{month:?}");
        assert_eq!(expiry("9998-01-01"), When::parse("9998-01-01").map(|when| when.start));
        assert!(expiry("2020-01-01").unwrap_err().contains("ahead") && expiry("0s").is_err());
        assert!(expiry("soon").unwrap_err().contains("30d"));
        assert!(pair("a").is_err() && pair("a=b=c") == Ok(("a".to_owned(), "b=c".to_owned())));
    }
}
