//! The API description and its page. What the channel API and its operators' counterpart take and answer
//! is generated from their code; the rest is a file.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::admin::{applications, broadcasts, channels, events, film, forwards};
use super::api::{
    broadcast, chat, client, cohost, contact, egress, error, event, file, follow, forward, session,
    streaming, user, viewer, webhook,
};
use super::livekit;
use super::pcast::{channel, fork, manifest, member, message};
use super::recordings;

/// OpenAPI 3.1, JSON: playback, health, lists and streams for operators.
const FILE: &str = include_str!("../../assets/openapi.json");
/// A page that shows it, without anything from elsewhere.
const PAGE: &str = include_str!("../../assets/docs.html");

/// What is generated.
#[derive(OpenApi)]
#[openapi(
    paths(
        client::register,
        client::users,
        broadcast::create,
        broadcast::list,
        broadcast::fetch,
        broadcast::set_status,
        broadcast::report_viewers,
        broadcast::heartbeat,
        viewer::show,
        viewer::realtime::token,
        session::create,
        session::list,
        session::patch,
        session::replace,
        channel::create,
        channel::list,
        channel::fetch,
        channel::remove,
        member::members,
        fork::fork,
        fork::kill,
        member::count,
        manifest::hls,
        manifest::dash,
        message::send,
        message::list,
        message::purge,
        chat::join,
        chat::react,
        recordings::list,
        recordings::one,
        recordings::download,
        recordings::remove,
        recordings::list_all,
        recordings::any,
        recordings::download_any,
        recordings::delete_any,
        broadcasts::list,
        applications::list,
        applications::add,
        applications::remove,
        applications::rotate,
        channels::list,
        channels::create,
        channels::fetch,
        channels::remove,
        channels::members,
        channels::kill,
        channels::fork,
        forwards::list,
        forwards::add,
        forwards::remove,
        channels::key,
        channels::rotate,
        channels::send,
        channels::messages,
        channels::purge,
        events::create,
        film::read,
        user::sign_up,
        user::sign_in,
        user::sign_out,
        user::rotate,
        user::profile,
        user::change,
        user::remove,
        user::change_password,
        user::search,
        follow::followers,
        follow::following,
        follow::follow,
        follow::unfollow,
        contact::sync,
        contact::list,
        contact::fetch,
        contact::change,
        contact::follow,
        contact::unfollow,
        event::list,
        event::schedule,
        event::fetch,
        event::replace,
        event::patch,
        event::remove,
        event::upload::upload,
        event::tus::options,
        event::tus::create,
        event::tus::show,
        event::tus::append,
        event::tus::cancel,
        event::tus::overridden,
        event::tus::operators::create,
        event::tus::operators::show,
        event::tus::operators::append,
        event::tus::operators::cancel,
        event::sync::show,
        event::start::start,
        event::takeover::take_over,
        event::operators::list,
        event::operators::fetch,
        event::operators::replace,
        event::operators::patch,
        event::operators::remove,
        event::operators::start_video,
        event::operators::take_over,
        event::operators::give_back,
        event::operators::end,
        file::create,
        file::update,
        file::remove,
        file::list,
        file::of_user,
        file::of_contact,
        file::of_message,
        file::of_call,
        file::of_broadcast,
        file::profile_image,
        file::contact_image,
        file::read,
        streaming::providers,
        streaming::ice_config,
        streaming::health,
        streaming::create,
        streaming::token,
        livekit::webhook::receive,
        livekit::proxy::serve,
        livekit::proxy::second,
        livekit::proxy::validate,
        livekit::proxy::validate_second,
        forward::list,
        egress::list,
        egress::start,
        egress::stop,
        cohost::join,
        cohost::list,
        cohost::show,
        cohost::configure,
        cohost::replace_configuration,
        cohost::patch,
        cohost::replace,
        cohost::remove,
        cohost::metrics,
        webhook::list,
        webhook::create,
        webhook::fetch,
        webhook::change,
        webhook::remove,
        webhook::deliveries,
        webhook::test,
        webhook::rotate,
        webhook::operators::list,
        webhook::operators::create,
        webhook::operators::fetch,
        webhook::operators::change,
        webhook::operators::remove,
        webhook::operators::deliveries,
        webhook::operators::test,
        webhook::operators::rotate,
    ),
    components(schemas(error::Body))
)]
struct Generated;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(FILE).expect("the file is JSON");
    let mut generated = serde_json::to_value(Generated::openapi()).expect("a description is JSON");
    let bodies = bodies_of_api(&mut generated);
    leave_out(&mut generated);
    for (path, method, body) in bodies {
        generated["paths"][path][method]["requestBody"] = body;
    }
    for part in ["/paths", "/components/schemas"] {
        let found = generated.pointer(part).and_then(Value::as_object);
        let place = document.pointer_mut(part).and_then(Value::as_object_mut);
        if let (Some(found), Some(place)) = (found, place) {
            place.extend(
                found
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
    }
    add_sessions(&mut document);
    add_signatures(&mut document);
    serde_json::to_string_pretty(&document).expect("JSON is text")
});

/// Takes the bodies out of the description that requests to `/api` have, with their paths and methods: there,
/// null says the same as nothing.
fn bodies_of_api(description: &mut Value) -> Vec<(String, String, Value)> {
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    let channel_api = ["/api/admin/channels", "/api/admin/applications"];
    let is_of_api = |path: &str| {
        path.starts_with("/api/") && !channel_api.iter().any(|start| path.starts_with(start))
    };
    let mut bodies = Vec::new();
    for (path, operations) in paths.filter(|(path, _)| is_of_api(path)) {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            if let Some(body) = operation.get_mut("requestBody") {
                bodies.push((path.clone(), method.clone(), body.take()));
            }
        }
    }
    bodies
}

/// A field that may be left out is never null: null is of the wrong type in requests, and answers leave it out.
fn leave_out(description: &mut Value) {
    match description {
        Value::Array(values) => values.iter_mut().for_each(leave_out),
        Value::Object(fields) => {
            let required = fields.get("required").and_then(Value::as_array);
            let required = required.cloned().unwrap_or_default();
            let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
            for (name, property) in properties.into_iter().flatten() {
                if !required.iter().any(|word| word == name) {
                    never_null(property);
                }
            }
            fields.values_mut().for_each(leave_out);
        }
        _ => {}
    }
}

fn never_null(schema: &mut Value) {
    if let Some([one, null]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        schema["type"] = one.clone();
    }
    if let Some([one, null]) = schema["oneOf"].as_array().map(Vec::as_slice)
        && null["type"] == "null"
    {
        *schema = one.clone();
    }
}

/// What is for operators takes the console's cookie too, and changes by it are refused to other pages.
fn add_sessions(document: &mut Value) {
    let refused = document.pointer("/paths/~1api~1admin~1session/delete/responses/403");
    let refused = refused.cloned().unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operations) in paths.filter(|(path, _)| path.starts_with("/api/admin/")) {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let Some(ways) = operation.get_mut("security").and_then(Value::as_array_mut) else {
                continue;
            };
            let session = json!({ "adminSession": [] });
            if !ways.contains(&session) {
                ways.push(session);
            }
            if method != "get" && operation["responses"]["403"].is_null() {
                operation["responses"]["403"] = refused.clone();
            }
        }
    }
}

/// Where an API key is taken, a signature is taken on top.
fn add_signatures(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, operations)| operations.as_object_mut());
    for (_, operation) in operations.flatten() {
        let ways = operation.get_mut("security").and_then(Value::as_array_mut);
        if let Some(ways) = ways.filter(|ways| ways.contains(&json!({ "apiKey": [] }))) {
            ways.push(json!({ "apiKey": [], "hmacSignature": [], "hmacTimestamp": [] }));
        }
    }
}

/// The whole description, OpenAPI 3.1 as JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

pub(super) async fn serve() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, document()).into_response()
}

pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}
