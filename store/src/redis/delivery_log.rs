//! Lists and numbers of a webhook's deliveries on Redis.

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::Timestamp;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::ops::{DeliveryKind, RawDelivery, RawDeliveryContent, SortOrder, WebhookNumbers};
use crate::options::COMMIT_TIMEOUT;

use super::client::{Arguments, Redis};
use super::queue::read_event_id;
use super::queue_reads::parse_dead_letter;
use super::reply::Reply;
use super::scripts;

impl Redis {
    pub(crate) async fn deliveries(
        &self,
        webhook: WebhookId,
        kinds: Vec<DeliveryKind>,
        order: SortOrder,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RawDelivery>> {
        let order = match order {
            SortOrder::OldestFirst => "oldest",
            SortOrder::NewestFirst => "newest",
        };
        let after = after.map(|sequence| sequence.to_string()).unwrap_or_default();
        let arguments = Arguments::default().text(webhook.as_str()).number(limit).text(order).text(&after);
        let arguments =
            kinds.iter().fold(arguments.number(kinds.len() as u64), |arguments, kind| arguments.text(kind.as_str()));
        let mut reply = self.run_script(&scripts::DELIVERIES, COMMIT_TIMEOUT, arguments).await?;
        let mut deliveries = Vec::new();
        while !reply.is_empty() {
            deliveries.extend(read_row(&mut reply)?);
        }
        Ok(deliveries)
    }

    pub(crate) async fn delivery(&self, webhook: WebhookId, event: EventId) -> Result<Option<RawDelivery>> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str());
        let mut reply = self.run_script(&scripts::DELIVERY, COMMIT_TIMEOUT, arguments).await?;
        if reply.is_empty() { Ok(None) } else { read_row(&mut reply) }
    }

    pub(crate) async fn webhook_numbers(&self, webhook: WebhookId) -> Result<WebhookNumbers> {
        let arguments = Arguments::default().text(webhook.as_str());
        let mut reply = self.run_script(&scripts::WEBHOOK_NUMBERS, COMMIT_TIMEOUT, arguments).await?;
        let mut numbers = WebhookNumbers {
            waiting: reply.next()?,
            in_flight: reply.next()?,
            dead: reply.next()?,
            dropped: reply.next()?,
            oldest_due_at: reply.next::<Option<u64>>()?.map(Timestamp::from_ms),
            held_until: reply.next::<Option<u64>>()?.map(Timestamp::from_ms),
            ..WebhookNumbers::default()
        };
        while !reply.is_empty() {
            let (hour_and_outcome, count): (String, u64) = (reply.next()?, reply.next()?);
            match hour_and_outcome.split_once(' ') {
                Some((_, "delivered")) => numbers.delivered_last_day += count,
                Some((_, "failed")) => numbers.failed_last_day += count,
                _ => return Err(corrupt(&hour_and_outcome)),
            }
        }
        Ok(numbers)
    }
}

/// Reads a row; `None` if the delivery ended between its list and its content, which old programs do not update together.
fn read_row(reply: &mut Reply) -> Result<Option<RawDelivery>> {
    let kind: String = reply.next()?;
    let (event, sequence) = (read_event_id(reply)?, reply.next()?);
    let values: [Option<Vec<u8>>; 3] = [reply.next()?, reply.next()?, reply.next()?];
    let content = match (kind.as_str(), values) {
        ("waiting", [Some(state), body, last_attempt]) => {
            Some(parse_waiting(&state, body.unwrap_or_default(), last_attempt)?)
        }
        ("delivered", [Some(line), ..]) => {
            Some(RawDeliveryContent::Ended { kind: DeliveryKind::Delivered, summary: summary_of(line) })
        }
        ("dropped", [Some(line), ..]) => {
            Some(RawDeliveryContent::Ended { kind: DeliveryKind::Dropped, summary: summary_of(line) })
        }
        ("dead", [line, Some(letter), _]) => {
            let letter = parse_dead_letter(event.clone(), &letter, None)?;
            Some(RawDeliveryContent::Dead { summary: line.map(summary_of), letter })
        }
        ("waiting" | "delivered" | "dropped" | "dead", _) => None,
        (kind, _) => return Err(corrupt(kind)),
    };
    Ok(content.map(|content| RawDelivery { event, sequence, content }))
}

/// Parses `attempts lease_end_ms created_ms available_ms token`.
fn parse_waiting(state: &[u8], body: Vec<u8>, last_attempt: Option<Vec<u8>>) -> Result<RawDeliveryContent> {
    let text = std::str::from_utf8(state).map_err(|_| corrupt("state"))?;
    let mut parts = text.split(' ');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or_else(|| corrupt(text));
    let (attempts_made, lease_end, created, due) = (number()?, number()?, number()?, number()?);
    let is_leased = parts.next().is_some_and(|token| !token.is_empty());
    Ok(RawDeliveryContent::Waiting {
        attempts_made: u32::try_from(attempts_made).unwrap_or(u32::MAX),
        leased_until: is_leased.then(|| Timestamp::from_ms(lease_end)),
        created_at: Timestamp::from_ms(created),
        due_at: Timestamp::from_ms(due),
        body,
        last_attempt,
    })
}

/// Returns the summary of `ms of the end\nsummary`.
fn summary_of(line: Vec<u8>) -> Vec<u8> {
    line.splitn(2, |byte| *byte == b'\n').nth(1).map(<[u8]>::to_vec).unwrap_or_default()
}

fn corrupt(text: &str) -> StoreError {
    StoreErrorKind::Corrupt.with(format!("a delivery cannot be decoded: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_state_of_a_delivery_decodes() {
        let waiting = |leased_until| RawDeliveryContent::Waiting {
            attempts_made: 2,
            leased_until,
            created_at: Timestamp::from_ms(1_700_000_000_001),
            due_at: Timestamp::from_ms(1_700_000_000_002),
            body: b"{}".to_vec(),
            last_attempt: None,
        };
        let parse = |state: &str| parse_waiting(state.as_bytes(), b"{}".to_vec(), None);
        assert_eq!(parse("2 0 1700000000001 1700000000002 ").unwrap(), waiting(None));
        let leased = waiting(Some(Timestamp::from_ms(1_700_000_000_002)));
        assert_eq!(parse("2 1700000000002 1700000000001 1700000000002 lt_00x").unwrap(), leased);
        assert_eq!(parse("2 0 x").unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(summary_of(b"17\n{\"a\":1}".to_vec()), b"{\"a\":1}");
    }
}
