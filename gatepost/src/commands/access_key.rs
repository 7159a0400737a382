//! `gatepost access-key`: credentials of the admin API.

use gatepost_control_plane::NewAccessKey;
use gatepost_runtime::error_chain;
use gatepost_store::StoreUrl;

use crate::cli::{AccessKeyCommand, CreateAccessKey, Options, Output};
use crate::config::Config;
use crate::control_socket::{self, ACCOUNT_ADDED, CreatedAccessKey, Delegation};
use crate::output;
use crate::store::StoreInit;

pub(crate) async fn run(options: &Options, command: AccessKeyCommand) -> anyhow::Result<()> {
    match command {
        AccessKeyCommand::Create(create) => {
            let config = super::load_with_warnings(options)?;
            let mut created = create_access_key(&config, &create).await?;
            let others = std::mem::take(&mut created.other_accounts);
            if created.account_was == ACCOUNT_ADDED {
                warn_of_account(&created.account_id, &others);
            }
            let Err(error) = print(&created, create.output) else { return Ok(()) };
            let id = &created.id;
            Err(match revoke_unprinted(&config, id).await {
                Ok(()) => error.context(format!("the access key {id} could not be printed and was revoked again")),
                Err(why) => error.context(format!(
                    "the access key {id} was created but not printed, and revoking it failed: revoke it ({})",
                    error_chain(why.as_ref())
                )),
            })
        }
    }
}

/// Asks the process that holds an embedded store. Without one, opens the store, and creates it if it is missing, unless
/// the access key is for a project: a new store has none.
async fn create_access_key(config: &Config, create: &CreateAccessKey) -> anyhow::Result<CreatedAccessKey> {
    let new = NewAccessKey {
        account_name: create.account_name.clone(),
        project: create.project.clone(),
        role: create.role.into(),
        name: create.name.clone(),
    };
    if let StoreUrl::Embedded(directory) = &config.store.url
        && let Some(created) = control_socket::create_access_key(directory, &new).await?
    {
        return Ok(created);
    }
    let init = if new.project.is_some() { StoreInit::MustExist } else { StoreInit::CreateIfMissing };
    Ok(super::open_use_cases(config, init).await?.create_access_key(new).await?.into())
}

/// Revokes an access key whose value could not be printed.
async fn revoke_unprinted(config: &Config, id: &str) -> anyhow::Result<()> {
    let outcome = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::revoke_access_key(directory, id).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => Delegation::NoProcess,
    };
    match outcome {
        Delegation::Done => Ok(()),
        Delegation::NoProcess => {
            Ok(super::open_use_cases(config, StoreInit::CreateIfMissing).await?.revoke_access_key(id).await?)
        }
    }
}

fn warn_of_account(account: &str, others: &str) {
    output::print_error_line(&format!(
        "warning: no account had that name, so a NEW account was created: {account}. The store already had: {others}. \
         From now on gateways accept keys only on routes that list their projects (projects = [\"prj_…\"] in [[gateway.route]]); \
         deleting the new account does not change that"
    ));
}

fn print(created: &CreatedAccessKey, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => output::print_line(&created.key),
        Output::Json => output::print_line(&serde_json::to_string(created)?),
    }
}
