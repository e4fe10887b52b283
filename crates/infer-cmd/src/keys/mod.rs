//! `infer keys`: the keys in a data directory, or in Redis where the configuration has one.

mod args;
mod place;
mod show;

use std::sync::Arc;

use infer_store::Clock;
use infer_store::keys::{KeyBook, KeyError, KeyRecord, KeySecret};
use serde_json::json;
use tokio::runtime::Handle;

use crate::failure::Failure;
use crate::look::Look;
use crate::output::Printer;
use crate::signals::Signals;
use crate::terminal;

pub(crate) use args::KeysCommand;

use args::PlaceArgs;
use place::Place;

/// Reads or changes the keys once.
pub(crate) async fn run(command: KeysCommand, signals: &mut Signals) -> Result<(), Failure> {
    let is_json = command.is_json();
    let clock = Clock::system();
    match command {
        KeysCommand::List(args) => {
            let (place, keys) = with_book(args, signals, false, |book| Ok(book.list())).await?;
            let now = clock.now();
            if is_json {
                let keys: Vec<_> = keys.iter().map(|key| show::object(key, now)).collect();
                Printer::new().document(&json!({ "keys": keys }).to_string()).await?;
            } else if keys.is_empty() {
                terminal::note(&format!(
                    "there are no keys in {place} yet: infer keys create NAME makes one"
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
            let (args, spec) = args.split();
            let made = with_book(args, signals, true, |book| Handle::current().block_on(book.create(spec)));
            let (place, (key, secret)) = made.await?;
            print_secret(&key, &secret, is_json, &clock).await?;
            terminal::note(&format!("key {} is made in {place}: its secret is not shown again", key.name));
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
    args: PlaceArgs,
    signals: &mut Signals,
    may_make: bool,
    work: impl FnOnce(&KeyBook) -> Result<T, KeyError> + Send + 'static,
) -> Result<(Place, T), Failure> {
    signals
        .blocking(move || {
            let (place, book) = place::open(&args, may_make)?;
            let done = work(&book).map_err(Failure::Keys)?;
            Ok((place, done))
        })
        .await
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
