//! What a person sees who starts `gatepost up` at a terminal, and what a program sees that does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use gatepost_test_support::{MockServer, RedisServer, free_port};
use reqwest::StatusCode;

use crate::admin::{Admin, client, create_access_key};
use crate::printed::Printed;
use crate::process::{Gatepost, command, command_of};
use crate::single_process::read_first_access_key;
use crate::terminal;

/// Colours are for terminals that have them.
const TERM: (&str, &str) = ("TERM", "xterm-256color");

/// `gatepost up` with both outputs in one place, which is killed when dropped.
struct Up {
    child: Child,
    printed: Arc<Printed>,
    gateway: SocketAddr,
    admin: SocketAddr,
}

impl Up {
    fn at_terminal(directory: &Path, upstream: &str, environment: &[(&str, &str)]) -> Self {
        let (terminal, printed) = terminal::open_for_both();
        let outputs = [terminal.try_clone().unwrap(), terminal].map(Stdio::from);
        Self::start(directory, upstream, environment, outputs, printed)
    }

    fn with_pipe(directory: &Path, upstream: &str, environment: &[(&str, &str)]) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let outputs = [Stdio::from(writer.try_clone().unwrap()), Stdio::from(writer)];
        Self::start(directory, upstream, environment, outputs, Printed::collect(reader))
    }

    fn start(
        directory: &Path,
        upstream: &str,
        environment: &[(&str, &str)],
        [stdout, stderr]: [Stdio; 2],
        printed: Arc<Printed>,
    ) -> Self {
        let [gateway, admin, ops] = [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let mut command = command(directory, &["up", "--upstream", upstream]);
        command.args(["--listen", &gateway.to_string(), "--admin-listen", &admin.to_string()]);
        command.args(["--ops-listen", &ops.to_string()]).envs(environment.iter().copied());
        let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        // "started" is logged in both formats.
        printed.wait_for("started", 1);
        Self { child, printed, gateway, admin }
    }

    async fn status(&self, path: &str, key: Option<&str>) -> StatusCode {
        let request = client().get(format!("http://{}{path}", self.gateway));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.unwrap().status()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_text_at_a_terminal_and_json_elsewhere() {
    let upstream = MockServer::start().url();
    let (no_color, text, json) =
        (("NO_COLOR", "1"), ("GATEPOST_LOG__FORMAT", "text"), ("GATEPOST_LOG__FORMAT", "json"));
    for (environment, is_terminal, line) in [
        (vec![TERM], true, "\u{1b}[33m401\u{1b}[0m \u{1b}[1mGET\u{1b}[0m /v1/x \u{1b}[2m"),
        (vec![TERM, no_color], true, "Z 401 GET /v1/x "),
        (vec![], true, "Z 401 GET /v1/x "),
        (vec![TERM, json], true, "\"method\":\"GET\",\"path\":\"/v1/x\",\"route\":\"/\",\"status\":401"),
        (vec![TERM], false, "\"method\":\"GET\",\"path\":\"/v1/x\",\"route\":\"/\",\"status\":401"),
        (vec![TERM, text], false, "Z 401 GET /v1/x "),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let start = if is_terminal { Up::at_terminal } else { Up::with_pipe };
        let up = start(directory.path(), &upstream, &environment);
        assert_eq!(up.status("/v1/x", None).await, StatusCode::UNAUTHORIZED);
        let line = up.printed.wait_for(line, 1);
        let is_json = line.starts_with("{\"timestamp\":\"");
        assert_eq!(is_json, line.ends_with("\"target\":\"gatepost::access\"}"), "{environment:?}: {line}");
        let has_colours = up.printed.text().contains('\u{1b}');
        assert_eq!(has_colours, environment == [TERM] && is_terminal, "{environment:?}: {}", up.printed.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_text_contains_no_key() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start().url());
    let up = Up::at_terminal(directory.path(), &upstream, &[TERM]);
    let admin = Admin::new(up.admin, &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let (key, id) = admin.create_api_key(&project).await;
    assert_eq!(up.status(&format!("/v1/{key}/items"), Some(&key)).await, StatusCode::OK);
    let line = up.printed.wait_for("/v1/live_***/items", 1);
    assert!(line.contains(&id), "{line}");
    admin.send(reqwest::Method::GET, &format!("/api-keys/{key}"), String::new()).await;
    up.printed.wait_for(" /api-keys/{key} ", 1);
    let text = up.printed.text();
    assert!(!text.contains(&key) && !text.contains(&admin.access_key), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_that_up_prints_creates_a_key_that_works() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start().url());
    let up = Up::at_terminal(directory.path(), &upstream, &[]);
    let next = up.printed.wait_for(" key create --name Jane", 1);
    let text = up.printed.text();
    for part in ["  gateway    ", "  admin API  ", "  metrics    ", "  dashboard  "] {
        assert!(text.contains(&format!("{part}http://127.0.0.1:")), "{part}: {text}");
    }
    assert!(!next.contains("GATEPOST_ACCESS_KEY"), "it is found in this directory: {next}");

    let (terminal, printed) = terminal::open_for_both();
    let outputs = [terminal.try_clone().unwrap(), terminal].map(Stdio::from);
    let run = |line: &str, [stdout, stderr]: [Stdio; 2]| {
        let mut shell = command_of(Path::new("/bin/sh"), directory.path(), &["-c", line]);
        shell.env("PATH", "/usr/local/bin:/usr/bin:/bin").stdout(stdout).stderr(stderr).status().unwrap()
    };
    assert!(run(next.trim(), outputs).success(), "{next}");
    let line = printed.wait_for("try it: curl ", 1);
    let (_, curl) = line.split_once("try it: ").unwrap();
    let answered = curl.replace("curl ", "curl --silent --fail --output /dev/null ");
    assert!(run(answered.trim(), [Stdio::null(), Stdio::null()]).success(), "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_once_make_one_project() {
    let (redis, upstream) = (RedisServer::start(), MockServer::start().url());
    let access_key = create_access_key(&redis.url());
    let (arguments, url) = (["up", "--upstream", &upstream], redis.url());
    let start = || Gatepost::start_on_store(&url, &arguments);
    let (one, two, three) = tokio::join!(start(), start(), start());
    let admin = Admin::new(one.admin.unwrap(), &access_key);
    let list = admin.send(reqwest::Method::GET, "/projects", String::new()).await.text().await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    let logs = [one, two, three].map(|process| process.log().join("\n"));
    let made = logs.iter().filter(|log| log.contains("the first project was created")).count();
    assert_eq!(made, 1, "{logs:?}");
    assert!(!logs.concat().contains("creating the first project failed"), "{logs:?}");
}
