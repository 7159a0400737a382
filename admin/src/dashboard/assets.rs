//! Style sheet, scripts and mark, which the program contains. Their paths have a digest of the content, so browsers may
//! keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

use super::root::ROOT;

/// Bytes of the digest in a path.
const DIGEST_BYTES: usize = 8;
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file that pages refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asset {
    AppCss,
    AppJs,
    Htmx,
    HtmxSse,
    Mark,
}

struct Content {
    asset: Asset,
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const CONTENTS: [Content; 5] = [
    Content {
        asset: Asset::AppCss,
        name: "app.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/app.css"),
    },
    Content { asset: Asset::AppJs, name: "app.js", content_type: SCRIPT, bytes: include_bytes!("../../assets/app.js") },
    Content {
        asset: Asset::Htmx,
        name: "htmx.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/htmx.min.js"),
    },
    Content {
        asset: Asset::HtmxSse,
        name: "hx-sse.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/hx-sse.min.js"),
    },
    Content {
        asset: Asset::Mark,
        name: "mark.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../../assets/mark.svg"),
    },
];

/// Paths of the assets below the dashboard, each with its content.
static PATHS: LazyLock<Vec<(String, &'static Content)>> = LazyLock::new(|| {
    let path = |content: &Content| {
        let digest = Sha256::digest(content.bytes);
        let hex: String = digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}/{}", content.name)
    };
    CONTENTS.iter().map(|content| (path(content), content)).collect()
});

impl Asset {
    /// Returns the path of the asset.
    pub(crate) fn path(self) -> String {
        let found = PATHS.iter().find(|(_, content)| content.asset == self);
        found.map(|(path, _)| format!("{ROOT}/assets/{path}")).unwrap_or_default()
    }
}

pub(crate) async fn serve(Path((digest, name)): Path<(String, String)>) -> Response {
    let requested = format!("{digest}/{name}");
    match PATHS.iter().find(|(path, _)| *path == requested) {
        Some((_, content)) => {
            let headers = [(CONTENT_TYPE, content.content_type), (CACHE_CONTROL, IMMUTABLE)];
            (headers, content.bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendored_files_are_those_that_the_list_names() {
        let list = include_str!("../../assets/README.md");
        for asset in [Asset::Htmx, Asset::HtmxSse] {
            let content = CONTENTS.iter().find(|content| content.asset == asset).unwrap();
            let hex: String = Sha256::digest(content.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let line = list.lines().find(|line| line.contains(&format!("`{}`", content.name))).unwrap();
            assert!(line.contains(&hex), "{}", content.name);
        }
    }
}
