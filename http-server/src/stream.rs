//! The stream of a connection: the client must read what is sent, and the rest of an unread request body is
//! drained.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::activity::Activity;

/// Maximum time for which a client may read nothing of a response.
const WRITE_GRACE: Duration = Duration::from_secs(10);
/// Bytes per second that the client must read after that.
const MIN_WRITE_BYTES_PER_S: u64 = 16 * 1024;
/// Maximum time that closing a connection waits for the rest of an unread request body: closing a socket with
/// unread data resets the connection, and the client may lose the response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of bytes drained then.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// A TCP stream whose writes have a deadline.
#[derive(Debug)]
pub(crate) struct TimeoutStream {
    inner: TcpStream,
    activity: Arc<Activity>,
    /// Set while the client has not read everything that was sent.
    stalled_write: Option<StalledWrite>,
    linger: Option<Linger>,
}

#[derive(Debug)]
struct StalledWrite {
    since: Instant,
    written_bytes: u64,
    timer: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct Linger {
    read_bytes: usize,
    timer: Pin<Box<Sleep>>,
}

impl TimeoutStream {
    pub(crate) fn new(inner: TcpStream, activity: Arc<Activity>) -> Self {
        Self { inner, activity, stalled_write: None, linger: None }
    }

    fn track_write(&mut self, result: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.activity.client_progressed();
                if let Some(stalled_write) = &mut self.stalled_write {
                    stalled_write.written_bytes += bytes as u64;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.activity.mark_waiting();
                let stalled_write = self.stalled_write.get_or_insert_with(StalledWrite::new);
                ready!(stalled_write.poll_timeout(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client did not read the response")))
            }
        }
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let new = || Linger { read_bytes: 0, timer: Box::pin(tokio::time::sleep(LINGER_TIMEOUT)) };
        let linger = self.linger.get_or_insert_with(new);
        let mut scratch = [0; 4096];
        while linger.read_bytes < MAX_LINGER_BYTES && linger.timer.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => linger.read_bytes += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl StalledWrite {
    fn new() -> Self {
        Self { since: Instant::now(), written_bytes: 0, timer: Box::pin(tokio::time::sleep(WRITE_GRACE)) }
    }

    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let earned = Duration::from_millis(self.written_bytes * 1000 / MIN_WRITE_BYTES_PER_S);
        let deadline = self.since + WRITE_GRACE + earned;
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(context)
    }
}

impl AsyncRead for TimeoutStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.track_write(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.track_write(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Called when everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stalled_write = None;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        if !self.activity.has_unread_body() {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(context).map(Ok)
    }
}
