//! What is shown of broadcasts: names, lists, posters.

use super::*;

async fn made(store: &Store, change: impl FnOnce(&mut NewBroadcast<'_>)) -> Broadcast {
    let mut new = NewBroadcast::titled("app", "A title");
    change(&mut new);
    store.create_broadcast(&new, 100).await.unwrap()
}

pub(super) async fn a_name_leads_to_a_channel_or_to_a_broadcast_that_is_not_private(bench: Bench) {
    let store = bench.store().await;
    let channel = ensured(&store, &Secret::new("key")).await;
    let live = store.find_stream("live").await.unwrap();
    assert!(matches!(live, Some(Named::Channel(found)) if found.id == channel.id));
    let broadcast = made(&store, |_| {}).await;
    let unlisted = made(&store, |new| new.visibility = Visibility::Unlisted).await;
    let private = made(&store, |new| new.visibility = Visibility::Private).await;
    for one in [&broadcast, &unlisted] {
        for name in [
            one.id.to_string(),
            one.stream_id.to_string(),
            format!("r{}", one.number),
            one.channel_id.clone(),
        ] {
            let found = store.find_stream(&name).await.unwrap();
            assert_eq!(found, Some(Named::Broadcast(one.stream_id)), "{name}");
        }
    }
    for name in [private.id.to_string(), format!("r{}", private.number)] {
        assert_eq!(store.find_stream(&name).await.unwrap(), None, "{name}");
    }
    // What was recorded of it is played after its end.
    become_(&store, broadcast.id, Status::Completed).await;
    let found = store.find_stream("r1").await.unwrap();
    assert_eq!(found, Some(Named::Broadcast(broadcast.stream_id)));
    // Who makes broadcasts takes nobody's alias.
    let alias = store.create_channel(&creation("r1"), 100).await.unwrap();
    assert_eq!(
        store.find_stream("r1").await.unwrap(),
        Some(Named::Channel(alias))
    );
}

pub(super) async fn operators_list_broadcasts_of_all_tenants(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("secret");
    store.add_application("other", &secret).await.unwrap();
    let one = made(&store, |new| new.visibility = Visibility::Private).await;
    let two = made(&store, |new| new.application_id = "other").await;
    become_(&store, one.id, Status::Active).await;
    let ids = async |status, limit, offset| {
        let listed = store.all_broadcasts(status, limit, offset).await.unwrap();
        listed.iter().map(|found| found.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10, 0).await, [two.id, one.id]);
    assert_eq!(ids(None, 1, 1).await, [one.id]);
    assert_eq!(ids(Some(Status::Active), 10, 0).await, [one.id]);
    assert!(ids(Some(Status::Completed), 10, 0).await.is_empty());
}

async fn picture(store: &Store, user: &User, of: &str, path: &str, change: impl FnOnce(&mut File)) {
    let mut file = File {
        id: Uuid::new_v4(),
        user_id: user.id,
        links: FileLinks {
            broadcast: Some(of.to_owned()),
            ..FileLinks::default()
        },
        name: path.to_owned(),
        mime_type: "image/png".to_owned(),
        stored: true,
        category: Some("Poster".to_owned()),
        paths: FilePaths {
            original: path.to_owned(),
            ..FilePaths::default()
        },
        ..File::default()
    };
    change(&mut file);
    store.create_file(&file).await.unwrap();
}

pub(super) async fn a_poster_is_the_newest_picture_that_its_own_people_made_for_a_broadcast(
    bench: Bench,
) {
    let store = bench.store().await;
    let secret = Secret::new("secret");
    store.add_application("other", &secret).await.unwrap();
    let (ann, bob) = (
        user(&store, "app", "ann").await,
        user(&store, "app", "bob").await,
    );
    let stranger = user(&store, "other", "eve").await;
    let of_all = made(&store, |_| {}).await;
    let of_ann = made(&store, |new| new.user_id = Some(ann.id)).await;
    let both = [of_all.clone(), of_ann.clone()];
    assert!(store.posters(&both).await.unwrap().is_empty());
    assert!(store.posters(&[]).await.unwrap().is_empty());
    for broadcast in &both {
        let id = broadcast.id.to_string();
        picture(&store, &stranger, &id, "stranger", |_| {}).await;
        picture(&store, &ann, &id, "no poster", |file| file.category = None).await;
        picture(&store, &ann, &id, "no picture", |file| {
            file.mime_type = "text/html".to_owned();
        })
        .await;
        picture(&store, &ann, &id, "elsewhere", |file| file.stored = false).await;
    }
    assert!(store.posters(&both).await.unwrap().is_empty());
    picture(&store, &ann, &of_ann.id.to_string(), "ann", |_| {}).await;
    bench.clock.advance(Duration::from_secs(1));
    picture(&store, &bob, &of_ann.id.to_string(), "bob", |_| {}).await;
    picture(
        &store,
        &bob,
        &of_all.stream_id.to_string().to_uppercase(),
        "old",
        |_| {},
    )
    .await;
    let posters = store.posters(&both).await.unwrap();
    assert_eq!(posters[&of_ann.id].original, "ann");
    assert_eq!(posters[&of_all.id].original, "old");
    // By a tag and by the short id as well.
    bench.clock.advance(Duration::from_secs(1));
    picture(&store, &ann, "r1", "large", |file| {
        file.category = None;
        file.tags = Some(vec!["x".to_owned(), "POSTER".to_owned()]);
        file.paths.medium = Some("medium".to_owned());
        file.paths.small = Some("small".to_owned());
    })
    .await;
    let posters = store.posters(&both).await.unwrap();
    assert_eq!(posters[&of_all.id].small.as_deref(), Some("small"));
    assert_eq!(posters.len(), 2);
}
