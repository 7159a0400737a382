//! Whole programs: what a request costs from its first byte to its line in the access log.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_test_support::{Origin, free_port};
use tokio::time::Instant;

use super::baseline::Counts;
use super::callgrind::Counted;
use crate::gatepost::{MASTER_KEY, built_in};
use crate::process;
use crate::site::Site;

/// Requests of one run and of another, which then waits for as long as the first took: the difference is free of what a
/// start, a stop and the tasks in the background cost.
const FEW: usize = 500;
const MANY: usize = 4_500;
/// How long a program under callgrind may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long one answer may take there.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

const GATEPOST: &str = "whole gateway";
const PINGORA: &str = "whole plain Pingora";
/// Under which both are counted.
pub(super) const NAMES: [&str; 2] = [GATEPOST, PINGORA];

/// Counts both.
pub(super) async fn count(programs: &Path, directory: &Path) -> anyhow::Result<Counts> {
    let site = Site::start().await?;
    let key = site.keys(1).await?.pop().context("no key was made")?;
    let request = format!(
        "GET /v1/items/42?x=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
         Accept-Encoding: gzip\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    let (origin, redis) = (Origin::start(), site.redis.url());
    let upstream = origin.address().to_string();
    let gatepost = |listen: SocketAddr, counted: &mut Counted| {
        counted.command.args(["gateway", "--store", &redis, "--upstream", &format!("http://{upstream}")]);
        counted.command.args(["--listen", &listen.to_string(), "--ops-listen", "127.0.0.1:0"]);
        counted.command.env("GATEPOST_MASTER_KEY", MASTER_KEY);
    };
    let pingora = |listen: SocketAddr, counted: &mut Counted| {
        counted.command.args(["--listen", &listen.to_string(), "--upstream", &upstream, "--threads", "1"]);
    };
    Ok(Counts::from([
        (GATEPOST.to_owned(), a_request(&built_in(programs, "gatepost")?, directory, &request, gatepost)?),
        (PINGORA.to_owned(), a_request(&built_in(programs, "plain-pingora")?, directory, &request, pingora)?),
    ]))
}

/// How much more the gateway does than a plain Pingora, if both were counted.
pub(super) fn ratio(counts: &Counts) -> Option<f64> {
    Some(*counts.get(GATEPOST)? as f64 / *counts.get(PINGORA)? as f64)
}

fn a_request(
    program: &Path,
    directory: &Path,
    request: &str,
    arrange: impl Fn(SocketAddr, &mut Counted),
) -> anyhow::Result<u64> {
    let run = |requests: usize, at_least: Duration| {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut counted = Counted::new(program, directory, "whole");
        // So that nothing depends on which worker takes what.
        counted.command.env("TOKIO_WORKER_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::null());
        arrange(listen, &mut counted);
        let mut child = counted.command.spawn().context("cannot run valgrind")?;
        let asked = ask(listen, request, requests, at_least);
        process::signal(child.id(), "-TERM")?;
        child.wait()?;
        let took = asked.with_context(|| format!("{} under callgrind", program.display()))?;
        Ok::<(u64, Duration), anyhow::Error>((counted.instructions()?, took))
    };
    let (many, took) = run(MANY, Duration::ZERO)?;
    let (few, _) = run(FEW, took)?;
    Ok(many.saturating_sub(few) / (MANY - FEW) as u64)
}

/// Sends requests one after the other on one connection. Answers how long that took; waits if it was shorter.
fn ask(target: SocketAddr, request: &str, requests: usize, at_least: Duration) -> anyhow::Result<Duration> {
    let mut stream = connect(target)?;
    let started = Instant::now();
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..requests {
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\norigin") {
            match stream.read(&mut buffer)? {
                0 => bail!("it closed after {}", String::from_utf8_lossy(&answer)),
                length => answer.extend_from_slice(&buffer[..length]),
            }
        }
    }
    let took = started.elapsed();
    std::thread::sleep(at_least.saturating_sub(took));
    Ok(took)
}

fn connect(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let ends = Instant::now() + START_DEADLINE;
    loop {
        match TcpStream::connect(target) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > ends => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
