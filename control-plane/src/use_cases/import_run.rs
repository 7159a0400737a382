//! The import of many keys for a caller, with its progress.

use futures::StreamExt;
use futures::stream::poll_fn;
use gatepost_domain::problem::ErrorCode;
use tokio::sync::mpsc;

use super::import::{ImportOptions, ImportOutcome, ImportRow, Importer};
use super::long_response::LongResponse;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Rows of one import that are written concurrently.
const MAX_ROWS_IN_FLIGHT: usize = 16;
/// Refused rows that are reported with a reason. All are counted.
pub const MAX_IMPORT_FAULTS: usize = 1000;

/// A row of a file.
pub struct NumberedRow {
    /// From 1 on.
    pub number: u64,
    /// The key, or why the row cannot be read.
    pub row: std::result::Result<ImportRow, String>,
}

/// Rows of an import so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Created, or with a dry run: that would be created.
    pub created: u64,
    /// Keys with these values existed before.
    pub already_exist: u64,
    pub refused: u64,
    /// The first refused rows by number, 1,000 at most.
    pub faults: Vec<ImportFault>,
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportFault {
    pub row: u64,
    pub reason: String,
}

impl ControlPlane {
    /// Imports rows for a caller until the sender is dropped, and reports the progress after each row. A row that is
    /// refused does not end the import. It may be repeated: keys that exist are left as they are. The caller is
    /// authorized again while it lasts. At most 1,000 keys a second are created in an account.
    ///
    /// # Errors
    /// Those of [`ControlPlane::importer_for`] before the first row. Later, failures of the store, `account-full`, and
    /// `invalid-access-key` if the access key was revoked: rows so far stay imported.
    pub async fn import_keys(
        &self,
        context: &RequestContext,
        options: ImportOptions,
        mut rows: mpsc::Receiver<NumberedRow>,
        mut report: impl FnMut(&ImportProgress),
    ) -> Result<ImportProgress> {
        let importer = self.importer_for(context, options).await?;
        let mut response = LongResponse::new(self.clone(), context.clone(), context.caller.project.clone());
        let mut progress = ImportProgress::default();
        let rows = poll_fn(|context| rows.poll_recv(context));
        let mut outcomes = rows.map(|row| import_row(&importer, row)).buffer_unordered(MAX_ROWS_IN_FLIGHT);
        while let Some((number, outcome)) = outcomes.next().await {
            progress.add(number, outcome)?;
            report(&progress);
            response.reauthorize().await?;
        }
        Ok(progress)
    }
}

async fn import_row(importer: &Importer, row: NumberedRow) -> (u64, Result<ImportOutcome>) {
    let outcome = match row.row {
        Ok(key) => importer.import(key).await,
        Err(reason) => Err(Failure::invalid(reason)),
    };
    (row.number, outcome)
}

impl ImportProgress {
    /// Counts a row.
    ///
    /// # Errors
    /// The failure that ends the import.
    fn add(&mut self, row: u64, outcome: Result<ImportOutcome>) -> Result<()> {
        match outcome {
            Ok(ImportOutcome::Created) => self.created += 1,
            Ok(ImportOutcome::AlreadyExists) => self.already_exist += 1,
            Err(Failure::Refused(problem)) if problem.code == ErrorCode::Validation => {
                self.refused += 1;
                self.add_fault(ImportFault { row, reason: problem.detail.into_owned() });
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Rows end in any order, so a fault may take the place of a later one.
    fn add_fault(&mut self, fault: ImportFault) {
        let place = self.faults.partition_point(|before| before.row < fault.row);
        self.faults.insert(place, fault);
        self.faults.truncate(MAX_IMPORT_FAULTS);
    }
}
