//! Opening a ledger: what is there, whether it can be read, and where to go on.
//!
//! A commit that was cut off by a crash is not there: the file goes back to the last whole one.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::names::Names;
use super::pack;
use super::rollup::{OPEN, SEALED, damaged};
use crate::StoreError;

pub(super) const ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("rows");
pub(super) const NAMES: TableDefinition<'static, u64, &str> = TableDefinition::new("names");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// What the tables look like; raised when an older version would misread them.
pub(super) const FORMAT: u64 = 1;

/// Makes the database ready or says why it cannot be used. Called again after a failed disk has come back.
pub(super) type OpenDatabase = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// A ledger's file, checked.
pub(super) struct Recovered {
    pub(super) names: Names,
    /// The number of the next row.
    pub(super) next: u64,
    /// The first hour of which sums are kept.
    pub(super) hours_from: u32,
}

/// Why a file cannot be used.
pub(super) enum Refusal {
    Newer(u64),
    Failed(redb::Error),
}

impl Refusal {
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Newer(found) => StoreError::Newer { path: path.to_owned(), found, known: FORMAT },
            Self::Failed(error) => StoreError::redb(path, &error),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes an empty ledger where there is none. It gets its name once it is whole, so a crash or a full disk meanwhile
/// leaves nothing behind that looks like a ledger.
pub(super) fn create(path: &Path) -> Result<(), Refusal> {
    if path.exists() {
        return Ok(());
    }
    let unfinished = path.with_extension("new");
    let made = || -> Result<(), Refusal> {
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let database = Database::create(&unfinished)?;
        prepare(&database)?;
        drop(database);
        std::fs::rename(&unfinished, path).map_err(io)?;
        match path.parent() {
            Some(directory) => sync_directory(directory).map_err(io),
            None => Ok(()),
        }
    };
    made().inspect_err(|_| {
        // The reason why it was not made is worth more than why it cannot be removed.
        let _ = std::fs::remove_file(&unfinished);
    })
}

fn io(error: std::io::Error) -> Refusal {
    Refusal::Failed(redb::Error::Io(error))
}

/// A new name survives a crash once its directory is written; elsewhere the system takes care of it.
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Makes the tables where there are none, in one commit, so that a ledger is there whole or not at all.
pub(super) fn prepare(database: &Database) -> Result<(), Refusal> {
    let found = {
        let read = database.begin_read()?;
        match read.open_table(META) {
            Ok(meta) => meta.get("format")?.map(|format| format.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => {
                if read.list_tables()?.next().is_some() {
                    return Err(Refusal::Failed(damaged("a file of other tables")));
                }
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    match found {
        Some(FORMAT) => return Ok(()),
        Some(format) if format > FORMAT => return Err(Refusal::Newer(format)),
        Some(_) => return Err(Refusal::Failed(damaged("the format's number"))),
        None => {}
    }
    let write = database.begin_write()?;
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(ROWS)?;
    write.open_table(NAMES)?;
    write.open_table(OPEN)?;
    write.open_table(SEALED)?;
    write.commit()?;
    Ok(())
}

/// Reads what the writer needs to go on.
pub(super) fn recover(database: &Database, max_names: usize) -> Result<Recovered, redb::Error> {
    let read = database.begin_read()?;
    let mut names = Names::new(max_names);
    for entry in read.open_table(NAMES)?.iter()? {
        let (place, name) = entry?;
        let (drawer, number) = ((place.value() >> 32), place.value() & u64::from(u32::MAX));
        let fits = usize::try_from(drawer)
            .ok()
            .zip(u32::try_from(number).ok())
            .is_some_and(|(drawer, number)| names.restore(drawer, number, name.value()));
        if !fits {
            return Err(damaged("a name"));
        }
    }
    let rows = read.open_table(ROWS)?;
    let next = match rows.last()? {
        Some((first, block)) => {
            let (count, _) = pack::head(block.value()).ok_or_else(|| damaged("a block of rows"))?;
            first.value().saturating_add(u64::from(count))
        }
        None => number(&read, "next")?,
    };
    let hours_from = u32::try_from(number(&read, "hours_from")?).unwrap_or(u32::MAX);
    Ok(Recovered { names, next, hours_from })
}

fn number(read: &redb::ReadTransaction, name: &str) -> Result<u64, redb::Error> {
    Ok(read.open_table(META)?.get(name)?.map_or(0, |number| number.value()))
}

/// Notes from which hour on sums by hour are there.
pub(super) fn note(write: &redb::WriteTransaction, name: &str, number: u64) -> Result<(), redb::Error> {
    write.open_table(META)?.insert(name, number)?;
    Ok(())
}
