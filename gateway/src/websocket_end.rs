//! End of WebSockets when the gateway stops: a close frame between two frames of the server tells the client to connect
//! again (RFC 6455 section 7.4.1).

mod frames;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

use frames::FrameTracker;

/// A close frame with status 1001, "going away".
const CLOSE_FRAME: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// How long the client may take to end the connection. One that is closed with unread bytes is reset, and the client may
/// never see the frame.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped at a time.
const DROPPED_BYTES: usize = 4096;

/// Tells all WebSockets of a gateway to end. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct GoingAway(Arc<watch::Sender<bool>>);

impl GoingAway {
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }
}

/// A WebSocket on its way to its end.
pub(crate) struct WebSocketEnd {
    frames: FrameTracker,
    stage: Stage,
}

enum Stage {
    /// Until the gateway goes away.
    Open(Pin<Box<dyn Future<Output = ()> + Send + Sync>>),
    /// With the bytes of the close frame that were written.
    Closing { written: usize },
    /// Until the client has ended the connection, or the time is over.
    Lingering(Pin<Box<Sleep>>),
}

impl WebSocketEnd {
    /// Returns the one of a connection, which begins with its first byte.
    pub(crate) fn in_slot<'a>(slot: &'a mut Option<Box<Self>>, going_away: &GoingAway) -> &'a mut Self {
        slot.get_or_insert_with(|| Box::new(Self::new(going_away)))
    }

    fn new(going_away: &GoingAway) -> Self {
        let mut going_away = going_away.0.subscribe();
        let gone = async move {
            // Without a sender, nobody says so any more.
            let _ = going_away.wait_for(|is_gone| *is_gone).await;
        };
        Self { frames: FrameTracker::default(), stage: Stage::Open(Box::pin(gone)) }
    }

    /// Notes bytes of the response and of the server's frames that were written to the client.
    pub(crate) fn note_written(&mut self, bytes: &[u8]) {
        self.frames.consume(bytes);
    }

    /// Returns whether it goes on.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Ends it if the gateway goes away. Ready when it has ended; pending until then, or if it goes on.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Error> {
        loop {
            match &mut self.stage {
                Stage::Open(gone) => {
                    ready!(gone.as_mut().poll(context));
                    // In the middle of a frame, or after a close frame of the server, there is nothing to say.
                    let written = if self.frames.is_between_frames() { 0 } else { CLOSE_FRAME.len() };
                    self.stage = Stage::Closing { written };
                }
                Stage::Closing { written } if *written < CLOSE_FRAME.len() => {
                    match ready!(Pin::new(&mut *stream).poll_write(context, &CLOSE_FRAME[*written..])) {
                        Ok(0) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                        Ok(count) => *written += count,
                        Err(error) => return Poll::Ready(error),
                    }
                }
                Stage::Closing { .. } => {
                    if let Err(error) = ready!(Pin::new(&mut *stream).poll_flush(context)) {
                        return Poll::Ready(error);
                    }
                    self.stage = Stage::Lingering(Box::pin(tokio::time::sleep(LINGER)));
                }
                Stage::Lingering(timer) => {
                    if timer.as_mut().poll(context).is_pending() {
                        ready!(poll_drop_all(context, stream));
                    }
                    return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, "the gateway stops"));
                }
            }
        }
    }
}

/// Reads and drops what the client sends, until its end.
fn poll_drop_all(context: &mut Context<'_>, stream: &mut Stream) -> Poll<()> {
    loop {
        let mut bytes = [0; DROPPED_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            Ok(()) | Err(_) => return Poll::Ready(()),
        }
    }
}
