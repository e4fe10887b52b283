//! `infer keys`: the keys in a data directory.

mod args;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use infer_store::Clock;
use infer_store::keys::{KeyBook, KeyError, KeyRecord, KeySecret, KeysConfig};
use serde_json::json;
use tokio::runtime::Handle;

use crate::config;
use crate::failure::Failure;
use crate::look::Look;
use crate::output::Printer;
use crate::signals::Signals;
use crate::terminal;

pub(crate) use args::KeysCommand;

use args::PlaceArgs;

const WAY_OUT: &str = "name the directory of the keys with --data-dir or INFER_DATA_DIR";

/// Reads or changes the keys once.
pub(crate) async fn run(command: KeysCommand, signals: &mut Signals) -> Result<(), Failure> {
    let is_json = command.is_json();
    let clock = Clock::system();
    match command {
        KeysCommand::List(place) => {
            let (directory, keys) = with_book(place, signals, false, |book| Ok(book.list())).await?;
            let now = clock.now();
            if is_json {
                let keys: Vec<_> = keys.iter().map(|key| show::object(key, now)).collect();
                Printer::new().document(&json!({ "keys": keys }).to_string()).await?;
            } else if keys.is_empty() {
                let shown = directory.display();
                terminal::note(&format!(
                    "there are no keys in {shown} yet: infer keys create NAME makes one"
                ));
            } else {
                Printer::new().line(&show::table(&keys, now, Look::of_stdout())).await?;
            }
        }
        KeysCommand::Show(args) => {
            let name = args.name;
            let (_, key) = with_book(args.place, signals, false, move |book| book.record(&name)).await?;
            let text = if is_json {
                show::object(&key, clock.now()).to_string()
            } else {
                show::lines(&key, clock.now())
            };
            Printer::new().document(&text).await?;
        }
        KeysCommand::Create(args) => {
            let (place, spec) = args.split();
            let made = with_book(place, signals, true, |book| Handle::current().block_on(book.create(spec)));
            let (directory, (key, secret)) = made.await?;
            print_secret(&key, &secret, is_json, &clock).await?;
            let shown = directory.display();
            terminal::note(&format!("key {} is made in {shown}: its secret is not shown again", key.name));
        }
        KeysCommand::Rotate(args) => {
            let (name, grace) = (args.name, args.grace);
            let change = move |book: &KeyBook| Handle::current().block_on(book.rotate(&name, grace));
            let (_, (key, secret)) = with_book(args.place, signals, false, change).await?;
            print_secret(&key, &secret, is_json, &clock).await?;
            let old = if grace.is_zero() {
                "the one before no longer works".to_owned()
            } else {
                format!("the one before still works for {}", humantime::format_duration(grace))
            };
            terminal::note(&format!("key {} has a new secret, which is not shown again; {old}", key.name));
        }
        KeysCommand::Revoke(args) => {
            let name = args.name;
            let change = move |book: &KeyBook| Handle::current().block_on(book.revoke(&name));
            let (_, key) = with_book(args.place, signals, false, change).await?;
            if is_json {
                Printer::new().document(&show::object(&key, clock.now()).to_string()).await?;
            }
            terminal::note(&format!("key {} is revoked", key.name));
        }
    }
    Ok(())
}

/// What `work` makes of the keys, and where they are.
async fn with_book<T: Send + 'static>(
    place: PlaceArgs,
    signals: &mut Signals,
    may_make: bool,
    work: impl FnOnce(&KeyBook) -> Result<T, KeyError> + Send + 'static,
) -> Result<(PathBuf, T), Failure> {
    signals
        .blocking(move || {
            let directory = config::data_directory(place.data_dir.as_ref(), place.config.as_ref(), WAY_OUT)?;
            if !may_make {
                must_exist(&directory)?;
            }
            let book = KeyBook::open(&directory, &KeysConfig::default(), Clock::system());
            let done = book.and_then(|book| work(&book)).map_err(Failure::Keys)?;
            Ok((directory, done))
        })
        .await
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

/// The one time that a secret is shown: alone on standard output.
async fn print_secret(
    key: &Arc<KeyRecord>,
    secret: &KeySecret,
    is_json: bool,
    clock: &Clock,
) -> Result<(), Failure> {
    let text = if is_json {
        json!({ "secret": secret.reveal(), "key": show::object(key, clock.now()) }).to_string()
    } else {
        secret.reveal().to_owned()
    };
    Ok(Printer::new().document(&text).await?)
}
