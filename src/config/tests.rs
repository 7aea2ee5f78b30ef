use super::*;
use crate::base::secret::Secret;
use crate::base::telemetry::LogFormat;

fn load(env: &[(&str, &str)], file: &str) -> Result<Loaded, Error> {
    let env: Vec<(String, String)> = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(&Sources {
        env: &env,
        file: Some(("forebay.toml", file)),
        read: &|path| match path.to_str() {
            Some("/run/secret") => Ok("from-a-file-1\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
    })
}

fn message(env: &[(&str, &str)], file: &str) -> String {
    load(env, file).unwrap_err().to_string()
}

#[test]
fn nothing_set_gives_the_defaults_without_a_warning() {
    let loaded = load(&[], "").unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_example_file_is_the_generated_text_and_means_the_defaults() {
    let committed = include_str!("../../assets/config.example.toml");
    // Line by line: the first difference says what to change.
    let generated = example();
    for (have, want) in committed.lines().zip(generated.lines()) {
        assert_eq!(have, want);
    }
    assert_eq!(committed.len(), generated.len());
    assert_eq!(load(&[], committed).unwrap().config, Config::default());
}

#[test]
fn the_commented_lines_of_the_example_are_accepted_when_switched_on() {
    // Secrets show dots there: they are replaced by something long enough.
    let text = example()
        .replace("\"…\"", "\"0123456789\"")
        .lines()
        .filter(|line| !line.starts_with("# [[") && !line.contains("key_file"))
        .take_while(|line| !line.contains("Channels beside"))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split(' ').nth(1) == Some("=") => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let loaded = load(&[], &text).unwrap();
    assert_eq!(loaded.config.limits.max_memory, Some(2048 << 20));
    assert_eq!(loaded.config.urls.trusted_proxies.len(), 2);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn help_names_every_setting_that_has_an_effect() {
    let help = help();
    for setting in SETTINGS {
        let later = matches!(setting.field, Field::Later { .. });
        let listed = help
            .lines()
            .any(|line| line.trim_start().split(' ').next() == Some(setting.env));
        assert_eq!(listed, !later, "{}", setting.env);
    }
}

#[test]
fn keys_are_the_environment_names_without_prefix_and_unit() {
    for setting in SETTINGS {
        let name = setting.env.to_lowercase();
        let name = name.strip_prefix("forebay_").unwrap_or(&name);
        let units = ["_seconds", "_ms", "_mb"];
        let bare = units.iter().find_map(|unit| name.strip_suffix(unit));
        assert_eq!(setting.key, bare.unwrap_or(name));
    }
}

#[test]
fn environment_wins_over_file_and_file_over_default() {
    let file = "[media]\npart = \"300ms\"\nsegment = \"4s\"";
    let config = load(&[("FOREBAY_PART_MS", "250")], file).unwrap().config;
    assert_eq!(config.media.part, Duration::from_millis(250));
    assert_eq!(config.media.segment, Duration::from_secs(4));
    assert_eq!(config.media.window, Duration::from_secs(60));
}

#[test]
fn every_form_is_read_from_the_environment() {
    let env = [
        ("FOREBAY_HTTP", "127.0.0.1:1, [::1]:2"),
        ("FOREBAY_RTMP", ""),
        ("FOREBAY_SEGMENT_SECONDS", "2.5"),
        ("FOREBAY_DEFAULT_CAPABILITIES", "fhd,aspect-ratio=9x16"),
        ("FOREBAY_MAX_MEMORY_MB", "512"),
        ("FOREBAY_MAX_PUBLISHERS", "7"),
        ("FOREBAY_TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("FOREBAY_PUBLIC_URL", "https://live.example.org"),
        ("FOREBAY_STREAM_KEY", "0123456789"),
        ("FOREBAY_ADMIN_KEY_FILE", "/run/secret"),
        ("FOREBAY_LOG_FORMAT", "json"),
        ("FOREBAY_DATA", "/var/lib/forebay"),
    ];
    let config = load(&env, "").unwrap().config;
    assert_eq!(config.listen.http.len(), 2);
    assert!(config.listen.rtmp.is_empty());
    assert_eq!(config.media.segment, Duration::from_millis(2500));
    assert_eq!(
        config.media.default_capabilities,
        ["fhd", "aspect-ratio=9x16"]
    );
    assert_eq!(config.limits.max_memory, Some(512 << 20));
    assert_eq!(config.limits.max_publishers, 7);
    assert!(config.urls.trusts("10.200.3.4".parse().unwrap()));
    assert!(config.urls.trusts("::ffff:10.0.0.1".parse().unwrap()));
    assert!(config.urls.trusts("::1".parse().unwrap()));
    assert!(!config.urls.trusts("11.0.0.1".parse().unwrap()));
    assert!(!config.urls.trusts("::2".parse().unwrap()));
    assert_eq!(config.identity.stream_key, Some(Secret::new("0123456789")));
    assert_eq!(
        config.identity.admin_key,
        Some(Secret::new("from-a-file-1"))
    );
    assert_eq!(config.log.format(), LogFormat::Json);
    assert_eq!(config.storage.data, PathBuf::from("/var/lib/forebay"));
}

#[test]
fn a_bad_value_names_setting_value_and_range() {
    assert_eq!(
        message(&[("FOREBAY_PART_MS", "50")], ""),
        "FOREBAY_PART_MS is 50, accepted is 100ms to 1s"
    );
    assert_eq!(
        message(&[], "\n[media]\nwindow = 60"),
        "media.window (forebay.toml line 3) is 60, accepted is 12s to 3600s"
    );
    for (name, value) in [
        ("FOREBAY_HTTP", "8080"),
        ("FOREBAY_PART_MS", "200ms"),
        ("FOREBAY_PART_MS", "-200"),
        ("FOREBAY_PART_MS", "inf"),
        ("FOREBAY_SEGMENT_SECONDS", "1e1"),
        ("FOREBAY_MAX_PUBLISHERS", "0"),
        ("FOREBAY_LOG_FORMAT", "xml"),
        ("FOREBAY_PUBLIC_URL", "live.example.org"),
        ("FOREBAY_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("FOREBAY_SRT_LATENCY_MS", "fast"),
        ("FOREBAY_DATA", ""),
    ] {
        let text = message(&[(name, value)], "");
        let start = format!("{name} is {value}, accepted is ");
        assert!(text.starts_with(&start), "{text}");
    }
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_one() {
    assert_eq!(
        message(&[], "[media]\nsegment = \"2s\"\nwindwo = \"60s\""),
        "unknown key media.windwo in forebay.toml line 3, did you mean window?"
    );
    assert_eq!(
        message(&[], "[listen]\npart = \"200ms\""),
        "unknown key listen.part in forebay.toml line 2, it belongs into [media]"
    );
    assert_eq!(
        message(&[], "[mdeia]\npart = \"200ms\""),
        "unknown key mdeia in forebay.toml line 1, did you mean media?"
    );
    assert_eq!(
        message(&[], "[[channel]]\nalais = \"x\""),
        "unknown key channel.alais in forebay.toml line 2, did you mean alias?"
    );
    assert!(message(&[], "[media]\npart 200").starts_with("forebay.toml line 2: "));
}

#[test]
fn secrets_are_not_in_messages() {
    for (env, file) in [
        (vec![("FOREBAY_STREAM_KEY", "se/cret")], ""),
        (vec![("FOREBAY_SRT_PASSPHRASE", "se/cret")], ""),
        (
            vec![],
            "[[channel]]\nalias = \"a\"\nsrt_passphrase = \"se/cret\"",
        ),
        (vec![], "[identity]\nadmin_key = \"se/cret\""),
        (vec![], "[[channel]]\nalias = \"a\"\nkey = \"se/cret\""),
    ] {
        let text = message(&env, file);
        assert!(
            text.contains("(hidden)") && !text.contains("se/cret"),
            "{text}"
        );
    }
    let text = message(
        &[("FOREBAY_STREAM_KEY", "equal-keys")],
        "[[channel]]\nalias = \"a\"\nkey = \"equal-keys\"",
    );
    assert!(text.contains("fingerprint") && !text.contains("equal-keys"));
}

#[test]
fn a_secret_given_twice_or_in_a_missing_file_is_an_error() {
    let both = [
        ("FOREBAY_STREAM_KEY", "0123456789"),
        ("FOREBAY_STREAM_KEY_FILE", "/run/secret"),
    ];
    assert_eq!(
        message(&both, ""),
        "FOREBAY_STREAM_KEY and FOREBAY_STREAM_KEY_FILE are both set"
    );
    let text = message(&[], "[identity]\nstream_key_file = \"/nowhere\"");
    assert!(text.starts_with("cannot read /nowhere (identity.stream_key_file"));
    let config = load(&[], "[identity]\nstream_key_file = \"/run/secret\"").unwrap();
    let key = config.config.identity.stream_key.unwrap();
    assert!(key.matches("from-a-file-1"));
}

#[test]
fn settings_of_later_features_and_mistyped_variables_are_warned_of() {
    let env = [
        ("FOREBAY_PART_MSS", "1"),
        ("FOREBAY_CONFIG", "forebay.toml"),
        ("PATH", "/bin"),
    ];
    let loaded = load(&env, "[storage]\nstorage_url = \"s3://media\"").unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "storage.storage_url (forebay.toml line 2) has no effect in this version",
            "FOREBAY_PART_MSS is no setting and has no effect, did you mean FOREBAY_PART_MS?",
        ]
    );
}

#[test]
fn flags_are_true_or_false_in_the_file_and_in_the_environment() {
    let publish = |env: &[(&str, &str)], file| load(env, file).unwrap().config.publish;
    assert!(!publish(&[], "").open_registration);
    assert!(publish(&[("FOREBAY_OPEN_REGISTRATION", "true")], "").open_registration);
    let file = "[publish]\nanonymous_broadcasts = false";
    assert!(!publish(&[], file).anonymous_broadcasts);
    let refused = message(&[("FOREBAY_ANONYMOUS_BROADCASTS", "yes")], "");
    assert!(refused.contains("true or false"), "{refused}");
}

#[test]
fn a_livekit_server_is_named_without_credentials_in_its_address() {
    let livekit = |env: &[(&str, &str)], file: &str| load(env, file).unwrap().config.livekit;
    assert_eq!(livekit(&[], "").url, None);
    assert!(livekit(&[], "").token_prefix);
    for url in [
        "wss://live.example.org",
        "ws://127.0.0.1:7880/",
        "https://[::1]/rooms",
    ] {
        let file = format!("[livekit]\nlivekit_url = \"{url}\"\nlivekit_token_prefix = false");
        let read = livekit(&[("LIVEKIT_URL", url)], "");
        assert_eq!(read.url.as_deref(), Some(url));
        let read = livekit(&[], &file);
        assert_eq!((read.url.as_deref(), read.token_prefix), (Some(url), false));
    }
    for url in [
        "live.example.org",
        "wss://",
        "rtmp://h",
        "ws://a:b@h",
        "ws://h?a",
    ] {
        let refused = message(&[("LIVEKIT_URL", url)], "");
        assert!(refused.contains("wss://livekit.example.org"), "{refused}");
    }
}

#[test]
fn channels_are_declared_in_the_file() {
    let file = "[[channel]]\nalias = \"stage\"\nkey_file = \"/run/secret\"\n\
                capabilities = [\"fhd\", \"streaming\"]\nslate = \"stage.png\"\n\
                srt_passphrase_file = \"/run/secret\"\n[[channel]]\nalias = \"b\"\nname = \"B\"";
    let channels = load(&[], file).unwrap().config.channels;
    assert_eq!(
        channels,
        [
            Channel {
                alias: "stage".to_owned(),
                name: "stage".to_owned(),
                key: Some(Secret::new("from-a-file-1")),
                capabilities: Some(vec!["fhd".to_owned(), "streaming".to_owned()]),
                slate: Some("stage.png".into()),
                srt_passphrase: Some(Secret::new("from-a-file-1")),
                source: None,
                pushes: Vec::new(),
            },
            Channel {
                alias: "b".to_owned(),
                name: "B".to_owned(),
                key: None,
                capabilities: None,
                slate: None,
                srt_passphrase: None,
                source: None,
                pushes: Vec::new(),
            }
        ]
    );
    let twice = "[[channel]]\nalias = \"a\"\n[[channel]]\nalias = \"a\"";
    assert_eq!(message(&[], twice), "channel a is declared twice");
    let none = "[[channel]]\nname = \"a\"";
    assert_eq!(
        message(&[], none),
        "a [[channel]] in forebay.toml has no alias"
    );
}

#[test]
fn a_channel_may_be_pushed_and_a_bad_push_is_told_without_its_credentials() {
    let file = |pushes: &str| format!("[[channel]]\nalias = \"a\"\npushes = {pushes}");
    let good = "[{ rtmp = \"rtmp://h/app\", key = \"k\" }, { rtmp = \"rtmps://h/app\", key_file = \"/run/secret\" }, \
                { whip = \"https://h/w\", token = \"t\" }, { whip = \"http://h/w\" }, { ingress = \"room\" }]";
    let loaded = load(&[("FOREBAY_FORWARD_PRIVATE", "10.0.0.0/8")], &file(good));
    let config = loaded.unwrap().config;
    assert_eq!(config.forward.may_go_to().networks.len(), 1);
    let pushes = &config.channels[0].pushes;
    let shown: Vec<String> = pushes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "rtmp://h/app",
            "rtmps://h/app",
            "https://h:443/…",
            "http://h:80/…",
            "room"
        ]
    );
    assert_eq!(pushes[1].secret(), Some(&Secret::new("from-a-file-1")));
    let many = format!("[{}]", "{ ingress = \"r\" }, ".repeat(17));
    for (bad, expected) in [
        ("7", "is no list, accepted is a list such as"),
        ("[7]", "is push 1, accepted is a list such as"),
        ("[{}]", "is push 1, accepted is a list such as"),
        ("[{ rtmp = 7 }]", "is rtmp of push 1 that is no text"),
        ("[{ srt = \"tell\" }]", "is an unknown key of push 1"),
        (
            "[{ rtmp = \"rtmp://h/tell\" }]",
            "is url of push 1 rtmp://h…, accepted is rtmp://host",
        ),
        (
            "[{ rtmp = \"rtmp://h/app\", key = \"\" }]",
            "is key of push 1 (hidden)",
        ),
        (
            "[{ rtmp = \"rtmp://h/app\", token = \"tell\" }]",
            "is token of push 1, accepted is a key for rtmp",
        ),
        (
            "[{ ingress = \"r\", token = \"tell\" }]",
            "is token of push 1 (hidden), accepted is none",
        ),
        (
            "[{ ingress = \"r\" }, { ingress = \"r\" }]",
            "is push 2, accepted is each destination once",
        ),
        (
            "[{ whip = \"https://h/tell\", ingress = \"r\" }]",
            "is push 1, accepted is one kind",
        ),
        (&many, "is a list of 17, accepted is at most 16"),
    ] {
        let text = message(&[], &file(bad));
        assert!(
            text.starts_with("channel.pushes (forebay.toml line 3) "),
            "{text}"
        );
        assert!(text.contains(expected) && !text.contains("tell"), "{text}");
    }
}

#[test]
fn a_channel_may_pull_and_a_bad_source_is_told_without_its_credentials() {
    let file = |source: &str| format!("[[channel]]\nalias = \"a\"\nsource = \"{source}\"");
    let loaded = load(
        &[("FOREBAY_PULL_PRIVATE", "10.0.0.0/8,127.0.0.1")],
        &file("srt://h:9000?latency=250&passphrase=0123456789"),
    );
    let config = loaded.unwrap().config;
    assert_eq!(config.publish.pull_private.len(), 2);
    let source = config.channels[0].source.clone().unwrap();
    assert_eq!(source.to_string(), "srt://h:9000");
    for (uri, told) in [
        (
            "srt://h:9000?mode=listener",
            "channel.source (forebay.toml line 3) is srt://h:9000?mode=listener, accepted is \
             mode=caller",
        ),
        (
            "srt://h:9000?passphrase=se/cret",
            "channel.source (forebay.toml line 3) is srt://h:9000?passphrase=(hidden), accepted is \
             10 to 79 characters",
        ),
        (
            "rtmp://h/app/se/cret",
            "channel.source (forebay.toml line 3) is rtmp://h…, accepted is \
             srt://host:port?streamid=…&passphrase=…&latency=…&pbkeylen=…&mode=caller, each part \
             percent-encoded",
        ),
    ] {
        assert_eq!(message(&[], &file(uri)), told);
    }
    let both = file("srt://h:9000") + "\nsource_file = \"/run/secret\"";
    assert!(message(&[], &both).contains("source_file (forebay.toml line 4) is (hidden)"));
    let number = "[[channel]]\nalias = \"a\"\nsource = 7";
    assert!(message(&[], number).contains("accepted is srt://host:port"));
}

#[test]
fn a_changed_source_needs_a_restart() {
    let file = |source: &str| format!("[[channel]]\nalias = \"a\"\nsource = \"{source}\"");
    let old = load(&[], &file("srt://h:9000?passphrase=0123456789")).unwrap();
    let env = [("FOREBAY_PULL_PRIVATE", "10.0.0.0/8")];
    let new = load(&env, &file("srt://h:9000?passphrase=0123456780")).unwrap();
    assert_eq!(
        old.config.changes(&new.config).restart,
        ["FOREBAY_PULL_PRIVATE", "channel"]
    );
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (env, part) in [
        (vec![("FOREBAY_HTTP", "")], "FOREBAY_HTTP is empty"),
        (vec![("FOREBAY_RTMPS", "[::]:1936")], "FOREBAY_RTMPS needs"),
        (vec![("FOREBAY_TLS_CERT", "/x")], "needed together"),
        (vec![("FOREBAY_WINDOW_SECONDS", "17")], "below 18"),
        (
            vec![("FOREBAY_SEGMENT_SECONDS", "1"), ("FOREBAY_PART_MS", "501")],
            "above half",
        ),
        (
            vec![("FOREBAY_SILENCE_MS", "11000")],
            "above FOREBAY_PUBLISH",
        ),
        (vec![("LIVEKIT_API_KEY", "0123456789")], "needed together"),
    ] {
        let text = message(&env, "");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_reload_tells_limits_from_addresses() {
    let old = load(&[("FOREBAY_ADMIN_KEY", "0123456789")], "").unwrap();
    let new = load(
        &[
            ("FOREBAY_MAX_PUBLISHERS", "9"),
            ("FOREBAY_HTTP", "0.0.0.0:81"),
            ("FOREBAY_ADMIN_KEY", "abcdefghij"),
        ],
        "[[channel]]\nalias = \"a\"",
    )
    .unwrap();
    assert_eq!(old.config.changes(&old.config), Changes::default());
    assert_eq!(
        old.config.changes(&new.config),
        Changes {
            reloadable: vec!["FOREBAY_MAX_PUBLISHERS"],
            restart: vec!["FOREBAY_HTTP", "FOREBAY_ADMIN_KEY", "channel"],
        }
    );
}

#[test]
fn a_named_file_is_read_and_must_exist() {
    let path = std::env::temp_dir().join(format!("forebay-{}.toml", uuid::Uuid::new_v4()));
    let error = Config::from_process(Some(&path)).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    std::fs::write(&path, "[[channel]]\nalias = \"stage\"").unwrap();
    let loaded = Config::from_process(Some(&path));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(loaded.unwrap().config.channels[0].alias, "stage");
}
