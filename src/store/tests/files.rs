//! Files: lists, images, whose they are.

use super::*;

fn file(user: &User, name: &str) -> File {
    File {
        id: Uuid::new_v4(),
        user_id: user.id,
        name: name.to_owned(),
        mime_type: "image/png".to_owned(),
        paths: FilePaths {
            original: format!("/uploads/{name}"),
            ..FilePaths::default()
        },
        size_bytes: 7,
        ..File::default()
    }
}

fn all(user: &User) -> FilesOf<'static> {
    FilesOf::User {
        id: user.id,
        category: None,
        tag: None,
    }
}

async fn names(store: &Store, of: FilesOf<'_>) -> Vec<String> {
    let files = store.files("app", of).await.unwrap();
    files.into_iter().map(|file| file.name).collect()
}

pub(super) async fn a_file_is_read_as_it_was_made_and_changed_until_it_is_deleted(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let new = File {
        links: FileLinks {
            contact: Some("c".to_owned()),
            message: Some("m".to_owned()),
            call: Some("l".to_owned()),
            broadcast: Some("r5".to_owned()),
        },
        description: Some("'; DROP TABLE files; --".to_owned()),
        paths: FilePaths {
            original: "../../etc/passwd".to_owned(),
            thumbnail: Some("t".to_owned()),
            small: Some("s".to_owned()),
            medium: Some("m".to_owned()),
            large: Some("l".to_owned()),
        },
        size_bytes: 5 << 40,
        category: Some("profile".to_owned()),
        tags: Some(vec!["a \"quoted\" one".to_owned(), "b".to_owned()]),
        location: Some("Zürich".to_owned()),
        stored: true,
        ..file(&ann, "a.png")
    };
    let made = store.create_file(&new).await.unwrap();
    assert_eq!(made.created, bench.clock.wall());
    let found = store.file("app", new.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made));
    assert!(store.is_file_stored(new.id).await.unwrap());

    bench.clock.advance(Duration::from_secs(1));
    let changed = File {
        name: "b.png".to_owned(),
        description: None,
        tags: None,
        location: None,
        category: Some("poster".to_owned()),
        // These stay as they are.
        mime_type: "text/html".to_owned(),
        stored: false,
        ..made.clone()
    };
    let updated = store.update_file(&changed).await.unwrap().updated;
    assert_eq!(updated, bench.clock.wall());
    let expected = File {
        mime_type: made.mime_type.clone(),
        stored: true,
        updated,
        ..changed.clone()
    };
    let found = store.file("app", new.id).await.unwrap();
    assert_eq!(found, Some(expected));

    store.delete_file(new.id).await.unwrap();
    assert_eq!(store.file("app", new.id).await.unwrap(), None);
    assert!(!store.is_file_stored(new.id).await.unwrap());
    let gone = store.delete_file(new.id).await;
    assert!(matches!(gone, Err(Error::Missing { what: "file", .. })));
    let gone = store.update_file(&changed).await;
    assert!(matches!(gone, Err(Error::Missing { what: "file", .. })));
}

pub(super) async fn files_are_listed_newest_first_by_what_they_belong_to(bench: Bench) {
    let store = bench.store().await;
    let (ann, bob) = (
        user(&store, "app", "ann").await,
        user(&store, "app", "bob").await,
    );
    let id = || Some("x".to_owned());
    let mut linked = [
        file(&ann, "0"),
        file(&ann, "1"),
        file(&bob, "2"),
        file(&bob, "3"),
    ];
    linked[0].links.contact = id();
    linked[1].links.message = id();
    linked[2].links.call = id();
    linked[3].links.broadcast = id();
    linked[0].category = Some("k".to_owned());
    linked[0].tags = Some(vec!["t".to_owned()]);
    linked[1].tags = Some(vec!["t".to_owned(), "tt".to_owned()]);
    for file in &linked {
        store.create_file(file).await.unwrap();
        bench.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(names(&store, all(&ann)).await, ["1", "0"]);
    assert_eq!(names(&store, FilesOf::Contact(ann.id, "x")).await, ["0"]);
    assert!(
        names(&store, FilesOf::Contact(bob.id, "x"))
            .await
            .is_empty()
    );
    assert_eq!(names(&store, FilesOf::Message("x")).await, ["1"]);
    assert_eq!(names(&store, FilesOf::Call("x")).await, ["2"]);
    assert_eq!(names(&store, FilesOf::Broadcast("x")).await, ["3"]);
    assert!(names(&store, FilesOf::Broadcast("y")).await.is_empty());
    let of = |category, tag| FilesOf::User {
        id: ann.id,
        category,
        tag,
    };
    assert_eq!(names(&store, of(Some("k"), None)).await, ["0"]);
    assert_eq!(names(&store, of(None, Some("t"))).await, ["1", "0"]);
    assert_eq!(names(&store, of(None, Some("tt"))).await, ["1"]);
    assert!(names(&store, of(Some("k"), Some("tt"))).await.is_empty());
    assert!(names(&store, of(None, Some("%"))).await.is_empty());
}

pub(super) async fn files_of_another_tenant_are_not_there(bench: Bench) {
    let store = bench.store().await;
    let other = Secret::new("other-secret");
    store.ensure_application("other", &other).await.unwrap();
    let eve = user(&store, "other", "eve").await;
    let mut new = file(&eve, "x");
    new.links.message = Some("m".to_owned());
    store.create_file(&new).await.unwrap();
    assert_eq!(store.file("app", new.id).await.unwrap(), None);
    assert!(store.file("other", new.id).await.unwrap().is_some());
    assert!(names(&store, all(&eve)).await.is_empty());
    assert!(names(&store, FilesOf::Message("m")).await.is_empty());
}

pub(super) async fn images_of_a_user_are_its_newest(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let profile = async || store.profile_image("app", ann.id).await.unwrap();
    let contact = async || store.contact_image("app", ann.id).await.unwrap();
    assert_eq!((profile().await, contact().await), (None, None));
    let mut name = 0;
    let mut next = |category: Option<&str>, tag: &str, contact: Option<&str>| {
        name += 1;
        File {
            category: category.map(str::to_owned),
            tags: Some(vec![tag.to_owned()]),
            links: FileLinks {
                contact: contact.map(str::to_owned),
                ..FileLinks::default()
            },
            ..file(&ann, &name.to_string())
        }
    };
    let files = [
        (next(Some("profile"), "x", None), "1", None),
        (next(None, "Avatar", None), "2", None),
        (next(None, "profilepic", None), "3", None),
        (next(None, "\"avatar\"", None), "3", None),
        (next(Some("contact"), "", None), "3", Some("5")),
        (next(None, "", Some("c")), "3", Some("6")),
    ];
    for (file, profile_name, contact_name) in files {
        bench.clock.advance(Duration::from_secs(1));
        store.create_file(&file).await.unwrap();
        assert_eq!(profile().await.unwrap().name, profile_name);
        let contact = contact().await.map(|file| file.name);
        assert_eq!(contact.as_deref(), contact_name);
    }
}

pub(super) async fn files_go_with_their_user(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let new = file(&ann, "x");
    store.create_file(&new).await.unwrap();
    store.delete_user(ann.id).await.unwrap();
    assert_eq!(store.file("app", new.id).await.unwrap(), None);
    let late = store.create_file(&file(&ann, "y")).await;
    assert!(matches!(late, Err(Error::Missing { what: "user", .. })));
}
