//! A browser without a script: it keeps a cookie, sends forms, and follows nothing by itself.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::fixture::Fixture;

/// How long a stream may take to send something here, on a loaded machine.
const STREAM_DEADLINE: Duration = Duration::from_secs(30);
const HTML: &str = "text/html";
const BOUNDARY: &str = "----boundary-of-a-form";

pub(crate) struct Browser<'a> {
    fixture: &'a Fixture,
    client: Client,
    /// The cookie header, empty without a session.
    pub(crate) cookie: String,
}

/// A response.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: HeaderMap,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveEvent {
    /// Empty for one that is a message.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

/// A stream of events that a page follows.
pub(crate) struct LiveEvents {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
    unread: String,
}

impl LiveEvents {
    fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = Box::pin(response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())));
        Self { status, headers, body, unread: String::new() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the next event; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<LiveEvent> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let lines = |name: &str| {
                    let values = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    values.collect::<Vec<_>>().join("\n")
                };
                let event = LiveEvent { name: lines("event"), id: lines("id"), data: lines("data") };
                self.unread = rest.to_owned();
                if !(event.id.is_empty() && event.data.is_empty()) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(STREAM_DEADLINE, self.body.next()).await.expect("nothing was sent")?;
            self.unread.push_str(std::str::from_utf8(&chunk.ok()?).unwrap());
        }
    }

    /// Returns the next event that contains a text.
    pub(crate) async fn next_with(&mut self, text: &str) -> LiveEvent {
        let reading = async {
            while let Some(event) = self.next().await {
                if event.data.contains(text) {
                    return event;
                }
            }
            panic!("the stream ended without {text}")
        };
        tokio::time::timeout(STREAM_DEADLINE, reading).await.unwrap_or_else(|_| panic!("{text} was not sent"))
    }

    pub(crate) async fn read_to_end(&mut self) -> Vec<LiveEvent> {
        let mut events = Vec::new();
        let reading = async {
            while let Some(event) = self.next().await {
                events.push(event);
            }
        };
        tokio::time::timeout(STREAM_DEADLINE, reading).await.expect("the stream goes on");
        events
    }
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(fixture: &'a Fixture) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { fixture, client, cookie: String::new() }
    }

    pub(crate) async fn sign_in(&mut self, access_key: &str) {
        let page = self.post("/dashboard/sign-in", &[("key", access_key)]).await;
        assert_eq!(page.status, 303, "{}", page.body);
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.get_accepting(path, HTML).await
    }

    pub(crate) async fn get_accepting(&mut self, path: &str, accept: &str) -> Page {
        let request = self.client.get(self.fixture.url(path)).header(ACCEPT, accept).header(COOKIE, &self.cookie);
        let response = request.send().await.unwrap();
        self.receive(response).await
    }

    /// Opens a stream as htmx does, after the event that was received last.
    pub(crate) async fn stream(&self, path: &str, last: Option<&str>) -> LiveEvents {
        let request = self.client.get(self.fixture.url(path)).header(COOKIE, &self.cookie);
        let request = request.header(ACCEPT, "text/html, text/event-stream");
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        LiveEvents::of(request.send().await.unwrap())
    }

    /// Sends a form as a page of the same site does.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(self.fixture.url(path)).header(COOKIE, &self.cookie).body(body);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = request.header(ORIGIN, self.fixture.url("")).send().await.unwrap();
        self.receive(response).await
    }

    /// Sends a form with a file as browsers do (RFC 7578).
    pub(crate) async fn upload(&mut self, path: &str, fields: &[(&str, &str)], file_name: &str, file: &[u8]) -> Page {
        let part = |head: &str| format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {head}\r\n\r\n");
        let mut body = Vec::with_capacity(file.len() + 1024);
        for (name, value) in fields {
            body.extend_from_slice(format!("{}{value}\r\n", part(&format!("name=\"{name}\""))).as_bytes());
        }
        body.extend_from_slice(part(&format!("name=\"file\"; filename=\"{file_name}\"")).as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let request = self.client.post(self.fixture.url(path)).header(COOKIE, &self.cookie).body(body);
        let request = request.header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        let response = request.header(ORIGIN, self.fixture.url("")).send().await.unwrap();
        self.receive(response).await
    }

    async fn receive(&mut self, response: Response) -> Page {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(cookie) = headers.get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        let is_stream = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = match is_stream {
            // It has no end.
            true => LiveEvents::of(response).next().await.map(|event| event.data).unwrap_or_default(),
            false => response.text().await.unwrap(),
        };
        Page { status, body, headers }
    }
}

/// Returns the value of a hidden field of a page.
pub(crate) fn hidden_field(page: &str, name: &str) -> String {
    let field = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{name} in {page}"));
    field.split('"').next().unwrap_or_default().to_owned()
}

/// Returns the address of the first link with an attribute after a text.
pub(crate) fn link_after(page: &str, start: &str, attribute: &str) -> Option<String> {
    let links = page.split(start).nth(1)?.split("<a ").skip(1).map(|link| link.split('>').next().unwrap_or_default());
    let link = links.into_iter().find(|link| link.contains(attribute))?;
    let path = link.split("href=\"").nth(1)?.split('"').next()?;
    Some(path.replace("&amp;", "&"))
}

/// Returns the value that a page shows once.
pub(crate) fn shown_value(page: &Page) -> String {
    let output = page.body.split("<output").nth(1).unwrap_or_else(|| panic!("{}", page.body));
    output.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}
