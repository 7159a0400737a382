//! A connection's stream: what is sent must be taken, and the rest of a body that nobody reads is read away.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::activity::Activity;

/// How long a client may take nothing of what is sent to it.
const WRITE_GRACE: Duration = Duration::from_secs(10);
/// Bytes that it must take each second beyond that.
const MIN_BYTES_PER_S: u64 = 16 * 1024;
/// How long the end of a connection waits for the rest of such a body: a socket that is closed with something unread
/// resets the connection, and the client may lose the response.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read away then.
const MAX_READ_AWAY_BYTES: usize = 256 * 1024;

/// A stream whose writes have a deadline.
#[derive(Debug)]
pub(crate) struct PacedStream {
    inner: TcpStream,
    activity: Arc<Activity>,
    /// What the client has not taken yet, if there is such.
    backlog: Option<Backlog>,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Backlog {
    since: Instant,
    taken_bytes: u64,
    due: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct Ending {
    read_bytes: usize,
    due: Pin<Box<Sleep>>,
}

impl PacedStream {
    pub(crate) fn new(inner: TcpStream, activity: Arc<Activity>) -> Self {
        Self { inner, activity, backlog: None, ending: None }
    }

    fn written(&mut self, wrote: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        match wrote {
            Poll::Ready(Ok(bytes)) => {
                self.activity.client_moved();
                if let Some(backlog) = &mut self.backlog {
                    backlog.taken_bytes += bytes as u64;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.activity.waits_for_client();
                let backlog = self.backlog.get_or_insert_with(Backlog::new);
                ready!(backlog.poll_overdue(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client did not take what was sent to it")))
            }
        }
    }

    fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let new = || Ending { read_bytes: 0, due: Box::pin(tokio::time::sleep(LINGER)) };
        let ending = self.ending.get_or_insert_with(new);
        let mut scratch = [0; 4096];
        while ending.read_bytes < MAX_READ_AWAY_BYTES && ending.due.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => ending.read_bytes += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl Backlog {
    fn new() -> Self {
        Self { since: Instant::now(), taken_bytes: 0, due: Box::pin(tokio::time::sleep(WRITE_GRACE)) }
    }

    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let earned = Duration::from_millis(self.taken_bytes * 1000 / MIN_BYTES_PER_S);
        let due = self.since + WRITE_GRACE + earned;
        if self.due.deadline() != due {
            self.due.as_mut().reset(due);
        }
        self.due.as_mut().poll(context)
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.written(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Called when everything that was to be written has been.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.backlog = None;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.ending.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        if !self.activity.has_left_body() {
            return Poll::Ready(Ok(()));
        }
        self.poll_ending(context).map(Ok)
    }
}
