//! Connection of the load generator, which sends requests and reads their responses.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::bail;
use rustix::event::epoll;

use super::requests::Requests;
use super::transport::{Target, Transport};

/// Maximum number of header fields in a response.
const MAX_FIELDS: usize = 100;
/// Maximum size of a response header in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeState {
    /// The response is not complete.
    Pending,
    Complete {
        status: u16,
        latency_from: Duration,
        closes: bool,
    },
    /// The server has closed the connection.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Transport,
    /// Time from which the latency of the request counts. None while the connection is idle.
    latency_from: Option<Duration>,
    head: Vec<u8>,
    head_sent: usize,
    body_sent: usize,
    /// Received part of the response header.
    partial_head: Vec<u8>,
    response: Option<PartialResponse>,
    /// Status of a response that was complete before the request was sent.
    early_status: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PartialResponse {
    pub(super) status: u16,
    closes: bool,
    /// Number of bytes that are still to come.
    pub(super) remaining: usize,
}

impl Connection {
    pub(super) fn open(target: &Target, epoll: &OwnedFd, number: usize) -> anyhow::Result<Self> {
        let stream = Transport::open(target)?;
        stream.set_nonblocking()?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(number as u64), flags)?;
        let (head, partial_head) = (Vec::with_capacity(1024), Vec::new());
        let (response, early_status) = (None, None);
        Ok(Self { stream, latency_from: None, head, head_sent: 0, body_sent: 0, partial_head, response, early_status })
    }

    pub(super) fn send(&mut self, requests: &mut Requests, latency_from: Duration) -> anyhow::Result<()> {
        self.latency_from = Some(latency_from);
        self.head.clear();
        requests.write_next(&mut self.head);
        (self.head_sent, self.body_sent) = (0, 0);
        self.partial_head.clear();
        (self.response, self.early_status) = (None, None);
        self.write(requests)
    }

    /// Sends and receives as much as possible without blocking. A response completes the exchange only when the request
    /// is sent, because the next request would otherwise be part of its body.
    pub(super) fn drive(&mut self, requests: &Requests, buffer: &mut [u8]) -> anyhow::Result<ExchangeState> {
        if self.latency_from.is_some() {
            self.write(requests)?;
        }
        loop {
            if let Some(status) = self.early_status
                && self.is_sent(requests)
            {
                return Ok(self.complete(status, false));
            }
            match self.stream.read(buffer) {
                Ok(0) => return Ok(self.closed()),
                Ok(length) => match self.read_response(&buffer[..length])? {
                    Some(response) if response.closes || self.is_sent(requests) => {
                        return Ok(self.complete(response.status, response.closes));
                    }
                    Some(response) => self.early_status = Some(response.status),
                    None => {}
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ExchangeState::Pending),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(self.closed()),
            }
        }
    }

    fn is_sent(&self, requests: &Requests) -> bool {
        self.head_sent == self.head.len() && self.body_sent == requests.body().len()
    }

    fn complete(&mut self, status: u16, closes: bool) -> ExchangeState {
        self.early_status = None;
        let latency_from = self.latency_from.take().unwrap_or_default();
        ExchangeState::Complete { status, latency_from, closes }
    }

    /// Ends the exchange. A server that has responded may close the connection instead of reading the rest.
    fn closed(&mut self) -> ExchangeState {
        self.early_status.map_or(ExchangeState::Closed, |status| self.complete(status, true))
    }

    fn write(&mut self, requests: &Requests) -> anyhow::Result<()> {
        loop {
            let unsent = if self.head_sent < self.head.len() {
                &self.head[self.head_sent..]
            } else {
                &requests.body()[self.body_sent..]
            };
            if unsent.is_empty() {
                return Ok(());
            }
            match self.stream.write(unsent) {
                Ok(written) if self.head_sent < self.head.len() => self.head_sent += written,
                Ok(written) => self.body_sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The connection is closed, which the next read detects.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the response when it is complete.
    fn read_response(&mut self, bytes: &[u8]) -> anyhow::Result<Option<PartialResponse>> {
        anyhow::ensure!(self.latency_from.is_some() && self.early_status.is_none(), "a response without a request");
        let response = match self.response {
            Some(response) => PartialResponse { remaining: response.remaining.saturating_sub(bytes.len()), ..response },
            None if self.partial_head.is_empty() => match parse(bytes)? {
                Some(response) => response,
                None => {
                    self.partial_head.extend_from_slice(bytes);
                    return Ok(None);
                }
            },
            None => {
                self.partial_head.extend_from_slice(bytes);
                let Some(response) = parse(&self.partial_head)? else { return Ok(None) };
                response
            }
        };
        self.response = Some(response);
        Ok((response.remaining == 0).then_some(response))
    }
}

/// Parses a response header, and computes the remaining length of the body.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Option<PartialResponse>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = response.parse(bytes)? else {
        anyhow::ensure!(bytes.len() < MAX_HEAD_BYTES, "a response header is too long");
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let (mut length, mut closes) = (None, false);
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(field.value).ok().and_then(|text| text.parse::<usize>().ok());
        } else if field.name.eq_ignore_ascii_case("connection") {
            closes = field.value.eq_ignore_ascii_case(b"close");
        }
    }
    let Some(length) = length else { bail!("a response {status} without Content-Length") };
    Ok(Some(PartialResponse { status, closes, remaining: (end + length).saturating_sub(bytes.len()) }))
}
