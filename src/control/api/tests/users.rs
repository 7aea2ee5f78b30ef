//! Users: sign-up, sign-in, tokens, profile, search, follows.

use super::*;

#[tokio::test]
async fn who_signs_up_is_signed_in_and_shown_as_the_contract_has_it() {
    let bench = bench(|_| {}).await;
    let body = json!({"username": "jane", "email": "Jane@example.test", "password": "s3cretpass",
        "phoneNumber": "(212) 555-0147", "firstName": "Jane", "lastName": null});
    let (code, answer) = call(&bench, "POST /api/users/signup", &[], body).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 2);
    assert!(!answer.to_string().contains("argon2"));
    let jane = Person::of(&answer);
    let (code, profile) = jane.call(&bench, "GET /api/users/profile/full", "").await;
    assert_eq!(code, 200);
    let expected = json!({
        "id": jane.id, "username": "jane", "email": "Jane@example.test",
        "phoneNumber": "(212) 555-0147", "firstName": "Jane", "lastName": null,
        "displayName": null, "avatarUrl": null, "isActive": true, "emailVerified": false,
        "phoneVerified": false, "appIdName": "app", "followerCount": 0, "followingCount": 0,
        "connectionCount": 0, "createdAt": "2026-09-21T14:13:20Z",
        "updatedAt": "2026-09-21T14:13:20Z",
    });
    assert_eq!(profile, expected);
    let same = [
        json!({"username": "JANE", "email": "b@example.test", "password": "s3cretpass"}),
        json!({"username": "b", "email": "jane@EXAMPLE.test", "password": "s3cretpass"}),
    ];
    for body in same {
        assert_eq!(
            call(&bench, "POST /api/users/signup", &[], body).await.0,
            409
        );
    }
    // Another tenant has users of its own, and its tokens open nothing with this one's key.
    let key = tenant(&bench, "other").await;
    let other = person_of(&bench, &[&key], "jane", "").await;
    let (code, profile) = other.call(&bench, "GET /api/users/profile/full", "").await;
    assert_eq!((code, &profile["phoneNumber"]), (200, &json!("")));
    let mixed = [key.as_str(), jane.token.as_str()];
    let (code, _) = call(&bench, "GET /api/users/profile/full", &mixed, "").await;
    assert_eq!(code, 401);
}

#[tokio::test]
async fn what_is_missing_or_wrong_at_sign_up_is_named() {
    let bench = bench(|_| {}).await;
    let good = json!({"username": "jane", "email": "jane@example.test", "password": "s3cretpass"});
    let long = "x".repeat(257);
    for (field, value) in [
        ("username", json!(null)),
        ("username", json!(" ")),
        ("username", json!(7)),
        ("username", json!(long)),
        ("email", json!(null)),
        ("email", json!("jane")),
        ("email", json!("@example.test")),
        ("email", json!("ja ne@example.test")),
        ("password", json!(null)),
        ("password", json!("short")),
        ("password", json!(long)),
        ("phoneNumber", json!(5550147)),
        ("firstName", json!("a\u{0}b")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let (code, answer) = call(&bench, "POST /api/users/signup", &[], &body).await;
        assert_eq!(code, 400, "{body}");
        assert!(
            answer["reason"].as_str().unwrap().contains(field),
            "{answer}"
        );
    }
    for body in ["", "[]", "{", "\u{feff}"] {
        assert_eq!(
            call(&bench, "POST /api/users/signup", &[], body).await.0,
            400
        );
    }
    assert_eq!(bench.store.users("app", 1, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_password_opens_its_account_until_it_was_wrong_too_often() {
    let bench = bench(|_| {}).await;
    person(&bench, "jane", "").await;
    let sign_in = |email: &'static str, password: &'static str| {
        let body = json!({"email": email, "password": password});
        call(&bench, "POST /api/users/login", &[], body)
    };
    let (code, answer) = sign_in("JANE@example.test", "s3cretpass").await;
    assert_eq!((code, &answer["user"]["username"]), (200, &json!("jane")));
    let (code, wrong) = sign_in("jane@example.test", "s3cretpasS").await;
    assert_eq!(code, 401);
    let (code, unknown) = sign_in("john@example.test", "s3cretpass").await;
    assert_eq!((code, unknown), (401, wrong));
    for _ in 0..9 {
        assert_eq!(sign_in("jane@example.test", "guess").await.0, 401);
    }
    assert_eq!(sign_in("jane@example.test", "s3cretpass").await.0, 429);
    bench.clock.advance(std::time::Duration::from_secs(300));
    assert_eq!(sign_in("jane@example.test", "s3cretpass").await.0, 200);
}

#[tokio::test]
async fn tokens_are_replaced_and_ended() {
    let bench = bench(|_| {}).await;
    let first = person(&bench, "jane", "").await;
    let (code, answer) = first.call(&bench, "POST /api/users/token", "").await;
    assert_eq!(code, 200);
    let second = Person::of(&answer);
    let profile = "GET /api/users/profile/full";
    assert_eq!(first.call(&bench, profile, "").await.0, 401);
    assert_eq!(first.call(&bench, "POST /api/users/token", "").await.0, 401);
    assert_eq!(second.call(&bench, profile, "").await.0, 200);
    assert_eq!(
        second.call(&bench, "POST /api/users/logout", "").await.0,
        200
    );
    assert_eq!(second.call(&bench, profile, "").await.0, 401);
}

#[tokio::test]
async fn another_password_ends_the_other_tokens() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "").await;
    let sign_in = |password: &'static str| {
        let body = json!({"email": "jane@example.test", "password": password});
        call(&bench, "POST /api/users/login", &[], body)
    };
    let elsewhere = Person::of(&sign_in("s3cretpass").await.1);
    let change = "POST /api/users/change-password";
    let body = json!({"currentPassword": "wrong one", "newPassword": "newpass123"});
    assert_eq!(jane.call(&bench, change, body).await.0, 400);
    let body = json!({"currentPassword": "s3cretpass", "newPassword": "short"});
    assert_eq!(jane.call(&bench, change, body).await.0, 400);
    let body = json!({"currentPassword": "s3cretpass", "newPassword": "newpass123"});
    assert_eq!(jane.call(&bench, change, body).await.0, 200);
    let profile = "GET /api/users/profile/full";
    assert_eq!(jane.call(&bench, profile, "").await.0, 200);
    assert_eq!(elsewhere.call(&bench, profile, "").await.0, 401);
    assert_eq!(sign_in("s3cretpass").await.0, 401);
    assert_eq!(sign_in("newpass123").await.0, 200);
}

#[tokio::test]
async fn a_profile_is_changed_by_what_is_said_of_it_and_removed_with_its_tokens() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "212-555-0147").await;
    person(&bench, "john", "").await;
    let body = json!({"username": "newname", "firstName": "New", "avatarUrl": null});
    let (code, user) = jane.call(&bench, "PUT /api/users/profile", body).await;
    assert_eq!((code, &user["username"]), (200, &json!("newname")));
    assert_eq!(user["phoneNumber"], "212-555-0147");
    let body = json!({"firstName": "", "phoneNumber": ""});
    let (_, user) = jane.call(&bench, "PUT /api/users/profile", body).await;
    assert_eq!(
        (&user["firstName"], &user["phoneNumber"]),
        (&Value::Null, &json!(""))
    );
    for (body, expected) in [
        (json!({"username": "John"}), 409),
        (json!({"email": "john@example.test"}), 409),
        (json!({"email": "nobody"}), 400),
        (json!({"username": " "}), 400),
        (json!({"firstName": ["x"]}), 400),
    ] {
        let (code, _) = jane.call(&bench, "PUT /api/users/profile", &body).await;
        assert_eq!(code, expected, "{body}");
    }
    assert_eq!(
        jane.call(&bench, "DELETE /api/users/profile", "").await.0,
        200
    );
    assert_eq!(
        jane.call(&bench, "GET /api/users/profile/full", "").await.0,
        401
    );
    let body = json!({"email": "jane@example.test", "password": "s3cretpass"});
    assert_eq!(
        call(&bench, "POST /api/users/login", &[], body).await.0,
        401
    );
}

#[tokio::test]
async fn users_find_and_follow_users_of_their_tenant_only() {
    let bench = bench(|_| {}).await;
    let (jane, john) = (
        person(&bench, "jane", "").await,
        person(&bench, "john", "").await,
    );
    let key = tenant(&bench, "other").await;
    let stranger = person_of(&bench, &[&key], "johnny", "").await;
    let count = |user: &Value| {
        ["followerCount", "followingCount", "connectionCount"].map(|key| user[key].clone())
    };
    let follow_john = format!("/api/users/follow/{}", john.id);
    assert_eq!(
        jane.call(&bench, &format!("POST {follow_john}"), "")
            .await
            .0,
        200
    );
    assert_eq!(
        jane.call(&bench, &format!("POST {follow_john}"), "")
            .await
            .0,
        409
    );
    let (_, found) = jane.call(&bench, "GET /api/users/search?q=JOH", "").await;
    let expected = json!([{"id": john.id, "username": "john", "email": "john@example.test",
        "firstName": null, "lastName": null, "avatarUrl": null, "isFollowing": true}]);
    assert_eq!(found, expected);
    assert_eq!(
        jane.call(&bench, "GET /api/users/following/count", "")
            .await
            .1,
        json!({"count": 1})
    );
    assert_eq!(
        john.call(&bench, "GET /api/users/followers/count", "")
            .await
            .1,
        json!({"count": 1})
    );
    john.call(&bench, &format!("POST /api/users/follow/{}", jane.id), "")
        .await;
    let (_, profile) = jane.call(&bench, "GET /api/users/profile/full", "").await;
    assert_eq!(count(&profile), [json!(1), json!(1), json!(1)]);
    for _ in 0..2 {
        assert_eq!(
            jane.call(&bench, &format!("DELETE {follow_john}"), "")
                .await
                .0,
            200
        );
    }
    let (_, profile) = jane.call(&bench, "GET /api/users/profile/full", "").await;
    assert_eq!(count(&profile), [json!(1), json!(0), json!(0)]);
    for id in [stranger.id.as_str(), "none", "%FF%00"] {
        let expected = if id.starts_with('%') { 400 } else { 404 };
        for method in ["POST", "DELETE"] {
            let what = format!("{method} /api/users/follow/{id}");
            assert_eq!(jane.call(&bench, &what, "").await.0, expected, "{what}");
        }
    }
    let itself = format!("POST /api/users/follow/{}", jane.id);
    assert_eq!(jane.call(&bench, &itself, "").await.0, 400);
    for (query, expected) in [
        ("", 400),
        ("?q=x&limit=0", 400),
        ("?q=x&limit=101", 400),
        ("?q=x&limit=x", 400),
        ("?q=x&limit=100", 200),
        ("?q=", 200),
        ("?q=%25&limit=1", 200),
    ] {
        let (code, found) = jane
            .call(&bench, &format!("GET /api/users/search{query}"), "")
            .await;
        assert_eq!(code, expected, "{query}");
        assert!(code == 400 || found == json!([]), "{query}: {found}");
    }
}

#[tokio::test]
async fn without_a_users_token_everything_is_401_before_anything_else() {
    let bench = bench(|_| {}).await;
    for what in [
        "POST /api/users/logout",
        "POST /api/users/token",
        "GET /api/users/profile/full",
        "PUT /api/users/profile",
        "DELETE /api/users/profile",
        "POST /api/users/change-password",
        "GET /api/users/search",
        "GET /api/users/followers/count",
        "GET /api/users/following/count",
        "POST /api/users/follow/none",
        "DELETE /api/users/follow/%FF",
        "POST /api/contacts/sync",
        "GET /api/contacts",
        "GET /api/contacts/none",
        "PUT /api/contacts/none",
        "POST /api/contacts/none/follow",
        "DELETE /api/contacts/none/follow",
    ] {
        for headers in [
            &[][..],
            &["authorization: Bearer x"][..],
            &["x-admin-key: admin-key"][..],
        ] {
            assert_eq!(
                call(&bench, what, headers, "{").await.0,
                401,
                "{what} {headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_lists_its_users_and_no_others() {
    let bench = clients().await;
    let names = async |key: &str, query: &str| {
        let path = format!("GET /api/v1/users{query}");
        let (code, list) = call(&bench, &path, &[&format!("x-api-key: {key}")], "").await;
        assert_eq!(code, 200, "{list}");
        assert!(!list.to_string().contains("argon2"));
        let list = list.as_array().expect("a bare array").iter();
        let names = list.map(|user| user["username"].as_str().expect("text").to_owned());
        names.collect::<Vec<_>>()
    };
    assert!(names("pk_one", "").await.is_empty());
    for (key, name) in [("pk_one", "ann"), ("pk_two", "bob"), ("pk_one", "cid")] {
        person_of(&bench, &[&format!("x-api-key: {key}")], name, "").await;
    }
    let mut both = names("pk_one", "").await;
    assert_eq!(names("pk_one", "?limit=1").await, both[..1]);
    assert_eq!(names("pk_one", "?limit=1&offset=1").await, both[1..]);
    // They signed up at the same moment of the bench's clock.
    both.sort();
    assert_eq!(both, ["ann", "cid"]);
    assert_eq!(names("pk_two", "").await, ["bob"]);
    for query in ["?limit=0", "?limit=x", "?offset=-1"] {
        let path = format!("GET /api/v1/users{query}");
        assert_eq!(call(&bench, &path, &["x-api-key: pk_one"], "").await.0, 400);
    }
    assert_eq!(call(&bench, "GET /api/v1/users", &[], "").await.0, 401);
}
