use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::token::{Target, Tokens};
use crate::credentials::Credentials;

struct Bench {
    config: Config,
    store: Store,
    clock: Clock,
    credentials: Credentials,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.config.storage.data);
    }
}

async fn bench(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = Config::default();
    let folder = format!("forebay-commands-{}", Uuid::new_v4());
    config.storage.data = std::env::temp_dir().join(folder);
    change(&mut config);
    let clock = Clock::simulated(Wall(1_790_000_000_000_000));
    let data: &PathBuf = &config.storage.data;
    let credentials = Credentials::load_or_make(data, &config.identity).unwrap();
    let store = Store::open(data, clock.clone()).await.unwrap();
    prepare(&store, &config, &credentials).await.unwrap();
    Bench {
        config,
        store,
        clock,
        credentials,
    }
}

fn declared(alias: &str, key: Option<&str>) -> crate::config::Channel {
    crate::config::Channel {
        alias: alias.to_owned(),
        name: alias.to_owned(),
        key: key.map(Secret::new),
        capabilities: None,
        slate: None,
        srt_passphrase: None,
        source: None,
        pushes: Vec::new(),
    }
}

impl Bench {
    async fn rotate(&self, channel: &str) -> Result<String, Error> {
        let channel = channel.to_owned();
        key(&self.store, &self.config, &Key::Rotate { channel }).await
    }
}

#[tokio::test]
async fn a_first_start_makes_the_default_and_the_declared_channels() {
    let bench = bench(|config| config.channels.push(declared("stage", None))).await;
    let channels = bench.store.known_channels("forebay", None, 9);
    let ids: Vec<&str> = channels.iter().map(|channel| &*channel.id).collect();
    assert_eq!(ids, ["local#forebay#live", "local#forebay#stage"]);
    assert_eq!(channels[0].key, bench.credentials.stream_key);
}

#[tokio::test]
async fn a_rotated_default_key_holds_after_a_restart() {
    let bench = bench(|_| {}).await;
    let printed = bench.rotate("live").await.unwrap();
    let data = &bench.config.storage.data;
    let again = Credentials::load_or_make(data, &bench.config.identity).unwrap();
    assert_ne!(again.stream_key, bench.credentials.stream_key);
    assert_eq!(again.stream_key.expose(), printed.trim());
    prepare(&bench.store, &bench.config, &again).await.unwrap();
    let found = bench
        .store
        .find_channel_by_key(printed.trim())
        .await
        .unwrap();
    assert_eq!(found.unwrap().alias, "live");
}

#[tokio::test]
async fn a_default_channel_made_anew_by_api_keeps_its_key_unless_a_setting_names_one() {
    let mut bench = bench(|_| {}).await;
    let live = "local#forebay#live";
    bench.store.delete_channel(live).await.unwrap();
    let new = crate::store::Creation {
        region: "local",
        application_id: "forebay",
        alias: "live",
        name: "Anew",
        description: "",
        options: &[],
        ingest: None,
    };
    let made = bench.store.create_channel(&new, 9).await.unwrap();
    let (kept, _) = prepare(&bench.store, &bench.config, &bench.credentials)
        .await
        .unwrap();
    assert_eq!(kept, *made);
    bench.config.identity.stream_key = Some(Secret::new("from-a-setting"));
    let (set, _) = prepare(&bench.store, &bench.config, &bench.credentials)
        .await
        .unwrap();
    assert_eq!(set.key.expose(), "from-a-setting");
}

#[tokio::test]
async fn keys_that_are_settings_are_not_rotated() {
    let bench = bench(|config| {
        config.identity.stream_key = Some(Secret::new("from-the-settings"));
        config.channels.push(declared("stage", Some("stage-key")));
        config.channels.push(declared("free", None));
    })
    .await;
    for channel in ["live", "stage"] {
        let before = bench.store.find_channel(channel).await.unwrap();
        assert!(bench.rotate(channel).await.is_err());
        assert_eq!(bench.store.find_channel(channel).await.unwrap(), before);
    }
    assert_eq!(bench.rotate("free").await.unwrap().trim().len(), 96);
    let error = bench.rotate("none").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no channel none");
}

#[tokio::test]
async fn applications_are_added_listed_rotated_and_removed() {
    let bench = bench(|_| {}).await;
    let run = async |command: Application| application(&bench.store, &bench.config, &command).await;
    let id = || "other".to_owned();
    let added = run(Application::Add { id: id() }).await.unwrap();
    let stored = bench.store.applications().await.unwrap();
    let stored = stored.iter().find(|app| app.id == "other").unwrap();
    assert!(added.contains(stored.secret.expose()));
    assert!(run(Application::Add { id: id() }).await.is_err());
    let listed = run(Application::List).await.unwrap();
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["forebay", "other"]);
    let rotated = run(Application::Rotate { id: id() }).await.unwrap();
    let new = bench
        .store
        .known_application("other")
        .unwrap()
        .secret
        .clone();
    assert!(rotated.contains(new.expose()) && new != stored.secret);
    run(Application::Remove { id: id() }).await.unwrap();
    assert_eq!(run(Application::List).await.unwrap(), "forebay\n");
    let first = || "forebay".to_owned();
    let error = run(Application::Remove { id: first() }).await.unwrap_err();
    assert!(matches!(error, Error::FirstApplication(_)));
    let error = run(Application::Rotate { id: first() }).await.unwrap_err();
    assert!(matches!(error, Error::FirstSecret(_)));
}

#[tokio::test]
async fn printed_tokens_open_what_they_were_printed_for_until_they_expire() {
    let bench = bench(|_| {}).await;
    let tokens = Tokens::new(bench.store.clone(), bench.clock.clone());
    let wanted = ChannelToken {
        channel: "live".to_owned(),
        expires: Duration::from_secs(60),
        address: None,
        format: Format::Jwt,
    };
    let print = async |command: Token| {
        let printed = token(&bench.store, &bench.config, &bench.clock, &command).await;
        printed.unwrap().trim().to_owned()
    };
    let playback = print(Token::Playback(wanted.clone())).await;
    let allows = |alias: &str, token: &str| {
        let id = format!("local#forebay#{alias}");
        let target = Target {
            stream_id: Some(Uuid::new_v4()),
            origin_id: None,
            channel_id: &id,
            alias,
            capabilities: &[],
            tags: &[],
            has_session: &|_| false,
            peer: Some(IpAddr::from([192, 0, 2, 1])),
        };
        tokens.playback(token, &target).is_ok()
    };
    assert!(allows("live", &playback));
    assert!(!allows("other", &playback));
    let digest = print(Token::Playback(ChannelToken {
        format: Format::Digest,
        ..wanted.clone()
    }))
    .await;
    assert!(digest.starts_with("DIGEST:"));
    assert!(allows("live", &digest));
    for token in [&playback, &digest] {
        assert!(!token.contains(['+', '/', '=']));
    }
    for (address, opens) in [([192, 0, 2, 1], true), ([192, 0, 2, 2], false)] {
        let bound = print(Token::Playback(ChannelToken {
            address: Some(IpAddr::from(address)),
            ..wanted.clone()
        }));
        assert_eq!(allows("live", &bound.await), opens);
    }
    let publish = print(Token::Publish {
        channel: wanted,
        capabilities: vec!["fhd".to_owned()],
    })
    .await;
    assert!(!allows("live", &publish));
    let peer = IpAddr::from([127, 0, 0, 1]);
    let grant = tokens.publish(&publish, peer).unwrap();
    assert_eq!(grant.channel, "local#forebay#live");
    assert_eq!(grant.capabilities.as_deref(), Some(&["fhd".to_owned()][..]));
    bench.clock.advance(Duration::from_secs(60));
    assert!(!allows("live", &playback));
    assert!(tokens.publish(&publish, peer).is_err());
}

#[tokio::test]
async fn a_livekit_token_needs_livekits_credentials() {
    let wanted = Token::Livekit {
        room: "r".to_owned(),
        identity: "i".to_owned(),
        name: None,
        publish: false,
        expires: Duration::from_secs(60),
    };
    let without = bench(|_| {}).await;
    let printed = token(&without.store, &without.config, &without.clock, &wanted).await;
    assert!(matches!(printed, Err(Error::NoLivekit)));
    let with = bench(|config| {
        config.livekit.api_key = Some("devkey".to_owned());
        config.livekit.api_secret = Some(Secret::new("secret"));
    })
    .await;
    let printed = token(&with.store, &with.config, &with.clock, &wanted).await;
    assert_eq!(printed.unwrap().trim().split('.').count(), 3);
}
