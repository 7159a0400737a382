//! A new store begins with a project, and no other store gets one.

use gatepost_control_plane::NewAccessKey;
use gatepost_domain::record::Role;

use crate::fixture::{project, start};

#[tokio::test]
async fn a_new_store_gets_one_project_however_many_ask() {
    let (store, control_plane, context) = start().await;
    let account = &context.caller.account;
    let (one, other) = tokio::join!(control_plane.create_first_project(), control_plane.create_first_project());
    let created = [one.unwrap(), other.unwrap()];
    assert_eq!(created.iter().flatten().count(), 1, "{created:?}");
    assert_eq!(control_plane.create_first_project().await.unwrap(), None);
    let projects = store.single_cell().projects(account, "", 10).await.unwrap().items;
    let [only] = projects.as_slice() else { panic!("{projects:?}") };
    assert_eq!((&only.record.account, only.record.name.as_str()), (account, "default"));
    assert_eq!(Some(&only.record.id), created.iter().flatten().next());
}

#[tokio::test]
async fn a_store_that_has_had_a_project_gets_none() {
    for first in [true, false] {
        let (store, control_plane, context) = start().await;
        let id = match first {
            true => control_plane.create_first_project().await.unwrap().unwrap(),
            false => control_plane.create_project(&context, project()).await.unwrap().record.id,
        };
        control_plane.deactivate_project(&context, id.as_str()).await.unwrap();
        assert_eq!(control_plane.create_first_project().await.unwrap(), None);
        let projects = store.single_cell().projects(&context.caller.account, "", 10).await.unwrap();
        assert_eq!(projects.items.len(), 1);
    }
}

#[tokio::test]
async fn a_store_with_several_accounts_gets_none() {
    let (_, control_plane, _) = start().await;
    let second = Some("second".to_owned());
    let new = NewAccessKey { account_name: second, project: None, role: Role::Admin, name: "admin".to_owned() };
    control_plane.create_access_key(new).await.unwrap();
    assert_eq!(control_plane.create_first_project().await.unwrap(), None);
}
