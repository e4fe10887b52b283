//! Which packages of Debian a binary needs, read from what its linker wrote into it.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endianness, FileKind};

/// A version as numbers, so that 2.9 comes before 2.34.
type Version = Vec<u32>;

/// The packages and oldest versions, as a `Depends` field has them; none for a static binary.
///
/// # Errors
/// When the bytes are no ELF binary, or need a library that no package is known for.
pub(super) fn packages(binary: &[u8]) -> Result<Vec<String>> {
    let needed = match FileKind::parse(binary)? {
        FileKind::Elf64 => versions::<FileHeader64<Endianness>>(binary)?,
        FileKind::Elf32 => versions::<FileHeader32<Endianness>>(binary)?,
        kind => bail!("no ELF binary, but {kind:?}"),
    };
    let mut packages: BTreeMap<&str, Version> = BTreeMap::new();
    for (library, symbol) in needed {
        let (package, version) = package_of(&library, &symbol)?;
        let newest = packages.entry(package).or_default();
        *newest = std::mem::take(newest).max(version);
    }
    let line = |(package, version): (&str, Version)| {
        let version: Vec<String> = version.iter().map(u32::to_string).collect();
        if version.is_empty() { package.to_owned() } else { format!("{package} (>= {})", version.join(".")) }
    };
    Ok(packages.into_iter().map(line).collect())
}

/// Each library with each version of its symbols that is asked for: `libc.so.6` with `GLIBC_2.34`.
fn versions<Elf: FileHeader<Endian = Endianness>>(binary: &[u8]) -> Result<Vec<(String, String)>> {
    let header = Elf::parse(binary)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, binary)?;
    let mut found = Vec::new();
    for section in sections.iter() {
        let Some((needs, strings)) = section.gnu_verneed(endian, binary)? else { continue };
        let strings = sections.strings(endian, binary, strings)?;
        for need in needs {
            let (library, symbols) = need?;
            let library = String::from_utf8_lossy(library.file(endian, strings)?).into_owned();
            for symbol in symbols {
                let symbol = String::from_utf8_lossy(symbol?.name(endian, strings)?).into_owned();
                found.push((library.clone(), symbol));
            }
        }
    }
    Ok(found)
}

fn package_of(library: &str, symbol: &str) -> Result<(&'static str, Version)> {
    let package = match library {
        "libgcc_s.so.1" => "libgcc-s1",
        "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "librt.so.1" => "libc6",
        loader if loader.starts_with("ld-linux") || loader.starts_with("ld64") => "libc6",
        _ => return Err(anyhow!("needs {library}, of which no package is known: add it to {}", file!())),
    };
    let number = symbol.split_once('_').map_or("", |(_, number)| number);
    // Such as GLIBC_ABI_DT_RELR, which says what the loader can do and comes with a numbered one.
    let version = number.split('.').map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
    Ok((package, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_names_without_one_ask_for_none() {
        assert!(
            package_of("libc.so.6", "GLIBC_2.9").unwrap() < package_of("libc.so.6", "GLIBC_2.34").unwrap()
        );
        assert_eq!(package_of("ld-linux-aarch64.so.1", "GLIBC_2.17").unwrap(), ("libc6", vec![2, 17]));
        assert_eq!(package_of("libc.so.6", "GLIBC_ABI_DT_RELR").unwrap(), ("libc6", vec![]));
        assert!(package_of("libssl.so.3", "OPENSSL_3.0.0").unwrap_err().to_string().contains("libssl.so.3"));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_program_of_this_machine_needs_its_c_library_in_a_version() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let packages = packages(&program).unwrap();
        assert!(packages.iter().any(|package| package.starts_with("libc6 (>= 2.")), "{packages:?}");
    }

    #[test]
    fn what_is_no_binary_is_refused() {
        assert!(packages(b"#!/bin/sh\n").is_err());
        assert!(packages(b"").is_err());
        let mut cut = b"\x7fELF\x02\x01\x01".to_vec();
        cut.resize(64, 0xff);
        assert!(packages(&cut).is_err());
    }
}
