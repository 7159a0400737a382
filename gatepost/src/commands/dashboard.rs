//! `gatepost dashboard`: prints a single-use link that signs in to the dashboard.

use anyhow::bail;
use gatepost_store::StoreUrl;

use crate::cli::{DashboardOptions, Options};
use crate::config::Config;
use crate::dashboard_url::{self, DashboardUrl, SignInLink};
use crate::store::{self, StoreInit};
use crate::{control_socket, master_key, output};

pub(crate) async fn run(options: &Options, dashboard: &DashboardOptions) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let access_key = dashboard.access_key.as_deref();
    let link = match &config.store.url {
        StoreUrl::Embedded(directory) => {
            if !directory.join(master_key::STORE_FILE_NAME).exists() {
                bail!(store::missing(directory));
            }
            match control_socket::create_sign_in_link(directory, access_key).await? {
                Some(link) => link,
                None => bail!(
                    "no process serves the dashboard of the store in {}: start `gatepost up`",
                    std::path::absolute(directory)?.display()
                ),
            }
        }
        StoreUrl::Redis(_) => create_directly(&config, access_key).await?,
        StoreUrl::Memory => bail!("a store in memory belongs to its process, which alone can make a link"),
    };
    print(&match &dashboard.admin_url {
        Some(url) => link.at(url),
        None => link,
    })
}

async fn create_directly(config: &Config, access_key: Option<&str>) -> anyhow::Result<SignInLink> {
    let use_cases = super::open_use_cases(config, StoreInit::MustExist).await?;
    let url = config.dashboard.as_ref().map(|dashboard| DashboardUrl::new(dashboard, config.control_plane.listen));
    dashboard_url::create_link(&use_cases, url.as_ref(), access_key).await
}

/// Prints the link alone to standard output, so that a script can open it.
fn print(link: &SignInLink) -> anyhow::Result<()> {
    output::print_line(&link.url)?;
    output::print_error_line(&link.limits());
    Ok(())
}
