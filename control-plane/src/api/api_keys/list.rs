//! The list of keys: a page where `limit` asks for one, else all, streamed so that the length costs no memory.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use gatepost_domain::record::{ApiKey, Status};
use gatepost_store::Versioned;
use gatepost_store::act::Order;
use gatepost_wire::ApiKeyBody;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::ControlPlane;
use crate::api::extract::Query;
use crate::api::paging;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::api_keys::{KeyFilter, KeyList, Wanted};
use crate::use_cases::lists::{PART, Part, Selection};
use crate::use_cases::long_answer::LongAnswer;

/// The answer to a request for a list.
pub(super) async fn answer(control_plane: ControlPlane, caller: Caller, query: &Query) -> Result<Response> {
    let (range, filter) = (paging::range(query)?, filter(query)?);
    let list = control_plane.key_list(&caller, query.name("projectId").as_deref(), Order::OldestFirst).await?;
    let position = control_plane.position_of(&list.name, range.after.as_deref())?;
    let answer = LongAnswer::new(control_plane, caller, list.named.clone());
    if range.limit.is_some() {
        let part = selected(answer, &list, &filter, Selection::new(&range, position)).await?;
        return Ok(paging::page(query, part).into_response());
    }
    whole(Rest { answer, list, filter, position: Some(position), to_skip: range.offset }).await
}

/// The keys of one page. They are read before the answer begins, for its headers say whether there are more.
async fn selected(
    mut answer: LongAnswer,
    list: &KeyList,
    filter: &KeyFilter,
    mut selection: Selection<ApiKey>,
) -> Result<Part<ApiKeyBody>> {
    while let Some((position, size)) = selection.wants() {
        answer.check().await?;
        let _turn = answer.control_plane.list_turn(&answer.caller).await?;
        let page = answer.control_plane.keys_page(list, &position, size).await?;
        selection.take(page, |key| filter.wants(key));
    }
    let part = answer.control_plane.part(&list.name, selection)?;
    let _turn = answer.control_plane.list_turn(&answer.caller).await?;
    Ok(Part { items: bodies(&answer.control_plane, &part.items).await?, next: part.next })
}

/// Keys as they stand in lists.
pub(super) async fn bodies(control_plane: &ControlPlane, keys: &[Versioned<ApiKey>]) -> Result<Vec<ApiKeyBody>> {
    let last_uses = control_plane.last_uses(keys).await?;
    let body = |(key, last_use): (&Versioned<ApiKey>, _)| {
        ApiKeyBody::new(&key.record, key.record.id.as_str(), key.first_used_at).with_last_use(last_use)
    };
    Ok(keys.iter().zip(last_uses).map(body).collect())
}

/// What is left of a list that is streamed.
struct Rest {
    answer: LongAnswer,
    list: KeyList,
    filter: KeyFilter,
    /// None at the end.
    position: Option<String>,
    to_skip: usize,
}

async fn whole(mut rest: Rest) -> Result<Response> {
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
        while let Some(position) = self.position.take() {
            self.answer.check().await?;
            let LongAnswer { control_plane, caller, .. } = &self.answer;
            let _turn = control_plane.list_turn(caller).await?;
            let page = control_plane.keys_page(&self.list, &position, PART).await?;
            self.position = page.next;
            let wanted = page.items.into_iter().filter(|key| self.filter.wants(&key.record));
            let mut wanted: Vec<Versioned<ApiKey>> = wanted.collect();
            let skipped = self.to_skip.min(wanted.len());
            self.to_skip -= skipped;
            wanted.drain(..skipped);
            if !wanted.is_empty() {
                let bodies = bodies(control_plane, &wanted).await?;
                let json = |body: &ApiKeyBody| serde_json::to_string(body).expect("a body is a struct with text keys");
                return Ok(Some(bodies.iter().map(json).collect()));
            }
        }
        Ok(None)
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
