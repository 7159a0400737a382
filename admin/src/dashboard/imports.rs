//! Uploaded files of keys: each is tried first, then imported, and its progress can be looked at meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_control_plane::{
    ControlPlane, Failure, ImportFault, ImportOptions, ImportProgress, NumberedRow, RequestContext, RunMode,
};
use gatepost_domain::base62;
use gatepost_domain::id::{AccessKeyId, AccountId};
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::{Panicked, Task, run_blocking, spawn, spawn_on};
use gatepost_store::os_rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer;
use crate::import_file::{FileFormat, FileItem, ReadImportError, read_import_file};
use crate::import_rows::UnknownRowMembers;

/// Uploaded files of a process, and of one account in it.
const MAX_FILES: usize = 8;
const MAX_FILES_OF_ACCOUNT: usize = 2;
/// Time after its last run for which a file is kept.
const FILE_TTL: Duration = Duration::from_secs(3600);
/// Rows that are read ahead of those that are written.
const MAX_ROWS_AHEAD: usize = 64;
/// Base-62 digits of an id: 130 bits.
const ID_DIGITS: usize = 22;

/// The uploaded files of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Imports(Arc<Mutex<Files>>);

#[derive(Debug, Default)]
struct Files {
    /// Places that are taken, by files and by uploads that are not complete.
    taken: HashMap<AccountId, usize>,
    by_id: HashMap<String, Arc<Import>>,
}

/// A place for a file, freed when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    account: AccountId,
    imports: Imports,
}

/// An uploaded file.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) id: String,
    /// Who uploaded it: nobody else sees it.
    owner: AccessKeyId,
    pub(crate) file_name: String,
    pub(crate) options: ImportOptions,
    format: FileFormat,
    file: File,
    run: Mutex<Run>,
    /// Forgets the file in time. Dropped with the file.
    expiry: Mutex<JoinSet<Result<(), Panicked>>>,
    place: Place,
}

/// A run of an import: the trial or the import itself.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) mode: RunMode,
    pub(crate) progress: ImportProgress,
    pub(crate) state: RunState,
    /// Members of rows that are not imported, one line each.
    pub(crate) unknown: Vec<String>,
    ended_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunState {
    Running,
    /// All rows were read.
    Complete,
    /// It ended early, and why.
    Failed(String),
}

impl Imports {
    /// Takes a place for a file. If there is none left, the oldest file of the account that does not run is forgotten, or
    /// the oldest of all.
    ///
    /// # Errors
    /// `overloaded` if imports run in all places.
    pub(crate) fn take_place(&self, account: &AccountId) -> Result<Place, Failure> {
        let mut forgotten = Vec::new();
        let mut files = self.lock();
        forgotten.extend(files.remove_expired());
        if files.of_account(account) >= MAX_FILES_OF_ACCOUNT {
            forgotten.extend(files.remove_oldest_idle(|import| import.place.account == *account));
        }
        if files.total() >= MAX_FILES {
            forgotten.extend(files.remove_oldest_idle(|_| true));
        }
        let leaving = |of: Option<&AccountId>| {
            forgotten.iter().filter(|import| of.is_none_or(|account| import.place.account == *account)).count()
        };
        let is_full = files.of_account(account) - leaving(Some(account)) >= MAX_FILES_OF_ACCOUNT
            || files.total() - leaving(None) >= MAX_FILES;
        if !is_full {
            *files.taken.entry(account.clone()).or_default() += 1;
        }
        // Dropping a file frees its place, which locks again.
        drop(files);
        drop(forgotten);
        match is_full {
            true => {
                let detail = "as many imports run as may run at a time; try again when one has ended";
                Err(Failure::refused(ErrorCode::Overloaded, detail))
            }
            false => Ok(Place { account: account.clone(), imports: self.clone() }),
        }
    }

    /// Returns an import of the caller by its id.
    ///
    /// # Errors
    /// `not-found` if there is none.
    pub(crate) fn find(&self, context: &RequestContext, id: &str) -> Result<Arc<Import>, Failure> {
        let found = self.lock().by_id.get(id).filter(|import| import.owner == context.caller.access_key).cloned();
        found.ok_or_else(|| {
            let detail =
                "there is no such import: an uploaded file is kept for an hour, by the process that received it";
            Failure::refused(ErrorCode::NotFound, detail)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn of_account(&self, account: &AccountId) -> usize {
        self.taken.get(account).copied().unwrap_or_default()
    }

    fn total(&self) -> usize {
        self.taken.values().sum()
    }

    fn remove_expired(&mut self) -> Vec<Arc<Import>> {
        self.by_id.extract_if(|_, import| import.idle_for() >= FILE_TTL).map(|(_, import)| import).collect()
    }

    fn remove_oldest_idle(&mut self, is_candidate: impl Fn(&Import) -> bool) -> Option<Arc<Import>> {
        let idle = self.by_id.values().filter(|import| is_candidate(import) && !import.is_running());
        let id = idle.max_by_key(|import| import.idle_for())?.id.clone();
        self.by_id.remove(&id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut files = self.imports.lock();
        if let Some(taken) = files.taken.get_mut(&self.account) {
            *taken -= 1;
            if *taken == 0 {
                files.taken.remove(&self.account);
            }
        }
    }
}

/// A file that was received.
pub(crate) struct Spooled {
    pub(crate) file: File,
    pub(crate) file_name: String,
    pub(crate) format: FileFormat,
    pub(crate) options: ImportOptions,
}

impl Import {
    /// Keeps a file, and starts to try it: nothing is written.
    pub(crate) fn start(
        control_plane: &ControlPlane,
        context: &RequestContext,
        spooled: Spooled,
        place: Place,
    ) -> String {
        let mut id = String::with_capacity(ID_DIGITS);
        base62::push_random(&mut id, ID_DIGITS, &mut os_rng());
        let imports = place.imports.clone();
        let import = Arc::new(Self {
            id: id.clone(),
            owner: context.caller.access_key.clone(),
            file_name: spooled.file_name,
            options: spooled.options,
            format: spooled.format,
            file: spooled.file,
            run: Mutex::new(Run::new(RunMode::DryRun)),
            expiry: Mutex::default(),
            place,
        });
        imports.lock().by_id.insert(id.clone(), Arc::clone(&import));
        spawn(Task::Import, import.perform(control_plane.clone(), context.clone(), RunMode::DryRun));
        id
    }

    /// Starts to import a file that was tried, or to import it again. Does nothing while it runs.
    pub(crate) fn apply(self: &Arc<Self>, control_plane: &ControlPlane, context: &RequestContext) {
        let mut run = self.lock_run();
        if run.state == RunState::Running {
            return;
        }
        *run = Run::new(RunMode::Apply);
        drop(run);
        let import = Arc::clone(self);
        spawn(Task::Import, import.perform(control_plane.clone(), context.clone(), RunMode::Apply));
    }

    pub(crate) fn run(&self) -> Run {
        self.lock_run().clone()
    }

    fn is_running(&self) -> bool {
        self.lock_run().state == RunState::Running
    }

    fn idle_for(&self) -> Duration {
        self.lock_run().ended_at.map(|at| at.elapsed()).unwrap_or_default()
    }

    async fn perform(self: Arc<Self>, control_plane: ControlPlane, context: RequestContext, mode: RunMode) {
        let (sender, rows) = mpsc::channel(MAX_ROWS_AHEAD);
        let reader = Arc::clone(&self);
        let reading = run_blocking(Task::ImportFile, move || reader.read_rows(&sender));
        let options = ImportOptions { mode, ..self.options.clone() };
        let importing = control_plane.import_keys(&context, options, rows, |progress| self.report(progress));
        let (imported, read) = tokio::join!(importing, reading);
        let state = match (imported, read) {
            (Err(failure), _) => RunState::Failed(answer::words(&failure)),
            (Ok(_), Ok(Ok(()))) => RunState::Complete,
            (Ok(_), Ok(Err(error))) => RunState::Failed(error.to_string()),
            (Ok(_), Err(_)) => RunState::Failed("the program failed; its log says why".to_owned()),
        };
        self.end(state);
    }

    /// Ends a run, and has the file forgotten after an hour, as it contains values of keys.
    fn end(&self, state: RunState) {
        let mut run = self.lock_run();
        run.state = state;
        run.ended_at = Some(Instant::now());
        drop(run);
        let (imports, mut expiry) = (self.place.imports.clone(), JoinSet::new());
        spawn_on(&mut expiry, Task::Import, async move {
            tokio::time::sleep(FILE_TTL).await;
            // Bound, so that the files are dropped after the lock.
            let expired = imports.lock().remove_expired();
            drop(expired);
        });
        *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) = expiry;
    }

    /// Reads the rows on a thread for blocking tasks, until the import has ended.
    fn read_rows(&self, sender: &mpsc::Sender<NumberedRow>) -> Result<(), ReadImportError> {
        let mut file = &self.file;
        file.rewind()?;
        let unknown = UnknownRowMembers::default();
        let read = read_import_file(BufReader::new(file), self.format, |item| {
            if let FileItem::Columns(row) | FileItem::Row(_, row) = &item {
                // A list in place of an object is refused as a row.
                let _ = unknown.record(row);
            }
            let Some(row) = item.into_row() else { return ControlFlow::Continue(()) };
            match sender.blocking_send(row) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        self.lock_run().unknown = unknown.lines();
        read
    }

    fn report(&self, progress: &ImportProgress) {
        let mut run = self.lock_run();
        // Every fault that is added changes one of both, and once there are many only the first ones are kept.
        let end = |faults: &[ImportFault]| (faults.len(), faults.last().map(|fault| fault.row));
        if end(&run.progress.faults) != end(&progress.faults) {
            run.progress.faults.clone_from(&progress.faults);
        }
        run.progress.created = progress.created;
        run.progress.already_exist = progress.already_exist;
        run.progress.refused = progress.refused;
    }

    fn lock_run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn new(mode: RunMode) -> Self {
        let progress = ImportProgress::default();
        Self { mode, progress, state: RunState::Running, unknown: Vec::new(), ended_at: None }
    }

    /// Returns the number of rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.progress.created + self.progress.already_exist + self.progress.refused
    }
}

#[cfg(test)]
mod tests {
    use gatepost_control_plane::Notify;
    use gatepost_domain::partition::Partition;

    use super::*;

    fn file_of(account: &AccountId, imports: &Imports, id: &str) -> Arc<Import> {
        let import = Arc::new(Import {
            id: id.to_owned(),
            owner: AccessKeyId::generate_in(Partition::default(), &mut os_rng()),
            file_name: String::new(),
            options: ImportOptions { project: None, notify: Notify::Nobody, mode: RunMode::DryRun },
            format: FileFormat::Csv,
            file: tempfile::tempfile().unwrap(),
            run: Mutex::new(Run::new(RunMode::DryRun)),
            expiry: Mutex::default(),
            place: imports.take_place(account).unwrap(),
        });
        imports.lock().by_id.insert(id.to_owned(), Arc::clone(&import));
        import
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_taken_by_files_that_run_and_freed_an_hour_after_a_run() {
        let (imports, account) = (Imports::default(), AccountId::generate(&mut os_rng()));
        let (first, second) = (file_of(&account, &imports, "first"), file_of(&account, &imports, "second"));
        assert!(imports.take_place(&account).is_err(), "both run");
        drop(imports.take_place(&AccountId::generate(&mut os_rng())).unwrap());
        first.end(RunState::Complete);
        drop(first);
        let third = file_of(&account, &imports, "third");
        assert!(!imports.lock().by_id.contains_key("first"), "the oldest that has ended makes room");
        second.end(RunState::Complete);
        third.end(RunState::Failed(String::new()));
        drop((second, third));
        tokio::time::sleep(FILE_TTL / 2).await;
        assert_eq!(imports.lock().by_id.len(), 2);
        tokio::time::sleep(FILE_TTL).await;
        let files = imports.lock();
        assert!(files.by_id.is_empty() && files.taken.is_empty(), "{files:?}");
    }

    #[tokio::test]
    async fn a_process_has_a_bounded_number_of_places() {
        let imports = Imports::default();
        let take = || imports.take_place(&AccountId::generate(&mut os_rng()));
        let places: Vec<Place> = (0..MAX_FILES).map(|_| take().unwrap()).collect();
        assert!(take().is_err());
        drop(places);
        assert!(take().is_ok());
    }
}
