//! Channels: made, found, declared, deleted.

use super::*;

pub(super) async fn the_default_channel_outlives_a_restart_and_follows_its_key(bench: Bench) {
    let (first, second) = (Secret::new("first-key"), Secret::new("second-key"));
    let before = bench.store().await;
    let made = ensured(&before, &first).await;
    assert_eq!(made.id, "local#app#live");
    before.close().await;
    bench.clock.advance(Duration::from_secs(1));

    let after = bench.store().await;
    let same = ensured(&after, &first).await;
    assert_eq!(same, made);
    let changed = ensured(&after, &second).await;
    assert_eq!(changed.created, made.created);
    assert_eq!(changed.updated, made.updated.plus_micros(1_000_000));
    assert_eq!(after.find_channel_by_key("first-key").await.unwrap(), None);
    let found = after.find_channel_by_key("second-key").await.unwrap();
    assert_eq!(found, Some(changed));
}

pub(super) async fn channels_are_found_by_id_and_alias(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("some-key");
    let made = ensured(&store, &key).await;
    for name in ["live", "local#app#live"] {
        let of = store.channel_of("app", name).await.unwrap();
        assert_eq!(of.as_ref(), Some(&made));
        assert_eq!(store.channel_of("other", name).await.unwrap(), None);
        assert_eq!(
            store.find_channel(name).await.unwrap().as_ref(),
            Some(&made)
        );
    }
    for name in ["Live", "local#app#other", "", "live' OR '1'='1"] {
        assert_eq!(store.find_channel(name).await.unwrap(), None);
        assert_eq!(store.channel_of("app", name).await.unwrap(), None);
    }
}

pub(super) async fn declared_channels_follow_the_file(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    ensured(&store, &key).await;
    let moved = Secret::new("a-key-that-moves");
    let both = [declaration("a", Some(&moved)), declaration("b", None)];
    let declared = store.declare_channels("local", "app", &both, 3).await;
    assert_eq!(declared.unwrap().added, ["a", "b"]);
    let random = store.find_channel("b").await.unwrap().unwrap();
    assert_eq!(random.key.expose().len(), 96);

    // A second start with the same file changes nothing, the random key included.
    let again = store.declare_channels("local", "app", &both, 3).await;
    assert_eq!(again.unwrap(), Declared::default());
    assert_eq!(store.find_channel("b").await.unwrap().unwrap(), random);

    // A channel goes, and its key goes to another.
    let words = ["fhd".to_owned(), "token-auth".to_owned()];
    let mut c = declaration("c", Some(&moved));
    c.capabilities = Some(&words);
    let after = store
        .declare_channels("local", "app", &[declaration("b", None), c], 3)
        .await
        .unwrap();
    assert_eq!(after.added, ["c"]);
    assert_eq!(after.removed, ["local#app#a"]);
    let found = store.find_channel_by_key(moved.expose()).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.alias, "c");
    assert_eq!(found.capabilities.as_deref(), Some(&words[..]));
    let aliases = bench::stored(&store).await.into_iter().map(|c| c.alias);
    assert_eq!(aliases.collect::<Vec<_>>(), ["b", "c", "live"]);
}

pub(super) async fn a_file_says_nothing_of_another_regions_channels(bench: Bench) {
    let store = bench.store().await;
    let (a, b) = ([declaration("a", None)], [declaration("b", None)]);
    for (region, file) in
        [("local", &a), ("eu", &b), ("local", &a), ("local-2", &[])] as [(_, &[_]); 4]
    {
        let declared = store.declare_channels(region, "app", file, 3).await;
        assert_eq!(declared.unwrap().removed, [""; 0], "{region}");
    }
    let gone = store.declare_channels("eu", "app", &[], 3).await.unwrap();
    assert_eq!(gone.removed, ["eu#app#b"]);
    let left = bench::stored(&store).await.into_iter().map(|c| c.id);
    assert_eq!(left.collect::<Vec<_>>(), ["local#app#a"]);
}

pub(super) async fn a_refused_declaration_leaves_nothing_behind(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    ensured(&store, &key).await;
    let stolen = [declaration("a", None), declaration("b", Some(&key))];
    let error = store.declare_channels("local", "app", &stolen, 9).await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream key of channel local#app#b exists already"
    );
    let many = [declaration("a", None), declaration("b", None)];
    let error = store.declare_channels("local", "app", &many, 2).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Capacity);
    assert_eq!(bench::stored(&store).await.len(), 1);
}

pub(super) async fn a_rotated_key_replaces_the_old_one(bench: Bench) {
    let store = bench.store().await;
    let old = Secret::new("old-key-of-it");
    ensured(&store, &old).await;
    let new = store.rotate_key("local#app#live").await.unwrap();
    assert_eq!(store.find_channel_by_key(old.expose()).await.unwrap(), None);
    let found = store.find_channel_by_key(new.expose()).await.unwrap();
    assert_eq!(found.unwrap().alias, "live");
    let error = store.rotate_key("local#app#none").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

pub(super) async fn a_created_channel_is_what_was_asked_for_at_once_and_after_a_restart(
    bench: Bench,
) {
    let store = bench.store().await;
    let options = ["any".to_owned(), "word \u{0}".to_owned()];
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let ingest = IngestOptions {
        capabilities: words(&["multi-bitrate", "aspect-ratio=9x16"]),
        tags: words(&[]),
        screen_name: Some("Primary".to_owned()),
        max_fps: serde_json::Number::from_f64(29.97),
        buffer: Some(Span::Millis(500.into())),
        preroll_skip_duration: Some(0.into()),
        jitter_buffer: Some(Span::Text("1s".to_owned())),
        source_uri: Some(SourceUri::new("srt://u:p@host:9?passphrase=geheim")),
    };
    let new = Creation {
        name: "Morning 'News'",
        description: "Ä \"description\"",
        options: &options,
        ingest: Some(&ingest),
        ..creation("morning")
    };
    let made = store.create_channel(&new, 9).await.unwrap();
    assert_eq!(made.id, "local#app#morning");
    assert_eq!(made.key.expose().len(), 96);
    assert_eq!(made.name, new.name);
    assert_eq!(made.description, new.description);
    assert_eq!(made.options, options);
    assert_eq!(made.capabilities, ingest.capabilities);
    assert_eq!(made.tags, [""; 0]);
    assert_eq!(made.ingest.as_ref(), Some(&ingest));
    assert_eq!(made.created, bench.clock.wall());
    assert_eq!(made.updated, made.created);
    assert!(!made.declared);
    let plain = store.create_channel(&creation(""), 9).await.unwrap();
    assert_eq!(plain.alias.len(), 12);
    assert_eq!(
        (plain.ingest.as_ref(), plain.capabilities.as_ref()),
        (None, None)
    );

    for store in [&store, &bench.store().await] {
        let known = store.known_key(made.key.expose());
        assert_eq!(known.as_ref(), Some(&made));
        for name in ["morning", "local#app#morning"] {
            assert_eq!(store.known_channel("app", name).as_ref(), Some(&made));
            let public = store.known_public_channel(name);
            assert_eq!(public.as_ref(), Some(&made));
        }
        let stored = store.channel(&made.id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&*made));
    }
    let shown = format!("{made:?}");
    assert!(!shown.contains("geheim") && !shown.contains(made.key.expose()));
}

pub(super) async fn aliases_and_names_are_taken_once_in_an_application(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("other-secret");
    store.add_application("other", &secret).await.unwrap();
    let named = |alias, name| Creation {
        name,
        ..creation(alias)
    };
    store.create_channel(&named("a", "A"), 9).await.unwrap();
    for (new, what) in [
        (named("a", "B"), "channel alias a exists already"),
        (named("b", "A"), "channel name A exists already"),
        (named("", "A"), "channel name A exists already"),
    ] {
        let error = store.create_channel(&new, 9).await.unwrap_err();
        assert!(matches!(error, Error::Exists(_)));
        assert_eq!(error.to_string(), what);
    }
    let others = Creation {
        application_id: "other",
        ..named("a", "A")
    };
    let others = store.create_channel(&others, 9).await.unwrap();
    assert_eq!(others.id, "local#other#a");
    // Somebody else's id is a good alias, and is found as an id only.
    let id = "local#app#later";
    let like = Creation {
        application_id: "other",
        ..named(id, "Like")
    };
    let like = store.create_channel(&like, 9).await.unwrap();
    assert_eq!(store.known_channel("other", id), Some(like));
    assert_eq!(store.known_public_channel(id), None);
    assert_eq!(store.find_channel(id).await.unwrap(), None);
    let nobody = Creation {
        application_id: "nobody",
        ..named("c", "C")
    };
    let error = store.create_channel(&nobody, 9).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    // What is deleted can be made again, with another key.
    let old = store.known_channel("app", "a").unwrap();
    store.delete_channel(&old.id).await.unwrap();
    let new = store.create_channel(&named("a", "A"), 9).await.unwrap();
    assert_ne!(new.key, old.key);
    assert_eq!(store.known_key(old.key.expose()), None);
}

pub(super) async fn there_are_no_more_channels_than_the_limit(bench: Bench) {
    let store = bench.store().await;
    store.create_channel(&creation("a"), 2).await.unwrap();
    store.create_channel(&creation("b"), 2).await.unwrap();
    let full = store.create_channel(&creation("c"), 2).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Capacity);
    // Which name is taken is still said.
    let error = store.create_channel(&creation("b"), 2).await.unwrap_err();
    assert!(matches!(error, Error::Exists(_)));
    store.delete_channel("local#app#a").await.unwrap();
    store.create_channel(&creation("c"), 2).await.unwrap();
}

pub(super) async fn declared_channels_cannot_be_deleted(bench: Bench) {
    let store = bench.store().await;
    let file = [declaration("a", None)];
    store
        .declare_channels("local", "app", &file, 9)
        .await
        .unwrap();
    let made = store.create_channel(&creation("b"), 9).await.unwrap();
    let id = "local#app#a";
    let error = store.delete_channel(id).await.unwrap_err();
    assert!(matches!(error, Error::Declared(_)), "{error}");
    assert!(store.known_channel("app", "a").is_some());
    store.delete_channel(&made.id).await.unwrap();
    for missing in [made.id.as_str(), "", "local#app#\u{1}"] {
        let error = store.delete_channel(missing).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    assert_eq!(store.known_channel("app", "b"), None);
    assert_eq!(store.known_key(made.key.expose()), None);
}

pub(super) async fn text_that_only_one_database_holds_is_refused_by_both(bench: Bench) {
    let store = bench.store().await;
    let zero = "a\u{0}b";
    for new in [
        creation(zero),
        Creation {
            name: zero,
            ..creation("a")
        },
        Creation {
            description: zero,
            ..creation("a")
        },
    ] {
        let error = store.create_channel(&new, 9).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert!(store.channel(zero).await.is_err());
    assert_eq!(store.known_channel_count_of("app"), 0);
    let odd = "ｆｕｌｌ 🎬 \u{1}\u{7f}\u{10ffff} %_'\";--";
    let made = store.create_channel(&creation(odd), 9).await.unwrap();
    assert_eq!(
        store.channel_of("app", odd).await.unwrap().as_ref(),
        Some(&*made)
    );
}

pub(super) async fn an_application_lists_its_channels_page_by_page(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("other-secret");
    store.add_application("other", &secret).await.unwrap();
    let mut made = Vec::new();
    for number in 0..25 {
        // Some are of the same time; then their ids decide.
        if number % 3 == 0 {
            bench.clock.advance(Duration::from_secs(1));
        }
        let alias = format!("channel-{number:02}");
        made.push(store.create_channel(&creation(&alias), 99).await.unwrap());
        let others = Creation {
            application_id: "other",
            ..creation(&alias)
        };
        store.create_channel(&others, 99).await.unwrap();
    }
    let mut listed: Vec<Arc<Channel>> = Vec::new();
    loop {
        let after = listed.last().map(|channel| &**channel);
        let page = store.known_channels("app", after, 10);
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
        // One that goes while it is being listed does no harm.
        let last = listed.last().unwrap();
        if last.alias == "channel-09" {
            store.delete_channel(&last.id).await.unwrap();
        }
    }
    assert_eq!(listed, made);
    assert_eq!(store.known_channels("nobody", None, 9), []);
    let counts = ["app", "other"].map(|id| store.known_channel_count_of(id));
    assert_eq!(counts.iter().sum::<usize>(), 49);
}

pub(super) async fn what_was_made_in_place_of_the_default_channel_stays_as_it_is(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    let default = default_channel(&key);
    let first = store.ensure_default_channel(&default).await.unwrap();
    store.delete_channel(&first.id).await.unwrap();
    let ingest = IngestOptions {
        capabilities: Some(vec!["fhd".to_owned()]),
        ..IngestOptions::default()
    };
    let new = Creation {
        ingest: Some(&ingest),
        ..creation("live")
    };
    let made = store.create_channel(&new, 9).await.unwrap();
    let start = NewChannel {
        key: Some(&made.key),
        ..default.clone()
    };
    let same = store.ensure_default_channel(&start).await.unwrap();
    assert_eq!(same, *made);
    let keyed = store.ensure_default_channel(&default).await.unwrap();
    assert_eq!((keyed.key, keyed.ingest), (key.clone(), Some(ingest)));
    assert_eq!(
        (keyed.name.as_str(), keyed.capabilities),
        ("live", made.capabilities.clone())
    );
    // What the file declared before is the file's no more.
    let file = [declaration("live", Some(&key))];
    store
        .declare_channels("local", "app", &file, 9)
        .await
        .unwrap();
    let default = store.ensure_default_channel(&default).await.unwrap();
    assert_eq!(
        (default.declared, default.name.as_str(), default.ingest),
        (false, "Live", None)
    );
}

pub(super) async fn a_file_says_nothing_of_another_applications_channels(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("another-secret");
    store.add_application("b", &secret).await.unwrap();
    let declared = [declaration("a", None)];
    for application in ["app", "b"] {
        let done = store.declare_channels("local", application, &declared, 9);
        assert_eq!(done.await.unwrap().added, ["a"]);
    }
    let done = store.declare_channels("local", "b", &[], 9).await;
    assert_eq!(done.unwrap().removed, ["local#b#a"]);
    assert!(store.known_id("local#app#a").is_some());
}

pub(super) async fn a_declared_channel_keeps_nothing_of_what_was_made_in_its_place(bench: Bench) {
    let store = bench.store().await;
    let words = ["word".to_owned()];
    let ingest = IngestOptions {
        tags: Some(words.to_vec()),
        source_uri: Some(SourceUri::new("srt://source.example:9000")),
        ..IngestOptions::default()
    };
    let made = Creation {
        description: "made by the API",
        options: &words,
        ingest: Some(&ingest),
        ..creation("a")
    };
    let made = store.create_channel(&made, 9).await.unwrap();
    let declared = [declaration("a", None)];
    let done = store.declare_channels("local", "app", &declared, 9).await;
    assert_eq!(done.unwrap(), Declared::default());
    let expected = Channel {
        declared: true,
        description: String::new(),
        tags: Vec::new(),
        options: Vec::new(),
        ingest: None,
        ..Channel::clone(&made)
    };
    assert_eq!(store.known_id(&made.id).as_deref(), Some(&expected));
    assert_eq!(bench::stored(&store).await, [expected]);
}
