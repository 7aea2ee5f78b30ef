//! Contacts: synchronised, shown, changed, followed.

use super::*;

async fn sync(bench: &Bench, person: &Person, contacts: Value) -> Value {
    let body = json!({"contacts": contacts});
    let (code, answer) = person.call(bench, "POST /api/contacts/sync", body).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

#[tokio::test]
async fn an_address_book_shows_who_of_it_is_here() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "+1 416 555 0123").await;
    let john = person(&bench, "john", "(212) 555-0147").await;
    let key = tenant(&bench, "other").await;
    person_of(&bench, &[&key], "stranger", "+442079460958").await;
    let answer = sync(
        &bench,
        &jane,
        json!([
            {"phoneNumber": "212-555-0147", "displayName": "Johnny", "firstName": "John",
                "lastName": null, "email": "j@example.test"},
            {"phoneNumber": "+44 20 7946 0958"},
            {"phoneNumber": "*86", "displayName": "Voice mail"},
            {"phoneNumber": "+12125550147", "lastName": "Doe"},
        ]),
    )
    .await;
    assert_eq!(
        (&answer["success"], &answer["totalContacts"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(answer["pubfuseUsers"], 1);
    assert!(answer["message"].is_string());
    let contact = answer["contacts"][0].clone();
    let expected = json!({
        "id": contact["id"], "phoneNumber": "+12125550147", "displayName": "Johnny",
        "firstName": "John", "lastName": "Doe", "email": "j@example.test", "isPubfuseUser": true,
        "pubfuseUserId": john.id, "isFollowing": false, "isFollowedBy": false,
        "createdAt": "2026-09-21T14:13:20Z", "updatedAt": "2026-09-21T14:13:20Z",
    });
    assert_eq!(contact, expected);
    // Nobody of another tenant is shown.
    assert_eq!(answer["contacts"][1]["pubfuseUserId"], Value::Null);
    assert_eq!(answer["contacts"][1]["isPubfuseUser"], false);
    // The same numbers again are the same contacts, and what is not said of them stays.
    let again = sync(
        &bench,
        &jane,
        json!([{"phoneNumber": "2125550147", "firstName": "Jo"}]),
    )
    .await;
    assert_eq!(again["contacts"][0]["id"], contact["id"]);
    assert_eq!(again["contacts"][0]["firstName"], "Jo");
    assert_eq!(again["contacts"][0]["displayName"], "Johnny");
    let (code, all) = jane.call(&bench, "GET /api/contacts", "").await;
    assert_eq!((code, all.as_array().unwrap().len()), (200, 3));
    // Nobody else has them.
    let one = format!("/api/contacts/{}", contact["id"].as_str().unwrap());
    assert_eq!(
        jane.call(&bench, &format!("GET {one}"), "").await,
        (200, again["contacts"][0].clone())
    );
    for what in [
        format!("GET {one}"),
        format!("PUT {one}"),
        format!("POST {one}/follow"),
    ] {
        assert_eq!(john.call(&bench, &what, "{}").await.0, 404, "{what}");
    }
    assert_eq!(
        john.call(&bench, "GET /api/contacts", "").await,
        (200, json!([]))
    );
}

#[tokio::test]
async fn a_contact_is_changed_by_what_is_said_of_it() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "").await;
    let made = sync(
        &bench,
        &jane,
        json!([
            {"phoneNumber": "2125550147", "displayName": "One", "email": "a@example.test"},
            {"phoneNumber": "2125550148"},
        ]),
    )
    .await;
    let one = format!(
        "PUT /api/contacts/{}",
        made["contacts"][0]["id"].as_str().unwrap()
    );
    let body = json!({"displayName": "Jane S.", "email": "", "firstName": null});
    let (code, contact) = jane.call(&bench, &one, body).await;
    assert_eq!((code, &contact["displayName"]), (200, &json!("Jane S.")));
    assert_eq!(
        (&contact["email"], &contact["phoneNumber"]),
        (&Value::Null, &json!("2125550147"))
    );
    for (body, expected) in [
        (json!({"phoneNumber": "+1 212 555 0148"}), 409),
        (json!({"phoneNumber": " "}), 400),
        (json!({"phoneNumber": 7}), 400),
        (json!({"phoneNumber": "+1 212 555 0149"}), 200),
        (json!({}), 200),
    ] {
        assert_eq!(jane.call(&bench, &one, &body).await.0, expected, "{body}");
    }
}

#[tokio::test]
async fn the_user_behind_a_contact_is_followed_once() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "+14165550123").await;
    let john = person(&bench, "john", "+12125550147").await;
    let numbers = json!([{"phoneNumber": "2125550147"}, {"phoneNumber": "2125550148"},
        {"phoneNumber": "4165550123"}]);
    let made = sync(&bench, &jane, numbers).await;
    let path = |at: usize| {
        let id = made["contacts"][at]["id"].as_str().unwrap();
        format!("/api/contacts/{id}/follow")
    };
    let (john_is, nobody, itself) = (path(0), path(1), path(2));
    assert_eq!(
        jane.call(&bench, &format!("POST {john_is}"), "").await.0,
        200
    );
    assert_eq!(
        jane.call(&bench, &format!("POST {john_is}"), "").await.0,
        409
    );
    assert_eq!(
        jane.call(&bench, &format!("POST {nobody}"), "").await.0,
        400
    );
    assert_eq!(
        jane.call(&bench, &format!("DELETE {nobody}"), "").await.0,
        400
    );
    assert_eq!(
        jane.call(&bench, &format!("POST {itself}"), "").await.0,
        400
    );
    let theirs = sync(&bench, &john, json!([{"phoneNumber": "416-555-0123"}])).await;
    assert_eq!(theirs["contacts"][0]["isFollowedBy"], true);
    assert_eq!(theirs["contacts"][0]["isFollowing"], false);
    for _ in 0..2 {
        assert_eq!(
            jane.call(&bench, &format!("DELETE {john_is}"), "").await.0,
            200
        );
    }
    let (_, all) = jane.call(&bench, "GET /api/contacts", "").await;
    assert_eq!(all[0]["isFollowing"], false);
}

#[tokio::test]
async fn a_bad_address_book_is_refused_as_a_whole() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "").await;
    let good = json!({"phoneNumber": "2125550147"});
    for (contacts, expected) in [
        (json!([good, {"displayName": "x"}]), 400),
        (json!([good, {"phoneNumber": null}]), 400),
        (json!([good, {"phoneNumber": ""}]), 400),
        (json!([good, {"phoneNumber": "1", "email": {}}]), 400),
        (
            json!([good, {"phoneNumber": "1", "firstName": "\u{0}"}]),
            400,
        ),
        (json!([good, 7]), 400),
        (json!({}), 400),
        (json!(vec![json!({}); 5001]), 413),
        (json!("x".repeat(1 << 20)), 413),
    ] {
        let body = json!({"contacts": contacts});
        let (code, answer) = jane.call(&bench, "POST /api/contacts/sync", body).await;
        assert_eq!(code, expected, "{answer}");
    }
    let deep = format!("{{\"contacts\":{}", "[".repeat(500_000));
    for body in ["{}", "", &deep] {
        assert_eq!(
            jane.call(&bench, "POST /api/contacts/sync", body).await.0,
            400
        );
    }
    assert_eq!(
        jane.call(&bench, "GET /api/contacts", "").await.1,
        json!([])
    );
}

#[tokio::test]
async fn a_large_address_book_is_taken_at_once() {
    let bench = bench(|_| {}).await;
    let jane = person(&bench, "jane", "").await;
    let numbers = 0..2000;
    let contacts = numbers.map(|number| json!({"phoneNumber": format!("+1212555{number:04}")}));
    let answer = sync(&bench, &jane, contacts.collect()).await;
    assert_eq!(answer["totalContacts"], 2000);
}

#[tokio::test]
async fn a_user_sends_its_address_book_a_hundred_and_twenty_times_an_hour() {
    let bench = bench(|_| {}).await;
    let (jane, john) = (
        person(&bench, "jane", "").await,
        person(&bench, "john", "").await,
    );
    let send = async |person: &Person| {
        let body = json!({"contacts": []});
        person.call(&bench, "POST /api/contacts/sync", body).await.0
    };
    for _ in 0..120 {
        assert_eq!(send(&jane).await, 200);
    }
    assert_eq!((send(&jane).await, send(&john).await), (429, 200));
}
