//! Receiving a file of keys: a form with a file is written to a temporary file while it arrives.

use std::io::{Read, Seek};
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use gatepost_control_plane::{Failure, ImportOptions, Notify, RunMode};
use gatepost_domain::problem::ErrorCode;
use gatepost_http_server::BodyDeadline;
use gatepost_runtime::error_chain;
use http::StatusCode;
use tokio::io::AsyncWriteExt;

use super::imports::Spooled;
use super::state::DashboardState;
use crate::import_file::FileFormat;

/// Maximum size of an upload in bytes, with what the form adds.
pub(crate) const MAX_UPLOAD_BYTES: usize = 64 * 1024 * 1024;
/// Maximum time for an upload to arrive, counted from the end of the header.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(300);
/// Characters of a file's name that are shown.
const MAX_FILE_NAME_CHARS: usize = 100;
/// Bytes at the start of a file that tell its format.
const SNIFFED_BYTES: u64 = 1024;

/// The parts of the form so far.
#[derive(Default)]
struct Parts {
    project: Option<String>,
    notify: Option<Notify>,
    file: Option<(std::fs::File, String)>,
}

/// Receives the form.
///
/// # Errors
/// `validation` if it has no file, `body-too-large` if it has more than 64 MiB or does not arrive within 300 s.
pub(crate) async fn receive(request: Request, state: &DashboardState) -> Result<Spooled, Failure> {
    if let Some(deadline) = request.extensions().get::<BodyDeadline>() {
        deadline.extend(UPLOAD_DEADLINE);
    }
    let no_file = || Failure::invalid("choose a file");
    let mut form = Multipart::from_request(request, state).await.map_err(|_| no_file())?;
    let mut parts = Parts::default();
    while let Some(field) = form.next_field().await.map_err(refusal)? {
        parts.add(field).await?;
    }
    // A browser sends a file without a name if none was chosen.
    let (mut file, file_name) = parts.file.filter(|(_, name)| !name.is_empty()).ok_or_else(no_file)?;
    let is_empty = || Failure::invalid("the file is empty");
    let format = sniff_format(&mut file).map_err(spool_failure)?.ok_or_else(is_empty)?;
    let options =
        ImportOptions { project: parts.project, notify: parts.notify.unwrap_or(Notify::Nobody), mode: RunMode::DryRun };
    Ok(Spooled { file, file_name, format, options })
}

impl Parts {
    async fn add(&mut self, field: Field<'_>) -> Result<(), Failure> {
        match field.name() {
            Some("projectId") => {
                let text = field.text().await.map_err(refusal)?;
                self.project = Some(text.trim().to_owned()).filter(|id| !id.is_empty());
            }
            Some("notify") => self.notify = Some(Notify::Webhooks),
            Some("file") => {
                let name: String = field.file_name().unwrap_or_default().chars().take(MAX_FILE_NAME_CHARS).collect();
                self.file = Some((spool(field).await?, name));
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

/// Writes a file to a temporary one, which has no name and ends with the process, as it contains values of keys.
async fn spool(mut field: Field<'_>) -> Result<std::fs::File, Failure> {
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(spool_failure)?);
    while let Some(chunk) = field.chunk().await.map_err(refusal)? {
        file.write_all(&chunk).await.map_err(spool_failure)?;
    }
    file.flush().await.map_err(spool_failure)?;
    Ok(file.into_std().await)
}

/// Returns the format that the first character tells; none if the file is empty.
fn sniff_format(file: &mut std::fs::File) -> std::io::Result<Option<FileFormat>> {
    let mut start = Vec::new();
    file.rewind()?;
    file.take(SNIFFED_BYTES).read_to_end(&mut start)?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    Ok(text.iter().find(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'{' | b'[' => FileFormat::Json,
        _ => FileFormat::Csv,
    }))
}

fn refusal(error: MultipartError) -> Failure {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the file has more than {} MiB; split it", MAX_UPLOAD_BYTES / (1024 * 1024));
        return Failure::refused(ErrorCode::BodyTooLarge, detail);
    }
    let detail = format!("the file did not arrive completely, or not within {} s", UPLOAD_DEADLINE.as_secs());
    Failure::invalid(detail)
}

fn spool_failure(error: std::io::Error) -> Failure {
    tracing::warn!(error = %error_chain(&error), "writing an uploaded file to the temporary directory failed");
    let detail = "the upload could not be written to the temporary directory (TMPDIR); the log of the control plane \
                  says why";
    Failure::refused(ErrorCode::Internal, detail)
}
