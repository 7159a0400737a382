//! Files with one value each that the configuration names: a URL, a password, certificates.

use std::error::Error;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Maximum size of a file in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// How files are read: tests and the fuzz target replace it.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// A file that has not the value it should have.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is empty", path.display())]
    Empty { path: PathBuf },
    #[error("{}", path.display())]
    Content { path: PathBuf, source: Box<dyn Error + Send + Sync> },
}

/// Reads a file of at most 256 KiB.
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return invalid("it is not a file".to_owned());
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    let is_too_long = text.len() as u64 > MAX_FILE_BYTES;
    if is_too_long { invalid(format!("it is longer than {MAX_FILE_BYTES} bytes")) } else { Ok(text) }
}

/// Returns the text of a file without the line break at its end.
pub(super) fn read_value(path: &str, read: ReadFile<'_>) -> Result<String, FileError> {
    let path = PathBuf::from(path);
    match read(&path) {
        Ok(text) if text.trim().is_empty() => Err(FileError::Empty { path }),
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(source) => Err(FileError::Read { path, source }),
    }
}

/// Returns the value of a file, parsed by `parse`.
pub(super) fn parse_value<T, E: Error + Send + Sync + 'static>(
    path: &str,
    read: ReadFile<'_>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, FileError> {
    let text = read_value(path, read)?;
    parse(&text).map_err(|source| FileError::Content { path: PathBuf::from(path), source: Box::new(source) })
}
