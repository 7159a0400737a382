//! What all lists have in common: how many are read at a time and for whom, and how a request works through one.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use gatepost_domain::problem::ErrorCode;
use gatepost_store::{Page, Versioned};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::shares::Place;

/// Parts of lists that wait for their turn or have it, in one process.
pub(crate) const MAX_LISTS: usize = 16;
/// Of these, kept for accounts that read none.
pub(crate) const LISTS_KEPT: usize = 4;
/// Records that are read at a time: for so long nobody else has the thread.
pub(crate) const PART: u32 = 200;
/// How long a list waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records that a request may ask for at a time. Without `limit` it gets all.
pub(crate) const MAX_LIMIT: usize = 1000;
/// Records that a request may skip.
pub(crate) const MAX_OFFSET: usize = 100_000_000;
/// Records that are searched for one answer that goes on with a cursor: then it ends, whatever it has found.
pub(crate) const MAX_SEARCHED: usize = 20_000;
/// Records of the smallest page: so that a short list is seen to end, whatever a filter leaves of it.
const LEAST_PAGE: usize = 100;
/// As how many records a page counts that has fewer: to read it costs about as much.
const LEAST_SEARCHED: usize = 50;

/// Which part of a list a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Range {
    /// The cursor after which it begins.
    pub(crate) after: Option<String>,
    /// How many are left out.
    pub(crate) offset: usize,
    /// How many it has at most; all if absent.
    pub(crate) limit: Option<usize>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// The cursor to go on with; absent if this is the end.
    pub(crate) next: Option<String>,
}

impl<T> Part<T> {
    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> Part<U> {
        Part { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// What is taken out of a list, page by page of the store.
#[derive(Debug)]
pub(crate) struct Selection<T> {
    taken: Vec<Versioned<T>>,
    to_skip: usize,
    limit: usize,
    /// Where the next page begins.
    position: String,
    searched: usize,
    max_searched: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// There may be more.
    Cut,
    /// The list has ended.
    Ended,
}

impl<T> Selection<T> {
    /// Begins at a position. Whoever goes on with a cursor knows how to go on: only they are answered before `limit`
    /// is reached.
    pub(crate) fn new(range: &Range, position: String) -> Self {
        let max_searched = if range.after.is_some() { MAX_SEARCHED } else { usize::MAX };
        let limit = range.limit.unwrap_or(usize::MAX);
        let state = if limit == 0 { State::Ended } else { State::Reading };
        Self { taken: Vec::new(), to_skip: range.offset, limit, position, searched: 0, max_searched, state }
    }

    /// The same for an answer that always says how to go on.
    pub(crate) fn bounded(limit: usize, position: String) -> Self {
        let state = if limit == 0 { State::Cut } else { State::Reading };
        let max_searched = MAX_SEARCHED;
        Self { taken: Vec::new(), to_skip: 0, limit, position, searched: 0, max_searched, state }
    }

    /// Where the next page begins and how many records it should have; none if nothing more is wanted.
    pub(crate) fn wants(&self) -> Option<(String, u32)> {
        if self.state != State::Reading {
            return None;
        }
        // One more than is wanted tells whether there is more. Where a filter lets few pass, whole parts are read.
        let few = self.to_skip.saturating_add(self.limit - self.taken.len()).saturating_add(1);
        let size = if self.searched == 0 { few.clamp(LEAST_PAGE, PART as usize) } else { PART as usize };
        Some((self.position.clone(), u32::try_from(size).unwrap_or(PART)))
    }

    /// Takes what is wanted of the page that begins there.
    pub(crate) fn take(&mut self, page: Page<T>, is_wanted: impl Fn(&T) -> bool) {
        self.searched += page.items.len().max(LEAST_SEARCHED);
        for (item, position) in page.items.into_iter().zip(page.positions) {
            if is_wanted(&item.record) {
                if self.to_skip > 0 {
                    self.to_skip -= 1;
                } else if self.taken.len() < self.limit {
                    self.taken.push(item);
                } else {
                    self.state = State::Cut;
                    return;
                }
            }
            self.position = position;
        }
        let Some(next) = page.next else {
            self.state = State::Ended;
            return;
        };
        self.position = next;
        if self.taken.len() == self.limit || self.searched >= self.max_searched {
            self.state = State::Cut;
        }
    }

    /// What was taken, where it ended, and whether there may be more.
    pub(crate) fn end(self) -> (Vec<Versioned<T>>, String, Rest) {
        let rest = if self.state == State::Cut { Rest::More } else { Rest::None };
        (self.taken, self.position, rest)
    }
}

/// Whether there may be more of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    More,
    None,
}

/// A turn to read a part of a list, over when dropped.
#[derive(Debug)]
pub(crate) struct ListTurn {
    _place: Place,
    _turn: OwnedSemaphorePermit,
}

/// Parts of lists that are worked on at a time: half of the processors at most. However many lists are asked for, the
/// other half is there for whatever else the process does.
pub(crate) fn turns() -> usize {
    (available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

impl ControlPlane {
    /// A turn to read a part of a list and to write it out.
    pub(crate) async fn list_turn(&self, caller: &Caller) -> Result<ListTurn> {
        let until = Instant::now() + PATIENCE;
        if let Some(place) = self.lists.take(&caller.account, PATIENCE).await
            && let Ok(Ok(turn)) = timeout_at(until, Arc::clone(&self.list_turns).acquire_owned()).await
        {
            return Ok(ListTurn { _place: place, _turn: turn });
        }
        self.metrics.no_place("lists");
        Err(Failure::refused(ErrorCode::Overloaded, "too many lists are being read: try again later"))
    }

    /// Reads a part of a list of the caller's account in order of creation. A list is named as in paths.
    pub(crate) async fn read_list<T, F>(
        &self,
        caller: &Caller,
        list: &str,
        range: &Range,
        page: impl Fn(String, u32) -> F,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<Part<T>>
    where
        F: Future<Output = gatepost_store::Result<Page<T>>>,
    {
        let list = format!("{list}/{}", caller.account);
        let mut selection = Selection::new(range, self.position_of(&list, range.after.as_deref())?);
        while let Some((position, size)) = selection.wants() {
            let _turn = self.list_turn(caller).await?;
            selection.take(page(position, size).await?, &is_wanted);
        }
        self.part(&list, selection).map(|part| part.map(|found| found.record))
    }

    /// What was selected from a list, with the cursor to go on with.
    pub(crate) fn part<T>(&self, list: &str, selection: Selection<T>) -> Result<Part<Versioned<T>>> {
        let (items, position, rest) = selection.end();
        let next = match rest {
            Rest::More => Some(self.store.seal_cursor(list, &position)?),
            Rest::None => None,
        };
        Ok(Part { items, next })
    }

    /// The position behind a cursor of a list; its start without one.
    pub(crate) fn position_of(&self, list: &str, after: Option<&str>) -> Result<String> {
        let Some(after) = after else { return Ok(String::new()) };
        let foreign = "after: is no cursor of this list: send one as the answer before gave it, with the same project, or \
                       leave it out to begin anew";
        self.store.open_cursor(list, after).ok_or_else(|| Failure::invalid(foreign))
    }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::id::EventId;
    use gatepost_domain::time::Version;
    use gatepost_store::{Unknown, os_rng};

    use super::*;

    /// A page of numbers, each at the position of its own name.
    fn page(numbers: std::ops::Range<u32>, has_more: bool) -> Page<u32> {
        let item = |record| Versioned {
            record,
            version: Version::ZERO,
            event: EventId::generate(&mut os_rng()),
            first_used_at: None,
            unknown: Unknown::default(),
        };
        let positions: Vec<String> = numbers.clone().map(|number| number.to_string()).collect();
        let next = positions.last().filter(|_| has_more).cloned();
        Page { items: numbers.map(item).collect(), positions, next }
    }

    fn ended(selection: Selection<u32>) -> (Vec<u32>, String, Rest) {
        let (taken, position, rest) = selection.end();
        (taken.into_iter().map(|taken| taken.record).collect(), position, rest)
    }

    fn selection(after: Option<&str>, offset: usize, limit: Option<usize>) -> Selection<u32> {
        let range = Range { after: after.map(str::to_owned), offset, limit };
        Selection::new(&range, String::new())
    }

    #[test]
    fn a_list_is_cut_behind_the_last_that_was_taken_if_another_is_wanted() {
        let mut even = selection(None, 1, Some(2));
        assert_eq!(even.wants(), Some((String::new(), LEAST_PAGE as u32)));
        even.take(page(0..8, false), |number| number % 2 == 0);
        // 5 is not wanted, so it need not be looked at again.
        assert_eq!(ended(even), (vec![2, 4], "5".to_owned(), Rest::More));
        let mut all = selection(None, 0, Some(8));
        all.take(page(0..8, false), |_| true);
        assert_eq!(ended(all), ((0..8).collect(), "7".to_owned(), Rest::None));
        let mut all = selection(None, 0, Some(8));
        all.take(page(0..8, true), |_| true);
        assert_eq!(ended(all), ((0..8).collect(), "7".to_owned(), Rest::More));
    }

    #[test]
    fn only_an_answer_that_goes_on_ends_where_it_has_found_little() {
        let search = |mut selection: Selection<u32>, pages: u32| {
            let mut read = 0;
            while selection.wants().is_some() && read < pages {
                selection.take(page(1000 * read..1000 * (read + 1), true), |number| *number == 5);
                read += 1;
            }
            (read, selection.end().2)
        };
        let whole = MAX_SEARCHED as u32 / 1000;
        assert_eq!(search(selection(None, 0, Some(2)), 2 * whole), (2 * whole, Rest::None));
        assert_eq!(search(selection(Some("after"), 0, Some(2)), 2 * whole), (whole, Rest::More));
        assert_eq!(search(Selection::bounded(2, String::new()), 2 * whole), (whole, Rest::More));
        let mut nothing = Selection::<u32>::bounded(2, String::new());
        let mut pages = 0;
        while nothing.wants().is_some() {
            nothing.take(Page { next: Some(pages.to_string()), ..page(0..0, true) }, |_| true);
            pages += 1;
        }
        assert_eq!(pages, MAX_SEARCHED / LEAST_SEARCHED, "pages without records cost as well");
    }

    #[test]
    fn nothing_is_read_for_nothing() {
        let none = selection(None, 0, Some(0));
        assert_eq!(none.wants(), None);
        assert_eq!(none.end().2, Rest::None);
        assert_eq!(selection(None, 5, None).wants().unwrap().1, PART);
    }
}
