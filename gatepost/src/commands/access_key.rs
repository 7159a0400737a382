//! `gatepost access-key`: credentials of the admin API.

use std::sync::Arc;

use gatepost_control_plane::{ControlPlane, NewAccessKey};
use gatepost_domain::record::Role;
use gatepost_domain::time::Clock;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;
use gatepost_verify::RateLimiter;
use prometheus::Registry;

use crate::cli::{AccessKeyCommand, CreateAccessKey, Options, Output, RoleName};
use crate::config::Config;
use crate::control_socket::{self, ACCOUNT_ADDED, CreatedAccessKey, Delegation};
use crate::store::{self, StoreInit};
use crate::{master_key, output};

pub(crate) async fn run(options: &Options, command: AccessKeyCommand) -> anyhow::Result<()> {
    match command {
        AccessKeyCommand::Create(create) => {
            let config = super::load_with_warnings(options)?;
            let created = create_access_key(&config, &create).await?;
            if created.account_was == ACCOUNT_ADDED {
                warn_of_account(&created.account_id);
            }
            let Err(error) = print(&created, create.output) else { return Ok(()) };
            let id = &created.id;
            Err(match revoke_unprinted(&config, id).await {
                Ok(()) => error.context(format!("the access key {id} was revoked again, as nobody saw it")),
                Err(why) => error.context(format!(
                    "the access key {id} was made and is active, though nobody saw it: revoke it ({})",
                    output::error_chain(&why)
                )),
            })
        }
    }
}

/// Asks the process that holds an embedded store, else opens the store, which makes one where there is none.
async fn create_access_key(config: &Config, create: &CreateAccessKey) -> anyhow::Result<CreatedAccessKey> {
    let new = NewAccessKey {
        account_name: create.account_name.clone(),
        project: create.project.clone(),
        role: role(create.role),
        name: create.name.clone(),
    };
    if let StoreUrl::Embedded(directory) = &config.store.url
        && let Some(printed) = control_socket::create_access_key(directory, &new).await?
    {
        return Ok(printed);
    }
    Ok(use_cases(config).await?.create_access_key(new).await?.into())
}

/// Revokes an access key whose value could not be printed.
async fn revoke_unprinted(config: &Config, id: &str) -> anyhow::Result<()> {
    let outcome = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::revoke_access_key(directory, id).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => Delegation::NoProcess,
    };
    match outcome {
        Delegation::Done => Ok(()),
        Delegation::NoProcess => Ok(use_cases(config).await?.revoke_access_key(id).await?),
    }
}

async fn use_cases(config: &Config) -> anyhow::Result<ControlPlane> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let master = master_key::find_or_create(&config.store)?;
    let store = store::open(config, &clock, &master, StoreInit::CreateIfMissing).await?;
    let registry = Registry::new();
    let rate_limiter = RateLimiter::start(store.clone(), Arc::clone(&clock), config.outage_policy, &registry)?;
    Ok(ControlPlane::new(store, clock, config.private_networks, rate_limiter, &registry)?)
}

fn role(name: RoleName) -> Role {
    match name {
        RoleName::Admin => Role::Admin,
        RoleName::User => Role::User,
        RoleName::Viewer => Role::Viewer,
    }
}

fn warn_of_account(account: &str) {
    output::print_error_line(&format!(
        "there was no account of that name, and {account} was made beside the others: gateways now refuse keys on \
         routes that do not name their projects"
    ));
}

fn print(created: &CreatedAccessKey, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => output::print_line(&created.key),
        Output::Json => output::print_line(&serde_json::to_string(created)?),
    }
}
