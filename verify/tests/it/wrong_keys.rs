//! Wrong keys: how many a client may send, and that they are not looked up repeatedly.

use gatepost_domain::denial::Denial;
use gatepost_domain::key::Env;
use gatepost_domain::permit::RequestFacts;
use gatepost_test_support::records;
use gatepost_verify::{Source, Verdict, VerifyOptions};

use crate::fixture::{Fixture, options, requirement};

/// Starts a fixture with this limit per client and minute.
async fn start_with_limit(max_wrong_keys_a_minute: u32) -> Fixture {
    Fixture::start(VerifyOptions { max_wrong_keys_a_minute, ..options() }).await
}

/// Returns the verdict for a value sent by a client.
async fn check_from(fixture: &Fixture, client: &str, value: &str) -> Verdict {
    let request = RequestFacts { client: client.parse().ok(), ..RequestFacts::default() };
    fixture.verifier().check(value, &requirement(Env::Live), &request).await
}

/// Returns the denial and its source.
async fn refusal(fixture: &Fixture, client: &str, value: &str) -> (Denial, Source) {
    let verdict = check_from(fixture, client, value).await;
    let Verdict::Denied { denial, source, .. } = verdict else { panic!("{verdict:?}") };
    (denial, source)
}

fn unknown_value() -> String {
    records::secret().expose().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_with_too_many_wrong_keys_is_not_looked_up_and_cached_keys_pass() {
    let fixture = start_with_limit(3).await;
    let ((_, cached), (_, new)) = (fixture.key().await, fixture.key().await);
    let client = "2001:db8::1";
    assert!(matches!(check_from(&fixture, client, &cached).await, Verdict::Permitted(_)));
    let unknown = unknown_value();
    assert_eq!(refusal(&fixture, client, &unknown).await, (Denial::Unknown, Source::Store));
    assert_eq!(refusal(&fixture, client, &unknown).await, (Denial::Unknown, Source::Negative));
    assert_eq!(refusal(&fixture, client, "no key").await.0, Denial::Malformed);
    // One every twenty seconds, and the client is its network.
    for (value, source) in [
        (unknown_value(), Source::Text),
        (unknown, Source::Negative),
        ("no key".to_owned(), Source::Text),
        (new.clone(), Source::Text),
    ] {
        let (denial, from) = refusal(&fixture, "2001:db8::2", &value).await;
        assert!(matches!(denial, Denial::TooManyWrongKeys { retry_after_s: 1..=20 }), "{value}: {denial:?}");
        assert_eq!(from, source, "{value}");
    }
    assert!(matches!(check_from(&fixture, client, &cached).await, Verdict::Permitted(_)));
    assert!(matches!(check_from(&fixture, "2001:db8:0:1::1", &new).await, Verdict::Permitted(_)), "another client");
    assert!(matches!(check_from(&fixture, client, &new).await, Verdict::Permitted(_)), "it is cached by now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_unknown_value_stays_cached_during_a_flood_of_others() {
    let fixture = start_with_limit(0).await;
    for _ in 0..2000 {
        assert_eq!(refusal(&fixture, "192.0.2.1", &unknown_value()).await.1, Source::Store);
    }
    let again = unknown_value();
    assert_eq!(refusal(&fixture, "192.0.2.2", &again).await.1, Source::Store);
    for _ in 0..50 {
        assert_eq!(refusal(&fixture, "192.0.2.1", &unknown_value()).await.1, Source::Store);
        assert_eq!(refusal(&fixture, "192.0.2.2", &again).await.1, Source::Negative);
    }
}
