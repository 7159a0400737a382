//! README's commands, as they stand there, typed one after the other in a network of their own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use gatepost_test_support::{MockServer, RecordedRequest};
use serde_json::json;

use crate::delivery_faults::namespace;
use crate::printed::Printed;
use crate::process::command_of;
use crate::terminal;
use crate::webhooks;

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
const TEST: &str = "readme::an_api_is_protected_and_a_webhook_is_received_as_the_readme_says";
/// Port of the API in README.
const API_PORT: u16 = 3000;
/// Prints the status of a request without a key.
const STATUS_WITHOUT_KEY: &str = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/";

/// A user at a terminal, who has the program in the `PATH`. What still runs is killed when dropped.
struct User {
    directory: tempfile::TempDir,
    running: Vec<Child>,
}

impl User {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), running: Vec::new() }
    }

    fn shell(&self, block: &str) -> Command {
        let mut shell = command_of(Path::new("/bin/sh"), self.directory.path(), &["-ec", block]);
        let programs = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().unwrap().display();
        shell.env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin")).env_remove("GATEPOST_MASTER_KEY");
        shell.env("HOME", self.directory.path()).stdin(Stdio::null());
        shell
    }

    /// Runs a block in a terminal, and returns what it prints there, with a line break at the end.
    fn type_in(&self, block: &str) -> Arc<Printed> {
        let (terminal, printed) = terminal::open_for_both();
        let mut shell = self.shell(&format!("{block}\necho"));
        shell.stdout(terminal.try_clone().unwrap()).stderr(terminal);
        assert!(shell.status().unwrap().success(), "{block}: {}", printed.text());
        printed
    }

    /// Runs a block that does not end by itself in a terminal of its own.
    fn leave_running(&mut self, block: &str) -> Arc<Printed> {
        let (terminal, printed) = terminal::open_for_both();
        let mut shell = self.shell(&format!("exec {block}"));
        self.running.push(shell.stdout(terminal.try_clone().unwrap()).stderr(terminal).spawn().unwrap());
        printed
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for child in &mut self.running {
            // The process may have exited already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the blocks of shell commands in a text of Markdown.
pub(crate) fn blocks(markdown: &str) -> Vec<&str> {
    markdown.split("\n```sh\n").skip(1).map(|block| block.split_once("\n```").unwrap().0).collect()
}

#[test]
fn an_api_is_protected_and_a_webhook_is_received_as_the_readme_says() {
    if !namespace::enter(TEST, &[]) {
        return;
    }
    let [demo, every_test, up, create, list, listen, trigger] = blocks(README)[..] else {
        panic!("README has a block that this test does not know");
    };
    // `./test --long` runs these two in a fresh Debian.
    assert!(demo.starts_with("./demo ") && every_test == "./test", "{demo}\n{every_test}");

    let (api, mut user) = (MockServer::start_at(API_PORT), User::new());
    user.leave_running(up).wait_for(" key create --name Jane", 1);
    user.type_in(STATUS_WITHOUT_KEY).wait_for("401", 1);
    let created = user.type_in(create).wait_for("try it: curl ", 1);
    user.type_in(created.split_once("try it: ").unwrap().1.trim());
    let request = api.take_requests().pop().unwrap();
    assert_eq!(request.header("x-gatepost-key-id").len(), 1, "{}", request.request_line());
    user.type_in(list).wait_for("\"name\":\"default\"", 1);

    user.leave_running(listen).wait_for("connected to", 1);
    user.type_in(trigger);
    // The key's creation and first use may have been relayed too.
    let is_sample = |request: &RecordedRequest| webhooks::body(request)["test"] == json!(true);
    let sample = api.take_requests().into_iter().find(is_sample).unwrap();
    assert_eq!(sample.request_line(), "POST /hook HTTP/1.1");
    assert_eq!(webhooks::body(&sample)["type"], "api-key.firstUsed");
}
