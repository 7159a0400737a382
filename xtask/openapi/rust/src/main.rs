//! Lifecycle of a key with the client that openapi-generator generates from the document. Environment: HOST,
//! ACCESS_KEY.

use std::error::Error;

use gatepost_client::apis::api_keys_api::{
    AuthenticateApiKeyError, authenticate_api_key, create_api_key, delete_api_key, list_api_keys, update_api_key,
};
use gatepost_client::apis::configuration::{ApiKey, Client, Configuration};
use gatepost_client::apis::projects_api::create_project;
use gatepost_client::apis::{self, ResponseContent};
use gatepost_client::models::problem::Code;
use gatepost_client::models::{ApiKeyBody, CreateApiKey, CreateProject, RateLimitMembers, UpdateApiKey};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let api = Configuration {
        base_path: std::env::var("HOST")?,
        client: Client::builder().no_proxy().build()?,
        api_key: Some(ApiKey { prefix: None, key: std::env::var("ACCESS_KEY")? }),
        ..Configuration::default()
    };
    let new_project = CreateProject::new("test".to_owned(), "rust".to_owned());
    let project = create_project(&api, new_project, None, None, None).await?;
    let limit = RateLimitMembers::new(100, 60.0);
    let new = CreateApiKey {
        project_id: Some(Some(project.id.clone())),
        expiry: Some(Some("2090-01-01".to_owned())),
        rate_limit_configs: Some(Some(Box::new(limit))),
        ..CreateApiKey::new("Jane".to_owned())
    };
    let key = create_api_key(&api, new, None, None, None).await?;
    let listed = list_api_keys(&api, Some(&project.id), None, None, None, Some(true), None, None, None, None).await?;
    assert_eq!(listed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&key.id]);

    let renamed = update_api_key(&api, &key.id, copy(&listed[0], "Joan")?, None, None, None).await?;
    assert_eq!(renamed.name, "Joan");
    let used = authenticate_api_key(&api, &key.key, None, None, None, None, None).await?;
    assert_eq!(used.name, "Joan");

    assert!(delete_api_key(&api, &key.id, Some("wait=1"), None, None).await?);
    let rejected = authenticate_api_key(&api, &key.key, None, None, None, None, None).await;
    let Err(apis::Error::ResponseError(ResponseContent { status, entity: Some(entity), .. })) = rejected else {
        return Err("a revoked key was accepted".into());
    };
    // All error responses have the same schema, so that the first of the generated variants matches.
    let AuthenticateApiKeyError::Status400(problem) = entity else {
        return Err("the response is not a problem".into());
    };
    assert_eq!((status.as_u16(), problem.code), (404, Code::InvalidClientKey));
    Ok(())
}

/// Returns the whole key with another name, as the body of a change.
fn copy(key: &ApiKeyBody, name: &str) -> serde_json::Result<UpdateApiKey> {
    let copy: UpdateApiKey = serde_json::from_value(serde_json::to_value(key)?)?;
    Ok(UpdateApiKey { name: Some(name.to_owned()), ..copy })
}
