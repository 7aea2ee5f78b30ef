//! Whatever is published, forked, killed and deleted, in whatever order: some things hold.

use super::*;

const CHANNELS: [&str; 4] = ["a", "b", "c", "d"];

/// Numbers from a seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 3).unwrap() % limit
    }

    fn chance(&mut self) -> bool {
        self.below(3) == 0
    }

    fn channel(&mut self) -> &'static str {
        CHANNELS[self.below(CHANNELS.len())]
    }
}

fn id(alias: &str) -> String {
    format!("local#app#{alias}")
}

/// A timeline of each stream's own, which tells of its end.
#[derive(Default)]
struct Told {
    ended: AtomicBool,
    seen: Seen,
}

struct Teller(Arc<Told>);

impl Outlet for Teller {
    fn handle_rendition(&mut self, _rendition: &Arc<Rendition>) {}
    fn handle_track(&mut self, _id: RenditionId, _track: &Arc<Track>) {}
    fn handle_unit(&mut self, _id: RenditionId, _unit: AccessUnit, _boundaries: &[Boundary]) {}
    fn handle_gap(&mut self, _id: RenditionId, _boundary: &Boundary) {}
    fn handle_removed(&mut self, _id: RenditionId) {}
    fn handle_listed(&mut self, _ids: &[RenditionId]) {
        self.0.seen.listed.store(true, Ordering::Relaxed);
    }
    fn handle_break(&mut self) {}
    fn handle_end(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Timeline for Told {
    fn description(&self) -> Option<Arc<Description>> {
        let description = self.seen.description()?;
        Some(Arc::new(Description {
            ended: self.ended.load(Ordering::Relaxed),
            ..(*description).clone()
        }))
    }
    fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
        None
    }
    fn progress(&self, _rendition: &str) -> Option<Progress> {
        None
    }
    fn find(&self, _rendition: &str, _resource: Resource<'_>) -> Found {
        Found::Missing
    }
    fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
        Box::pin(std::future::pending())
    }
}

async fn tell(seed: u64) {
    let clock = Clock::simulated(START);
    let memory = Arc::new(Memory::default());
    let opener = |stream: &Arc<Stream>, _: Wall| {
        let told = Arc::new(Told::default());
        stream.attach(Box::new(Teller(told.clone())));
        told as Arc<dyn Timeline>
    };
    let (hub, _) = run_with(&clock, &memory, &Admits::default(), Some(Box::new(opener)));
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut publishers: Vec<Publisher> = Vec::new();
    let mut sent_ms = 0;
    for _ in 0..80 {
        let channel = dice.channel();
        match dice.below(12) {
            0 | 1 => {
                let words = Some(vec!["streaming".to_owned()]);
                publishers.extend(hub.publish(request(channel, words)).await.map(heard));
            }
            2 if !publishers.is_empty() => {
                publishers.swap_remove(dice.below(publishers.len()));
            }
            3..=6 => {
                let to = dice.channel();
                let forking = Forking {
                    channel_id: id(to),
                    alias: to.to_owned(),
                    name: to.to_owned(),
                    tags: Vec::new(),
                    capabilities: Vec::from_iter(dice.chance().then(|| "fhd".to_owned())),
                    options: ForkOptions {
                        force: dice.chance(),
                        additive: dice.chance(),
                        keep_streams: dice.chance(),
                    },
                };
                let sources = hub.members(&id(channel)).len();
                let forked = hub.fork(&id(channel), &forking).await.unwrap();
                let answered = forked.members.len() + forked.untouched.len();
                assert_eq!(answered, sources, "each member is forked or left");
                assert!(hub.members(&id(to)).len() >= answered);
            }
            7 => {
                let before = hub.members(&id(channel));
                let killed = hub.kill(&id(channel), "a story", dice.chance()).await;
                assert_eq!(killed, before);
                assert_eq!(
                    (hub.members(&id(channel)), hub.newest(&id(channel))),
                    (vec![], None)
                );
            }
            8 if dice.chance() => {
                hub.close(&id(channel));
                assert_eq!(
                    (hub.members(&id(channel)), hub.newest(&id(channel))),
                    (vec![], None)
                );
            }
            9 => {
                clock.advance(Duration::from_secs([1, 4, 31, 130][dice.below(4)]));
                hub.tidy().await;
            }
            _ => {
                sent_ms += 100;
                clock.advance(Duration::from_millis(100));
                for publisher in &mut publishers {
                    publisher.push(sound(Ticks(sent_ms)));
                }
            }
        }
        tokio::task::yield_now().await;
        hub.tick();
        hub.streams().assert_sound();
        for channel in CHANNELS {
            let count = hub.count(&id(channel), &Counted::default());
            assert_eq!(count, hub.members(&id(channel)).len());
        }
    }
    for channel in CHANNELS {
        hub.close(&id(channel));
    }
    assert!(hub.ids().is_empty(), "nothing is left");
    memory.emptied().await;
    hub.inner.tasks.finish().await;
}

fn heard(mut publisher: Publisher) -> Publisher {
    publisher.set_track(Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: Timescale::MILLIS,
    });
    publisher
}

#[tokio::test]
async fn every_story_of_channels_keeps_sessions_streams_and_forks_in_order() {
    for seed in 0..300 {
        tell(seed).await;
    }
}

/// What one of several callers does, whatever the others do.
async fn act(hub: Hub, clock: Clock, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut publishers: Vec<Publisher> = Vec::new();
    for at_ms in 0..150 {
        let channel = id(dice.channel());
        match dice.below(8) {
            0 | 1 => {
                let alias = channel.rsplit('#').next().unwrap();
                let words = Some(vec!["streaming".to_owned()]);
                publishers.extend(hub.publish(request(alias, words)).await.map(heard));
            }
            2 if !publishers.is_empty() => {
                publishers.swap_remove(dice.below(publishers.len()));
            }
            3 | 4 => {
                let forking = Forking {
                    channel_id: id(dice.channel()),
                    capabilities: Vec::from_iter(dice.chance().then(|| "fhd".to_owned())),
                    options: ForkOptions {
                        force: dice.chance(),
                        additive: dice.chance(),
                        keep_streams: dice.chance(),
                    },
                    ..Forking::default()
                };
                let _ = hub.fork(&channel, &forking).await;
            }
            5 if dice.chance() => {
                hub.kill(&channel, "at the same time", dice.chance()).await;
            }
            6 if dice.chance() => {
                hub.close(&channel);
            }
            7 => {
                clock.advance(Duration::from_millis(700));
                hub.tidy().await;
            }
            _ => {
                for publisher in &mut publishers {
                    publisher.push(sound(Ticks(at_ms)));
                }
            }
        }
    }
}

#[test]
fn whatever_happens_at_the_same_time_nobody_waits_for_ever_and_nothing_is_left() {
    on_four_threads(async {
        for seed in 0..20 {
            let clock = Clock::simulated(START);
            let memory = Arc::new(Memory::default());
            let (hub, _) = run(&clock, &memory, &Admits::default());
            let acting = (0..4).map(|who| {
                let act = act(hub.clone(), clock.clone(), seed * 4 + who + 1);
                hub.inner.tasks.spawn(act)
            });
            for acted in Vec::from_iter(acting) {
                acted.await.unwrap();
            }
            hub.streams().assert_bound();
            for channel in CHANNELS {
                hub.close(&id(channel));
            }
            assert!(hub.ids().is_empty(), "nothing is left");
            memory.emptied().await;
            assert_eq!(hub.publisher_count(), 0);
            hub.inner.tasks.finish().await;
        }
    });
}
