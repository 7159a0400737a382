//! One connection of the load generator: writes a request, reads its answer to the end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::epoll;

use super::requests::Requests;

/// Header fields of an answer.
const MAX_FIELDS: usize = 100;
/// Bytes of an answer's header.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Waits,
    /// The answer has ended.
    Answered { status: u16, from: Duration, closes: bool },
    /// The other side closed.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// From when the latency of its request counts; absent while it is idle.
    from: Option<Duration>,
    head: Vec<u8>,
    head_sent: usize,
    body_sent: usize,
    /// The answer's header, as far as it came in pieces.
    begun: Vec<u8>,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    closes: bool,
    left: usize,
}

impl Connection {
    pub(super) fn open(target: SocketAddr, epoll: &OwnedFd, number: usize) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(number as u64), flags)?;
        let (head, begun) = (Vec::with_capacity(1024), Vec::new());
        Ok(Self { stream, from: None, head, head_sent: 0, body_sent: 0, begun, answer: None })
    }

    /// Begins a request.
    pub(super) fn send(&mut self, requests: &mut Requests, from: Duration) -> anyhow::Result<()> {
        self.from = Some(from);
        self.head.clear();
        requests.write_next(&mut self.head);
        (self.head_sent, self.body_sent) = (0, 0);
        self.begun.clear();
        self.answer = None;
        self.write(requests)
    }

    /// Does what can be done without waiting.
    pub(super) fn go_on(&mut self, requests: &Requests, buffer: &mut [u8]) -> anyhow::Result<Progress> {
        if self.from.is_some() {
            self.write(requests)?;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Progress::Closed),
                Ok(length) => {
                    if let Some(answered) = self.take(&buffer[..length])? {
                        return Ok(answered);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(Progress::Closed),
            }
        }
    }

    fn write(&mut self, requests: &Requests) -> anyhow::Result<()> {
        loop {
            let rest = if self.head_sent < self.head.len() {
                &self.head[self.head_sent..]
            } else {
                &requests.body()[self.body_sent..]
            };
            if rest.is_empty() {
                return Ok(());
            }
            match self.stream.write(rest) {
                Ok(written) if self.head_sent < self.head.len() => self.head_sent += written,
                Ok(written) => self.body_sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is closed: reading tells.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Option<Progress>> {
        let Some(from) = self.from else { bail!("an answer without a request") };
        let mut answer = match self.answer {
            Some(answer) => Answer { left: answer.left.saturating_sub(bytes.len()), ..answer },
            None if self.begun.is_empty() => match parse(bytes)? {
                Some(answer) => answer,
                None => {
                    self.begun.extend_from_slice(bytes);
                    return Ok(None);
                }
            },
            None => {
                self.begun.extend_from_slice(bytes);
                let Some(answer) = parse(&self.begun)? else { return Ok(None) };
                answer
            }
        };
        if answer.left > 0 {
            self.answer = Some(answer);
            return Ok(None);
        }
        self.from = None;
        answer.left = 0;
        Ok(Some(Progress::Answered { status: answer.status, from, closes: answer.closes }))
    }
}

/// Reads a header, and how much of the body is still to come.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = response.parse(bytes)? else {
        anyhow::ensure!(bytes.len() < MAX_HEAD_BYTES, "an answer's header does not end");
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
    let Some(length) = length else { bail!("an answer {status} without a length") };
    Ok(Some(Answer { status, closes, left: (end + length).saturating_sub(bytes.len()) }))
}
