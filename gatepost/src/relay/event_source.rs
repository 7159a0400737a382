//! The event stream of an admin API, which is opened again wherever it breaks off.

use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_domain::time::Timestamp;
use gatepost_webhook_client::root_cause;
use gatepost_wire::ChangeResource;
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

use super::server_sent_events::{Frame, FrameParser};
use crate::admin_client::{AdminClient, AdminError};
use crate::admin_url::AdminUrl;

/// Time without a byte after which the connection is broken. The server sends a heartbeat every 10 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time until the first attempt to connect again. It doubles with each that fails.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Events of an admin API, in order and each once, over any number of connections.
pub(crate) struct EventSource {
    client: AdminClient,
    project: Option<ProjectId>,
    start: Start,
    connection: Connection,
    /// Time until the next attempt to connect after a failure.
    backoff: Duration,
}

/// Where a stream starts.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// At the current time.
    Now,
    /// With the events since a time.
    Since(Timestamp),
    /// After the event at a cursor.
    After(String),
}

/// What happened in a stream.
#[derive(Debug)]
pub(crate) enum Item {
    Connected,
    /// A change, and the cursor is now at it.
    Event(Box<ChangeResource>),
    /// The cursor moved past changes that are not sent.
    Moved,
    /// Changes are missing; the text says which.
    Gap(String),
    /// The connection failed. The next call waits as long as said, and tries again.
    Lost {
        why: String,
        retry_in: Duration,
    },
}

enum Connection {
    Closed { retry_at: Instant },
    Open(Box<OpenStream>),
}

struct OpenStream {
    response: Response,
    parser: FrameParser,
    opened_at: Instant,
}

impl EventSource {
    pub(crate) fn new(client: AdminClient, project: Option<ProjectId>, start: Start) -> Self {
        let connection = Connection::Closed { retry_at: Instant::now() };
        Self { client, project, start, connection, backoff: MIN_BACKOFF }
    }

    pub(crate) fn admin_url(&self) -> &AdminUrl {
        self.client.url()
    }

    /// Returns the cursor of the last event, if there is one.
    pub(crate) fn cursor(&self) -> Option<&str> {
        match &self.start {
            Start::After(cursor) => Some(cursor),
            Start::Now | Start::Since(_) => None,
        }
    }

    /// Waits for the next item. It may be cancelled, and loses nothing then.
    ///
    /// # Errors
    ///
    /// If the admin API refuses the stream for good, such as for a wrong access key.
    pub(crate) async fn next(&mut self) -> Result<Item, AdminError> {
        let lost = match &mut self.connection {
            Connection::Closed { retry_at } => {
                tokio::time::sleep_until(*retry_at).await;
                match self.open().await {
                    Ok(stream) => {
                        self.connection = Connection::Open(Box::new(stream));
                        return Ok(Item::Connected);
                    }
                    Err(error) if error.is_temporary() => error.to_string(),
                    Err(error) => return Err(error),
                }
            }
            Connection::Open(stream) => match stream.next_frame().await {
                Ok(frame) => return Ok(self.receive(frame)),
                Err(why) => {
                    if stream.opened_at.elapsed() >= MAX_BACKOFF {
                        self.backoff = MIN_BACKOFF;
                    }
                    why
                }
            },
        };
        Ok(self.close(lost))
    }

    async fn open(&self) -> Result<OpenStream, AdminError> {
        let mut url = self.client.url().endpoint("/events/stream");
        if let Some(project) = &self.project {
            url.query_pairs_mut().append_pair("projectId", project.as_str());
        }
        if let Start::Since(since) = &self.start {
            url.query_pairs_mut().append_pair("since", &since.to_string());
        }
        let response = self.client.open_stream(url, self.cursor()).await?;
        Ok(OpenStream { response, parser: FrameParser::default(), opened_at: Instant::now() })
    }

    fn close(&mut self, why: String) -> Item {
        let retry_in = self.backoff;
        self.connection = Connection::Closed { retry_at: Instant::now() + retry_in };
        self.backoff = (retry_in * 2).min(MAX_BACKOFF);
        Item::Lost { why, retry_in }
    }

    fn receive(&mut self, frame: Frame) -> Item {
        if let Some(id) = frame.id {
            self.start = Start::After(id);
        }
        match (frame.event.as_deref(), frame.data) {
            (_, None) => Item::Moved,
            (None, Some(data)) => match serde_json::from_str(&data) {
                Ok(change) => Item::Event(Box::new(change)),
                Err(error) => Item::Gap(format!("an event cannot be read: {error}")),
            },
            (Some("gap"), Some(data)) => Item::Gap(gap_text(&data)),
            (Some(_), Some(_)) => Item::Moved,
        }
    }
}

impl OpenStream {
    /// Waits for the next block. Returns the reason if there is none any more.
    async fn next_frame(&mut self) -> Result<Frame, String> {
        loop {
            if let Some(frame) = self.parser.next_frame().map_err(|error| error.to_string())? {
                return Ok(frame);
            }
            let chunk = tokio::time::timeout(IDLE_TIMEOUT, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| format!("nothing was received for {} s", IDLE_TIMEOUT.as_secs()))?;
            match chunk.map_err(root_cause)? {
                Some(chunk) => self.parser.push(&chunk),
                None => return Err("the admin API ended the stream".to_owned()),
            }
        }
    }
}

/// Says why events are missing, from the data of the event `gap`.
fn gap_text(data: &str) -> String {
    let continues = serde_json::from_str::<Value>(data).unwrap_or_default();
    let why = match continues["continues"].as_str() {
        Some("trimmed") => "older events have been removed from the store",
        Some(_) | None => "the store does not have the last event (any more)",
    };
    format!("events are missing here: {why}")
}
