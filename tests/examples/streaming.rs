//! What guides print of providers, rooms, tokens and co-hosts.

use super::work;

/// Tokens are made without asking the server, and nobody listens there.
const LIVEKIT: [(&str, &str); 3] = [
    ("LIVEKIT_URL", "ws://127.0.0.1:1"),
    ("LIVEKIT_API_KEY", "ExamplesKey"),
    ("LIVEKIT_API_SECRET", "ExamplesSecretOf32CharactersOrMore"),
];

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_had_with_curl_as_printed() {
    work("streaming.sh", &LIVEKIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_sessions_and_tokens_are_had_with_javascript_as_printed() {
    work("streaming.mjs", &LIVEKIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_co_hosts_are_had_by_swift_clients() {
    work("streaming.py", &LIVEKIT).await;
}
