//! Applications and their secrets.

use super::streams::stream;
use super::*;

pub(super) async fn applications_are_unique_and_take_their_channels_along(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    let channel = ensured(&store, &key).await;
    store
        .stream_opened(&stream(&channel.id, Uuid::new_v4()))
        .await
        .unwrap();
    let error = store.add_application("app", &key).await.unwrap_err();
    assert_eq!(error.to_string(), "application app exists already");
    bench.clock.advance(Duration::from_secs(1));
    store.add_application("other", &key).await.unwrap();
    let ids = store
        .applications()
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.id);
    assert_eq!(ids.collect::<Vec<_>>(), ["app", "other"]);
    store.remove_application("app").await.unwrap();
    assert_eq!(bench::stored(&store).await, []);
    assert_eq!(store.claim_streams("local").await.unwrap(), []);
    let error = store.remove_application("app").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

pub(super) async fn credentials_open_their_application_only(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("other-secret");
    store.add_application("other", &secret).await.unwrap();
    let id = |id, secret| Some(store.authenticate(id, secret)?.id.clone());
    assert_eq!(id("app", "application-secret").as_deref(), Some("app"));
    assert_eq!(id("other", "other-secret").as_deref(), Some("other"));
    for (user, wrong) in [
        ("app", "other-secret"),
        ("app", ""),
        ("app", "application-secre"),
        ("app", "application-secret "),
        ("", "application-secret"),
        ("App", "application-secret"),
        ("nobody", "................................"),
    ] {
        assert_eq!(id(user, wrong), None, "{user}");
    }
    // A channel's row does not make an application.
    assert_eq!(store.known_application("nobody"), None);
    let rotated = store.rotate_secret("other").await.unwrap();
    assert_eq!(rotated.expose().len(), 32);
    assert_eq!(id("other", "other-secret"), None);
    assert_eq!(id("other", rotated.expose()).as_deref(), Some("other"));
    let error = store.rotate_secret("nobody").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    store.remove_application("other").await.unwrap();
    assert_eq!(id("other", rotated.expose()), None);
}

pub(super) async fn credentials_that_another_process_changed_are_seen_at_the_next_look(
    bench: Bench,
) {
    let (server, other) = (bench.store().await, bench.store().await);
    let secret = Secret::new("other-secret");
    other.add_application("other", &secret).await.unwrap();
    server.refresh().await.unwrap();
    assert!(server.authenticate("other", secret.expose()).is_some());
    let rotated = other.rotate_secret("other").await.unwrap();
    server.refresh().await.unwrap();
    assert!(server.authenticate("other", secret.expose()).is_none());
    assert!(server.authenticate("other", rotated.expose()).is_some());
    // A start with the same settings changes nothing.
    let revision = |store: &Store| store.memory.read().revision;
    let before = revision(&server);
    other.ensure_application("other", &rotated).await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(revision(&server), before);
}
