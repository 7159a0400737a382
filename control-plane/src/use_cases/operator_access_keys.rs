//! Access keys of all accounts, as the operator lists and revokes them: also when no admin can call the admin API.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, AccountId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Role, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::MAX_PAGE;

use crate::commit::Initiator;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::pager::Pager;
use crate::update::Edit;

const NO_SUCH_KEY: &str = "there is no access key of this id; ids begin with ak_, see `gatepost access-key list`";
/// Name of the list in its cursors.
const LIST: &str = "operator-access-keys";

/// Access keys of all accounts in the order of their creation, account by account.
#[derive(Debug)]
pub struct OperatorAccessKeys {
    pub access_keys: Vec<OperatorAccessKey>,
    /// The cursor of the access keys after these; none at the end.
    pub next: Option<String>,
}

/// An access key, and whether it lets anybody in.
#[derive(Debug)]
pub struct OperatorAccessKey {
    pub access_key: AccessKey,
    pub account_name: String,
    pub state: AccessKeyState,
}

/// Whether an access key is accepted, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKeyState {
    Active,
    Revoked,
    Expired,
    AccountDeleted,
}

impl AccessKeyState {
    fn of(access_key: &AccessKey, account: &Account, now: Timestamp) -> Self {
        match (access_key.status, account.status) {
            (Status::Inactive, _) => Self::Revoked,
            (Status::Active, Status::Inactive) => Self::AccountDeleted,
            (Status::Active, Status::Active) if access_key.is_usable(now) => Self::Active,
            (Status::Active, Status::Active) => Self::Expired,
        }
    }

    /// Returns the name used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::AccountDeleted => "account deleted",
        }
    }
}

/// What happens to the last access key with which an admin sees a whole account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastAdminKey {
    Protected,
    Revocable,
}

/// An access key with its account, and its position in the list of the account.
struct ListedKey {
    position: String,
    listed: OperatorAccessKey,
}

impl ControlPlane {
    /// Lists at most `limit` access keys of all accounts, deleted ones too, after a cursor of an earlier list.
    ///
    /// # Errors
    /// A refusal if the cursor does not belong to this list.
    pub async fn operator_access_keys(&self, after: Option<&str>, limit: usize) -> Result<OperatorAccessKeys> {
        let mut found = self.read_listed_keys(after, limit.saturating_add(1)).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = match found.last().filter(|_| has_more) {
            Some(last) => Some(self.cursor_after(last)?),
            None => None,
        };
        Ok(OperatorAccessKeys { access_keys: found.into_iter().map(|key| key.listed).collect(), next })
    }

    async fn read_listed_keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<ListedKey>> {
        let mut accounts = self.all_accounts().await?;
        let mut position = String::new();
        if let Some(cursor) = after {
            let (account, last) = self.open_operator_cursor(cursor)?;
            accounts.drain(..accounts.iter().position(|found| found.id == account).unwrap_or(accounts.len()));
            position = last;
        }
        let mut found = Vec::new();
        for account in accounts {
            let mut after = Some(std::mem::take(&mut position));
            while let Some(position) = after.take()
                && found.len() < limit
            {
                let missing = u32::try_from(limit - found.len()).unwrap_or(u32::MAX).min(MAX_PAGE);
                let home = self.store.home(account.id.partition());
                let page = home.access_keys(&account.id, &position, missing).await?;
                let items = page.positions.into_iter().zip(page.items);
                found.extend(items.map(|(position, key)| self.listed_key(position, key.record, &account)));
                after = page.next;
            }
        }
        Ok(found)
    }

    fn listed_key(&self, position: String, access_key: AccessKey, account: &Account) -> ListedKey {
        let state = AccessKeyState::of(&access_key, account, self.now());
        ListedKey { position, listed: OperatorAccessKey { access_key, account_name: account.name.clone(), state } }
    }

    fn cursor_after(&self, last: &ListedKey) -> Result<String> {
        let position = format!("{}\n{}", last.listed.access_key.account, last.position);
        Ok(self.store.envelope().seal_cursor(LIST, &position)?)
    }

    fn open_operator_cursor(&self, cursor: &str) -> Result<(AccountId, String)> {
        let position = self.store.envelope().open_cursor(LIST, cursor);
        let parts = position.as_deref().and_then(|position| position.split_once('\n'));
        let parsed = parts.and_then(|(account, last)| Some((AccountId::parse(account).ok()?, last.to_owned())));
        parsed.ok_or_else(|| Failure::invalid("after: is not a cursor of this list"))
    }

    /// Revokes an access key, unless it is revoked already.
    ///
    /// # Errors
    /// `not-found` if there is none; `conflict` if it is protected as the last one of its account. Of several calls at the
    /// same time, each may find the access key that another one revokes.
    pub async fn revoke_access_key(&self, id: &str, last: LastAdminKey) -> Result<()> {
        let not_found = || Failure::refused(ErrorCode::NotFound, NO_SUCH_KEY);
        let id = AccessKeyId::parse(id).map_err(|_| not_found())?;
        let read = || async { self.store.home(id.partition()).access_key(&id).await?.ok_or_else(not_found) };
        if last == LastAdminKey::Protected {
            self.check_not_last_admin_key(&read().await?.record).await?;
        }
        let edit = |found: &AccessKey| {
            Ok(match found.status {
                Status::Inactive => Edit::Unchanged,
                Status::Active => {
                    Edit::replace(Action::AccessKeyDeleted, AccessKey { status: Status::Inactive, ..found.clone() })
                }
            })
        };
        self.update(Initiator::Operator, read, edit).await.map(drop)
    }

    async fn check_not_last_admin_key(&self, revoked: &AccessKey) -> Result<()> {
        if !self.is_admin_of_account(revoked) {
            return Ok(());
        }
        let account = &revoked.account;
        let home = self.store.home(account.partition());
        let read = |after: String, limit| async move { home.access_keys(account, &after, limit).await };
        let mut pages = Pager::new(MAX_PAGE, read);
        while let Some(page) = pages.next_page().await? {
            let is_other = |key: &AccessKey| key.id != revoked.id && self.is_admin_of_account(key);
            if page.items.iter().any(|found| is_other(&found.record)) {
                return Ok(());
            }
        }
        let detail = format!(
            "{} is the last access key with which an admin can manage the account {account}: create another one with \
             `gatepost access-key create`, or repeat the command with --allow-last",
            revoked.id
        );
        Err(Failure::refused(ErrorCode::Conflict, detail))
    }

    pub(super) fn is_admin_of_account(&self, key: &AccessKey) -> bool {
        key.is_usable(self.now()) && key.role == Role::Admin && key.project.is_none()
    }
}
