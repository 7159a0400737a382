//! Executes the commands that come through a control socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gatepost_control_plane::{ControlPlane, LastAdminKey, NewAccessKey, PurgeReport, RunMode};
use gatepost_domain::record::Role;
use gatepost_store::{Format, Store, StoreUpgrade};
use indicatif::ProgressBar;

use super::message::{AccessKeyPage, Request, Response};
use crate::dashboard_url::{self, DashboardUrl};
use crate::import;
use crate::reload::{self, Reloader};

/// Maximum number of access keys in a response.
pub(super) const ACCESS_KEY_PAGE: usize = 100;

/// What commands are executed with.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) reloader: Arc<Reloader>,
    /// Absent if the socket takes reloads only.
    pub(crate) store: Option<StoreAccess>,
}

/// What commands about the store are executed with.
#[derive(Clone)]
pub(crate) struct StoreAccess {
    pub(crate) control_plane: ControlPlane,
    pub(crate) store: Store,
    pub(crate) dashboard: Option<DashboardUrl>,
}

impl Executor {
    pub(super) async fn run(&self, request: Request) -> anyhow::Result<Response> {
        match request {
            Request::Reload { wait: true } => {
                Ok(Response::Reloaded { need_restart: self.reloader.reload().await?.need_restart })
            }
            Request::Reload { wait: false } => {
                reload::start(&self.reloader);
                Ok(Response::Reloaded { need_restart: Vec::new() })
            }
            Request::CreateAccessKey { account_name, project, role, name } => {
                let role = Role::parse(&role).context("unknown role")?;
                let new = NewAccessKey { account_name, project, role, name };
                Ok(Response::Created(self.control_plane()?.create_access_key(new).await?.into()))
            }
            Request::ListAccessKeys { after, limit } => {
                let listed = self.control_plane()?.operator_access_keys(after.as_deref(), limit.min(ACCESS_KEY_PAGE));
                Ok(Response::AccessKeys(AccessKeyPage::new(listed.await?)?))
            }
            Request::RevokeAccessKey { id, allow_last } => {
                let last = if allow_last { LastAdminKey::Revocable } else { LastAdminKey::Protected };
                self.control_plane()?.revoke_access_key(&id, last).await?;
                Ok(Response::Revoked)
            }
            Request::CreateSignInLink { access_key } => {
                let StoreAccess { control_plane, dashboard, .. } = self.store()?;
                let link = dashboard_url::create_link(control_plane, dashboard.as_ref(), access_key.as_deref());
                Ok(Response::SignInLink(link.await?))
            }
            Request::UpgradeStore { format } => self.upgrade(format).await,
            Request::Backup { file } => {
                Ok(Response::BackedUp { bytes: self.store()?.store.single_cell().backup(&file).await? })
            }
            Request::Import(request) => {
                Ok(Response::Imported(import::run(self.control_plane()?, &request, &ProgressBar::hidden()).await?))
            }
            Request::Purge { inactive_for_s, dry_run } => {
                let mode = if dry_run { RunMode::DryRun } else { RunMode::Apply };
                let PurgeReport { api_keys, access_keys } =
                    self.control_plane()?.purge(Duration::from_secs(inactive_for_s), mode).await?;
                Ok(Response::Purged { api_keys: api_keys.into(), access_keys: access_keys.into() })
            }
        }
    }

    fn store(&self) -> anyhow::Result<&StoreAccess> {
        self.store.as_ref().context("this socket is for gatepost reload only")
    }

    fn control_plane(&self) -> anyhow::Result<&ControlPlane> {
        Ok(&self.store()?.control_plane)
    }

    async fn upgrade(&self, format: u32) -> anyhow::Result<Response> {
        let to = Format::new(format).context("the running process does not support this format: upgrade it first")?;
        let StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted } =
            self.store()?.store.single_cell().upgrade(to, log_upgrade).await?;
        Ok(Response::StoreUpgraded { checked, rewritten, unreadable, unreadable_ids, counted })
    }
}

fn log_upgrade(done: &StoreUpgrade) {
    let StoreUpgrade { checked, rewritten, counted, .. } = done;
    tracing::info!(checked, rewritten, counted, "upgrading the store");
}
