//! Log writer that masks keys, because libraries and panics write to the log too.

use std::io;

use gatepost_domain::redact::redact;

/// Masks everything that has the format of a key in each write. A line must be written in one call.
#[derive(Debug)]
pub(crate) struct RedactingWriter<W>(pub(crate) W);

impl<W: io::Write> io::Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(redact(text).as_bytes())?,
            Err(_) => self.0.write_all(redact(&String::from_utf8_lossy(bytes)).as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
