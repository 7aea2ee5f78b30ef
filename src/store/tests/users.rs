//! Users of a tenant, their tokens, follows and contacts.

use super::*;

fn new(name: &str, phone: &str) -> User {
    User {
        phone: phone.to_owned(),
        phone_e164: phone.to_owned(),
        ..User::named("app", name)
    }
}

async fn made(store: &Store, name: &str, phone: &str) -> User {
    store.create_user(&new(name, phone)).await.unwrap()
}

pub(super) async fn users_are_unique_in_their_tenant_whatever_the_case(bench: Bench) {
    let store = bench.store().await;
    let jane = made(&store, "Jäne", "").await;
    for (name, email) in [("JÄNE", "x@example.test"), ("x", "JÄNE@example.test")] {
        let mut other = new(name, "");
        other.email = email.to_owned();
        let error = store.create_user(&other).await.unwrap_err();
        assert!(matches!(error, Error::Exists(_)), "{name}");
    }
    let secret = Secret::new("secret");
    store.add_application("other", &secret).await.unwrap();
    let mut other = new("Jäne", "");
    other.application_id = "other".to_owned();
    store.create_user(&other).await.unwrap();
    other.application_id = "none".to_owned();
    let error = store.create_user(&other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let found = store
        .user_by_email("app", "jäne@EXAMPLE.test")
        .await
        .unwrap();
    assert_eq!(found, Some(jane.clone()));
    assert_eq!(store.user("other", jane.id).await.unwrap(), None);
    let john = made(&store, "john", "").await;
    let taken = User {
        username: "JÄNE".to_owned(),
        ..john.clone()
    };
    assert!(matches!(
        store.update_user(&taken).await,
        Err(Error::Exists(_))
    ));
    // What a profile says does not bring an old password back.
    let stale = User {
        password: Secret::new("stale"),
        ..john.clone()
    };
    store.update_user(&stale).await.unwrap();
    let found = store.user("app", john.id).await.unwrap().unwrap();
    assert_eq!(found.password, john.password);
    store.delete_user(john.id).await.unwrap();
    assert_eq!(
        store.delete_user(john.id).await.unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(
        store.update_user(&john).await.unwrap_err().kind(),
        Kind::NotFound
    );
}

pub(super) async fn bearer_tokens_open_until_they_end(bench: Bench) {
    let store = bench.store().await;
    let jane = made(&store, "jane", "").await;
    let first = store.issue_bearer(&jane).await.unwrap();
    let is_good = async |token: &Secret| {
        let user = store.user_of_bearer(token.expose()).await.unwrap();
        user.is_some_and(|user| user.id == jane.id)
    };
    assert!(is_good(&first).await);
    assert!(!is_good(&Secret::new("none")).await);
    let second = store.rotate_bearer(&jane, first.expose()).await.unwrap();
    assert!(is_good(&second).await && !is_good(&first).await);
    let error = store
        .rotate_bearer(&jane, first.expose())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    store.revoke_bearer(second.expose()).await.unwrap();
    assert!(!is_good(&second).await);
    // What is over is swept, and nothing else.
    let over = store.issue_bearer(&jane).await.unwrap();
    bench.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    let john = made(&store, "john", "").await;
    let fresh = store.issue_bearer(&john).await.unwrap();
    assert!(!is_good(&over).await);
    assert_eq!(store.sweep_bearers().await.unwrap(), 1);
    assert_eq!(store.sweep_bearers().await.unwrap(), 0);
    let found = store.user_of_bearer(fresh.expose()).await.unwrap();
    assert_eq!(found.unwrap().id, john.id);
    // The oldest goes when there are too many.
    let mut tokens = Vec::new();
    for _ in 0..21 {
        bench.clock.advance(Duration::from_secs(1));
        tokens.push(store.issue_bearer(&jane).await.unwrap());
    }
    assert!(!is_good(&tokens[0]).await && is_good(&tokens[1]).await);
    let kept = &tokens[5];
    let password = Secret::new("another");
    store
        .change_password(&jane, &password, kept.expose())
        .await
        .unwrap();
    assert!(is_good(kept).await && !is_good(&tokens[20]).await);
    // Who has read the old one is late.
    assert!(store.issue_bearer(&jane).await.is_err());
    assert!(
        store
            .change_password(&jane, &password, kept.expose())
            .await
            .is_err()
    );
    bench.clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert!(!is_good(kept).await);
}

pub(super) async fn users_follow_and_find_each_other(bench: Bench) {
    let store = bench.store().await;
    let jane = made(&store, "jane", "").await;
    let mut john = new("john_1", "");
    john.first_name = Some("Jörg".to_owned());
    let john = store.create_user(&john).await.unwrap();
    let ann = made(&store, "ann", "").await;
    assert!(store.add_follow(&jane, john.id).await.unwrap());
    assert!(!store.add_follow(&jane, john.id).await.unwrap());
    assert!(!store.add_follow(&jane, Uuid::new_v4()).await.unwrap());
    assert!(store.add_follow(&john, jane.id).await.unwrap());
    assert!(store.add_follow(&ann, jane.id).await.unwrap());
    let expected = Follows {
        followers: 2,
        following: 1,
        mutual: 1,
    };
    assert_eq!(store.follows(jane.id).await.unwrap(), expected);
    let names = async |text: &str, limit| {
        let hits = store.search_users(&jane, text, limit).await.unwrap();
        let shown = hits
            .into_iter()
            .map(|hit| (hit.user.username, hit.is_following));
        shown.collect::<Vec<_>>()
    };
    let john_1 = ("john_1".to_owned(), true);
    for text in ["JOHN", "n_1", "JÖRG", "john_1@example.test"] {
        assert_eq!(
            names(text, 10).await,
            std::slice::from_ref(&john_1),
            "{text}"
        );
    }
    for text in ["%", "n%1", "\\", "example.test"] {
        assert_eq!(names(text, 10).await, [], "{text}");
    }
    let (first, second) = (("ann".to_owned(), false), ("jane".to_owned(), false));
    assert_eq!(names("an", 10).await, [first.clone(), second]);
    assert_eq!(names("an", 1).await, [first]);
    assert!(store.remove_follow(jane.id, john.id).await.unwrap());
    assert!(!store.remove_follow(jane.id, john.id).await.unwrap());
    store.delete_user(ann.id).await.unwrap();
    let expected = Follows {
        followers: 1,
        following: 0,
        mutual: 0,
    };
    assert_eq!(store.follows(jane.id).await.unwrap(), expected);
}

fn contact(number: &str, name: Option<&str>) -> NewContact {
    NewContact {
        phone: number.to_owned(),
        phone_e164: number.to_owned(),
        display_name: name.map(str::to_owned),
        ..NewContact::default()
    }
}

pub(super) async fn contacts_are_one_for_each_number_and_know_who_has_it(bench: Bench) {
    let store = bench.store().await;
    let jane = made(&store, "jane", "").await;
    let john = made(&store, "john", "+12125550147").await;
    let many: Vec<_> = (0..1200)
        .map(|n| contact(&format!("+1212555{n:04}"), Some("a")))
        .collect();
    store.sync_contacts(&jane, &many).await.unwrap();
    let first = store.contacts(&jane).await.unwrap();
    assert_eq!(first.len(), 1200);
    let known = |all: &[Contact]| all.iter().filter(|one| one.user == Some(john.id)).count();
    assert_eq!(known(&first), 1);
    let again = [
        contact("+12125550147", None),
        contact("+12125550148", Some("b")),
    ];
    store.sync_contacts(&jane, &again).await.unwrap();
    let all = store.contacts(&jane).await.unwrap();
    assert_eq!(all.len(), 1200);
    let of = |number: &str| {
        all.iter()
            .find(|one| one.content.phone_e164 == number)
            .unwrap()
    };
    assert_eq!(
        of("+12125550147").content.display_name.as_deref(),
        Some("a")
    );
    let one = of("+12125550148");
    assert_eq!(one.content.display_name.as_deref(), Some("b"));
    assert_eq!(
        store.contact(&jane, one.id).await.unwrap().as_ref(),
        Some(one)
    );
    assert_eq!(store.contact(&john, one.id).await.unwrap(), None);
    let taken = store.update_contact(&jane, one.id, &again[0]).await;
    assert!(matches!(taken, Err(Error::Exists(_))));
    let foreign = store
        .update_contact(&john, one.id, &again[1])
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), Kind::NotFound);
    // Above the bound nothing is kept.
    let more: Vec<_> = (0..MAX_CONTACTS)
        .map(|n| contact(&format!("+44{n:010}"), None))
        .collect();
    let full = store.sync_contacts(&jane, &more).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Capacity);
    assert_eq!(store.contacts(&jane).await.unwrap().len(), 1200);
    store.delete_user(jane.id).await.unwrap();
    let late = store.sync_contacts(&jane, &again).await.unwrap_err();
    assert_eq!(late.kind(), Kind::NotFound);
}
