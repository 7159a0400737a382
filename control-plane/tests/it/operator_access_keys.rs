//! Access keys of all accounts, as the operator lists and revokes them.

use gatepost_control_plane::{AccessKeyState, ControlPlane, Failure, LastAdminKey, NewAccessKey};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Role;

use crate::fixture::start;

/// Creates an access key and returns its id.
async fn create(control_plane: &ControlPlane, account: Option<&str>, role: Role, name: &str) -> String {
    let new = NewAccessKey { account_name: account.map(str::to_owned), project: None, role, name: name.to_owned() };
    control_plane.create_access_key(new).await.unwrap().access_key.id.to_string()
}

/// Returns name, account and state of each access key, read in pages of `limit`.
async fn list(control_plane: &ControlPlane, limit: usize) -> Vec<(String, String, AccessKeyState)> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = control_plane.operator_access_keys(after.as_deref(), limit).await.unwrap();
        assert!(page.access_keys.len() <= limit);
        rows.extend(page.access_keys.into_iter().map(|key| (key.access_key.name, key.account_name, key.state)));
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

#[tokio::test]
async fn access_keys_of_all_accounts_are_listed_with_their_state() {
    let (_, control_plane, context) = start().await;
    let default = context.caller.account.to_string();
    create(&control_plane, Some(&default), Role::User, "user").await;
    let revoked = create(&control_plane, Some("other"), Role::Admin, "revoked").await;
    create(&control_plane, Some("other"), Role::Viewer, "viewer").await;
    control_plane.revoke_access_key(&revoked, LastAdminKey::Revocable).await.unwrap();
    control_plane.deactivate_account(&context, &default).await.unwrap();
    let mut expected = [
        ("admin", "default", AccessKeyState::AccountDeleted),
        ("user", "default", AccessKeyState::AccountDeleted),
        ("revoked", "other", AccessKeyState::Revoked),
        ("viewer", "other", AccessKeyState::Active),
    ]
    .map(|(name, account, state)| (name.to_owned(), account.to_owned(), state));
    expected.sort_by(|left, right| left.1.cmp(&right.1));
    for limit in [1, 2, 3, 4, 100] {
        let mut rows = list(&control_plane, limit).await;
        rows.sort_by(|left, right| left.1.cmp(&right.1));
        assert_eq!(rows, expected, "pages of {limit}");
    }
    let refused = control_plane.operator_access_keys(Some("AAAA"), 10).await.unwrap_err();
    assert!(refused.to_string().contains("is not a cursor"), "{refused}");
}

#[tokio::test]
async fn the_last_admin_key_of_an_account_is_revoked_only_on_request() {
    let (_, control_plane, context) = start().await;
    let (admin, default) = (context.caller.access_key.to_string(), context.caller.account.to_string());
    // None of these lets an admin into the whole account.
    let user = create(&control_plane, Some(&default), Role::User, "user").await;
    create(&control_plane, Some("other"), Role::Admin, "of another account").await;
    let gone = create(&control_plane, Some(&default), Role::Admin, "gone").await;
    control_plane.revoke_access_key(&gone, LastAdminKey::Protected).await.unwrap();

    let refused = control_plane.revoke_access_key(&admin, LastAdminKey::Protected).await.unwrap_err();
    assert!(matches!(&refused, Failure::Refused(problem) if problem.code == ErrorCode::Conflict), "{refused}");
    assert!(refused.to_string().contains(&admin) && refused.to_string().contains("--allow-last"), "{refused}");
    control_plane.revoke_access_key(&user, LastAdminKey::Protected).await.unwrap();
    control_plane.revoke_access_key(&admin, LastAdminKey::Revocable).await.unwrap();
    // What is revoked already stays so.
    control_plane.revoke_access_key(&admin, LastAdminKey::Protected).await.unwrap();
    for unknown in ["ak_00unknown", "live_access_x"] {
        let refused = control_plane.revoke_access_key(unknown, LastAdminKey::Protected).await.unwrap_err();
        assert!(matches!(&refused, Failure::Refused(problem) if problem.code == ErrorCode::NotFound), "{refused}");
        assert!(!refused.to_string().contains(unknown), "{refused}");
    }
}
