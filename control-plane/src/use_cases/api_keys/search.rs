//! Search for keys by a part of a name or of a customer's id, by id, mask or whole value.

use gatepost_domain::id::KeyId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_store::SortOrder;
use gatepost_store::{Recovery, Versioned};

use super::key_list::{KeyList, KeyScope};
use super::key_ref::KeyRef;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::use_cases::long_response::LongResponse;
use crate::use_cases::pagination::{Rest, Selection};
use crate::use_cases::scan_time::ScanTime;

/// Keys in one response, at most and by default.
const MAX_RESULTS: usize = 1000;
const DEFAULT_RESULTS: usize = 100;
/// Characters of a query.
const MAX_QUERY_CHARS: usize = 512;

/// A query, and the part of its results that a response shows.
pub struct SearchRequest {
    /// A secret, as it may be the value of a key.
    pub query: Option<Secret>,
    pub scope: KeyScope,
    pub after: Option<String>,
    pub limit: Option<usize>,
    pub time: ScanTime,
}

/// Keys that were found, and the cursor of the next ones.
pub struct SearchResults {
    pub keys: Vec<Versioned<ApiKey>>,
    pub next: String,
    pub rest: Rest,
    /// Keys that were searched for this response.
    pub searched: usize,
}

/// Content of a cursor.
struct SearchPosition {
    /// In the list of keys.
    position: String,
    /// Id of the key that the query named at the start; empty if it named none. By now it may name another one.
    exact_match: String,
}

impl SearchPosition {
    fn start(exact_match: Option<&KeyId>) -> Self {
        Self { position: String::new(), exact_match: exact_match.map_or(String::new(), ToString::to_string) }
    }

    /// Parses the content of a cursor; none at the start.
    fn parse(cursor: &str) -> Option<Self> {
        let (position, exact_match) = cursor.split_once('\n')?;
        Some(Self { position: position.to_owned(), exact_match: exact_match.to_owned() })
    }

    fn encode(&self) -> String {
        format!("{}\n{}", self.position, self.exact_match)
    }
}

/// A query in the forms that are compared.
struct Needle {
    case_folded: String,
    /// With an ellipsis, as masks have, where people may type dots.
    mask: String,
}

impl Needle {
    fn new(query: &str) -> Self {
        Self { case_folded: fold_case(query), mask: query.replace("...", "…") }
    }

    /// Returns whether the query is a part of a key's name or of a customer's id, or the mask or one of its ends.
    fn matches(&self, key: &ApiKey) -> bool {
        let texts = [Some(&key.name), key.custom_account_id.as_ref(), key.custom_user_id.as_ref()];
        let mut ends = key.mask.split('…').filter(|end| !end.is_empty());
        texts.into_iter().flatten().any(|text| fold_case(text).contains(&self.case_folded))
            || self.mask == key.mask
            || ends.any(|end| self.mask == end)
    }
}

/// Folds the case of a text: `ß` becomes `ss`, and a final sigma a normal one.
fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl ControlPlane {
    /// Searches the keys of a scope, newest first. A key whose id or value is
    /// the query comes before them.
    pub async fn search_api_keys(self, context: RequestContext, request: SearchRequest) -> Result<SearchResults> {
        let query = parse_query(request.query)?;
        let limit = request.limit.unwrap_or(DEFAULT_RESULTS);
        if !(1..=MAX_RESULTS).contains(&limit) {
            return Err(Failure::invalid(format!("limit: must be a number from 1 to {MAX_RESULTS}")));
        }
        let list = self.key_list(&context, &request.scope, SortOrder::NewestFirst).await?;
        // The cursor is bound to a digest of the query, which may be a value.
        let name = format!("search/{}/{}", list.name, self.store.envelope().digest(query.expose()).to_hex());
        let cursor = self.decode_cursor(&name, request.after.as_deref())?;
        let (start, first) = match SearchPosition::parse(&cursor) {
            Some(start) => (start, None),
            None => {
                let first = self.find_exact(&context, &list, &query).await?;
                (SearchPosition::start(first.as_ref().map(|key| &key.record.id)), first)
            }
        };
        let (needle, remaining) = (Needle::new(query.expose()), limit - usize::from(first.is_some()));
        let mut selection = Selection::bounded(remaining, start.position);
        let mut response = LongResponse::new(self, context, list.requested_project.clone());
        let matches = |key: &ApiKey| key.id.as_str() != start.exact_match && needle.matches(key);
        response.select_keys(&list, &mut selection, request.time, matches).await?;
        let searched = selection.searched();
        let (found, position, rest) = selection.finish();
        let end = SearchPosition { position, exact_match: start.exact_match };
        let next = response.control_plane.store.envelope().seal_cursor(&name, &end.encode())?;
        let keys: Vec<Versioned<ApiKey>> = first.into_iter().chain(found).collect();
        if keys.is_empty() && response.control_plane.store.single_cell().recovery() == Recovery::InProgress {
            return Err(Failure::store_recovering());
        }
        Ok(SearchResults { keys, next, rest, searched })
    }

    /// Returns the key of a list whose id or value is the query.
    async fn find_exact(
        &self,
        context: &RequestContext,
        list: &KeyList,
        query: &Secret,
    ) -> Result<Option<Versioned<ApiKey>>> {
        let key_ref = KeyId::parse(query.expose()).map_or_else(|_| KeyRef::Value(query.clone()), KeyRef::Id);
        match self.api_key(context, &key_ref).await {
            Ok(found) => Ok(Some(found).filter(|found| list.contains_project(&found.record.project))),
            Err(Failure::Refused(problem)) if problem.code == ErrorCode::InvalidClientKey => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Validates a query, without the space around it that is easily pasted with it.
fn parse_query(requested: Option<Secret>) -> Result<Secret> {
    let requested = requested.ok_or_else(|| Failure::invalid("query: is missing"))?;
    let query = requested.expose().trim();
    match query.chars().count() {
        0 => Err(Failure::invalid("query: must not be empty")),
        1..=MAX_QUERY_CHARS => Ok(Secret::new(query.to_owned())),
        _ => Err(Failure::invalid(format!("query: has more than {MAX_QUERY_CHARS} characters"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_makes_no_difference_in_any_script() {
        for (text, part) in [
            ("Jane's Key", "S K"),
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ Α", "οδος"),
            ("ЁЛКА", "ёлк"),
            ("ſize", "SIZE"),
            ("日本", "本"),
        ] {
            assert!(fold_case(text).contains(&fold_case(part)), "{part} in {text}");
        }
        assert!(!fold_case("Jane").contains(&fold_case("Jäne")));
    }
}
