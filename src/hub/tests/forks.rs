//! What a fork makes of source and destination.

use super::*;

const A: &str = "local#app#a";
const B: &str = "local#app#b";
const C: &str = "local#app#c";

const PLAINLY: ForkOptions = ForkOptions {
    force: false,
    additive: false,
    keep_streams: false,
};
const FORCE: ForkOptions = ForkOptions {
    force: true,
    ..PLAINLY
};
const ADDITIVE: ForkOptions = ForkOptions {
    additive: true,
    ..PLAINLY
};
const FORCE_ADDITIVE: ForkOptions = ForkOptions {
    additive: true,
    ..FORCE
};

fn forking(channel_id: &str, words: &[&str], options: ForkOptions) -> Forking {
    let alias = channel_id.rsplit('#').next().unwrap().to_owned();
    Forking {
        channel_id: channel_id.to_owned(),
        name: alias.clone(),
        alias,
        tags: vec!["fork".to_owned()],
        capabilities: words.iter().map(|word| (*word).to_owned()).collect(),
        options,
    }
}

/// A channel's sessions, and the streams that carry them.
fn on(bench: &Bench, channel_id: &str) -> Vec<(Arc<str>, Uuid)> {
    let members = bench.hub.members(channel_id).into_iter();
    members.map(|it| (it.session, it.stream)).collect()
}

impl Bench {
    async fn air(&self, alias: &str) -> Publisher {
        let words = Some(vec!["streaming".to_owned(), "hd".to_owned()]);
        let mut publisher = self.publish_on(alias, words).await;
        self.play(&mut publisher, 1).await;
        publisher
    }

    async fn fork(&self, from: &str, to: &str, options: ForkOptions) -> Forked {
        let forking = forking(to, &[], options);
        self.hub.fork(from, &forking).await.unwrap()
    }
}

#[tokio::test]
async fn a_fork_carries_the_same_sessions_under_another_stream_id_and_repeating_it_changes_nothing()
{
    let bench = Bench::new();
    let publisher = bench.air("a").await;
    let forked = bench.fork(A, B, PLAINLY).await;
    let source = on(&bench, A);
    let there = on(&bench, B);
    assert_eq!(there[0].0, source[0].0);
    assert_ne!(there[0].1, source[0].1);
    assert_eq!(forked.members, bench.hub.members(B));
    assert_eq!(forked.members[0].capabilities, ["streaming", "hd"]);
    assert_eq!(forked.members[0].tags, ["fork"]);
    assert_eq!(bench.newest("b"), Some(there[0].1));
    assert_eq!(bench.hub.publisher_count(), 1, "nobody is counted twice");
    assert_eq!(bench.hub.all().len(), 1, "nothing is made twice");
    let health = bench.hub.health(there[0].1).unwrap();
    assert_eq!(health.channel_id, B);
    assert_eq!(health.capabilities, forked.members[0].capabilities);
    assert_eq!(health.tags, ["fork"]);

    let again = bench.fork(A, B, PLAINLY).await;
    assert_eq!((again.members, again.untouched), (vec![], forked.members));
    assert_eq!(on(&bench, B), there);
    assert_eq!(on(&bench, A), source);
    drop(publisher);
    assert_eq!((on(&bench, A), on(&bench, B)), (vec![], vec![]));
}

#[tokio::test]
async fn force_replaces_the_stream_and_not_the_session() {
    let bench = Bench::new();
    let _publisher = bench.air("a").await;
    bench.fork(A, B, PLAINLY).await;
    let before = on(&bench, B);
    let forked = bench.fork(A, B, FORCE).await;
    let after = on(&bench, B);
    assert_eq!((forked.members.len(), after.len()), (1, 1));
    assert_eq!(after[0].0, before[0].0);
    assert_ne!(after[0].1, before[0].1);
    let old = bench.hub.timeline(before[0].1).unwrap();
    assert!(old.description().unwrap().ended, "its players are told");
    assert!(
        !bench.seen.description().unwrap().ended,
        "the source goes on"
    );
    // One that is kept goes on, and is nothing to the channel.
    let keep = ForkOptions {
        keep_streams: true,
        ..FORCE
    };
    bench.fork(A, B, keep).await;
    let kept = bench.hub.timeline(after[0].1).unwrap();
    assert!(!kept.description().unwrap().ended);
    assert_eq!(on(&bench, B).len(), 1);
}

#[tokio::test]
async fn other_members_of_the_destination_go_stay_or_live_on() {
    for (options, count, ends) in [
        (PLAINLY, 1, true),
        (FORCE, 1, true),
        (ADDITIVE, 2, false),
        (
            ForkOptions {
                keep_streams: true,
                ..PLAINLY
            },
            1,
            false,
        ),
    ] {
        let bench = Bench::new();
        let mut source = bench.air("a").await;
        let mut own = bench.air("b").await;
        bench.play(&mut source, 1).await;
        let forked = bench.fork(A, B, options).await;
        own.push(sound(Ticks(2000)));
        assert_eq!(bench.hub.members(B).len(), count, "{options:?}");
        let stream = bench.hub.stream(own.stream_id()).unwrap();
        assert_eq!(stream.is_ended(), ends, "{options:?}");
        let newest = forked.members[0].stream;
        assert_eq!(bench.newest("b"), Some(newest), "the most recent one plays");
        assert_eq!(bench.hub.members(A).len(), 1);

        // Without the fork the channel has what is left of it.
        bench.hub.kill(A, "", false).await;
        let left = (options.additive).then(|| own.stream_id());
        assert_eq!(bench.newest("b"), left);
    }
}

#[tokio::test]
async fn an_encoder_that_a_fork_sent_away_and_that_comes_back_is_a_member_beside_it() {
    let bench = Bench::new();
    let mut source = bench.air("a").await;
    let own = bench.air("b").await;
    bench.play(&mut source, 1).await;
    let fork = bench.fork(A, B, PLAINLY).await.members[0].stream;
    assert_eq!(
        own.evicted().await,
        "the channel shows another one's streams"
    );
    drop(own);
    // As after a kill.
    let early = bench.hub.publish(request("b", None)).await.err();
    assert!(matches!(early, Some(Refusal::NotAllowed(_))), "{early:?}");
    bench.clock.advance(HOLD_OFF);
    let count = || bench.hub.count(B, &Counted::default());

    // It comes and goes: one stream of its own, which is the newest as long as it lives.
    let mut seen = Vec::new();
    for _ in 0..3 {
        let back = bench.air("b").await;
        bench.play(&mut source, 1).await;
        seen.push(back.stream_id());
        let newest = Some(back.stream_id());
        assert_eq!(bench.newest("b"), newest);
        drop(back);
        assert_eq!((count(), bench.newest("b")), (1, newest));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let mut back = bench.air("b").await;
    source.push(sound(Ticks(2000)));
    back.push(sound(Ticks(2000)));
    let members = on(&bench, B);
    assert_eq!(count(), members.len());
    assert_eq!(members.len(), 2, "{members:?}");
    assert_eq!(members[0].1, fork);
    assert_eq!(members[1].1, back.stream_id());

    // Forked once more, the channel has the first fork as it was.
    let again = bench.fork(A, B, PLAINLY).await;
    assert_eq!((again.members.len(), again.untouched.len()), (0, 1));
    assert_eq!((count(), bench.newest("b")), (1, Some(fork)));
    bench.clock.advance(HOLD_OFF);

    // Without that, it has it when nobody comes back any more.
    drop(bench.air("b").await);
    assert_ne!(bench.newest("b"), Some(fork));
    for _ in 0..31 {
        bench.play(&mut source, 1).await;
    }
    assert_eq!((count(), bench.newest("b")), (1, Some(fork)));
}

#[tokio::test]
async fn a_fork_that_sends_nobody_away_holds_nobody_off() {
    let bench = Bench::new();
    let _source = bench.air("a").await;
    bench.fork(A, B, PLAINLY).await;
    let _own = bench.air("b").await;
    let keeps = ForkOptions {
        keep_streams: true,
        ..PLAINLY
    };
    for options in [ADDITIVE, FORCE_ADDITIVE, keeps] {
        bench.fork(A, B, options).await;
        bench.hub.publish(request("b", None)).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_publisher_there_is_nothing_to_fork_and_nothing_is_taken() {
    let bench = Bench::new();
    let _own = bench.air("b").await;
    let before = on(&bench, B);
    assert_eq!(bench.fork(A, B, FORCE).await, Forked::default());
    let mut silent = bench.publish_on("a", None).await;
    assert_eq!(
        bench.fork(A, B, FORCE).await,
        Forked::default(),
        "it sent nothing"
    );
    assert_eq!(on(&bench, B), before);
    bench.play(&mut silent, 1).await;
    assert_eq!(bench.fork(A, B, FORCE).await.members.len(), 1);
}

#[tokio::test]
async fn what_is_killed_takes_its_forks_along_and_not_its_source() {
    let bench = Bench::new();
    let _publisher = bench.air("a").await;
    bench.fork(A, B, PLAINLY).await;
    bench.fork(B, C, PLAINLY).await;
    let ids = [A, B, C].map(|channel| on(&bench, channel)[0].1);
    let sessions = [A, B, C].map(|channel| on(&bench, channel)[0].0.clone());
    assert!(sessions.iter().all(|session| *session == sessions[0]));
    assert_eq!(bench.hub.kill(C, "", false).await.len(), 1);
    assert_eq!([A, B, C].map(|it| on(&bench, it).len()), [1, 1, 0]);
    bench.fork(B, C, PLAINLY).await;
    bench.hub.kill(B, "", false).await;
    assert_eq!([A, B, C].map(|it| on(&bench, it).len()), [1, 0, 0]);
    assert!(
        bench
            .hub
            .timeline(ids[1])
            .unwrap()
            .description()
            .unwrap()
            .ended
    );
    let health = bench.hub.health(ids[1]).unwrap();
    assert_eq!(
        (health.state, health.members.len()),
        (story::State::Ended, 0)
    );
    let source = bench.hub.stream(ids[0]).unwrap();
    source.set_thumbnail(Bytes::from_static(b"jpeg"));
    assert!(
        bench.hub.thumbnail(ids[1]).is_none(),
        "what goes on is not shown"
    );
    bench.fork(A, B, PLAINLY).await;
    let fork = bench.newest("b").unwrap();
    assert_eq!(bench.hub.thumbnail(fork), bench.hub.thumbnail(ids[0]));
    assert_eq!(bench.hub.health(fork).unwrap().members.len(), 1);
    bench.fork(B, C, PLAINLY).await;
    bench.hub.close(A);
    assert_eq!([A, B, C].map(|it| bench.hub.newest(it)), [None; 3]);
    let other = bench.hub.timeline(ids[2]);
    assert!(other.is_some(), "what ended can be played to its end");
}

#[tokio::test]
async fn a_source_to_which_nobody_comes_back_ends_its_forks() {
    let bench = Bench::new();
    let publisher = bench.air("a").await;
    bench.fork(A, B, PLAINLY).await;
    let fork = bench.newest("b").unwrap();
    drop(publisher);
    bench.clock.advance(Duration::from_secs(29));
    bench.hub.tidy().await;
    assert_eq!(bench.newest("b"), Some(fork));
    bench.clock.advance(Duration::from_secs(1));
    bench.hub.tidy().await;
    assert_eq!((bench.newest("a"), bench.newest("b")), (None, None));
    bench.clock.advance(Duration::from_secs(120));
    bench.hub.tidy().await;
    assert!(bench.hub.ids().is_empty(), "nothing is kept for ever");
}

#[tokio::test]
async fn no_stream_is_replaced_by_a_fork_of_itself() {
    let bench = Bench::new();
    let _publisher = bench.air("a").await;
    bench.fork(A, B, PLAINLY).await;
    bench.fork(B, C, PLAINLY).await;
    let before = [A, B, C].map(|channel| on(&bench, channel));
    for (from, to) in [(A, A), (B, A), (C, A), (C, B), (B, B)] {
        let forked = bench.fork(from, to, FORCE).await;
        assert_eq!(
            (forked.members.len(), forked.untouched.len()),
            (0, 1),
            "{from} {to}"
        );
        assert_eq!([A, B, C].map(|channel| on(&bench, channel)), before);
    }
}

#[tokio::test]
async fn capabilities_are_inherited_and_added_and_only_other_pictures_are_made_anew() {
    let bench = Bench::new();
    let _publisher = bench.air("a").await;
    let capabilities = |words: &'static [&str]| {
        let (hub, forking) = (bench.hub.clone(), forking(B, words, FORCE));
        async move {
            let forked = hub.fork(A, &forking).await.unwrap();
            forked.members[0].clone()
        }
    };
    let member = capabilities(&["token-auth", "hd"]).await;
    assert_eq!(member.capabilities, ["streaming", "hd", "token-auth"]);
    assert_eq!(bench.hub.admission(member.stream).unwrap().channel_id, B);
    let source = bench.newest("a").unwrap();
    assert_eq!(bench.hub.stream(member.stream).unwrap().id(), source);
    let listing = bench.hub.list().into_iter();
    let protected: Vec<bool> = listing.map(|listed| listed.protected).collect();
    assert_eq!(protected, [false, true], "each id by its own words");

    let portrait = capabilities(&["aspect-ratio=9x16"]).await;
    let square = forking(C, &["aspect-ratio=1x1"], PLAINLY);
    let square = bench.hub.fork(B, &square).await.unwrap();
    let words = &square.members[0].capabilities;
    assert!(words.contains(&"aspect-ratio=1x1".to_owned()));
    assert!(!words.contains(&"aspect-ratio=9x16".to_owned()));
    assert_eq!(square.members[0].session, portrait.session);

    // Other pictures, as this bench has it.
    let member = capabilities(&["fhd"]).await;
    assert_eq!(bench.hub.stream(member.stream).unwrap().id(), member.stream);
    assert_eq!(member.session, portrait.session);
    assert_eq!(bench.hub.publisher_count(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn forks_of_a_stream_are_bounded_and_so_is_what_ended_ones_leave() {
    let bench = Bench::new();
    let _publisher = bench.air("a").await;
    for _ in 0..200 {
        bench.fork(A, B, FORCE).await;
    }
    assert!(bench.hub.ids().len() <= 2 + 64, "{}", bench.hub.ids().len());
    let keep = forking(
        B,
        &[],
        ForkOptions {
            keep_streams: true,
            ..FORCE
        },
    );
    let mut made = 1;
    let refusal = loop {
        match bench.hub.fork(A, &keep).await {
            Ok(_) => made += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(made, 64);
    assert!(matches!(refusal, Refusal::Full(_)));
    assert_eq!(on(&bench, B).len(), 1, "what was there stays");
    // One that takes another's place needs no room of its own.
    let there = bench.newest("b");
    bench.fork(A, B, FORCE).await;
    assert_ne!(bench.newest("b"), there);
    // What was kept ends with a kill, and makes room again.
    bench.hub.kill(B, "", false).await;
    assert_eq!(bench.hub.fork(A, &keep).await.unwrap().members.len(), 1);
}

#[tokio::test]
async fn after_a_restart_the_source_is_there_and_its_forks_are_not() {
    let mut bench = Bench::new();
    let mut publisher = bench.air("a").await;
    bench.play(&mut publisher, 3).await;
    bench.fork(A, B, PLAINLY).await;
    let source = bench.newest("a");
    bench.start_anew(Duration::from_secs(1)).await;
    assert_eq!((bench.newest("a"), bench.newest("b")), (source, None));
}

#[tokio::test]
async fn whoever_keeps_streams_is_told_of_forks_and_of_their_ends() {
    let bench = Bench::new();
    let told: Arc<Mutex<Vec<Shown>>> = Arc::default();
    let keeper = told.clone();
    let keep = move |shown| keeper.lock().unwrap().push(shown);
    bench.hub.keep_with(Box::new(keep));
    let mut publisher = bench.air("a").await;
    let kept = forking(B, &["on-demand"], PLAINLY);
    bench.hub.fork(A, &kept).await.unwrap();
    bench.fork(A, C, PLAINLY).await;
    let streams = [A, B, C].map(|channel| on(&bench, channel)[0].1);
    let ended = || -> Vec<bool> {
        let told = told.lock().unwrap();
        told.iter().map(Shown::is_ended).collect()
    };
    {
        let told = told.lock().unwrap();
        let ids: Vec<Uuid> = told.iter().map(|shown| shown.id).collect();
        assert_eq!(ids, streams);
        let words = told.iter().map(|shown| shown.admission.capabilities.len());
        assert_eq!(words.collect::<Vec<usize>>(), [2, 3, 2]);
        assert_eq!(told[1].admission.channel_id, B);
        assert_eq!(told[1].epoch(), told[0].epoch());
    }
    assert_eq!(ended(), [false, false, false]);
    // One alone, the other with its source.
    bench.hub.kill(B, "", false).await;
    assert_eq!(ended(), [false, true, false]);
    bench.play(&mut publisher, 1).await;
    bench.hub.kill(A, "", false).await;
    assert_eq!(ended(), [true, true, true]);
}
