//! Connections that stay open after one response.

use std::io::{Read, Write};

use anyhow::{Context, ensure};

use super::connection;
use super::requests::Requests;
use super::transport::{Target, Transport};

/// Opens connections one after the other, each of which gets a response with the status 200. Returns what `measure`
/// returns while all of them are idle.
pub(crate) fn with_idle_connections<T>(
    target: &Target,
    requests: &mut Requests,
    count: usize,
    measure: impl FnOnce() -> T,
) -> anyhow::Result<T> {
    let mut connections = Vec::with_capacity(count);
    for number in 1..=count {
        connections.push(open(target, requests).with_context(|| format!("connection {number} of {count}"))?);
    }
    Ok(measure())
}

fn open(target: &Target, requests: &mut Requests) -> anyhow::Result<Transport> {
    let mut connection = Transport::open(target)?;
    let (mut request, mut response, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    requests.write_next(&mut request);
    connection.write_all(&request)?;
    loop {
        let length = connection.read(&mut buffer)?;
        ensure!(length > 0, "the server closed the connection");
        response.extend_from_slice(&buffer[..length]);
        if let Some(parsed) = connection::parse(&response)?
            && parsed.remaining == 0
        {
            ensure!(parsed.status == 200, "the server responded {}", parsed.status);
            return Ok(connection);
        }
    }
}
