//! `gatepost listen`: relays events to a URL on this machine, as webhooks.

use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::clock::SystemClock;
use gatepost_webhook_client::{ErrorClass, SendResult, sign};
use gatepost_wire::ChangeResource;
use tokio::sync::Notify;

use super::find_admin_url;
use crate::admin_client::{ADMIN_URL_HINT, AdminClient};
use crate::cli::{ListenOptions, Options};
use crate::output;
use crate::relay::{
    EventSource, Item, Keyboard, Receiver, Start, StateDirectory, StreamName, WebhookRequest, sent_lines,
};
use crate::signals::Interrupt;

/// Maximum time that a stop waits for the response to the event that is being sent.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Time until the next attempt to send an event to a receiver that refuses connections. It doubles with each.
const MIN_RECEIVER_BACKOFF: Duration = Duration::from_millis(100);
const MAX_RECEIVER_BACKOFF: Duration = Duration::from_secs(2);

/// A relay in progress.
struct Relay {
    source: EventSource,
    receiver: Receiver,
    topics: Vec<Topic>,
    state: StateDirectory,
    stream: StreamName,
    /// What is sent again on request.
    last: Option<WebhookRequest>,
    /// What to do if no connection can be made; `None` once it was said, or once there was a connection.
    hint: Option<&'static str>,
}

enum Step {
    Item(Item),
    Repeat,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
enum Forwarded {
    /// It was sent, or is not wanted.
    Done,
    /// The relay was stopped before the receiver accepted a connection.
    Stopped,
}

pub(crate) async fn run(all: &Options, options: ListenOptions) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::install()?;
    let client = AdminClient::new(find_admin_url(options.admin.admin_url, all)?)?;
    let state = StateDirectory::open()?;
    let stream = StreamName::new(client.url(), options.project.as_ref());
    let start = match options.since {
        Some(Duration::ZERO) => Start::Now,
        Some(age) => Start::Since(before_now(age)),
        None => state.cursor(&stream)?.map_or(Start::Now, Start::After),
    };
    let secret = state.signing_secret()?;
    let secret_text = sign::secret_text(&secret);
    let receiver = Receiver::new(options.forward_to.clone(), secret)?;
    state.save_target(&options.forward_to)?;
    output::print_line(&format!("signing secret: {secret_text}"))?;
    let admin = client.url().to_string();
    let source = EventSource::new(client, options.project, start);
    let (topics, hint) = (options.topics, Some(ADMIN_URL_HINT));
    let mut relay = Relay { source, receiver, topics, state, stream, last: None, hint };
    let connected = format!("connected to {admin}, forwarding to {}", options.forward_to);
    let stop = Notify::new();
    let mut relaying = std::pin::pin!(relay.run(&connected, &stop));
    tokio::select! {
        result = &mut relaying => return result,
        () = interrupt.wait() => stop.notify_one(),
    }
    tokio::time::timeout(STOP_GRACE, relaying).await.unwrap_or(Ok(()))
}

impl Relay {
    /// Forwards events until it is stopped or the admin API refuses the stream. A stop waits for the event that is being
    /// sent; when it is cancelled, that event counts as not forwarded.
    async fn run(&mut self, connected: &str, stop: &Notify) -> anyhow::Result<()> {
        let mut keyboard = Keyboard::open();
        loop {
            let step = tokio::select! {
                item = self.source.next() => Step::Item(item?),
                () = keyboard.wait_for_repeat() => Step::Repeat,
                () = stop.notified() => return Ok(()),
            };
            match step {
                Step::Repeat => self.repeat().await?,
                Step::Item(Item::Connected) => {
                    self.hint = None;
                    output::print_line(connected)?;
                }
                Step::Item(Item::Event(change)) => match self.forward(*change, stop).await? {
                    Forwarded::Done => self.save_cursor()?,
                    Forwarded::Stopped => return Ok(()),
                },
                Step::Item(Item::Moved) => self.save_cursor()?,
                Step::Item(Item::Gap(text)) => output::print_line(&text)?,
                Step::Item(Item::Lost { why, retry_in }) => {
                    let (admin, retry_ms) = (self.source.admin_url(), retry_in.as_millis());
                    let hint = self.hint.take().map_or(String::new(), |hint| format!(" ({hint})"));
                    output::print_error_line(&format!(
                        "not connected to {admin}: {why}; retrying in {retry_ms} ms{hint}"
                    ));
                }
            }
        }
    }

    async fn forward(&mut self, change: ChangeResource, stop: &Notify) -> anyhow::Result<Forwarded> {
        let Some(request) = WebhookRequest::of_change(change)? else { return Ok(Forwarded::Done) };
        if !self.topics.is_empty() && !self.topics.contains(&request.topic) {
            return Ok(Forwarded::Done);
        }
        let forwarded = self.send_when_reachable(&request, stop).await?;
        self.last = Some(request);
        Ok(forwarded)
    }

    /// Sends an event, and again while the receiver refuses connections: it has not been started yet.
    async fn send_when_reachable(&self, request: &WebhookRequest, stop: &Notify) -> anyhow::Result<Forwarded> {
        let mut sent = self.send(request).await?;
        if !is_refused(&sent) {
            return Ok(Forwarded::Done);
        }
        output::print_line("waiting until the receiver accepts connections")?;
        let mut backoff = MIN_RECEIVER_BACKOFF;
        while is_refused(&sent) {
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = stop.notified() => return Ok(Forwarded::Stopped),
            }
            backoff = (backoff * 2).min(MAX_RECEIVER_BACKOFF);
            sent = self.receiver.send(request).await;
        }
        output::print_line(&sent_lines(request, &sent))?;
        Ok(Forwarded::Done)
    }

    async fn repeat(&self) -> anyhow::Result<()> {
        match &self.last {
            Some(request) => self.send(request).await.map(|_| ()),
            None => output::print_line("no event was forwarded yet"),
        }
    }

    /// Sends a request once, and reports what came of it.
    async fn send(&self, request: &WebhookRequest) -> anyhow::Result<SendResult> {
        let sent = self.receiver.send(request).await;
        output::print_line(&sent_lines(request, &sent))?;
        Ok(sent)
    }

    fn save_cursor(&self) -> anyhow::Result<()> {
        self.source.cursor().map_or(Ok(()), |cursor| self.state.save_cursor(&self.stream, cursor))
    }
}

fn is_refused(sent: &SendResult) -> bool {
    sent.error.as_ref().is_some_and(|error| error.class() == ErrorClass::Refused)
}

fn before_now(age: Duration) -> Timestamp {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_ms(SystemClock.now().as_ms().saturating_sub(age_ms))
}
