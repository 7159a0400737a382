//! Deliveries of a webhook: the list, and one of them with its history.

use std::str::FromStr;

use gatepost_domain::change::Topic;
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::retry_schedule::Attempt;
use gatepost_domain::shown_key::{ShownKey, Transport};
use gatepost_domain::time::Timestamp;
use gatepost_store::{AttemptRecord, CellStore, Delivery, DeliveryKind, DeliveryPosition, Event, RecordedOutcome};
use gatepost_webhook_client::PrivateNetworks;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::use_cases::pagination::{PAGE_SIZE, Rest};
use crate::use_cases::scan_time::ScanTime;

/// Deliveries in one response, at most and by default.
pub const MAX_DELIVERIES: usize = 1000;
pub const DEFAULT_DELIVERIES: usize = 100;
/// Deliveries that are read for one response. If the filter selects none of them, it only has the next cursor.
const MAX_SEARCHED: usize = 10_000;

/// State of a delivery as callers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Waits for its first attempt.
    Pending,
    InFlight,
    Delivered,
    /// Waits for its next attempt.
    Failed,
    Dead,
    /// Was not made, because the webhook was paused.
    Dropped,
    /// Waits until the webhook is live again.
    Paused,
}

impl DeliveryStatus {
    pub const ALL: [Self; 7] = [
        DeliveryStatus::Pending,
        DeliveryStatus::InFlight,
        DeliveryStatus::Delivered,
        DeliveryStatus::Failed,
        DeliveryStatus::Dead,
        DeliveryStatus::Dropped,
        DeliveryStatus::Paused,
    ];

    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Pending => "pending",
            DeliveryStatus::InFlight => "inFlight",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
            DeliveryStatus::Dead => "dead",
            DeliveryStatus::Dropped => "dropped",
            DeliveryStatus::Paused => "paused",
        }
    }

    fn of(delivery: &Delivery, webhook: &Webhook) -> Self {
        match delivery.kind {
            DeliveryKind::Delivered => DeliveryStatus::Delivered,
            DeliveryKind::Dropped => DeliveryStatus::Dropped,
            DeliveryKind::Dead => DeliveryStatus::Dead,
            DeliveryKind::Waiting if delivery.is_in_flight => DeliveryStatus::InFlight,
            DeliveryKind::Waiting if webhook.status == WebhookStatus::Paused => DeliveryStatus::Paused,
            DeliveryKind::Waiting if delivery.attempts == 0 => DeliveryStatus::Pending,
            DeliveryKind::Waiting => DeliveryStatus::Failed,
        }
    }

    /// Returns the lists that have deliveries of this status.
    fn kind(self) -> DeliveryKind {
        match self {
            DeliveryStatus::Delivered => DeliveryKind::Delivered,
            DeliveryStatus::Dropped => DeliveryKind::Dropped,
            DeliveryStatus::Dead => DeliveryKind::Dead,
            DeliveryStatus::Pending | DeliveryStatus::InFlight | DeliveryStatus::Failed | DeliveryStatus::Paused => {
                DeliveryKind::Waiting
            }
        }
    }
}

/// The deliveries that a list selects.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub status: Option<DeliveryStatus>,
    pub topic: Option<Topic>,
    /// Created at this time or later.
    pub since: Option<Timestamp>,
    /// Created before this time.
    pub until: Option<Timestamp>,
}

/// How much a page of deliveries may have, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// Deliveries in the page.
    pub deliveries: usize,
    pub time: ScanTime,
}

/// A delivery with its state.
#[derive(Debug, Clone)]
pub struct DeliveryView {
    pub delivery: Delivery,
    pub status: DeliveryStatus,
}

impl DeliveryView {
    /// Returns a delivery as callers see it. When a paused webhook gets its next attempt is not known.
    pub(super) fn new(mut delivery: Delivery, webhook: &Webhook) -> Self {
        let status = DeliveryStatus::of(&delivery, webhook);
        if status == DeliveryStatus::Paused {
            delivery.next_attempt_at = None;
        }
        Self { delivery, status }
    }
}

/// Deliveries, newest first, and how to go on.
#[derive(Debug)]
pub struct DeliveryPage {
    pub deliveries: Vec<DeliveryView>,
    /// The cursor after which the next page begins; none if nothing was read.
    pub next: Option<String>,
    pub rest: Rest,
    /// Deliveries that were searched for this page.
    pub searched: usize,
}

/// A delivery with its event and its attempts.
#[derive(Debug)]
pub struct DeliveryDetails {
    pub webhook: Webhook,
    pub view: DeliveryView,
    /// The event, without values; none if it is no longer kept.
    pub event: Option<Event>,
    /// Attempts that are kept, oldest first.
    pub history: Vec<AttemptRecord>,
    /// Earliest times of the attempts that are left, if it waits.
    pub upcoming: Vec<Timestamp>,
    /// Whether something of the responses to failed attempts is kept.
    pub keeps_responses: bool,
}

impl DeliveryDetails {
    /// Returns what the request contained or would contain as the value of a key, and the mask of the value; none if the
    /// change created no value. The value itself is sent as long as it is kept.
    pub fn shown_key(&self) -> Option<(ShownKey, &str)> {
        let event = self.event.as_ref()?;
        // Over plaintext, a webhook gets values only where private networks are allowed. A mask tells nobody more.
        let shown = ShownKey::to(&self.webhook, event.metadata.project.as_ref(), Transport::Secure);
        Some((shown, event.mask_of_new_value()?))
    }

    /// Returns whether nothing is kept of the response to a failed attempt because it could be of a private network.
    pub fn is_response_omitted(&self, attempt: &AttemptRecord) -> bool {
        let is_failed = attempt.outcome != RecordedOutcome::Delivered;
        !self.keeps_responses && is_failed && attempt.status.is_some() && attempt.response.is_none()
    }
}

impl DeliveryFilter {
    fn kinds(&self) -> Vec<DeliveryKind> {
        self.status.map_or_else(|| DeliveryKind::ALL.to_vec(), |status| vec![status.kind()])
    }

    fn matches(&self, view: &DeliveryView) -> bool {
        let DeliveryView { delivery, status } = view;
        self.status.is_none_or(|requested| requested == *status)
            && self.topic.is_none_or(|topic| delivery.action.and_then(|action| action.topic()) == Some(topic))
            && self.since.is_none_or(|since| since <= delivery.created_at)
            && self.until.is_none_or(|until| delivery.created_at < until)
    }

    /// Returns whether a delivery and all that follow it are too old.
    fn is_past(&self, delivery: &Delivery) -> bool {
        self.since.is_some_and(|since| delivery.created_at < since)
    }
}

impl ControlPlane {
    /// Returns deliveries of a webhook that the caller sees, newest first.
    pub async fn deliveries(
        &self,
        context: &RequestContext,
        webhook: &str,
        filter: &DeliveryFilter,
        after: Option<&str>,
        limits: DeliveryLimits,
    ) -> Result<DeliveryPage> {
        let deadline = self.scan_deadline(limits.time);
        let webhook = self.webhook(context, webhook).await?.record;
        let list = format!("deliveries/{}", webhook.id);
        let mut position = self.parse_position(&list, after)?;
        let (cell, kinds) = (self.store.home(webhook.id.partition()), filter.kinds());
        let mut page = DeliveryPage { deliveries: Vec::new(), next: None, rest: Rest::More, searched: 0 };
        let mut read = 0;
        // One delivery more than is returned shows whether there are more. If a filter matches few, whole pages are read.
        let mut size = PAGE_SIZE.min(u32::try_from(limits.deliveries.saturating_add(1)).unwrap_or(PAGE_SIZE));
        'search: while read < MAX_SEARCHED {
            let _turn = self.acquire_list_permit(context).await?;
            let found = cell.deliveries(&webhook.id, &kinds, position, size).await?;
            if found.is_empty() {
                page.rest = Rest::Nothing;
                break;
            }
            read += found.len();
            let is_short = found.len() < size as usize;
            for delivery in found {
                if filter.is_past(&delivery) {
                    page.rest = Rest::Nothing;
                    break 'search;
                }
                let (at, view) = (delivery.position(), DeliveryView::new(delivery, &webhook));
                if filter.matches(&view) {
                    if page.deliveries.len() == limits.deliveries {
                        break 'search;
                    }
                    page.deliveries.push(view);
                }
                position = Some(at);
                page.searched += 1;
            }
            // After a short read, the next one probably finds the end, and costs little.
            if !is_short && deadline.has_passed(self.clock.uptime()) {
                break;
            }
            size = PAGE_SIZE;
        }
        let position = position.map(|position| position.to_string());
        page.next = position.map(|position| self.store.envelope().seal_cursor(&list, &position)).transpose()?;
        Ok(page)
    }

    fn parse_position(&self, list: &str, after: Option<&str>) -> Result<Option<DeliveryPosition>> {
        let text = self.decode_cursor(list, after)?;
        let position = (!text.is_empty()).then(|| DeliveryPosition::from_str(&text)).transpose();
        position.map_err(|error| Failure::invalid(format!("after: {error}")))
    }

    /// Returns one delivery of a webhook that the caller sees, with its history.
    ///
    /// # Errors
    /// `not-found` if nothing is known of it.
    pub async fn delivery(&self, context: &RequestContext, webhook: &str, event: &str) -> Result<DeliveryDetails> {
        let webhook = self.webhook(context, webhook).await?.record;
        let cell = self.store.home(webhook.id.partition());
        let event = parse_event_id(event)?;
        let delivery = cell.delivery(&webhook.id, &event).await?.ok_or_else(no_delivery)?;
        let history = history(cell, &webhook.id, &delivery).await?;
        let event = match delivery.event_version {
            Some(version) => cell.event(&event, version).await?,
            None => None,
        };
        let (schedule, view) = (webhook.delivery.schedule(), DeliveryView::new(delivery, &webhook));
        let next_attempt_at = view.delivery.next_attempt_at;
        let upcoming = next_attempt_at.map_or_else(Vec::new, |at| schedule.upcoming(view.delivery.attempts, at));
        let keeps_responses = self.ssrf_guard.private_networks() == PrivateNetworks::Refused;
        Ok(DeliveryDetails { webhook, view, event, history, upcoming, keeps_responses })
    }
}

/// Returns the attempts of a delivery that are kept, oldest first: failed ones, and the last one.
async fn history(cell: &CellStore, webhook: &WebhookId, delivery: &Delivery) -> Result<Vec<AttemptRecord>> {
    let mut history = cell.attempts_of(webhook, &delivery.event_id).await?;
    history.reverse();
    let is_listed = |last: &AttemptRecord| history.iter().any(|one| (one.number, one.at) == (last.number, last.at));
    if let Some(last) = delivery.last_attempt.clone().filter(|last| !is_listed(last)) {
        history.push(last);
    }
    number_on(&mut history);
    Ok(history)
}

/// Numbers attempts on where a delivery was sent again with a fresh schedule: the stored numbers begin with 1 there.
fn number_on(history: &mut [AttemptRecord]) {
    let (mut earlier, mut previous) = (0, 0);
    for attempt in history {
        let number = attempt.number.number();
        earlier += if number <= previous { previous } else { 0 };
        previous = number;
        attempt.number = Attempt::new(earlier + number).unwrap_or(attempt.number);
    }
}

pub(super) fn parse_event_id(text: &str) -> Result<EventId> {
    EventId::parse(text).map_err(|_| no_delivery())
}

pub(super) fn no_delivery() -> Failure {
    Failure::refused(ErrorCode::NotFound, "there is no such delivery, or it is no longer kept")
}
