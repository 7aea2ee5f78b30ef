//! Who else has to do with events: operators, and receivers of webhooks.

use super::*;

#[tokio::test]
async fn operators_act_on_events_of_all_tenants() {
    let show = Show::with_film(json!({"repeatMode": "daily"})).await;
    let bench = &show.bench;
    let path = |verb: &str| format!("/api/admin/events/{}{verb}", show.id);
    assert_eq!(
        bench
            .api_or_none("GET", "/api/admin/events", &NOBODY, "")
            .await
            .0,
        401
    );
    let (code, list) = bench.api("GET", "/api/admin/events", &OPERATOR, "").await;
    assert_eq!((code, &list["status"]), (200, &json!("ok")));
    assert_eq!(list["events"][0]["applicationId"], "app");
    assert_eq!(list["events"][0]["file"]["state"], "uploaded");
    let title = json!({"title": "Other"});
    let (code, event) = bench.api("PUT", &path(""), &OPERATOR, title).await;
    assert_eq!((code, &event["title"]), (200, &json!("Other")));
    assert_eq!(bench.api("POST", &path("/end"), &OPERATOR, "").await.0, 409);
    let (code, event) = bench
        .api("POST", &path("/start-video"), &OPERATOR, "")
        .await;
    assert_eq!((code, &event["status"]), (200, &json!("active")), "{event}");
    show.after(10).await;
    let (_, event) = bench.api("GET", &path(""), &OPERATOR, "").await;
    assert_eq!(event["now"]["isPlaying"], true, "{event}");
    let (code, door) = bench.api("POST", &path("/takeover"), &OPERATOR, "").await;
    assert_eq!((code, door["streamKey"].is_string()), (200, true));
    let (code, event) = bench.api("POST", &path("/give-back"), &OPERATOR, "").await;
    assert_eq!((code, &event["takeover"]), (200, &json!(false)));
    let (code, event) = bench.api("POST", &path("/end"), &OPERATOR, "").await;
    assert_eq!(
        (code, &event["status"]),
        (200, &json!("scheduled")),
        "{event}"
    );
    assert_eq!(bench.api("DELETE", &path(""), &OPERATOR, "").await.0, 200);
    assert_eq!(bench.api("GET", &path(""), &OPERATOR, "").await.0, 404);
    let playbill = &bench.state.setup().playbill;
    assert!(playbill.of_event(show.id).is_none());
    assert!(playbill.stage().ids().is_empty());
}

#[tokio::test]
async fn webhooks_hear_of_what_becomes_of_an_event() {
    let show = Show::with_film(json!({})).await;
    // Of the tenant whose first user it is.
    let new = crate::store::NewWebhook {
        application_id: "app",
        url: "https://receiver.example/hook",
        description: "",
        events: &[],
        secret: &Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        active: true,
    };
    let webhook = show.bench.store.create_webhook(&new).await.unwrap();
    show.after(60).await;
    show.call("takeover").await;
    show.after(3600).await;
    let what = format!("DELETE /api/events/{}", show.id);
    assert_eq!(show.person.call(&show.bench, &what, "").await.0, 200);
    let told = show
        .bench
        .store
        .deliveries_of(webhook.id, 100)
        .await
        .unwrap();
    let told: Vec<&str> = told.iter().rev().map(|one| &*one.event).collect();
    assert_eq!(
        told,
        [
            "broadcast.created",
            "broadcast.active",
            "event.started",
            "event.takeover",
            "broadcast.completed",
            "event.ended",
            "event.deleted"
        ]
    );
}
