//! No secret is in clear where it does not belong.

use std::path::Path;

use gatepost_test_support::Origin;

use crate::site::{DEADLINE, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_files_nor_logs_nor_metrics_hold_a_secret() {
    let site = Site::start(2).await;
    let receiver = Origin::start();
    let webhook_secret = site.admin.webhook(&receiver.url()).await;
    let project = site.admin.project().await;
    let (used, _) = site.admin.api_key(&project).await;
    let (revoked, _) = site.admin.api_key(&project).await;
    for key in [&used, &revoked] {
        assert_eq!(site.ask(0, key).await, 200);
        assert_eq!(site.ask(1, key).await, 200);
        let path = format!("/api-keys/auth/{key}");
        assert_eq!(site.admin.send(reqwest::Method::POST, &path, String::new()).await.status(), 200);
    }
    site.admin.delete_key(&revoked).await;
    assert_eq!(receiver.await_count(5, DEADLINE), 5);
    // A snapshot beside the append-only file.
    assert_eq!(site.redis.ask(&["save"]), "OK");

    let secrets = [&used, &revoked, &site.admin.access_key, webhook_secret.trim_start_matches("whsec_")];
    let mut places = files(site.redis.directory());
    for process in site.gateways.iter().chain([&site.control_plane]) {
        places.push(("a log".to_owned(), process.log().join("\n").into_bytes()));
        places.push(("metrics".to_owned(), process.metrics().await.into_bytes()));
    }
    check(&places, &secrets.map(|secret| secret as &str));
}

/// Looks for secrets in places, each a name and what is there.
pub(crate) fn check(places: &[(String, Vec<u8>)], secrets: &[&str]) {
    assert!(places.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000, "there is nothing to look at");
    for (place, bytes) in places {
        for secret in secrets {
            // The last part of a secret is not in its mask; a shorter piece would be found by chance.
            let piece = &secret.as_bytes()[secret.len() / 2..];
            let is_there = bytes.windows(piece.len()).any(|window| window == piece);
            assert!(!is_there, "{place} holds a secret");
        }
    }
}

/// All files below a directory with what is in them.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files
}
