//! `gatepost access-key`: credentials of the admin API.

use gatepost_control_plane::{LastAdminKey, NewAccessKey};
use gatepost_runtime::error_chain;
use gatepost_store::StoreUrl;

use crate::cli::{AccessKeyCommand, CreateAccessKey, ListOptions, Options, Output};
use crate::config::Config;
use crate::control_socket::{self, ACCOUNT_ADDED, AccessKeyPage, CreatedAccessKey, Delegation};
use crate::output;
use crate::store::StoreInit;
use crate::table::{self, Column};

const COLUMNS: [Column; 8] = [
    Column::new("ID", "id"),
    Column::new("NAME", "name"),
    Column::new("KEY", "maskedKey"),
    Column::new("ROLE", "role"),
    Column::new("PROJECT", "projectId"),
    Column::new("STATE", "state"),
    Column::new("CREATED", "createdAt"),
    Column::new("ACCOUNT", "accountName"),
];

pub(crate) async fn run(options: &Options, command: AccessKeyCommand) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    match command {
        AccessKeyCommand::Create(create) => create_and_print(&config, &create).await,
        AccessKeyCommand::List(list) => {
            let listed = list_access_keys(&config, &list.list).await?;
            table::print_rows(&COLUMNS, &listed.rows, list.output)?;
            if let Some(cursor) = listed.next {
                table::print_cursor(&cursor);
            }
            Ok(())
        }
        AccessKeyCommand::Revoke(revoke) => {
            let last = if revoke.allow_last { LastAdminKey::Revocable } else { LastAdminKey::Protected };
            revoke_access_key(&config, &revoke.id, last).await?;
            output::print_line(&format!("revoked {}", revoke.id))
        }
    }
}

async fn create_and_print(config: &Config, create: &CreateAccessKey) -> anyhow::Result<()> {
    let mut created = create_access_key(config, create).await?;
    let others = std::mem::take(&mut created.other_accounts);
    if created.account_was == ACCOUNT_ADDED {
        warn_of_account(&created.account_id, &others);
    }
    let Err(error) = print(&created, create.output) else { return Ok(()) };
    let id = &created.id;
    // It was created just now, so nobody relies on it.
    Err(match revoke_access_key(config, id, LastAdminKey::Revocable).await {
        Ok(()) => error.context(format!("the access key {id} could not be printed and was revoked again")),
        Err(why) => error.context(format!(
            "the access key {id} was created but not printed, and revoking it failed: revoke it ({})",
            error_chain(why.as_ref())
        )),
    })
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

/// Lists access keys, page by page. Asks the process that holds an embedded store; without one, opens the store.
async fn list_access_keys(config: &Config, list: &ListOptions) -> anyhow::Result<AccessKeyPage> {
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let mut all = AccessKeyPage { rows: Vec::new(), next: list.after.clone() };
    if let StoreUrl::Embedded(directory) = &config.store.url {
        while let Some(page) =
            control_socket::list_access_keys(directory, all.next.as_deref(), limit - all.rows.len()).await?
        {
            all.rows.extend(page.rows);
            all.next = page.next;
            if all.next.is_none() || all.rows.len() >= limit {
                return Ok(all);
            }
        }
    }
    let use_cases = super::open_use_cases(config, StoreInit::MustExist).await?;
    Ok(AccessKeyPage::new(use_cases.operator_access_keys(list.after.as_deref(), limit).await?)?)
}

async fn revoke_access_key(config: &Config, id: &str, last: LastAdminKey) -> anyhow::Result<()> {
    let outcome = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::revoke_access_key(directory, id, last).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => Delegation::NoProcess,
    };
    match outcome {
        Delegation::Done => Ok(()),
        Delegation::NoProcess => {
            Ok(super::open_use_cases(config, StoreInit::MustExist).await?.revoke_access_key(id, last).await?)
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
