//! A browser without a script: it keeps a cookie, sends forms, and follows nothing by itself.

use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::fixture::Fixture;

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
        Page { status, body: response.text().await.unwrap(), headers }
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
