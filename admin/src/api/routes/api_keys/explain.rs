//! `POST /api-keys/explain`: a POST, so that a key value appears in no path and no log.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{
    CheckResult, ControlPlane, ExplainRequest, ExplainedOutcome, Explanation, Failure, RequestContext, Step,
};
use gatepost_domain::key::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::body::JsonBody;
use crate::api::respond::problem::{ApiError, Result};

/// Status with which a gateway responds to `OPTIONS *`.
const SERVER_OPTIONS_STATUS: u16 = 200;

/// A request to a gateway, as you describe it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplainApiKey {
    /// The full value that the request presents. Leave it out for a request without a key.
    #[schema(example = "live_00…")]
    key: Option<String>,
    /// Method of the request; by default `GET`.
    #[schema(example = "GET")]
    method: Option<String>,
    /// Path of the request, with its query; by default `/`.
    #[schema(example = "/v1/items")]
    path: Option<String>,
    /// `Host` of the request.
    #[schema(example = "api.example.com")]
    host: Option<String>,
    /// `Origin` of the request, or else its `Referer`.
    #[schema(example = "https://app.example.com")]
    origin: Option<String>,
    /// Address of the client.
    #[schema(example = "192.0.2.1")]
    ip: Option<String>,
    /// A project that the route lists. Without it, keys of all your projects are accepted.
    project_id: Option<String>,
}

/// What a gateway would do, and why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationBody {
    /// Whether the request would go upstream, unless a check that is `notChecked` refuses it.
    #[schema(example = false)]
    forwarded: bool,
    /// Status of the response that the client would get from the gateway; null if the request is forwarded.
    #[schema(example = 401)]
    status: Option<u16>,
    /// `code` of that response; null if it is no error.
    #[schema(example = "invalid-key")]
    code: Option<&'static str>,
    /// Cause, as in the access log of the gateway. Clients do not see it.
    #[schema(example = "expired")]
    reason: Option<&'static str>,
    /// Id of the key, if you may see one with this value.
    key_id: Option<String>,
    /// All checks, in the order in which the gateway makes them.
    steps: Vec<StepBody>,
}

/// A check.
#[derive(Serialize, ToSchema)]
pub(crate) struct StepBody {
    /// `request`, `route`, `credential`, `key`, `revocation`, `expiry`, `project`, `routeProjects`, `environment`,
    /// `permissions`, `address`, `origin`, `limits` or `firstUse`.
    #[schema(example = "expiry")]
    name: &'static str,
    /// `passed`, `refused`, or `notChecked`: an earlier check has decided, or only a gateway can check it.
    #[schema(example = "refused")]
    outcome: &'static str,
    /// The result in words.
    #[schema(example = "The key expired at 2026-11-25T10:00:00.000Z.")]
    sentence: String,
}

impl TryFrom<ExplainApiKey> for ExplainRequest {
    type Error = ApiError;

    fn try_from(body: ExplainApiKey) -> Result<Self> {
        let invalid = |_| Failure::invalid("ip: is not an IP address");
        let address = body.ip.map(|text| text.trim().parse().map_err(invalid)).transpose()?;
        Ok(Self {
            key: body.key.map(Secret::new),
            method: body.method,
            path: body.path,
            host: body.host,
            origin: body.origin,
            address: address.map(|address: IpAddr| address.to_canonical()),
            project: body.project_id,
        })
    }
}

impl From<Explanation> for ExplanationBody {
    fn from(explanation: Explanation) -> Self {
        let (status, code, reason) = match explanation.outcome {
            ExplainedOutcome::Forwarded => (None, None, None),
            ExplainedOutcome::AnsweredByGateway => (Some(SERVER_OPTIONS_STATUS), None, None),
            ExplainedOutcome::Refused(code, reason) => (Some(code.status()), Some(code.code()), Some(reason.as_str())),
        };
        Self {
            forwarded: explanation.outcome == ExplainedOutcome::Forwarded,
            status,
            code,
            reason,
            key_id: explanation.key.map(|id| id.to_string()),
            steps: explanation.steps.into_iter().map(StepBody::from).collect(),
        }
    }
}

impl From<Step> for StepBody {
    fn from(Step { check, result, sentence }: Step) -> Self {
        let outcome = match result {
            CheckResult::Passed => "passed",
            CheckResult::Refused => "refused",
            CheckResult::NotChecked => "notChecked",
        };
        Self { name: check.as_str(), outcome, sentence }
    }
}

/// Explains what a gateway would respond to a request, and why.
///
/// This is no use of the key: nothing is counted, and the value is neither stored nor logged. Routes and their settings
/// are known to gateways only, so what they require is not checked, except for `projectId`. What is left of a limit is
/// not checked either. An `Idempotency-Key` has no effect.
#[utoipa::path(
    post, path = "/api-keys/explain", operation_id = "explainApiKey", tag = "api-keys", request_body = ExplainApiKey,
    responses((status = 200, body = ExplanationBody), (status = 400), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn explain(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(body): JsonBody<ExplainApiKey>,
) -> Result<Json<ExplanationBody>> {
    let explanation = control_plane.explain(&context, &body.try_into()?).await?;
    Ok(Json(explanation.into()))
}
