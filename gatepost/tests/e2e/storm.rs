//! A storm of minutes: keys are made and used over two gateways while the control plane is killed and
//! Redis goes away, again and again. Nothing valid is refused, nothing is lost, first uses happen once.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use gatepost_test_support::Origin;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::Admin;
use crate::process::Gatepost;
use crate::site::{Site, ask};
use crate::webhooks;

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(90);
/// How long everything may take to be delivered after it: leases of 30 s, and the first waits of the schedule.
const CALM: Duration = Duration::from_secs(120);

/// What the storm made.
#[derive(Default)]
struct Made {
    /// Ids of keys whose creation was acknowledged.
    created: HashSet<String>,
    /// Those that were used with success.
    used: HashSet<String>,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_loses_nothing_and_refuses_nobody() {
    let mut site = Site::start(2).await;
    let receiver = Origin::start();
    let secret = site.admin.webhook(&receiver.url()).await;
    let project = site.admin.project().await;
    let admin = Mutex::new(site.admin.clone());
    let urls = [site.gateways[0].url("/x"), site.gateways[1].url("/x")];
    let made = Mutex::new(Made::default());
    let ends = Instant::now() + STORM;
    tokio::join!(chaos(&mut site, &admin, ends), users(&admin, &urls, &project, &made, ends));
    let made = made.into_inner().unwrap();
    assert_eq!(made.wrong, Vec::<String>::new());
    assert!(made.used.len() > 100, "only {} keys were used", made.used.len());

    let mut received = Vec::new();
    let calm = Instant::now() + CALM;
    while !is_complete(&made, &first_uses(&received), &keys_of(&received, "api-key.created")) {
        assert!(
            Instant::now() < calm,
            "{} of {} keys were told of",
            keys_of(&received, "api-key.created").len(),
            made.created.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        received.extend(receiver.take());
    }
    webhooks::verify(&secret, &received);
    for (key, events) in first_uses(&received) {
        assert_eq!(events.len(), 1, "{key} was first used under several ids");
    }
}

/// Kills the control plane and Redis in turn.
async fn chaos(site: &mut Site, admin: &Mutex<Admin>, ends: Instant) {
    while Instant::now() < ends {
        tokio::time::sleep(Duration::from_secs(6)).await;
        site.control_plane.kill();
        site.control_plane = Gatepost::on_store(&site.redis.url(), &["control-plane"]).await;
        admin.lock().unwrap().address = site.control_plane.admin.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        site.redis.kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        site.redis.resume();
    }
}

/// Makes keys and uses each at once over both gateways.
async fn users(admin: &Mutex<Admin>, urls: &[String; 2], project: &str, made: &Mutex<Made>, ends: Instant) {
    while Instant::now() < ends {
        let admin = admin.lock().unwrap().clone();
        let input = json!({"name": "storm", "projectId": project}).to_string();
        let Ok(answer) = admin.try_send(Method::POST, "/api-keys", input).await else { continue };
        if answer.status() != StatusCode::CREATED {
            continue;
        }
        let Ok(text) = answer.text().await else { continue };
        let key: Value = serde_json::from_str(&text).unwrap();
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        made.lock().unwrap().created.insert(id.clone());
        let mut requests = JoinSet::new();
        for number in 0..10 {
            let (url, value) = (urls[number % 2].clone(), value.clone());
            requests.spawn(async move { ask(&url, &value).await });
        }
        for status in requests.join_all().await {
            let mut made = made.lock().unwrap();
            match status.as_u16() {
                200 => drop(made.used.insert(id.clone())),
                503 => {}
                other => made.wrong.push(format!("{id} was answered {other}")),
            }
        }
    }
}

/// Ids of first uses by key.
fn first_uses(received: &[gatepost_test_support::Recorded]) -> HashMap<String, HashSet<String>> {
    let mut events: HashMap<String, HashSet<String>> = HashMap::new();
    for body in webhooks::of_topic(received, "api-key.firstUsed") {
        let key = body["data"]["id"].as_str().unwrap().to_owned();
        events.entry(key).or_default().insert(body["id"].as_str().unwrap().to_owned());
    }
    events
}

fn keys_of(received: &[gatepost_test_support::Recorded], topic: &str) -> HashSet<String> {
    webhooks::of_topic(received, topic).iter().map(|body| body["data"]["id"].as_str().unwrap().to_owned()).collect()
}

fn is_complete(made: &Made, first_uses: &HashMap<String, HashSet<String>>, created: &HashSet<String>) -> bool {
    made.created.is_subset(created) && made.used.iter().all(|key| first_uses.contains_key(key))
}
