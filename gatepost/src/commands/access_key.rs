//! `gatepost access-key`: credentials of the admin API.

use std::sync::Arc;

use gatepost_control_plane::{ControlPlane, NewAccessKey};
use gatepost_domain::record::Role;
use gatepost_domain::time::Clock;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;
use gatepost_verify::Meters;
use prometheus::Registry;

use crate::cli::{AccessKeyCommand, CreateAccessKey, Options, Output, RoleName};
use crate::config::Config;
use crate::control_socket::{self, ADDED, Asked, Printed};
use crate::store::{self, Missing};
use crate::{master_key, output};

pub(crate) async fn run(options: &Options, command: AccessKeyCommand) -> anyhow::Result<()> {
    match command {
        AccessKeyCommand::Create(create) => {
            let config = super::load_and_tell(options)?;
            let printed = access_key(&config, &create).await?;
            if printed.account_was == ADDED {
                warn_of_account(&printed.account_id);
            }
            let Err(error) = print(&printed, create.output) else { return Ok(()) };
            let id = &printed.id;
            Err(match withdraw(&config, id).await {
                Ok(()) => error.context(format!("the access key {id} was revoked again, as nobody saw it")),
                Err(why) => error.context(format!(
                    "the access key {id} was made and is active, though nobody saw it: revoke it ({})",
                    output::sentence(&why)
                )),
            })
        }
    }
}

/// Asks the process that holds an embedded store, else opens the store, which makes one where there is none.
async fn access_key(config: &Config, create: &CreateAccessKey) -> anyhow::Result<Printed> {
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
async fn withdraw(config: &Config, id: &str) -> anyhow::Result<()> {
    let asked = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::revoke_access_key(directory, id).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => Asked::NoProcess,
    };
    match asked {
        Asked::Done => Ok(()),
        Asked::NoProcess => Ok(use_cases(config).await?.revoke_access_key(id).await?),
    }
}

async fn use_cases(config: &Config) -> anyhow::Result<ControlPlane> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let master = master_key::find(&config.store)?;
    let store = store::open(config, &clock, &master, Missing::Created).await?;
    let registry = Registry::new();
    let meters = Meters::start(store.clone(), Arc::clone(&clock), config.when_store_is_down, &registry)?;
    Ok(ControlPlane::new(store, clock, config.private_networks, meters, &registry)?)
}

fn role(name: RoleName) -> Role {
    match name {
        RoleName::Admin => Role::Admin,
        RoleName::User => Role::User,
        RoleName::Viewer => Role::Viewer,
    }
}

fn warn_of_account(account: &str) {
    output::message(&format!(
        "there was no account of that name, and {account} was made beside the others: gateways now refuse keys on \
         routes that do not name their projects"
    ));
}

fn print(printed: &Printed, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => output::line(&printed.key),
        Output::Json => output::line(&serde_json::to_string(printed)?),
    }
}
