//! The fields of a webhook, in the order of the hosted product's form, and their parsing.

use std::collections::BTreeMap;

use gatepost_control_plane::{
    ControlPlane, DeliverySettingsPatch, Failure, NewWebhook, Patch, TokenRequest, WebhookChange, all, or_default,
};
use gatepost_domain::record::{KeyValues, SignatureKind, UserSecret, Webhook};
use gatepost_store::Versioned;
use maud::{Markup, html};

use super::webhook_topics;
use crate::dashboard::form::Form;
use crate::dashboard::parts::field::{Entries, Field, Input};
use crate::http::json;

/// Rows for headers, as many as a webhook may have.
const MAX_HEADER_ROWS: usize = 20;
/// Empty rows that are shown below those with a header.
const EMPTY_ROWS: usize = 2;
const METHODS: [(&str, &str); 5] =
    [("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("GET", "GET"), ("DELETE", "DELETE")];
/// Value of a check box that is on.
const ON: &str = "on";

const URL: Field = Field::text(
    "url",
    "Endpoint",
    "An https address. For a receiver on your own machine, gatepost listen needs no webhook.",
)
.required();
/// The endpoint where `webhooks.allow_private_networks` is set.
const ANY_URL: Field =
    Field { hint: "An https or http address; private networks are allowed here, for development.", ..URL };
const NAME: Field = Field::text("name", "Name", "For future you and your team mates.").required();
const TOKEN: Field = Field::text(
    "theauthapiToken",
    "Token of your own",
    "16 to 256 visible characters. Empty: a new webhook gets a generated one, another one keeps its own.",
);
const SCHEDULE: Field = Field::text(
    "retrySchedule",
    "Delays between attempts",
    "Such as 5, 300, 1800, or 5s, 5m, 1h: up to 19, for 20 attempts, over 7 days at most. Empty for ten attempts over three \
     days.",
);
const IN_FLIGHT: Field =
    Field::text("maxInFlight", "Requests at the same time", "1 to 16. Empty for 16.").with_input(Input::Number);
const RATE: Field =
    Field::text("ratePerSecond", "Requests in a second", "1 to 1000. Empty for no maximum.").with_input(Input::Number);
const TOPICS: Field = Field::text("topics", "Events selection", "");
const HEADERS: Field = Field::text("customHeaders", "Custom Headers", "");
/// Fields that show what is wrong with them.
pub(crate) const FIELDS: [Field; 8] = [URL, NAME, TOPICS, HEADERS, TOKEN, SCHEDULE, IN_FLIGHT, RATE];

/// Returns the form of a new webhook.
pub(crate) fn empty_form() -> Form {
    Form::with([("httpMethod", "POST".to_owned()), ("live", ON.to_owned())])
}

/// Parses a new webhook of a project.
pub(crate) fn parse_new(form: &Form, project: &str) -> (NewWebhook, Result<(), Failure>) {
    let (headers, headers_read) = or_default(parse_headers(form));
    let (delivery, delivery_read) = parse_delivery(form);
    let is_of_account = form.text("events") == "account";
    let new = NewWebhook {
        name: form.filled("name"),
        account: None,
        project: (!is_of_account).then(|| project.to_owned()),
        url: form.filled("url"),
        topics: topics(form),
        method: form.filled("httpMethod"),
        headers,
        status: Some(if is_on(form, "live") { "live" } else { "paused" }.to_owned()),
        static_token: match (is_on(form, "theauthapiSignature"), form.filled("theauthapiToken")) {
            (false, _) => None,
            (true, None) => Some(TokenRequest::On),
            (true, Some(token)) => Some(TokenRequest::Chosen(token)),
        },
        delivery,
    };
    (new, all([headers_read, delivery_read]))
}

/// Parses the change of a webhook. A token is never generated here, because it could not be shown.
pub(crate) fn parse_change(form: &Form, webhook: &Webhook) -> (WebhookChange, Result<(), Failure>) {
    let (headers, headers_read) = or_default(parse_headers(form));
    let (delivery, delivery_read) = parse_delivery(form);
    let is_token_sent = is_on(form, "theauthapiSignature");
    let token = form.filled("theauthapiToken").filter(|_| is_token_sent);
    let token_read = if is_token_sent && token.is_none() && webhook.static_token.is_none() {
        Err(Failure::invalid("theauthapiToken: must be typed, because the webhook has none yet"))
    } else {
        Ok(())
    };
    let change = WebhookChange {
        name: Some(form.text("name").to_owned()),
        url: Some(form.text("url").to_owned()),
        topics: Some(topics(form)),
        method: form.filled("httpMethod"),
        headers: Some(headers),
        is_token_sent: Some(is_token_sent),
        token,
        delivery,
        ..WebhookChange::default()
    };
    (change, all([token_read, headers_read, delivery_read]))
}

fn is_on(form: &Form, name: &str) -> bool {
    form.text(name) == ON
}

fn topics(form: &Form) -> Vec<String> {
    form.all("topics").map(str::to_owned).collect()
}

/// Parses the rows of headers. A row may also have all of them as JSON, pasted from elsewhere.
pub(crate) fn parse_headers(form: &Form) -> Result<BTreeMap<String, String>, Failure> {
    let (mut headers, mut rows_read) = (BTreeMap::new(), Vec::new());
    for (name, value) in header_rows(form)? {
        if name.is_empty() {
            rows_read.push(Err(Failure::invalid("customHeaders: a value has no name")));
        } else if headers.insert(name.clone(), value).is_some() {
            rows_read.push(Err(Failure::invalid(format!("customHeaders: {name} is there twice"))));
        }
    }
    all::<(), ()>(rows_read).map(|()| headers)
}

fn header_rows(form: &Form) -> Result<Vec<(String, String)>, Failure> {
    let mut rows = Vec::new();
    for (name, value) in form.all("headerName").zip(form.all("headerValue")) {
        if name.starts_with('{') {
            rows.extend(parse_pasted(name)?);
        } else if !name.is_empty() || !value.is_empty() {
            rows.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(rows)
}

fn parse_pasted(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let not_headers = || Failure::invalid("customHeaders: the pasted text is not a JSON object of texts");
    let parsed = json::parse(text.as_bytes()).map_err(|_| not_headers())?;
    let members = parsed.as_object().ok_or_else(not_headers)?;
    let row = |(name, value): (&String, &serde_json::Value)| Some((name.clone(), value.as_str()?.to_owned()));
    members.iter().map(row).collect::<Option<_>>().ok_or_else(not_headers)
}

fn parse_delivery(form: &Form) -> (DeliverySettingsPatch, Result<(), Failure>) {
    let (retry_schedule, read) = or_default(parse_schedule(form));
    let number = |name| form.ranged_number(name).map_or(Patch::Null, Patch::Value);
    let kinds = if is_on(form, "v1a") { &SignatureKind::ALL[..] } else { &SignatureKind::ALL[..1] };
    let request = DeliverySettingsPatch {
        retry_schedule,
        max_in_flight: number("maxInFlight"),
        rate_per_second: number("ratePerSecond"),
        omit_secrets: Some(is_on(form, "omitSecrets")),
        signatures: Some(kinds.iter().map(|kind| kind.as_str().to_owned()).collect()),
        when_paused: form.filled("whenPaused"),
    };
    (request, read)
}

fn parse_schedule(form: &Form) -> Result<Patch<Vec<u64>>, Failure> {
    let Some(text) = form.filled("retrySchedule") else { return Ok(Patch::Null) };
    let delays = text.split(|letter: char| letter == ',' || letter.is_whitespace()).filter(|delay| !delay.is_empty());
    let delays: Option<Vec<u64>> = delays.map(parse_delay).collect();
    let invalid = "retrySchedule: must be whole numbers with commas between them, in seconds or with s, m, h or d";
    delays.map(Patch::Value).ok_or_else(|| Failure::invalid(invalid))
}

/// Parses a delay in seconds, or with a unit.
fn parse_delay(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds)
}

/// Returns the form of a webhook, with its whole URL and masks in place of the values of its headers.
pub(crate) fn form_of(found: &Versioned<Webhook>, url: &str) -> Form {
    let (webhook, delivery) = (&found.record, &found.record.delivery);
    let on = |is_on: bool| if is_on { ON } else { "" }.to_owned();
    let delays = delivery.retry_schedule.as_ref().map(|schedule| schedule.to_seconds());
    let delays: Vec<String> = delays.unwrap_or_default().iter().map(u64::to_string).collect();
    let mut fields = vec![
        ("version", found.position.version.as_u64().to_string()),
        ("httpMethod", webhook.method.clone()),
        ("url", url.to_owned()),
        ("name", webhook.name.clone()),
        ("theauthapiSignature", on(webhook.static_token.is_some())),
        ("retrySchedule", delays.join(", ")),
        ("maxInFlight", delivery.max_in_flight.map(|count| count.get().to_string()).unwrap_or_default()),
        ("ratePerSecond", delivery.rate.map(|rate| rate.get().to_string()).unwrap_or_default()),
        ("omitSecrets", on(delivery.key_values == KeyValues::Omitted)),
        ("v1a", on(delivery.signing_key.is_some())),
        ("whenPaused", delivery.when_paused.as_str().to_owned()),
    ];
    fields.extend(webhook.topics.iter().map(|topic| ("topics", topic.as_str().to_owned())));
    for (name, _) in &webhook.custom_headers {
        fields.extend([("headerName", name.clone()), ("headerValue", UserSecret::MASK.to_owned())]);
    }
    Form::with(fields)
}

/// Returns the labels and saved texts of the entries of a form that differ from what is saved.
pub(crate) fn different_entries<'a>(saved: &'a Form, form: &Form) -> Vec<(&'a str, String)> {
    // A saved webhook may have no topic and no header.
    let mut names: Vec<&str> = saved.names().chain(["topics", "headerName"]).collect();
    names.sort_unstable();
    names.dedup();
    let texts = |form: &Form, name: &str| {
        let mut texts: Vec<String> = form.all(name).filter(|text| !text.is_empty()).map(str::to_owned).collect();
        texts.sort();
        texts.join(", ")
    };
    // Values of headers are masked.
    let names = names.into_iter().filter(|name| !["version", "headerValue"].contains(name));
    let entries = names.filter(|name| texts(saved, name) != texts(form, name));
    entries.map(|name| (entry_label(name), texts(saved, name))).collect()
}

fn entry_label(name: &str) -> &str {
    match name {
        "httpMethod" => "Method",
        "url" => "Endpoint",
        "name" => "Name",
        "topics" => "Events",
        "headerName" => "Custom headers",
        "theauthapiSignature" => "theauthapi-signature",
        "v1a" => "Signatures with a key pair",
        "retrySchedule" => "Delays between attempts",
        "maxInFlight" => "Requests at the same time",
        "ratePerSecond" => "Requests in a second",
        "omitSecrets" => "Mask key values",
        "whenPaused" => "Events while it is paused",
        other => other,
    }
}

/// Shows the fields up to the custom headers.
pub(crate) fn fields(entries: Entries<'_>, control_plane: &ControlPlane) -> Markup {
    let url = if control_plane.allows_private_networks() { &ANY_URL } else { &URL };
    html! {
        div.endpoint { (entries.choice("httpMethod", "Method", &METHODS)) (entries.field(url)) }
        (entries.field(&NAME))
        (webhook_topics::selection(entries, control_plane.allows_private_networks()))
        (headers(entries))
    }
}

/// Shows a check box that makes a new webhook live at once.
pub(crate) fn set_live(entries: Entries<'_>) -> Markup {
    entries.check("live", ON, html! { "Set Live" }, "Without it the webhook starts paused: nothing is sent.")
}

fn headers(entries: Entries<'_>) -> Markup {
    let form = entries.form;
    let typed = header_rows(form).unwrap_or_else(|_| raw_rows(form));
    let shown = (typed.len() + EMPTY_ROWS).min(MAX_HEADER_ROWS);
    let faults = entries.faults.of_field("customHeaders");
    html! {
        fieldset.faulty[!faults.is_empty()] {
            legend { "Custom Headers " span.required { "(optional)" } }
            p.hint { "Sent with every request. Never send passwords of people. Values are stored encrypted, and shown as … from then on. JSON pasted into a name is taken apart." }
            @for fault in faults { p.fault { (fault.text) } }
            @for row in 0..shown { (header_row(row, typed.get(row))) }
            @if shown < MAX_HEADER_ROWS {
                details.more {
                    summary { "More headers" }
                    @for row in shown..MAX_HEADER_ROWS { (header_row(row, None)) }
                }
            }
        }
    }
}

/// Returns the rows as they were typed, if they cannot be taken apart.
fn raw_rows(form: &Form) -> Vec<(String, String)> {
    let rows = form.all("headerName").zip(form.all("headerValue"));
    let rows = rows.filter(|(name, value)| !name.is_empty() || !value.is_empty());
    rows.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn header_row(row: usize, typed: Option<&(String, String)>) -> Markup {
    let (name, value) = typed.map_or(("", ""), |(name, value)| (name, value));
    html! {
        div.columns {
            input name="headerName" type="text" value=(name) placeholder="Name" aria-label={ "Name of header " (row + 1) }
                autocomplete="off" spellcheck="false";
            input name="headerValue" type="text" value=(value) placeholder="Value"
                aria-label={ "Value of header " (row + 1) } autocomplete="off" spellcheck="false";
        }
    }
}

/// Shows the settings that few webhooks need.
pub(crate) fn more_fields(entries: Entries<'_>) -> Markup {
    let names = ["theauthapiToken", "retrySchedule", "maxInFlight", "ratePerSecond", "whenPaused"];
    let is_open = names.iter().any(|name| !entries.faults.of_field(name).is_empty());
    html! {
        details.more open[is_open] {
            summary { "Signatures and pace" }
            (entries.check("theauthapiSignature", ON, html! { "Also send " code { "theauthapi-signature" } }, "A fixed token, for receivers that were written for the hosted product. It proves less than the signature."))
            (entries.field(&TOKEN))
            (entries.check("v1a", ON, html! { "Also sign with a key pair (" code { "v1a" } ")" }, "Receivers verify it with a public key, and cannot forge it."))
            (entries.check("omitSecrets", ON, html! { "Mask key values" }, "Bodies have the mask of a new key in place of its value."))
            (entries.field(&SCHEDULE))
            div.columns { (entries.field(&IN_FLIGHT)) (entries.field(&RATE)) }
            (entries.choice("whenPaused", "Events while it is paused", &[("drop", "Are not sent, and can be recovered"), ("keep", "Wait until it is live")]))
        }
    }
}
