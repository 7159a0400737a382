//! List of keys: one page with `limit`, otherwise all keys, streamed so that memory use does not depend on the length.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use gatepost_control_plane::{
    ControlPlane, Failure, KeyFilter, KeyList, KeyScope, ListPage, LongResponse, NullableFilter, PAGE_SIZE,
    RequestContext, ScanTime, Selection,
};
use gatepost_domain::record::{ApiKey, Status};
use gatepost_runtime::error_chain;
use gatepost_store::SortOrder;
use gatepost_store::Versioned;
use gatepost_wire::ApiKeyResource;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::api::extract::query::QueryParams;
use crate::api::respond::page;
use crate::api::respond::problem::Result;

pub(super) async fn respond(
    control_plane: ControlPlane,
    context: RequestContext,
    query: &QueryParams,
) -> Result<Response> {
    let (page_request, filter) = (page::parse_page_request(query)?, parse_filter(query)?);
    let scope = query.non_null("projectId").map_or(KeyScope::ActiveProjects, KeyScope::Project);
    let list = control_plane.key_list(&context, &scope, SortOrder::OldestFirst).await?;
    let position = control_plane.decode_cursor(&list.name, page_request.after.as_deref())?;
    let response = LongResponse::new(control_plane, context, list.requested_project.clone());
    if page_request.limit.is_some() {
        let keys = read_page(response, &list, &filter, Selection::new(&page_request, position)).await?;
        return Ok(page::page_response(query, keys).into_response());
    }
    stream_all(KeyStream { response, list, filter, position: Some(position), to_skip: page_request.offset }).await
}

/// Reads one page, before the response begins: its headers say whether there are more keys.
async fn read_page(
    mut response: LongResponse,
    list: &KeyList,
    filter: &KeyFilter,
    mut selection: Selection<ApiKey>,
) -> Result<ListPage<ApiKeyResource>> {
    response.select_keys(list, &mut selection, ScanTime::Unlimited, |key| filter.matches(key)).await?;
    let page = response.control_plane.list_page(&list.name, selection)?;
    let _turn = response.control_plane.acquire_list_permit(&response.context).await?;
    Ok(ListPage { items: key_bodies(&response.control_plane, &page.items).await?, next: page.next })
}

/// Returns the bodies of keys in a list.
pub(super) async fn key_bodies(
    control_plane: &ControlPlane,
    keys: &[Versioned<ApiKey>],
) -> gatepost_control_plane::Result<Vec<ApiKeyResource>> {
    let last_uses = control_plane.last_uses(keys).await?;
    let body = |(key, last_use): (&Versioned<ApiKey>, _)| {
        ApiKeyResource::new(&key.record, key.record.id.as_str(), key.first_used_at).with_last_use(last_use)
    };
    Ok(keys.iter().zip(last_uses).map(body).collect())
}

/// Rest of a list that is streamed.
struct KeyStream {
    response: LongResponse,
    list: KeyList,
    filter: KeyFilter,
    /// None at the end.
    position: Option<String>,
    to_skip: usize,
}

async fn stream_all(mut keys: KeyStream) -> Result<Response> {
    // The first page is read before the status is sent, so that an unavailable store is a 503 and not half a list.
    let first = keys.next_page().await?;
    let pages = stream::unfold(Some(keys), |keys| async {
        let mut keys = keys?;
        match keys.next_page().await {
            Ok(None) => None,
            Ok(Some(page)) => Some((Ok(page), Some(keys))),
            Err(failure) => {
                tracing::warn!(failure = %error_chain(&failure), "streaming a list failed: the response is cut off");
                Some((Err(failure), None))
            }
        }
    });
    let pages = stream::iter(first.map(Ok)).chain(pages);
    let mut response = Response::new(Body::from_stream(json_array(pages)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Encodes pages of items as one JSON array.
fn json_array(
    pages: impl stream::Stream<Item = std::result::Result<Vec<String>, Failure>> + Send,
) -> impl stream::Stream<Item = std::result::Result<Bytes, Failure>> {
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

impl KeyStream {
    /// Returns the next selected keys, each as JSON; none at the end.
    async fn next_page(&mut self) -> std::result::Result<Option<Vec<String>>, Failure> {
        while let Some(position) = self.position.take() {
            self.response.reauthorize().await?;
            let LongResponse { control_plane, context, .. } = &self.response;
            let _turn = control_plane.acquire_list_permit(context).await?;
            let page = control_plane.keys_page(&self.list, &position, PAGE_SIZE).await?;
            self.position = page.next;
            let matching = page.items.into_iter().filter(|key| self.filter.matches(&key.record));
            let mut matching: Vec<Versioned<ApiKey>> = matching.collect();
            let skipped = self.to_skip.min(matching.len());
            self.to_skip -= skipped;
            matching.drain(..skipped);
            if !matching.is_empty() {
                let bodies = key_bodies(control_plane, &matching).await?;
                let json =
                    |body: &ApiKeyResource| serde_json::to_string(body).expect("a body is a struct with text keys");
                return Ok(Some(bodies.iter().map(json).collect()));
            }
        }
        Ok(None)
    }
}

fn parse_filter(query: &QueryParams) -> Result<KeyFilter> {
    let nullable = |name: &str| {
        query.text(name).map(|text| if text == "null" { NullableFilter::Null } else { NullableFilter::Text(text) })
    };
    Ok(KeyFilter {
        name: query.text("name"),
        custom_account_id: nullable("customAccountId"),
        custom_user_id: nullable("customUserId"),
        status: query.boolean("isActive", Status::Active, Status::Inactive)?,
    })
}
