//! The list of keys: streamed page by page, so that its length costs no memory.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream::{self, StreamExt};
use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{ApiKey, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{MAX_PAGE, Versioned};
use gatepost_wire::ApiKeyBody;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::ControlPlane;
use crate::api::extract::Query;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::api_keys::{KeyFilter, Wanted};
use crate::use_cases::long_answer::LongAnswer;

/// Keys that a request may ask for at a time. Without `limit` it gets all.
const MAX_LIMIT: usize = 1000;
/// Keys that a request may skip.
const MAX_OFFSET: usize = 100_000_000;

/// What is left of a list.
struct Rest {
    answer: LongAnswer,
    projects: VecDeque<ProjectId>,
    after: String,
    filter: KeyFilter,
    to_skip: usize,
    to_tell: usize,
}

/// The answer to a request for a list.
pub(super) async fn answer(control_plane: ControlPlane, caller: Caller, query: &Query) -> Result<Response> {
    let named = query.name("projectId");
    let projects = control_plane.projects_of_list(&caller, named.as_deref()).await?;
    let project = projects.first().filter(|_| named.is_some()).cloned();
    let mut rest = Rest {
        answer: LongAnswer::new(control_plane, caller, project),
        projects: projects.into(),
        after: String::new(),
        filter: filter(query)?,
        to_skip: query.number("offset", MAX_OFFSET)?.unwrap_or(0),
        to_tell: query.number("limit", MAX_LIMIT)?.unwrap_or(usize::MAX),
    };
    // The first page before the status: a store that is down is a 503 and no half of a list.
    let first = rest.page().await?;
    let pages = stream::unfold(Some(rest), |rest| async {
        let mut rest = rest?;
        match rest.page().await {
            Ok(None) => None,
            Ok(Some(page)) => Some((Ok(page), Some(rest))),
            Err(failure) => {
                tracing::warn!(%failure, "a list was cut off");
                Some((Err(failure), None))
            }
        }
    });
    let pages = stream::iter(first.map(Ok)).chain(pages);
    let mut response = Response::new(Body::from_stream(array(pages)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Pages of items as one JSON array.
fn array(pages: impl stream::Stream<Item = Result<Vec<String>>> + Send) -> impl stream::Stream<Item = Result<Bytes>> {
    let mut is_first = true;
    let items = pages.map(move |page| {
        page.map(|page| {
            let mut text = String::new();
            for item in page {
                if !std::mem::take(&mut is_first) {
                    text.push(',');
                }
                text.push_str(&item);
            }
            Bytes::from(text)
        })
    });
    let bracket = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    bracket("[").chain(items).chain(bracket("]"))
}

impl Rest {
    /// The next keys that are wanted, each as JSON; none at the end.
    async fn page(&mut self) -> Result<Option<Vec<String>>> {
        while self.to_tell > 0 {
            let Some(project) = self.projects.front() else { return Ok(None) };
            self.answer.check().await?;
            let LongAnswer { control_plane, caller, .. } = &self.answer;
            let page = control_plane.api_keys_page(caller, project, &self.after, MAX_PAGE).await?;
            match page.next {
                Some(next) => self.after = next,
                None => {
                    self.projects.pop_front();
                    self.after.clear();
                }
            }
            let last_uses = self.answer.control_plane.last_uses(&page.items).await?;
            let told = self.tell(page.items, &last_uses);
            if !told.is_empty() {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    fn tell(&mut self, keys: Vec<Versioned<ApiKey>>, last_uses: &[Option<Timestamp>]) -> Vec<String> {
        let mut told = Vec::new();
        let keys = keys.iter().zip(last_uses);
        for (key, last_used_at) in keys.filter(|(key, _)| self.filter.wants(&key.record)) {
            if self.to_skip > 0 {
                self.to_skip -= 1;
            } else if self.to_tell > 0 {
                self.to_tell -= 1;
                let body = ApiKeyBody::new(&key.record, key.record.id.as_str(), key.first_used_at);
                let body = body.with_last_use(*last_used_at);
                told.push(serde_json::to_string(&body).expect("a body is a struct with text keys"));
            }
        }
        told
    }
}

fn filter(query: &Query) -> Result<KeyFilter> {
    let wanted =
        |name: &str| query.text(name).map(|text| if text == "null" { Wanted::Null } else { Wanted::Text(text) });
    Ok(KeyFilter {
        name: query.text("name"),
        custom_account_id: wanted("customAccountId"),
        custom_user_id: wanted("customUserId"),
        status: query.choice("isActive", Status::Active, Status::Inactive)?,
    })
}
