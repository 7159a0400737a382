//! `gatepost listen`: relays events to a URL on this machine, as webhooks.

use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::clock::SystemClock;
use gatepost_webhook_client::sign;
use gatepost_wire::ChangeResource;
use tokio::sync::Notify;

use crate::admin_client::AdminClient;
use crate::cli::ListenOptions;
use crate::output;
use crate::relay::{
    EventSource, Item, Keyboard, Receiver, Start, StateDirectory, StreamName, WebhookRequest, outcome_line,
};
use crate::signals::Interrupt;

/// Maximum time that a stop waits for the response to the event that is being sent.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A relay in progress.
struct Relay {
    source: EventSource,
    receiver: Receiver,
    topics: Vec<Topic>,
    state: StateDirectory,
    stream: StreamName,
    /// What is sent again on request.
    last: Option<WebhookRequest>,
}

enum Step {
    Item(Item),
    Repeat,
}

pub(crate) async fn run(options: ListenOptions) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::install()?;
    let client = AdminClient::new(options.admin.admin_url)?;
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
    let mut relay = Relay { source, receiver, topics: options.topics, state, stream, last: None };
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
                Step::Item(Item::Connected) => output::print_line(connected)?,
                Step::Item(Item::Event(change)) => {
                    self.forward(*change).await?;
                    self.save_cursor()?;
                }
                Step::Item(Item::Moved) => self.save_cursor()?,
                Step::Item(Item::Gap(text)) => output::print_line(&text)?,
                Step::Item(Item::Lost { why, retry_in }) => {
                    let (admin, retry_ms) = (self.source.admin_url(), retry_in.as_millis());
                    output::print_error_line(&format!("not connected to {admin}: {why}; retrying in {retry_ms} ms"));
                }
            }
        }
    }

    async fn forward(&mut self, change: ChangeResource) -> anyhow::Result<()> {
        let Some(request) = WebhookRequest::of_change(change)? else { return Ok(()) };
        if self.topics.is_empty() || self.topics.contains(&request.topic) {
            self.send(&request).await?;
            self.last = Some(request);
        }
        Ok(())
    }

    async fn repeat(&self) -> anyhow::Result<()> {
        match &self.last {
            Some(request) => self.send(request).await,
            None => output::print_line("no event was forwarded yet"),
        }
    }

    async fn send(&self, request: &WebhookRequest) -> anyhow::Result<()> {
        let sent = self.receiver.send(request).await;
        let error = sent.error.map(|error| error.to_string());
        let topic = request.topic.as_str();
        output::print_line(&outcome_line(
            sent.started_at,
            topic,
            &request.id,
            sent.status,
            error.as_deref(),
            sent.elapsed,
        ))
    }

    fn save_cursor(&self) -> anyhow::Result<()> {
        self.source.cursor().map_or(Ok(()), |cursor| self.state.save_cursor(&self.stream, cursor))
    }
}

fn before_now(age: Duration) -> Timestamp {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_ms(SystemClock.now().as_ms().saturating_sub(age_ms))
}
