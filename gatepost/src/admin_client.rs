//! Client of the admin API, for commands that do not open the store.

use std::path::Path;
use std::time::Duration;

use gatepost_domain::key::Secret;
use gatepost_runtime::error_chain;
use gatepost_webhook_client::root_cause;
use http::HeaderValue;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::admin_url::AdminUrl;
use crate::api_request::{ApiRequest, ApiResponse};
use crate::commands::UsageError;
use crate::config::ACCESS_KEY_VARIABLE;
use crate::private_file;

/// File with the first access key of a store in the default directory.
const FIRST_ACCESS_KEY_FILE: &str = "gatepost-data/first-access-key";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What to do if nothing responds at the address of the admin API.
pub(crate) const ADMIN_URL_HINT: &str = "if the admin API is elsewhere, name it with --admin-url";
/// What to do without a valid access key, on the machine of the store.
const NEW_ACCESS_KEY_HINT: &str = "`gatepost access-key create` makes one";
/// Time until a response begins. It is longer than the attempt that the test of a webhook waits for, and than a change
/// waits for the gateways.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);
/// Time until a stream begins, which waits for nothing. The HTTP client can lose a request whose connection is reset at
/// that moment: only this limit ends its wait.
const STREAM_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a response body in bytes, streams apart.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Why a request to the admin API failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// There was no response, or it ended too early.
    #[error("{0}")]
    NoResponse(String),
    /// The response is a refusal.
    #[error("{detail} ({status})")]
    Refused { status: StatusCode, detail: String },
    /// The response is none of an admin API.
    #[error("the response is not from an admin API of Gatepost: {0}")]
    Unexpected(String),
}

/// Client with an access key.
pub(crate) struct AdminClient {
    url: AdminUrl,
    access_key: HeaderValue,
    origin: AccessKeyOrigin,
    client: Client,
}

/// Where an access key comes from.
#[derive(Debug, Clone, Copy)]
enum AccessKeyOrigin {
    Variable,
    FirstFile,
}

/// A problem (RFC 9457) of an admin API.
#[derive(Deserialize)]
struct ProblemBody {
    code: String,
    title: String,
    detail: Option<String>,
}

impl AdminError {
    fn from_transport(error: reqwest::Error) -> Self {
        Self::NoResponse(root_cause(error))
    }

    /// Returns whether the same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::NoResponse(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Unexpected(_) => false,
        }
    }
}

impl AdminClient {
    /// Creates a client with the access key of the environment. Without one, an admin API on this machine gets that which
    /// `gatepost up` wrote in this directory.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if there is no access key.
    pub(crate) fn new(url: AdminUrl) -> anyhow::Result<Self> {
        let (access_key, origin) = find_access_key(&url)?;
        let invalid = |_| UsageError(format!("{ACCESS_KEY_VARIABLE} is not an access key"));
        let mut access_key = HeaderValue::from_str(access_key.expose()).map_err(invalid)?;
        access_key.set_sensitive(true);
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("Gatepost/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { url, access_key, origin, client })
    }

    pub(crate) fn url(&self) -> &AdminUrl {
        &self.url
    }

    /// Sends a POST with a JSON body, and reads the response.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: Value) -> Result<T, AdminError> {
        let response = self.call(ApiRequest::post(path, body)).await?;
        serde_json::from_value(response.body).map_err(|error| AdminError::Unexpected(error.to_string()))
    }

    /// Sends a request, and reads the response.
    pub(crate) async fn call(&self, request: ApiRequest) -> Result<ApiResponse, AdminError> {
        let mut url = self.url.resource(&request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let mut builder = self.client.request(request.method, url);
        if let Some(body) = request.body {
            builder = builder.body(body.to_string());
        }
        if let Some(seconds) = request.wait_s {
            builder = builder.header("prefer", format!("wait={seconds}"));
        }
        let response = self.send(builder, RESPONSE_TIMEOUT).await.map_err(|error| match error {
            AdminError::NoResponse(why) => {
                AdminError::NoResponse(format!("{} did not respond: {why}; {ADMIN_URL_HINT}", self.url))
            }
            AdminError::Refused { .. } | AdminError::Unexpected(_) => error,
        })?;
        let headers = response.headers().clone();
        let bytes = read_body(response).await?;
        let body = serde_json::from_slice(&bytes).map_err(|_| self.stranger("no JSON"))?;
        Ok(ApiResponse { body, headers })
    }

    /// Opens a stream of server-sent events. `last` is the id of the last event received.
    pub(crate) async fn open_stream(&self, url: Url, last: Option<&str>) -> Result<Response, AdminError> {
        let request = self.client.get(url).header("accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let response = self.send(request, STREAM_START_TIMEOUT).await?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            Ok(response)
        } else {
            Err(AdminError::Unexpected(format!("it has the content type {kind:?}")))
        }
    }

    /// Sends a request, and waits for the start of a response that is a success.
    async fn send(&self, request: RequestBuilder, timeout: Duration) -> Result<Response, AdminError> {
        let sending = request.header("x-api-key", self.access_key.clone()).send();
        let response = tokio::time::timeout(timeout, sending).await;
        let response = response.map_err(|_| no_response(timeout))?.map_err(AdminError::from_transport)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read_body(response).await.unwrap_or_default();
        Err(self.refusal(status, serde_json::from_slice(&body).ok()))
    }

    /// Returns why a request was refused.
    fn refusal(&self, status: StatusCode, problem: Option<ProblemBody>) -> AdminError {
        let Some(ProblemBody { code, title, detail }) = problem else {
            let refused = AdminError::Refused { status, detail: format!("{} does not respond as it should", self.url) };
            return if refused.is_temporary() { refused } else { self.stranger(status.as_str()) };
        };
        let detail = detail.unwrap_or(title);
        let detail = match code.as_str() {
            "invalid-access-key" => self.wrong_access_key(&detail),
            "invalid-client-key" => "there is no such key".to_owned(),
            // Only a gateway says so.
            "missing-key" | "invalid-key" => return self.stranger(status.as_str()),
            _ => detail,
        };
        AdminError::Refused { status, detail }
    }

    /// Returns that the responses of this address are none of an admin API.
    fn stranger(&self, response: &str) -> AdminError {
        AdminError::Unexpected(format!("{} responds with {response}; {ADMIN_URL_HINT}", self.url))
    }

    fn wrong_access_key(&self, detail: &str) -> String {
        let url = &self.url;
        match self.origin {
            AccessKeyOrigin::Variable => {
                format!("{detail} in {ACCESS_KEY_VARIABLE}: set it to an access key of {url}")
            }
            AccessKeyOrigin::FirstFile => format!(
                "{detail} in {FIRST_ACCESS_KEY_FILE}: set {ACCESS_KEY_VARIABLE} to an access key of {url}; \
                 {NEW_ACCESS_KEY_HINT}"
            ),
        }
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, AdminError> {
    let mut body = Vec::new();
    let reading = async {
        while let Some(chunk) = response.chunk().await.map_err(AdminError::from_transport)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_BYTES {
                return Err(AdminError::Unexpected("it is too long".to_owned()));
            }
        }
        Ok(())
    };
    tokio::time::timeout(RESPONSE_TIMEOUT, reading).await.map_err(|_| no_response(RESPONSE_TIMEOUT))??;
    Ok(body)
}

fn no_response(timeout: Duration) -> AdminError {
    AdminError::NoResponse(format!("no response within {} s", timeout.as_secs()))
}

fn find_access_key(url: &AdminUrl) -> anyhow::Result<(Secret, AccessKeyOrigin)> {
    if let Some(key) = access_key_variable()? {
        return Ok((key, AccessKeyOrigin::Variable));
    }
    if !url.is_loopback() {
        return Err(UsageError(format!("set {ACCESS_KEY_VARIABLE} to an access key of {url}")).into());
    }
    match private_file::read(Path::new(FIRST_ACCESS_KEY_FILE)) {
        Ok(Some(text)) => Ok((Secret::new(text.trim().to_owned()), AccessKeyOrigin::FirstFile)),
        Ok(None) => Err(UsageError(format!(
            "set {ACCESS_KEY_VARIABLE} to an access key, or run the command where {FIRST_ACCESS_KEY_FILE} is; \
             {NEW_ACCESS_KEY_HINT}"
        ))
        .into()),
        Err(error) => {
            Err(UsageError(format!("set {ACCESS_KEY_VARIABLE} to an access key: {}", error_chain(error.as_ref())))
                .into())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an access key is not a configuration key")]
fn access_key_variable() -> Result<Option<Secret>, UsageError> {
    let Some(text) = std::env::var_os(ACCESS_KEY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.into_string().map_err(|_| UsageError(format!("{ACCESS_KEY_VARIABLE} is not UTF-8")))?;
    Ok(Some(Secret::new(text)))
}
