//! Whole programs: the cost of a request from its first byte to its access log line.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_test_support::{MockServer, free_port};
use tokio::time::Instant;

use super::baseline::Counts;
use super::callgrind::CallgrindRun;
use crate::gatepost::{MASTER_KEY, built_program_in};
use crate::process;
use crate::store_fixture::StoreFixture;

/// Two numbers of requests, whose difference excludes the costs of start, stop and background tasks. The run with fewer
/// requests waits until it has lasted as long as the other.
const FEW_REQUESTS: usize = 500;
const MANY_REQUESTS: usize = 4_500;
/// Timeout until a program under callgrind accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout for one response under callgrind.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

const GATEPOST: &str = "whole gateway";
const PINGORA: &str = "whole plain Pingora";
/// Names under which both programs are counted.
pub(super) const NAMES: [&str; 2] = [GATEPOST, PINGORA];

/// Counts the instructions of both programs per request.
pub(super) async fn count(programs: &Path, directory: &Path) -> anyhow::Result<Counts> {
    let store_fixture = StoreFixture::start().await?;
    let key = store_fixture.create_keys(1).await?.pop().context("no key was created")?;
    // Else the run that comes first would claim it, and the other would not.
    store_fixture.claim_first_use(&key).await?;
    let request = format!(
        "GET /v1/items/42?x=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
         Accept-Encoding: gzip\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    let (upstream_server, redis) = (MockServer::start(), store_fixture.redis.url());
    let upstream = upstream_server.address().to_string();
    let gatepost = |listen: SocketAddr, callgrind: &mut CallgrindRun| {
        callgrind.command.args(["gateway", "--store", &redis, "--upstream", &format!("http://{upstream}")]);
        callgrind.command.args(["--listen", &listen.to_string(), "--ops-listen", "127.0.0.1:0"]);
        callgrind.command.env("GATEPOST_MASTER_KEY", MASTER_KEY);
    };
    let pingora = |listen: SocketAddr, callgrind: &mut CallgrindRun| {
        callgrind.command.args(["--listen", &listen.to_string(), "--upstream", &upstream, "--threads", "1"]);
    };
    Ok(Counts::from([
        (
            GATEPOST.to_owned(),
            instructions_per_request(&built_program_in(programs, "gatepost")?, directory, &request, gatepost)?,
        ),
        (
            PINGORA.to_owned(),
            instructions_per_request(&built_program_in(programs, "plain-pingora")?, directory, &request, pingora)?,
        ),
    ]))
}

/// Returns the ratio of Gatepost's instructions to those of plain Pingora, if both were counted.
pub(super) fn ratio(counts: &Counts) -> Option<f64> {
    Some(*counts.get(GATEPOST)? as f64 / *counts.get(PINGORA)? as f64)
}

fn instructions_per_request(
    program: &Path,
    directory: &Path,
    request: &str,
    configure: impl Fn(SocketAddr, &mut CallgrindRun),
) -> anyhow::Result<u64> {
    let run = |requests: usize, min_duration: Duration| {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut callgrind = CallgrindRun::new(program, directory, "whole");
        // With one worker, the count does not depend on scheduling.
        callgrind.command.env("TOKIO_WORKER_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::null());
        configure(listen, &mut callgrind);
        let mut child = callgrind.command.spawn().context("cannot run valgrind")?;
        let sent = send_requests(listen, request, requests, min_duration);
        process::signal(child.id(), "-TERM")?;
        child.wait()?;
        let elapsed = sent.with_context(|| format!("{} under callgrind", program.display()))?;
        Ok::<(u64, Duration), anyhow::Error>((callgrind.instructions()?, elapsed))
    };
    let (many, elapsed) = run(MANY_REQUESTS, Duration::ZERO)?;
    let (few, _) = run(FEW_REQUESTS, elapsed)?;
    Ok(many.saturating_sub(few) / (MANY_REQUESTS - FEW_REQUESTS) as u64)
}

/// Sends sequential requests on one connection, and returns their duration. Waits until `min_duration` has passed.
fn send_requests(
    target: SocketAddr,
    request: &str,
    requests: usize,
    min_duration: Duration,
) -> anyhow::Result<Duration> {
    let mut stream = connect(target)?;
    let started_at = Instant::now();
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..requests {
        stream.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\norigin") {
            match stream.read(&mut buffer)? {
                0 => bail!("the connection was closed after {}", String::from_utf8_lossy(&response)),
                length => response.extend_from_slice(&buffer[..length]),
            }
        }
    }
    let elapsed = started_at.elapsed();
    std::thread::sleep(min_duration.saturating_sub(elapsed));
    Ok(elapsed)
}

fn connect(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match TcpStream::connect(target) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
