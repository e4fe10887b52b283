//! Where keys are kept: a directory, or the Redis of a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use infer_store::Clock;
use infer_store::keys::{KeyBook, KeyError, KeysConfig};
use infer_store::shared::{Redis, RedisConfig};
use tokio::runtime::Handle;

use super::args::PlaceArgs;
use crate::config::Said;
use crate::failure::Failure;

const WAY_OUT: &str = "name the directory of the keys with --data-dir or INFER_DATA_DIR";

/// Where keys are kept.
pub(super) enum Place {
    Directory(PathBuf),
    Redis,
}

/// As it stands in a sentence.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.display().fmt(f),
            Self::Redis => f.write_str("Redis"),
        }
    }
}

/// The keys that `args` mean. Blocks; needs a running Tokio runtime.
pub(super) fn open(args: &PlaceArgs, may_make: bool) -> Result<(Place, KeyBook), Failure> {
    let said = Said::of(args.data_dir.as_ref(), args.config.as_ref(), WAY_OUT)?;
    if let Said::Config(_, config) = &said
        && let Some(settings) = &config.redis
    {
        let book = Handle::current().block_on(in_redis(settings.clone())).map_err(Failure::Keys)?;
        return Ok((Place::Redis, book));
    }
    let directory = said.directory(WAY_OUT)?;
    if !may_make {
        must_exist(&directory)?;
    }
    let book = KeyBook::open(&directory, &KeysConfig::default(), Clock::system()).map_err(Failure::Keys)?;
    Ok((Place::Directory(directory), book))
}

/// A gateway starts while Redis is away; who asks what is in it wants to know that.
async fn in_redis(settings: RedisConfig) -> Result<KeyBook, KeyError> {
    let redis = Redis::new(settings)?;
    redis.ping().await?;
    KeyBook::with_redis(redis, &KeysConfig::default(), Clock::system()).await
}

/// A directory that is not there was most likely mistyped.
fn must_exist(directory: &Path) -> Result<(), Failure> {
    let fault = |what: &str| Failure::usage(format!("{}: {what}", directory.display()));
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(fault("is not a directory: name the one with the keys")),
        Err(error) => Err(fault(&format!("cannot be read: {error}"))),
    }
}
