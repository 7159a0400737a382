//! Which deliveries a list shows: its state is in the address.

use gatepost_control_plane::{DeliveryFilter, DeliveryStatus, Failure, both};
use gatepost_domain::change::Topic;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::form::{Form, FormFaults};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::pager;

const TIME_HINT: &str = "UTC, such as 2027-01-31 or 2027-01-31 12:00:00.";
const SINCE: Field = Field::text("since", "Created since", TIME_HINT);
const UNTIL: Field = Field::text("until", "and before", TIME_HINT);

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ListQuery {
    pub(crate) status: Option<String>,
    topic: Option<String>,
    since: Option<String>,
    until: Option<String>,
    pub(crate) after: Option<String>,
    /// The event of a delivery that was just sent again.
    pub(crate) sent: Option<String>,
}

impl ListQuery {
    /// Returns what is selected.
    ///
    /// # Errors
    /// All that is wrong: a state or an event that is unknown, a time that is none.
    pub(crate) fn parse(&self) -> Result<DeliveryFilter, Failure> {
        let status = parse_name("status", self.status.as_deref(), |name| {
            DeliveryStatus::ALL.into_iter().find(|status| status.as_str() == name)
        });
        let topic = parse_name("topic", self.topic.as_deref(), Topic::parse);
        let [since, until] =
            [("since", &self.since), ("until", &self.until)].map(|(name, text)| parse_time(name, text.as_deref()));
        let ((status, topic), (since, until)) = both(both(status, topic), both(since, until))?;
        Ok(DeliveryFilter { status, topic, since, until })
    }

    /// Returns the query of the first part of the list.
    pub(crate) fn at_start(self) -> Self {
        Self { after: None, ..self }
    }

    pub(crate) fn selected_status(&self) -> Option<DeliveryStatus> {
        let name = self.status.as_deref()?;
        DeliveryStatus::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Returns the same selection of the deliveries in a state.
    pub(crate) fn in_state(&self, status: DeliveryStatus) -> Self {
        Self { status: Some(status.as_str().to_owned()), ..self.clone() }
    }

    /// Returns a path with the query of the same selection, in another state.
    pub(crate) fn path(&self, path: &str, status: Option<DeliveryStatus>) -> String {
        let status = status.map_or("", DeliveryStatus::as_str);
        let [topic, since, until] =
            [&self.topic, &self.since, &self.until].map(|text| text.as_deref().unwrap_or_default());
        pager::with_query(path, [("status", status), ("topic", topic), ("since", since), ("until", until)])
    }

    /// Returns whether anything but the state is selected.
    pub(crate) fn is_narrowed(&self) -> bool {
        let is_filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        is_filled(&self.topic) || is_filled(&self.since) || is_filled(&self.until)
    }

    /// Shows the fields of the selection. The state stays as it is.
    pub(crate) fn form(&self, path: &str, webhook: &Webhook, faults: &FormFaults) -> Markup {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let form =
            Form::with([("topic", text(&self.topic)), ("since", text(&self.since)), ("until", text(&self.until))]);
        let entries = Entries { form: &form, faults };
        let mut topics = vec![("", "All")];
        topics.extend(webhook.topics.iter().map(|topic| (topic.as_str(), topic.as_str())));
        let is_open = self.is_narrowed() || !faults.is_empty();
        html! {
            details.more open[is_open] {
                summary { "Filter by event and time" }
                form.stack method="get" action=(path) {
                    (entries.summary(&[SINCE, UNTIL]))
                    @if let Some(status) = self.selected_status() {
                        input type="hidden" name="status" value=(status.as_str());
                    }
                    (entries.choice("topic", "Event", &topics))
                    div.columns { (entries.field(&SINCE)) (entries.field(&UNTIL)) }
                    div.actions {
                        button { "Filter" }
                        @if self.is_narrowed() { a.button href=(Self::default().path(path, self.selected_status())) { "Show all" } }
                    }
                }
            }
        }
    }
}

fn parse_name<T>(field: &str, name: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return Ok(None) };
    let unknown = || Failure::invalid(format!("{field}: {name:?} is not known; all deliveries are listed"));
    parse(name).map(Some).ok_or_else(unknown)
}

fn parse_time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let hint = "this is no time. Write it as 2027-01-31 or 2027-01-31 12:00:00, in UTC.";
    text.map(Timestamp::parse).transpose().map_err(|_| Failure::invalid(format!("{field}: {hint}")))
}
