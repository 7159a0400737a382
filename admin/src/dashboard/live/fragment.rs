//! Fragments: parts of pages that are rendered again and again, and sent when they differ.

use std::future::Future;
use std::time::Duration;

use axum::response::sse::Event;
use gatepost_control_plane::Failure;

use super::part::Part;
use super::stream::{News, Source, stream};
use crate::dashboard::answer::PageResult;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Streams a part of a page, which `render` returns for `of`.
///
/// # Errors
/// Those of `render`, and `overloaded` if there is no permit.
pub(crate) async fn follow<T, R, F>(state: DashboardState, visitor: Visitor, of: T, render: R) -> PageResult
where
    T: Clone + Send + Sync + 'static,
    R: Fn(DashboardState, Visitor, T) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Part, Failure>> + Send,
{
    stream(state, visitor, Fragment { of, render, sent: String::new() }).await
}

struct Fragment<T, R> {
    of: T,
    render: R,
    sent: String,
}

impl<T, R, F> Source for Fragment<T, R>
where
    T: Clone + Send + Sync + 'static,
    R: Fn(DashboardState, Visitor, T) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Part, Failure>> + Send,
{
    const PAUSE: Duration = Duration::from_secs(1);

    async fn read(&mut self, state: &DashboardState, visitor: &Visitor) -> Result<News, Failure> {
        let part = (self.render)(state.clone(), visitor.clone(), self.of.clone()).await?;
        let text = part.markup.into_string();
        let events = if text == self.sent { Vec::new() } else { vec![Event::default().data(&text)] };
        self.sent = text;
        Ok(News { events, outlook: part.outlook })
    }
}
