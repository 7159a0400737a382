//! Pagination of every list: permits to read, cursors, and the selection of the records of one response.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::problem::ErrorCode;
use gatepost_store::{Page, Versioned};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::fair_share::FairSharePermit;
use crate::request_context::RequestContext;

/// Records that are read at a time: decoding them blocks the thread.
pub const PAGE_SIZE: u32 = 200;
/// Time that a list waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest `limit` of a request. Without `limit`, all records are returned.
pub const MAX_LIMIT: usize = 1000;
/// The largest `offset` of a request.
pub const MAX_OFFSET: usize = 100_000_000;
/// Records that are searched for one page of a client that uses cursors: then the page ends, with whatever was found.
const MAX_SEARCHED: usize = 20_000;
/// Records of the smallest read, so that one read finds the end of a short list, whatever a filter leaves of it.
const MIN_PAGE: usize = 100;
/// The least that a read is charged in records: shorter reads cost about as much.
const MIN_PAGE_COST: usize = 50;

/// The part of a list that a request selects.
#[derive(Debug, Default)]
pub struct PageRequest {
    /// The cursor after which it begins.
    pub after: Option<String>,
    pub offset: usize,
    /// The number of records at most; all if absent.
    pub limit: Option<usize>,
}

/// A part of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    pub items: Vec<T>,
    /// The cursor of the next part; absent at the end.
    pub next: Option<String>,
}

impl<T> ListPage<T> {
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> ListPage<U> {
        ListPage { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// The records that are selected from a list, while its pages are read from the store.
#[derive(Debug)]
pub struct Selection<T> {
    selected: Vec<Versioned<T>>,
    to_skip: usize,
    limit: usize,
    /// The position of the next page.
    position: String,
    /// Records that were read, with the least that a read is charged.
    charged: usize,
    max_charged: usize,
    /// Records that were searched.
    searched: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// There may be more.
    Truncated,
    Ended,
}

impl<T> Selection<T> {
    /// Starts at a position. Only a client that sent a cursor gets a part that ends before `limit` is reached: it knows
    /// how to continue.
    pub fn new(request: &PageRequest, position: String) -> Self {
        let max_charged = if request.after.is_some() { MAX_SEARCHED } else { usize::MAX };
        let limit = request.limit.unwrap_or(usize::MAX);
        let state = if limit == 0 { State::Ended } else { State::Reading };
        let (selected, to_skip) = (Vec::new(), request.offset);
        Self { selected, to_skip, limit, position, charged: 0, max_charged, searched: 0, state }
    }

    /// Starts at a position, for a response that always has a cursor.
    pub fn bounded(limit: usize, position: String) -> Self {
        let state = if limit == 0 { State::Truncated } else { State::Reading };
        let max_charged = MAX_SEARCHED;
        Self { selected: Vec::new(), to_skip: 0, limit, position, charged: 0, max_charged, searched: 0, state }
    }

    /// Returns the position and the size of the next read; none once the selection is complete.
    pub(crate) fn next_read(&self) -> Option<(String, u32)> {
        if self.state != State::Reading {
            return None;
        }
        // One record more than needed shows whether there are more. If a filter matches few records, whole pages are read.
        let few = self.to_skip.saturating_add(self.limit - self.selected.len()).saturating_add(1);
        let size = if self.charged == 0 { few.clamp(MIN_PAGE, PAGE_SIZE as usize) } else { PAGE_SIZE as usize };
        Some((self.position.clone(), u32::try_from(size).unwrap_or(PAGE_SIZE)))
    }

    /// Selects the matching records of the page that was read.
    pub(crate) fn add_page(&mut self, page: Page<T>, matches: impl Fn(&T) -> bool) {
        self.charged += page.items.len().max(MIN_PAGE_COST);
        for (item, position) in page.items.into_iter().zip(page.positions) {
            if matches(&item.record) {
                if self.to_skip > 0 {
                    self.to_skip -= 1;
                } else if self.selected.len() < self.limit {
                    self.selected.push(item);
                } else {
                    self.state = State::Truncated;
                    return;
                }
            }
            self.position = position;
            self.searched += 1;
        }
        let Some(next) = page.next else {
            self.state = State::Ended;
            return;
        };
        self.position = next;
        if self.selected.len() == self.limit || self.charged >= self.max_charged {
            self.state = State::Truncated;
        }
    }

    /// Ends the selection where it is, although more may follow.
    pub(crate) fn stop(&mut self) {
        if self.state == State::Reading {
            self.state = State::Truncated;
        }
    }

    /// Returns how many records were searched, selected or not.
    pub fn searched(&self) -> usize {
        self.searched
    }

    /// Returns the selected records, the position after them, and whether there may be more.
    pub fn finish(self) -> (Vec<Versioned<T>>, String, Rest) {
        let rest = if self.state == State::Truncated { Rest::More } else { Rest::Nothing };
        (self.selected, self.position, rest)
    }
}

/// Rest of a list after the part that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    More,
    Nothing,
}

/// A permit to read a part of a list, released when dropped.
#[derive(Debug)]
pub struct ListPermit {
    _share: FairSharePermit,
    _permit: OwnedSemaphorePermit,
}

impl ControlPlane {
    /// Waits up to 5 s for a permit to read a part of a list and to encode it.
    ///
    /// # Errors
    /// `overloaded` if there is none.
    pub async fn acquire_list_permit(&self, context: &RequestContext) -> Result<ListPermit> {
        let until = Instant::now() + PERMIT_TIMEOUT;
        if let Some(share) = self.limits.list_reads.acquire(&context.caller.account, PERMIT_TIMEOUT).await
            && let Ok(Ok(permit)) = timeout_at(until, Arc::clone(&self.limits.list_permits).acquire_owned()).await
        {
            return Ok(ListPermit { _share: share, _permit: permit });
        }
        self.metrics.count_no_permit("lists");
        Err(Failure::refused(ErrorCode::Overloaded, "too many lists are being read: try again later"))
    }

    /// Reads a part of a list of the caller's account in order of creation. `list` is its name in paths.
    pub async fn read_list<T, F>(
        &self,
        context: &RequestContext,
        list: &str,
        page_request: &PageRequest,
        page: impl Fn(String, u32) -> F,
        matches: impl Fn(&T) -> bool,
    ) -> Result<ListPage<T>>
    where
        F: Future<Output = gatepost_store::Result<Page<T>>>,
    {
        let list = format!("{list}/{}", context.caller.account);
        let mut selection = Selection::new(page_request, self.decode_cursor(&list, page_request.after.as_deref())?);
        while let Some((position, size)) = selection.next_read() {
            let _permit = self.acquire_list_permit(context).await?;
            selection.add_page(page(position, size).await?, &matches);
        }
        self.list_page(&list, selection).map(|part| part.map(|found| found.record))
    }

    /// Returns the selected records of a list with the cursor of the next part.
    pub fn list_page<T>(&self, list: &str, selection: Selection<T>) -> Result<ListPage<Versioned<T>>> {
        let (items, position, rest) = selection.finish();
        let next = match rest {
            Rest::More => Some(self.store.envelope().seal_cursor(list, &position)?),
            Rest::Nothing => None,
        };
        Ok(ListPage { items, next })
    }

    /// Returns the position of a cursor of a list; the start without one.
    pub fn decode_cursor(&self, list: &str, after: Option<&str>) -> Result<String> {
        let Some(after) = after else { return Ok(String::new()) };
        let foreign = "after: is no cursor of this list: send one as the previous response had it, with the same project, \
                       or leave it out to start at the beginning";
        self.store.envelope().open_cursor(list, after).ok_or_else(|| Failure::invalid(foreign))
    }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::id::EventId;
    use gatepost_domain::partition::Partition;
    use gatepost_domain::partition::{Cell, Position};
    use gatepost_domain::time::Version;
    use gatepost_store::{UnknownFields, os_rng};

    use super::*;

    /// Returns a page of numbers, each at the position that is its own name.
    fn page(numbers: std::ops::Range<u32>, has_more: bool) -> Page<u32> {
        let item = |record| Versioned {
            record,
            position: Position { cell: Cell::FIRST, version: Version::ZERO },
            event: EventId::generate_in(Partition::default(), &mut os_rng()),
            first_used_at: None,
            unknown: UnknownFields::default(),
        };
        let positions: Vec<String> = numbers.clone().map(|number| number.to_string()).collect();
        let next = positions.last().filter(|_| has_more).cloned();
        Page { items: numbers.map(item).collect(), positions, next }
    }

    fn ended(selection: Selection<u32>) -> (Vec<u32>, String, Rest) {
        let (selected, position, rest) = selection.finish();
        (selected.into_iter().map(|taken| taken.record).collect(), position, rest)
    }

    fn selection(after: Option<&str>, offset: usize, limit: Option<usize>) -> Selection<u32> {
        let request = PageRequest { after: after.map(str::to_owned), offset, limit };
        Selection::new(&request, String::new())
    }

    #[test]
    fn page_ends_after_the_last_item_and_reports_more() {
        let mut even = selection(None, 1, Some(2));
        assert_eq!(even.next_read(), Some((String::new(), MIN_PAGE as u32)));
        even.add_page(page(0..8, false), |number| number % 2 == 0);
        // 5 does not match, so it need not be read again.
        assert_eq!(ended(even), (vec![2, 4], "5".to_owned(), Rest::More));
        let mut all = selection(None, 0, Some(8));
        all.add_page(page(0..8, false), |_| true);
        assert_eq!(ended(all), ((0..8).collect(), "7".to_owned(), Rest::Nothing));
        let mut all = selection(None, 0, Some(8));
        all.add_page(page(0..8, true), |_| true);
        assert_eq!(ended(all), ((0..8).collect(), "7".to_owned(), Rest::More));
    }

    #[test]
    fn only_a_resumable_response_stops_at_the_search_limit() {
        let search = |mut selection: Selection<u32>, pages: u32| {
            let mut read = 0;
            while selection.next_read().is_some() && read < pages {
                selection.add_page(page(1000 * read..1000 * (read + 1), true), |number| *number == 5);
                read += 1;
            }
            (read, selection.finish().2)
        };
        let whole = MAX_SEARCHED as u32 / 1000;
        assert_eq!(search(selection(None, 0, Some(2)), 2 * whole), (2 * whole, Rest::Nothing));
        assert_eq!(search(selection(Some("after"), 0, Some(2)), 2 * whole), (whole, Rest::More));
        assert_eq!(search(Selection::bounded(2, String::new()), 2 * whole), (whole, Rest::More));
        let mut nothing = Selection::<u32>::bounded(2, String::new());
        let mut pages = 0;
        while nothing.next_read().is_some() {
            nothing.add_page(Page { next: Some(pages.to_string()), ..page(0..0, true) }, |_| true);
            pages += 1;
        }
        assert_eq!(pages, MAX_SEARCHED / MIN_PAGE_COST, "pages without records cost as well");
    }

    #[test]
    fn a_stopped_selection_continues_where_it_was() {
        let mut few = Selection::bounded(2, String::new());
        few.add_page(page(0..100, true), |number| *number == 5);
        few.stop();
        assert_eq!((few.next_read(), few.searched()), (None, 100));
        assert_eq!(ended(few), (vec![5], "99".to_owned(), Rest::More));
        let mut whole = Selection::bounded(2, String::new());
        whole.add_page(page(0..100, false), |number| *number == 5);
        whole.stop();
        assert_eq!(ended(whole).2, Rest::Nothing);
    }

    #[test]
    fn limit_zero_reads_nothing() {
        let none = selection(None, 0, Some(0));
        assert_eq!(none.next_read(), None);
        assert_eq!(none.finish().2, Rest::Nothing);
        assert_eq!(selection(None, 5, None).next_read().unwrap().1, PAGE_SIZE);
    }
}
