//! `gatepost master-key`: creates a master key, and replaces that of a store.

use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_store::{RotationOutcome, RotationStep};

use crate::cli::{MasterKeyCommand, Options, RotateMasterKey};
use crate::{master_key, output, store};

pub(crate) async fn run(options: &Options, command: &MasterKeyCommand) -> anyhow::Result<()> {
    match command {
        MasterKeyCommand::Create(create) => {
            master_key::create(&create.file)?;
            let file = create.file.display();
            output::print_line(&format!(
                "{file} has a new master key. Keep a copy apart from backups of the store: without it nobody can open them"
            ))
        }
        MasterKeyCommand::Rotate(rotate) => rotate_and_report(options, rotate).await,
    }
}

async fn rotate_and_report(options: &Options, rotate: &RotateMasterKey) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let new = rotate.new_file.as_deref().map(master_key::read_file).transpose()?;
    let (step, done) = match &new {
        Some(new) => (
            RotationStep::Begin(new),
            "the store opens with the old and the new master key: configure the new one for all processes, restart \
             them, and run gatepost master-key rotate --finish",
        ),
        None if rotate.finish => (RotationStep::Finish, "the store opens only with the new master key"),
        None => (RotationStep::Cancel, "the store opens only with the old master key"),
    };
    match store::rotate_master_key(&config, &clock, step).await? {
        // A rotation that has begun with this key begins again.
        RotationOutcome::NothingToDo if new.is_none() => output::print_line("no rotation of the master key has begun"),
        RotationOutcome::Done | RotationOutcome::NothingToDo => output::print_line(done),
    }
}
