//! Reading whole lists of the store, page by page.

use gatepost_store::{Page, Versioned};

use crate::failure::Result;

/// The pages of a list.
pub(crate) struct Pager<R> {
    read: R,
    page_size: u32,
    /// The position of the next page; none at the end.
    next: Option<String>,
}

impl<T, R, F> Pager<R>
where
    R: Fn(String, u32) -> F,
    F: Future<Output = gatepost_store::Result<Page<T>>>,
{
    /// Starts at the beginning of the list that `read` reads: after a position, up to a number of records.
    pub(crate) fn new(page_size: u32, read: R) -> Self {
        Self { read, page_size, next: Some(String::new()) }
    }

    /// Returns the next page; none after the last one.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Page<T>>> {
        let Some(position) = self.next.take() else { return Ok(None) };
        let page = (self.read)(position, self.page_size).await?;
        self.next.clone_from(&page.next);
        Ok(Some(page))
    }

    /// Reads all records, each with its position.
    pub(crate) async fn read_all(mut self) -> Result<Vec<(String, Versioned<T>)>> {
        let mut all = Vec::new();
        while let Some(page) = self.next_page().await? {
            all.extend(page.positions.into_iter().zip(page.items));
        }
        Ok(all)
    }
}
