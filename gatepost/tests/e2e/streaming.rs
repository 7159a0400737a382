//! Bodies that are long or come slowly, with curl as the client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use gatepost_test_support::{AfterReply, MockServer, Reply, ReverseProxy};
use tempfile::TempDir;

use crate::admin::Admin;
use crate::fair_share::report;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Length of a long body.
const LONG_BODY: u64 = if cfg!(feature = "long") { 5 << 30 } else { 256 << 20 };
/// Memory that it may take.
const MAX_GROWTH_KIB: u64 = 64 * 1024;
/// Limit for one event.
const DEADLINE: Duration = Duration::from_secs(20);
/// Time within which an upstream must send something.
const UPSTREAM_TIMEOUT_MS: u64 = 1000;
/// How often that time passes while events come.
const TIMEOUTS: usize = 3;

/// A gateway in front of an upstream, with a key.
struct Fixture {
    gatepost: Gatepost,
    key: String,
    _directory: TempDir,
}

impl Fixture {
    async fn start(upstream: SocketAddr, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let toml = format!("[gateway]\n{settings}\n[gateway.upstream.app]\nservers = [\"{upstream}\"]\n");
        std::fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
        let gatepost = Gatepost::start(directory.path(), &["up"]).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let (key, _) = admin.create_api_key(&admin.create_project().await).await;
        Self { gatepost, key, _directory: directory }
    }

    /// Returns a curl that prints the body of the response.
    fn curl(&self, key: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--header", &format!("x-api-key: {key}")]);
        command.args(arguments).arg(self.gatepost.url("/v1"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that reads the body of each request, keeps none of it, and responds with one as long.
fn start_mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(mirror(stream))));
    address
}

fn mirror(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().unwrap_or_default();
        }
        line.clear();
    }
    let read = std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let mut writer = &stream;
    write!(writer, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {read}\r\n\r\n")?;
    std::io::copy(&mut std::io::repeat(b'x').take(read), &mut writer)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_takes_no_memory_in_either_direction() {
    let fixture = Fixture::start(start_mirror(), &format!("max_body_bytes = {LONG_BODY}")).await;
    // As memory is once both directions were used.
    for length in [1 << 20, LONG_BODY] {
        let before = fixture.gatepost.resident_kib();
        let body = tempfile::NamedTempFile::new().unwrap();
        // Without a block on the disk.
        body.as_file().set_len(length).unwrap();
        let path = body.path().display().to_string();
        let write_out = "%{http_code} %{size_upload} %{size_download}";
        let arguments = ["--upload-file", &path, "--output", "/dev/null", "--write-out", write_out];
        let loading = fixture.curl(&fixture.key, &arguments).spawn().unwrap();
        let (highest, output) = watch_memory(&fixture.gatepost, loading);
        assert_eq!(output, format!("200 {length} {length}"));
        report(&format!("{length} bytes each way: from {before} to {highest} KiB"));
        assert!(length < LONG_BODY || highest.saturating_sub(before) < MAX_GROWTH_KIB, "{before} to {highest} KiB");
    }
}

/// Returns the highest memory until a client ends, and what it prints.
fn watch_memory(gatepost: &Gatepost, mut client: Child) -> (u64, String) {
    let mut highest = 0;
    while client.try_wait().unwrap().is_none() {
        highest = highest.max(gatepost.resident_kib());
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = client.wait_with_output().unwrap();
    (highest, String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_as_they_are_sent_for_longer_than_any_timeout() {
    let (push, pushed) = mpsc::sync_channel::<usize>(1);
    let pushed = Mutex::new(pushed);
    let send = move |mut stream: TcpStream| {
        while let Ok(number) = pushed.lock().unwrap().recv() {
            write!(stream, "data: {number}\n\n").unwrap();
        }
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let mut stream = Some(Reply::raw(head, AfterReply::HandOver(Arc::new(send))));
    // No other request gets a response, so that each takes the upstream's timeout.
    let never = || Reply::raw("", AfterReply::HandOver(Arc::new(|mut it| drop(it.read_to_end(&mut Vec::new())))));
    let upstream = MockServer::with_script(move |_| stream.take().unwrap_or_else(never));
    let fixture = Fixture::start(upstream.address(), &format!("upstream_timeout_ms = {UPSTREAM_TIMEOUT_MS}")).await;
    let mut curl = fixture.curl(&fixture.key, &["--no-buffer"]).spawn().unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut next_line = || lines.next().expect("the stream goes on").unwrap();
    push.send(0).unwrap();
    assert_eq!((next_line(), next_line()), ("data: 0".to_owned(), String::new()));
    let mut number = 1;
    for _ in 0..TIMEOUTS {
        let silent = fixture.curl(&fixture.key, &["--output", "/dev/null", "--write-out", "%{http_code}"]);
        let waiting = std::thread::spawn(move || assert_eq!(printed(silent), "504"));
        while !waiting.is_finished() {
            push.send(number).unwrap();
            assert_eq!((next_line(), next_line()), (format!("data: {number}"), String::new()));
            number += 1;
            std::thread::sleep(Duration::from_millis(UPSTREAM_TIMEOUT_MS / 10));
        }
        waiting.join().unwrap();
    }
    drop(push);
    assert_eq!(curl.wait().unwrap().code(), Some(0), "the end of the stream is its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_sends_its_body_only_if_its_key_is_valid() {
    let server = MockServer::start();
    // It sends 100 (Continue).
    let nginx = ReverseProxy::nginx(server.address(), "");
    let fixture = Fixture::start(nginx.address(), "").await;
    let body = "x".repeat(100_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    let data = format!("@{}", file.path().display());
    let deadline = DEADLINE.as_secs().to_string();
    let send = |key: &str| {
        let write_out = "%{http_code} %{size_upload}";
        let expect = ["--header", "expect: 100-continue", "--expect100-timeout", &deadline, "--data-binary", &data];
        printed(fixture.curl(key, &[&expect[..], &["-o", "/dev/null", "--write-out", write_out]].concat()))
    };
    assert_eq!(send("wrong"), "401 0");
    assert_eq!(server.take_requests(), []);
    assert_eq!(send(&fixture.key), format!("200 {}", body.len()));
    let seen = server.take_requests();
    assert_eq!((seen.len(), seen[0].body.len()), (1, body.len()));
    drop(nginx);
}
