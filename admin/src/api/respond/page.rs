//! Lists as bare arrays: `limit`, `offset` and `after` in the query, and the cursor of the next page in headers.

use axum::Json;
use gatepost_control_plane::{Failure, ListPage, MAX_LIMIT, MAX_OFFSET, PageRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use url::form_urlencoded;

use crate::api::extract::query::QueryParams;
use crate::api::respond::problem::Result;

/// The cursor of the next page.
const NEXT: HeaderName = HeaderName::from_static("gatepost-next");

/// A page of a list, with headers that name the next one.
pub(crate) type PageResponse<T> = (HeaderMap, Json<Vec<T>>);

/// Parses the part of a list that a query selects.
///
/// # Errors
/// If a number is not valid, and if there are both an offset and a cursor.
pub(crate) fn parse_page_request(query: &QueryParams) -> Result<PageRequest> {
    let request = PageRequest {
        after: query.non_null("after"),
        offset: query.number("offset", MAX_OFFSET)?.unwrap_or(0),
        limit: query.number("limit", MAX_LIMIT)?,
    };
    if request.after.is_some() && query.non_null("offset").is_some() {
        let detail = "offset: cannot stand beside after, which says where to go on: leave offset out";
        return Err(Failure::invalid(detail).into());
    }
    Ok(request)
}

pub(crate) fn page_response<T>(query: &QueryParams, page: ListPage<T>) -> PageResponse<T> {
    let mut headers = HeaderMap::new();
    if let Some(next) = page.next {
        let link = format!("<{}>; rel=\"next\"", next_target(&query.uri, &next));
        headers.insert(header::LINK, header_value(&link));
        headers.insert(NEXT, header_value(&next));
    }
    (headers, Json(page.items))
}

/// Returns the same path and query with another cursor, and without the offset.
fn next_target(uri: &Uri, next: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let params = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(params.filter(|(name, _)| name != "after" && name != "offset"));
    format!("{}?{}", uri.path(), query.append_pair("after", next).finish())
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("cursors and encoded queries are ASCII, and so are paths of lists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_link_keeps_all_other_parameters() {
        let cases = [
            ("/api-keys?limit=2", "/api-keys?limit=2&after=c"),
            ("/api-keys?offset=5&limit=2&after=b", "/api-keys?limit=2&after=c"),
            ("/api-keys?name=a+b%26%3Cc%3E%E2%82%AC&limit=2", "/api-keys?name=a+b%26%3Cc%3E%E2%82%AC&limit=2&after=c"),
            ("/api-keys?name=J%20R&isActive=True&&limit=2", "/api-keys?name=J+R&isActive=True&limit=2&after=c"),
        ];
        for (asked, next) in cases {
            assert_eq!(next_target(&asked.parse().unwrap(), "c"), next, "{asked}");
        }
    }
}
